// The scheduler's processes: how many there are, how they end.
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "daybreak/runtime/scheduler.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kPrestarted = 64;    // workers that are made before anybody asks
constexpr std::uint32_t kExtraWorkers = 64;  // beyond one a CPU, for tasks that want none
constexpr std::int64_t kSurplusIdleNs = 3'000'000'000;
constexpr std::int64_t kInterruptAgainNs = 20'000'000;  // twice as long each time
constexpr std::uint32_t kInterrupts = 8;
constexpr std::int64_t kInheritedLookNs = 5'000'000'000;     // one look at every entry
constexpr std::int64_t kEnvironmentIdleNs = 30'000'000'000;  // a new worker of one costs 100 ms
constexpr std::uint32_t kMaxConsecutiveFailures =
    20;  // workers that die before their first task: something is wrong with the set-up

}  // namespace

// All but its status, by which the process is told that it may begin.
void Scheduler::set_up_slot(std::uint32_t proc, ProcKind kind, std::uint32_t actor, std::uint32_t environment) {
  raise_to(control_.procs_used, proc + 1);
  ProcSlot& slot = control_.proc[proc];
  slot.kind = kind;
  slot.actor = actor;
  slot.environment = environment;
  slot.pid = 0;
  slot.blocked = 0;
  slot.running = 0;
  slot.cancel = 0;
  slot.interrupted = 0;
  slot.asked_to_exit = 0;
  slot.cpu = 0;
  slot.idle_since_ns = static_cast<std::uint64_t>(Client::now_ns());
}

// kNone: no slot is free, or the launcher cannot now (launch_failed_).
std::uint32_t Scheduler::spawn(ProcKind kind, std::uint32_t actor, std::uint32_t environment) {
  std::uint32_t proc = kNone;
  for (std::uint32_t i = kSchedulerProc + 1; i < kMaxProcs && proc == kNone; ++i)
    if (control_.proc[i].status.load() == ProcStatus::kFree) proc = i;
  if (proc == kNone || launch_failed_) return kNone;
  ProcSlot& slot = control_.proc[proc];
  set_up_slot(proc, kind, actor, environment);
  slot.status = ProcStatus::kStarting;  // last: from here on the process may be there
  if (launcher_.launch(proc, kind, actor)) {
    launched_ = true;
    return proc;
  }
  slot.status = ProcStatus::kFree;
  launch_failed_ = true;
  return kNone;
}

std::uint32_t Scheduler::claim_worker(std::uint32_t environment) {
  return environment == 0 ? claim_idle_worker() : claim_worker_of(environment);
}

bool Scheduler::runs_something(std::uint32_t proc) const {
  return std::any_of(running_.begin(), running_.end(), [&](const Running& r) { return r.proc == proc; });
}

// These have no idle bits, as they take nothing from the queue: what we have not given them they do not run. kNone: all of
// them are busy, but another is on its way where that is possible.
std::uint32_t Scheduler::claim_worker_of(std::uint32_t environment) {
  std::uint32_t workers = 0;
  bool starting = false;
  for (std::uint32_t proc = kFirstProc; proc < self_.procs_used(); ++proc) {
    ProcSlot& slot = control_.proc[proc];
    if (slot.kind != ProcKind::kWorker || slot.environment != environment || slot.asked_to_exit.load() != 0) continue;
    const ProcStatus status = slot.status.load();
    if (status == ProcStatus::kAlive && !runs_something(proc)) return proc;
    starting |= status == ProcStatus::kStarting;
    workers += status == ProcStatus::kAlive && slot.blocked.load() == 0;
  }
  if (!starting && workers < control_.num_cpus + kExtraWorkers) spawn(ProcKind::kWorker, kNone, environment);
  return kNone;
}

void Scheduler::end_idle_of_environments() {
  for (std::uint32_t proc = kFirstProc; proc < self_.procs_used(); ++proc) {
    ProcSlot& slot = control_.proc[proc];
    if (slot.kind != ProcKind::kWorker || slot.environment == 0 || slot.status.load() != ProcStatus::kAlive) continue;
    if (slot.asked_to_exit.load() != 0 || runs_something(proc)) continue;
    surplus_ = true;  // to look again
    const std::int64_t idle_ns = Client::now_ns() - static_cast<std::int64_t>(slot.idle_since_ns.load());
    if (idle_ns < kEnvironmentIdleNs && !is_abandoned(slot.environment)) continue;
    slot.asked_to_exit.store(1);
    self_.ring(proc);
  }
}

// Its workers end before they can run anything, and the next one would, too.
void Scheduler::fail_environment(std::uint32_t environment, std::string_view why) {
  for (auto& [set, line] : waiting_) {
    if (control_.resources.set[set].environment != environment) continue;
    for (const Waiter& waiter : std::exchange(line.waiters, {}))
      if (waits(waiter.task)) fail_ready(waiter.task, ErrorKind::kEnvironment, why);
  }
}

