// One process's place in the shared segment: what it owns there, and every operation of the ownership protocol.
//
// The rules (docs/ownership.md has the proofs in words):
//   - an entry's state word is the only authority on who may touch it; every claim is one compare-and-swap on it;
//   - a process that has references to an object sets its bit in the entry's holders; it is set only while something
//     else keeps the object alive, and that something is released only afterwards; a bit that lies far away is announced
//     in the entry before it;
//   - references from task arguments and from inside objects are counted in `pins`, by detectable operations;
//   - a block of memory carries the index of the entry it belongs to, from the instant that it is taken;
//   - whoever sees that nobody is left frees the object: it becomes kDying, the check is repeated, and only then is it
//     taken apart;
//   - a large value is moved to disk and back by who has claimed that, and only while nobody's bit says that he reads it;
//   - when a process dies, sweep() undoes or completes whatever its half-done operations were.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/memory.h"
#include "daybreak/runtime/layout.h"
#include "daybreak/runtime/segment.h"
#include "daybreak/runtime/spill.h"
#include "daybreak/runtime/spinlock.h"

namespace daybreak::runtime {

// Thread-safe unless a function says otherwise. Not inherited by a fork: the child makes its own (in its own slot).
class Process {
 public:
  Process(Segment& segment, std::uint32_t id);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::uint32_t id() const { return id_; }
  // Slots from here on have never been in use.
  std::uint32_t procs_used() const { return control_.procs_used.load(); }
  Segment& segment() { return segment_; }
  Control& control() { return control_; }
  Entry& entry(std::uint32_t index) { return control_.entry[index]; }
  ProcSlot& slot() { return control_.proc[id_]; }
  ProcSlot& slot(std::uint32_t proc) { return control_.proc[proc]; }
  // The engine ends, or this process leaves it: nobody waits any more. Who leaves rings the bell of this process after it.
  bool stopping() const { return control_.stopping.load() != 0 || leaving_.load() != 0; }
  void leave() { leaving_.store(1); }

  // -- objects ------------------------------------------------------------------------------------------------------
  // A new entry in kCreated, with one local reference.
  base::Result<Ref> create(Kind kind);
  // Gives up an entry in kCreated: its blobs and pins go, and the entry is free again.
  void abandon(std::uint32_t index);

  // Memory for the value or the arguments of an entry that this process is filling (kCreated, or kRunning claimed by
  // it); `refs` are written behind the `payload_size` bytes and pinned; the caller holds each of them. Returns where
  // the payload goes: nothing else may be done with the entry until it is filled. 64-byte aligned in a block.
  // With `fresh`, a payload that comes to lie in memory that was never used may be written by that: then nothing is left
  // to write.
  base::Result<std::byte*> set_value(std::uint32_t index, std::uint64_t payload_size, std::span<const Ref> refs,
                                     std::uint8_t codec, std::uint16_t deps = 0, FreshWriter* fresh = nullptr);
  base::Result<std::byte*> set_args(std::uint32_t index, std::uint64_t payload_size, std::span<const Ref> refs,
                                    std::uint16_t deps, std::uint8_t codec);
  void drop_value(std::uint32_t index);

  std::span<const std::byte> value(std::uint32_t index);  // payload, without the Refs
  std::span<const Ref> value_refs(std::uint32_t index);
  std::span<const std::byte> args(std::uint32_t index);
  std::span<const Ref> args_refs(std::uint32_t index);  // dependencies first

  // kCreated or kRunning (this process's) -> kReady or kError; wakes who waits; releases arguments; frees it if nobody
  // is left.
  void publish(std::uint32_t index, bool error);
  // publish() with a sentence for a value, which is dropped if there is one. In a store that is full the sentence is cut
  // to what fits the entry. A task's further results are Client::fail's.
  void publish_error(std::uint32_t index, ErrorKind kind, std::string_view text);

  // The second and further results of a task, as long as it is not done. set_pending: kCreated -> kPending.
  // claim_pending: kPending -> kRunning by this process; false: somebody completed it.
  std::vector<Ref> further_results(std::uint32_t index);
  // Of a task that this process runs: another entry in the place of its further result `which`. One store commits.
  void replace_further_result(std::uint32_t index, std::size_t which, Ref ref);
  void set_pending(std::uint32_t index);
  bool claim_pending(Ref ref);

