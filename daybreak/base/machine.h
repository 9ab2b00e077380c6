// What of this machine the process may use: its CPU affinity, and the limits of the control groups that it is in.
#pragma once

#include <cstdint>
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

}  // namespace daybreak::base
