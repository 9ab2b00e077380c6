// base's part of daybreak._core: the vocabulary of error codes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string_view.h>

#include "daybreak/base/error.h"

namespace nb = nanobind;

void bind_base(nb::module_& m) {
  m.def(
      "http_status", [](int code) { return daybreak::base::http_status(static_cast<daybreak::base::Code>(code)); },
      nb::arg("code"), "The HTTP status of one of the 16 canonical error codes.");
}
