// The scheduler's further drivers: processes that nobody here has started, which come and go while the engine runs.
#include <algorithm>
#include <vector>

#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

void Scheduler::admit(std::uint32_t guest, std::int32_t pid) {
  {
    base::MutexLock lock(mutex_);
    guests_.push_back({guest, pid});
  }
  self_.ring_surely(kSchedulerProc);
}

// Behind the queue's rings, as long as there are any: those are for who takes from them. Not one after which workers
// or actors of a driver that was there before are called still: what they submit would go with this one.
void Scheduler::let_in(const Guest& guest) {
  std::uint32_t proc = kNone;
  for (std::uint32_t n = 0; n < kMaxProcs - kFirstProc && proc == kNone; ++n) {
    const std::uint32_t i = kFirstProc + (kRings + n) % (kMaxProcs - kFirstProc);
    if (control_.proc[i].status.load() == ProcStatus::kFree && !anyone_works_for(i)) proc = i;
  }
  if (proc == kNone) {
    std::ignore = launcher_.admitted(guest.number, kNone);
    return;
  }
  ProcSlot& slot = control_.proc[proc];
  set_up_slot(proc, ProcKind::kDriver, kNone, 0);
  slot.pid = guest.pid;
  slot.status = ProcStatus::kAlive;
  if (!launcher_.admitted(guest.number, proc))
    slot.status = ProcStatus::kFree;  // it has gone, and never knew of its slot
}

// Of the driver in this slot, in environments that it has described.
bool Scheduler::anyone_works_for(std::uint32_t driver) const {
  for (std::uint32_t i = kFirstProc; i < self_.procs_used(); ++i) {
    const ProcSlot& slot = control_.proc[i];
    const ProcStatus status = slot.status.load();
    if (status != ProcStatus::kFree && i != driver && control_.resources.driver_of(slot.environment) == driver + 1)
      return true;
  }
  return false;
}

// Its driver has left, and so have its actors: nobody asks for it any more.
bool Scheduler::is_abandoned(std::uint32_t environment) {
  const ResourceTable& table = control_.resources;
  if (!table.driver_is_gone(environment)) return false;
  return std::ranges::none_of(actors_, [&](std::uint32_t slot) {
    return table.driver_of(set_of_actor(slot).environment) == table.driver_of(environment);
  });
}

// With what they have submitted. Only tasks in environments of this driver: another process had the slot before, and what
// it submitted may be there still.
void Scheduler::cancel_tasks_of(std::uint32_t submitter, std::uint32_t driver) {
  std::vector<Ref> tasks;
  self_.for_each_entry([&](std::uint32_t index) {
    Entry& e = self_.entry(index);
    const State s = e.load();
    if (e.kind_now() != Kind::kTask || s.done() || s.phase() == Phase::kDying) return;
    if (e.part.submitter_now() != submitter) return;
    const ResourceSet& set = control_.resources.set[e.part.resources];
    if (control_.resources.driver_of(set.environment) == driver + 1) tasks.push_back({index, s.generation()});
  });
  for (Ref task : tasks) client_.cancel(task, true, true);
}

// A worker of a driver that has left: it may have submitted something after that was looked through.
void Scheduler::end_left_over(std::uint32_t dead) {
  const std::uint32_t environment = control_.proc[dead].environment;
  if (control_.resources.driver_is_gone(environment))
    cancel_tasks_of(dead, control_.resources.driver_of(environment) - 1);
}

// What it has submitted ends with it, and what that has submitted; detached actors and groups stay.
void Scheduler::end_driver(std::uint32_t driver) {
  cancel_tasks_of(driver, driver);
  for (std::uint32_t slot : actors_)
    if (control_.resources.driver_of(set_of_actor(slot).environment) == driver + 1)
      end_with(slot, "driver that it was of");
  ResourceTable& table = control_.resources;
  for (std::uint32_t i = 0; i < table.environments.load(); ++i)
    if (table.driver[i].load() == driver + 1) table.driver[i].store((driver + 1) | ResourceTable::kDriverGone);
  for (std::uint32_t slot : groups_)
    if (control_.group[slot].driver == driver + 1) {
      control_.group[slot].remove.store(1);
      self_.ring(kSchedulerProc);
    }
}

}  // namespace daybreak::runtime
