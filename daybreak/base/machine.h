// What of this machine the process may use: its CPU affinity, and the limits of the control groups that it is in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace daybreak::base {

struct Machine {
  // Cores that may run at once: the affinity mask, at most the CPU quota (1.5 CPUs count as one). At least 1.
  std::uint32_t cores = 1;
  // Physical memory, at most the lowest memory limit of a control group.
  std::uint64_t memory_bytes = 0;
  // Where memory_bytes comes from: empty for the machine itself, else the file with the limit.
  std::string memory_limit_file;
};

// As it is now: limits change while a process runs. Reads some ten small files. `root`: where /proc and /sys are looked
// for; another in tests.
Machine this_machine(const std::string& root = "");

struct MemoryUse {
  std::uint64_t used_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::string limit_file;  // as Machine's: whose use and limit these are
};

// Of the machine and of all control groups with a limit that the process is in: the one of which the greatest part is in
// use. Of a group's use the cached files that were not read again do not count, which the kernel drops first; shared memory
// counts, once. Empty: /proc/meminfo does not say. A group whose files cannot be read is none. `root`: as above.
std::optional<MemoryUse> memory_use(const std::string& root = "");

// The anonymous memory of a process, which its end would give back: neither shared memory nor files (RssAnon of
// /proc/PID/status). 0: it is gone.
std::uint64_t anonymous_bytes(std::int32_t pid, const std::string& root = "");

}  // namespace daybreak::base
