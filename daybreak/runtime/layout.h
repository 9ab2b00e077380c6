// What lies in the control segment that all processes of one runtime share: process slots, object entries, actors,
// queues.
//
// Everything here is plain data plus atomics, valid in every process at whatever address the segment is mapped, and
// must survive the death (kill -9) of any process at any instruction. The rules that make it so are in ARCHITECTURE.md,
// "Who holds what"; each structure says here which of them it follows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daybreak/base/atomic.h"
#include "daybreak/runtime/history.h"
#include "daybreak/runtime/resource_table.h"

namespace daybreak::runtime {

#if defined(DAYBREAK_INTERLEAVE)  // small enough that every run reaches the edges and begins with a clean table
inline constexpr std::uint32_t kMaxProcs = 64;
inline constexpr std::uint32_t kProcsPerWord = 3;  // so that of two workers one has far bits, and of four three
inline constexpr std::uint32_t kMaxObjects = 512;
inline constexpr std::uint32_t kEntriesPerBlock = 8;
inline constexpr std::uint32_t kMaxActors = 8;
inline constexpr std::uint32_t kRings = 4;
inline constexpr std::uint32_t kRoomRings = 4;
inline constexpr std::uint32_t kRingCells = 4;
inline constexpr std::uint32_t kMaxCpuTokens = 32;
inline constexpr std::uint32_t kMaxGroups = 4;
inline constexpr std::uint32_t kEndedTasks = 2, kDeadActors = 2;
inline constexpr std::uint32_t kMaxLineage = 3;
#else
inline constexpr std::uint32_t kMaxProcs = 2048;    // slots; two are taken, see below
inline constexpr std::uint32_t kProcsPerWord = 64;  // of the bits that say who has references
inline constexpr std::uint32_t kMaxObjects = 1u << 22;
inline constexpr std::uint32_t kEntriesPerBlock = 256;  // entries are handed to processes in blocks
inline constexpr std::uint32_t kMaxActors = 8192;
inline constexpr std::uint32_t kRings =
    62;  // of the processes 2 to 63, of whom one word tells who takes from the queue
inline constexpr std::uint32_t kRoomRings = 30;  // so many hold what those of the workers cannot, however few they are
inline constexpr std::uint32_t kRingCells = 1u << 12;
inline constexpr std::uint32_t kMaxCpuTokens = 4096;
inline constexpr std::uint32_t kMaxGroups = 256;    // placement groups
inline constexpr std::uint32_t kEndedTasks = 2048;  // of each process that are remembered
inline constexpr std::uint32_t kDeadActors = 1024;
inline constexpr std::uint32_t kMaxLineage = 16'384;  // tasks that are done and whose arguments are kept (lineage.cc)
#endif
inline constexpr std::uint32_t kDriverProc = 0;     // the driver's application threads
inline constexpr std::uint32_t kSchedulerProc = 1;  // the driver's scheduler thread: same pid, a bell of its own
inline constexpr std::uint32_t kFirstProc = 2;      // the first slot of a worker or an actor
inline constexpr std::uint32_t kHolderGroups =
    (kMaxProcs + kProcsPerWord - 1) / kProcsPerWord;  // of processes whose bits lie in one word
inline constexpr std::uint32_t kEntryBlocks = kMaxObjects / kEntriesPerBlock;
inline constexpr std::uint32_t kInlineBytes = 64;       // a value or an argument blob up to this size lies in its entry
inline constexpr std::uint32_t kMaxBundles = 256;       // of one placement group
inline constexpr std::uint32_t kNameBytes = 120;        // actor name with namespace, NUL included
inline constexpr std::uint32_t kSpillPathBytes = 1024;  // of the spill folder, NUL included

// ---------------------------------------------------------------------------------------------------------------------
// Entry state: one word decides everything about an object or task.

enum class Phase : std::uint64_t {
  kFree = 0,
  kCreated = 1,  // being filled by `proc`
  kPending = 2,  // waits for arguments or resources at the scheduler, or is a further result of a task
  kQueued = 3,   // in the queue, an actor's inbox or a worker's inbox
  kRunning = 4,  // claimed by `proc`
  kReady = 5,    // value in place
  kError = 6,    // error value in place
  kDying = 7,    // being freed by `proc`
  // Done, as kReady, but for where the value lies (spill.cc):
  kSpilling = 8,    // `proc` writes it to disk
  kSpilled = 9,     // it is on disk
  kRestoring = 10,  // `proc` reads it back
};

// [63:32] generation | [31] in flight | [30] cancelled | [29] dying entry held an error | [28] cancelled by force
// [27:16] waiter: 0 none, w+1 one process, 0xfff several | [15:4] proc + 1, 0 none | [3:0] phase
struct State {
  std::uint64_t word = 0;

