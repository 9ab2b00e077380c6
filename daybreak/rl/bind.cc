// rl's part of daybreak._core: environments, policies, trainers.
#include <nanobind/nanobind.h>

void bind_envs(nanobind::module_& m);
void bind_policy(nanobind::module_& m);
void bind_trainers(nanobind::module_& m);

void bind_rl(nanobind::module_& m) {
  bind_envs(m);
  bind_policy(m);
  bind_trainers(m);
}
