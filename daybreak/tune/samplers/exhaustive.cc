#include "daybreak/tune/samplers/exhaustive.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "daybreak/tune/keyed.h"

namespace daybreak::tune {
namespace {

constexpr std::size_t kMaxCells = std::size_t{1} << 24;
constexpr std::uint64_t kMaxBranches = 1u << 20;

class GridSampler final : public OneByOneSampler {
 public:
  explicit GridSampler(GridPlan plan) : plan_(std::move(plan)) {}

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    const std::string& name = trials.name(parameter.column);
    const auto axis = std::ranges::find(plan_.axes(), name, [](const auto& one) { return one.first; });
    if (axis == plan_.axes().end()) {
      return base::fail(base::Code::kInvalidArgument, "'{}' is no axis of the grid: add it", name);
    }
    const std::optional<std::size_t> cell = plan_.cell(trials, trial);
    if (!cell) {
      return base::fail(base::Code::kOutOfRange, "all {} cells of the grid have been given out", plan_.cells());
    }
    const double value = axis->second[plan_.place(*cell, static_cast<std::size_t>(axis - plan_.axes().begin()))];
    if (!parameter.distribution.contains(value)) {
      return base::fail(base::Code::kInvalidArgument, "the grid's {}={}: not in {}", name, value,
                        parameter.distribution.to_string());
    }
    return value;
  }

 private:
  GridPlan plan_;
};

class BruteForceSampler final : public OneByOneSampler {
 public:
  explicit BruteForceSampler(std::uint64_t seed) : seed_(seed) {}

  // A trial that failed is to be tried again.
  static bool counts(const Trials& trials, std::uint32_t trial) {
    return trials.state(trial) != State::kFailed && trials.state(trial) != State::kWaiting;
  }
  // Whether nothing is left among trials that are equal before `depth`; one that runs has its place.
  static bool exhausted(const Trials& trials, const std::vector<std::uint32_t>& alike, std::size_t depth) {
    if (alike.empty()) return false;
    const Given* next = nullptr;
    for (const std::uint32_t one : alike) {
      if (trials.given(one).size() > depth) next = &trials.given(one)[depth];
    }
    if (next == nullptr) return true;
    for (std::uint64_t k = 0; k < next->distribution.count(); ++k) {
      if (!exhausted(trials, with(trials, alike, depth, nth(next->distribution, k)), depth + 1)) return false;
    }
    return true;
  }

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    const std::string& name = trials.name(parameter.column);
    const std::uint64_t count = parameter.distribution.count();
    if (count == 0) {
      return base::fail(base::Code::kInvalidArgument,
                        "'{}' of {} has no end of values: brute force needs a step, whole numbers or options", name,
                        parameter.distribution.to_string());
    }
    if (count > kMaxBranches) {
      return base::fail(base::Code::kInvalidArgument, "'{}' has {} values: brute force takes at most {} of a parameter",
                        name, count, kMaxBranches);
    }
    // The trials that are as this one so far.
    const std::size_t depth = trials.given(trial).size();
    std::vector<std::uint32_t> alike;
    for (std::uint32_t other = 0; other < trials.size(); ++other) {
      const std::span<const Given> given = trials.given(other);
      if (other == trial || !counts(trials, other)) continue;
      if (given.size() < depth || !same_start(given, trials.given(trial))) continue;
      alike.push_back(other);
    }
    std::vector<double> open;
    for (std::uint64_t k = 0; k < count; ++k) {
      const double value = nth(parameter.distribution, k);
      if (!exhausted(trials, with(trials, alike, depth, value), depth + 1)) open.push_back(value);
    }
    if (open.empty()) {
      return base::fail(base::Code::kOutOfRange,
                        "every value of '{}' has been tried or is being tried: there is nothing left", name);
    }
    Keyed random(seed_, trial, name);
    return open[random.below(open.size())];
  }

 private:
  static double nth(const Distribution& distribution, std::uint64_t k) {
    if (distribution.single()) return distribution.low();
    return distribution.nearest(distribution.low() + static_cast<double>(k) * distribution.step());
  }
  static bool same_start(std::span<const Given> longer, std::span<const Given> start) {
    for (std::size_t k = 0; k < start.size(); ++k) {
      if (longer[k].column != start[k].column || longer[k].value != start[k].value) return false;
    }
    return true;
  }
  // Of these, all equal before `depth`, those with the value there.
  static std::vector<std::uint32_t> with(const Trials& trials, const std::vector<std::uint32_t>& alike,
                                         std::size_t depth, double value) {
    std::vector<std::uint32_t> found;
    for (const std::uint32_t one : alike) {
      if (trials.given(one).size() > depth && trials.given(one)[depth].value == value) found.push_back(one);
    }
    return found;
  }
  std::uint64_t seed_;
};

