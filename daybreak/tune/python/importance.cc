// How much each parameter matters.
#include "daybreak/tune/importance.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "daybreak/base/bind.h"
#include "daybreak/tune/python/samplers.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using nb::literals::operator""_a;
using tune::Distribution;
using tune::python::Mirror;

void bind_importance(nb::module_& m) {
  m.def(
      "ped_anova",
      [](const Mirror& mirror, const std::vector<std::uint32_t>& region, const std::vector<std::uint32_t>& top,
         const std::vector<std::string>& names, bool local) {
        std::vector<std::uint32_t> columns;
        for (const std::string& name : names) {
          columns.push_back(mirror.trials.column(name));
          if (columns.back() != tune::Trials::kNoColumn) continue;
          base::raise(base::Error(base::Code::kNotFound, "no trial has a parameter '" + name + "'"));
        }
        return base::value_or_raise(tune::ped_anova(mirror.trials, region, top, columns, local));
      },
      "mirror"_a, "region"_a, "top"_a, "names"_a, "local"_a = true,
      "For each name how far the top trials' density is from that of all of the region, or from a uniform one.");
  nb::class_<tune::Forest>(m, "Forest", "Regression trees over a study's parameters.")
      .def_static(
          "fit",
          [](const std::vector<Distribution>& distributions, const std::vector<std::vector<double>>& points,
             const std::vector<double>& losses, std::uint64_t seed, std::uint32_t trees, std::uint32_t max_depth) {
            std::vector<double> flat;
            for (const std::vector<double>& point : points) {
              if (point.size() != distributions.size()) {
                base::raise(base::Error(base::Code::kInvalidArgument, "a point needs a value for each distribution"));
              }
              flat.insert(flat.end(), point.begin(), point.end());
            }
            return base::value_or_raise(
                tune::Forest::fit(distributions, flat, losses, {.seed = seed, .trees = trees, .max_depth = max_depth}));
          },
          "distributions"_a, "points"_a, "losses"_a, "seed"_a = 0, "trees"_a = 64, "max_depth"_a = 64)
      .def(
          "fanova", [](const tune::Forest& self) { return base::value_or_raise(self.fanova()); },
          "The share of the variance over the whole space that each parameter alone explains.")
      .def("impurity_decrease", &tune::Forest::impurity_decrease,
           "What the splits at each parameter gained; sums to 1.");
}
