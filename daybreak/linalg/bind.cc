// linalg's part of daybreak._core.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <string_view>

#include "daybreak/linalg/greeting.h"

namespace nb = nanobind;
namespace base = daybreak::base;

void bind_linalg(nb::module_& m) {
  m.def(
      "greeting", [](std::string_view name) { return base::value_or_raise(daybreak::linalg::greeting(name)); },
      nb::arg("name"), "A greeting. InvalidArgumentError unless the name has 1 to 100 bytes.");
}
