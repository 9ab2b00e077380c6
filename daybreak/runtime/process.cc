// Objects: creation, values, completion. References and freeing: references.cc; queue and waiting: queue.cc; memory:
// heap.cc; deaths: sweep.cc.
//
// Any process may be killed between any two of these lines, and sweep() must then be able to tell from shared memory
// alone how far it had come. So each function has one store that commits, named above it: whoever dies before has done
// nothing, whoever dies after has done it, and what stands around that store is ordered so that it may be repeated. The
// names of failpoints mark the places where tests kill.
#include "daybreak/runtime/process.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

namespace {

constexpr std::size_t kBlocksPerRefill = 8;  // own blocks looked through before a fresh one is taken
// References from tasks and objects that one object can have. Of two that look at once, each gives as many at most: so
// the word that counts them holds it.
constexpr std::size_t kMaxPins = DetectableWord::kMaxValue / 2;

std::uint64_t round_up8(std::uint64_t n) {
  return (n + 7) & ~std::uint64_t{7};
}

// Entries whose last reference went while another was being taken apart: freed in a loop, so that a long chain of
// objects needs no stack.
thread_local std::vector<Ref> pending_frees;
thread_local bool draining = false;
DAYBREAK_FIBER_LOCAL(pending_frees);
DAYBREAK_FIBER_LOCAL(draining);

}  // namespace

Process::Process(Segment& segment, std::uint32_t id) : segment_(segment), control_(segment.control()), id_(id) {
  DAYBREAK_CHECK(id < kMaxProcs);
  auto local = os::map_zeros((sizeof *started_ + sizeof *reads_ + sizeof *local_) * kMaxObjects);
  DAYBREAK_CHECK(local);
  local_memory_ = std::move(*local);
  started_ = reinterpret_cast<base::Atomic<std::uint64_t>*>(local_memory_.data());
  reads_ = reinterpret_cast<base::Atomic<std::uint32_t>*>(started_ + kMaxObjects);
  local_ = reinterpret_cast<base::Atomic<std::uint8_t>*>(reads_ + kMaxObjects);
  raise_to(control_.procs_used, id + 1);
}

// ---------------------------------------------------------------------------------------------------------------------
// Creation.

// A block of entries is ours from the compare-and-swap that writes us down as its owner. A free entry in it is then ours
// alone to take, although others free entries in it: they raise the generation, we only look at the phase.
bool Process::refill_entries() {
  auto collect = [&](std::uint32_t block) {
    for (std::uint32_t i = kEntriesPerBlock; i-- > 0;) {
      std::uint32_t index = block * kEntriesPerBlock + i;
      if (entry(index).load().phase() == Phase::kFree) free_entries_.push_back(index);
    }
  };
  auto look_through = [&](std::size_t count) {
    for (std::size_t n = 0; n < count && free_entries_.empty(); ++n) {
      if (entry_cursor_ >= entry_blocks_.size()) entry_cursor_ = 0;
      collect(entry_blocks_[entry_cursor_++]);
    }
    return !free_entries_.empty();
  };
  if (look_through(std::min(entry_blocks_.size(), kBlocksPerRefill))) return true;
  for (std::uint32_t block = 0; block < kEntryBlocks; ++block) {
    std::uint32_t none = 0;
    if (control_.entry_block_owner[block].load() != 0) continue;
    if (!control_.entry_block_owner[block].compare_exchange_strong(none, id_ + 1)) continue;
    raise_to(control_.entry_blocks_used, block + 1);  // before an entry is used: what a sweep does not see is lost
    DAYBREAK_FAILPOINT("entries.block_taken");
    entry_blocks_.push_back(block);
    collect(block);
    if (!free_entries_.empty()) return true;
  }
  return look_through(entry_blocks_.size());
}

