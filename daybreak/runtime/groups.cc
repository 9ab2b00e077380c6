// Placement groups: what their makers and users do with them (Client), and what the scheduler does. The ledger has the
// books: resources.h.
#include <signal.h>

#include <algorithm>
#include <cstring>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/robust_guard.h"
#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

namespace {

constexpr std::string_view kRemovedText =
    "the placement group was removed: what was in it has ended, and nothing more runs in it";

constexpr std::int64_t kShownNs = 50'000;  // how soon it is looked for again

constexpr std::string_view kActorRemovedText = "the actor died because its placement group was removed";

bool is_there(const PlacementGroup& group) {
  const GroupStatus status = group.status.load();
  return (status == GroupStatus::kPending || status == GroupStatus::kCreated) && group.remove.load() == 0;
}

}  // namespace

// As an actor's: the slot is ours, in kReserved, and nobody finds the group before the scheduler has it. Of removed groups
// the one removed longest ago gives its slot up, so that a set of resources that names it is not taken for another's.
base::Result<Client::Group> Client::reserve_group(const GroupOptions& options) {
  if (options.bundles.empty() || options.bundles.size() > kMaxBundles)
    return base::fail(base::Code::kInvalidArgument, "{} bundles: a placement group has 1 to {}", options.bundles.size(),
                      kMaxBundles);
  if (options.name.size() >= kNameBytes)
    return base::fail(base::Code::kInvalidArgument,
                      "the placement group's name has {} bytes with its namespace, at most {} are possible",
                      options.name.size(), kNameBytes - 1);
  DAYBREAK_ASSIGN(Ref ref, p_.create(Kind::kGroup));
  Control& control = p_.control();
  RobustGuard guard(p_, control.names_lock);
  std::uint32_t slot = kNone;
  std::string_view trouble;
  for (std::uint32_t i = 0; i < kMaxGroups; ++i) {
    PlacementGroup& group = control.group[i];
    const GroupStatus status = group.status.load();
    if (is_there(group) && !options.name.empty() && options.name == group.name) trouble = "name";
    if (status != GroupStatus::kFree && status != GroupStatus::kRemoved) continue;
    const std::uint64_t removed_ns = status == GroupStatus::kFree ? 0 : group.removed_ns.load();
    if (slot == kNone ||
        removed_ns <
            (control.group[slot].status.load() == GroupStatus::kFree ? 0 : control.group[slot].removed_ns.load()))
      slot = i;
  }
  if (slot == kNone || !trouble.empty()) {
    p_.abandon(ref.index);
    if (!trouble.empty())
      return base::fail(base::Code::kAlreadyExists, "a placement group named '{}' is there: choose another name",
                        options.name.substr(options.name.find('/') + 1));
    return base::fail(base::Code::kUnavailable, "{} placement groups are there, more are not possible: remove some",
                      kMaxGroups);
  }
  PlacementGroup& group = control.group[slot];
  group.status.store(GroupStatus::kFree);  // a death before the last line leaves it so
  group.remove.store(0);
  group.ready = ref;
  group.maker = p_.id();
  group.creator = options.detached ? 0 : options.creator;
  group.driver = options.detached || options.creator != 0 ? 0 : own_driver();
  group.strategy = options.strategy;
  group.bundles = static_cast<std::uint32_t>(options.bundles.size());
  std::copy(options.bundles.begin(), options.bundles.end(), group.bundle);
  std::snprintf(group.name, sizeof group.name, "%s", options.name.c_str());
  group.status.store(GroupStatus::kReserved);
  return Group{ref, slot};
}

base::Status Client::start_group(Group group, const Payload& value) {
  if (auto written = set_value(group.ready.index, value); !written) {
    p_.control().group[group.slot].status.store(GroupStatus::kFree);
    p_.abandon(group.ready.index);
    return written;
  }
  p_.entry(group.ready.index).part.set_actor(group.slot);
  DAYBREAK_FAILPOINT("group.reserved");
  p_.push(Process::kSchedulerList, group.ready.index, Phase::kPending);
  p_.ring(kSchedulerProc);
  // Until the scheduler shows it, so that who has it finds it.
  while (p_.control().group[group.slot].status.load() == GroupStatus::kReserved && !p_.stopping())
    p_.sleep(p_.bell(), kShownNs);
  return {};
}

base::Result<Client::Group> Client::find_group(std::string_view name) {
  RobustGuard guard(p_, p_.control().names_lock);
  for (std::uint32_t slot = 0; slot < kMaxGroups; ++slot) {
    PlacementGroup& group = p_.control().group[slot];
    if (!is_there(group) || name != group.name) continue;
    p_.hold(group.ready);  // the scheduler has it, and lets go of it under this lock only
    return Group{group.ready, slot};
  }
  return base::fail(base::Code::kNotFound, "there is no placement group named '{}' in this namespace",
                    name.substr(name.find('/') + 1));
}

std::optional<Ref> Client::hold_group(Group group) {
  RobustGuard guard(p_, p_.control().names_lock);
  PlacementGroup& found = p_.control().group[group.slot];
  if (!is_there(found) || found.ready != group.ready) return std::nullopt;
  p_.hold(found.ready);
  return found.ready;
}

