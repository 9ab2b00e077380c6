// The scheduler's actors: made, restarted, ended, and their calls carried over.
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "daybreak/runtime/robust_guard.h"
#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

namespace {

constexpr std::string_view kOwnNamespace = "_daybreak/";  // of actors of our own, which live by their handles alone
constexpr char kWithoutEnvironment[] = ", which could not enter its runtime_env,";  // Python's RuntimeEnvSetupError
constexpr std::string_view kGroupGone = "the actor died because its placement group was removed";

}  // namespace

// Our references before it is published: from that moment on the handles may go, and with the last the entry. kPending
// before it is published as well: who waits for the name (find_actor) takes it for made, and reads the entry's arguments.
void Scheduler::register_actor(std::uint32_t index) {
  Entry& e = self_.entry(index);
  Ref ref{index, e.load().generation()};
  ActorSlot& actor = control_.actor[e.part.actor];
  self_.hold(ref);
  if (actor.detached != 0) driver_.hold(ref);
  actor.status.store(ActorStatus::kPending);
  actors_.push_back(e.part.actor);
  self_.publish(index, false);  // from here on the references to it are the handles
}

// Slots that a dead process had reserved, and whose creation went with it before the scheduler knew of it.
void Scheduler::free_reserved(std::uint32_t dead) {
  for (ActorSlot& actor : std::span(control_.actor, control_.actors_used.load())) {
    if (actor.status.load() != ActorStatus::kReserved || actor.reserver != dead) continue;
    State s = self_.entry(actor.creation.index).load();
    if (s.generation() != actor.creation.generation) actor.status.store(ActorStatus::kFree);  // else it is in the inbox
  }
}

void Scheduler::start_waiting_actors() {
  for (std::uint32_t slot : std::exchange(actors_waiting_, {}))
    if (control_.actor[slot].status.load() != ActorStatus::kDead) start_actor(slot);
}

// What it was granted is in the entry before there is a process that looks. Which process it is comes last, and then we
// ring: who had pushed a call before that found nobody to ring.
void Scheduler::start_actor(std::uint32_t slot) {
  ActorSlot& actor = control_.actor[slot];
  Entry& creation = self_.entry(actor.creation.index);
  const ResourceSet& set = control_.resources.set[creation.part.resources];
  std::string why;
  if (group_is_gone(set)) {
    actor_dies(slot, kGroupGone);
    return;
  }
  if (!ledger_.feasible(set, why)) {
    if (!patient_) actor_dies(slot, why);
    return;
  }
  Grant granted;
  std::uint32_t proc = kNone;
  if (ledger_.grant(set, granted)) {
    creation.part.gpu_mask = granted.gpu_mask();
    proc = spawn(ProcKind::kActor, slot, set.environment);
    if (proc == kNone) ledger_.revoke(granted);
    if (proc == kNone && !launch_failed_) {
      actor_dies(slot, fmt::format("no more than {} processes are possible: kill some actors", kMaxProcs - 2));
      return;
    }
  } else if (ledger_.lacked_cpus()) {
    wanted_ |= Control::kCpuWanted;
  }
  if (proc == kNone) {
    actors_waiting_.push_back(slot);
    return;
  }
  actor_grants_[slot] = std::move(granted);
  actor.proc.store(proc + 1);
  control_.proc[proc].asked_to_exit.store(1);  // who has cancelled a call before that did not know whom to tell
  self_.ring(proc);                            // it may be up already
}

// Why its process has ended, for a person: what did it, where that was not the process.
std::string Scheduler::end_of_actor(std::uint32_t slot, const Exit& exit, std::uint32_t terminate, bool left) {
  const std::string who = described_actor(control_, control_.actor[slot]);
  if (auto evicted = evicted_.extract(slot)) return std::move(evicted.mapped());
  if (terminate == 2 || terminate == 3)
    return fmt::format("{} was killed by kill(): The actor is dead because it was killed by `ray.kill`", who);
  if (left)
    return fmt::format("{} has ended: a method called exit_actor() or raised SystemExit, or nobody had its handle",
                       who);
  if (memory_death_) return memory_death_->note.head;  // without the rest, for which ActorSlot::death has no room
  return death_note(exit, fmt::format("the process of {}{}", who, lacked_environment(exit) ? kWithoutEnvironment : ""));
}

bool Scheduler::lacked_environment(const Exit& exit) const {
  return exit.never_ran && exit.status != 0 && exit.status != SIGKILL && control_.proc[exit.proc].environment != 0;
}

