// The zygote: a small process that has loaded what every worker needs and forks one in 2 to 3 ms. It has no threads,
// belongs to the driver, and when the driver is gone - however it went - it kills everything below itself and ends.
// A worker of an environment is a fresh interpreter. That becomes a zygote of its own, below the first one: it forks the worker
// that it was started for and, for as long as it is there, all others of the environment. What it says goes through the first
// zygote; it dies with that one, and its workers with it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::runtime {

// File descriptors that the zygote finds open: see Node::start_zygote.
inline constexpr int kZygoteControlFd = 3;
inline constexpr int kZygoteDataFd = 4;
inline constexpr int kZygoteSocketFd = 5;

// Over a SOCK_SEQPACKET pair. A spawn request carries two file descriptors: the worker's stdout and stderr.
struct ZygoteMessage {
  enum Op : std::uint32_t { kSpawn = 1, kSpawned = 2, kExited = 3, kReady = 4, kFailed = 5, kAccepted = 6 };
  std::uint32_t op;
  std::uint32_t proc;  // slot
  std::int32_t pid;
  std::int32_t status;      // kExited: as waitpid gives it; kFailed: errno
  std::int64_t max_rss_kb;  // kExited
};
inline std::string_view bytes_of(const ZygoteMessage& message) {
  return {reinterpret_cast<const char*>(&message), sizeof message};
}
inline std::span<char> bytes_of(ZygoteMessage& message) {
  return {reinterpret_cast<char*>(&message), sizeof message};
}

struct ForkHooks {
  void (*before)();  // in the parent, before each fork
  void (*after_parent)();
  void (*after_child)();
  // Of the worker in a slot, a number that no other description has; 0: the zygote's own. Without it none has another.
  std::uint64_t (*environment)(std::uint32_t proc) = nullptr;
};

// Serves the driver until it is gone; then ends the process. Returns only in a forked worker, with the slot that it is
// to fill: in a session of its own, with its output on the pipes, and bound to die with the zygote.
std::uint32_t run_zygote(const ForkHooks& hooks);
// The same for an environment: forks the worker that this process was started for, then those that are asked for over the
// socket, until the first zygote is gone, or nothing has run for kZygoteIdleMs.
std::uint32_t run_zygote_below(int socket, std::uint32_t first, const ForkHooks& hooks);
// In a worker that run_zygote has forked: what it may hand to run_zygote_below, in an interpreter that it becomes; -1: there is
// a zygote of its environment already.
int offered_socket();
inline constexpr int kZygoteIdleMs = 30'000;

}  // namespace daybreak::runtime
