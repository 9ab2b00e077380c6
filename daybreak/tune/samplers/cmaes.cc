#include "daybreak/tune/samplers/cmaes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/tune/samplers/cma.h"
#include "daybreak/tune/samplers/spaces.h"

namespace daybreak::tune {
namespace {

constexpr std::uint32_t kMaxPopulation = 1u << 20;

// What a trial's note holds, before the unrounded point if there is a margin.
struct CmaesNote {
  std::uint64_t space = 0;
  std::uint32_t run = 0;
  std::uint32_t generation = 0;
};

// The runs over one space.
struct CmaesRuns {
  std::vector<Parameter> parameters;  // numbers
  std::uint64_t space = 0;
  std::uint32_t run = 0;
  Cma cma;
  std::vector<Cma::Solution> told = {};
  std::size_t seen = 0;           // of the finished
  std::size_t large = 0;          // restarts with larger populations
  std::uint64_t spent_large = 0;  // evaluations
  std::uint64_t spent_small = 0;
  bool small = false;
};

class CmaesSampler final : public Sampler {
 public:
  explicit CmaesSampler(const CmaesOptions& options) : options_(options) {}

  std::vector<Parameter> joint(const Trials& trials, std::size_t) override {
    if (trials.directions().size() != 1) return {};
    std::vector<Parameter> space = common_.of(trials);
    std::erase_if(space, [](const Parameter& parameter) { return parameter.distribution.categorical(); });
    return complete(trials) < options_.startup_trials ? std::vector<Parameter>() : space;
  }