// A worker that sleeps idle, taken out of the idle bits: nobody else wakes it for the queue now. kNone: none, but
// one is on its way where that is possible.
std::uint32_t Scheduler::claim_idle_worker() {
  std::uint32_t workers = 0, starting = 0, blocked = 0;
  // The highest: the lowest is the queue's next, and warm.
  for (std::uint32_t proc = self_.procs_used(); proc-- > kFirstProc;)
    if (self_.is_idle(proc) && self_.claim_idle(proc)) return proc;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < self_.procs_used(); ++proc) {
    ProcSlot& slot = control_.proc[proc];
    if (slot.kind != ProcKind::kWorker || slot.environment != 0) continue;
    ProcStatus status = slot.status.load();
    if (status == ProcStatus::kStarting) {
      ++starting;
    } else if (status == ProcStatus::kAlive) {
      ++workers;
      blocked += slot.blocked.load() > 0;
    }
  }
  if (starting == 0 && workers - blocked < control_.num_cpus + kExtraWorkers) spawn(ProcKind::kWorker, kNone, 0);
  return kNone;
}

// `workers_short` is said before the length of the queue is asked for; who queues a task looks at it afterwards, and rings
// us. So his task is counted here, or he rings. A surplus worker is taken out of the idle bits before it is asked to exit:
// nobody wakes it for a task that it would leave.
void Scheduler::keep_workers() {
  std::uint32_t workers = 0, blocked = 0, started = 0;
  std::vector<std::uint32_t> long_idle;
  std::int64_t now = 0;
  bool idle = false;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < self_.procs_used(); ++proc) {
    ProcSlot& slot = control_.proc[proc];
    ProcStatus status = slot.status.load();
    if (slot.kind != ProcKind::kWorker || (status != ProcStatus::kAlive && status != ProcStatus::kStarting)) continue;
    if (slot.asked_to_exit.load() != 0 || slot.environment != 0) continue;
    ++workers;
    started += status == ProcStatus::kAlive;
    blocked += slot.blocked.load() > 0;
    if (self_.is_idle(proc)) {
      idle = true;
      if (now == 0) now = Client::now_ns();
      if (now - static_cast<std::int64_t>(slot.idle_since_ns.load()) > kSurplusIdleNs) long_idle.push_back(proc);
    }
  }
  std::uint32_t free_to_run = workers - std::min(blocked, workers);
  std::uint32_t wanted = control_.num_cpus;
  surplus_ = workers > wanted;  // those that wait in get now are surplus later, and nobody rings then
  end_idle_of_environments();
  control_.workers_short.store(free_to_run < wanted ? 1 : 0);
  for (std::uint32_t extra = free_to_run > wanted ? free_to_run - wanted : 0; extra > 0 && !long_idle.empty();
       --extra) {
    std::uint32_t proc = long_idle.back();
    long_idle.pop_back();
    if (!self_.claim_idle(proc)) continue;
    control_.proc[proc].asked_to_exit.store(1);
    self_.ring(proc);
  }
  if (free_to_run >= wanted) return;
  if (failures_ >= kMaxConsecutiveFailures) {
    if (self_.queue_empty()) return;
    failures_ = 0;  // what waited has been failed; the next task tries again
  }
  std::uint32_t missing = wanted - free_to_run;
  std::uint64_t queued = self_.queue_length();
  std::uint32_t spawned = 0;
  while (missing > 0 && (workers + spawned < std::min(wanted, kPrestarted) || (!idle && queued > spawned))) {
    if (spawn(ProcKind::kWorker, kNone, 0) == kNone) {
      if (!launch_failed_ && spawned == 0 && started == blocked && !idle && queued > 0) break_deadlock();
      break;
    }
    ++spawned;
    --missing;
  }
}

// The wish is taken before the state is looked at: who cancels marks the state first. A task that has ended meanwhile is
// not found there, and its worker is left alone.
// Cancelled tasks that run: the worker's main thread is interrupted, or with force the worker ends.
void Scheduler::pass_interrupts_on() {
  for (std::uint32_t proc = kSchedulerProc + 1; proc < self_.procs_used(); ++proc) {
    ProcSlot& slot = control_.proc[proc];
    if (slot.cancel.load() == 0 || slot.status.load() != ProcStatus::kAlive) continue;
    std::uint32_t wanted = slot.cancel.exchange(0);
    if (wanted == 0) continue;
    State s = self_.entry(wanted - 1).load();
    if (s.phase() != Phase::kRunning || s.proc_plus_one() != proc + 1 || !s.has(State::kCancelled)) continue;
    slot.interrupted.store(0);
    launcher_.signal(proc, s.has(State::kForced) ? SIGKILL : SIGINT);
    self_.ring(proc);  // it may be about to sleep, and the interrupt have come before that
    if (!s.has(State::kForced))
      interrupts_.push_back({{wanted - 1, s.generation()}, proc, 0, Client::now_ns() + kInterruptAgainNs});
  }
}

