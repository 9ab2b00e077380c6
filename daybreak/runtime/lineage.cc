// Lineage: what a task that is done would need to run again, should its result be lost. Only large results can be: they
// move to disk, and others stay in memory as long as they are wanted.
//
// The entry of such a task keeps its arguments (kKept). Its dependencies stay pinned, and are counted in `lineage_pins` as
// well: an entry all of whose pins are counted there, and that no process holds, is there for lineage alone. It gives up
// its value (evict), however that was made: its state says kSpilled, and no file is there. Who wants it finds a value
// that is lost, like one whose file is gone.
//
// A value that is lost is computed again in its own entry: who finds the loss has claimed it (kRestoring), and pushes it to
// the scheduler as a task is pushed, in one detectable step. So it is run once, whoever asks; everybody else waits for
// it as for any task. What cannot be computed again becomes ObjectLostError.
//
// At most kMaxLineage tasks are kept whose arguments take room of their own, each of at most kLargestBlock: for one more,
// another is given up (forget_lineage), and when the store is full, they are before that is said.

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kLineageLooks = 64;       // places of the list that are looked at
constexpr std::uint32_t kLineageForgotten = 256;  // at a time, when the store is full

std::uint64_t listed(Ref ref) {
  return (std::uint64_t{ref.generation} << 32) | (ref.index + 1);
}

