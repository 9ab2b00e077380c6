// Who has to end when memory runs out, and the words for it. Pure functions: no shared memory, no operating system.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/machine.h"

namespace daybreak::runtime {

// A worker that runs a task, or an actor's process.
struct MemoryCandidate {
  std::uint32_t proc = 0;
  std::uint32_t owner = 0;    // the process that submitted the task or made the actor
  bool retriable = false;     // the task may be tried again, the actor restarted
  std::int64_t since_ns = 0;  // when the task or the process was first seen
  std::uint64_t bytes = 0;    // anonymous memory
};

struct MemoryVictim {
  std::size_t index = 0;  // among the candidates
  bool retry = false;     // its task goes on later; false: it fails, also where it was retriable
};

// Ray's policy. The retriable go first: of each owner's a group, the largest of them, of equal ones that with the last
// started; all others are one group. Of the group the last started ends; of those that were seen at once, the one with
// the most memory. The only one of its owner is not tried again: it would meet the same end. Empty: there is none.
std::optional<MemoryVictim> choose_victim(std::span<const MemoryCandidate> candidates);

// A process of the engine, for a person.
struct ProcessMemory {
  std::uint32_t proc = 0;
  std::int32_t pid = 0;
  std::uint64_t bytes = 0;  // anonymous
  std::string what;         // that it runs
};

struct MemoryNote {
  std::string head;  // a sentence or three
  std::string rest;  // the processes with the most memory and the way out; begins a new line
};

// `end`: what becomes of the victim, a clause.
MemoryNote memory_note(const base::MemoryUse& use, double threshold, const ProcessMemory& victim, std::string_view end,
                       std::vector<ProcessMemory> processes);

}  // namespace daybreak::runtime
