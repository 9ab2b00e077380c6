#include "daybreak/tune/distribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

// low + k * step for the largest k that stays within high, where the quotient is whole but for rounding. 0.1 * 3 is a bit more than
// 0.3: what differs from a whole number of steps by a billionth of one is meant to be that many.
double last_step(double low, double high, double step) {
  const double steps = (high - low) / step;
  const double whole = std::round(steps);
  // Never beyond what was asked for: -10.2 + 204 * 0.1 is more than 10.2.
  if (std::abs(steps - whole) < 1e-8) return high;
  return low + std::floor(steps) * step;
}

}  // namespace

base::Result<Distribution> Distribution::real(double low, double high, bool log, double step) {
  if (!std::isfinite(low) || !std::isfinite(high) || !std::isfinite(high - low)) {
    return fail(Code::kInvalidArgument, "bounds {} and {}: both, and what lies between, must be finite", low, high);
  }
  if (low > high) return fail(Code::kInvalidArgument, "low={} is above high={}: swap them", low, high);
  if (!(step >= 0) || !std::isfinite(step)) {
    return fail(Code::kInvalidArgument, "step={}: a positive number, or none for every number between", step);
  }
  if (log && step != 0) {
    return fail(Code::kInvalidArgument, "step={} with log: a logarithmic range has no steps; leave one of them out",
                step);
  }
  if (log && low <= 0) {
    return fail(Code::kInvalidArgument, "low={} with log: the logarithm needs bounds above 0", low);
  }
  Distribution made;
  made.log_ = log;
  made.low_ = low;
  made.high_ = step == 0 ? high : last_step(low, high, step);
  made.step_ = step;
  return made;
}

base::Result<Distribution> Distribution::whole(std::int64_t low, std::int64_t high, bool log, std::int64_t step) {
  if (low < -kMaxWhole || high > kMaxWhole) {
    return fail(Code::kInvalidArgument, "bounds {} and {}: whole numbers within -2^53 and 2^53 are kept exactly", low,
                high);
  }
  if (low > high) return fail(Code::kInvalidArgument, "low={} is above high={}: swap them", low, high);
  if (step < 1) return fail(Code::kInvalidArgument, "step={}: at least 1", step);
  if (log && step != 1) {
    return fail(Code::kInvalidArgument, "step={} with log: a logarithmic range has no steps; leave one of them out",
                step);
  }
  if (log && low < 1) return fail(Code::kInvalidArgument, "low={} with log: at least 1", low);
  Distribution made;
  made.kind_ = Kind::kInt;
  made.log_ = log;
  made.low_ = static_cast<double>(low);
  const std::int64_t steps = (high - low) / step;
  made.high_ = static_cast<double>(low + steps * step);
  made.step_ = static_cast<double>(step);
  return made;
}

base::Result<Distribution> Distribution::categorical(std::uint32_t options) {
  if (options == 0) return fail(Code::kInvalidArgument, "no options: give at least one to choose from");
  if (options > kMaxOptions) {
    return fail(Code::kInvalidArgument, "{} options: at most {}", options, kMaxOptions);
  }
  Distribution made;
  made.kind_ = Kind::kCategorical;
  made.high_ = options - 1;
  made.step_ = 1;
  return made;
}

std::uint64_t Distribution::count() const {
  if (low_ == high_) return 1;
  if (step_ == 0) return 0;
  return static_cast<std::uint64_t>(std::round((high_ - low_) / step_)) + 1;
}

bool Distribution::contains(double value) const {
  if (!(value >= low_ && value <= high_)) return false;
  if (step_ == 0) return true;
  const double steps = (value - low_) / step_;
  return std::abs(steps - std::round(steps)) < 1e-8;
}

double Distribution::nearest(double value) const {
  if (std::isnan(value)) return low_;
  const double inside = std::clamp(value, low_, high_);
  if (step_ == 0) return inside;
  return std::clamp(low_ + std::round((inside - low_) / step_) * step_, low_, high_);
}

std::pair<double, double> Distribution::inner_bounds() const {
  const double half = step_ / 2;
  if (!log_) return {low_ - half, high_ + half};
  return {std::log(low_ - half), std::log(high_ + half)};
}

double Distribution::to_inner(double value) const {
  return log_ ? std::log(value) : value;
}

double Distribution::from_inner(double inner) const {
  return nearest(log_ ? std::exp(inner) : inner);
}

bool Distribution::compatible(const Distribution& other) const {
  return kind_ == other.kind_ && log_ == other.log_ && (!categorical() || high_ == other.high_);
}

std::string Distribution::to_string() const {
  if (categorical()) return fmt::format("categorical of {} options", count());
  const std::string_view kind = kind_ == Kind::kInt ? "whole" : "real";
  if (log_) return fmt::format("{} [{}, {}] log", kind, low_, high_);
  if (step_ == 0 || (kind_ == Kind::kInt && step_ == 1)) return fmt::format("{} [{}, {}]", kind, low_, high_);
  return fmt::format("{} [{}, {}] step {}", kind, low_, high_, step_);
}

}  // namespace daybreak::tune
