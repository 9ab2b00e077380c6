// The scheduler's memory monitor: ends a process when too much memory is in use, and lets its task go on later. It looks
// by the clock, but only while something runs.
#include <signal.h>

#include <algorithm>
#include <utility>

#include "daybreak/runtime/memory_policy.h"
#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

namespace {

constexpr std::int64_t kIdleLooks = 4;  // in a row, after which the next worker that wakes has to ring us

}  // namespace

// After how many ns the next look is due; -1: a worker that leaves its sleep will ring. He does so where we have said that
// we sleep, before we look once more whether all are idle: so he sees that we do, or we see that he is not. An actor
// counts as running all its life, as it may have threads of its own.
std::int64_t Scheduler::watch_memory() {
  if (memory_refresh_ns_ <= 0 || memory_threshold_ >= 1) return -1;
  const std::int64_t now = Client::now_ns();
  if (!memory_asleep_ && now < memory_due_ns_) return memory_due_ns_ - now;
  const bool rung = memory_asleep_ && control_.memory_asleep.load() == 0;
  const bool runs = anything_runs() || !held_.empty();
  if (runs || rung) memory_busy_ns_ = now;
  if (now - memory_busy_ns_ >= kIdleLooks * memory_refresh_ns_) {
    control_.memory_asleep.store(1);
    memory_asleep_ = true;
    if (!anything_runs()) return -1;
    memory_busy_ns_ = now;
  }
  control_.memory_asleep.store(0);
  memory_asleep_ = false;
  if (runs) look_at_memory(now);
  memory_due_ns_ = now + memory_refresh_ns_;
  return memory_refresh_ns_;
}

bool Scheduler::anything_runs() const {
  for (std::uint32_t proc = kFirstProc; proc < self_.procs_used(); ++proc) {
    const ProcSlot& slot = control_.proc[proc];
    const ProcStatus status = slot.status.load();
    if (status == ProcStatus::kStarting) return true;
    if (status != ProcStatus::kAlive || slot.kind == ProcKind::kDriver) continue;
    if (slot.kind == ProcKind::kActor) return true;
    if (slot.environment != 0 ? runs_something(proc) : !self_.is_idle(proc)) return true;
  }
  return false;
}

// One at a time: what it had is free only when it is gone.
void Scheduler::look_at_memory(std::int64_t now) {
  const std::vector<MemoryCandidate> candidates = memory_candidates(now);
  for (const auto& [proc, end] : memory_ends_) launcher_.signal(proc, SIGKILL);  // its pid may not have been known
  if (!memory_ends_.empty()) return;
  const std::optional<base::MemoryUse> use = launcher_.memory_use();
  if (!use && !std::exchange(memory_unknown_, true))
    launcher_.tell("the memory monitor is blind: /proc/meminfo does not say what is available");
  control_.memory_looks.store(control_.memory_looks.load() + 1);
  const bool full =
      use && static_cast<double>(use->used_bytes) > memory_threshold_ * static_cast<double>(use->total_bytes);
  if (full && !candidates.empty())
    end_for_memory(candidates, *use);
  else
    release_one_held();  // all at once would fill it again; where nobody is left to make room it goes on alone, or fails
}

void Scheduler::release_one_held() {
  while (!held_.empty()) {
    const Ref task = held_.front();
    held_.pop_front();
    if (!waits(task)) continue;  // it was cancelled
    ready(task);
    return;
  }
}

// With when they were first seen: what a process runs is not written down when it begins.
std::vector<MemoryCandidate> Scheduler::memory_candidates(std::int64_t now) {
  std::vector<MemoryCandidate> found;
  memory_seen_.resize(kMaxProcs);
  for (std::uint32_t proc = kFirstProc; proc < self_.procs_used(); ++proc) {
    ProcSlot& slot = control_.proc[proc];
    Seen& seen = memory_seen_[proc];
    Ref runs = kNoRef;
    MemoryCandidate candidate{.proc = proc};
    if (slot.status.load() == ProcStatus::kAlive && slot.kind == ProcKind::kActor) {
      const ActorSlot& actor = control_.actor[slot.actor];
      runs = actor.creation;
      candidate.owner = actor.reserver;
      candidate.retriable = actor.max_restarts < 0 || actor.restarts < actor.max_restarts;
    } else if (const std::uint32_t running = slot.running.load();
               running != 0 && running <= kMaxObjects && slot.status.load() == ProcStatus::kAlive) {
      Entry& e = self_.entry(running - 1);
      const State s = e.load();
      if (s.phase() == Phase::kRunning && s.proc_plus_one() == proc + 1) {
        runs = {running - 1, s.generation()};
        candidate.owner = e.part.submitter_now();
        candidate.retriable = may_be_retried(e.part);
      }
    }
    if (runs == kNoRef) {
      seen = {};
      continue;
    }
    if (seen.runs != runs || seen.pid != slot.pid) seen = {runs, slot.pid, now};
    candidate.since_ns = seen.since_ns;
    found.push_back(candidate);
  }
  return found;
}

// Also the retries that it has left after crashes may be none by now.
bool Scheduler::may_be_retried(const TaskPart& part) {
  return part.retries_left != 0 || part.attempt != 0;
}

void Scheduler::end_for_memory(std::vector<MemoryCandidate> candidates, const base::MemoryUse& use) {
  std::vector<ProcessMemory> processes = launcher_.processes_memory();
  auto of = [&](std::uint32_t proc) {
    auto found = std::find_if(processes.begin(), processes.end(), [&](const auto& p) { return p.proc == proc; });
    return found == processes.end() ? ProcessMemory{proc, control_.proc[proc].pid, 0, "a process"} : *found;
  };
  for (MemoryCandidate& candidate : candidates) candidate.bytes = of(candidate.proc).bytes;
  const MemoryVictim victim = choose_victim(candidates).value();
  const MemoryCandidate& chosen = candidates[victim.index];
  std::string_view end = "it may not be tried again (max_retries=0)";
  if (control_.proc[chosen.proc].kind == ProcKind::kActor)
    end = chosen.retriable ? "it is restarted" : "it has no restarts left (max_restarts=)";
  else if (victim.retry)
    end = "it is tried again when less is in use";
  else if (chosen.retriable)
    end = "it is not tried again, as no other task of its caller ran that could have made room";
  const ProcessMemory ended = of(chosen.proc);
  MemoryNote note = memory_note(use, memory_threshold_, ended, end, std::move(processes));
  launcher_.tell(note.head);
  memory_ends_[chosen.proc] = {std::move(note), memory_seen_[chosen.proc].runs, victim.retry};
  launcher_.signal(chosen.proc, SIGKILL);
}

}  // namespace daybreak::runtime
