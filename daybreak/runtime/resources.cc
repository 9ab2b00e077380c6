#include "daybreak/runtime/resources.h"

#include <algorithm>

namespace daybreak::runtime {

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
  auto check = [&](std::string_view asked_as, std::uint32_t name, std::int64_t amount) {
    if (amount <= table.total[name].load()) return true;
    why = fmt::format("{}={} asked, the runtime has {}: it can never run; lower {}, or give init() more", asked_as,
                      static_cast<double>(amount) / kResourceUnit,
                      static_cast<double>(table.total[name].load()) / kResourceUnit, asked_as);
    return false;
  };
  if (!check("num_cpus", 0, set.cpu) || !check("num_gpus", 1, set.gpu)) return false;
  for (std::uint32_t i = 0; i < set.count; ++i)
    if (!check(table.name[set.custom[i].name], set.custom[i].name, set.custom[i].amount)) return false;
  return true;
}

// Tokens, which workers take at any time, are asked for last: all that was looked at before is the scheduler's alone.
bool ResourceLedger::grant(const ResourceSet& set, Grant& out) {
  ResourceTable& table = control_.resources;
  lacked_cpus_ = false;
  for (std::uint32_t i = 0; i < set.count; ++i)
    if (table.available[set.custom[i].name].load() < set.custom[i].amount) return false;
  std::vector<std::pair<std::uint32_t, std::int64_t>> gpus;
  std::int64_t left = set.gpu;
  for (std::uint32_t gpu = 0; gpu < gpu_free_.size() && left > 0; ++gpu) {
    std::int64_t wanted = std::min(left, kResourceUnit);
    if (gpu_free_[gpu] < wanted) continue;
    gpus.emplace_back(gpu, wanted);
    left -= wanted;
  }
  if (left > 0) return false;
  out.token_owner = scheduler_.id();
  if (!take_cpus(set.cpu, out)) {
    lacked_cpus_ = true;
    revoke_cpus(out);
    return false;
  }
  for (std::uint32_t i = 0; i < set.count; ++i) {
    table.available[set.custom[i].name].fetch_sub(set.custom[i].amount);
    out.custom.emplace_back(set.custom[i].name, set.custom[i].amount);
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
  revoke_cpus(grant);
  for (auto [name, units] : grant.custom) control_.resources.available[name].fetch_add(units);
  for (auto [gpu, units] : grant.gpus) {
    gpu_free_[gpu] += units;
    control_.resources.available[1].fetch_add(units);
  }
  grant.custom.clear();
  grant.gpus.clear();
}

}  // namespace daybreak::runtime
