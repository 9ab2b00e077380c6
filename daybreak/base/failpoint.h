// Named points in a protocol (shared memory, a commit to disk) where a test may kill the process. One predictable
// branch each when not armed.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(DAYBREAK_INTERLEAVE)
#include "daybreak/base/interleave/atomic.h"
#endif

namespace daybreak::base::failpoint {

inline std::atomic<bool> armed{false};

// Kills this process (SIGKILL) at the `countdown`-th failpoint whose name begins with `prefix` ("" is every one).
void arm(const char* prefix, std::uint64_t countdown);
void hit(const char* name);

}  // namespace daybreak::base::failpoint

#if defined(DAYBREAK_INTERLEAVE)
#define DAYBREAK_FAILPOINT(name) ::daybreak::base::interleave::failpoint(name, std::source_location::current())
#else
#define DAYBREAK_FAILPOINT(name)                                                                     \
  do {                                                                                               \
    if (__builtin_expect(::daybreak::base::failpoint::armed.load(std::memory_order_relaxed), false)) \
      ::daybreak::base::failpoint::hit(name);                                                        \
  } while (false)
#endif
