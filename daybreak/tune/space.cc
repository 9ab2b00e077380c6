#include "daybreak/tune/space.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "daybreak/tune/distribution.h"

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

// value / quantum where it is whole but for rounding: 0.3 is three times 0.1.
std::optional<double> multiple_of(double value, double quantum) {
  const double times = value / quantum;
  const double whole = std::round(times);
  if (std::abs(times - whole) > 1e-9 * std::max(1.0, std::abs(times))) return std::nullopt;
  return whole;
}

base::Status check_bounds(double low, double high, bool log) {
  if (!std::isfinite(low) || !std::isfinite(high) || !std::isfinite(high - low)) {
    return fail(Code::kInvalidArgument, "bounds {} and {}: both, and what lies between, must be finite", low, high);
  }
  if (low > high) return fail(Code::kInvalidArgument, "lower={} is above upper={}: swap them", low, high);
  if (log && low <= 0) {
    return fail(Code::kInvalidArgument, "lower={}: the logarithm needs bounds above 0", low);
  }
  return {};
}

base::Status check_quantum(double low, double high, double quantum) {
  if (!(quantum > 0) || !std::isfinite(quantum)) {
    return fail(Code::kInvalidArgument, "q={}: a positive number", quantum);
  }
  for (const double bound : {low, high}) {
    if (!multiple_of(bound, quantum)) {
      return fail(Code::kInvalidArgument, "q={} does not divide the bound {}: take {} or {}", quantum, bound,
                  std::floor(bound / quantum) * quantum, std::ceil(bound / quantum) * quantum);
    }
  }
  return {};
}

base::Status check_whole(std::int64_t low, std::int64_t high, std::int64_t quantum, bool log) {
  if (low < -kMaxWhole || high > kMaxWhole) {
    return fail(Code::kInvalidArgument, "bounds {} and {}: whole numbers within -2^53 and 2^53 are kept exactly", low,
                high);
  }
  if (quantum < 1) return fail(Code::kInvalidArgument, "q={}: at least 1", quantum);
  DAYBREAK_TRY(check_bounds(static_cast<double>(low), static_cast<double>(high), log));
  if (quantum == 1 && low == high) {
    return fail(Code::kInvalidArgument, "lower={} and upper={}: upper is not included, so nothing is left: raise it",
                low, high);
  }
  if (quantum == 1) return {};
  return check_quantum(static_cast<double>(low), static_cast<double>(high), static_cast<double>(quantum));
}

}  // namespace

base::Result<Domain> Domain::uniform(double low, double high, double quantum) {
  DAYBREAK_TRY(check_bounds(low, high, false));
  if (quantum != 0) DAYBREAK_TRY(check_quantum(low, high, quantum));
  return Domain(Kind::kUniform, low, high, quantum);
}

base::Result<Domain> Domain::loguniform(double low, double high, double quantum) {
  DAYBREAK_TRY(check_bounds(low, high, true));
  if (quantum != 0) DAYBREAK_TRY(check_quantum(low, high, quantum));
  return Domain(Kind::kLogUniform, low, high, quantum);
}

base::Result<Domain> Domain::randn(double mean, double deviation, double quantum) {
  if (!std::isfinite(mean) || !(deviation >= 0) || !std::isfinite(deviation)) {
    return fail(Code::kInvalidArgument, "mean={}, sd={}: finite numbers, sd not negative", mean, deviation);
  }
  if (!(quantum >= 0) || !std::isfinite(quantum)) {
    return fail(Code::kInvalidArgument, "q={}: a positive number", quantum);
  }
  return Domain(Kind::kNormal, mean, deviation, quantum);
}

base::Result<Domain> Domain::randint(std::int64_t low, std::int64_t high, std::int64_t quantum) {
  DAYBREAK_TRY(check_whole(low, high, quantum, false));
  return Domain(Kind::kInteger, static_cast<double>(low), static_cast<double>(high), static_cast<double>(quantum));
}

base::Result<Domain> Domain::lograndint(std::int64_t low, std::int64_t high, std::int64_t quantum) {
  DAYBREAK_TRY(check_whole(low, high, quantum, true));
  return Domain(Kind::kLogInteger, static_cast<double>(low), static_cast<double>(high), static_cast<double>(quantum));
}

base::Result<Domain> Domain::option(std::uint64_t options) {
  if (options == 0) return fail(Code::kInvalidArgument, "no options: give at least one to choose from");
  if (options > kMaxOptions) return fail(Code::kInvalidArgument, "{} options: at most {}", options, kMaxOptions);
  return Domain(Kind::kOption, 0, static_cast<double>(options), 1);
}

// Of what draw() gives, where the bound itself is excluded for whole numbers alone: of doubles it makes no difference.
double Domain::largest() const {
  if (kind_ == Kind::kOption || (whole() && quantum_ == 1)) return high_ - 1;
  return high_;
}

