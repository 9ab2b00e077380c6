// Named points in a protocol (shared memory, a commit to disk, a deploy) where a test may kill the process, in C++ and,
// as daybreak.base.failpoints, in Python. One predictable branch each when nobody listens.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#if defined(DAYBREAK_INTERLEAVE)
#include "daybreak/base/interleave/atomic.h"
#endif

namespace daybreak::base::failpoint {

inline std::atomic<bool> armed{false};  // somebody listens

// Kills this process (SIGKILL) at the `countdown`-th failpoint whose name begins with `prefix` ("" is every one); 0: at
// none.
void arm(std::string_view prefix, std::uint64_t countdown);
// From here on remembers the names that begin with `prefix`, as they are passed, on whatever thread.
void watch(std::string_view prefix);
// The names passed since watch(), which ends.
std::vector<std::string> watched();

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