// `proc` goes to 0 first: a call that is pushed from here on rings nobody, and lies in the inbox when the calls are
// looked at. What was granted comes back before it is asked for again. kRestarting is said when nothing speaks of a
// kill() any more that the death has obeyed, but before a call fails: whose caller, told so, calls again finds it. The
// actor waits for its next process last.
void Scheduler::actor_exited(std::uint32_t slot, const Exit& exit) {
  ActorSlot& actor = control_.actor[slot];
  Entry& creation = self_.entry(actor.creation.index);
  actor.proc.store(0);
  if (auto grant = actor_grants_.find(slot); grant != actor_grants_.end()) {
    ledger_.revoke(grant->second);
    actor_grants_.erase(grant);
  }
  std::uint32_t terminate = actor.terminate.load();
  bool constructor_failed = creation.error == ErrorKind::kUser;
  bool may_restart = actor.max_restarts < 0 || actor.restarts < actor.max_restarts;
  bool left = exit.status == 0 && terminate == 1;  // exit_actor(), or the last handle is gone
  const std::vector<std::uint32_t> queued = take_calls(slot);
  limbo_calls_.clear();
  // Without a handle it comes back for calls alone that may be tried again.
  auto tried_again = [&](std::uint32_t index) { return may_try(index); };
  const bool awaited = terminate != 1 || std::any_of(lost_calls_.begin(), lost_calls_.end(), tried_again) ||
                       std::any_of(queued.begin(), queued.end(), tried_again);
  const bool no_environment = lacked_environment(exit);  // the next process would end so, too
  bool restart = may_restart && !left && !constructor_failed && !no_environment && terminate != 2 && awaited;
  const bool for_memory = memory_death_ && terminate < 2 && !evicted_.contains(slot);
  const std::string note = end_of_actor(slot, exit, terminate, left);
  auto lose = [&](std::uint32_t index) {
    if (self_.entry(index).load().has(State::kCancelled))
      client_.cancel_claimed(index);
    else if (for_memory)
      client_.fail(index, ErrorKind::kOutOfMemory, note + memory_death_->note.rest);
    else
      client_.fail(index, ErrorKind::kActorDied, restart ? fmt::format("{}; {}", note, kActorComesBack) : note);
  };
  for (std::uint32_t index : lost_calls_) self_.adopt(index);
  if (!restart) {
    for (std::uint32_t index : lost_calls_) lose(index);
    actor_dies(slot, note);
    fail_calls(queued);
    return;
  }
  ++actor.restarts;
  std::uint32_t killed = 3, none = 0;
  actor.terminate.compare_exchange_strong(killed, 0);
  // Whose last handle went while it said 3 could not say 1.
  if (creation.load().has(State::kNoHandles)) actor.terminate.compare_exchange_strong(none, 1);
  actor.status.store(ActorStatus::kRestarting);
  // Begun or not: the death costs each call that was there a try. What comes from here on its caller refuses (submit).
  for (std::uint32_t index : lost_calls_) {
    if (spend_try(index)) {
      self_.revert(index, Phase::kQueued);
      send_again(slot, index);
    } else {
      lose(index);
    }
  }
  for (std::uint32_t index : queued) {
    if (spend_try(index))
      send_again(slot, index);
    else if (self_.claim(index, self_.entry(index).load().generation()))
      lose(index);
  }
  actors_waiting_.push_back(slot);
}

bool Scheduler::may_try(std::uint32_t index) {
  return self_.entry(index).part.retries_left != 0 && !self_.entry(index).load().has(State::kCancelled);
}

// Whether the call is tried again when its actor has died.
bool Scheduler::spend_try(std::uint32_t index) {
  TaskPart& part = self_.entry(index).part;
  if (!may_try(index)) return false;
  if (part.retries_left > 0) --part.retries_left;
  part.set_attempt(part.attempt + 1);
  return true;
}

// Into the actor's inbox, for its next process, which sorts in what has come meanwhile.
void Scheduler::send_again(std::uint32_t slot, std::uint32_t index) {
  self_.entry(index).part.set_target(0);
  self_.push(Process::kActorList + slot, index, Phase::kQueued);
}

// Calls that nobody runs: those in the actor's inbox and those that its dead process had taken from there, in the order
// of their sequence. A death between marking and taking leaves a call in both places; it is here once.
std::vector<std::uint32_t> Scheduler::take_calls(std::uint32_t slot) {
  std::vector<std::uint32_t> calls;
  self_.take_all(Process::kActorList + slot, calls);
  for (std::uint32_t index : limbo_calls_)
    if (self_.entry(index).part.actor == slot) calls.push_back(index);
  std::sort(calls.begin(), calls.end(), [&](std::uint32_t a, std::uint32_t b) {
    std::uint64_t first = self_.entry(a).part.call_sequence, second = self_.entry(b).part.call_sequence;
    return first != second ? first < second : a < b;
  });
  calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
  return calls;
}