  // Local references. hold() demands that the object is kept alive by something until it returns.
  void hold(Ref ref);
  void release(Ref ref);
  // Whether that process has any.
  bool is_holder(std::uint32_t index, std::uint32_t proc) const { return runtime::is_holder(control_, index, proc); }

  // The state of an object that this process keeps alive. Somebody may be about to free it, having looked before we had
  // it: he looks again, and gives up. Until he has, the state says kDying.
  State settled(std::uint32_t index);
  // Whether anybody has a reference to an object that is not done, which is not freed for want of one.
  bool wanted(std::uint32_t index) { return anyone_left(index); }
  bool done(Ref ref) {
    State s = entry(ref.index).load();
    return s.done() || (s.phase() == Phase::kDying && settled(ref.index).done());
  }

  // For the history: this worker leaves its sleep and runs something from now on, one after the other (a reading of the
  // clock for each is saved so); or several at once, each of which reads the clock when it begins.
  void note_awake() {
#if !defined(DAYBREAK_INTERLEAVE)
    if (control_.history != 0) began_.store(ticks_now(), std::memory_order_relaxed);
#endif
  }
  void note_concurrent() { concurrent_.store(1, std::memory_order_relaxed); }
  // What the user's code has measured, for people who look at the engine; the name is cut to kRecordNameBytes.
  void note_span(std::string_view name, std::uint64_t start, std::uint64_t end);  // ticks_now()

  // -- queue --------------------------------------------------------------------------------------------------------
  // kCreated or kPending -> kQueued, and into the queue that every worker takes from. False: full (the entry is kQueued
  // all the same: the caller sees to it that it is tried again).
  bool enqueue(std::uint32_t index);
  // Puts an entry that is kQueued already into the queue (again: a second copy does no harm).
  bool requeue(std::uint32_t index);
  // A queued task that this process, a worker, is about to wait for: it comes before all that was queued earlier, by whom it
  // may be. So waiting tasks do not pile up, of which each would hold a process.
  void hurry(Ref task);
  // Claims a task: kQueued -> kRunning by this process. kNone: none.
  std::uint32_t dequeue();
  bool queue_empty() const;
  std::uint64_t queue_length() const;  // roughly, while others work on it
  // From here on this process takes from the queue; its ring gets its share of what is submitted.
  void join_queue();
  // kQueued -> kRunning by this process, for an entry from an inbox (or to cancel it). False: somebody else had it.
  bool claim(std::uint32_t index, std::uint32_t generation);

  // -- inboxes: lists of entries that one reader takes whole -------------------------------------------------------
  // kCreated -> `phase` (kQueued, kPending), and onto the list. Order of one thread's pushes is kept.
  static constexpr std::uint32_t kSchedulerList = 0xffff'ffff;
  static constexpr std::uint32_t kActorList = 0x1'0000;  // + actor slot; below: + process
  void push(std::uint32_t list, std::uint32_t index, Phase phase);
  // Everything on the list, oldest first, appended to `out`. `mark`: for a reader that may die before it has run them.
  void take_all(std::uint32_t list, std::vector<std::uint32_t>& out, bool mark = false);
  bool list_empty(std::uint32_t list) { return list_word(list).load() == 0; }

  // -- CPU tokens ---------------------------------------------------------------------------------------------------
  // A free token's number, in the name of process `as` from here on; kNone: none is free.
  std::uint32_t acquire_token(std::uint32_t as);
  void release_token(std::uint32_t token, std::uint32_t as);

