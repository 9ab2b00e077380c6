// The scheduler's tasks: those that wait for their arguments, for resources, or for room in the queue.
#include <algorithm>

#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

void Scheduler::intake(std::uint32_t index) {
  if (self_.entry(index).kind == Kind::kActorCreate) register_actor(index);
  if (dependencies_done(index))
    ready(index);
  else
    pending_.push_back(index);
}

bool Scheduler::dependencies_done(std::uint32_t index) {
  Entry& e = self_.entry(index);
  std::span<const Ref> refs = self_.args_refs(index);
  for (std::uint16_t i = 0; i < e.args.deps; ++i)
    if (self_.set_waiter(refs[i])) return false;  // one is enough: it is looked at again when that one is done
  return true;
}

void Scheduler::look_at_pending() {
  for (std::size_t n = pending_.size(); n > 0; --n) {
    std::uint32_t index = pending_.front();
    pending_.pop_front();
    Entry& e = self_.entry(index);
    State s = e.load();
    if (s.has(State::kCancelled) && e.kind == Kind::kTask) {
      if (self_.claim_pending({index, s.generation()})) client_.cancel_claimed(index);
    } else if (dependencies_done(index)) {
      ready(index);
    } else {
      pending_.push_back(index);
    }
  }
}

void Scheduler::ready(std::uint32_t index) {
  Entry& e = self_.entry(index);
  if (e.kind == Kind::kActorCreate) {
    start_actor(e.part.actor);
    return;
  }
  if (e.part.resources == 0) {
    queue(index);
    return;
  }
  std::string why;
  if (!ledger_.feasible(control_.resources.set[e.part.resources], why)) {
    if (self_.claim_pending({index, e.load().generation()})) client_.fail(index, ErrorKind::kUnschedulable, why);
    return;
  }
  waiting_.push_back(index);
}

// A kPending task into the queue that all workers take from, or into the overflow, where it stays kPending: nobody else
// touches such an entry, so it needs no looking after until there is room. False: there is none.
bool Scheduler::queue(std::uint32_t index) {
  const std::uint32_t generation = self_.entry(index).load().generation();
  if (self_.enqueue(index)) {
    self_.task_queued();
    return true;
  }
  // It is kQueued now, in no ring: whoever cancels it may claim it, and otherwise it is ours again.
  if (!self_.claim(index, generation)) return true;
  self_.revert(index, Phase::kPending);
  overflow_.push_back(index);
  return false;
}

void Scheduler::drain_overflow() {
  for (std::size_t n = overflow_.size(); n > 0; --n) {
    std::uint32_t index = overflow_.front();
    overflow_.pop_front();
    State s = self_.entry(index).load();
    if (s.has(State::kCancelled)) {
      if (self_.claim_pending({index, s.generation()})) client_.cancel_claimed(index);
    } else if (!queue(index)) {
      return;
    }
  }
}

bool Scheduler::dispatch_waiting() {
  bool again = false;
  bool cpus_short = false;
  std::size_t count = waiting_.size();
  std::vector<std::uint16_t> refused;  // sets that did not fit in this round
  for (; count > 0; --count) {
    std::uint32_t index = waiting_.front();
    waiting_.pop_front();
    Entry& e = self_.entry(index);
    Ref ref{index, e.load().generation()};
    if (e.load().has(State::kCancelled)) {
      if (self_.claim_pending(ref)) client_.cancel_claimed(index);
      continue;
    }
    if (std::find(refused.begin(), refused.end(), e.part.resources) != refused.end()) {
      waiting_.push_back(index);
      continue;
    }
    const ResourceSet& set = control_.resources.set[e.part.resources];
    Grant granted;
    std::uint32_t proc = UINT32_MAX;
    if (ledger_.grant(set, granted)) {
      proc = claim_idle_worker();
      if (proc == UINT32_MAX) {
        ledger_.revoke(granted);
        again = true;
      }
    } else {
      cpus_short |= set.cpu > 0;
    }
    if (proc == UINT32_MAX) {
      refused.push_back(e.part.resources);
      waiting_.push_back(index);
      continue;
    }
    ledger_.hand_over(granted, proc);
    e.part.gpus = granted.gpu_mask();
    e.part.target = static_cast<std::uint16_t>(proc + 1);
    running_.push_back({ref, proc, std::move(granted)});
    self_.push(proc, index, Phase::kQueued);
    self_.ring(proc);
  }
  control_.tokens_wanted.store(cpus_short ? 1 : 0);
  return again;
}

void Scheduler::collect_finished() {
  std::erase_if(running_, [&](Running& r) {
    State s = self_.entry(r.ref.index).load();
    bool over = s.generation() != r.ref.generation || (s.phase() != Phase::kRunning && s.phase() != Phase::kQueued);
    if (over)
      ledger_.revoke(r.grant);
    else if (control_.proc[r.proc].blocked.load() > 0)
      ledger_.revoke_cpus(r.grant);
    return over;
  });
}

// A task whose worker died.
void Scheduler::requeue_or_fail(std::uint32_t index, const Exit& exit) {
  Entry& e = self_.entry(index);
  self_.adopt(index);
  if (e.load().has(State::kCancelled)) {
    client_.cancel_claimed(index);
    return;
  }
  if (e.part.retries_left == 0) {
    client_.fail(index, ErrorKind::kWorkerCrashed,
                 death_note(exit, "the worker that ran the task") +
                     (e.part.attempt > 0 ? fmt::format("; it was attempt {}", e.part.attempt + 1) : ""));
    return;
  }
  if (e.part.retries_left > 0) --e.part.retries_left;
  e.part.set_attempt(e.part.attempt + 1);
  e.part.target = 0;
  self_.revert(index, Phase::kPending);
  if (e.part.resources != 0)
    waiting_.push_back(index);
  else
    queue(index);
}

}  // namespace daybreak::runtime