// The state word commits: until it says kCreated by us the entry is free, whatever its fields say, and a death leaves
// nothing to undo. From then on a sweep abandons it. That our count and our holders' bit come after it is safe, as nobody
// but us knows the entry before it is published or pushed. All bits are clear: what the entry was could not be freed
// before; so its far_groups, which may name words still, are only now forgotten. Named again is ours before it has a bit,
// as a sweep clears no bit that is not named.
base::Result<Ref> Process::create(Kind kind) {
  std::uint32_t index;
  {
    std::lock_guard guard(entry_lock_);
    if (free_entries_.empty() && !refill_entries())
      return base::fail(base::Code::kResourceExhausted,
                        "the table of {} objects is full: drop references (del) to objects that are no longer needed",
                        kMaxObjects);
    index = free_entries_.back();
    free_entries_.pop_back();
    Entry& e = entry(index);
    e.set_kind(kind);
    e.error = ErrorKind::kNone;
    e.value.set_where(kNowhere);
    e.args.set_where(kNowhere);
    e.value_pinned = 0;
    TaskPart& part = e.part;
    part.set_function(kNoRef);
    part.set_parent(kNoRef);
    part.pinned = 0;
    part.gpu_mask = 0;
    part.set_submitter(static_cast<std::uint16_t>(id_));
    part.set_target(0);
    part.resources = 0;
    part.num_returns = 1;
    part.retries_left = 0;
    part.set_options(0);
    part.set_attempt(0);
    State created = State::make(e.load().generation(), Phase::kCreated).with_proc(id_);
    e.state.store(created.word, std::memory_order_release);
  }
  Entry& e = entry(index);
  DAYBREAK_FAILPOINT("create.claimed");
  local_[index].store(1, std::memory_order_relaxed);
  if (id_ < kProcsPerWord) {
    e.far_groups.store(0, std::memory_order_relaxed);
    e.holders.store(holder_bit(id_), std::memory_order_release);
  } else {
    e.far_groups.store(1u << holder_group(id_), std::memory_order_relaxed);
    DAYBREAK_FAILPOINT("create.named");
    control_.far_holders[holder_group(id_)][index].store(holder_bit(id_), std::memory_order_release);
  }
  DAYBREAK_FAILPOINT("create.held");
  return Ref{index, e.load().generation()};
}

// kCreated -> kDying -> kFree. The references go first: nobody else has one, and a sweep of the dying entry must find
// that nobody is left. By kDying it is known that taking apart has begun; that may be begun again.
void Process::abandon(std::uint32_t index) {
  Entry& e = entry(index);
  State s = e.load();
  DAYBREAK_CHECK(s.phase() == Phase::kCreated);
  local_[index].store(0);
  clear_holder(index, id_);
  e.state.store(State::make(s.generation(), Phase::kDying).with_proc(id_).word);
  take_apart(index);
  release_pending();
}

// ---------------------------------------------------------------------------------------------------------------------
// Detectable operations: a count or a list's head changes together with a second thing (a counter, an entry's link) that
// lies elsewhere, and after a death it must be known whether both, or none. A count cannot say whether it was raised; so
// the change is announced in our slot, the word is stamped with our number and the announcement's sequence, and only who
// has written down that an operation took effect may take its stamp away. sweep.cc, resolve_operation(), reads it back.

// Says for the last writer of a word, who may be dead, that his operation took effect. Always before his stamp is
// overwritten: after that this is the only witness. Newest wins; a number from before the wrap is old.
void Process::acknowledge(std::uint64_t old_word) {
  std::uint32_t proc = DetectableWord::proc(old_word);
  std::uint32_t sequence = DetectableWord::sequence(old_word);
  if (sequence == 0 || proc == id_) return;
  auto is_older = [&](std::uint32_t seen) {
    return seen != sequence && ((sequence - seen) & DetectableWord::kSequenceMask) < DetectableWord::kSequenceMask / 2;
  };
  update_if(control_.proc[proc].acknowledged, is_older, [&](std::uint32_t) { return sequence; });
}

// In this order: (1) the announcement, its sequence last, as that is what makes it one; (2) for a push the entry's phase,
// since who takes it from the list may claim it at once, and the sweep pushes only what has left kCreated; (3) the word,
// which commits; (4) the counter, which the sweep sets to `after` if (3) happened; (5) the end of the announcement, last,
// so that until everything is done a death is seen to be in the middle of it.

