#include "daybreak/tune/samplers/gp_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "daybreak/tune/gp.h"
#include "daybreak/tune/samplers/qmc.h"
#include "daybreak/tune/samplers/spaces.h"
#include "daybreak/tune/samplers/tpe.h"

namespace daybreak::tune {
namespace {

constexpr std::uint32_t kGpCandidates = 2'048;
constexpr std::size_t kGpClimbs = 10;
constexpr std::uint64_t kFewValues = 16;  // so many are all tried
constexpr int kGpRounds = 20;             // of continuous and discrete climbing in turn

// The parameters as coordinates.
struct GpSpace {
  std::span<const Parameter> parameters;

  bool continuous(std::size_t k) const { return parameters[k].distribution.count() == 0; }
  double coordinate(std::size_t k, double value) const {
    const Distribution& distribution = parameters[k].distribution;
    if (distribution.categorical()) return value;
    const auto [low, high] = distribution.inner_bounds();
    return (distribution.to_inner(value) - low) / (high - low);
  }
  double value(std::size_t k, double x) const {
    const Distribution& distribution = parameters[k].distribution;
    if (distribution.categorical()) return distribution.nearest(x);
    const auto [low, high] = distribution.inner_bounds();
    return distribution.from_inner(low + std::clamp(x, 0.0, 1.0) * (high - low));
  }
  // The share u of the distribution, as a coordinate on its values.
  double at_share(std::size_t k, double u) const {
    const Distribution& distribution = parameters[k].distribution;
    if (distribution.categorical()) return std::floor(u * static_cast<double>(distribution.count()));
    return continuous(k) ? u : coordinate(k, value(k, u));
  }
};

// Climbs from a point to a local maximum: continuous coordinates by gradients, each other one through its values.
class GpClimb {
 public:
  GpClimb(const Gp& gp, const GpSpace& space, double best) : gp_(gp), space_(space), best_(best) {}

  double climb(std::vector<double>& point) const {
    double value = gp_.improvement(point, best_, {});
    for (int round = 0; round < kGpRounds; ++round) {
      bool better = continuous(point, value);
      bool only_continuous = true;
      for (std::size_t k = 0; k < point.size(); ++k) {
        if (space_.continuous(k)) continue;
        only_continuous = false;
        if (discrete(k, point, value)) better = true;
      }
      if (!better || only_continuous) break;
    }
    return value;
  }

 private:
  bool continuous(std::vector<double>& point, double& value) const {
    std::vector<std::size_t> free;
    std::vector<double> scales;  // distances are equal in these units
    for (std::size_t k = 0; k < point.size(); ++k) {
      if (!space_.continuous(k)) continue;
      free.push_back(k);
      scales.push_back(1 / std::sqrt(gp_.parameters().inverse_squared_scales[k]));
    }
    if (free.empty()) return false;
    std::vector<double> x;
    std::vector<double> high;
    for (std::size_t i = 0; i < free.size(); ++i) {
      x.push_back(point[free[i]] / scales[i]);
      high.push_back(1 / scales[i]);
    }
    const std::vector<double> low(free.size());
    std::vector<double> at = point;
    std::vector<double> slopes(point.size());
    const double found = -minimized(
        [&](std::span<const double> moved, std::span<double> gradient) {
          for (std::size_t i = 0; i < free.size(); ++i) at[free[i]] = std::clamp(moved[i] * scales[i], 0.0, 1.0);
          const double improvement = gp_.improvement(at, best_, slopes);
          for (std::size_t i = 0; i < free.size(); ++i) gradient[i] = -slopes[free[i]] * scales[i];
          return -improvement;
        },
        x, low, high, 100, 1e-2, 1e-4);
    if (!(found > value)) return false;
    for (std::size_t i = 0; i < free.size(); ++i) point[free[i]] = std::clamp(x[i] * scales[i], 0.0, 1.0);
    const bool clearly = found > value + 1e-6;
    value = found;
    return clearly;
  }

