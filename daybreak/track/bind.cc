#include <nanobind/nanobind.h>

void bind_log(nanobind::module_&);

void bind_track(nanobind::module_& m) {
  bind_log(m);
}