// An interrupt that comes when the task's own code is about to sleep in the kernel, but does not yet, is seen when that
// sleep is over, perhaps never: so it comes again until the main thread has seen it. What runs elsewhere than there is
// told in another way.
void Scheduler::interrupt_again() {
  const std::int64_t now = interrupts_.empty() ? 0 : Client::now_ns();
  std::erase_if(interrupts_, [&](Interrupt& i) {
    ProcSlot& slot = control_.proc[i.proc];
    const State s = self_.entry(i.task.index).load();
    const bool runs = s.generation() == i.task.generation && s.phase() == Phase::kRunning &&
                      s.proc_plus_one() == i.proc + 1 && slot.status.load() == ProcStatus::kAlive;
    if (!runs || slot.interrupted.load() == i.task.index + 1 || i.times == kInterrupts) return true;
    if (now < i.due_ns) return false;
    if (slot.running.load() == i.task.index + 1) launcher_.signal(i.proc, SIGINT);
    i.due_ns = now + (kInterruptAgainNs << ++i.times);
    return false;
  });
}

// Every process that is possible waits for a task that none is left to run.
void Scheduler::break_deadlock() {
  std::uint32_t index = self_.dequeue();
  if (index == kNone) return;
  client_.fail(
      index, ErrorKind::kRuntime,
      fmt::format(
          "all {} processes wait for tasks that they have submitted, and no more are possible: nest less deeply",
          kMaxProcs - 2));
}

std::string Scheduler::death_note(const Exit& exit, std::string_view what) {
  std::int32_t pid = control_.proc[exit.proc].pid;
  std::string how;
  if ((exit.status & 0x7f) != 0) {
    int signal = exit.status & 0x7f;
    const char* name = sigabbrev_np(signal);
    how = fmt::format("was killed by signal {} (SIG{})", signal, name != nullptr ? name : "?");
    if (signal == SIGKILL) how += "; the kernel does that when memory runs out, or somebody ran kill -9";
    if (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGABRT)
      how += "; native code that it ran has crashed";
  } else {
    how = fmt::format("ended with exit code {}", (exit.status >> 8) & 0xff);
  }
  std::string note = fmt::format("{} (pid {}) {}", what, pid, how);
  if (exit.max_rss_kb > 0) note += fmt::format("; it had used {} MB at most", exit.max_rss_kb / 1024);
  if (!exit.last_lines.empty()) note += fmt::format(". The last lines that it printed:{}", exit.last_lines);
  return note;
}

// Of tasks that are not over or may run again, and of actors, which may be restarted; each as generation << 32 | index. An entry that becomes
// another while it is looked at names one function too many at most.
std::set<std::uint64_t> Scheduler::functions_in_use() {
  std::set<std::uint64_t> used;
  self_.for_each_entry([&](std::uint32_t i) {
    Entry& e = self_.entry(i);
    const Kind kind = e.kind_now();
    if (kind != Kind::kActorCreate && (kind != Kind::kTask || (e.load().done() && !e.part.has_now(kKept)))) return;
    const Ref function = e.part.function_now();
    used.insert(std::uint64_t{function.generation} << 32 | function.index);
  });
  return used;
}

// A function is held by the process that has pickled it, and not by each task that runs it: that would be two operations
// on one word of everybody for every task. So what the tasks of a dead process need would go with it, were it not ours
// from here on. Its bits are there until the sweep, and what they hold cannot go before that.
void Scheduler::inherit_functions(std::uint32_t dead) {
  const std::uint32_t entries = control_.entry_blocks_used.load() * kEntriesPerBlock;
  const std::set<std::uint64_t> used = functions_in_use();
  drop_inherited(used);
  for (const std::uint64_t function : used) {
    const Ref ref{static_cast<std::uint32_t>(function), static_cast<std::uint32_t>(function >> 32)};
    if (ref.index >= entries) continue;
    if (!self_.is_holder(ref.index, dead) || self_.entry(ref.index).load().generation() != ref.generation) continue;
    if (std::find(inherited_.begin(), inherited_.end(), ref) != inherited_.end()) continue;
    self_.hold(ref);
    inherited_.push_back(ref);
  }
}

void Scheduler::drop_inherited(const std::set<std::uint64_t>& used) {
  std::erase_if(inherited_, [&](Ref function) {
    const bool over = !used.contains(std::uint64_t{function.generation} << 32 | function.index);
    if (over) self_.release(function);
    return over;
  });
  inherited_look_ns_ = Client::now_ns() + kInheritedLookNs;
}

