// Resources, patterns of resources, permissions, and what a statement says.
//
// A resource is cells joined by '/': models/pong/rl. In a pattern a cell may also be '+' (exactly one cell, whatever it
// is), and at most one cell may be '*' (any number of cells, also none). Cells are of A-Z a-z 0-9 - _ , ( ) . and never
// empty, "." or "..".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/grant/encoding.h"
#include "daybreak/grant/limits.h"

namespace daybreak::grant {

// A parsed pattern over bytes that somebody else owns; a plain resource is a pattern that matches itself alone.
// Allocates nothing, but for an error.
class PatternView {
 public:
  // kInvalidArgument names the cell that is wrong.
  static base::Result<PatternView> parse(std::string_view text);

  std::string_view text() const { return text_; }
  std::size_t cells() const { return cells_; }
  std::string_view cell(std::size_t i) const {
    return text_.substr(begin_[i], static_cast<std::size_t>(begin_[i + 1] - begin_[i] - 1));
  }
  bool has_star() const { return star_ >= 0; }
  bool is_literal() const;
  // Whether every resource that `other` matches is matched by this one. Exact: neither more nor less.
  bool contains(const PatternView& other) const;

 private:
  friend class Pattern;
  std::size_t before_star() const { return star_ < 0 ? cells_ : static_cast<std::size_t>(star_); }
  std::size_t after_star() const { return star_ < 0 ? 0 : cells_ - static_cast<std::size_t>(star_) - 1; }

  std::string_view text_;
  std::array<std::uint16_t, kMaxCells + 1> begin_{};  // of each cell, and one behind the end plus 1
  std::uint8_t cells_ = 0;
  std::int8_t star_ = -1;
};

// The same with bytes of its own.
class Pattern {
 public:
  static base::Result<Pattern> parse(std::string_view text);

  const std::string& text() const { return text_; }
  PatternView view() const {
    PatternView out = shape_;
    out.text_ = text_;
    return out;
  }
  bool is_literal() const { return view().is_literal(); }
  bool contains(const PatternView& other) const { return view().contains(other); }
  bool contains(const Pattern& other) const { return view().contains(other.view()); }

  bool operator==(const Pattern& other) const { return text_ == other.text_; }
  auto operator<=>(const Pattern& other) const { return text_ <=> other.text_; }

 private:
  std::string text_;
  PatternView shape_;  // without the text, whose address changes when this is moved
};

base::Status check_permission(std::string_view permission);

// One (permission, resource) that is asked for. The resource may be a pattern: then all of it is asked for.
struct Pair {
  std::string permission;
  Pattern resource;
  static base::Result<Pair> make(std::string_view permission, std::string_view resource);
  auto operator<=>(const Pair&) const = default;
};

// What is asked for: 1 to kMaxPairs pairs, sorted and unique.
class Policy {
 public:
  static base::Result<Policy> make(std::vector<Pair> pairs);
  std::span<const Pair> pairs() const { return pairs_; }
  // Names the meaning: equal for equal sets.
  const Hash& hash() const { return hash_; }

 private:
  std::vector<Pair> pairs_;
  Hash hash_{};
};

// Permissions on the resources of a pattern.
struct Statement {
  std::vector<std::string> permissions;  // sorted, unique, not empty
  Pattern resource;

  static base::Result<Statement> make(std::vector<std::string> permissions, std::string_view resource);
  bool allows(std::string_view permission, const PatternView& asked) const;
  bool operator==(const Statement&) const = default;
};

bool any_allows(std::span<const Statement> statements, std::string_view permission, const PatternView& asked);

// A set of statements in canonical form: one for each pattern, by pattern. kInvalidArgument beyond kMaxStatements or
// kMaxPairs.
base::Result<std::vector<Statement>> canonical(std::vector<Statement> statements);
void write_statements(Writer& out, std::span<const Statement> statements);
std::vector<Statement> read_statements(Reader& in);

}  // namespace daybreak::grant