  // -- waiting ------------------------------------------------------------------------------------------------------
  // Asks that this process's bell rings when the object is done. False: it is done already.
  bool set_waiter(Ref ref);
  static constexpr std::uint32_t kAsleep = 1;
  std::uint32_t bell() { return slot().bell.load() & ~kAsleep; }
  bool rung_since(std::uint32_t seen) const {
    return (control_.proc[id_].bell.load(std::memory_order_relaxed) & ~kAsleep) != seen;
  }
  bool ring(std::uint32_t proc);  // true: somebody slept
  // Rings and wakes whoever sleeps there, marked or not: for who brings news of a death.
  void ring_surely(std::uint32_t proc);
  void ring_all();
  // Sleeps until the bell has rung since it read `seen`, or `timeout_ns` (-1: for ever) is over, or a signal came.
  // 0 rung, ETIMEDOUT, EINTR.
  int sleep(std::uint32_t seen, std::int64_t timeout_ns);
  // Wakes one idle worker, if there is one; false: nobody sleeps.
  bool wake_idle();
  // To be called after enqueue(): wakes an idle worker unless somebody is searching. True: somebody was woken.
  bool task_queued();
  // This worker has no task, and searches from here on: it looks at the queue for a while before it sleeps. False:
  // enough others do that.
  bool start_spinning();
  void stop_spinning();  // it still searches
  // It has found a task, or has something else to do. If it was the last that searched it wakes another for what is
  // left.
  void stop_searching();
  void wake_next();  // what is left is for another, unless somebody searches
  // Before it sleeps; then it looks at the queue once more. leave_idle: it does not sleep any more.
  void become_idle();
  void leave_idle();
  bool is_idle(std::uint32_t proc) const;
  // Takes a worker out of those that wake_idle() may choose, to give it a task of its own. False: it was not idle.
  bool claim_idle(std::uint32_t proc);
  bool anyone_searching() const;

  // -- memory -------------------------------------------------------------------------------------------------------
  // An offset; tagged with the entry.
  // What does not fit has room made for it; while others use what lies there that may take kRoomPatienceNs, unless not
  // `patient`.
  base::Result<std::uint64_t> allocate(std::uint32_t index, std::uint64_t size, FreshWriter* fresh = nullptr,
                                       bool patient = true);
  void free_block(std::uint32_t index, std::uint64_t offset);
  std::uint64_t bytes_used();      // granules that are taken, in bytes
  std::uint64_t reclaim_chunks();  // returns empty chunks of all processes; bytes won

  // -- values on disk (spill.cc) ------------------------------------------------------------------------------------
  // Where this process writes and finds them. Before it is used; without, it spills nothing.
  void keep_spilled_in(std::unique_ptr<SpillFiles> files) { spill_files_ = std::move(files); }
  // Whether the value of an object that is done may be moved to disk when room is short: who reads it says so. It is
  // large, and has no references behind it.
  // A lost value is computed again, and what comes then may be small: who asks before he looks at the state gets the
  // answer for what the state shows, or a needless yes.
  bool may_move(std::uint32_t index) {
    Blob& value = entry(index).value;
    return base::AtomicRef(value.size).load(std::memory_order_acquire) > kLargestBlock &&
           base::AtomicRef(value.refs).load(std::memory_order_acquire) == 0;
  }
  // This process, which holds the object, reads its value: from the time that bring_back() has given no error it stays
  // where it is until as many calls of let_move() have followed. The object may have become an error: it was lost.
  void keep_in_place(Ref ref);
  bool in_place(Ref ref) {
    const Phase phase = settled(ref.index).phase();
    return phase == Phase::kReady || phase == Phase::kError;
  }
  // Waits for who moves it, reads it from disk. Where there is no room for it, the value is on disk still: its file is
  // mapped in `elsewhere` and is to be read there; without that it is kResourceExhausted. A value that is lost, and that a
  // task has made, is computed again: then the object is neither in_place() nor done when this returns, and to be awaited
  // as any other, with nothing kept in place, before this is called once more.
  base::Status bring_back(Ref ref, os::Mapping* elsewhere = nullptr);
  void let_move(Ref ref);
  // The same for as long as this process holds the object, for who has views of it and nothing that ends them. False: it
  // is lost, and computed again.
  base::Result<bool> keep_while_held(Ref ref);
  // Writes values that nobody reads to disk, oldest first, until so many bytes are free. What became free; an error when
  // nothing did because the disk has no room.
  base::Result<std::uint64_t> spill(std::uint64_t size);

  // -- lineage (lineage.cc): what a task that is done would need to run again -----------------------------------------
  // The scheduler's, of a task that is to run again (kAgain): its dependencies are pinned as before it ran. Those whose
  // values were given up because nobody but lineage had them are computed again, too.
  void take_up_lineage(std::uint32_t index);

