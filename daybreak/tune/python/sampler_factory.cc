// What a study of ours is given as its sampler.
#include "daybreak/tune/python/sampler_factory.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/bind.h"
#include "daybreak/tune/samplers/cmaes.h"
#include "daybreak/tune/samplers/exhaustive.h"
#include "daybreak/tune/samplers/gp_sampler.h"
#include "daybreak/tune/samplers/nsga2.h"
#include "daybreak/tune/samplers/qmc.h"
#include "daybreak/tune/samplers/tpe.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using nb::literals::operator""_a;
using Seed = std::optional<std::uint64_t>;
using tune::SamplerFactory;

namespace {

// Of options that are checked now, so that making one for a study cannot fail.
template <typename Options>
SamplerFactory factory_of(base::Result<std::unique_ptr<tune::Sampler>> (*make)(const Options&), Options options,
                          Seed seed) {
  base::value_or_raise(make(options));
  return {[make, options, seed](std::uint64_t of_study) mutable {
    options.seed = seed.value_or(of_study);
    return std::move(*make(options));
  }};
}

tune::CmaRestarts restarts_of(const std::optional<std::string>& name) {
  if (!name) return tune::CmaRestarts::kNone;
  if (*name == "ipop") return tune::CmaRestarts::kIpop;
  if (*name == "bipop") return tune::CmaRestarts::kBipop;
  base::raise(base::Error(base::Code::kInvalidArgument, "restarts='" + *name + "': 'ipop', 'bipop' or None"));
}

// `name` is one of two: whether it is the second.
bool is_second(const char* what, const std::string& name, const char* first, const char* second) {
  if (name == first || name == second) return name == second;
  base::raise(base::Error(base::Code::kInvalidArgument,
                          std::string(what) + "='" + name + "': '" + first + "' or '" + second + "'"));
}

void bind_model_factories(nb::class_<SamplerFactory>& factory) {
  factory
      .def_static(
          "tpe",
          [](std::uint32_t startup_trials, std::uint32_t candidates, std::optional<bool> multivariate, bool group,
             bool constant_liar, Seed seed) {
            return factory_of(&tune::tpe_sampler,
                              tune::TpeOptions{.startup_trials = startup_trials,
                                               .candidates = candidates,
                                               .multivariate = multivariate,
                                               .group = group,
                                               .constant_liar = constant_liar},
                              seed);
          },
          "startup_trials"_a = 10, "candidates"_a = 24, "multivariate"_a = nb::none(), "group"_a = false,
          "constant_liar"_a = true, "seed"_a = nb::none(), "The tree-structured Parzen estimator.")
      .def_static(
          "gp",
          [](std::uint32_t startup_trials, Seed seed) {
            return factory_of(&tune::gp_sampler, tune::GpOptions{.startup_trials = startup_trials}, seed);
          },
          "startup_trials"_a = 10, "seed"_a = nb::none(), "A Gaussian process: one objective, few trials.")
      .def_static(
          "cmaes",
          [](std::uint32_t startup_trials, std::optional<std::uint32_t> population, bool with_margin,
             const std::optional<std::string>& restarts, Seed seed) {
            return factory_of(&tune::cmaes_sampler,
                              tune::CmaesOptions{.startup_trials = startup_trials,
                                                 .population = population,
                                                 .with_margin = with_margin,
                                                 .restarts = restarts_of(restarts)},
                              seed);
          },
          "startup_trials"_a = 1, "population"_a = nb::none(), "with_margin"_a = false, "restarts"_a = nb::none(),
          "seed"_a = nb::none(), "CMA-ES over the numbers; restarts: None, 'ipop' or 'bipop'.")
      .def_static(
          "nsga2",
          [](std::uint32_t population, std::optional<double> mutation_prob, double crossover_prob, double swapping_prob,
             const std::string& crossover, Seed seed) {
            const bool sbx = is_second("crossover", crossover, "uniform", "sbx");
            return factory_of(
                &tune::nsga2_sampler,
                tune::NsgaOptions{.population = population,
                                  .mutation_probability = mutation_prob,
                                  .crossover_probability = crossover_prob,
                                  .swapping_probability = swapping_prob,
                                  .crossover = sbx ? tune::NsgaCrossover::kSbx : tune::NsgaCrossover::kUniform},
                seed);
          },
          "population"_a = 50, "mutation_prob"_a = nb::none(), "crossover_prob"_a = 0.9, "swapping_prob"_a = 0.5,
          "crossover"_a = "uniform", "seed"_a = nb::none(), "NSGA-II, for one objective or several.");
}

void bind_nsga3_factory(nb::class_<SamplerFactory>& factory) {
  factory.def_static(
      "nsga3",
      [](std::uint32_t population, std::uint32_t dividing_parameter, const std::vector<std::vector<double>>& references,
         const std::string& crossover, Seed seed) {
        const bool sbx = is_second("crossover", crossover, "uniform", "sbx");
        const tune::Nsga3Options options = {
            .nsga = {.population = population,
                     .crossover = sbx ? tune::NsgaCrossover::kSbx : tune::NsgaCrossover::kUniform},
            .dividing_parameter = dividing_parameter,
            .references = references};
        base::value_or_raise(tune::nsga3_sampler(options));
        return SamplerFactory{[options, seed](std::uint64_t of_study) {
          tune::Nsga3Options own = options;
          own.nsga.seed = seed.value_or(of_study);
          return std::move(*tune::nsga3_sampler(own));
        }};
      },
      "population"_a = 50, "dividing_parameter"_a = 3, "references"_a = std::vector<std::vector<double>>(),
      "crossover"_a = "uniform", "seed"_a = nb::none(),
      "NSGA-III, for three objectives and more: keeps to lines through reference points.");
}

}  // namespace

