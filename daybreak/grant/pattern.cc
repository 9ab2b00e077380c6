#include "daybreak/grant/pattern.h"

#include <algorithm>

namespace daybreak::grant {
namespace {

using base::Code;
using base::fail;
using base::Result;

bool is_cell_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == ',' || c == '(' || c == ')' || c == '.';
}

// "." and "..", which others resolve as steps in a tree, name nothing here: what a pattern allows must not depend on
// who normalises when.
bool is_step(std::string_view text) {
  return text == "." || text == "..";
}

bool is_cell(std::string_view text) {
  return !text.empty() && !is_step(text) && std::ranges::all_of(text, is_cell_char);
}

// What may be shown of a text from outside.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 80));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.size() > 80 ? out + "..." : out;
}

// Whether the cell `a` of a pattern matches all that the cell `b` of another does. Neither is '*'.
bool covers_cell(std::string_view a, std::string_view b) {
  return a == "+" || a == b;
}

}  // namespace

Result<PatternView> PatternView::parse(std::string_view text) {
  if (text.empty() || text.size() > kMaxPatternBytes) {
    return fail(Code::kInvalidArgument, "resource '{}' has {} bytes, allowed are 1 to {}", shown(text), text.size(),
                kMaxPatternBytes);
  }
  PatternView pattern;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view cell = text.substr(begin, end - begin);
    if (pattern.cells_ == kMaxCells) {
      return fail(Code::kInvalidArgument, "resource '{}' has more than {} cells", shown(text), kMaxCells);
    }
    if (cell == "*") {
      if (pattern.star_ >= 0)
        return fail(Code::kInvalidArgument, "resource '{}' has two '*': one is allowed", shown(text));
      pattern.star_ = static_cast<std::int8_t>(pattern.cells_);
    } else if (cell != "+" && !is_cell(cell)) {
      return fail(Code::kInvalidArgument,
                  "resource '{}': cell '{}' is not of A-Z a-z 0-9 - _ , ( ) . nor '+' nor '*', and may not be empty, "
                  "'.' or '..'",
                  shown(text), shown(cell));
    }
    pattern.begin_[pattern.cells_++] = static_cast<std::uint16_t>(begin);
    begin = end + 1;
  }
  pattern.begin_[pattern.cells_] = static_cast<std::uint16_t>(text.size() + 1);
  pattern.text_ = text;
  return pattern;
}

Result<Pattern> Pattern::parse(std::string_view text) {
  DAYBREAK_ASSIGN(const PatternView shape, PatternView::parse(text));
  Pattern pattern;
  pattern.text_ = text;
  pattern.shape_ = shape;
  pattern.shape_.text_ = {};
  return pattern;
}

bool PatternView::is_literal() const {
  if (has_star()) return false;
  for (std::size_t i = 0; i < cells_; ++i) {
    if (cell(i) == "+") return false;
  }
  return true;
}

bool PatternView::contains(const PatternView& other) const {
  if (!has_star()) {
    // Of one length: so must be the other, and it has no '*', which matches every length.
    if (other.has_star() || cells_ != other.cells_) return false;
    for (std::size_t i = 0; i < cells_; ++i) {
      if (!covers_cell(cell(i), other.cell(i))) return false;
    }
    return true;
  }
  // The other's shortest resource must be long enough for the cells on both sides of our '*'. Then each of these is
  // compared with the other's cell at the same distance from the same end; where that lies within the other's '*' it
  // can be any cell, which '+' alone covers.
  if (other.before_star() + other.after_star() < before_star() + after_star()) return false;
  for (std::size_t i = 0; i < before_star(); ++i) {
    if (!covers_cell(cell(i), i < other.before_star() ? other.cell(i) : std::string_view())) return false;
  }
  const std::size_t other_tail = other.has_star() ? other.after_star() : other.cells_;
  for (std::size_t i = 1; i <= after_star(); ++i) {
    if (!covers_cell(cell(cells_ - i), i <= other_tail ? other.cell(other.cells_ - i) : std::string_view()))
      return false;
  }
  return true;
}

base::Status check_permission(std::string_view permission) {
  if (permission.size() > kMaxPermissionBytes || !is_cell(permission)) {
    return fail(Code::kInvalidArgument,
                "permission '{}' is not 1 to {} of A-Z a-z 0-9 - _ , ( ) ., nor may it be '.' or '..'",
                shown(permission), kMaxPermissionBytes);
  }
  return {};
}

Result<Pair> Pair::make(std::string_view permission, std::string_view resource) {
  DAYBREAK_TRY(check_permission(permission));
  DAYBREAK_ASSIGN(Pattern pattern, Pattern::parse(resource));
  return Pair{std::string(permission), std::move(pattern)};
}

