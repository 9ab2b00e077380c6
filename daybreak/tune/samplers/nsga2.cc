#include "daybreak/tune/samplers/nsga2.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "daybreak/tune/hypervolume.h"
#include "daybreak/tune/keyed.h"
#include "daybreak/tune/samplers/niching.h"
#include "daybreak/tune/samplers/spaces.h"

namespace daybreak::tune {
namespace {

constexpr std::uint32_t kMaxNsgaPopulation = 1u << 20;

class Nsga2Sampler final : public Sampler {
 public:
  explicit Nsga2Sampler(const NsgaOptions& options) : options_(options) {}
  explicit Nsga2Sampler(const Nsga3Options& options) : options_(options.nsga), third_(options) {}

  std::vector<Parameter> joint(const Trials& trials, std::size_t) override {
    follow(trials);
    return parents_.empty() ? std::vector<Parameter>() : common_.of(trials);
  }

  base::Result<Sample> sample(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters) override {
    follow(trials);
    if (third_) DAYBREAK_TRY(references(trials.directions().size()));
    Sample found;
    for (const Parameter& parameter : parameters) {
      found.values.push_back(drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution));
    }
    if (!parents_.empty()) bear(trials, trial, parameters, found.values);
    found.note.assign(reinterpret_cast<const char*>(&generation_), sizeof(generation_));
    return found;
  }

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    return drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution);
  }

 private:
  void follow(const Trials& trials) {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; seen_ < finished.size(); ++seen_) {
      const std::uint32_t trial = finished[seen_];
      if (trials.state(trial) != State::kComplete) continue;
      std::uint32_t generation = 0;
      const std::string& note = trials.note(trial);
      if (note.size() == sizeof(generation)) std::memcpy(&generation, note.data(), sizeof(generation));
      if (generation != generation_) continue;
      born_.push_back(trial);
      if (born_.size() < options_.population) continue;
      born_.insert(born_.end(), parents_.begin(), parents_.end());
      parents_ = fittest(trials, std::exchange(born_, {}));
      ++generation_;
    }
  }

  static double violation(const Trials& trials, std::uint32_t trial) {
    return trials.violation(trial) > 0 ? trials.violation(trial) : 0;
  }

  static void add_losses(const Trials& trials, std::uint32_t trial, std::vector<double>& losses) {
    const std::span<const double> values = trials.values(trial);
    for (std::size_t k = 0; k < values.size(); ++k) {
      losses.push_back(trials.directions()[k] == Direction::kMaximize ? -values[k] : values[k]);
    }
  }

  // Fronts of the feasible ones, then the others by violation.
  static std::vector<std::vector<std::uint32_t>> fronts(const Trials& trials, const std::vector<std::uint32_t>& all) {
    std::vector<std::uint32_t> feasible;
    std::vector<std::uint32_t> infeasible;
    std::vector<double> losses;
    for (const std::uint32_t trial : all) {
      (violation(trials, trial) > 0 ? infeasible : feasible).push_back(trial);
      if (violation(trials, trial) == 0) add_losses(trials, trial, losses);
    }
    std::vector<std::vector<std::uint32_t>> found;
    const std::vector<std::uint32_t> ranks = nondomination_ranks(losses, trials.directions().size(), feasible.size());
    for (std::size_t k = 0; k < feasible.size(); ++k) {
      if (ranks[k] >= found.size()) found.resize(ranks[k] + 1);
      found[ranks[k]].push_back(feasible[k]);
    }
    std::ranges::stable_sort(infeasible, {}, [&trials](std::uint32_t one) { return violation(trials, one); });
    double last = 0;
    for (const std::uint32_t trial : infeasible) {
      if (violation(trials, trial) != last) found.emplace_back();
      last = violation(trials, trial);
      found.back().push_back(trial);
    }
    return found;
  }

  std::vector<std::uint32_t> fittest(const Trials& trials, const std::vector<std::uint32_t>& all) const {
    std::vector<std::uint32_t> chosen;
    for (std::vector<std::uint32_t>& front : fronts(trials, all)) {
      if (chosen.size() + front.size() > options_.population) {
        if (add_niched(trials, front, chosen)) break;
        std::vector<double> losses;
        for (const std::uint32_t trial : front) add_losses(trials, trial, losses);
        const std::vector<double> distances = crowding_distances(losses, trials.directions().size());
        std::vector<std::uint32_t> order(front.size());
        std::iota(order.begin(), order.end(), 0U);
        std::ranges::stable_sort(order, std::ranges::greater{}, [&distances](std::uint32_t k) { return distances[k]; });
        order.resize(options_.population - chosen.size());
        for (const std::uint32_t k : order) chosen.push_back(front[k]);
        break;
      }
      chosen.insert(chosen.end(), front.begin(), front.end());
    }
    return chosen;
  }

  // The reference points, row by row.
  base::Result<std::vector<double>> references(std::size_t objectives) const {
    if (third_->references.empty()) return simplex_points(objectives, third_->dividing_parameter);
    std::vector<double> points;
    for (const std::vector<double>& row : third_->references) {
      if (row.size() != objectives) {
        return base::fail(base::Code::kInvalidArgument,
                          "a reference point of {} numbers, and the study has {} objectives", row.size(), objectives);
      }
      points.insert(points.end(), row.begin(), row.end());
    }
    return points;
  }

  // NSGA-III's choice of a front of feasible trials; false: it is not that, or there are no reference points.
  bool add_niched(const Trials& trials, const std::vector<std::uint32_t>& front,
                  std::vector<std::uint32_t>& chosen) const {
    if (!third_ || front.empty() || violation(trials, front.front()) > 0) return false;
    const std::size_t objectives = trials.directions().size();
    const base::Result<std::vector<double>> lines = references(objectives);
    if (!lines) return false;  // sample() has said why
    std::vector<double> losses;
    for (const std::uint32_t trial : chosen) add_losses(trials, trial, losses);
    for (const std::uint32_t trial : front) add_losses(trials, trial, losses);
    const std::size_t before = chosen.size();
    Keyed random(options_.seed, generation_, "nsga3 niches");
    for (const std::uint32_t row : niched(losses, objectives, before, options_.population - before, *lines, random)) {
      chosen.push_back(front[row - before]);
    }
    return true;
  }

  static bool dominates(const Trials& trials, std::uint32_t a, std::uint32_t b) {
    const double of_a = violation(trials, a);
    const double of_b = violation(trials, b);
    if (of_a > 0 || of_b > 0) return of_a < of_b;
    std::vector<double> losses;
    add_losses(trials, a, losses);
    add_losses(trials, b, losses);
    const std::size_t n = losses.size() / 2;
    bool better = false;
    for (std::size_t k = 0; k < n; ++k) {
      if (losses[k] > losses[n + k]) return false;
      better = better || losses[k] < losses[n + k];
    }
    return better;
  }

  // The winner of two, other than `taken`.
  std::uint32_t winner(const Trials& trials, Keyed& random, std::uint32_t taken) const {
    const auto pick = [&] {
      const bool has = std::ranges::find(parents_, taken) != parents_.end() && parents_.size() > 1;
      std::size_t k = random.below(parents_.size() - (has ? 1 : 0));
      if (has && k >= static_cast<std::size_t>(std::ranges::find(parents_, taken) - parents_.begin())) ++k;
      return parents_[k];
    };
    const std::uint32_t first = pick();
    const std::uint32_t second = pick();
    return dominates(trials, first, second) ? first : second;
  }

  // Values that stay NaN, of a parent that lacks them too, are left as they were drawn.
  void bear(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters,
            std::vector<double>& values) const {
    Keyed random(options_.seed, trial, "nsga2");
    std::vector<double> child(parameters.size(), Trials::kAbsent);
    if (random.uniform() < options_.crossover_probability) {
      const std::uint32_t first = winner(trials, random, ~0U);
      const std::uint32_t second = winner(trials, random, first);
      cross(trials, first, second, parameters, random, child);
    } else {
      const std::uint32_t parent = parents_[random.below(parents_.size())];
      for (std::size_t k = 0; k < parameters.size(); ++k) child[k] = trials.parameter(parent, parameters[k].column);
    }
    const double mutation =
        options_.mutation_probability.value_or(1 / std::max(1.0, static_cast<double>(parameters.size())));
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      const bool mutates = random.uniform() < mutation;
      if (!mutates && !std::isnan(child[k])) values[k] = parameters[k].distribution.nearest(child[k]);
    }
  }

  void cross(const Trials& trials, std::uint32_t first, std::uint32_t second, std::span<const Parameter> parameters,
             Keyed& random, std::vector<double>& child) const {
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      double a = trials.parameter(first, parameters[k].column);
      double b = trials.parameter(second, parameters[k].column);
      if (std::isnan(a)) a = b;
      if (std::isnan(b)) b = a;
      const Distribution& distribution = parameters[k].distribution;
      const bool swaps = random.uniform() < options_.swapping_probability;
      if (options_.crossover == NsgaCrossover::kUniform || distribution.categorical() || std::isnan(a)) {
        child[k] = swaps ? b : a;
      } else {
        child[k] = blended(distribution, a, b, trials.directions().size() > 1 ? 20 : 2, random);
      }
    }
  }

  // One of the two children of the numbers, near a parent the more `eta` is, within the bounds.
  static double blended(const Distribution& distribution, double a, double b, double eta, Keyed& random) {
    const auto [low, high] = distribution.inner_bounds();
    const double x = std::clamp(distribution.to_inner(std::min(a, b)), low, high);
    const double y = std::clamp(distribution.to_inner(std::max(a, b)), low, high);
    const double gap = std::max(y - x, 1e-10);
    const double u = random.uniform();
    const auto spread = [eta, u](double beta) {
      const double alpha = 2 - std::pow(beta, -(eta + 1));
      return u <= 1 / alpha ? std::pow(u * alpha, 1 / (eta + 1)) : std::pow(1 / (2 - u * alpha), 1 / (eta + 1));
    };
    const double left = 0.5 * ((x + y) - spread(1 + 2 * (x - low) / gap) * gap);
    const double right = 0.5 * ((x + y) + spread(1 + 2 * (high - y) / gap) * gap);
    const bool crosses = random.uniform() < 0.5;
    const bool takes_left = random.uniform() < 0.5;
    const double bred = takes_left ? left : right;
    return distribution.from_inner(std::clamp(crosses ? bred : (takes_left ? x : y), low, high));
  }

  NsgaOptions options_;
  std::optional<Nsga3Options> third_ = {};
  CommonSpace common_{false};
  std::size_t seen_ = 0;
  std::uint32_t generation_ = 0;
  std::vector<std::uint32_t> born_;     // complete ones of this generation
  std::vector<std::uint32_t> parents_;  // of it
};