std::uint64_t Process::apply(DetectableWord& word, Operation::Kind kind, std::uint32_t target, std::uint32_t context,
                             std::uint32_t field, std::uint32_t after, std::uint32_t* counter, Phase phase) {
  std::lock_guard guard(operation_lock_);
  Operation& op = slot().operation;
  std::uint32_t sequence = (op.last + 1) & DetectableWord::kSequenceMask;
  if (sequence == 0) sequence = 1;
  op.last = sequence;
  op.kind = kind;
  op.target = target;
  op.context = context;
  op.field = field;
  op.after = after;
  op.sequence.store(sequence, std::memory_order_release);
  DAYBREAK_FAILPOINT("operation.announced");
  if (kind == Operation::kPush) {
    update(entry(target), [&](State s) { return s.with_phase(phase).without_proc(); });
    DAYBREAK_FAILPOINT("operation.moved");
  }
  const std::uint64_t old = update(word.word, [&](std::uint64_t seen) {
    acknowledge(seen);
    std::uint32_t value = DetectableWord::value(seen);
    if (kind == Operation::kPush) {
      entry(target).next.store(value, std::memory_order_relaxed);  // the list's word comes after it
      value = target + 1;
    } else {
      DAYBREAK_CHECK(kind == Operation::kPin || value > 0);
      value = kind == Operation::kPin ? value + 1 : value - 1;
      DAYBREAK_CHECK(value <= DetectableWord::kMaxValue);
    }
    DAYBREAK_FAILPOINT("operation.acknowledged");
    return DetectableWord::make(value, id_, sequence);
  });
  DAYBREAK_FAILPOINT("operation.applied");
  if (counter != nullptr) *static_cast<volatile std::uint32_t*>(counter) = after;
  DAYBREAK_FAILPOINT("operation.counted");
  op.sequence.store(0, std::memory_order_release);
  return old;
}

// The caller holds `ref`, so that it is alive until the pin is there; it may let go of it when this returns.
void Process::pin(Ref ref, std::uint32_t context, Operation::Field field, std::uint32_t& counter, std::uint32_t after) {
  apply(entry(ref.index).pins, Operation::kPin, ref.index, context, field, after, &counter);
  settled(ref.index);  // what kept it alive for us must not be released before that
}

// Whoever takes the last pin looks whether the object can go: not here, where a chain of objects would be a recursion,
// but in release_pending().
inline void Process::unpin(Ref ref, std::uint32_t context, Operation::Field field, std::uint32_t& counter,
                           std::uint32_t after) {
  std::uint64_t old = apply(entry(ref.index).pins, Operation::kUnpin, ref.index, context, field, after, &counter);
  if (DetectableWord::value(old) == 1 || may_move(ref.index)) pending_frees.push_back(ref);
}

// From the last one down: `counter` says how many are pinned still, so that a sweep goes on where a death has stopped.
void Process::unpin_all(std::uint32_t context, Operation::Field field) {
  Entry& e = entry(context);
  std::uint32_t& counter = field == Operation::kArgs ? e.part.pinned : e.value_pinned;
  if (counter == 0) return;
  std::span<const Ref> refs = field == Operation::kArgs ? args_refs(context) : value_refs(context);
  while (counter > 0) unpin(refs[counter - 1], context, field, counter, counter - 1);
}

// Perhaps nothing is left to it but lineage.
void Process::look_at_later(Ref ref) {
  pending_frees.push_back(ref);
}

// Frees what the last unpins left without anyone.
void Process::release_pending() {
  if (draining || pending_frees.empty()) return;
  draining = true;
  while (!pending_frees.empty()) {
    Ref ref = pending_frees.back();
    pending_frees.pop_back();
    try_free(ref);
  }
  draining = false;
}

// ---------------------------------------------------------------------------------------------------------------------
// Blobs.

