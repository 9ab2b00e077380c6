// tune's part of daybreak._core.
#include <nanobind/nanobind.h>

void bind_distribution(nanobind::module_& m);
void bind_experiment(nanobind::module_& m);
void bind_importance(nanobind::module_& m);
void bind_pruners(nanobind::module_& m);
void bind_reports(nanobind::module_& m);
void bind_result_table(nanobind::module_& m);
void bind_sampler_factory(nanobind::module_& m);
void bind_samplers(nanobind::module_& m);
void bind_simulate(nanobind::module_& m);
void bind_space(nanobind::module_& m);
void bind_storage(nanobind::module_& m);
void bind_study(nanobind::module_& m);

void bind_tune(nanobind::module_& m) {
  bind_distribution(m);
  bind_storage(m);
  bind_sampler_factory(m);
  bind_study(m);
  bind_samplers(m);
  bind_pruners(m);
  bind_importance(m);
  bind_experiment(m);
  bind_reports(m);
  bind_result_table(m);
  bind_simulate(m);
  bind_space(m);
}
