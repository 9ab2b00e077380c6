// The zygote: a small process that has loaded what every worker needs and forks one in 2 to 3 ms. It has no threads,
// belongs to the driver, and when the driver is gone - however it went - it kills everything below itself and ends.
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
  enum Op : std::uint32_t { kSpawn = 1, kSpawned = 2, kExited = 3, kReady = 4, kFailed = 5 };
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
};

// Serves the driver until it is gone; then ends the process. Returns only in a forked worker, with the slot that it is
// to fill: in a session of its own, with its output on the pipes, and bound to die with the zygote.
std::uint32_t run_zygote(const ForkHooks& hooks);

}  // namespace daybreak::runtime