  static constexpr std::uint64_t kInFlight = 1ull << 31;
  static constexpr std::uint64_t kCancelled = 1ull << 30;
  static constexpr std::uint64_t kNoHandles = kCancelled;  // of an actor's creation: the last handle is gone
  static constexpr std::uint64_t kWasError = 1ull << 29;
  static constexpr std::uint64_t kForced = 1ull << 28;
  static constexpr std::uint64_t kWasSpilled = kForced;  // of a dying entry: its value is on disk
  static constexpr std::uint64_t kWaiterMask = 0xfffull << 16;
  static constexpr std::uint64_t kProcMask = 0xfffull << 4;
  static constexpr std::uint64_t kPhaseMask = 0xf;
  static constexpr std::uint32_t kManyWaiters = 0xfff;
  static_assert(kMaxProcs + 1 < kManyWaiters);
  static constexpr std::uint32_t kDonePhases =
      1u << static_cast<unsigned>(Phase::kReady) | 1u << static_cast<unsigned>(Phase::kError) |
      1u << static_cast<unsigned>(Phase::kSpilling) | 1u << static_cast<unsigned>(Phase::kSpilled) |
      1u << static_cast<unsigned>(Phase::kRestoring);

  Phase phase() const { return static_cast<Phase>(word & kPhaseMask); }
  std::uint32_t generation() const { return static_cast<std::uint32_t>(word >> 32); }
  std::uint32_t proc_plus_one() const { return static_cast<std::uint32_t>((word & kProcMask) >> 4); }
  std::uint32_t waiter() const { return static_cast<std::uint32_t>((word & kWaiterMask) >> 16); }
  bool has(std::uint64_t flag) const { return (word & flag) != 0; }
  bool done() const { return (kDonePhases >> (word & kPhaseMask) & 1) != 0; }
  // Between memory and disk: nobody else touches its value, nor frees it.
  bool moving() const { return phase() == Phase::kSpilling || phase() == Phase::kRestoring; }

  State with_phase(Phase p) const { return {(word & ~kPhaseMask) | static_cast<std::uint64_t>(p)}; }
  State with_proc(std::uint32_t proc) const { return {(word & ~kProcMask) | (std::uint64_t{proc + 1} << 4)}; }
  State without_proc() const { return {word & ~kProcMask}; }
  State with_waiter(std::uint32_t w) const { return {(word & ~kWaiterMask) | (std::uint64_t{w} << 16)}; }
  State with(std::uint64_t flag) const { return {word | flag}; }
  State without(std::uint64_t flag) const { return {word & ~flag}; }
  static State make(std::uint32_t generation, Phase p) {
    return {(std::uint64_t{generation} << 32) | static_cast<std::uint64_t>(p)};
  }
};

// A word that is changed by compare-and-swap and that names its last writer, so that after a death it is known whether
// the dead process's last operation took effect: either the word still names it, or whoever overwrote it has first
// acknowledged it in the writer's slot. [63:36] value | [35:25] proc | [24:0] sequence (per process, never 0).
struct DetectableWord {
  base::Atomic<std::uint64_t> word{0};

