// Counts what this thread allocates; allocations_test.cc replaces operator new for the whole test program. Not under a
// sanitizer, whose own must stay: there the count is always 0, and tests that want to see an allocation are skipped.
#pragma once

#include <cstddef>

namespace daybreak::grant {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kCountsAllocations = false;
#else
inline constexpr bool kCountsAllocations = true;
#endif

std::size_t allocations_of_this_thread();

}  // namespace daybreak::grant
