// Values that move to disk and back. Only large ones do (Process::may_move): they lie in runs of their own, and nothing
// but their bytes has to be kept. Where one lies says its blob, `where`; who may change that says the state, which for
// the time of a move is kSpilling or kRestoring by the process that moves it. So a death in the middle is put right by
// looking at `where` (settle_move): what it does not show, a block or a file, is not there for anybody, and goes.
//
// Who reads a value where it lies sets his bit first, then looks at the state; who spills it makes the state kSpilling
// first, then looks at the bits. Both orders are sequentially consistent, so one of the two sees the other: the spiller
// sees the bit and gives up, or the reader sees kSpilling, waits, and reads the value back.
#include "daybreak/runtime/spill.h"

#include <algorithm>
#include <mutex>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

namespace {

// Between two looks at whether the store is fuller than the threshold, at least this part of it is allocated: looking
// goes over all that lies in it.
constexpr std::uint64_t kLooksPerStore = 64;

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Reading.

// The bit before the count: another thread of this process that finds a count relies on it.
void Process::keep_in_place(Ref ref) {
  base::Atomic<std::uint32_t>& count = reads_[ref.index];
  if (update_if(count, [](std::uint32_t n) { return n > 0; }, [](std::uint32_t n) { return n + 1; })) return;
  std::lock_guard guard(hold_lock_[ref.index % 64]);
  if (count.load() == 0) control_.readers[ref.index].word[id_ / 64].fetch_or(1ull << (id_ % 64));
  count.fetch_add(1);
  DAYBREAK_FAILPOINT("read.marked");
}

void Process::let_move(Ref ref) {
  base::Atomic<std::uint32_t>& count = reads_[ref.index];
  if (update_if(count, [](std::uint32_t n) { return n > 1; }, [](std::uint32_t n) { return n - 1; })) return;
  std::lock_guard guard(hold_lock_[ref.index % 64]);
  let_move_locked(ref.index);
}

void Process::let_move_locked(std::uint32_t index) {
  if (reads_[index].fetch_sub(1) > 1) return;
  DAYBREAK_FAILPOINT("read.over");
  control_.readers[index].word[id_ / 64].fetch_and(~(1ull << (id_ % 64)));
}

base::Status Process::bring_back(Ref ref, os::Mapping* elsewhere) {
  for (;;) {
    const State s = settled(ref.index);
    if (s.moving()) {
      if (control_.stopping.load() != 0)
        return base::fail(base::Code::kAborted, "the runtime is being shut down while a value is read from disk");
      await_move(ref);
    } else if (s.phase() != Phase::kSpilled) {
      return {};
    } else {
      DAYBREAK_TRY(restore(ref, elsewhere));
      if (elsewhere != nullptr && *elsewhere) return {};
    }
  }
}

base::Result<bool> Process::keep_while_held(Ref ref) {
  keep_in_place(ref);
  if (base::Status back = bring_back(ref); !back || !in_place(ref)) {
    let_move(ref);
    if (!back) return std::unexpected(std::move(back).error());
    return false;
  }
  {
    std::lock_guard guard(kept_lock_);
    if (std::ranges::find(kept_, ref) == kept_.end()) {
      kept_.push_back(ref);
      kept_count_.fetch_add(1);
      return true;
    }
  }
  let_move(ref);
  return true;
}

// Its last reference goes; under that entry's lock.
void Process::forget_kept(std::uint32_t index) {
  {
    std::lock_guard guard(kept_lock_);
    auto found = std::ranges::find(kept_, index, &Ref::index);
    if (found == kept_.end()) return;
    kept_.erase(found);
    kept_count_.fetch_sub(1);
  }
  let_move_locked(index);
}

bool Process::anyone_reads(std::uint32_t index) const {
  std::uint64_t any = 0;
  for (std::uint32_t i = 0; i * 64 < procs_used(); ++i) any |= control_.readers[index].word[i].load();
  return any != 0;
}

// Whether somebody else reads, fills or moves what lies in the store, so that room may come to be.
bool Process::others_use_store() {
  bool found = false;
  segment_.for_each_run([&](std::uint64_t, std::uint64_t word) {
    const std::uint32_t index = Run::tag(word) - 1;
    if (found || Run::is_chunk(word) || index >= kMaxObjects) return;
    const std::uint32_t proc = entry(index).load().proc_plus_one();
    found = proc != 0 && proc != id_ + 1;
    for (std::uint32_t i = 0; i * 64 < procs_used() && !found; ++i) {
      const std::uint64_t mine = i == id_ / 64 ? 1ull << (id_ % 64) : 0;
      found = (control_.readers[index].word[i].load() & ~mine) != 0;
    }
  });
  return found;
}

void Process::note_made(std::uint32_t index) {
  const std::uint32_t now = control_.makings.fetch_add(1) + 1;
  control_.made[index].store(now == 0 ? 1 : now, std::memory_order_relaxed);
}

// ---------------------------------------------------------------------------------------------------------------------
// Moving.

// The end of a move, ours or a dead process's, by what the blob shows: the state commits.
void Process::settle_move(Ref ref) {
  Entry& e = entry(ref.index);
  if ((e.part.options & kForgotten) != 0) drop_lineage(ref.index);
  if (e.value.where == kNowhere && (e.part.options & kKept) == 0) {  // lost, or given up: nobody can make it again
    e.error = ErrorKind::kObjectLost;
    DAYBREAK_FAILPOINT("move.lost");
    spill_files_->remove(ref);
    publish(ref.index, true);
    return;
  }
  const bool here = e.value.has_block();
  // It was not written to the end, or is worth nothing.
  if (e.value.where == kBlock || e.value.where == kNowhere) spill_files_->remove(ref);
  DAYBREAK_FAILPOINT("move.cleared");
  const State s = update(e, [&](State now) {
    return now.with_phase(here ? Phase::kReady : Phase::kSpilled).without_proc().with_waiter(0);
  });
  DAYBREAK_FAILPOINT("move.settled");
  if (s.waiter() != 0) wake_waiters(s.waiter());
  try_free(ref);  // whoever let go of it meanwhile has left that to us
  release_pending();
}

void Process::await_move(Ref ref) {
  const std::uint32_t seen = bell();
  const bool moves = update_if(
                         entry(ref.index), [&](State s) { return s.generation() == ref.generation && s.moving(); },
                         [&](State s) {
                           if (s.waiter() == id_ + 1) return s;
                           return s.with_waiter(s.waiter() == 0 ? id_ + 1 : State::kManyWaiters);
                         })
                         .has_value();
  if (moves) sleep(seen, -1);
}

// `where` commits. The file is whole and on disk before it; the block goes after it.
base::Result<bool> Process::spill_one(Ref ref) {
  Entry& e = entry(ref.index);
  auto lies_still = [&](State s) {
    return s.generation() == ref.generation && s.phase() == Phase::kReady && !s.has(State::kInFlight);
  };
  if (!update_if(e, lies_still, [&](State s) { return s.with_phase(Phase::kSpilling).with_proc(id_); })) return false;
  DAYBREAK_FAILPOINT("spill.claimed");
  const std::uint64_t size = e.value.size;
  base::Status written;
  bool moved = false;
  if (e.value.has_block() && may_move(ref.index) && !anyone_reads(ref.index)) {
    if (e.value.where == kBlock) written = spill_files_->write(ref, value(ref.index));
    DAYBREAK_FAILPOINT("spill.written");
    moved = written.has_value();
  }
  if (moved) {
    const std::uint64_t offset = e.value.offset;
    e.value.set_where(kOnDisk);
    DAYBREAK_FAILPOINT("spill.moved");
    free_block(ref.index, offset);
    DAYBREAK_FAILPOINT("spill.freed");
    control_.spilled_objects.fetch_add(1, std::memory_order_relaxed);
    control_.spilled_bytes.fetch_add(size, std::memory_order_relaxed);
  }
  settle_move(ref);
  if (!written) return std::unexpected(std::move(written).error());
  return moved;
}

// A value that is lost, or was given up (evict), is computed again, or makes the object an error, which who reads it finds.
// No error: somebody else was there first, it is in place, it is `elsewhere`, or it is with the scheduler. `where` commits
// the loss: a death after it leaves a value that was given up.
base::Status Process::restore(Ref ref, os::Mapping* elsewhere, bool evicted_only) {
  Entry& e = entry(ref.index);
  auto on_disk = [&](State s) { return s.generation() == ref.generation && s.phase() == Phase::kSpilled; };
  if (!update_if(e, on_disk, [&](State s) { return s.with_phase(Phase::kRestoring).with_proc(id_); })) return {};
  DAYBREAK_FAILPOINT("restore.claimed");
  base::Status read;
  if (e.value.where != kNowhere && !evicted_only) read = read_back(ref, elsewhere);
  if (!read && read.error().code() == base::Code::kDataLoss) {
    e.value.set_where(kNowhere);
    DAYBREAK_FAILPOINT("restore.lost");
    read = {};
  }
  if (e.value.where == kNowhere && (e.part.options & kKept) != 0)
    send_to_be_computed_again(ref);
  else
    settle_move(ref);
  return read;
}

// `where` commits here, too.
base::Status Process::read_back(Ref ref, os::Mapping* elsewhere) {
  Entry& e = entry(ref.index);
  const std::uint64_t size = e.value.size;
  auto offset = allocate(ref.index, size, nullptr, false);
  if (!offset && elsewhere != nullptr) {
    DAYBREAK_ASSIGN(*elsewhere, spill_files_->map(ref, size));
    DAYBREAK_FAILPOINT("restore.mapped");
  }
  if (!offset && elsewhere == nullptr)
    return std::unexpected(std::move(offset).error().wrap("read an object back from disk"));
  if (offset) {
    DAYBREAK_FAILPOINT("restore.allocated");
    base::Status read = spill_files_->read(ref, {segment_.data(*offset), size});
    DAYBREAK_FAILPOINT("restore.read");
    if (!read) {
      free_block(ref.index, *offset);
      return read;
    }
    e.value.offset = *offset;
    std::atomic_signal_fence(std::memory_order_release);
    e.value.set_where(kOnBoth);
    DAYBREAK_FAILPOINT("restore.moved");
    note_made(ref.index);
  }
  control_.restored_objects.fetch_add(1, std::memory_order_relaxed);
  control_.restored_bytes.fetch_add(size, std::memory_order_relaxed);
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// When.

base::Result<std::uint64_t> Process::spill(std::uint64_t size) {
  if (!spill_files_) return 0;
  struct Candidate {
    Ref ref;
    std::uint64_t bytes;
    std::uint32_t age;
  };
  std::vector<Candidate> found;
  const std::uint32_t now = control_.makings.load();
  segment_.for_each_run([&](std::uint64_t, std::uint64_t word) {
    const std::uint32_t index = Run::tag(word) - 1;
    if (Run::is_chunk(word) || index >= kMaxObjects) return;
    const State s = entry(index).load();
    if (s.phase() == Phase::kReady && !s.has(State::kInFlight) && !anyone_reads(index) &&
        entry(index).kind_now() != Kind::kActorCreate)  // whose large blob is arguments, and which has no value
      found.push_back({{index, s.generation()},
                       std::uint64_t{Run::granules(word)} * kGranule,
                       now - control_.made[index].load(std::memory_order_relaxed)});
  });
  std::ranges::sort(found, std::greater{}, &Candidate::age);
  std::uint64_t freed = 0;
  for (const Candidate& candidate : found) {
    if (freed >= size) break;
    auto moved = spill_one(candidate.ref);
    if (!moved && freed == 0) return std::unexpected(std::move(moved).error());
    if (!moved) break;  // what became free may do
    if (*moved) freed += candidate.bytes;
  }
  return freed;
}

// Whether to try again. Who spills waits for nobody, so waiting for him ends; who restores may be waiting himself. The
// scheduler has other things to do than to wait for a disk: what it stores are sentences.
base::Result<bool> Process::make_room(std::uint64_t size) {
  if (!spill_files_ || id_ == kSchedulerProc) return false;
  DAYBREAK_ASSIGN(const std::uint64_t freed, spill(size));
  if (freed > 0 || forget_some_lineage(size)) return true;
  Ref other = kNoRef;
  segment_.for_each_run([&](std::uint64_t, std::uint64_t word) {
    const std::uint32_t index = Run::tag(word) - 1;
    if (Run::is_chunk(word) || index >= kMaxObjects || other != kNoRef) return;
    const State s = entry(index).load();
    if (s.phase() == Phase::kSpilling) other = {index, s.generation()};
  });
  if (other == kNoRef || control_.stopping.load() != 0) return false;
  await_move(other);
  return true;
}

// What fails here is not an error yet: there is room. It will be one, by name, when there is none.
void Process::spill_above_threshold(std::uint64_t allocated) {
  if (!spill_files_ || id_ == kSchedulerProc || control_.spill_above == 0) return;
  if (allocated_.fetch_add(allocated) + allocated < control_.data_capacity / kLooksPerStore) return;
  allocated_.store(0);
  const std::uint64_t used = bytes_used();
  if (used > control_.spill_above) std::ignore = spill(used - control_.spill_above);
}

}  // namespace daybreak::runtime