  static constexpr std::uint32_t kSequenceBits = 25, kProcBits = 11, kValueBits = 28;
  static constexpr std::uint32_t kSequenceMask = (1u << kSequenceBits) - 1;
  static constexpr std::uint32_t kMaxValue = (1u << kValueBits) - 1;
  static_assert(kMaxProcs <= 1u << kProcBits && kMaxObjects < kMaxValue);
  static std::uint64_t make(std::uint32_t value, std::uint32_t proc, std::uint32_t sequence) {
    return (std::uint64_t{value} << (kProcBits + kSequenceBits)) | (std::uint64_t{proc} << kSequenceBits) | sequence;
  }
  static std::uint32_t value(std::uint64_t w) { return static_cast<std::uint32_t>(w >> (kProcBits + kSequenceBits)); }
  static std::uint32_t proc(std::uint64_t w) {
    return static_cast<std::uint32_t>(w >> kSequenceBits) & ((1u << kProcBits) - 1);
  }
  static std::uint32_t sequence(std::uint64_t w) { return static_cast<std::uint32_t>(w) & kSequenceMask; }
  std::uint32_t load() const { return value(word.load()); }
};

enum class Kind : std::uint8_t {
  kValue = 0,  // put, or a function
  kTask = 1,
  kActorCreate = 2,
  kActorCall = 3,
  kReturn = 4,  // the second and further results of a task; `part.function` names the first
  kGroup = 5,   // ready when the placement group's bundles are reserved
};

// Why an entry holds an error; the payload is text for all but kUser, whose payload is an encoded exception.
enum class ErrorKind : std::uint8_t {
  kNone = 0,
  kUser = 1,
  kWorkerCrashed = 2,
  kActorDied = 3,
  kCancelled = 4,
  kUnschedulable = 5,
  kStoreFull = 6,
  kOwnerDied = 7,
  kObjectLost = 8,
  kRuntime = 9,
  kGroupRemoved = 10,
  kEnvironment = 11,  // a worker of the task's environment could not be made
  kOutOfMemory = 12,  // the memory monitor has ended the task's worker
};

struct Ref {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  bool operator==(const Ref&) const = default;
};
inline constexpr std::uint32_t kNone = UINT32_MAX;  // no entry, process, token, actor or class of sizes
inline constexpr Ref kNoRef{kNone, 0};

inline constexpr std::uint8_t kNowhere = 0;
inline constexpr std::uint8_t kInline = 1;
inline constexpr std::uint8_t kBlock = 2;
inline constexpr std::uint8_t kOnDisk = 3;  // a value alone: in the spill folder, under the object's name
inline constexpr std::uint8_t kOnBoth = 4;  // read back from there: the file is kept, to be spilled to for nothing

// Where a blob of bytes lies. Behind its payload (from a multiple of 8 on) are its Refs: first those that a task needs
// before it can run, then those that are merely contained; the entry pins all of them for as long as it holds the blob.
struct Blob {
  std::uint64_t size;  // bytes of the payload
  std::uint32_t refs;  // Refs behind it
  std::uint16_t deps;  // how many of them are dependencies
  std::uint8_t where;  // kNowhere, kInline, kBlock, kOnDisk, kOnBoth
  std::uint8_t codec;  // the language binding's
  union {
    std::uint8_t bytes[kInlineBytes];  // kInline
    std::uint64_t offset;              // into the data segment, of a block
  };

  // For who looks without having claimed the entry, as a hint.
  std::uint8_t where_now() { return base::AtomicRef(where).load(); }
  void set_where(std::uint8_t w) { base::AtomicRef(where).store(w, std::memory_order_relaxed); }

  bool has_block() const { return where == kBlock || where == kOnBoth; }
  bool has_file() const { return where == kOnDisk || where == kOnBoth; }
};
// TaskPart::options.
inline constexpr std::uint8_t kRetryExceptions = 1;  // an exception of the task counts as a failure to retry
inline constexpr std::uint8_t kStreaming = 2;        // its results are a stream (stream.h)
inline constexpr std::uint8_t kDynamic = 4;          // its result is a list of references to what it yields
// Of a task that is done, lineage.cc: its arguments are kept, its dependencies by `lineage_pins`; it is to run again; what
// it would run again with has been given up.
inline constexpr std::uint8_t kKept = 8, kAgain = 16, kForgotten = 32;

struct TaskPart {
  // Entry of the pickled function or class; kActorCall: the task that submitted it, or kNoRef; kReturn: the task's first.
  Ref function;
  union {
    Ref parent = kNoRef;  // kTask: the task that submitted it; kNoRef: the driver did
    std::uint32_t actor;  // kActorCreate, kActorCall: slot; kGroup: the group's
  };
  union {
    std::uint64_t gpu_mask = 0;   // kTask, kActorCreate: a bit for each GPU id that the scheduler assigned
    std::uint64_t call_sequence;  // kActorCall: in which order the calls of one actor were submitted
  };
  std::uint16_t submitter;  // process
  std::uint16_t target;     // worker's process + 1 when the scheduler has chosen one
  std::uint16_t resources;  // index of a resource set; 0 is {CPU: 1}
  std::uint16_t num_returns;
  std::int16_t retries_left;  // -1: without end
  std::uint8_t attempt;
  std::uint8_t options;
  std::uint32_t pinned;    // how many Refs of `args` are pinned; shrinks as they are released
  std::uint64_t reserved;  // fills the line