// blob.where commits. Memory is found by its tag, which names this entry, before that, and by the blob after it: in
// between a sweep finds a block that the entry does not show, and frees it. Nothing is pinned yet when the blob appears;
// the Refs are written before they are pinned one by one, `pinned` counting, so that a sweep unpins those and no other.
base::Result<std::byte*> Process::place(std::uint32_t index, Blob& blob, std::uint64_t payload_size,
                                        std::span<const Ref> refs, std::uint16_t deps, std::uint8_t codec,
                                        Operation::Field field, std::uint32_t& pinned, FreshWriter* fresh) {
  for (const Ref ref : refs)
    if (const std::size_t pins = entry(ref.index).pins.load(); pins + refs.size() > kMaxPins)
      return base::fail(base::Code::kResourceExhausted,
                        "an object has {} references from the arguments of tasks and from inside other objects, and {} "
                        "more are not possible (at most {}): share one object that has the reference",
                        pins, refs.size(), kMaxPins);
  std::uint64_t total = refs.empty() ? payload_size : round_up8(payload_size) + refs.size_bytes();
  std::byte* at;
  if (total <= kInlineBytes) {
    at = reinterpret_cast<std::byte*>(blob.bytes);
  } else {
    DAYBREAK_ASSIGN(blob.offset, allocate(index, total, fresh));
    DAYBREAK_FAILPOINT("place.allocated");
    at = segment_.data(blob.offset);
    if (payload_size > kLargestBlock && field == Operation::kValue) note_made(index);
  }
  base::AtomicRef(blob.size).store(payload_size, std::memory_order_relaxed);  // may_move() looks at both at any time
  base::AtomicRef(blob.refs).store(static_cast<std::uint32_t>(refs.size()), std::memory_order_relaxed);
  base::AtomicRef(blob.deps).store(deps, std::memory_order_relaxed);
  blob.codec = codec;
  pinned = 0;
  std::atomic_signal_fence(std::memory_order_release);
  blob.set_where(total <= kInlineBytes ? kInline : kBlock);
  DAYBREAK_FAILPOINT("place.attached");
  if (!refs.empty()) {
    std::memcpy(at + round_up8(payload_size), refs.data(), refs.size_bytes());
    for (std::size_t i = 0; i < refs.size(); ++i) pin(refs[i], index, field, pinned, static_cast<std::uint32_t>(i + 1));
  }
  return at;
}

base::Result<std::byte*> Process::set_value(std::uint32_t index, std::uint64_t payload_size, std::span<const Ref> refs,
                                            std::uint8_t codec, std::uint16_t deps, FreshWriter* fresh) {
  Entry& e = entry(index);
  return place(index, e.value, payload_size, refs, deps, codec, Operation::kValue, e.value_pinned, fresh);
}

base::Result<std::byte*> Process::set_args(std::uint32_t index, std::uint64_t payload_size, std::span<const Ref> refs,
                                           std::uint16_t deps, std::uint8_t codec) {
  Entry& e = entry(index);
  return place(index, e.args, payload_size, refs, deps, codec, Operation::kArgs, e.part.pinned, nullptr);
}

std::span<const std::byte> Process::bytes_of(const Blob& blob) const {
  if (blob.where == kInline) return {reinterpret_cast<const std::byte*>(blob.bytes), blob.size};
  if (blob.has_block()) return {segment_.data(blob.offset), blob.size};
  return {};
}

std::span<const std::byte> Process::value(std::uint32_t index) {
  return bytes_of(entry(index).value);
}
std::span<const std::byte> Process::args(std::uint32_t index) {
  return bytes_of(entry(index).args);
}

static std::span<const Ref> refs_of(const Blob& blob, std::span<const std::byte> bytes) {
  if (blob.where == kNowhere || blob.refs == 0) return {};
  return {reinterpret_cast<const Ref*>(bytes.data() + round_up8(blob.size)), blob.refs};
}

std::span<const Ref> Process::value_refs(std::uint32_t index) {
  return refs_of(entry(index).value, value(index));
}
std::span<const Ref> Process::args_refs(std::uint32_t index) {
  return refs_of(entry(index).args, args(index));
}

// The block (or the file) first: its freeing is a compare-and-swap from this entry's tag, which may be repeated. Forgotten
// first, it would have no owner that a sweep could ask.
void Process::drop_blob(std::uint32_t index, Blob& blob) {
  if (blob.has_block()) free_block(index, blob.offset);
  if (blob.has_file() && spill_files_) spill_files_->remove({index, entry(index).load().generation()});
  DAYBREAK_FAILPOINT("blob.freed");
  blob.set_where(kNowhere);
}

void Process::drop_value(std::uint32_t index) {
  unpin_all(index, Operation::kValue);
  drop_blob(index, entry(index).value);
  release_pending();
}

// ---------------------------------------------------------------------------------------------------------------------
// Completion.

