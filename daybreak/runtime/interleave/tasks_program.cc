#include "daybreak/runtime/interleave/programs.h"
namespace daybreak::runtime {
void add_task_programs(Programs&) {}
}  // namespace daybreak::runtime
