// tune's part of daybreak._core.
#include <nanobind/nanobind.h>

void bind_distribution(nanobind::module_& m);
void bind_experiment(nanobind::module_& m);
void bind_result_writer(nanobind::module_& m);
void bind_space(nanobind::module_& m);

void bind_tune(nanobind::module_& m) {
  bind_distribution(m);
  bind_experiment(m);
  bind_result_writer(m);
  bind_space(m);
}
