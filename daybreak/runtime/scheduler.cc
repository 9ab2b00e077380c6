#include "daybreak/runtime/scheduler.h"

#include <algorithm>

namespace daybreak::runtime {

namespace {

constexpr std::int64_t kOverflowNs = 1'000'000;         // how soon the queue is tried again when it was full
constexpr std::int64_t kSurplusLookNs = 1'000'000'000;  // how often idle workers are counted while there are too many
constexpr std::int64_t kFirstLaunchRetryNs = 1'000'000;
constexpr std::uint32_t kMaxLaunchDoublings = 8;  // up to 256 ms
constexpr std::uint32_t kMaxFailedLaunches = 20;  // rounds: 3.5 s

}  // namespace

Scheduler::Scheduler(Process& self, Process& driver, SchedulerOptions options, Launcher& launcher)
    : self_(self),
      driver_(driver),
      client_(self),
      control_(self.control()),
      launcher_(launcher),
      ledger_(self, options.gpus),
      patient_(options.patient),
      memory_threshold_(options.memory_threshold),
      memory_refresh_ns_(options.memory_refresh_ns),
      ours_(kMaxObjects),
      memory_busy_ns_(Client::now_ns()) {}

void Scheduler::run() {
  while (control_.stopping.load() == 0) {
    std::uint32_t seen = self_.bell();  // before the look: what is rung for after it ends the sleep
    std::int64_t timeout_ns = step();
    if (control_.stopping.load() == 0) self_.sleep(seen, timeout_ns);
  }
}

// kDead at once, before it is buried: the scheduler itself may be waiting for a lock or a verdict of the dead.
void Scheduler::exited(Exit exit) {
  base::Atomic<ProcStatus>& status = control_.proc[exit.proc].status;
  exit.never_ran = status.exchange(ProcStatus::kDead) == ProcStatus::kStarting;
  {
    base::MutexLock lock(mutex_);
    exits_.push_back(std::move(exit));
  }
  self_.ring_surely(kSchedulerProc);  // the dead may have been about to wake it
}

// The dead first: what they held comes back, and what they had done without saying so is looked for, before anything is
// decided by what is free. Then what others have told us, of which tasks become ready or end, and what was finished gives
// back what it had been granted. Then what waits is placed, by all that is free by now. How many workers there have to be
// comes last, when it is known what is queued. Nothing that comes meanwhile is lost: it rang after run() read the bell.
std::int64_t Scheduler::step() {
  launch_failed_ = launched_ = false;
  std::vector<Exit> exits;
  std::vector<Guest> guests;
  {
    base::MutexLock lock(mutex_);
    exits.swap(exits_);
    guests.swap(guests_);
  }
  for (const Exit& exit : exits) {
    if (control_.stopping.load() != 0) return -1;  // there may be thousands, and nobody is left to whom it matters
    bury(exit);
  }
  for (const Guest& guest : guests) let_in(guest);
  if (!exits.empty()) look_at_all_awaited();
  pass_interrupts_on();
  interrupt_again();

  taken_.clear();
  self_.take_all(Process::kSchedulerList, taken_);
  for (std::uint32_t index : taken_) intake(index);
  control_.scheduler_looks.take([this](std::uint32_t index) { look_at(index); });
  drain_overflow();
  collect_finished();
  look_after_groups();
  const std::int64_t memory_ns = watch_memory();  // what it lets go on is placed now
  place_what_waits();
  look_after_actors();
  keep_workers();
  if (!inherited_.empty() && Client::now_ns() >= inherited_look_ns_) drop_inherited(functions_in_use());
  const std::int64_t others_ns = due_ns();
  return memory_ns < 0 || others_ns < 0 ? std::max(memory_ns, others_ns) : std::min(memory_ns, others_ns);
}

// When something has to be tried again.
std::int64_t Scheduler::due_ns() {
  if (launch_failed_) {
    failed_launches_ = launched_ ? 0 : failed_launches_ + 1;
    if (failed_launches_ == kMaxFailedLaunches) {
      failed_launches_ = 0;
      fail_everything("no process could be started for some seconds; the program's standard error says why");
    }
    return kFirstLaunchRetryNs << std::min(failed_launches_, kMaxLaunchDoublings);
  }
  failed_launches_ = 0;
  if (!overflow_.empty()) return kOverflowNs;  // who makes room in the queue does not know that we wait for it
  std::int64_t due = surplus_ ? kSurplusLookNs : -1;
  const std::int64_t now = inherited_.empty() && interrupts_.empty() ? 0 : Client::now_ns();
  auto by = [&](std::int64_t at_ns) {
    const std::int64_t left = std::max<std::int64_t>(at_ns - now, 1);
    due = due < 0 ? left : std::min(due, left);
  };
  if (!inherited_.empty()) by(inherited_look_ns_);
  for (const Interrupt& interrupt : interrupts_) by(interrupt.due_ns);
  return due;
}

}  // namespace daybreak::runtime
