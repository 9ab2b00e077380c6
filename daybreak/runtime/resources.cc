#include "daybreak/runtime/resources.h"

#include <algorithm>

namespace daybreak::runtime {

namespace {

// Whether a bundle that is all free could grant the set.
bool fits(const ResourceTable& table, const ResourceSet& set, const ResourceSet& bundle) {
  if (set.cpu > bundle.cpu || set.gpu > bundle.gpu) return false;
  const std::span<const Amount> there = table.custom(bundle);
  return std::ranges::all_of(table.custom(set), [&](const Amount& asked) {
    const auto has = std::ranges::lower_bound(there, asked.name, {}, &Amount::name);
    return has != there.end() && has->name == asked.name && has->units >= asked.units;
  });
}

// Units of these GPUs: whole ones, and a part of one of them. Empty where they do not have as much.
std::vector<std::pair<std::uint32_t, std::int64_t>> choose_gpus(
    std::int64_t wanted, std::span<const std::pair<std::uint32_t, std::int64_t>> free) {
  std::vector<std::pair<std::uint32_t, std::int64_t>> chosen;
  for (auto [gpu, units] : free) {
    const std::int64_t take = std::min(wanted, kResourceUnit);
    if (take == 0) break;
    if (units < take) continue;
    chosen.emplace_back(gpu, take);
    wanted -= take;
  }
  if (wanted > 0) chosen.clear();
  return chosen;
}

}  // namespace

std::uint64_t Grant::gpu_mask() const {
  std::uint64_t mask = 0;
  for (auto [gpu, units] : gpus)
    if (gpu < 64) mask |= 1ull << gpu;
  return mask;
}

ResourceLedger::ResourceLedger(Process& scheduler, std::uint32_t gpus)
    : scheduler_(scheduler), control_(scheduler.control()), gpu_free_(gpus, kResourceUnit) {}

bool ResourceLedger::feasible(const ResourceSet& set, std::string& why) const {
  const ResourceTable& table = control_.resources;
  if (set.group != 0) {
    const PlacementGroup& group = control_.group[set.group - 1];
    for (std::uint32_t i = 0; i < group.bundles; ++i)
      if ((set.bundle < 0 || set.bundle == static_cast<std::int32_t>(i)) &&
          fits(table, set, table.set[group.bundle[i]]))
        return true;
    why = set.bundle < 0 ? std::string("no bundle of its placement group has what it asks for")
                         : fmt::format("bundle {} of its placement group has less than it asks for", set.bundle);
    why += ": it can never run; ask for less, or make the bundles larger";
    return false;
  }
  auto check = [&](std::string_view asked_as, std::uint32_t name, std::int64_t amount) {
    if (amount <= table.total[name].load()) return true;
    why = fmt::format("{}={} asked, the runtime has {}: it can never run; lower {}, or give init() more", asked_as,
                      static_cast<double>(amount) / kResourceUnit,
                      static_cast<double>(table.total[name].load()) / kResourceUnit, asked_as);
    return false;
  };
  if (!check("num_cpus", 0, set.cpu) || !check("num_gpus", 1, set.gpu)) return false;
  return std::ranges::all_of(
      table.custom(set), [&](const Amount& asked) { return check(table.name[asked.name], asked.name, asked.units); });
}

// Tokens, which workers take at any time, are asked for last: all that was looked at before is the scheduler's alone.
bool ResourceLedger::grant(const ResourceSet& set, Grant& out) {
  ResourceTable& table = control_.resources;
  lacked_cpus_ = false;
  lacked_custom_ = kNone;
  if (set.group != 0) return grant_reserved(set, out);
  for (const Amount& asked : table.custom(set))
    if (table.available[asked.name].load() < asked.units) {
      lacked_custom_ = asked.name;
      return false;
    }
  std::vector<std::pair<std::uint32_t, std::int64_t>> free_gpus, gpus;
  if (set.gpu > 0) {
    for (std::uint32_t gpu = 0; gpu < gpu_free_.size(); ++gpu) free_gpus.emplace_back(gpu, gpu_free_[gpu]);
    gpus = choose_gpus(set.gpu, free_gpus);
    if (gpus.empty()) return false;
  }
  out.token_owner = scheduler_.id();
  if (!take_cpus(set.cpu, out)) {
    lacked_cpus_ = true;
    revoke_cpus(out);
    return false;
  }
  for (const auto [name, units] : table.custom(set)) {
    table.available[name].fetch_sub(units);
    out.custom.emplace_back(name, units);
  }
  for (auto [gpu, units] : gpus) {
    gpu_free_[gpu] -= units;
    table.available[1].fetch_sub(units);
  }
  out.gpus = std::move(gpus);
  table.available[0].store(shared_left());
  return true;
}

// False: too few; `out` has those that were there.
bool ResourceLedger::take_cpus(std::int64_t units, Grant& out) {
  for (std::int64_t whole = units / kResourceUnit; whole > 0; --whole) {
    std::uint32_t token = scheduler_.acquire_token(scheduler_.id());
    if (token == kNone) return false;
    out.tokens.push_back(token);
  }
  const std::int64_t fraction = units % kResourceUnit;
  if (fraction == 0) return true;
  auto shared =
      std::find_if(shared_tokens_.begin(), shared_tokens_.end(), [&](auto& t) { return t.second >= fraction; });
  if (shared == shared_tokens_.end()) {
    std::uint32_t token = scheduler_.acquire_token(scheduler_.id());
    if (token == kNone) return false;
    shared = shared_tokens_.emplace(token, kResourceUnit).first;
  }
  shared->second -= fraction;
  out.shared_token = shared->first;
  out.shared_units = fraction;
  return true;
}

void ResourceLedger::hand_over(Grant& grant, std::uint32_t proc) {
  for (std::uint32_t token : grant.tokens) {
    std::uint32_t holder = grant.token_owner + 1;  // one exchange: nobody can take it in between
    control_.token[token].holder.compare_exchange_strong(holder, proc + 1);
  }
  grant.token_owner = proc;
}

std::int64_t ResourceLedger::shared_left() const {
  std::int64_t left = 0;
  for (auto [token, units] : shared_tokens_) left += units;
  return left;
}

void ResourceLedger::revoke_cpus(Grant& grant) {
  if (grant.reservation != 0) {
    if (Bundle* bundle = bundle_of(grant)) bundle->cpu += grant.bundle_cpu;
    grant.bundle_cpu = 0;
    return;
  }
  bool released = false;
  for (std::uint32_t token : grant.tokens) {
    std::uint32_t holder = grant.token_owner + 1;  // gone already where the sweep of a dead holder came first
    released |= control_.token[token].holder.compare_exchange_strong(holder, 0);
  }
  grant.tokens.clear();
  if (grant.shared_units > 0) {
    auto shared = shared_tokens_.find(grant.shared_token);
    if (shared != shared_tokens_.end() && (shared->second += grant.shared_units) >= kResourceUnit) {
      scheduler_.release_token(shared->first, scheduler_.id());
      shared_tokens_.erase(shared);
      released = true;
    }
    grant.shared_units = 0;
  }
  control_.resources.available[0].store(shared_left());
  // A worker that wanted it meanwhile has gone to sleep. None is woken for nothing: it would ring us, and so for ever.
  if (released && !scheduler_.queue_empty()) scheduler_.wake_idle();
}

void ResourceLedger::revoke(Grant& grant) {
  if (grant.reservation != 0) {
    if (Bundle* bundle = bundle_of(grant)) bundle->give_back(grant);
    grant = Grant{};
    return;
  }
  revoke_cpus(grant);
  for (auto [name, units] : grant.custom) {
    control_.resources.available[name].fetch_add(units);
    freed_custom_.push_back(name);
  }
  for (auto [gpu, units] : grant.gpus) {
    gpu_free_[gpu] += units;
    control_.resources.available[1].fetch_add(units);
  }
  grant.custom.clear();
  grant.gpus.clear();
}

// ---------------------------------------------------------------------------------------------------------------------
// Placement groups.

bool ResourceLedger::reserve(std::uint32_t group, std::span<const std::uint16_t> sets) {
  Reservation made{.number = last_reservation_ + 1, .bundles = {}};
  for (std::uint16_t set : sets) {
    Bundle& bundle = made.bundles.emplace_back();
    if (grant(control_.resources.set[set], bundle.reserved)) {
      bundle.cpu = control_.resources.set[set].cpu;
      bundle.gpus = bundle.reserved.gpus;
      for (auto [name, units] : bundle.reserved.custom) bundle.custom[name] += units;
      continue;
    }
    const bool lacked_cpus = lacked_cpus_;
    made.bundles.pop_back();
    for (Bundle& granted : made.bundles) revoke(granted.reserved);
    lacked_cpus_ = lacked_cpus;
    return false;
  }
  ++last_reservation_;
  reservations_[group] = std::move(made);
  return true;
}

void ResourceLedger::release(std::uint32_t group) {
  auto found = reservations_.find(group);
  if (found == reservations_.end()) return;
  for (Bundle& bundle : found->second.bundles) revoke(bundle.reserved);
  reservations_.erase(found);
}

// Nothing of it is in shared memory, and no CPU is ever lacking: a bundle that is busy becomes free by a grant of its own.
// Who may have any of them gets one that has nothing else to offer first, so that what only asks for CPUs does not sit where
// the GPU is that another waits for.
bool ResourceLedger::grant_reserved(const ResourceSet& set, Grant& out) {
  auto found = reservations_.find(set.group - 1u);
  if (found == reservations_.end()) return false;
  std::vector<Bundle>& bundles = found->second.bundles;
  auto offers_more = [&](const Bundle& bundle) {
    return (set.gpu == 0 && !bundle.gpus.empty()) || bundle.custom.size() > set.count;
  };
  auto granted = [&](std::uint32_t i) {
    if (!bundles[i].take(set, control_.resources.custom(set), out)) return false;
    out.reservation = found->second.number;
    out.group = found->first;
    out.bundle = i;
    return true;
  };
  if (set.bundle >= 0) {
    const auto asked = static_cast<std::uint32_t>(set.bundle);
    return asked < bundles.size() && granted(asked);
  }
  for (bool more : {false, true})
    for (std::uint32_t i = 0; i < bundles.size(); ++i)
      if (offers_more(bundles[i]) == more && granted(i)) return true;
  return false;
}

bool ResourceLedger::Bundle::take(const ResourceSet& set, std::span<const Amount> asked, Grant& out) {
  if (set.cpu > cpu) return false;
  for (const auto [name, units] : asked) {
    auto free = custom.find(name);
    if (free == custom.end() || free->second < units) return false;
  }
  std::vector<std::pair<std::uint32_t, std::int64_t>> chosen = choose_gpus(set.gpu, gpus);
  if (set.gpu > 0 && chosen.empty()) return false;
  cpu -= set.cpu;
  out.bundle_cpu = set.cpu;
  for (const auto [name, units] : asked) {
    custom[name] -= units;
    out.custom.emplace_back(name, units);
  }
  for (auto [gpu, units] : chosen)
    for (auto& [id, free] : gpus)
      if (id == gpu) free -= units;
  out.gpus = std::move(chosen);
  return true;
}

void ResourceLedger::Bundle::give_back(Grant& grant) {
  cpu += grant.bundle_cpu;
  for (auto [name, units] : grant.custom) custom[name] += units;
  for (auto [gpu, units] : grant.gpus)
    for (auto& [id, free] : gpus)
      if (id == gpu) free += units;
}

bool ResourceLedger::lost_its_group(const Grant& grant) {
  return grant.reservation != 0 && bundle_of(grant) == nullptr;
}

// Null: its group has been removed, and what it had is another's.
ResourceLedger::Bundle* ResourceLedger::bundle_of(const Grant& grant) {
  auto found = reservations_.find(grant.group);
  if (found == reservations_.end() || found->second.number != grant.reservation) return nullptr;
  return &found->second.bundles[grant.bundle];
}

}  // namespace daybreak::runtime