  // For who has not claimed the entry: hints.
  bool has_now(std::uint8_t option) { return (base::AtomicRef(options).load(std::memory_order_relaxed) & option) != 0; }
  void set_options(std::uint8_t all) { base::AtomicRef(options).store(all, std::memory_order_relaxed); }
  void set_option(std::uint8_t option, bool on) {
    set_options(static_cast<std::uint8_t>(on ? options | option : options & ~option));
  }
  // Read by whoever finds a stale hint to the entry in the queue, or by a sweep, perhaps while it becomes another task.
  std::uint8_t attempt_now() { return base::AtomicRef(attempt).load(std::memory_order_relaxed); }
  void set_attempt(std::uint8_t a) { base::AtomicRef(attempt).store(a, std::memory_order_relaxed); }
  std::uint16_t submitter_now() { return base::AtomicRef(submitter).load(std::memory_order_relaxed); }
  void set_submitter(std::uint16_t p) { base::AtomicRef(submitter).store(p, std::memory_order_relaxed); }
  std::uint16_t target_now() { return base::AtomicRef(target).load(std::memory_order_relaxed); }
  void set_target(std::uint16_t t) { base::AtomicRef(target).store(t, std::memory_order_relaxed); }
  // For who checks the entry's generation afterwards, and drops what he has read when it is another: these are
  // released, so that he sees the generation of what he reads, or a later one.
  Ref parent_now() {
    return {base::AtomicRef(parent.index).load(std::memory_order_acquire),
            base::AtomicRef(parent.generation).load(std::memory_order_acquire)};
  }
  void set_parent(Ref p) {
    base::AtomicRef(parent.index).store(p.index, std::memory_order_release);
    base::AtomicRef(parent.generation).store(p.generation, std::memory_order_release);
  }
  Ref function_now() {
    return {base::AtomicRef(function.index).load(std::memory_order_acquire),
            base::AtomicRef(function.generation).load(std::memory_order_acquire)};
  }
  Ref caller_now() { return function_now(); }  // kActorCall
  Ref task_now() { return function_now(); }    // kReturn
  void set_function(Ref f) {
    base::AtomicRef(function.index).store(f.index, std::memory_order_release);
    base::AtomicRef(function.generation).store(f.generation, std::memory_order_release);
  }
  std::uint32_t actor_now() { return base::AtomicRef(actor).load(std::memory_order_acquire); }
  void set_actor(std::uint32_t slot) { base::AtomicRef(actor).store(slot, std::memory_order_release); }
};

// 256 bytes, four cache lines; the first two serve every object, the rest tasks. Fields other than state, pins, next,
// holders and far_groups belong to the process that the state names (kCreated, kRunning, kDying), and are constant in
// other phases.
struct alignas(64) Entry {
  base::Atomic<std::uint64_t> state{0};
  DetectableWord pins;  // references from the arguments of tasks and from inside other objects
  // Who has references, a bit for each process: of the first kProcsPerWord here, of the others in
  // Control::far_holders, a word for each group of as many. far_groups has a bit for each such word that may hold any;
  // it is set before that word's first bit, and stays as long as the object is this one.
  base::Atomic<std::uint64_t> holders;
  base::Atomic<std::uint32_t> far_groups;
  base::Atomic<std::uint32_t> next{0};  // link of an inbox: index + 1
  Kind kind;
  ErrorKind error;
  std::uint16_t window;        // of a stream: how many items its producer may be ahead; 0: any number
  std::uint32_t value_pinned;  // how many Refs of `value` are pinned
  std::uint32_t number;        // kActorCall: its concurrency group, 0 the default; a stream's cell: of which item
  std::uint32_t kept_deps;     // kTask with kKept: how many of its dependencies are counted in `lineage_pins`
  Blob value;
  TaskPart part;
  Blob args;

