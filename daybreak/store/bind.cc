// store's part of daybreak._core: the content store and the journal.
#include <nanobind/nanobind.h>

void bind_contents(nanobind::module_&);
void bind_journal(nanobind::module_&);

void bind_store(nanobind::module_& m) {
  bind_contents(m);
  bind_journal(m);
}