  // -- after a death; only the driver's monitor calls these -----------------------------------------------------------
  struct SweepResult {
    std::vector<std::uint32_t> lost;      // tasks that it was running: still kRunning by it, value dropped
    std::vector<std::uint32_t> directed;  // tasks queued for it alone
    std::vector<Ref> queued;              // tasks that are kQueued, perhaps in no ring, and found none with room
  };
  SweepResult sweep(std::uint32_t dead);
  // Takes over a lost task from the sweep: as kRunning by this process.
  void adopt(std::uint32_t index);
  // kRunning by this process -> kQueued (the caller requeues it) or kPending again: a retry.
  void revert(std::uint32_t index, Phase phase);
  // Calls `visit(index)` for each entry that is in use.
  template <typename F>
  void for_each_entry(F&& visit) {
    const std::uint32_t blocks = control_.entry_blocks_used.load();
    for (std::uint32_t i = 0; i < blocks * kEntriesPerBlock; ++i)
      if (entry(i).load().phase() != Phase::kFree) visit(i);
  }

 private:
  friend class ProtocolInspector;  // tests
  friend class RobustGuard;        // the only way to take a lock of shared memory

  struct ClassCache {
    std::vector<std::uint64_t> free;    // offsets of blocks that are ours and free
    std::vector<std::uint32_t> chunks;  // first granules of our chunks
    std::size_t cursor = 0;
  };

  std::uint64_t apply(DetectableWord& word, Operation::Kind kind, std::uint32_t target, std::uint32_t context,
                      std::uint32_t field, std::uint32_t after, std::uint32_t* counter, Phase phase = Phase::kFree);
  bool undo_dead_free(std::uint32_t index, State s);
  void give_up_free(std::uint32_t index);
  void acknowledge(std::uint64_t old_word);
  void pin(Ref ref, std::uint32_t context, Operation::Field field, std::uint32_t& counter, std::uint32_t after);
  void unpin(Ref ref, std::uint32_t context, Operation::Field field, std::uint32_t& counter, std::uint32_t after);
  void unpin_all(std::uint32_t context, Operation::Field field);
  DetectableWord& list_word(std::uint32_t list);
  void prefetch(std::uint64_t cell);
  std::uint32_t next_ring();
  bool push_to_ring(Ring& ring, std::uint32_t index, std::uint32_t generation, std::uint8_t attempt);
  std::uint32_t take_from_ring(Ring& ring);
  std::uint32_t take_hurried();

  base::Result<std::byte*> place(std::uint32_t index, Blob& blob, std::uint64_t payload_size, std::span<const Ref> refs,
                                 std::uint16_t deps, std::uint8_t codec, Operation::Field field, std::uint32_t& pinned,
                                 FreshWriter* fresh = nullptr);
  std::span<const std::byte> bytes_of(const Blob& blob) const;
  void drop_blob(std::uint32_t index, Blob& blob);
  void look_at_later(Ref ref);
  // In few instructions for a small value: it is asked of every result.
  bool keeps_lineage(std::uint32_t index) {
    const Entry& e = entry(index);
    return e.value.where == kBlock && e.value.size > kLargestBlock && e.kind == Kind::kTask && may_keep_lineage(index);
  }
  bool may_keep_lineage(std::uint32_t index);
  static void begin_to_keep_lineage(Entry& e);
  bool keep_lineage(Ref ref);
  bool enlist(Ref ref);
  bool move_on(std::uint64_t word, std::uint32_t from);
  bool is_off_the_list(std::uint64_t word);
  void release_lineage(std::uint32_t index);
  void drop_lineage(std::uint32_t index);
  bool forget_lineage(Ref ref);
  bool forget_some_lineage(std::uint64_t size);
  bool only_lineage_is_left(std::uint32_t index);
  void evict(Ref ref);
  void send_to_be_computed_again(Ref ref);
  void set_holder(std::uint32_t index);
  void clear_holder(std::uint32_t index, std::uint32_t proc);
  bool anyone_left(std::uint32_t index) const;
  bool any_holder(std::uint32_t index) const;
  void try_free(Ref ref);
  void release_pending();
  void take_apart(std::uint32_t index);  // an entry that is kDying by this process
  void free_entry(std::uint32_t index, std::uint32_t generation);
  bool refill_entries();
  void note_end(std::uint32_t index, bool error);
  std::uint16_t name_for_record(std::uint32_t index);
  std::uint64_t actor_for_record(std::uint32_t actor);
  std::uint16_t number_of_name(std::string_view name);
  bool claim_from(Phase phase, std::uint32_t index, std::uint32_t generation);
  void lock(RobustLock& lock);
  void unlock(RobustLock& lock);
  base::Result<std::uint64_t> take_run(std::uint32_t tag, std::uint32_t granules, bool aligned, FreshWriter* fresh);
  base::Result<std::uint64_t> allocate_run(std::uint32_t tag, std::uint32_t granules, bool aligned,
                                           FreshWriter* fresh = nullptr);
  base::Result<std::uint64_t> try_allocate(std::uint32_t index, std::uint64_t size, FreshWriter* fresh);
  base::Result<bool> make_room(std::uint64_t size);
  void spill_above_threshold(std::uint64_t allocated);
  bool anyone_reads(std::uint32_t index) const;
  bool others_use_store();
  base::Result<bool> spill_one(Ref ref);
  base::Status restore(Ref ref, os::Mapping* elsewhere, bool evicted_only = false);
  base::Status read_back(Ref ref, os::Mapping* elsewhere);
  void settle_move(Ref ref);
  void await_move(Ref ref);
  void note_made(std::uint32_t index);
  void let_move_locked(std::uint32_t index);
  void forget_kept(std::uint32_t index);
  std::uint64_t find_run(std::uint32_t granules, bool aligned, std::uint64_t limit);
  bool refill_class(std::uint32_t size_class);
  base::Result<std::uint64_t> take_chunk(std::uint32_t size_class);
  void await_reclaimer(std::uint64_t granule);
  void forget_reclaimed();
  void break_lock(RobustLock& lock, std::uint32_t dead);
  void wake_waiters(std::uint32_t waiter);
  void finish(std::uint32_t index, std::uint32_t generation);
  struct Unfinished {                                      // what a dead process was in the middle of: entries
    std::vector<std::uint32_t> created, dying, finishing;  // being filled, freed, relieved of their arguments
    std::vector<std::uint32_t> submitted;                  // kQueued by it
    std::vector<std::uint32_t> moving;                     // to disk or back
    std::vector<bool> filling;  // by entry: memory may be tagged for it that it does not show
  };
  Unfinished find_unfinished(std::uint32_t dead, SweepResult& result);
  void free_what_is_left_behind();
  void give_back_of(std::uint32_t dead);
  void resolve_operation(std::uint32_t dead);
  void free_stray_blocks(std::uint32_t dead, const std::vector<bool>& filling);

