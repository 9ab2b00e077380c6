// What has ended: a ring of records for each process, of the tasks and calls that it has run, and one of dead actors, which the
// scheduler writes. They lie in shared memory, so whoever looks into the engine reads them (view.h), and the death of a
// process takes nothing away. The oldest are written over.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "daybreak/base/atomic.h"

namespace daybreak::runtime {

inline constexpr std::size_t kRecordNameBytes = 136;

// A line of the cache. Times are ticks (ticks_now).
struct TaskRecord {
  static constexpr std::uint8_t kSpan = 255;  // a `kind`: what the user's code has measured, and no task

  std::uint64_t task = 0, parent = 0, actor = 0;  // Refs, as words; the actor's creation
  std::uint64_t start = 0;                        // 0: it never began
  std::uint64_t end = 0;
  std::int32_t pid = 0, thread = 0;
  std::uint16_t name = 0;  // in RecordNames
  std::uint8_t kind = 0, error = 0;
  std::uint32_t attempt = 0;
};

// Texts by number, from 1 on; none is ever forgotten. 0: there was none; kMany: there are too many.
struct RecordNames {
  static constexpr std::uint16_t kMany = UINT16_MAX;
#if defined(DAYBREAK_INTERLEAVE)
  static constexpr std::uint32_t kMax = 2;
#else
  static constexpr std::uint32_t kMax = 4096;
#endif
  base::Atomic<std::uint32_t> count;
  struct {
    std::uint8_t size;
    char text[kRecordNameBytes + 7];
  } name[kMax];
};

// What a record's times are read from: the processor's counter where that runs evenly, else CLOCK_MONOTONIC's ns. What is
// between is found by two looks at both, one at the engine's start and one of who reads.
bool counter_runs_evenly();
inline std::uint64_t ticks_now() {
#if defined(__x86_64__)
  static const bool evenly = counter_runs_evenly();
  if (evenly) return __builtin_ia32_rdtsc();
#endif
  return static_cast<std::uint64_t>(base::monotonic_ns());
}
struct Moment {
  std::uint64_t ticks = 0;
  std::int64_t ns = 0;
};
Moment moment_now();

struct DeadActorRecord {
  std::uint64_t actor = 0;
  std::int64_t end_ns = 0;
  std::int32_t pid = 0, restarts = 0;
  std::uint32_t detached = 0, resources = 0;
  char name[120] = {};
  char class_name[64] = {};
  char death[512] = {};
};

// Several threads of one process write; others read. A record is whole when its number is the same before and after: it is
// taken away first and set last.
template <typename Record, std::uint32_t kRecords>
struct HistoryRing {
  static constexpr std::size_t kWords = sizeof(Record) / 8;
  static_assert(sizeof(Record) % 8 == 0);
  struct Cell {
    base::Atomic<std::uint64_t> number;  // of the record, from 1; 0: none
    base::Atomic<std::uint64_t> word[kWords];
  };
  base::Atomic<std::uint64_t> written;
  Cell cell[kRecords];

  void write(const Record& record) {
    const std::uint64_t number = written.fetch_add(1, std::memory_order_relaxed) + 1;
    Cell& at = cell[number % kRecords];
    const auto words = std::bit_cast<std::array<std::uint64_t, kWords>>(record);
    at.number.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < kWords; ++i) at.word[i].store(words[i], std::memory_order_relaxed);
    at.number.store(number, std::memory_order_release);
  }

  std::optional<Record> read(std::uint32_t index) const {
    const Cell& at = cell[index];
    const std::uint64_t before = at.number.load(std::memory_order_acquire);
    if (before == 0) return std::nullopt;
    std::array<std::uint64_t, kWords> words;
    for (std::size_t i = 0; i < kWords; ++i) words[i] = at.word[i].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (at.number.load(std::memory_order_relaxed) != before) return std::nullopt;
    return std::bit_cast<Record>(words);
  }
};

}  // namespace daybreak::runtime
