#include <bit>
#include <limits>

#include "daybreak/linalg/program.h"

namespace daybreak::linalg {

namespace {

using Op = Expression::Op;
constexpr std::size_t kMaxExpressionPairs = 256;
constexpr std::size_t kMaxStack = 64;

int operands_of(std::int64_t op) {
  if (op == Op::kConstant || op == Op::kVariable) return 0;
  return op == Op::kNegate || op == Op::kNot || op >= Op::kCeilLog2 ? 1 : 2;
}

std::optional<std::int64_t> unary_value(std::int64_t op, std::int64_t a) {
  switch (op) {
    case Op::kNegate: return a == std::numeric_limits<std::int64_t>::min() ? std::nullopt : std::optional(-a);
    case Op::kNot: return a == 0;
    case Op::kPower2:
      if (a < 0 || a > 62) return std::nullopt;
      return std::int64_t{1} << a;
    default: break;
  }
  if (a <= 0) return std::nullopt;
  const int floor = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(a))) - 1;
  const bool power = (a & (a - 1)) == 0;
  return op == Op::kFloorLog2 || power ? floor : floor + 1;
}

std::optional<std::int64_t> binary_value(std::int64_t op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case Op::kAdd: return __builtin_add_overflow(a, b, &result) ? std::nullopt : std::optional(result);
    case Op::kSubtract: return __builtin_sub_overflow(a, b, &result) ? std::nullopt : std::optional(result);
    case Op::kMultiply: return __builtin_mul_overflow(a, b, &result) ? std::nullopt : std::optional(result);
    case Op::kFloorDivide:
    case Op::kModulo: {
      if (b == 0 || (b == -1 && a == std::numeric_limits<std::int64_t>::min())) return std::nullopt;
      const std::int64_t rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);
      return op == Op::kModulo ? (down ? rest + b : rest) : a / b - (down ? 1 : 0);
    }
    case Op::kMin: return std::min(a, b);
    case Op::kMax: return std::max(a, b);
    case Op::kLess: return a < b;
    case Op::kLessEqual: return a <= b;
    case Op::kEqual: return a == b;
    case Op::kNotEqual: return a != b;
    case Op::kAnd: return a != 0 && b != 0;
    case Op::kOr: return a != 0 || b != 0;
    default: return std::nullopt;
  }
}

using Linear = Expression::Linear;

bool is_constant(const Linear& form) {
  return std::all_of(std::begin(form.of), std::end(form.of), [](std::int64_t c) { return c == 0; });
}

// a op b as a linear form, where it is one.
std::optional<Linear> combined(std::int64_t op, const Linear& a, const Linear& b) {
  if (is_constant(a) && is_constant(b)) {
    const auto value = binary_value(op, a.constant, b.constant);
    return value ? std::optional(Linear{*value, {}}) : std::nullopt;
  }
  if (op == Op::kMultiply && !is_constant(a) && !is_constant(b)) return std::nullopt;
  if (op != Op::kAdd && op != Op::kSubtract && op != Op::kMultiply) return std::nullopt;
  const bool scaled = op == Op::kMultiply;
  const std::int64_t of_a = scaled ? (is_constant(a) ? 0 : b.constant) : 1;
  const std::int64_t of_b = scaled ? (is_constant(a) ? a.constant : 0) : (op == Op::kAdd ? 1 : -1);
  Linear sum;
  const auto mixed = [&](std::int64_t x, std::int64_t y, std::int64_t& out) {
    std::int64_t p = 0;
    std::int64_t q = 0;
    return !__builtin_mul_overflow(of_a, x, &p) && !__builtin_mul_overflow(of_b, y, &q) &&
           !__builtin_add_overflow(p, q, &out);
  };
  if (!mixed(a.constant, b.constant, sum.constant)) return std::nullopt;
  for (int v = 0; v < kMaxVariables; ++v) {
    if (!mixed(a.of[v], b.of[v], sum.of[v])) return std::nullopt;
  }
  return sum;
}

std::optional<Linear> linear_of(const std::vector<std::int64_t>& code) {
  std::vector<Linear> stack;
  for (std::size_t at = 0; at < code.size(); at += 2) {
    Linear form;
    if (code[at] == Op::kConstant) {
      form.constant = code[at + 1];
    } else if (code[at] == Op::kVariable) {
      form.of[code[at + 1]] = 1;
    } else if (operands_of(code[at]) == 1) {
      std::optional<Linear> made;
      if (code[at] == Op::kNegate) {
        made = combined(Op::kSubtract, {}, stack.back());
      } else if (is_constant(stack.back())) {
        const auto value = unary_value(code[at], stack.back().constant);
        if (value) made = Linear{*value, {}};
      }
      if (!made) return std::nullopt;
      form = *made;
      stack.pop_back();
    } else {
      const Linear b = stack.back();
      stack.pop_back();
      const auto made = combined(code[at], stack.back(), b);
      if (!made) return std::nullopt;
      form = *made;
      stack.pop_back();
    }
    stack.push_back(form);
  }
  return stack.back();
}

}  // namespace

base::Result<Expression> Expression::create(std::vector<std::int64_t> code, int variables) {
  const auto broken = [](const char* why) {
    return base::fail(base::Code::kInvalidArgument, "an expression of a tile program is broken: {}", why);
  };
  if (code.empty() || code.size() % 2 != 0) return broken("no pairs");
  if (code.size() / 2 > kMaxExpressionPairs) return broken("more than 256 operations: split it");
  std::size_t depth = 0;
  for (std::size_t at = 0; at < code.size(); at += 2) {
    const std::int64_t op = code[at];
    if (op < kConstant || op > kPower2) return broken("no such operation");
    if (op == kVariable && (code[at + 1] < 0 || code[at + 1] >= std::min(variables, kMaxVariables))) {
      return broken("a variable that no loop around it has");
    }
    const auto takes = static_cast<std::size_t>(operands_of(op));
    if (depth < takes) return broken("an operand is missing");
    depth += 1 - takes;
    if (depth > kMaxStack) return broken("nested more than 64 deep");
  }
  if (depth != 1) return broken("not one value");
  Expression made;
  made.linear_ = linear_of(code);
  made.code_ = std::move(code);
  return made;
}

std::optional<std::int64_t> Expression::value(std::span<const std::int64_t> variables) const {
  if (linear_) {
    std::int64_t sum = linear_->constant;
    for (std::size_t v = 0; v < variables.size(); ++v) sum += linear_->of[v] * variables[v];
    return sum;
  }
  std::int64_t stack[kMaxStack + 1];
  std::size_t top = 0;
  for (std::size_t at = 0; at < code_.size(); at += 2) {
    std::optional<std::int64_t> made;
    if (code_[at] == kConstant) {
      made = code_[at + 1];
    } else if (code_[at] == kVariable) {
      const auto v = static_cast<std::size_t>(code_[at + 1]);
      if (v < variables.size()) made = variables[v];  // else no loop around it has it
    } else if (operands_of(code_[at]) == 1) {
      made = unary_value(code_[at], stack[--top]);
    } else {
      top -= 2;
      made = binary_value(code_[at], stack[top], stack[top + 1]);
    }
    if (!made) return std::nullopt;
    stack[top++] = *made;
  }
  return stack[0];
}

bool Expression::uses(int variable) const {
  if (linear_) return linear_->of[variable] != 0;
  for (std::size_t at = 0; at < code_.size(); at += 2) {
    if (code_[at] == kVariable && code_[at + 1] == variable) return true;
  }
  return false;
}

}  // namespace daybreak::linalg