  base::Result<Sample> sample(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters) override {
    DAYBREAK_TRY(check(trials));
    Sample found;
    std::vector<Parameter> numbers;
    for (const Parameter& parameter : parameters) {
      found.values.push_back(drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution));
      if (!parameter.distribution.categorical() && !parameter.distribution.single()) numbers.push_back(parameter);
    }
    if (numbers.empty() || complete(trials) < options_.startup_trials) return found;
    follow(trials, numbers);
    Keyed random(options_.seed, trial, "cmaes");
    const std::vector<double> point = runs_->cma.drawn(random);
    const std::vector<double> rounded = runs_->cma.on_steps(point);
    for (std::size_t k = 0, i = 0; k < parameters.size(); ++k) {
      if (i == numbers.size() || parameters[k].column != numbers[i].column) continue;
      found.values[k] = value_at(numbers[i].distribution, rounded[i]);
      ++i;
    }
    const CmaesNote note = {
        .space = runs_->space, .run = runs_->run, .generation = static_cast<std::uint32_t>(runs_->cma.generation())};
    found.note.assign(reinterpret_cast<const char*>(&note), sizeof(note));
    if (options_.with_margin) {
      found.note.append(reinterpret_cast<const char*>(point.data()), point.size() * sizeof(double));
    }
    return found;
  }

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    DAYBREAK_TRY(check(trials));
    return drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution);
  }

 private:
  static base::Status check(const Trials& trials) {
    if (trials.directions().size() == 1) return {};
    return base::fail(base::Code::kFailedPrecondition,
                      "CMA-ES has one objective and the study {}: take nsga2 or tpe for several",
                      trials.directions().size());
  }

  std::size_t complete(const Trials& trials) {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; counted_ < finished.size(); ++counted_) {
      complete_ += trials.state(finished[counted_]) == State::kComplete ? 1 : 0;
    }
    return complete_;
  }

  // With a margin steps lie in [0, 1] themselves; else each has as much room as the others.
  bool stepped(const Distribution& distribution) const {
    return options_.with_margin && distribution.step() > 0 && !distribution.log();
  }
  double value_at(const Distribution& distribution, double x) const {
    if (stepped(distribution))
      return distribution.nearest(distribution.low() + x * (distribution.high() - distribution.low()));
    const auto [low, high] = distribution.inner_bounds();
    return distribution.from_inner(low + x * (high - low));
  }
  double coordinate_of(const Distribution& distribution, double value) const {
    const auto [low, high] = distribution.inner_bounds();
    return (distribution.to_inner(value) - low) / (high - low);
  }

  static std::uint64_t hash_of(const Trials& trials, const std::vector<Parameter>& parameters) {
    std::string text;
    for (const Parameter& parameter : parameters) {
      text += trials.name(parameter.column) + '\0' + parameter.distribution.to_string() + '\0';
    }
    return Keyed(0, 0, text).next();
  }

  Cma started(const std::vector<Parameter>& parameters, std::uint32_t run, std::size_t population, double sigma) const {
    std::vector<double> mean(parameters.size(), 0.5);
    std::vector<double> steps;
    Keyed random(options_.seed, run, "cmaes restart");
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      if (run > 0) mean[k] = random.uniform();
      const Distribution& distribution = parameters[k].distribution;
      if (options_.with_margin) {
        steps.push_back(stepped(distribution) ? distribution.step() / (distribution.high() - distribution.low()) : 0);
      }
    }
    return {std::move(mean), sigma, population, std::move(steps)};
  }

  std::size_t population(std::size_t dims) const {
    return options_.population ? *options_.population : Cma::default_population(dims);
  }

  void follow(const Trials& trials, const std::vector<Parameter>& parameters) {
    const bool same =
        runs_ && std::ranges::equal(runs_->parameters, parameters, [](const Parameter& a, const Parameter& b) {
          return a.column == b.column && a.distribution == b.distribution;
        });
    if (!same) {
      runs_.emplace(CmaesRuns{.parameters = parameters,
                              .space = hash_of(trials, parameters),
                              .cma = started(parameters, 0, population(parameters.size()), 1.0 / 6)});
    }
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; runs_->seen < finished.size(); ++runs_->seen) add(trials, finished[runs_->seen]);
  }

  void add(const Trials& trials, std::uint32_t trial) {
    CmaesRuns& runs = *runs_;
    const std::string& bytes = trials.note(trial);
    CmaesNote note;
    if (trials.state(trial) != State::kComplete || bytes.size() < sizeof(note)) return;
    std::memcpy(&note, bytes.data(), sizeof(note));
    if (note.space != runs.space || note.run != runs.run || note.generation != runs.cma.generation()) return;
    const std::size_t dims = runs.parameters.size();
    Cma::Solution solution = {.point = std::vector<double>(dims), .loss = trials.values(trial)[0]};
    if (trials.directions()[0] == Direction::kMaximize) solution.loss = -solution.loss;
    if (options_.with_margin) {
      if (bytes.size() != sizeof(note) + dims * sizeof(double)) return;
      std::memcpy(solution.point.data(), bytes.data() + sizeof(note), dims * sizeof(double));
    } else {
      for (std::size_t k = 0; k < dims; ++k) {
        const double value = trials.parameter(trial, runs.parameters[k].column);
        if (std::isnan(value)) return;
        solution.point[k] = coordinate_of(runs.parameters[k].distribution, value);
      }
    }
    runs.told.push_back(std::move(solution));
    if (runs.told.size() < runs.cma.population()) return;
    (runs.small ? runs.spent_small : runs.spent_large) += runs.told.size();
    runs.cma.tell(std::exchange(runs.told, {}));
    if (options_.restarts != CmaRestarts::kNone && runs.cma.done()) restart(runs);
  }

  void restart(CmaesRuns& runs) const {
    ++runs.run;
    const std::size_t first = population(runs.parameters.size());
    runs.small = options_.restarts == CmaRestarts::kBipop && runs.spent_small < runs.spent_large && runs.large > 0;
    if (!runs.small) ++runs.large;
    const double largest = std::min(static_cast<double>(first) * std::exp2(static_cast<double>(runs.large)),
                                    static_cast<double>(kMaxPopulation));
    double sigma = 1.0 / 6;
    double size = largest;
    if (runs.small) {
      Keyed random(options_.seed, runs.run, "cmaes small");
      const double u = random.uniform();
      size = static_cast<double>(first) * std::pow(largest / static_cast<double>(first) / 2, u * u);
      sigma *= std::pow(10, -2 * random.uniform());
    }
    runs.cma = started(runs.parameters, runs.run, static_cast<std::size_t>(size), sigma);
  }

  CmaesOptions options_;
  CommonSpace common_{false};
  std::size_t counted_ = 0;
  std::size_t complete_ = 0;
  std::optional<CmaesRuns> runs_;
};

}  // namespace

base::Result<std::unique_ptr<Sampler>> cmaes_sampler(const CmaesOptions& options) {
  if (options.population && (*options.population < 4 || *options.population > kMaxPopulation)) {
    return base::fail(base::Code::kInvalidArgument,
                      "popsize={}: 4 to {}; with fewer the good ones of a generation say too little",
                      *options.population, kMaxPopulation);
  }
  return std::make_unique<CmaesSampler>(options);
}

}  // namespace daybreak::tune
