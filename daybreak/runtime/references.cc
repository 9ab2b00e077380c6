// References: a private count for each process, and in the entry a bit for each process whose count is not 0. The first
// processes' bits lie in the entry, of the others in a table, so that it has room for many and an entry for few. An object
// is freed when nobody is left. As in process.cc, each function has one store that commits, named above it.
#include <mutex>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

static_assert(kSchedulerProc < kProcsPerWord);  // anyone_left() looks for its bit in the entry

bool is_holder(const Control& control, std::uint32_t index, std::uint32_t proc) {
  const Entry& e = control.entry[index];
  const std::uint32_t group = holder_group(proc);
  if (group == 0) return (e.holders.load() & holder_bit(proc)) != 0;
  if ((e.far_groups.load() & 1u << group) == 0) return false;
  return (control.far_holders[group][index].load() & holder_bit(proc)) != 0;
}

// A far bit's word is named before the bit is set, each by a sequentially consistent step: so whoever looks whether
// anybody is left and does not see the name has said kDying before, and is seen by us in hold(), as if it were one step.
// The name is not taken back while the object lives: another of the group may have found it there, and rely on it.
void Process::set_holder(std::uint32_t index) {
  Entry& e = entry(index);
  const std::uint32_t group = holder_group(id_);
  if (group == 0) {
    e.holders.fetch_or(holder_bit(id_));
    return;
  }
  if ((e.far_groups.load() & 1u << group) == 0) e.far_groups.fetch_or(1u << group);
  DAYBREAK_FAILPOINT("hold.named");
  control_.far_holders[group][index].fetch_or(holder_bit(id_));
}

// Ours, or that of a dead process. A far word is not looked at unless it is named: that would give it memory.
void Process::clear_holder(std::uint32_t index, std::uint32_t proc) {
  Entry& e = entry(index);
  const std::uint32_t group = holder_group(proc);
  if (group == 0)
    e.holders.fetch_and(~holder_bit(proc));
  else if ((e.far_groups.load() & 1u << group) != 0)
    control_.far_holders[group][index].fetch_and(~holder_bit(proc));
}

// The bit commits. It is set while something else keeps the object alive, and settled() returns only when nobody who had
// looked before it will free the object: so the caller may let go of that something afterwards. The lock keeps this
// process's first hold and last release of one object apart; a count of 1 or more needs neither lock nor bit.
void Process::hold(Ref ref) {
  base::Atomic<std::uint8_t>& count = local_[ref.index];
  if (update_if(count, [](std::uint8_t n) { return n > 0 && n < kMany - 1; }, [](std::uint8_t n) { return n + 1; }))
    return;
  std::lock_guard guard(hold_lock_[ref.index % 64]);
  if (count.load() == kMany) {
    std::lock_guard many(many_lock_);
    ++many_[ref.index];
    return;
  }
  const std::uint8_t before = count.fetch_add(1);
  if (before == kMany - 1) {
    std::lock_guard many(many_lock_);
    many_[ref.index] = kMany;
  }
  if (before > 0) return;
  set_holder(ref.index);
  DAYBREAK_FAILPOINT("hold.set");
  settled(ref.index);  // what kept it alive for us must not be released before that
}

// Waits while somebody who was about to free the object takes his second look (try_free). He sees us and gives up, in a
// few instructions, unless he is not on a CPU or is dead.
State Process::settled(std::uint32_t index) {
  for (int i = 0;; ++i) {
    State s = entry(index).load();
    if (s.phase() != Phase::kDying) return s;
    if (id_ == kSchedulerProc && undo_dead_free(index, s)) continue;
    if (i < 64)
      base::cpu_pause();
    else
      base::yield_cpu();
  }
}

// Who was about to free it is dead, and it is for us, the scheduler, to bury him: waiting would be for ever. We keep
// the object alive, so he has not come to his second look, or would have given up there.
bool Process::undo_dead_free(std::uint32_t index, State s) {
  if (s.proc_plus_one() == 0 || slot(s.proc_plus_one() - 1).status.load() != ProcStatus::kDead) return false;
  give_up_free(index);
  return true;
}

// kDying -> what it was. Not a plain store: whoever waits may have marked the word since.
void Process::give_up_free(std::uint32_t index) {
  update(entry(index), [](State s) {
    const Phase before = s.has(State::kWasError)     ? Phase::kError
                         : s.has(State::kWasSpilled) ? Phase::kSpilled
                                                     : Phase::kReady;
    return s.with_phase(before).without_proc().without(State::kWasError | State::kWasSpilled);
  });
}

