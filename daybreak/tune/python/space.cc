// Domain and SearchSpace, which tune.uniform and its kin build.
#include "daybreak/tune/space.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string_view>

#include "daybreak/base/bind.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using tune::Domain;
using tune::SearchSpace;

void bind_space(nb::module_& m) {
  nb::class_<Domain>(m, "Domain", "What a parameter may be, with Ray Tune's bounds and rounding.")
      .def_static(
          "uniform",
          [](double low, double high, double q) { return base::value_or_raise(Domain::uniform(low, high, q)); },
          nb::arg("low"), nb::arg("high"), nb::arg("q") = 0.0)
      .def_static(
          "loguniform",
          [](double low, double high, double q) { return base::value_or_raise(Domain::loguniform(low, high, q)); },
          nb::arg("low"), nb::arg("high"), nb::arg("q") = 0.0)
      .def_static(
          "randn", [](double mean, double sd, double q) { return base::value_or_raise(Domain::randn(mean, sd, q)); },
          nb::arg("mean"), nb::arg("sd"), nb::arg("q") = 0.0)
      .def_static(
          "randint",
          [](std::int64_t low, std::int64_t high, std::int64_t q) {
            return base::value_or_raise(Domain::randint(low, high, q));
          },
          nb::arg("low"), nb::arg("high"), nb::arg("q") = 1)
      .def_static(
          "lograndint",
          [](std::int64_t low, std::int64_t high, std::int64_t q) {
            return base::value_or_raise(Domain::lograndint(low, high, q));
          },
          nb::arg("low"), nb::arg("high"), nb::arg("q") = 1)
      .def_static(
          "option", [](std::uint64_t options) { return base::value_or_raise(Domain::option(options)); },
          nb::arg("options"))
      .def_prop_ro("low", &Domain::low)
      .def_prop_ro("high", &Domain::high)
      .def_prop_ro("q", &Domain::quantum)
      .def_prop_ro("whole", &Domain::whole)
      .def_prop_ro("log",
                   [](const Domain& domain) {
                     return domain.kind() == Domain::Kind::kLogUniform || domain.kind() == Domain::Kind::kLogInteger;
                   })
      .def_prop_ro("normal", [](const Domain& domain) { return domain.kind() == Domain::Kind::kNormal; })
      .def("contains", &Domain::contains, nb::arg("value"), "Whether a draw may be it.")
      .def("nearest", &Domain::nearest, nb::arg("value"), "What a draw may be that is nearest to it.")
      .def(
          "draw",
          [](const Domain& domain, std::uint64_t seed, std::uint64_t trial, std::string_view name) {
            tune::Keyed random(seed, trial, name);
            return domain.draw(random);
          },
          nb::arg("seed"), nb::arg("trial"), nb::arg("name"), "A function of the three.");
  nb::class_<SearchSpace>(m, "SearchSpace",
                          "The grid's cells times samples; the values of each trial are a function of its number.")
      .def(nb::new_([](const std::vector<std::tuple<std::string, const Domain*, bool>>& axes, std::uint64_t seed,
                       bool constant_grid_search, const std::vector<std::vector<bool>>& fixed) {
             std::vector<tune::Axis> made;
             made.reserve(axes.size());
             for (const auto& [path, domain, grid] : axes)
               made.push_back({.path = path, .domain = *domain, .grid = grid});
             return base::value_or_raise(SearchSpace::make(std::move(made), seed, constant_grid_search, fixed));
           }),
           nb::arg("axes"), nb::arg("seed"), nb::arg("constant_grid_search") = false,
           nb::arg("fixed") = std::vector<std::vector<bool>>())
      .def_prop_ro("cells", &SearchSpace::cells)
      .def("size", &SearchSpace::size, nb::arg("samples"), "How many trials so many samples make.")
      .def("variant", &SearchSpace::variant, nb::arg("trial"),
           "Numbers, and indices of options; NaN where a point fixes it.")
      .def("sample_of", &SearchSpace::sample_of, nb::arg("trial"));
  m.def(
      "keyed_uniform",
      [](std::uint64_t seed, std::uint64_t trial, std::string_view name) {
        return tune::Keyed(seed, trial, name).uniform();
      },
      nb::arg("seed"), nb::arg("trial"), nb::arg("name"), "A number in [0, 1) that is a function of the three.");
}
