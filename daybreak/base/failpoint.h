// Named points in a protocol that must survive a death where a test may kill the process. One predictable branch each
// when not armed.
#pragma once

#include <atomic>
#include <cstdint>

namespace daybreak::base::failpoint {

inline std::atomic<bool> armed{false};

// Kills this process (SIGKILL) at the `countdown`-th failpoint whose name begins with `prefix` ("" is every one).
void arm(const char* prefix, std::uint64_t countdown);
void hit(const char* name);

}  // namespace daybreak::base::failpoint

#define DAYBREAK_FAILPOINT(name)                                                                     \
  do {                                                                                               \
    if (__builtin_expect(::daybreak::base::failpoint::armed.load(std::memory_order_relaxed), false)) \
      ::daybreak::base::failpoint::hit(name);                                                        \
  } while (false)
