// Copying into shared memory. Above kStreamBytes with stores that bypass the caches: the reader is another process,
// later.
#pragma once

#include <cstddef>

namespace daybreak::runtime {

inline constexpr std::size_t kStreamBytes = 4u << 20;

void copy_bytes(void* to, const void* from, std::size_t size);

}  // namespace daybreak::runtime
