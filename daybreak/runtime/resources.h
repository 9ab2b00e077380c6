// Who has which CPUs, GPUs and custom resources.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/runtime/process.h"

namespace daybreak::runtime {

// Resources that the scheduler has given to a task or an actor. Goes back by ResourceLedger::revoke, never by itself.
struct Grant {
  std::vector<std::uint32_t> tokens;  // whole CPUs
  std::uint32_t token_owner = 0;      // process that they are in the name of
  std::uint32_t shared_token = kNone;
  std::int64_t shared_units = 0;                               // of that token, for a fraction of a CPU
  std::vector<std::pair<std::uint32_t, std::int64_t>> gpus;    // id, units
  std::vector<std::pair<std::uint32_t, std::int64_t>> custom;  // name, units
  std::uint64_t reservation = 0;  // that it was taken from, by its number; 0: none. It has no tokens then
  std::uint32_t group = kNone;    // whose that is
  std::uint32_t bundle = 0;
  std::int64_t bundle_cpu = 0;  // units of the bundle's

  std::uint64_t gpu_mask() const;  // bit i: GPU i, of the first 64
};

// Books of the runtime's resources. CPUs are the tokens in shared memory, which workers take by themselves; everything
// else is counted here alone, and what is free of it is shown in Control::resources for whoever asks. Used by the
// scheduler's thread only.
class ResourceLedger {
 public:
  // `scheduler`: in whose name tokens are taken. `gpus`: GPUs with the ids 0, 1, ...
  ResourceLedger(Process& scheduler, std::uint32_t gpus);

  // Whether the set could be granted if nobody had anything; else why not, for the user.
  bool feasible(const ResourceSet& set, std::string& why) const;
  // All or nothing, in the scheduler's name. Cost: O(CPUs asked + GPUs), O(CPUs) when there are too few.
  bool grant(const ResourceSet& set, Grant& out);
  // Why the last one failed: everything else was there.
  bool lacked_cpus() const { return lacked_cpus_; }
  // Or the number of a custom resource of which too little was free; kNone: it was something else.
  std::uint32_t lacked_custom() const { return lacked_custom_; }
  // Numbers of the custom resources of which some has come back since the last call.
  std::vector<std::uint32_t> take_freed() { return std::exchange(freed_custom_, {}); }
  // The whole CPUs go into the name of `proc`, so that the sweep of its death frees them too.
  void hand_over(Grant& grant, std::uint32_t proc);
  // The CPUs come back, for a holder that sleeps or is gone; all other resources stay. Twice does no harm.
  void revoke_cpus(Grant& grant);
  void revoke(Grant& grant);

  // For the placement group in this slot: each of the sets becomes a bundle, all or none. Sets that name the group are
  // granted from its bundles from then on. Cost: as a grant of each.
  bool reserve(std::uint32_t group, std::span<const std::uint16_t> sets);
  // What was reserved is free again. Grants that were taken from it give nothing back any more.
  void release(std::uint32_t group);
  // Whether what it was taken from has been released since.
  bool lost_its_group(const Grant& grant);

 private:
  std::int64_t shared_left() const;

  bool take_cpus(std::int64_t units, Grant& out);

  struct Bundle {
    Grant reserved;
    std::int64_t cpu = 0;  // this and the following: units of it that are free
    std::vector<std::pair<std::uint32_t, std::int64_t>> gpus;
    std::map<std::uint32_t, std::int64_t> custom;

    bool take(const ResourceSet& set, std::span<const Amount> asked, Grant& out);
    void give_back(Grant& grant);
  };
  struct Reservation {
    std::uint64_t number = 0;
    std::vector<Bundle> bundles;
  };
  bool grant_reserved(const ResourceSet& set, Grant& out);
  Bundle* bundle_of(const Grant& grant);

  Process& scheduler_;
  Control& control_;
  bool lacked_cpus_ = false;
  std::uint32_t lacked_custom_ = kNone;
  std::vector<std::uint32_t> freed_custom_;
  std::map<std::uint32_t, std::int64_t> shared_tokens_;  // token that is split into fractions -> units left
  std::vector<std::int64_t> gpu_free_;                   // units, by id
  std::map<std::uint32_t, Reservation> reservations_;    // by the group's slot
  std::uint64_t last_reservation_ = 0;
};

}  // namespace daybreak::runtime
