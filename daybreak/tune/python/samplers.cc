// Samplers over a mirror of somebody else's trials: what the faces that keep their trials elsewhere (Optuna's storages) ask.
#include "daybreak/tune/python/samplers.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/bind.h"
#include "daybreak/tune/hypervolume.h"
#include "daybreak/tune/parzen.h"
#include "daybreak/tune/sampler.h"
#include "daybreak/tune/samplers/bohb.h"
#include "daybreak/tune/samplers/cma.h"
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
using tune::Distribution;
using tune::python::Mirror;

namespace {

using Named = std::vector<std::pair<std::string, Distribution>>;

std::vector<tune::Parameter> parameters_of(Mirror& mirror, const Named& named) {
  std::vector<tune::Parameter> found;
  found.reserve(named.size());
  for (const auto& [name, distribution] : named) {
    found.push_back({.column = mirror.trials.add_column(name), .distribution = distribution});
  }
  return found;
}

// All that a trial needs at once.
base::Result<std::vector<double>> suggested(tune::Sampler& sampler, tune::Trials& trials, std::size_t trial,
                                            const std::vector<tune::Parameter>& parameters) {
  const std::vector<tune::Parameter> joint = sampler.joint(trials, trial);
  tune::Sampler::Sample together;
  if (!joint.empty()) {
    DAYBREAK_ASSIGN(together, sampler.sample(trials, trial, joint));
    if (!together.note.empty()) DAYBREAK_TRY(trials.set_note(trial, std::move(together.note)));
  }
  std::vector<double> values;
  values.reserve(parameters.size());
  for (const tune::Parameter& parameter : parameters) {
    const auto found = std::ranges::find_if(joint, [&parameter](const tune::Parameter& one) {
      return one.column == parameter.column && one.distribution == parameter.distribution;
    });
    double value = 0;
    if (found != joint.end()) {
      value = together.values[static_cast<std::size_t>(found - joint.begin())];
    } else {
      DAYBREAK_ASSIGN(value, sampler.sample_one(trials, trial, parameter));
    }
    DAYBREAK_TRY(trials.give(trial, parameter.column, value, parameter.distribution));
    values.push_back(value);
  }
  return values;
}

void bind_mirror(nb::module_& m) {
  nb::class_<Mirror>(m, "TrialMirror",
                     "What samplers and pruners know of trials that are kept elsewhere. One thread at a time.")
      .def(
          "__init__",
          [](Mirror* self, const std::vector<int>& directions) {
            std::vector<tune::Direction> known;
            for (const int direction : directions) {
              if (direction < 0 || direction > 2) {
                base::raise(base::Error(base::Code::kInvalidArgument,
                                        "directions are 1 to minimize and 2 to maximize (0: not set)"));
              }
              known.push_back(static_cast<tune::Direction>(direction));
            }
            if (known.empty())
              base::raise(base::Error(base::Code::kInvalidArgument, "no directions: give at least one"));
            new (self) Mirror{tune::Trials(std::move(known))};
          },
          "directions"_a)
      .def("__len__", [](const Mirror& self) { return self.trials.size(); })
      .def(
          "add", [](Mirror& self, int state) { return self.trials.add(static_cast<tune::State>(state)); }, "state"_a,
          "The new trial's number.")
      .def(
          "give",
          [](Mirror& self, std::size_t trial, const std::string& name, double value, const Distribution& distribution) {
            base::value_or_raise(self.trials.give(trial, self.trials.add_column(name), value, distribution, true));
          },
          "trial"_a, "name"_a, "value"_a, "distribution"_a)
      .def(
          "report",
          [](Mirror& self, std::size_t trial, std::int64_t step, double value) {
            base::value_or_raise(self.trials.report(trial, step, value));
          },
          "trial"_a, "step"_a, "value"_a)
      .def(
          "constrain",
          [](Mirror& self, std::size_t trial, double violation) {
            base::value_or_raise(self.trials.constrain(trial, violation));
          },
          "trial"_a, "violation"_a)
      .def(
          "note",
          [](Mirror& self, std::size_t trial, const nb::bytes& note) {
            base::value_or_raise(self.trials.set_note(trial, std::string(note.c_str(), note.size())));
          },
          "trial"_a, "note"_a)
      .def(
          "about_to_use",
          [](Mirror& self, std::size_t trial, const Named& named, const std::vector<double>& values) {
            if (named.size() != values.size()) {
              base::raise(base::Error(base::Code::kInvalidArgument, "as many values as names are needed"));
            }
            const std::vector<tune::Parameter> parameters = parameters_of(self, named);
            base::value_or_raise(self.trials.set_note(trial, tune::note_of_values(parameters, values)));
          },
          "trial"_a, "parameters"_a, "values"_a, "What a running trial will use once it asks.")
      .def(
          "move",
          [](Mirror& self, std::size_t trial, int state, const std::vector<double>& values) {
            base::value_or_raise(self.trials.move(trial, static_cast<tune::State>(state), values));
          },
          "trial"_a, "state"_a, "values"_a)
      .def(
          "state", [](const Mirror& self, std::size_t trial) { return static_cast<int>(self.trials.state(trial)); },
          "trial"_a);
}

void bind_sampler_class(nb::module_& m) {
  nb::class_<tune::Sampler>(m, "Sampler",
                            "Where to look next: a function of a seed, the trial's number and the trials.")
      .def(
          "joint",
          [](tune::Sampler& self, const Mirror& mirror, std::size_t trial) {
            Named named;
            for (const tune::Parameter& parameter : self.joint(mirror.trials, trial)) {
              named.emplace_back(mirror.trials.name(parameter.column), parameter.distribution);
            }
            return named;
          },
          "mirror"_a, "trial"_a, "The parameters that sample() gives together, by ascending name.")
      .def(
          "sample",
          [](tune::Sampler& self, Mirror& mirror, std::size_t trial, const Named& named) {
            const std::vector<tune::Parameter> parameters = parameters_of(mirror, named);
            tune::Sampler::Sample found = base::value_or_raise(self.sample(mirror.trials, trial, parameters));
            return nb::make_tuple(std::move(found.values), nb::bytes(found.note.data(), found.note.size()));
          },
          "mirror"_a, "trial"_a, "parameters"_a, "A value for each, and what is to be kept with them.")
      .def(
          "sample_one",
          [](tune::Sampler& self, Mirror& mirror, std::size_t trial, const std::string& name,
             const Distribution& distribution) {
            return base::value_or_raise(self.sample_one(
                mirror.trials, trial, {.column = mirror.trials.add_column(name), .distribution = distribution}));
          },
          "mirror"_a, "trial"_a, "name"_a, "distribution"_a)
      .def(
          "suggest",
          [](tune::Sampler& self, Mirror& mirror, std::size_t trial, const Named& named) {
            return base::value_or_raise(suggested(self, mirror.trials, trial, parameters_of(mirror, named)));
          },
          "mirror"_a, "trial"_a, "parameters"_a,
          "A value for each: together where the sampler has them together, else each alone. The trial gets them.");
}

void bind_measures(nb::module_& m) {
  m.def(
      "parzen_log_densities",
      [](const std::vector<Distribution>& distributions, const std::vector<std::vector<double>>& observations,
         bool equal_weights, const std::vector<std::vector<double>>& points) {
        tune::Parzen parzen(distributions,
                            equal_weights ? tune::Parzen::Weights::kEqual : tune::Parzen::Weights::kOldLess);
        const auto check = [&distributions](const std::vector<double>& row) {
          if (row.size() == distributions.size()) return;
          base::raise(base::Error(base::Code::kInvalidArgument, "a row needs a value for each distribution"));
        };
        std::uint32_t trial = 0;
        for (const std::vector<double>& row : observations) {
          check(row);
          parzen.insert(trial++, row);
        }
        std::vector<double> flat;
        for (const std::vector<double>& row : points) {
          check(row);
          flat.insert(flat.end(), row.begin(), row.end());
        }
        std::vector<double> found(points.size());
        parzen.log_densities(flat, found);
        return found;
      },
      "distributions"_a, "observations"_a, "equal_weights"_a, "points"_a,
      "The log density of TPE's mixture of kernels, one an observation (oldest first), at each point.");
  m.def(
      "hypervolume",
      [](const std::vector<std::vector<double>>& losses, const std::vector<double>& reference) {
        std::vector<double> flat;
        for (const std::vector<double>& row : losses) {
          if (row.size() != reference.size()) {
            base::raise(base::Error(base::Code::kInvalidArgument, "a point needs as many numbers as the reference"));
          }
          flat.insert(flat.end(), row.begin(), row.end());
        }
        return base::value_or_raise(tune::hypervolume(flat, reference));
      },
      "losses"_a, "reference"_a, "The volume between the reference and the points, of which less is better, exact.");
  m.def(
      "best_of_fronts",
      [](const std::vector<std::vector<double>>& losses, std::size_t count) {
        std::vector<double> flat;
        const std::size_t objectives = losses.empty() ? 1 : losses[0].size();
        for (const std::vector<double>& row : losses) {
          if (row.size() != objectives || row.empty()) {
            base::raise(base::Error(base::Code::kInvalidArgument, "all rows need one length, which is not 0"));
          }
          flat.insert(flat.end(), row.begin(), row.end());
        }
        return tune::best_of_fronts(flat, objectives, count);
      },
      "losses"_a, "count"_a, "Indices of the best: whole fronts, then the subset of the largest hypervolume.");
}

// The distribution alone, so that its numbers can be compared.
void bind_cma(nb::module_& m) {
  nb::class_<tune::Cma>(m, "Cma", "CMA-ES over [0, 1]^n: a normal distribution that is told which points were good.")
      .def(nb::init<std::vector<double>, double, std::size_t, std::vector<double>>(), "mean"_a, "sigma"_a,
           "population"_a, "steps"_a = std::vector<double>())
      .def(
          "drawn",
          [](const tune::Cma& self, std::uint64_t seed, std::uint64_t trial) {
            tune::Keyed random(seed, trial, "cma");
            return self.drawn(random);
          },
          "seed"_a, "trial"_a)
      .def(
          "on_steps",
          [](const tune::Cma& self, const std::vector<double>& point) {
            if (point.size() != self.dims()) {
              base::raise(base::Error(base::Code::kInvalidArgument, "a point needs a number for each dimension"));
            }
            return self.on_steps(point);
          },
          "point"_a)
      .def(
          "tell",
          [](tune::Cma& self, const std::vector<std::pair<std::vector<double>, double>>& solutions) {
            std::vector<tune::Cma::Solution> told;
            for (const auto& [point, loss] : solutions) {
              if (point.size() != self.dims()) {
                base::raise(base::Error(base::Code::kInvalidArgument, "a point needs a number for each dimension"));
              }
              told.push_back({.point = point, .loss = loss});
            }
            if (told.size() != self.population()) {
              base::raise(base::Error(base::Code::kInvalidArgument, "a whole generation is told at once"));
            }
            self.tell(std::move(told));
          },
          "solutions"_a)
      .def_prop_ro("mean", &tune::Cma::mean)
      .def_prop_ro("sigma", &tune::Cma::sigma)
      .def_prop_ro("covariance", &tune::Cma::covariance, "Row by row.")
      .def_prop_ro("done", &tune::Cma::done);
}

void bind_populations(nb::module_& m) {
  m.def(
      "cmaes_sampler",
      [](std::uint64_t seed, std::uint32_t startup_trials, std::optional<std::uint32_t> population, bool with_margin,
         int restarts) {
        if (restarts < 0 || restarts > 2) {
          base::raise(base::Error(base::Code::kInvalidArgument, "restarts are 0 for none, 1 for ipop and 2 for bipop"));
        }
        return base::value_or_raise(tune::cmaes_sampler({.seed = seed,
                                                         .startup_trials = startup_trials,
                                                         .population = population,
                                                         .with_margin = with_margin,
                                                         .restarts = static_cast<tune::CmaRestarts>(restarts)}));
      },
      "seed"_a, "startup_trials"_a = 1, "population"_a = nb::none(), "with_margin"_a = false, "restarts"_a = 0);
  m.def(
      "nsga2_sampler",
      [](std::uint64_t seed, std::uint32_t population, std::optional<double> mutation, double crossover,
         double swapping, bool sbx) {
        return base::value_or_raise(
            tune::nsga2_sampler({.seed = seed,
                                 .population = population,
                                 .mutation_probability = mutation,
                                 .crossover_probability = crossover,
                                 .swapping_probability = swapping,
                                 .crossover = sbx ? tune::NsgaCrossover::kSbx : tune::NsgaCrossover::kUniform}));
      },
      "seed"_a, "population"_a = 50, "mutation"_a = nb::none(), "crossover"_a = 0.9, "swapping"_a = 0.5,
      "sbx"_a = false);
  m.def(
      "nsga3_sampler",
      [](std::uint64_t seed, std::uint32_t population, std::optional<double> mutation, double crossover,
         double swapping, bool sbx, std::uint32_t dividing_parameter,
         const std::vector<std::vector<double>>& references) {
        return base::value_or_raise(
            tune::nsga3_sampler({.nsga = {.seed = seed,
                                          .population = population,
                                          .mutation_probability = mutation,
                                          .crossover_probability = crossover,
                                          .swapping_probability = swapping,
                                          .crossover = sbx ? tune::NsgaCrossover::kSbx : tune::NsgaCrossover::kUniform},
                                 .dividing_parameter = dividing_parameter,
                                 .references = references}));
      },
      "seed"_a, "population"_a = 50, "mutation"_a = nb::none(), "crossover"_a = 0.9, "swapping"_a = 0.5,
      "sbx"_a = false, "dividing_parameter"_a = 3, "references"_a = std::vector<std::vector<double>>());
}

void bind_sequences(nb::module_& m) {
  m.def(
      "gp_sampler",
      [](std::uint64_t seed, std::uint32_t startup_trials) {
        return base::value_or_raise(tune::gp_sampler({.seed = seed, .startup_trials = startup_trials}));
      },
      "seed"_a, "startup_trials"_a = 10);
  m.def(
      "bohb_config",
      [](std::uint64_t seed, std::size_t number, const std::vector<Distribution>& distributions,
         const std::vector<double>& rows, const std::vector<double>& losses, std::size_t least, double top_share,
         std::size_t candidates) {
        const tune::BohbOptions options = {
            .least = least, .top_share = top_share, .candidates = candidates, .seed = seed};
        return base::value_or_raise(tune::bohb_config(options, number, distributions, rows, losses));
      },
      "seed"_a, "number"_a, "distributions"_a, "rows"_a, "losses"_a, "least"_a, "top_share"_a, "candidates"_a,
      "BOHB's model of one budget: a config, of rows (flat) and their losses.");
  m.def(
      "qmc_sampler",
      [](std::uint64_t seed, bool halton, bool scramble) {
        return base::value_or_raise(
            tune::qmc_sampler({.seed = seed,
                               .sequence = halton ? tune::QmcSequence::kHalton : tune::QmcSequence::kSobol,
                               .scramble = scramble}));
      },
      "seed"_a, "halton"_a = false, "scramble"_a = false);
  m.def(
      "qmc_point",
      [](std::uint64_t seed, bool halton, bool scramble, std::uint32_t index, std::size_t dims) {
        return base::value_or_raise(
            tune::qmc_point({.seed = seed,
                             .sequence = halton ? tune::QmcSequence::kHalton : tune::QmcSequence::kSobol,
                             .scramble = scramble},
                            index, dims));
      },
      "seed"_a, "halton"_a, "scramble"_a, "index"_a, "dims"_a);
  m.def("brute_force_sampler", &tune::brute_force_sampler, "seed"_a);
  m.def(
      "brute_force_exhausted", [](const Mirror& mirror) { return tune::brute_force_exhausted(mirror.trials); },
      "mirror"_a);
  nb::class_<tune::GridPlan>(m, "GridPlan", "Which cell of a grid each trial has.")
      .def_static(
          "make",
          [](std::uint64_t seed, const std::vector<std::pair<std::string, std::vector<double>>>& axes) {
            return base::value_or_raise(tune::GridPlan::make(seed, axes));
          },
          "seed"_a, "axes"_a)
      .def("__len__", &tune::GridPlan::cells)
      .def(
          "cell",
          [](tune::GridPlan& self, const Mirror& mirror, std::size_t trial) { return self.cell(mirror.trials, trial); },
          "mirror"_a, "trial"_a, "None: all have been given out.")
      .def(
          "place",
          [](const tune::GridPlan& self, std::size_t cell, std::size_t axis) {
            if (cell >= self.cells() || axis >= self.axes().size()) {
              base::raise(base::Error(base::Code::kInvalidArgument, "the grid has no such cell or axis"));
            }
            return self.place(cell, axis);
          },
          "cell"_a, "axis"_a, "Which of the axis' values.");
}

}  // namespace

void bind_samplers(nb::module_& m) {
  bind_mirror(m);
  bind_sampler_class(m);
  m.def("random_sampler", [](std::uint64_t seed) { return tune::random_sampler({.seed = seed}); }, "seed"_a);
  m.def(
      "tpe_sampler",
      [](std::uint64_t seed, std::uint32_t startup_trials, std::uint32_t candidates, std::optional<bool> multivariate,
         bool group, bool constant_liar) {
        return base::value_or_raise(tune::tpe_sampler({.seed = seed,
                                                       .startup_trials = startup_trials,
                                                       .candidates = candidates,
                                                       .multivariate = multivariate,
                                                       .group = group,
                                                       .constant_liar = constant_liar}));
      },
      "seed"_a, "startup_trials"_a = 10, "candidates"_a = 24, "multivariate"_a = nb::none(), "group"_a = false,
      "constant_liar"_a = true);
  bind_measures(m);
  bind_cma(m);
  bind_populations(m);
  bind_sequences(m);
}
