#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "daybreak/track/run_id.h"

void bind_log(nanobind::module_& m) {
  m.def("new_run_id", [] { return daybreak::track::RunId::make().to_string(); }, "A new run id: UUID version 7.");
}
