// serve's part of daybreak._core: the server, and a replica's end of a channel.
#include <nanobind/nanobind.h>

void bind_core(nanobind::module_& m);
void bind_replica(nanobind::module_& m);

void bind_serve(nanobind::module_& m) {
  bind_core(m);
  bind_replica(m);
}