// The state commits, by one compare-and-swap that makes the object done, takes the waiters' mark and ends our claim: who
// marks himself before is rung, who comes after sees that it is done. Before it the value must be whole (the
// compare-and-swap releases it). After it the object may be freed by anybody, and nothing of it be read, unless kInFlight
// keeps it: that is for arguments that have to be released still, which a sweep goes on with if we die.
void Process::publish(std::uint32_t index, bool error) {
  Entry& e = entry(index);
#if !defined(DAYBREAK_INTERLEAVE)
  if (control_.history != 0 && (e.kind == Kind::kTask || e.kind == Kind::kActorCall)) note_end(index, error);
#endif
  bool busy = e.kind != Kind::kActorCreate && (e.part.pinned > 0 || e.args.where == kBlock);
  if (!error && keeps_lineage(index)) begin_to_keep_lineage(e);
  const State s = update(e, [&](State claimed) {
    const State done = claimed.with_phase(error ? Phase::kError : Phase::kReady)
                           .with_waiter(0)
                           .without(State::kCancelled | State::kForced);
    DAYBREAK_FAILPOINT("publish.before");
    return busy ? done.with(State::kInFlight).with_proc(id_) : done.without_proc();
  });
  DAYBREAK_FAILPOINT("publish.done");
  if (s.waiter() != 0) {
    // The scheduler waits for many: it is told which, before it is rung.
    if (s.waiter() == kSchedulerProc + 1 || s.waiter() == State::kManyWaiters) control_.scheduler_looks.add(index);
    wake_waiters(s.waiter());
  }
  if (busy) {
    finish(index, s.generation());
  } else if (!anyone_left(index)) {
    try_free({index, s.generation()});
    release_pending();
  }
}

// What is left of a task whose result is there. Clearing kInFlight commits: until then the entry cannot be freed.
void Process::finish(std::uint32_t index, std::uint32_t generation) {
  Entry& e = entry(index);
  const bool keeps = (e.part.options & kKept) != 0;
  if (!keeps || !keep_lineage({index, generation})) {
    if (keeps) release_lineage(index);
    unpin_all(index, Operation::kArgs);
    DAYBREAK_FAILPOINT("finish.unpinned");
    drop_blob(index, e.args);
    DAYBREAK_FAILPOINT("finish.dropped");
  }
  e.state.fetch_and(~(State::kInFlight | State::kProcMask));
  try_free({index, generation});
  release_pending();
}

std::vector<Ref> Process::further_results(std::uint32_t index) {
  std::size_t count = entry(index).part.num_returns > 1 ? entry(index).part.num_returns - 1u : 0u;
  std::vector<Ref> refs(count);
  std::span<const std::byte> bytes = args(index);
  DAYBREAK_CHECK(bytes.size() >= count * sizeof(Ref));
  if (count > 0) std::memcpy(refs.data(), bytes.data() + bytes.size() - count * sizeof(Ref), count * sizeof(Ref));
  return refs;
}

void Process::replace_further_result(std::uint32_t index, std::size_t which, Ref ref) {
  const std::span<const std::byte> bytes = args(index);
  const std::size_t behind = entry(index).part.num_returns - 1u - which;
  DAYBREAK_CHECK(behind > 0 && bytes.size() >= behind * sizeof(Ref));
  auto* at = const_cast<std::byte*>(bytes.data()) + bytes.size() - behind * sizeof(Ref);
  base::AtomicRef(*reinterpret_cast<std::uint64_t*>(at)).store(std::bit_cast<std::uint64_t>(ref));
}

void Process::set_pending(std::uint32_t index) {
  update(entry(index), [](State s) { return s.with_phase(Phase::kPending).without_proc(); });
}

bool Process::claim_pending(Ref ref) {
  return claim_from(Phase::kPending, ref.index, ref.generation);
}

// Of all who try one wins: whoever's compare-and-swap finds the phase as it was.
bool Process::claim_from(Phase phase, std::uint32_t index, std::uint32_t generation) {
  auto free_to_claim = [&](State s) { return s.generation() == generation && s.phase() == phase; };
  auto ours = [&](State s) { return s.with_phase(Phase::kRunning).with_proc(id_); };
  if (!update_if(entry(index), free_to_claim, ours)) return false;
#if !defined(DAYBREAK_INTERLEAVE)
  if (control_.history != 0 && concurrent_.load(std::memory_order_relaxed) != 0)
    started_[index].store(ticks_now(), std::memory_order_relaxed);
#endif
  return true;
}

void Process::publish_error(std::uint32_t index, ErrorKind kind, std::string_view text) {
  Entry& e = entry(index);
  if (e.value.where != kNowhere) drop_value(index);
  e.error = kind;
  // A sentence is cut to what fits the entry when the store is so full that even it has no room.
  auto at = set_value(index, text.size(), {}, 0);
  if (!at) {
    text = text.substr(0, kInlineBytes);
    at = set_value(index, text.size(), {}, 0);
  }
  std::memcpy(*at, text.data(), text.size());
  publish(index, true);
}

}  // namespace daybreak::runtime