  Segment& segment_;
  Control& control_;
  const std::uint32_t id_;
  os::Mapping local_memory_;
  base::Atomic<std::uint64_t>* started_ = nullptr;  // in it: when each entry was claimed, if there is a history
  base::Atomic<std::uint32_t>* reads_ = nullptr;    // behind these: how often each is kept in place
  base::Atomic<std::uint8_t>* local_ = nullptr;     // behind them: references that this process has to each, or kMany
  static constexpr std::uint8_t kMany = 255;        // so many or more: `many_` says
  SpinLock many_lock_;
  std::unordered_map<std::uint32_t, std::uint64_t> many_;

  SpinLock hold_lock_[64];
  SpinLock operation_lock_;
  SpinLock entry_lock_;
  std::vector<std::uint32_t> free_entries_;
  std::vector<std::uint32_t> entry_blocks_;
  std::size_t entry_cursor_ = 0;
  SpinLock heap_lock_;
  ClassCache classes_[32];
  std::uint32_t reclaims_seen_ = 0;
  std::unique_ptr<SpillFiles> spill_files_;
  base::Atomic<std::uint64_t> allocated_{0};  // bytes of large values since the threshold was looked at
  SpinLock kept_lock_;
  std::vector<Ref> kept_;  // while this process holds them
  base::Atomic<std::uint32_t> kept_count_{0};
  base::Atomic<std::uint32_t> leaving_{0};
  base::Atomic<std::uint32_t> concurrent_{0};
  base::Atomic<std::uint64_t> known_names_[64] = {};  // for the history: [63:16] of a key | [15:0] the name's number
  base::Atomic<std::uint64_t> own_actor_{0};
  base::Atomic<std::uint64_t> began_{0};  // what runs now, in ticks; not concurrent_
  base::Atomic<std::uint32_t> token_hint_{0};
  base::Atomic<std::uint32_t> push_cursor_{0};
  base::Atomic<std::uint32_t> dequeues_{0};
};

std::uint32_t size_class_of(std::uint64_t size);        // kNone: larger than any class
std::uint64_t size_of_class(std::uint32_t size_class);  // bytes

}  // namespace daybreak::runtime
