// The scheduler's tasks: those that wait for their arguments, for resources, or for room in the queue.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

namespace {

constexpr std::size_t kTidyAt = 64;

}  // namespace

// A task is ours from its intake until it goes to a queue, to a worker or fails; it is kPending all that time, and
// nobody else moves it on: who cancels it marks it and tells us.
bool Scheduler::take_over(std::uint32_t index) {
  ours_[index] = true;
  State s =
      self_.entry(index).load();  // kPending by now: who marks it after this look tells us, who did before need not
  if (!s.has(State::kCancelled)) return true;
  cancel_ours({index, s.generation()});
  return false;
}

void Scheduler::cancel_ours(Ref task) {
  ours_[task.index] = false;
  if (self_.claim_pending(task)) client_.cancel_claimed(task.index);
}

// Whether it waits with us still. What stands in a line may have been cancelled, and its entry may be another object.
bool Scheduler::waits(Ref task) {
  Entry& e = self_.entry(task.index);
  if (e.load().generation() != task.generation) return false;
  if (e.kind != Kind::kActorCreate) return ours_[task.index];
  return control_.actor[e.part.actor].status.load() == ActorStatus::kPending;
}

void Scheduler::line_up(Line& line, Waiter waiter) {
  if (line.waiters.size() >= line.tidy_at) {
    std::erase_if(line.waiters, [&](const Waiter& w) { return !waits(w.task); });
    line.tidy_at = std::max(kTidyAt, 2 * line.waiters.size());
  }
  line.waiters.push_back(waiter);
}

void Scheduler::intake(std::uint32_t index) {
  Entry& e = self_.entry(index);
  const Ref task{index, e.load().generation()};
  if (e.kind == Kind::kGroup) {
    register_group(index);
    return;
  }
  if (e.kind == Kind::kActorCreate)
    register_actor(index);
  else if (((e.part.options & kAgain) != 0 && !run_again(index)) || !take_over(index))
    return;
  advance({task, 0, 0});
}