// Of an actor that waits for its process: there is nobody else who reads its inbox. Once there is one, it looks there itself.
void Scheduler::drop_cancelled_calls(std::uint32_t slot) {
  ActorSlot& actor = control_.actor[slot];
  if (actor.proc.load() != 0 || actor.status.load() == ActorStatus::kDead) return;
  for (std::uint32_t index : take_calls(slot)) {
    const State s = self_.entry(index).load();
    if (s.has(State::kCancelled)) {
      if (self_.claim(index, s.generation())) client_.cancel_claimed(index);
      continue;
    }
    send_again(slot, index);
  }
}

// The reason before kDead, which shows it; kDead before the calls in the inbox are failed: a caller pushes, then looks
// whether the actor is dead, and rings us if it is. So we find his call here, or he sees kDead and we look again
// (look_after_actors).
void Scheduler::actor_dies(std::uint32_t slot, std::string_view why) {
  ActorSlot& actor = control_.actor[slot];
  std::size_t n = std::min(why.size(), sizeof actor.death - 1);
  std::memcpy(actor.death, why.data(), n);
  actor.death[n] = 0;
  actor.status.store(ActorStatus::kDead);
  remove_groups_of(slot);
  if (actor.detached != 0) driver_.release(actor.creation);
  fail_calls(take_calls(slot));
}

// Of a dead actor.
void Scheduler::fail_calls(const std::vector<std::uint32_t>& calls) {
  for (std::uint32_t index : calls) {
    if (!self_.claim(index, self_.entry(index).load().generation())) continue;
    if (self_.entry(index).load().has(State::kCancelled))
      client_.cancel_claimed(index);
    else
      client_.fail_actor_call(index);
  }
}

// Those that a dead process has made, but for the detached. With it: they end, too. A worker that was not needed any more
// leaves them behind. Its slot is another's from now on.
void Scheduler::end_actors_of(std::uint32_t dead, bool with_it) {
  for (std::uint32_t slot : actors_) {
    ActorSlot& actor = control_.actor[slot];
    if (actor.reserver != dead) continue;
    actor.reserver = kNone;
    if (with_it) end_with(slot, "process that had created it");
  }
}

// An actor that lives no longer than `whom`.
void Scheduler::end_with(std::uint32_t slot, std::string_view whom) {
  ActorSlot& actor = control_.actor[slot];
  if (actor.detached != 0 || actor.status.load() == ActorStatus::kDead) return;
  if (std::string_view(actor.name).starts_with(kOwnNamespace)) return;  // of all who have met there
  evicted_[slot] = fmt::format("the {} died because the {} has: lifetime=\"detached\" would keep it",
                               described_actor(control_, actor), whom);
  actor.terminate.store(2);
}

void Scheduler::look_after_actors() {
  for (std::size_t i = 0; i < actors_.size();) {
    std::uint32_t slot = actors_[i++];
    ActorSlot& actor = control_.actor[slot];
    std::uint32_t terminate = actor.terminate.load();
    std::uint32_t proc = actor.proc.load();
    if (actor.status.load() != ActorStatus::kDead) {
      if (terminate >= 2 && proc != 0) {
        launcher_.signal(proc - 1, SIGKILL);
      } else if (proc == 0 && (terminate == 2 || (terminate == 1 && self_.list_empty(Process::kActorList + slot)))) {
        auto evicted = evicted_.extract(slot);
        const char* why =
            terminate == 2 ? "was killed before it had started" : "lost its last handle before it had started";
        actor_dies(slot, evicted ? evicted.mapped() : fmt::format("the {} {}", described_actor(control_, actor), why));
      }
      continue;
    }
    if (!self_.list_empty(Process::kActorList + slot)) fail_calls(take_calls(slot));
    if (!self_.entry(actor.creation.index).load().has(State::kNoHandles)) continue;
#if !defined(DAYBREAK_INTERLEAVE)
    if (control_.history != 0) note_dead_actor(control_, actor, self_.entry(actor.creation.index).part.resources);
#endif
    {
      // Under the lock of names: who finds the actor by its name takes a reference of his own before he leaves it.
      RobustGuard guard(self_, control_.names_lock);
      self_.release(actor.creation);
      actor.status.store(ActorStatus::kFree);
    }
    actors_.erase(actors_.begin() + static_cast<std::ptrdiff_t>(--i));
  }
}

}  // namespace daybreak::runtime