Result<Policy> Policy::make(std::vector<Pair> pairs) {
  std::ranges::sort(pairs);
  pairs.erase(std::ranges::unique(pairs).begin(), pairs.end());
  if (pairs.empty() || pairs.size() > kMaxPairs) {
    return fail(Code::kInvalidArgument, "{} (permission, resource) pairs are asked for, allowed are 1 to {}",
                pairs.size(), kMaxPairs);
  }
  Policy policy;
  Writer out;
  out.varint(pairs.size());
  for (const Pair& pair : pairs) out.text(pair.permission).text(pair.resource.text());
  policy.hash_ = hash_of(tag("daybreak/grant/policy/v1"), {out.bytes()});
  policy.pairs_ = std::move(pairs);
  return policy;
}

Result<Statement> Statement::make(std::vector<std::string> permissions, std::string_view resource) {
  for (const std::string& permission : permissions) DAYBREAK_TRY(check_permission(permission));
  if (permissions.empty())
    return fail(Code::kInvalidArgument, "a statement about '{}' has no permission", shown(resource));
  std::ranges::sort(permissions);
  permissions.erase(std::ranges::unique(permissions).begin(), permissions.end());
  DAYBREAK_ASSIGN(Pattern pattern, Pattern::parse(resource));
  return Statement{std::move(permissions), std::move(pattern)};
}

bool Statement::allows(std::string_view permission, const PatternView& asked) const {
  return std::ranges::any_of(permissions, [&](const std::string& mine) { return mine == permission; }) &&
         resource.contains(asked);
}

bool any_allows(std::span<const Statement> statements, std::string_view permission, const PatternView& asked) {
  return std::ranges::any_of(statements, [&](const Statement& one) { return one.allows(permission, asked); });
}

Result<std::vector<Statement>> canonical(std::vector<Statement> statements) {
  std::ranges::sort(statements, {}, &Statement::resource);
  std::vector<Statement> merged;
  for (Statement& statement : statements) {
    if (merged.empty() || merged.back().resource != statement.resource) {
      merged.push_back(std::move(statement));
      continue;
    }
    auto& permissions = merged.back().permissions;
    permissions.insert(permissions.end(), statement.permissions.begin(), statement.permissions.end());
    std::ranges::sort(permissions);
    permissions.erase(std::ranges::unique(permissions).begin(), permissions.end());
  }
  std::size_t pairs = 0;
  for (const Statement& statement : merged) pairs += statement.permissions.size();
  if (merged.empty() || merged.size() > kMaxStatements || pairs > kMaxPairs) {
    return fail(
        Code::kInvalidArgument,
        "{} statements with {} (permission, resource) pairs: allowed are 1 to {} with at most {}; split the grant",
        merged.size(), pairs, kMaxStatements, kMaxPairs);
  }
  return merged;
}

void write_statements(Writer& out, std::span<const Statement> statements) {
  out.varint(statements.size());
  for (const Statement& statement : statements) {
    write_optional_hash(out, {});  // the id of a permission set: reserved
    out.varint(statement.permissions.size());
    for (const std::string& permission : statement.permissions) out.text(permission);
    out.text(statement.resource.text());
  }
}

std::vector<Statement> read_statements(Reader& in) {
  std::vector<Statement> statements(in.varint(1, kMaxStatements, "the number of statements"));
  std::size_t pairs = 0;
  const Statement* last = nullptr;
  for (Statement& statement : statements) {
    in.require(is_zero(read_optional_hash(in, "the permission set")),
               "the permission set is reserved: version 1 knows none");
    statement.permissions.resize(in.varint(1, kMaxPairs, "the number of permissions"));
    pairs += statement.permissions.size();
    in.require(pairs <= kMaxPairs, "it has more than 64 (permission, resource) pairs");
    const std::string* last_permission = nullptr;
    for (std::string& permission : statement.permissions) {
      permission = in.text(1, kMaxPermissionBytes, "the length of a permission");
      if (!in.ok()) return {};
      in.require(is_cell(permission), "a permission has a character outside its alphabet");
      in.require(last_permission == nullptr || *last_permission < permission, "permissions are not sorted and unique");
      last_permission = &permission;
    }
    auto pattern = Pattern::parse(in.text(1, kMaxPatternBytes, "the length of a resource"));
    if (!in.ok()) return {};
    if (!pattern) {
      in.fail(pattern.error().message());
      return {};
    }
    statement.resource = std::move(*pattern);
    in.require(last == nullptr || last->resource < statement.resource, "statements are not sorted and unique");
    last = &statement;
  }
  if (!in.ok()) return {};
  return statements;
}

}  // namespace daybreak::grant