// Clearing the bit commits. A death between the count and the bit leaves a bit of the dead, which every sweep clears; a
// death after it leaves an object without anybody, which the sweep's last look over all entries frees.
void Process::release(Ref ref) {
  base::Atomic<std::uint8_t>& count = local_[ref.index];
  if (update_if(count, [](std::uint8_t n) { return n > 1 && n < kMany; }, [](std::uint8_t n) { return n - 1; })) return;
  {
    std::lock_guard guard(hold_lock_[ref.index % 64]);
    if (count.load() == kMany) {
      std::lock_guard many(many_lock_);
      const auto found = many_.find(ref.index);
      if (--found->second >= kMany) return;
      many_.erase(found);
    }
    if (count.fetch_sub(1) > 1) return;
    DAYBREAK_FAILPOINT("release.last");
    if (kept_count_.load(std::memory_order_relaxed) != 0) forget_kept(ref.index);
    clear_holder(ref.index, id_);
  }
  DAYBREAK_FAILPOINT("release.cleared");
  try_free(ref);
  release_pending();
}

// Whether a reference exists, at some moment of this call if somebody else moves one meanwhile: not proof enough to free
// by (a reference that goes from a pin to a bit may be missed in both), which is why try_free() looks under kDying again.
bool Process::anyone_left(std::uint32_t index) const {
  Entry& e = control_.entry[index];
  if (e.pins.load() != 0) return true;
  std::uint64_t near = e.holders.load();
  // The scheduler keeps an actor's creation for as long as the actor lives; the handles are everybody else's.
  if (e.kind_now() == Kind::kActorCreate && !e.load().has(State::kNoHandles)) near &= ~holder_bit(kSchedulerProc);
  if (near != 0) return true;
  for (std::uint32_t named = e.far_groups.load(); named != 0; named &= named - 1)
    if (control_.far_holders[__builtin_ctz(named)][index].load() != 0) return true;
  return false;
}

// Frees the object if nobody is left. kDying is said first and then looked again: who gains a reference sets his bit (or
// pin) first and then looks for kDying. Both orders are sequentially consistent, so one of the two sees the other: we
// see the bit and give up, or he sees kDying and waits for what we decide. The first look is only there to keep kDying
// off objects that are in use. A death in kDying is completed, or given up, by the sweep.
void Process::try_free(Ref ref) {
  Entry& e = entry(ref.index);
  for (;;) {
    State s = e.load();
    if (s.generation() != ref.generation || !s.done() || s.has(State::kInFlight) || s.moving()) return;
    if (anyone_left(ref.index)) {
      if (s.phase() != Phase::kError && only_lineage_is_left(ref.index)) evict(ref);
      return;
    }
    State dying = s.with_phase(Phase::kDying).with_proc(id_);
    if (s.phase() == Phase::kError) dying = dying.with(State::kWasError);
    if (s.phase() == Phase::kSpilled) dying = dying.with(State::kWasSpilled);
    if (!e.state.compare_exchange_strong(s.word, dying.word)) continue;
    DAYBREAK_FAILPOINT("free.dying");
    if (anyone_left(ref.index)) {
      give_up_free(ref.index);
      continue;
    }
    if (e.kind == Kind::kActorCreate && !s.has(State::kNoHandles)) {
      // The last handle is gone: the actor ends after what is queued, and the scheduler lets go of the entry then.
      e.state.store(s.with(State::kNoHandles).word);  // nobody else changes a dying entry's word
      ActorSlot& actor = control_.actor[e.part.actor];
      std::uint32_t none = 0;
      actor.terminate.compare_exchange_strong(none, 1);
      DAYBREAK_FAILPOINT("free.actor_ends");
      if (std::uint32_t proc = actor.proc.load()) ring(proc - 1);
      ring(kSchedulerProc);
      continue;
    }
    take_apart(ref.index);
    return;
  }
}

// Each step may be repeated from the beginning, by a sweep, until the state says kFree. Pins before blobs: the Refs to
// unpin lie in them.
void Process::take_apart(std::uint32_t index) {
  Entry& e = entry(index);
  unpin_all(index, Operation::kValue);
  if ((e.part.options & kKept) != 0) release_lineage(index);
  unpin_all(index, Operation::kArgs);
  DAYBREAK_FAILPOINT("free.unpinned");
  drop_blob(index, e.value);
  drop_blob(index, e.args);
  DAYBREAK_FAILPOINT("free.dropped");
  free_entry(index, e.load().generation() + 1);
}

// The state commits, with a new generation: references and hints to what it was are stale from here on. An entry of
// another's block is for him to find again, in refill_entries().
void Process::free_entry(std::uint32_t index, std::uint32_t generation) {
  Entry& e = entry(index);
  e.next.store(0, std::memory_order_relaxed);
  bool ours = control_.entry_block_owner[index / kEntriesPerBlock].load(std::memory_order_relaxed) == id_ + 1;
  if (!ours) {
    e.state.store(State::make(generation, Phase::kFree).word);
    return;
  }
  std::lock_guard guard(entry_lock_);  // so that a refill does not find it before it is on the list
  e.state.store(State::make(generation, Phase::kFree).word, std::memory_order_release);
  free_entries_.push_back(index);
}

}  // namespace daybreak::runtime