  bool discrete(std::size_t k, std::vector<double>& point, double& value) const {
    const Distribution& distribution = space_.parameters[k].distribution;
    const double now = space_.value(k, point[k]);
    bool better = false;
    const auto consider = [&](double candidate) {
      if (candidate == now || !distribution.contains(candidate)) return;
      std::vector<double> moved = point;
      moved[k] = space_.coordinate(k, candidate);
      const double found = gp_.improvement(moved, best_, {});
      if (!(found > value)) return;
      value = found;
      point = std::move(moved);
      better = true;
    };
    const std::uint64_t count = distribution.count();
    if (distribution.categorical() || count <= kFewValues) {
      for (std::uint64_t i = 0; i < count; ++i) {
        consider(distribution.nearest(distribution.low() + static_cast<double>(i) * distribution.step()));
      }
      return better;
    }
    for (double step = distribution.step(); step <= distribution.high() - distribution.low(); step *= 2) {
      consider(distribution.nearest(now + step));
      consider(distribution.nearest(now - step));
    }
    return better;
  }

  const Gp& gp_;
  const GpSpace& space_;
  double best_;
};

class GpSampler final : public Sampler {
 public:
  explicit GpSampler(const GpOptions& options) : options_(options) {}

  std::vector<Parameter> joint(const Trials& trials, std::size_t) override {
    if (trials.directions().size() != 1 || complete(trials) < options_.startup_trials) return {};
    return common_.of(trials);
  }