Ref unlisted(std::uint64_t word) {
  return {static_cast<std::uint32_t>(word) - 1, static_cast<std::uint32_t>(word >> 32)};
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Keeping.

// Before the task is done. Not of one with several results or a stream: it runs for all of them. One that may not be
// retried is not computed again either. And not with an argument that holds a reference to what is not done yet: that may
// come to hold a reference to this result, and the two would keep each other.
bool Process::may_keep_lineage(std::uint32_t index) {
  const Entry& e = entry(index);
  const TaskPart& part = e.part;
  return e.value.refs == 0 && part.num_returns == 1 && part.retries_left != 0 &&
         (part.options & (kStreaming | kDynamic | kNeverAgain)) == 0 && e.args.size <= kLargestBlock &&
         spill_files_ != nullptr && std::ranges::all_of(args_refs(index), [&](Ref ref) { return done(ref); });
}

void Process::begin_to_keep_lineage(Entry& e) {
  e.kept_deps = 0;
  e.part.set_option(kKept | kForgotten, false);
  e.part.set_option(kKept, true);
}

// In finish(), under kInFlight: the arguments stay. In the list first, so that whoever is there can be forgotten. False:
// there is no place.
bool Process::keep_lineage(Ref ref) {
  if (!enlist(ref)) return false;
  DAYBREAK_FAILPOINT("lineage.listed");
  Entry& e = entry(ref.index);
  const std::span<const Ref> deps = args_refs(ref.index).first(e.args.deps);
  while (e.kept_deps < deps.size()) {
    const Ref dep = deps[e.kept_deps];
    apply(control_.lineage_pins[dep.index], Operation::kPin, dep.index, ref.index, Operation::kLineage, e.kept_deps + 1,
          &e.kept_deps);
    look_at_later(dep);
  }
  DAYBREAK_FAILPOINT("lineage.kept");
  return true;
}

bool Process::is_off_the_list(std::uint64_t word) {
  if (word == 0) return true;
  const Ref ref = unlisted(word);
  return entry(ref.index).load().generation() != ref.generation || !entry(ref.index).part.has_now(kKept);
}

// At the cursor, which goes round: what stands there has been there longest. It goes on to a place further on where nobody
// stands any more, and is forgotten if there is none near. The new one always stays behind the cursor: were it put before
// it, it would be the next to be forgotten, and with it the chain that leads to it.
bool Process::enlist(Ref ref) {
  for (std::uint32_t tries = 0; tries < kLineageLooks; ++tries) {
    const std::uint32_t first = control_.lineage_next.fetch_add(1);
    base::Atomic<std::uint64_t>& place = control_.lineage[first % kMaxLineage];
    std::uint64_t word = place.load();
    if (!is_off_the_list(word) && !move_on(word, first) && !forget_lineage(unlisted(word))) continue;
    DAYBREAK_FAILPOINT("lineage.place");
    if (place.compare_exchange_strong(word, listed(ref))) return true;
  }
  return false;
}

bool Process::move_on(std::uint64_t word, std::uint32_t from) {
  for (std::uint32_t n = 1; n < std::min(kLineageLooks, kMaxLineage); ++n) {
    base::Atomic<std::uint64_t>& place = control_.lineage[(from + n) % kMaxLineage];
    std::uint64_t there = place.load();
    if (is_off_the_list(there) && place.compare_exchange_strong(there, word)) return true;
  }
  return false;
}

// Its dependencies are pinned as before it was done, or not at all soon.
void Process::release_lineage(std::uint32_t index) {
  Entry& e = entry(index);
  if ((e.part.options & kKept) == 0) return;
  const std::span<const Ref> deps = args_refs(index);
  while (e.kept_deps > 0)
    apply(control_.lineage_pins[deps[e.kept_deps - 1].index], Operation::kUnpin, deps[e.kept_deps - 1].index, index,
          Operation::kLineage, e.kept_deps - 1, &e.kept_deps);
  DAYBREAK_FAILPOINT("lineage.released");
  e.part.set_option(kKept, false);
}

// ---------------------------------------------------------------------------------------------------------------------
// Giving up.

// Each step may be repeated: by settle_move() after a death.
void Process::drop_lineage(std::uint32_t index) {
  release_lineage(index);
  unpin_all(index, Operation::kArgs);
  drop_blob(index, entry(index).args);
  DAYBREAK_FAILPOINT("lineage.dropped");
}

// Claimed as for a move, so that everybody leaves it alone. False: it is being moved, or computed.
bool Process::forget_lineage(Ref ref) {
  Entry& e = entry(ref.index);
  auto lies_still = [&](State s) {
    return s.generation() == ref.generation && !s.has(State::kInFlight) &&
           (s.phase() == Phase::kReady || s.phase() == Phase::kSpilled);
  };
  if (!update_if(e, lies_still, [&](State s) {
        return s.with_phase(s.phase() == Phase::kReady ? Phase::kSpilling : Phase::kRestoring).with_proc(id_);
      }))
    return false;
  DAYBREAK_FAILPOINT("lineage.claimed");
  if ((e.part.options & kKept) != 0) e.part.set_option(kForgotten, true);
  settle_move(ref);
  return true;
}

// Only where that can make so much room: what they hold are their arguments and small values.
bool Process::forget_some_lineage(std::uint64_t size) {
  std::uint64_t room = 0;
  for (base::Atomic<std::uint64_t>& place : control_.lineage) {
    const std::uint64_t word = place.load(std::memory_order_relaxed);
    if (is_off_the_list(word)) continue;
    Blob& args = entry(unlisted(word).index).args;
    room += base::AtomicRef(args.size).load(std::memory_order_relaxed) +
            base::AtomicRef(args.deps).load(std::memory_order_relaxed) * kLargestBlock;
  }
  if (room < size) return false;
  std::uint32_t forgotten = 0;
  const std::uint32_t first = control_.lineage_next.load();
  for (std::uint32_t n = 0; n < kMaxLineage && forgotten < kLineageForgotten; ++n) {
    base::Atomic<std::uint64_t>& place = control_.lineage[(first + n) % kMaxLineage];
    std::uint64_t word = place.load();
    if (word == 0 || is_off_the_list(word) || !forget_lineage(unlisted(word))) continue;
    place.compare_exchange_strong(word, 0);
    ++forgotten;
  }
  return forgotten > 0;
}

// A hint, for an entry that may be another object by now: who goes by it claims the entry, and looks again. The pins first:
// one that comes meanwhile makes them more than are counted.
bool Process::only_lineage_is_left(std::uint32_t index) {
  if (!may_move(index)) return false;
  Entry& e = entry(index);
  const std::uint32_t pins = e.pins.load();
  if (pins == 0 || control_.lineage_pins[index].load() != pins) return false;
  return !any_holder(index) && !anyone_reads(index) && e.value.where_now() != kNowhere;
}

// `where` commits. Who wants the value after all finds that it is gone.
void Process::evict(Ref ref) {
  Entry& e = entry(ref.index);
  auto lies_still = [&](State s) {
    return s.generation() == ref.generation && !s.has(State::kInFlight) &&
           (s.phase() == Phase::kReady || s.phase() == Phase::kSpilled);
  };
  if (!update_if(e, lies_still, [&](State s) {
        return s.with_phase(s.phase() == Phase::kReady ? Phase::kSpilling : Phase::kRestoring).with_proc(id_);
      }))
    return;
  DAYBREAK_FAILPOINT("evict.claimed");
  if (only_lineage_is_left(ref.index)) {
    const bool here = e.value.has_block();
    const std::uint64_t offset = e.value.offset;
    e.value.set_where(kNowhere);
    DAYBREAK_FAILPOINT("evict.gone");
    if (here) free_block(ref.index, offset);
  }
  settle_move(ref);
}

// ---------------------------------------------------------------------------------------------------------------------
// Again.

// The push commits. The entry is kRestoring by us, and shows no value.
void Process::send_to_be_computed_again(Ref ref) {
  spill_files_->remove(ref);
  entry(ref.index).part.set_option(kAgain, true);
  DAYBREAK_FAILPOINT("again.marked");
  push(kSchedulerList, ref.index, Phase::kPending);
  DAYBREAK_FAILPOINT("again.sent");
  // Who waited for the end of this move is told that there was none: he has to wait as one does for a task. Whoever has come
  // to wait for the task since marks himself anew; the scheduler, which waits for many, is told which.
  const State s = update(entry(ref.index), [](State now) { return now.with_waiter(0); });
  if (s.waiter() != 0) {
    control_.scheduler_looks.add(ref.index);
    wake_waiters(s.waiter());
  }
  ring(kSchedulerProc);
}

void Process::take_up_lineage(std::uint32_t index) {
  Entry& e = entry(index);
  e.part.set_option(kAgain, false);
  release_lineage(index);
  for (const Ref dep : args_refs(index).first(e.args.deps))
    if (entry(dep.index).load().phase() == Phase::kSpilled) std::ignore = restore(dep, nullptr, true);
}

}  // namespace daybreak::runtime
