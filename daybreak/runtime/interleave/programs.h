// The programs, one function a file.
#pragma once

#include "daybreak/runtime/interleave/world.h"

namespace daybreak::runtime {

using Programs = std::vector<std::unique_ptr<base::interleave::Program>>;

void add_example_program(Programs& programs);
void add_queue_programs(Programs& programs);
void add_object_programs(Programs& programs);
void add_heap_programs(Programs& programs);
void add_passing_program(Programs& programs);
void add_sharing_program(Programs& programs);
void add_task_programs(Programs& programs);
void add_spill_programs(Programs& programs);
void add_lineage_programs(Programs& programs);
void add_batch_programs(Programs& programs);

}  // namespace daybreak::runtime
