// Tile programs: loops whose bounds and tile indices are expressions of loop variables, with calls of kernels on tiles
// inside (numpywren's LAmbdaPACK, arXiv:1810.09679). A program is the list of its calls in the order of its loops; what
// a call depends on, and what depends on it, is found by solving the index expressions, without that list.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::linalg {

inline constexpr int kMaxVariables = 16;            // of loops around one call
inline constexpr std::int64_t kMaxCalls = 8 << 20;  // of a program

// An integer expression in postfix form: pairs of an operation and its argument.
class Expression {
 public:
  enum Op : std::int64_t {
    kConstant,
    kVariable,
    kAdd,
    kSubtract,
    kMultiply,
    kFloorDivide,
    kModulo,
    kMin,
    kMax,
    kNegate,
    kLess,
    kLessEqual,
    kEqual,
    kNotEqual,
    kAnd,
    kOr,
    kNot,
    kCeilLog2,
    kFloorLog2,
    kPower2,
  };

  // kInvalidArgument when the form is broken or a variable is not below `variables`.
  static base::Result<Expression> create(std::vector<std::int64_t> code, int variables);

  // Empty: a division by zero, a logarithm of what is not positive, a power beyond 62.
  std::optional<std::int64_t> value(std::span<const std::int64_t> variables) const;
  // c0 x0 + c1 x1 + ... + constant, where it is that.
  struct Linear {
    std::int64_t constant = 0;
    std::int64_t of[kMaxVariables] = {};
  };
  const std::optional<Linear>& linear() const { return linear_; }
  bool uses(int variable) const;

 private:
  std::vector<std::int64_t> code_;
  std::optional<Linear> linear_;
};

enum class Mode : std::uint8_t { kRead = 1, kWrite = 2, kUpdate = 3 };

// One index of a tile: a number, or all from `first` to before `last` (then the reference is to several tiles).
struct Index {
  Expression first;
  std::optional<Expression> last;
};

struct Reference {
  int matrix = 0;
  Mode mode = Mode::kRead;
  std::vector<Index> indices;
};

struct Call {
  int kernel = 0;
  std::int32_t flags = 0;
  double alpha = 1;
  std::vector<Reference> references;
};

// A call with values of its loops' variables.
struct Instance {
  int call = 0;
  std::vector<std::int64_t> variables;
  auto operator<=>(const Instance&) const = default;
};

struct TileName {
  int matrix = 0;
  std::vector<std::int64_t> indices;
  auto operator<=>(const TileName&) const = default;
};

// Built once, then read by any thread.
class Program {
 public:
  // -- building, in the order of the text: what begin() opens end() closes
  void begin_loop(int variable, Expression first, Expression last, Expression step);
  void begin_if(Expression condition);
  base::Status otherwise();
  base::Status end();
  base::Status call(Call call);

  const std::vector<Call>& calls() const { return calls_; }
  // each(call, variables) in order; an error of it ends the walk and comes back.
  base::Status walk(const std::function<base::Status(int, std::span<const std::int64_t>)>& each) const;
  // The tiles of a reference in an instance.
  base::Result<std::vector<TileName>> tiles(const Reference& reference, std::span<const std::int64_t> variables) const;

  // The instances whose writing this one reads or goes on with, and those that read or go on with what it writes: each
  // once, in order. Solved: only loops that no index fixes are tried value by value.
  base::Result<std::vector<Instance>> parents(const Instance& instance) const;
  base::Result<std::vector<Instance>> children(const Instance& instance) const;

 private:
  struct Step {
    enum Kind { kLoop, kIf, kCall } kind = kCall;
    int variable = 0;  // of a loop; the call's number of a call
    std::vector<Expression> expressions;
    std::vector<int> body;
    std::vector<int> otherwise;
    bool in_otherwise = false;  // while it is built
  };
  // Where a call stands: steps from the outside in, and for each whether the way leads through `otherwise`.
  struct Way {
    std::vector<std::pair<int, bool>> steps;
  };
  struct Search;

  int add(Step step);
  base::Status walk_steps(const std::vector<int>& steps, std::vector<std::int64_t>& variables,
                          const std::function<base::Status(int, std::span<const std::int64_t>)>& each) const;
  // The instances that touch a tile in one of the modes (a mask), in order.
  base::Result<std::vector<Instance>> touching(const TileName& tile, int modes) const;
  bool before(const Instance& a, const Instance& b) const;

  std::vector<Step> steps_;
  std::vector<int> top_;
  std::vector<int> open_;
  std::vector<Call> calls_;
  std::vector<Way> ways_;  // of each call
};

}  // namespace daybreak::linalg
