// What node.cc and monitor.cc share: how the monitor's epoll names what it watches.
#pragma once

#include <signal.h>

#include <cstdint>

namespace daybreak::runtime {

// An output pipe is (slot << 1) | (0: stdout, 1: stderr), below these.
inline constexpr std::uint64_t kSocketEvent = 1ull << 32;
inline constexpr std::uint64_t kWakeEvent = 2ull << 32;
inline constexpr std::uint64_t kDoorEvent = 3ull << 32;
inline constexpr std::uint64_t kDriversEvent = 4ull << 32;
inline constexpr std::uint64_t kGuestSaysEvent = 5ull << 32;  // | its number
inline constexpr std::uint64_t kGuestEndsEvent = 6ull << 32;  // | its number
inline constexpr std::uint64_t kEventMask = 0xffff'ffffull << 32;

// Signals are for the threads that the program had before.
inline void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace daybreak::runtime
