// What a study of ours is given as its pruner.
#include "daybreak/tune/python/pruner_factory.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <utility>

#include "daybreak/base/bind.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using nb::literals::operator""_a;
using tune::PrunerFactory;

namespace {

// Made at once, so that options that cannot be are refused where they are given.
template <typename Options>
PrunerFactory factory_of(base::Result<std::unique_ptr<tune::Pruner>> (*make)(const Options&), Options options) {
  base::value_or_raise(make(options));
  return {[make, options](const std::string&) { return make(options); }};
}

PrunerFactory percentile(double part, std::int64_t startup_trials, std::int64_t warmup_steps,
                         std::int64_t interval_steps, std::int64_t min_trials) {
  return factory_of(&tune::percentile_pruner,
                    tune::PercentileOptions{part, startup_trials, warmup_steps, interval_steps, min_trials});
}

PrunerFactory halving(std::optional<std::int64_t> min_resource, std::int64_t factor, std::int64_t rate,
                      std::int64_t bootstrap) {
  return factory_of(&tune::successive_halving_pruner, tune::HalvingOptions{min_resource, factor, rate, bootstrap});
}

PrunerFactory hyperband(std::int64_t min_resource, std::optional<std::int64_t> max_resource, std::int64_t factor,
                        std::int64_t bootstrap) {
  const tune::HyperbandPrunerOptions options{"", min_resource, max_resource, factor, bootstrap};
  base::value_or_raise(tune::hyperband_pruner(options));
  return {[options](const std::string& study_name) {
    tune::HyperbandPrunerOptions of_study = options;
    of_study.study_name = study_name;
    return tune::hyperband_pruner(of_study);
  }};
}

PrunerFactory patient(const std::optional<PrunerFactory>& wrapped, std::int64_t patience, double min_delta) {
  base::value_or_raise(tune::patient_pruner(nullptr, patience, min_delta));
  return {[wrapped, patience, min_delta](const std::string& study_name) -> base::Result<std::unique_ptr<tune::Pruner>> {
    std::unique_ptr<tune::Pruner> inner;
    if (wrapped) {
      DAYBREAK_ASSIGN(inner, wrapped->make(study_name));
    }
    return tune::patient_pruner(std::move(inner), patience, min_delta);
  }};
}

}  // namespace

void bind_pruner_factory(nb::module_& m) {
  nb::class_<PrunerFactory>(m, "PrunerFactory", "Makes a study's pruner: daybreak.tune.pruners has them by name.")
      .def_static("nop", [] { return PrunerFactory{[](const std::string&) { return tune::nop_pruner(); }}; })
      .def_static("percentile", &percentile, "percentile"_a, "startup_trials"_a, "warmup_steps"_a, "interval_steps"_a,
                  "min_trials"_a)
      .def_static(
          "threshold",
          [](double lower, double upper, std::int64_t warmup_steps, std::int64_t interval_steps) {
            return factory_of(&tune::threshold_pruner,
                              tune::ThresholdOptions{lower, upper, warmup_steps, interval_steps});
          },
          "lower"_a, "upper"_a, "warmup_steps"_a, "interval_steps"_a)
      .def_static("successive_halving", &halving, "min_resource"_a.none(), "reduction_factor"_a,
                  "min_early_stopping_rate"_a, "bootstrap_count"_a)
      .def_static("hyperband", &hyperband, "min_resource"_a, "max_resource"_a.none(), "reduction_factor"_a,
                  "bootstrap_count"_a)
      .def_static("patient", &patient, "wrapped"_a.none(), "patience"_a, "min_delta"_a)
      .def_static(
          "wilcoxon",
          [](double p_threshold, std::int64_t startup_steps) {
            return factory_of(&tune::wilcoxon_pruner, tune::WilcoxonOptions{p_threshold, startup_steps});
          },
          "p_threshold"_a, "startup_steps"_a);
}