  State load() const { return State{state.load()}; }
  // Read by whoever looks whether anybody is left, perhaps while it becomes another object.
  Kind kind_now() { return base::AtomicRef(kind).load(std::memory_order_relaxed); }
  void set_kind(Kind k) { base::AtomicRef(kind).store(k, std::memory_order_relaxed); }
};
static_assert(sizeof(Entry) == 256 && offsetof(Entry, part) == 128 && kHolderGroups <= 32);

// ---------------------------------------------------------------------------------------------------------------------
// A process.

enum class ProcStatus : std::uint32_t { kFree = 0, kStarting = 1, kAlive = 2, kDead = 3 };
enum class ProcKind : std::uint32_t { kDriver = 0, kWorker = 1, kActor = 2 };

// What a process is about to do to a DetectableWord. Written before, cleared (sequence = 0) after.
struct Operation {
  enum Kind : std::uint32_t { kPin = 1, kUnpin = 2, kPush = 3 };
  enum Field : std::uint32_t { kArgs = 1, kValue = 2, kLineage = 3 };  // kLineage: of `lineage_pins`, and kept_deps
  base::Atomic<std::uint32_t> sequence;
  std::uint32_t kind;
  std::uint32_t target;   // kPin, kUnpin: the entry whose pins change; kPush: the entry pushed
  std::uint32_t context;  // kPin, kUnpin: the entry whose counter says how many of its Refs are pinned; kPush: the list
  std::uint32_t field;
  std::uint32_t after;  // that counter's value once the operation has taken effect
  std::uint32_t last;   // newest sequence used; the slot's next process goes on from it
};

struct alignas(64) ProcSlot {
  base::Atomic<ProcStatus> status;
  ProcKind kind;
  std::int32_t pid;
  std::uint32_t actor;  // kActor: slot
  // Of a worker that takes nothing from the queue, or of what an attached driver submits; 0: the session's.
  base::Atomic<std::uint32_t> environment;
  base::Atomic<std::uint32_t> blocked;        // threads of it that wait in get or wait
  base::Atomic<std::uint32_t> running;        // entry + 1 of the task on its main thread
  base::Atomic<std::uint32_t> cancel;         // entry + 1 of the task to interrupt
  base::Atomic<std::uint32_t> interrupted;    // entry + 1 of the task whose interrupt its main thread has seen
  base::Atomic<std::uint32_t> asked_to_exit;  // a worker; an actor: asked to look for cancelled calls
  base::Atomic<std::uint64_t> idle_since_ns;
  DetectableWord inbox;  // what only this process may run: index + 1 of the newest entry
  Operation operation;
  alignas(
      64) base::Atomic<std::uint32_t> bell;  // futex: twice the number of rings, plus one while a thread sleeps on it
  base::Atomic<std::uint32_t> cpu;           // where its waiting thread runs, + 1
  base::Atomic<std::uint32_t> acknowledged;  // newest operation known to have taken effect
  // The tag that it is about to set or to take back in a chunk that somebody may be reclaiming: chunk * kBlocksPerChunk
  // + its place there, + 1; 0: none. A death in between leaves the tag in what may be another's chunk by then.
  alignas(64) base::Atomic<std::uint64_t> taking;
  // What sharing cost it, since it began; only it writes them, for benches.
  base::Atomic<std::uint64_t> taken;      // tasks from the queue
  base::Atomic<std::uint64_t> stolen;     // of them, from another worker's ring
  base::Atomic<std::uint64_t> contended;  // compare-and-swaps on the queue that somebody else won
  base::Atomic<std::uint64_t> wakeups;    // system calls to wake somebody
};

// ---------------------------------------------------------------------------------------------------------------------
// Actors.

enum class ActorStatus : std::uint32_t {
  kFree = 0,
  kReserved = 1,
  kPending = 2,
  kAlive = 3,
  kRestarting = 4,
  kDead = 5
};

struct alignas(64) ActorSlot {
  base::Atomic<ActorStatus> status;
  base::Atomic<std::uint32_t> proc;  // its process + 1, 0 while there is none
  Ref creation;                      // its kActorCreate entry, whose references are the handles
  std::uint32_t reserver;            // process that made it
  std::int32_t max_restarts;         // -1: without end
  std::int32_t restarts;
  std::int32_t max_task_retries;  // of its calls, unless they say otherwise
  std::uint32_t concurrency;
  std::uint32_t detached;
  base::Atomic<std::uint32_t> terminate;  // 1: after what is queued; 2: killed; 3: killed, restart allowed
  DetectableWord inbox;                   // newest call: index + 1
  base::Atomic<std::uint32_t> calls;      // sequence of the next call
  char name[kNameBytes];                  // "namespace/name", empty: anonymous
  char class_name[64];
  char death[1024];  // why it died, for a person
};

// ---------------------------------------------------------------------------------------------------------------------
// Placement groups.

inline constexpr std::uint32_t kStrictSpread = 3;  // each bundle on a machine of its own

enum class GroupStatus : std::uint32_t { kFree = 0, kReserved = 1, kPending = 2, kCreated = 3, kRemoved = 4 };

// Resources that are reserved together. Its maker fills it (kReserved); from kPending on it is the scheduler's.
struct alignas(64) PlacementGroup {
  base::Atomic<GroupStatus> status;
  base::Atomic<std::uint32_t> remove;      // 1: asked for
  base::Atomic<std::uint64_t> removed_ns;  // of slots in kRemoved the oldest is used next
  Ref ready;                               // its kGroup entry
  std::uint32_t maker;                     // process that fills it
  std::uint32_t creator;                   // actor's slot + 1 with which it goes; 0: it goes with the runtime, or
  std::uint32_t driver;                    // with this attached driver, process + 1
  std::uint32_t strategy;                  // kStrictSpread, or another
  std::uint32_t bundles;
  std::uint16_t bundle[kMaxBundles];  // resource sets
  char name[kNameBytes];              // "namespace/name", empty: anonymous
};

// ---------------------------------------------------------------------------------------------------------------------

// A lock that names its holder, so that a death while holding it is repaired. What it guards is always left consistent
// by single stores: releasing is all the repair.
struct RobustLock {
  base::Atomic<std::uint32_t> holder{0};  // process + 1
};

// Tasks that may run now, a ring of words that any process fills and empties by compare-and-swap. Whoever finds head or
// tail lagging helps it on, so a death between two steps blocks nobody. Position p lies in cell p % kRingCells, in lap
// p / kRingCells. A free cell holds the lap that may fill it << 1; an item has the low bit set and the lap's last three
// bits above it: who comes with an old head or tail sees that the item is not of his lap.
// Item: [63:32] generation | [31:10] entry | [9:4] attempt's last bits | [3:1] lap | 1.
struct Ring {
  static_assert(kMaxObjects <= 1u << 22);
  alignas(64) base::Atomic<std::uint64_t> head;
  alignas(64) base::Atomic<std::uint64_t> tail;
  alignas(64) base::Atomic<std::uint64_t> cell[kRingCells];
};

// Entries that their one reader is to look at, by index: many add, he takes all of them. Three levels of bits, so that
// looking costs nothing when there are none. Who adds sets the lowest level first and the reader clears the highest
// first: what is added while he takes is found by him now or in his next round. An index may be in it for no reason; a
// death before the last of the three steps may leave it out, so after one the reader looks at everything that he waits
// for.
struct IndexSet {
  static constexpr std::uint32_t kWords = (kMaxObjects + 63) / 64;
  static constexpr std::uint32_t kGroups = (kWords + 63) / 64;
  static constexpr std::uint32_t kTops = (kGroups + 63) / 64;
  base::Atomic<std::uint64_t> top[kTops];
  base::Atomic<std::uint64_t> group[kGroups];
  base::Atomic<std::uint64_t> word[kWords];