  base::Result<Sample> sample(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters) override {
    DAYBREAK_TRY(check(trials));
    Sample found;
    for (const Parameter& parameter : parameters) {
      found.values.push_back(drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution));
    }
    if (!parameters.empty() && complete(trials) >= options_.startup_trials) {
      DAYBREAK_TRY(suggest(trials, trial, parameters, found.values));
    }
    found.note = note_of_values(parameters, found.values);
    return found;
  }

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    DAYBREAK_TRY(check(trials));
    return drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution);
  }

 private:
  base::Status check(const Trials& trials) const {
    if (trials.directions().size() != 1) {
      return base::fail(base::Code::kFailedPrecondition,
                        "the Gaussian process has one objective and the study {}: take nsga2 or tpe for several",
                        trials.directions().size());
    }
    return {};
  }

  std::size_t complete(const Trials& trials) {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; counted_ < finished.size(); ++counted_) {
      complete_ += trials.state(finished[counted_]) == State::kComplete ? 1 : 0;
    }
    return complete_;
  }

  static bool point_of(const Trials& trials, std::uint32_t trial, const GpSpace& space, std::vector<double>& points) {
    const std::size_t before = points.size();
    for (std::size_t k = 0; k < space.parameters.size(); ++k) {
      double value = trials.parameter(trial, space.parameters[k].column);
      if (std::isnan(value) && trials.state(trial) == State::kRunning) {
        value = value_in_note(trials.note(trial), space.parameters[k].column);
      }
      if (std::isnan(value)) {
        points.resize(before);
        return false;
      }
      points.push_back(space.coordinate(k, value));
    }
    return true;
  }

  // Infinite values count as the worst or best finite one; all get mean 0 and deviation 1, more being better.
  static void standardize(std::vector<double>& values) {
    double least = std::numeric_limits<double>::infinity();
    double most = -least;
    for (const double value : values) {
      if (!std::isfinite(value)) continue;
      least = std::min(least, value);
      most = std::max(most, value);
    }
    if (!(most >= least)) least = most = 0;
    double mean = 0;
    for (double& value : values) {
      value = std::clamp(value, least, most);
      mean += value / static_cast<double>(values.size());
    }
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(values.size()));
    for (double& value : values) value = deviation > 1e-10 ? (value - mean) / deviation : 0;
  }

  base::Status suggest(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters,
                       std::vector<double>& suggestion) {
    const GpSpace space = {.parameters = parameters};
    std::vector<double> points;
    std::vector<double> values;
    std::vector<bool> categorical;
    for (const Parameter& parameter : parameters) categorical.push_back(parameter.distribution.categorical());
    const double sign = trials.directions()[0] == Direction::kMaximize ? 1 : -1;
    std::vector<std::uint32_t> running;
    for (std::uint32_t one = 0; one < trials.size(); ++one) {
      if (trials.state(one) == State::kRunning && one != trial) running.push_back(one);
      if (trials.state(one) != State::kComplete || !point_of(trials, one, space, points)) continue;
      if (trials.violation(one) > 0) {
        return base::fail(base::Code::kFailedPrecondition,
                          "trial {} violates a constraint, which the Gaussian process does not take: take tpe or nsga2",
                          one);
      }
      values.push_back(sign * trials.values(one)[0]);
    }
    if (values.size() < 2) return {};
    standardize(values);
    const std::size_t best = static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
    const double threshold = values[best];
    const auto incumbent = points.begin() + static_cast<std::ptrdiff_t>(best * parameters.size());
    std::vector<double> start(incumbent, incumbent + static_cast<std::ptrdiff_t>(parameters.size()));
    Gp gp(std::move(points), std::move(values), std::move(categorical));
    // From the same start each time: what is suggested is a function of the trials.
    const GpParameters initial = {.inverse_squared_scales = std::vector<double>(parameters.size(), 1)};
    if (!gp.fit(initial) && !gp.condition(initial)) return {};  // as drawn
    for (const std::uint32_t one : running) {
      std::vector<double> pending;
      if (point_of(trials, one, space, pending) && !gp.believe(pending)) break;
    }
    DAYBREAK_ASSIGN(const std::vector<double> found, highest(gp, space, threshold, trial, std::move(start)));
    for (std::size_t k = 0; k < parameters.size(); ++k) suggestion[k] = space.value(k, found[k]);
    return {};
  }

  base::Result<std::vector<double>> highest(const Gp& gp, const GpSpace& space, double threshold, std::size_t trial,
                                            std::vector<double> incumbent) const {
    Keyed random(options_.seed, trial, "gp");
    const QmcOptions sequence = {.seed = random.next(), .scramble = true};
    std::vector<std::vector<double>> starts;
    std::vector<double> points;
    for (std::uint32_t k = 0; k < kGpCandidates; ++k) {
      DAYBREAK_ASSIGN(std::vector<double> point, qmc_point(sequence, k, space.parameters.size()));
      for (std::size_t d = 0; d < point.size(); ++d) point[d] = space.at_share(d, point[d]);
      points.insert(points.end(), point.begin(), point.end());
      starts.push_back(std::move(point));
    }
    std::vector<double> improvements(kGpCandidates);
    gp.improvements(points, threshold, improvements);
    // The best one, others as likely as they are good, and where the best value was.
    const double most = *std::ranges::max_element(improvements);
    std::vector<double> keys;
    for (const double improvement : improvements) {
      const double race = improvement == most ? 1e300 : improvement - most - std::log(-std::log(1 - random.uniform()));
      keys.push_back(race);
    }
    std::vector<std::size_t> order(starts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::partial_sort(order, order.begin() + kGpClimbs, std::ranges::greater{},
                              [&](std::size_t k) { return keys[k]; });
    const GpClimb climber(gp, space, threshold);
    double highest = climber.climb(incumbent);
    for (std::size_t k = 0; k + 1 < kGpClimbs; ++k) {
      std::vector<double>& point = starts[order[k]];
      const double value = climber.climb(point);
      if (!(value > highest)) continue;
      highest = value;
      incumbent = point;
    }
    return incumbent;
  }

  GpOptions options_;
  CommonSpace common_{false};
  std::size_t counted_ = 0;
  std::size_t complete_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<Sampler>> gp_sampler(const GpOptions& options) {
  return std::make_unique<GpSampler>(options);
}

}  // namespace daybreak::tune
