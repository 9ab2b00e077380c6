// What lock-free code may use to share memory: Atomic, AtomicRef, futexes, yields and the clock of its waits.
//
// In the product these are std::atomic, std::atomic_ref, the futex system call, sched_yield and CLOCK_MONOTONIC, with
// nothing around them. In the interleaver's build (DAYBREAK_INTERLEAVE) every one of them hands control to a seeded
// scheduler, which decides who goes on, what a load sees and when time passes: daybreak/base/interleave/engine.h.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(DAYBREAK_INTERLEAVE)
#include "daybreak/base/interleave/atomic.h"
#else

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace daybreak::base {

template <typename T>
using Atomic = std::atomic<T>;
template <typename T>
using AtomicRef = std::atomic_ref<T>;

inline void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

inline void yield_cpu() {
  sched_yield();
}

// CLOCK_MONOTONIC in ns.
inline std::int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

inline void sleep_ns(std::int64_t ns) {
  timespec pause{ns / 1'000'000'000, ns % 1'000'000'000};
  nanosleep(&pause, nullptr);
}

// Sleeps while `word` holds `value`, until a wake, a signal or `timeout_ns` from now (-1: for ever). Between processes.
// 0, or ETIMEDOUT or EINTR.
inline int futex_wait(Atomic<std::uint32_t>& word, std::uint32_t value, std::int64_t timeout_ns) {
  timespec until{};
  if (timeout_ns >= 0) {
    std::int64_t at = monotonic_ns() + timeout_ns;
    until = {at / 1'000'000'000, at % 1'000'000'000};
  }
  if (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, value, timeout_ns >= 0 ? &until : nullptr, nullptr,
              FUTEX_BITSET_MATCH_ANY) == 0)
    return 0;
  return errno == EAGAIN ? 0 : errno;
}

inline void futex_wake_all(Atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace daybreak::base

// A thread_local variable that lock-free code keeps something in across its steps: in the interleaver's build each
// fiber has its own.
#define DAYBREAK_FIBER_LOCAL(variable) static_assert(true)

#endif