  void add(std::uint32_t index) {
    word[index / 64].fetch_or(std::uint64_t{1} << (index % 64));
    group[index / 64 / 64].fetch_or(std::uint64_t{1} << (index / 64 % 64));
    top[index / 64 / 64 / 64].fetch_or(std::uint64_t{1} << (index / 64 / 64 % 64));
  }

  // Calls visit(index) for each; it may add.
  template <typename F>
  void take(F&& visit) {
    auto each = [](base::Atomic<std::uint64_t>& bits, std::uint32_t base, auto&& f) {
      if (bits.load(std::memory_order_relaxed) == 0) return;
      for (std::uint64_t left = bits.exchange(0); left != 0; left &= left - 1)
        f(base * 64 + static_cast<std::uint32_t>(__builtin_ctzll(left)));
    };
    for (std::uint32_t t = 0; t < kTops; ++t)
      each(top[t], t, [&](std::uint32_t g) { each(group[g], g, [&](std::uint32_t w) { each(word[w], w, visit); }); });
  }
};

struct Control {
  std::uint64_t magic;
  std::uint64_t data_capacity;
  std::uint64_t session;   // random; references from another session are refused
  std::uint32_t history;   // whether what has ended is remembered: constant once the engine runs
  std::uint32_t num_cpus;  // tokens
  std::uint32_t cores;     // of this machine, for the waiting policy
  std::uint32_t patient;   // SchedulerOptions
  RobustLock names_lock;   // actor names, resource table
  RobustLock heap_lock;
  base::Atomic<std::uint32_t> stopping;
  // What the scheduler lacks, bits: workers give their CPU back between tasks; whoever gives one back, or becomes idle,
  // rings the scheduler.
  static constexpr std::uint32_t kCpuWanted = 1, kWorkerWanted = 2;
  base::Atomic<std::uint32_t> wanted;
  base::Atomic<std::uint32_t>
      workers_short;  // fewer workers than CPUs are free to run: who finds no idle one rings the scheduler
  // The memory monitor sleeps: a worker that leaves its own sleep sets it back and rings the scheduler.
  base::Atomic<std::uint32_t> memory_asleep;
  base::Atomic<std::uint32_t> memory_looks;  // of the monitor, so far
  base::Atomic<std::uint32_t> reclaims;      // chunks that were taken from a process because they were empty
  base::Atomic<std::uint64_t> committed;     // bytes of the data segment that are backed
  // Spilling, all constant once the engine runs but for the counts, which only people read.
  std::uint64_t spill_above;                    // bytes of the store in use from which on it begins
  char spill_folder[kSpillPathBytes];           // "": there is none, and nothing is spilled
  base::Atomic<std::uint32_t> spill_warned;     // that the folder lies in memory, too
  base::Atomic<std::uint32_t> makings;          // large values so far
  base::Atomic<std::uint64_t> spilled_objects;  // since the engine began, as the next three
  base::Atomic<std::uint64_t> spilled_bytes;
  base::Atomic<std::uint64_t> restored_objects;
  base::Atomic<std::uint64_t> restored_bytes;
  alignas(64) base::Atomic<std::uint32_t> rings;  // the queue's rings that are or were in use: the first so many
  base::Atomic<std::uint32_t> rest_words;         // the same of `rest`
  base::Atomic<std::uint64_t> workers;            // processes below 64 that take from the queue
  base::Atomic<std::uint32_t> anything_hurried;   // not 0: there may be something in `hurried`
  // Workers without a task, 32 to a word: [63:32] searches (is awake and will look at every ring before it sleeps)
  // | [31:0] idle (sleeps until its bell rings). In one word, so that waking somebody makes a searcher of him in one
  // step.
  alignas(64) base::Atomic<std::uint64_t> rest[kMaxProcs / 32];
  alignas(64) base::Atomic<std::uint64_t> spinning[kMaxProcs / 64];  // searchers that have a core to do it on
  alignas(64) base::Atomic<std::uint32_t> procs_used;                // slots that are or were in use: the first so many
  base::Atomic<std::uint32_t> actors_used;                           // of actors
  alignas(64) DetectableWord scheduler_inbox;                        // entries in kPending: index + 1 of the newest
  alignas(64) base::Atomic<std::uint32_t> entry_blocks_used;         // never shrinks: what a sweep has to look at
  base::Atomic<std::uint32_t> entry_block_owner[kEntryBlocks];       // process + 1
  struct alignas(64) Token {
    base::Atomic<std::uint32_t> holder;
  } token[kMaxCpuTokens];  // process + 1
  ProcSlot proc[kMaxProcs];
  ActorSlot actor[kMaxActors];
  ResourceTable resources;
  PlacementGroup group[kMaxGroups];
  Ring ring[kRings];
  Ring hurried;              // second copies of what lies in the others: tasks that a worker waits for
  IndexSet scheduler_looks;  // done, and the scheduler had asked to be told; or cancelled while kPending
  Entry entry[kMaxObjects];
  // Of large values alone, so that memory is touched for no other. By entry: the processes that read it where it lies,
  // a bit for each; and when it was made, as `makings` counts (0: never was large).
  struct alignas(kMaxProcs / 8) Readers {
    base::Atomic<std::uint64_t> word[kMaxProcs / 64];
  } readers[kMaxObjects];
  base::Atomic<std::uint32_t> made[kMaxObjects];
  // Lineage (lineage.cc). Of large values alone: how many of an entry's pins are of tasks that are done, and would want it
  // only to run again. Then such tasks, in no order: generation << 32 | index + 1; and where the next goes.
  DetectableWord lineage_pins[kMaxObjects];
  base::Atomic<std::uint64_t> lineage[kMaxLineage];
  base::Atomic<std::uint32_t> lineage_next;
  base::Atomic<std::uint64_t> computed_again;  // values, since the engine began
  // By group and entry. Reading a page of it that was never written makes it: so only by Entry::far_groups.
  base::Atomic<std::uint64_t> far_holders[kHolderGroups][kMaxObjects];
  // What has ended, if `history` says so.
  Moment begun;
  RecordNames record_names;
  HistoryRing<TaskRecord, kEndedTasks> ended[kMaxProcs];
  HistoryRing<DeadActorRecord, kDeadActors> dead_actors;
};

// Where the bit lies that says of a process that it has references: Entry::holders.
constexpr std::uint64_t holder_bit(std::uint32_t proc) {
  return std::uint64_t{1} << (proc % kProcsPerWord);
}
constexpr std::uint32_t holder_group(std::uint32_t proc) {
  return proc / kProcsPerWord;
}
// Whether that process has references to the object.
bool is_holder(const Control& control, std::uint32_t index, std::uint32_t proc);
// The scheduler's, before the slot is another's.
void note_dead_actor(Control& control, const ActorSlot& actor, std::uint32_t resources);

// ---------------------------------------------------------------------------------------------------------------------
// The data segment: runs of granules. One atomic word for each granule says what begins there; a run's further granules
// hold 0, as free ones do. Small blocks lie in chunks (a run of kChunkGranules, aligned) that one process allocates
// from.

inline constexpr std::uint64_t kGranule = 64 * 1024;
inline constexpr std::uint32_t kChunkGranules = 4;
inline constexpr std::uint64_t kChunkBytes = kGranule * kChunkGranules;
inline constexpr std::uint64_t kMinBlock = 128;
inline constexpr std::uint32_t kBlocksPerChunk = kChunkBytes / kMinBlock;
inline constexpr std::uint64_t kLargestBlock = kGranule;  // a larger one is a run of its own

// [63:32] tag: entry + 1, or kChunkTag | class << 16 | process + 1 | [31:0] granules
struct Run {
  static constexpr std::uint32_t kChunkTag = 1u << 31;
  static constexpr std::uint32_t kClosing = 1u << 30;
  static std::uint64_t make(std::uint32_t tag, std::uint32_t granules) { return (std::uint64_t{tag} << 32) | granules; }
  static std::uint32_t tag(std::uint64_t w) { return static_cast<std::uint32_t>(w >> 32); }
  static std::uint32_t granules(std::uint64_t w) { return static_cast<std::uint32_t>(w); }
  static bool is_chunk(std::uint64_t w) { return (tag(w) & kChunkTag) != 0; }
  static std::uint32_t size_class(std::uint64_t w) { return (tag(w) >> 16) & 0xff; }
  static std::uint32_t owner(std::uint64_t w) { return tag(w) & 0xffff; }
};

struct ChunkTags {
  base::Atomic<std::uint32_t> tag[kBlocksPerChunk];  // entry + 1 that owns the block, 0: free
};

}  // namespace daybreak::runtime