void bind_sampler_factory(nb::module_& m) {
  nb::class_<SamplerFactory> factory(m, "SamplerFactory", "Makes a study's sampler, of its seed.");
  factory.def(
      "made", [](const SamplerFactory& self, std::uint64_t seed) { return self.make(seed); }, "seed"_a,
      "One for trials that are kept elsewhere (TrialMirror).");
  factory.def_static(
      "random",
      [](Seed seed) {
        return SamplerFactory{
            [seed](std::uint64_t of_study) { return tune::random_sampler({.seed = seed.value_or(of_study)}); }};
      },
      "seed"_a = nb::none());
  bind_model_factories(factory);
  bind_nsga3_factory(factory);
  factory
      .def_static(
          "qmc",
          [](const std::string& sequence, bool scramble, Seed seed) {
            const bool halton = is_second("sequence", sequence, "sobol", "halton");
            return factory_of(
                &tune::qmc_sampler,
                tune::QmcOptions{.sequence = halton ? tune::QmcSequence::kHalton : tune::QmcSequence::kSobol,
                                 .scramble = scramble},
                seed);
          },
          "sequence"_a = "sobol", "scramble"_a = false, "seed"_a = nb::none(), "Sobol's sequence or Halton's.")
      .def_static(
          "grid",
          [](const std::vector<std::pair<std::string, std::vector<double>>>& axes, Seed seed) {
            base::value_or_raise(tune::grid_sampler(0, axes));
            return SamplerFactory{[axes, seed](std::uint64_t of_study) {
              return std::move(*tune::grid_sampler(seed.value_or(of_study), axes));
            }};
          },
          "axes"_a, "seed"_a = nb::none(), "(name, values) each: every cell once. Options are given as their indices.")
      .def_static(
          "brute_force",
          [](Seed seed) {
            return SamplerFactory{
                [seed](std::uint64_t of_study) { return tune::brute_force_sampler(seed.value_or(of_study)); }};
          },
          "seed"_a = nb::none(), "Every combination of steps, whole numbers and options once.");
}