// The order matters: what the dead leaves to tasks is ours before the sweep drops it; the sweep comes before anything is
// given back, so that what was in the dead process's name is found there; what he was running is adopted, and fails or waits again, after the sweep has dropped what he had written; the
// slot is free only when nothing speaks of the dead any more, as its next process would be taken for him.
void Scheduler::bury(const Exit& exit) {
  ProcSlot& slot = control_.proc[exit.proc];
  bool by_hand = exit.status == SIGKILL;  // somebody's or the kernel's: says nothing about the set-up
  const bool never_entered = !by_hand && slot.environment != 0 && exit.never_ran && exit.status != 0;
  if (!by_hand && slot.environment == 0 && slot.kind != ProcKind::kDriver)
    failures_ = exit.never_ran && exit.status != 0 ? failures_ + 1 : 0;
  memory_death_.reset();
  if (auto end = memory_ends_.extract(exit.proc); end && by_hand) memory_death_ = std::move(end.mapped());
  std::vector<std::uint32_t> inbox;
  self_.take_all(exit.proc, inbox);  // their entries are in the sweep's list too
  inherit_functions(exit.proc);
  Process::SweepResult swept = self_.sweep(exit.proc);
  free_reserved(exit.proc);
  free_reserved_groups(exit.proc);
  end_actors_of(exit.proc, slot.kind != ProcKind::kWorker || exit.status != 0);

  for (Ref ref : swept.queued)
    if (self_.claim(ref.index, ref.generation)) wait_again(ref.index);
  // Further results that it was about to write: with their task again, which fails or goes on below.
  std::erase_if(swept.lost, [&](std::uint32_t index) {
    if (self_.entry(index).kind != Kind::kReturn) return false;
    self_.adopt(index);
    self_.revert(index, Phase::kPending);
    return true;
  });
  std::vector<std::uint32_t> redirected;
  for (std::uint32_t index : swept.directed) {
    if (self_.entry(index).kind == Kind::kTask)
      redirected.push_back(index);
    else
      limbo_calls_.push_back(index);
  }
  std::erase_if(running_, [&](Running& r) {
    if (r.proc != exit.proc) return false;
    ledger_.revoke(r.grant);
    return true;
  });
  for (std::uint32_t index : redirected)
    if (self_.claim(index, self_.entry(index).load().generation())) wait_again(index);
  if (slot.kind == ProcKind::kActor) {
    lost_calls_ = swept.lost;
    actor_exited(slot.actor, exit);
    lost_calls_.clear();
    limbo_calls_.clear();
  } else {
    for (std::uint32_t index : swept.lost) requeue_or_fail(index, exit);
    if (never_entered) fail_environment(slot.environment, death_note(exit, "a worker of the task's runtime_env"));
  }
  if (slot.kind == ProcKind::kDriver) end_driver(exit.proc);
  if (slot.kind == ProcKind::kWorker) end_left_over(exit.proc);
  memory_death_.reset();
  launcher_.buried(exit.proc);
  slot.status = ProcStatus::kFree;
  if (failures_ > 0 && failures_ % kMaxConsecutiveFailures == 0) {
    fail_everything(fmt::format("{} workers in a row died before they could run a task, so no more are started. {}",
                                failures_, death_note(exit, "The last one")));
  }
}

// Processes cannot be started: what waits for one gets the reason instead of waiting for ever.
void Scheduler::fail_everything(std::string_view why) {
  for (std::uint32_t index; (index = self_.dequeue()) != kNone;) client_.fail(index, ErrorKind::kRuntime, why);
  auto fail_ours = [&](Ref task) {
    if (!waits(task)) return;
    ours_[task.index] = false;
    if (self_.claim_pending(task)) client_.fail(task.index, ErrorKind::kRuntime, why);
  };
  for (; !overflow_.empty(); overflow_.pop()) fail_ours(overflow_.front());
  // What is left alive gives its resources back one day.
  for (std::uint32_t proc = kSchedulerProc + 1; proc < self_.procs_used(); ++proc)
    if (control_.proc[proc].status.load() == ProcStatus::kAlive && control_.proc[proc].kind != ProcKind::kDriver)
      return;
  tried_.clear();
  parked_.clear();
  for (auto* lines : {&waiting_, &infeasible_})
    for (auto& [set, line] : std::exchange(*lines, {}))
      for (const Waiter& waiter : line.waiters) fail_ours(waiter.task);
  for (std::uint32_t slot : std::exchange(actors_waiting_, {}))
    if (control_.actor[slot].status.load() != ActorStatus::kDead) actor_dies(slot, why);
}

}  // namespace daybreak::runtime