// A task whose result is lost, and which is done for the second time or more: it has a retry left, or its arguments would not
// have been kept. What it needs may have been given up with it: that is computed again first, by coming here too.
bool Scheduler::run_again(std::uint32_t index) {
  const Ref task{index, self_.entry(index).load().generation()};
  TaskPart& part = self_.entry(index).part;
  part.set_attempt(part.attempt + 1);  // before kAgain goes
  part.set_target(0);
  self_.take_up_lineage(index);
  if (const std::string lacks = lacks_to_run_again(index); !lacks.empty()) {
    if (self_.claim_pending(task)) client_.fail(index, ErrorKind::kObjectLost, lacks);
    return false;
  }
  if (part.retries_left > 0) --part.retries_left;
  control_.computed_again.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// "": nothing.
std::string Scheduler::lacks_to_run_again(std::uint32_t index) {
  const TaskPart& part = self_.entry(index).part;
  const auto because = [&](std::string_view why) {
    return fmt::format("object {:08x}{:08x} is lost, and the task that made it cannot run again: {}",
                       self_.entry(index).load().generation(), index, why);
  };
  if (self_.entry(part.function.index).load().generation() != part.function.generation)
    return because("its function is gone with the process that had pickled it; submit it again");
  if (control_.resources.driver_is_gone(control_.resources.set[part.resources].environment))
    return because("its driver has left, and its workers with it; compute it in a driver that stays");
  return {};
}

// On to the next of its dependencies that is not done, or ready. One at a time is enough: the others may be done by
// then.
void Scheduler::advance(Waiter waiter) {
  const std::uint32_t index = waiter.task.index;
  const std::uint16_t count = self_.entry(index).args.deps;
  std::span<const Ref> refs = self_.args_refs(index);
  for (std::uint16_t i = waiter.dependency; i < count; ++i) {
    if (!self_.set_waiter(refs[i])) continue;
    // Not done when it was marked; whoever completes it takes the mark and then adds it to scheduler_looks.
    Awaited& awaited = awaited_[refs[i].index];
    if (awaited.generation != refs[i].generation)
      awaited = {refs[i].generation, {}};  // whose waiters are gone: they kept it
    line_up(awaited.line, {waiter.task, i, 0});
    return;
  }
  ready(waiter.task);
}

// Something has happened to this entry, perhaps.
void Scheduler::look_at(std::uint32_t index) {
  if (auto found = awaited_.find(index); found != awaited_.end()) {
    State s = self_.settled(index);
    // It was done when we were told, and may be lost and on its way again: then it has to be marked anew, as long as a task
    // keeps it.
    const bool kept = std::ranges::any_of(found->second.line.waiters, [&](const Waiter& w) { return waits(w.task); });
    if (s.generation() != found->second.generation || !kept || !self_.set_waiter({index, s.generation()})) {
      Line line = std::move(found->second.line);
      awaited_.erase(found);
      for (const Waiter& w : line.waiters)
        if (waits(w.task)) advance({w.task, static_cast<std::uint16_t>(w.dependency + 1), 0});
    }
  }
  State s = self_.entry(index).load();
  if (s.has(State::kCancelled) && s.phase() == Phase::kQueued && self_.entry(index).kind_now() == Kind::kActorCall) {
    const std::uint32_t slot = self_.entry(index).part.actor_now();
    if (slot < kMaxActors) drop_cancelled_calls(slot);
  }
  if (!ours_[index]) return;
  s = self_.entry(index).load();
  if (s.has(State::kCancelled)) cancel_ours({index, s.generation()});
}

// After a death: who died may have completed one of them and not come to saying so.
void Scheduler::look_at_all_awaited() {
  std::vector<std::uint32_t> all;
  all.reserve(awaited_.size());
  for (const auto& [index, awaited] : awaited_) all.push_back(index);
  for (std::uint32_t index : all) look_at(index);
}

void Scheduler::ready(Ref task) {
  Entry& e = self_.entry(task.index);
  if (e.kind == Kind::kActorCreate) {
    actors_waiting_.push_back(e.part.actor);
    return;
  }
  if (e.part.resources == 0) {
    if (!overflow_.empty() || !queue(task)) overflow_.push(task);
    return;
  }
  const ResourceSet& set = control_.resources.set[e.part.resources];
  std::string why;
  if (group_is_gone(set))
    fail_for_group(task);
  else if (ledger_.feasible(set, why))
    wait_for_resources(task);
  else if (patient_)
    line_up(infeasible_[e.part.resources], {task, 0, ++turns_});
  else
    fail_ready(task, ErrorKind::kUnschedulable, why);
}

void Scheduler::wait_for_resources(Ref task) {
  const std::uint16_t set = self_.entry(task.index).part.resources;
  Line& line = waiting_[set];
  if (line.waiters.empty()) tried_.insert(set);  // one that others wait in is there, or is parked
  line_up(line, {task, 0, ++turns_});
}

void Scheduler::fail_ready(Ref task, ErrorKind kind, std::string_view why) {
  ours_[task.index] = false;
  if (self_.claim_pending(task)) client_.fail(task.index, kind, why);
}

// A task of ours into the queue that all workers take from. False: there is no room.
bool Scheduler::queue(Ref task) {
  ours_[task.index] = false;
  if (self_.enqueue(task.index)) {
    self_.task_queued();
    return true;
  }
  // It is kQueued now, in no ring: whoever cancels it may claim it, and otherwise it is ours again.
  if (!self_.claim(task.index, task.generation)) return true;
  self_.revert(task.index, Phase::kPending);
  return !take_over(task.index);
}

void Scheduler::drain_overflow() {
  for (; !overflow_.empty(); overflow_.pop())
    if (waits(overflow_.front()) && !queue(overflow_.front())) return;
}

// What waits for CPUs, other resources, a worker or a process. What is short is announced and then looked for once
// more: whoever gives back a CPU, or becomes idle, looks at the announcement after that, and rings us. So one of us
// sees the other, and nothing has to be tried again by the clock.
void Scheduler::place_what_waits() {
  for (;;) {
    wanted_ = 0;
    place_groups();
    dispatch_waiting();
    start_waiting_actors();
    const std::uint32_t announced = control_.wanted.load();
    if ((wanted_ & ~announced) == 0) {
      if (wanted_ != announced) control_.wanted.store(wanted_);
      return;
    }
    control_.wanted.store(announced | wanted_);
  }
}

// In the order of their coming, as far as their resources are free. All that ask for the same stand in one line, of
// which the first alone is tried. A line that lacks a custom resource is parked until some of that comes back: so there may
// be very many, and each is looked at when something has changed for it.
void Scheduler::dispatch_waiting() {
  for (std::uint32_t name : ledger_.take_freed())
    if (auto parked = parked_.extract(name)) tried_.insert(parked.mapped().begin(), parked.mapped().end());
  using Turn = std::pair<std::uint64_t, std::uint16_t>;
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  auto next_of = [&](std::uint16_t set, Line& line) {
    while (!line.waiters.empty() && !waits(line.waiters.front().task)) line.waiters.pop_front();
    if (!line.waiters.empty()) turns.emplace(line.waiters.front().turn, set);
  };
  for (std::uint16_t set : tried_) next_of(set, waiting_[set]);
  std::set<std::uint32_t> no_worker;  // environments
  while (!turns.empty()) {
    const std::uint16_t set = turns.top().second;
    turns.pop();
    Line& line = waiting_[set];
    const std::uint32_t environment = control_.resources.set[set].environment;
    if (no_worker.contains(environment)) continue;
    Grant granted;
    if (!ledger_.grant(control_.resources.set[set], granted)) {
      if (ledger_.lacked_cpus()) wanted_ |= Control::kCpuWanted;
      if (const std::uint32_t lacked = ledger_.lacked_custom(); lacked != kNone) {
        tried_.erase(set);
        parked_[lacked].push_back(set);
      }
      continue;
    }
    std::uint32_t proc = claim_worker(environment);
    if (proc == kNone) {
      ledger_.revoke(granted);
      wanted_ |= Control::kWorkerWanted;
      no_worker.insert(environment);
      continue;
    }
    direct(line.waiters.front().task, proc, std::move(granted));
    line.waiters.pop_front();
    next_of(set, line);
  }
  std::erase_if(tried_, [&](std::uint16_t set) {
    const auto at = waiting_.find(set);
    if (at->second.waiters.empty()) waiting_.erase(at);
    return !waiting_.contains(set);
  });
}

// Everything about the task before the push, which commits: who takes it from his inbox runs it with what he finds. The
// CPUs go over first: if the worker dies, the sweep gives back those in his name, and revoke() finds them gone. It is in
// running_ before it can be over.
void Scheduler::direct(Ref task, std::uint32_t proc, Grant granted) {
  Entry& e = self_.entry(task.index);
  ledger_.hand_over(granted, proc);
  e.part.gpu_mask = granted.gpu_mask();
  e.part.set_target(static_cast<std::uint16_t>(proc + 1));
  running_.push_back({task, proc, std::move(granted)});
  ours_[task.index] = false;
  self_.push(proc, task.index, Phase::kQueued);
  self_.ring(proc);
}

// What a task was granted comes back when it is over; its CPUs already while its worker waits for something else, as
// whoever does that lends his.
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

// A task whose worker died. Adopted first: the dead's slot is given to another soon, and what is in his name would be taken
// for that one's.
void Scheduler::requeue_or_fail(std::uint32_t index, const Exit& exit) {
  Entry& e = self_.entry(index);
  self_.adopt(index);
  if (e.load().has(State::kCancelled)) {
    client_.cancel_claimed(index);
    return;
  }
  const Ref task{index, e.load().generation()};
  if (memory_death_ && may_be_retried(e.part) && (memory_death_->retry || memory_death_->runs != task)) {
    e.part.set_attempt(e.part.attempt + 1);  // Ray's, too, counts it as no retry
    if (back_to_us(index)) held_.push_back(task);
    return;
  }
  if (memory_death_) {
    client_.fail(index, ErrorKind::kOutOfMemory, memory_death_->note.head + memory_death_->note.rest);
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
  wait_again(index);
}

// A task that has been with a worker, or in a ring of the queue, and is claimed by us: as if it were new, but for its
// dependencies. Its target goes while it is ours; once it is kPending it may be cancelled, which take_over() looks for.
void Scheduler::wait_again(std::uint32_t index) {
  const Ref task{index, self_.entry(index).load().generation()};
  if (back_to_us(index)) ready(task);
}

bool Scheduler::back_to_us(std::uint32_t index) {
  self_.entry(index).part.set_target(0);
  self_.revert(index, Phase::kPending);
  return take_over(index);
}

}  // namespace daybreak::runtime
