#include "daybreak/runtime/memory_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace daybreak::runtime {

namespace {

constexpr std::size_t kShownProcesses = 5;

std::string memory_text(std::uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1u << 20);
  return mib < 1024 ? fmt::format("{:.1f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}

}  // namespace

std::optional<MemoryVictim> choose_victim(std::span<const MemoryCandidate> candidates) {
  struct Group {
    std::size_t size = 0, newest = 0;
  };
  auto age = [&](std::size_t i) { return std::pair(candidates[i].since_ns, candidates[i].bytes); };
  std::map<std::pair<bool, std::uint32_t>, Group> groups;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const bool retriable = candidates[i].retriable;
    Group& group = groups[{retriable, retriable ? candidates[i].owner : 0}];
    if (++group.size == 1 || age(i) > age(group.newest)) group.newest = i;
  }
  if (groups.empty()) return std::nullopt;
  auto rank = [&](const auto& entry) {
    return std::tuple(entry.first.first, entry.second.size, age(entry.second.newest));
  };
  const auto first =
      std::max_element(groups.begin(), groups.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return MemoryVictim{first->second.newest, first->first.first && first->second.size > 1};
}

MemoryNote memory_note(const base::MemoryUse& use, double threshold, const ProcessMemory& victim, std::string_view end,
                       std::vector<ProcessMemory> processes) {
  const double part = static_cast<double>(use.used_bytes) / static_cast<double>(use.total_bytes);
  MemoryNote note;
  note.head = fmt::format(
      "{} (pid {}) was ended by the memory monitor: {} of {} of {} were in use ({:.1f}%), more than the threshold of "
      "{:.4g}%. {} of them were its own; {}",
      victim.what, victim.pid, memory_text(use.used_bytes), memory_text(use.total_bytes),
      use.limit_file.empty() ? "the machine's memory" : "the memory that " + use.limit_file + " allows", part * 100,
      threshold * 100, memory_text(victim.bytes), end);
  std::stable_sort(processes.begin(), processes.end(),
                   [](const ProcessMemory& a, const ProcessMemory& b) { return a.bytes > b.bytes; });
  note.rest =
      "\nThe processes of this engine with the most memory of their own (RssAnon, so without the object store, which "
      "they "
      "share):";
  for (std::size_t i = 0; i < std::min(processes.size(), kShownProcesses); ++i)
    note.rest +=
        fmt::format("\n    pid {:<8} {:>11}  {}", processes[i].pid, memory_text(processes[i].bytes), processes[i].what);
  note.rest +=
      "\nLet fewer run at once (num_cpus= or memory= of the task, num_cpus= of init()), let them be tried again "
      "(max_retries=, max_restarts=), or raise DAYBREAK_MEMORY_USAGE_THRESHOLD; DAYBREAK_MEMORY_MONITOR_REFRESH_MS=0 "
      "switches the monitor off.";
  return note;
}

}  // namespace daybreak::runtime
