// Of the control segment: how much of each resource there is, and what tasks ask for, by number. Set 0 is {CPU: 1}: the
// fast path, no scheduler involved. Names, amounts and sets are added under the lock of names and never go.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "daybreak/base/atomic.h"

namespace daybreak::runtime {

#if defined(DAYBREAK_INTERLEAVE)
inline constexpr std::uint32_t kMaxResourceNames = 8, kMaxResourceSets = 16, kMaxAmounts = 32;
inline constexpr std::uint32_t kMaxEnvironments = 4;
#else
inline constexpr std::uint32_t kMaxResourceNames = 1u << 15;
inline constexpr std::uint32_t kMaxResourceSets = 1u << 15;
inline constexpr std::uint32_t kMaxAmounts = 1u << 20;  // of custom resources in all sets together
inline constexpr std::uint32_t kMaxEnvironments = 128;
#endif
inline constexpr std::uint32_t kResourceNameBytes = 64;   // NUL included
inline constexpr std::uint32_t kEnvironmentBytes = 8192;  // an environment's description, NUL included
inline constexpr std::int64_t kResourceUnit = 10'000;     // fractions are exact to 1e-4

// Numbers by the hash of what they are of, which is looked for and added under a lock. They are added before what they are
// of counts: the number of one who has died in between is another's later, so whoever finds a number compares.
template <std::uint32_t kMost>
struct HashIndex {
  static constexpr std::uint32_t kSlots = 2 * kMost;
  base::Atomic<std::uint32_t> number_plus_one[kSlots];

  // The one for which is_it(number) holds.
  template <typename F>
  std::optional<std::uint32_t> find(std::uint64_t hash, F&& is_it) const {
    for (std::uint32_t n = 0; n < kSlots; ++n) {
      const std::uint32_t found = number_plus_one[(hash + n) % kSlots].load();
      if (found == 0) break;
      if (is_it(found - 1)) return found - 1;
    }
    return std::nullopt;
  }
  void add(std::uint64_t hash, std::uint32_t number) {
    for (std::uint32_t n = 0; n < kSlots; ++n) {
      std::uint32_t none = 0;
      if (number_plus_one[(hash + n) % kSlots].compare_exchange_strong(none, number + 1)) return;
    }
  }
};

struct Amount {
  std::uint32_t name;
  std::int64_t units;  // in kResourceUnit
  bool operator==(const Amount&) const = default;
};

struct ResourceSet {
  std::int64_t cpu;  // in kResourceUnit
  std::int64_t gpu;
  std::uint32_t first;  // of its custom resources in ResourceTable::amount, in the order of their names' numbers
  std::uint32_t count;
  std::uint16_t environment;  // of the worker, from Client::environment; 0: the session's
  std::uint16_t group;        // the placement group's slot + 1 that it is taken from; 0: what no group has reserved
  std::int32_t bundle;        // of that group; -1: whichever has it
  std::uint32_t capture;      // 1: what the task submits is of the group, too
};

struct ResourceTable {
  base::Atomic<std::uint32_t> names;
  char name[kMaxResourceNames][kResourceNameBytes];
  HashIndex<kMaxResourceNames> name_index;
  base::Atomic<std::int64_t> total[kMaxResourceNames];      // 0 is CPU, 1 is GPU
  base::Atomic<std::int64_t> available[kMaxResourceNames];  // CPU: what the scheduler splits; tokens count the rest
  base::Atomic<std::uint32_t> sets;
  ResourceSet set[kMaxResourceSets];
  HashIndex<kMaxResourceSets> set_index;
  base::Atomic<std::uint32_t> amounts;
  Amount amount[kMaxAmounts];
  base::Atomic<std::uint32_t> environments;
  char environment[kMaxEnvironments][kEnvironmentBytes];  // number n at n - 1; the language binding's text
  // Process + 1 of the attached driver that it is for, 0: the engine's own; kDriverGone beside it once that has left.
  base::Atomic<std::uint32_t> driver[kMaxEnvironments];

  std::span<const Amount> custom(const ResourceSet& of) const { return {amount + of.first, of.count}; }

  static constexpr std::uint32_t kDriverGone = 1u << 31;
  std::uint32_t driver_of(std::uint32_t number) const {
    return number == 0 ? 0 : driver[number - 1].load() & ~kDriverGone;
  }
  bool driver_is_gone(std::uint32_t number) const {
    return number != 0 && (driver[number - 1].load() & kDriverGone) != 0;
  }
};

}  // namespace daybreak::runtime