base::Status check_probability(std::string_view name, double value) {
  if (value >= 0 && value <= 1) return {};
  return base::fail(base::Code::kInvalidArgument, "{}={}: 0 to 1", name, value);
}

}  // namespace

base::Result<std::unique_ptr<Sampler>> nsga2_sampler(const NsgaOptions& options) {
  if (options.population < 2 || options.population > kMaxNsgaPopulation) {
    return base::fail(base::Code::kInvalidArgument, "population_size={}: 2 to {}", options.population,
                      kMaxNsgaPopulation);
  }
  DAYBREAK_TRY(check_probability("mutation_prob", options.mutation_probability.value_or(0)));
  DAYBREAK_TRY(check_probability("crossover_prob", options.crossover_probability));
  DAYBREAK_TRY(check_probability("swapping_prob", options.swapping_probability));
  return std::make_unique<Nsga2Sampler>(options);
}

base::Result<std::unique_ptr<Sampler>> nsga3_sampler(const Nsga3Options& options) {
  DAYBREAK_TRY(nsga2_sampler(options.nsga));
  if (options.dividing_parameter < 1)
    return base::fail(base::Code::kInvalidArgument, "dividing_parameter=0: at least 1");
  if (options.references.size() > kMaxReferencePoints) {
    return base::fail(base::Code::kInvalidArgument, "{} reference points: at most {}", options.references.size(),
                      kMaxReferencePoints);
  }
  for (const std::vector<double>& row : options.references) {
    const bool usable = std::ranges::all_of(row, [](double x) { return x >= 0 && std::isfinite(x); }) &&
                        std::ranges::any_of(row, [](double x) { return x > 0; });
    if (!usable) {
      return base::fail(base::Code::kInvalidArgument,
                        "a reference point [{}]: finite numbers, none negative and not all of them 0",
                        fmt::join(row, ", "));
    }
  }
  return std::make_unique<Nsga2Sampler>(options);
}

}  // namespace daybreak::tune