class PartialFixedSampler final : public Sampler {
 public:
  PartialFixedSampler(std::unique_ptr<Sampler> base, std::map<std::string, double> fixed)
      : base_(std::move(base)), fixed_(std::move(fixed)) {}

  std::vector<Parameter> joint(const Trials& trials, std::size_t trial) override {
    std::vector<Parameter> space = base_->joint(trials, trial);
    std::erase_if(space, [&](const Parameter& one) { return fixed_.contains(trials.name(one.column)); });
    return space;
  }
  base::Result<Sample> sample(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters) override {
    return base_->sample(trials, trial, parameters);
  }
  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    const auto held = fixed_.find(trials.name(parameter.column));
    if (held == fixed_.end()) return base_->sample_one(trials, trial, parameter);
    if (parameter.distribution.contains(held->second)) return held->second;
    return base::fail(base::Code::kInvalidArgument, "{} is fixed at {}, which is not in {}", held->first, held->second,
                      parameter.distribution.to_string());
  }

 private:
  std::unique_ptr<Sampler> base_;
  std::map<std::string, double> fixed_;
};

}  // namespace

base::Result<GridPlan> GridPlan::make(std::uint64_t seed,
                                      std::vector<std::pair<std::string, std::vector<double>>> axes) {
  if (axes.empty()) return base::fail(base::Code::kInvalidArgument, "a grid without axes: give at least one");
  std::size_t cells = 1;
  for (const auto& [name, values] : axes) {
    if (values.empty()) return base::fail(base::Code::kInvalidArgument, "the grid's axis '{}' has no values", name);
    if (values.size() > kMaxCells / cells) {
      return base::fail(base::Code::kInvalidArgument, "the grid has more than {} cells: leave out values or an axis",
                        kMaxCells);
    }
    cells *= values.size();
  }
  GridPlan plan;
  plan.axes_ = std::move(axes);
  plan.order_.resize(cells);
  std::iota(plan.order_.begin(), plan.order_.end(), 0U);
  Keyed random(seed, 0, "grid");
  for (std::size_t k = cells - 1; k > 0; --k) std::swap(plan.order_[k], plan.order_[random.below(k + 1)]);
  return plan;
}

std::size_t GridPlan::place(std::size_t cell, std::size_t axis) const {
  for (std::size_t k = 0; k < axis; ++k) cell /= axes_[k].second.size();
  return cell % axes_[axis].second.size();
}

bool GridPlan::ran(const Trials& trials, std::uint32_t trial, std::size_t cell) const {
  if (trials.state(trial) == State::kFailed) return false;
  for (std::size_t axis = 0; axis < axes_.size(); ++axis) {
    const std::uint32_t column = trials.column(axes_[axis].first);
    if (column == Trials::kNoColumn) continue;
    const double value = trials.parameter(trial, column);
    if (!std::isnan(value) && value != axes_[axis].second[place(cell, axis)]) return false;
  }
  return true;
}

std::optional<std::size_t> GridPlan::cell(const Trials& trials, std::size_t trial) {
  if (trial < order_.size()) return order_[trial];
  const std::span<const std::uint32_t> finished = trials.finished_in_order();
  for (; seen_ < finished.size(); ++seen_) {
    const std::uint32_t one = finished[seen_];
    std::size_t planned = 0;
    if (one < order_.size()) {
      planned = order_[one];
    } else if (one - order_.size() < again_.size()) {
      planned = again_[one - order_.size()];
    } else {
      continue;  // it had none
    }
    if (!ran(trials, one, planned)) again_.push_back(static_cast<std::uint32_t>(planned));
  }
  const std::size_t place = trial - order_.size();
  if (place >= again_.size()) return {};
  return again_[place];
}

base::Result<std::unique_ptr<Sampler>> grid_sampler(std::uint64_t seed,
                                                    std::vector<std::pair<std::string, std::vector<double>>> axes) {
  DAYBREAK_ASSIGN(GridPlan plan, GridPlan::make(seed, std::move(axes)));
  return std::make_unique<GridSampler>(std::move(plan));
}

bool brute_force_exhausted(const Trials& trials) {
  std::vector<std::uint32_t> tried;
  for (std::uint32_t one = 0; one < trials.size(); ++one) {
    if (BruteForceSampler::counts(trials, one)) tried.push_back(one);
  }
  return BruteForceSampler::exhausted(trials, tried, 0);
}

std::unique_ptr<Sampler> brute_force_sampler(std::uint64_t seed) {
  return std::make_unique<BruteForceSampler>(seed);
}

std::unique_ptr<Sampler> partial_fixed_sampler(std::unique_ptr<Sampler> base, std::map<std::string, double> fixed) {
  return std::make_unique<PartialFixedSampler>(std::move(base), std::move(fixed));
}

}  // namespace daybreak::tune
