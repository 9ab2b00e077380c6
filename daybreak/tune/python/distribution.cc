// Distribution, which the faces build of what a person gave.
#include "daybreak/tune/distribution.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <string_view>

#include "daybreak/base/bind.h"
#include "daybreak/tune/sampler.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using tune::Distribution;

void bind_distribution(nb::module_& m) {
  nb::class_<Distribution>(m, "Distribution",
                           "What a parameter's values may be: numbers, or the indices of its options.")
      .def_static(
          "real",
          [](double low, double high, bool log, double step) {
            return base::value_or_raise(Distribution::real(low, high, log, step));
          },
          nb::arg("low"), nb::arg("high"), nb::arg("log") = false, nb::arg("step") = 0.0,
          "Numbers in [low, high]; with a step low, low + step, ... InvalidArgumentError says what is wrong with them.")
      .def_static(
          "whole",
          [](std::int64_t low, std::int64_t high, bool log, std::int64_t step) {
            return base::value_or_raise(Distribution::whole(low, high, log, step));
          },
          nb::arg("low"), nb::arg("high"), nb::arg("log") = false, nb::arg("step") = 1,
          "Whole numbers in [low, high], within -2**53 and 2**53.")
      .def_static(
          "categorical", [](std::uint32_t options) { return base::value_or_raise(Distribution::categorical(options)); },
          nb::arg("options"), "The indices of so many options.")
      .def_prop_ro("low", &Distribution::low)
      .def_prop_ro("high", &Distribution::high, "Inclusive: the last step.")
      .def_prop_ro("step", &Distribution::step, "0.0: every number between.")
      .def_prop_ro("log", &Distribution::log)
      .def_prop_ro("is_whole", [](const Distribution& d) { return d.kind() == Distribution::Kind::kInt; })
      .def_prop_ro("is_categorical", [](const Distribution& d) { return d.categorical(); })
      .def_prop_ro("count", &Distribution::count, "How many values there are; 0: too many to count.")
      .def("contains", &Distribution::contains, nb::arg("value"))
      .def("nearest", &Distribution::nearest, nb::arg("value"), "The value of the distribution that is nearest.")
      .def("compatible", &Distribution::compatible, nb::arg("other"),
           "Whether a study may go on with `other` for the same name: the range may change, the kind, log and options "
           "may not.")
      .def(
          "drawn",
          [](const Distribution& distribution, std::uint64_t seed, std::uint64_t trial, std::string_view name) {
            return tune::drawn(seed, trial, name, distribution);
          },
          nb::arg("seed"), nb::arg("trial"), nb::arg("name"),
          "The random value that the trial of this number has for the name: always the same one.")
      .def(
          "__eq__",
          [](const Distribution& distribution, nb::object other) {
            const Distribution* against = nullptr;
            return nb::try_cast(other, against) && against != nullptr && distribution == *against;
          },
          nb::arg("other"), nb::is_operator())
      .def("__repr__", &Distribution::to_string);
}
