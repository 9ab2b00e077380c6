// Pruners over a mirror of somebody else's trials.
#include "daybreak/tune/pruners.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <optional>
#include <string>

#include "daybreak/base/bind.h"
#include "daybreak/tune/python/samplers.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using nb::literals::operator""_a;
using tune::python::Mirror;

namespace {

void bind_pruner_class(nb::module_& m) {
  nb::class_<tune::Pruner>(m, "Pruner", "Whether a trial that has just reported is worth going on with.")
      .def(
          "prune",
          [](tune::Pruner& self, const Mirror& mirror, std::size_t trial) {
            return base::value_or_raise(self.prune(mirror.trials, trial));
          },
          "mirror"_a, "trial"_a)
      .def(
          "kept",
          [](const tune::Pruner& self, std::size_t trial) {
            const std::string kept = self.kept(trial);
            return nb::bytes(kept.data(), kept.size());
          },
          "trial"_a, "What has to be kept with the trial, for recall().")
      .def(
          "recall",
          [](tune::Pruner& self, std::size_t trial, const nb::bytes& kept) {
            base::value_or_raise(self.recall(trial, std::string_view(kept.c_str(), kept.size())));
          },
          "trial"_a, "kept"_a);
}

}  // namespace

void bind_pruners(nb::module_& m) {
  bind_pruner_class(m);
  m.def("nop_pruner", &tune::nop_pruner);
  m.def(
      "percentile_pruner",
      [](double percentile, std::int64_t startup_trials, std::int64_t warmup_steps, std::int64_t interval_steps,
         std::int64_t min_trials) {
        return base::value_or_raise(tune::percentile_pruner({.percentile = percentile,
                                                             .startup_trials = startup_trials,
                                                             .warmup_steps = warmup_steps,
                                                             .interval_steps = interval_steps,
                                                             .min_trials = min_trials}));
      },
      "percentile"_a, "startup_trials"_a, "warmup_steps"_a, "interval_steps"_a, "min_trials"_a);
  m.def(
      "threshold_pruner",
      [](double lower, double upper, std::int64_t warmup_steps, std::int64_t interval_steps) {
        return base::value_or_raise(tune::threshold_pruner(
            {.lower = lower, .upper = upper, .warmup_steps = warmup_steps, .interval_steps = interval_steps}));
      },
      "lower"_a, "upper"_a, "warmup_steps"_a, "interval_steps"_a);
  m.def(
      "successive_halving_pruner",
      [](std::optional<std::int64_t> min_resource, std::int64_t factor, std::int64_t rate, std::int64_t bootstrap) {
        return base::value_or_raise(tune::successive_halving_pruner({.min_resource = min_resource,
                                                                     .reduction_factor = factor,
                                                                     .min_early_stopping_rate = rate,
                                                                     .bootstrap_count = bootstrap}));
      },
      "min_resource"_a.none(), "reduction_factor"_a, "min_early_stopping_rate"_a, "bootstrap_count"_a);
  m.def(
      "hyperband_pruner",
      [](const std::string& study_name, std::int64_t min_resource, std::optional<std::int64_t> max_resource,
         std::int64_t factor, std::int64_t bootstrap) {
        return base::value_or_raise(tune::hyperband_pruner({.study_name = study_name,
                                                            .min_resource = min_resource,
                                                            .max_resource = max_resource,
                                                            .reduction_factor = factor,
                                                            .bootstrap_count = bootstrap}));
      },
      "study_name"_a, "min_resource"_a, "max_resource"_a.none(), "reduction_factor"_a, "bootstrap_count"_a);
  m.def(
      "wilcoxon_pruner",
      [](double p_threshold, std::int64_t startup_steps) {
        return base::value_or_raise(
            tune::wilcoxon_pruner({.p_threshold = p_threshold, .startup_steps = startup_steps}));
      },
      "p_threshold"_a, "startup_steps"_a);
  m.def(
      "patient_pruner",
      [](std::int64_t patience, double min_delta) {
        return base::value_or_raise(tune::patient_pruner(nullptr, patience, min_delta));
      },
      "patience"_a, "min_delta"_a, "Prunes once the patience is over; what it wraps is asked by the face.");
}
