#include "daybreak/base/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"

namespace daybreak::base {

namespace {

constexpr std::size_t kMaxLimitFile = 1u << 20;
constexpr std::size_t kMaxCpus = 1u << 16;

std::uint32_t affinity() {
  // The mask has as many bits as the kernel was built for; too small a set is refused.
  for (std::size_t cpus = 1024; cpus <= kMaxCpus; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return static_cast<std::uint32_t>(count);
  }
  return static_cast<std::uint32_t>(std::max(1l, sysconf(_SC_NPROCESSORS_ONLN)));
}

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;  // "max", "-1"
  return value;
}

std::string text_of(const std::string& path) {
  return Env::real().read_file(path, kMaxLimitFile).value_or("");
}

// The folders of the process's group for a controller and of all groups above it, the nearest first.
std::vector<std::string> group_folders(const std::string& root, std::string_view controller, bool& unified) {
  std::string group;  // "" until it is known: then with a '/'
  std::istringstream lines(text_of(root + "/proc/self/cgroup"));
  unified = true;
  for (std::string line; std::getline(lines, line);) {  // "4:cpu,cpuacct:/path", of version 2 "0::/path"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names.find("," + std::string(controller) + ",") != std::string::npos) {
      unified = false;
      group = line.substr(second + 1);
      break;
    }
    if (names == ",,") group = line.substr(second + 1);
  }
  if (group.empty()) return {};
  std::vector<std::string> mounts;
  if (unified) {
    mounts = {root + "/sys/fs/cgroup", root + "/sys/fs/cgroup/unified"};
  } else {
    for (const char* name : {"", ",cpuacct", ",cpu"})
      mounts.push_back(root + "/sys/fs/cgroup/" + std::string(controller) + name);
    mounts.push_back(root + "/sys/fs/cgroup/cpuacct,cpu");
  }
  std::vector<std::string> folders;
  for (const std::string& mount : mounts) {
    // In a container whose /proc shows the host's path, only the mount itself is there.
    for (std::string path = group; path.size() > 1; path.resize(path.rfind('/'))) folders.push_back(mount + path);
    folders.push_back(mount);
  }
  return folders;
}

// The number behind a name at the beginning of a line: "MemTotal:  16 kB", "inactive_file 4096".
std::optional<std::uint64_t> number_behind(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const std::size_t digits = line.find_first_not_of(" \t", name.size());
    if (digits == name.size() || digits == std::string::npos) continue;  // another name that begins so, or no number
    return number_in(std::string_view(line).substr(digits));
  }
  return std::nullopt;
}

std::optional<MemoryUse> use_of_group(const std::string& folder, bool unified) {
  const std::string file = folder + (unified ? "/memory.max" : "/memory.limit_in_bytes");
  const auto limit = number_in(text_of(file));
  if (!limit || *limit == 0) return std::nullopt;
  const auto used = number_in(text_of(folder + (unified ? "/memory.current" : "/memory.usage_in_bytes")));
  if (!used) return std::nullopt;
  // Of version 1 the file's lines without "total_" leave out the groups below.
  const auto cached =
      number_behind(text_of(folder + "/memory.stat"), unified ? "inactive_file" : "total_inactive_file").value_or(0);
  return MemoryUse{*used - std::min(*used, cached), *limit, file};
}

// CPUs of the lowest quota; infinite where there is none.
double cpu_quota(const std::string& root) {
  double lowest = HUGE_VAL;
  bool unified = true;
  for (const std::string& folder : group_folders(root, "cpu", unified)) {
    std::string quota, period;
    if (unified) {
      std::istringstream both(text_of(folder + "/cpu.max"));  // "150000 100000" or "max 100000"
      both >> quota >> period;
    } else {
      quota = text_of(folder + "/cpu.cfs_quota_us");
      period = text_of(folder + "/cpu.cfs_period_us");
    }
    const auto part = number_in(quota), whole = number_in(period);
    if (part && whole && *part > 0 && *whole > 0)
      lowest = std::min(lowest, static_cast<double>(*part) / static_cast<double>(*whole));
  }
  return lowest;
}

}  // namespace

Machine this_machine(const std::string& root) {
  Machine machine;
  machine.cores = affinity();
  if (const double quota = cpu_quota(root); quota < machine.cores)
    machine.cores = std::max(1u, static_cast<std::uint32_t>(quota));
  machine.memory_bytes = static_cast<std::uint64_t>(std::max(0l, sysconf(_SC_PHYS_PAGES))) *
                         static_cast<std::uint64_t>(std::max(1l, sysconf(_SC_PAGESIZE)));
  bool unified = true;
  for (const std::string& folder : group_folders(root, "memory", unified)) {
    const std::string file = folder + (unified ? "/memory.max" : "/memory.limit_in_bytes");
    const auto limit = number_in(text_of(file));
    if (limit && *limit > 0 && *limit < machine.memory_bytes) {
      machine.memory_bytes = *limit;
      machine.memory_limit_file = file;
    }
  }
  return machine;
}

std::optional<MemoryUse> memory_use(const std::string& root) {
  const std::string machine = text_of(root + "/proc/meminfo");
  const auto total_kb = number_behind(machine, "MemTotal:"), free_kb = number_behind(machine, "MemAvailable:");
  if (!total_kb || !free_kb || *total_kb == 0) return std::nullopt;
  MemoryUse fullest{(*total_kb - std::min(*total_kb, *free_kb)) * 1024, *total_kb * 1024, ""};
  auto part = [](const MemoryUse& use) {
    return static_cast<double>(use.used_bytes) / static_cast<double>(use.total_bytes);
  };
  bool unified = true;
  for (const std::string& folder : group_folders(root, "memory", unified))
    if (auto use = use_of_group(folder, unified); use && part(*use) > part(fullest)) fullest = std::move(*use);
  return fullest;
}

std::uint64_t anonymous_bytes(std::int32_t pid, const std::string& root) {
  const std::string status = text_of(root + "/proc/" + std::to_string(pid) + "/status");
  return number_behind(status, "RssAnon:").value_or(0) * 1024;
}

}  // namespace daybreak::base
