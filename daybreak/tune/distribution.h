// What a parameter's values may be, as samplers see them. A value is a double: a number as it is (whole ones up to 2^53), and of a
// categorical parameter its option's index, so that 1, True and 1.0 are three options. Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "daybreak/base/error.h"

namespace daybreak::tune {

inline constexpr std::int64_t kMaxWhole = std::int64_t{1} << 53;
inline constexpr std::uint32_t kMaxOptions = 1u << 20;

class Distribution {
 public:
  enum class Kind : std::uint8_t { kFloat, kInt, kCategorical };

  Distribution() = default;  // of [0, 1]

  // [low, high], or with a step low, low + step, ... as far as high: high() is the last of them. kInvalidArgument for bounds that are
  // not finite or in the wrong order, a log of what is not positive, a step that is not positive, log and step at once.
  static base::Result<Distribution> real(double low, double high, bool log = false, double step = 0);
  // As real, of whole numbers in [-2^53, 2^53]; with log the step must be 1 and low at least 1.
  static base::Result<Distribution> whole(std::int64_t low, std::int64_t high, bool log = false, std::int64_t step = 1);
  // Indices 0 to options - 1.
  static base::Result<Distribution> categorical(std::uint32_t options);

  Kind kind() const { return kind_; }
  bool log() const { return log_; }
  double low() const { return low_; }
  double high() const { return high_; }  // inclusive
  double step() const { return step_; }  // 0: every number between
  bool categorical() const { return kind_ == Kind::kCategorical; }
  // How many values there are; 0: too many to count.
  std::uint64_t count() const;
  bool single() const { return low_ == high_; }

  bool contains(double value) const;
  // The value of the distribution that is nearest; NaN is low.
  double nearest(double value) const;

  // Where samplers work: logarithms for log, bounds half a step wider where there is a step.
  std::pair<double, double> inner_bounds() const;
  double to_inner(double value) const;
  double from_inner(double inner) const;  // nearest() of it

  // Whether a study may go on with `other` for the same name: the range may change; kind, log and options may not.
  bool compatible(const Distribution& other) const;
  std::string to_string() const;

  bool operator==(const Distribution&) const = default;

 private:
  Kind kind_ = Kind::kFloat;
  bool log_ = false;
  double low_ = 0;
  double high_ = 1;
  double step_ = 0;
};

}  // namespace daybreak::tune