double Domain::draw(Keyed& random) const {
  const auto rounded = [this](double value) {
    return quantum_ == 0 ? value : std::clamp(std::round(value / quantum_) * quantum_, low_, high_);
  };
  switch (kind_) {
    case Kind::kUniform: return rounded(random.uniform(low_, high_));
    case Kind::kLogUniform:
      return rounded(std::clamp(std::exp(random.uniform(std::log(low_), std::log(high_))), low_, high_));
    case Kind::kNormal: {
      const double value = low_ + high_ * random.normal();
      return quantum_ == 0 ? value : std::round(value / quantum_) * quantum_;
    }
    case Kind::kOption: return static_cast<double>(random.below(static_cast<std::uint64_t>(high_)));
    case Kind::kInteger: {
      const auto count = static_cast<std::uint64_t>((largest() - low_) / quantum_) + 1;
      return low_ + static_cast<double>(random.below(count)) * quantum_;
    }
    case Kind::kLogInteger: {
      const double value = std::exp(random.uniform(std::log(low_), std::log(high_)));
      if (quantum_ == 1) return std::clamp(std::floor(value), low_, largest());
      return rounded(value);
    }
  }
  return low_;
}

bool Domain::contains(double value) const {
  if (kind_ == Kind::kNormal) return std::isfinite(value) && (quantum_ == 0 || multiple_of(value, quantum_));
  if (!(value >= low_ && value <= largest())) return false;
  return quantum_ == 0 || multiple_of(value, quantum_);
}

double Domain::nearest(double value) const {
  const double step = quantum_;
  const double snapped = step == 0 ? value : std::round(value / step) * step;
  if (kind_ == Kind::kNormal) return snapped;
  if (std::isnan(value)) return low_;
  return std::clamp(snapped, low_, largest());
}

base::Result<SearchSpace> SearchSpace::make(std::vector<Axis> axes, std::uint64_t seed, bool constant_grid_search,
                                            std::vector<std::vector<bool>> fixed) {
  SearchSpace made(std::move(axes), seed, constant_grid_search, std::move(fixed));
  std::vector<std::string_view> paths;
  for (std::size_t i = 0; i < made.axes_.size(); ++i) {
    const Axis& axis = made.axes_[i];
    paths.push_back(axis.path);
    if (!axis.grid) continue;
    if (axis.domain.kind() != Domain::Kind::kOption) {
      return fail(Code::kInvalidArgument, "'{}': a grid needs its options listed", axis.path);
    }
    made.by_path_.push_back(i);
    const double cells = static_cast<double>(made.cells_) * axis.domain.high();
    if (cells > static_cast<double>(kMaxWhole)) {
      return fail(Code::kInvalidArgument, "a grid of {:.0f} cells with '{}': at most 2^53", cells, axis.path);
    }
    made.cells_ *= static_cast<std::uint64_t>(axis.domain.high());
  }
  std::ranges::sort(paths);
  if (const auto twice = std::ranges::adjacent_find(paths); twice != paths.end()) {
    return fail(Code::kInvalidArgument, "two parameters have the path '{}': rename one", *twice);
  }
  std::ranges::sort(made.by_path_, {}, [&](std::size_t axis) -> const std::string& { return made.axes_[axis].path; });
  for (const std::vector<bool>& point : made.fixed_) {
    if (point.size() != made.axes_.size()) {
      return fail(Code::kInvalidArgument, "a point says of {} axes whether they are fixed, of {}", point.size(),
                  made.axes_.size());
    }
    std::uint64_t cells = 1;
    for (const std::size_t axis : made.by_path_) {
      if (!point[axis]) cells *= static_cast<std::uint64_t>(made.axes_[axis].domain.high());
    }
    made.fixed_cells_.push_back(cells);
  }
  return made;
}

std::uint64_t SearchSpace::size(std::uint64_t samples) const {
  std::uint64_t count = 0;
  const std::uint64_t points = std::min<std::uint64_t>(samples, fixed_cells_.size());
  for (std::uint64_t i = 0; i < points; ++i) count += fixed_cells_[i];
  return count + (samples - points) * cells_;
}

SearchSpace::Place SearchSpace::placed(std::uint64_t trial) const {
  for (std::size_t point = 0; point < fixed_cells_.size(); ++point) {
    if (trial < fixed_cells_[point]) return {.sample = point, .cell = trial};
    trial -= fixed_cells_[point];
  }
  return {.sample = fixed_cells_.size() + trial / cells_, .cell = trial % cells_};
}

std::vector<double> SearchSpace::variant(std::uint64_t trial) const {
  auto [sample, cell] = placed(trial);
  std::vector<double> values(axes_.size(), std::numeric_limits<double>::quiet_NaN());
  const std::vector<bool>* fixed = sample < fixed_.size() ? &fixed_[sample] : nullptr;
  for (const std::size_t axis : by_path_) {
    if (fixed != nullptr && (*fixed)[axis]) continue;
    const auto options = static_cast<std::uint64_t>(axes_[axis].domain.high());
    values[axis] = static_cast<double>(cell % options);
    cell /= options;
  }
  for (std::size_t axis = 0; axis < axes_.size(); ++axis) {
    if (axes_[axis].grid || (fixed != nullptr && (*fixed)[axis])) continue;
    Keyed random(seed_, constant_ ? sample : trial, axes_[axis].path);
    values[axis] = axes_[axis].domain.draw(random);
  }
  return values;
}

}  // namespace daybreak::tune
