// Copying into shared memory. Above kStreamBytes with stores that bypass the caches: the reader is another process,
// later.
#pragma once

#include <cstddef>

#include "daybreak/base/cpu.h"

namespace daybreak::runtime {

inline constexpr std::size_t kStreamBytes = 4u << 20;

void copy_bytes(void* to, const void* from, std::size_t size);
// With the instructions of a level that this processor has.
void copy_bytes(void* to, const void* from, std::size_t size, base::CpuLevel level);

}  // namespace daybreak::runtime
