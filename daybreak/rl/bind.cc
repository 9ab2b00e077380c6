// rl's part of daybreak._core.
#include <nanobind/nanobind.h>

void bind_envs(nanobind::module_& m);

void bind_rl(nanobind::module_& m) {
  bind_envs(m);
}