void Client::remove_group(Group group) {
  RobustGuard guard(p_, p_.control().names_lock);
  PlacementGroup& found = p_.control().group[group.slot];
  if (!is_there(found) || found.ready != group.ready) return;
  found.remove.store(1);
  p_.ring(kSchedulerProc);
}

// ---------------------------------------------------------------------------------------------------------------------
// The scheduler's side.

// Our reference before it is shown: who finds the group by its name takes his own while we have it.
void Scheduler::register_group(std::uint32_t index) {
  Entry& e = self_.entry(index);
  self_.hold({index, e.load().generation()});
  groups_.push_back(e.part.actor);
  control_.group[e.part.actor].status.store(GroupStatus::kPending);
}

// In the order of their coming, as far as there is room. One that can never have it waits, as more may come to a runtime of
// several machines.
void Scheduler::place_groups() {
  for (std::uint32_t slot : groups_) {
    PlacementGroup& group = control_.group[slot];
    if (group.status.load() != GroupStatus::kPending || group.remove.load() != 0) continue;
    if (group.strategy == kStrictSpread && group.bundles > 1) continue;  // this machine is one
    if (!ledger_.reserve(slot, {group.bundle, group.bundles})) {
      if (ledger_.lacked_cpus()) wanted_ |= Control::kCpuWanted;
      continue;
    }
    group.status.store(GroupStatus::kCreated);
    if (self_.claim_pending(group.ready)) self_.publish(group.ready.index, false);
  }
}

void Scheduler::look_after_groups() {
  for (std::size_t i = 0; i < groups_.size();) {
    const std::uint32_t slot = groups_[i++];
    if (control_.group[slot].remove.load() == 0) continue;
    groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(--i));
    remove_group(slot);
  }
  // What no worker has begun fails; what runs is killed, again until it has ended: of a process that has just started the
  // launcher may not know yet where to send it.
  for (const Running& running : running_) {
    if (!ledger_.lost_its_group(running.grant)) continue;
    if (self_.claim(running.ref.index, running.ref.generation)) {
      client_.fail(running.ref.index, ErrorKind::kGroupRemoved, kRemovedText);
      continue;
    }
    const State s = self_.entry(running.ref.index).load();
    if (s.generation() == running.ref.generation && s.phase() == Phase::kRunning &&
        s.proc_plus_one() == running.proc + 1)
      launcher_.signal(running.proc, SIGKILL);
  }
}

// kRemoved first: what waits for the group, or tries again below, finds it so and fails. What it had reserved is free
// before those that use it have ended, as nobody can tell how long they take; the grants that they have give nothing back.
// Tasks that run in it end by look_after_groups().
void Scheduler::remove_group(std::uint32_t slot) {
  PlacementGroup& group = control_.group[slot];
  group.removed_ns.store(static_cast<std::uint64_t>(Client::now_ns()));
  group.status.store(GroupStatus::kRemoved);
  ledger_.release(slot);
  for (const auto& [actor, grant] : actor_grants_)
    if (grant.group == slot) end_for_group(actor);
  std::vector<std::uint32_t> actors(actors_waiting_.begin(), actors_waiting_.end());
  for (std::uint32_t actor : actors)
    if (set_of_actor(actor).group == slot + 1u && control_.actor[actor].status.load() != ActorStatus::kDead)
      actor_dies(actor, kRemovedText);
  for (auto& [set, line] : waiting_) {
    if (control_.resources.set[set].group != slot + 1u) continue;
    for (const Waiter& waiter : std::exchange(line.waiters, {})) fail_for_group(waiter.task);
  }
  if (self_.claim_pending(group.ready)) client_.fail(group.ready.index, ErrorKind::kGroupRemoved, kRemovedText);
  RobustGuard guard(self_, control_.names_lock);
  self_.release(group.ready);
}

const ResourceSet& Scheduler::set_of_actor(std::uint32_t slot) {
  return control_.resources.set[self_.entry(control_.actor[slot].creation.index).part.resources];
}

void Scheduler::end_for_group(std::uint32_t actor) {
  evicted_[actor] = kActorRemovedText;
  control_.actor[actor].terminate.store(2);  // look_after_actors() sees to the rest
}

bool Scheduler::group_is_gone(const ResourceSet& set) const {
  return set.group != 0 && control_.group[set.group - 1].status.load() == GroupStatus::kRemoved;
}

void Scheduler::fail_for_group(Ref task) {
  if (waits(task)) fail_ready(task, ErrorKind::kGroupRemoved, kRemovedText);
}

// Those that an actor has made go with it.
void Scheduler::remove_groups_of(std::uint32_t actor) {
  for (std::uint32_t slot : groups_)
    if (control_.group[slot].creator == actor + 1) {
      control_.group[slot].remove.store(1);
      self_.ring(kSchedulerProc);  // in the next round
    }
}

// Slots that a dead process had reserved without coming to start_group().
void Scheduler::free_reserved_groups(std::uint32_t dead) {
  for (PlacementGroup& group : control_.group) {
    if (group.status.load() != GroupStatus::kReserved || group.maker != dead) continue;
    if (self_.entry(group.ready.index).load().generation() != group.ready.generation)
      group.status.store(GroupStatus::kFree);
  }
}

}  // namespace daybreak::runtime
