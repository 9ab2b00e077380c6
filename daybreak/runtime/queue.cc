// The queue, the inboxes, the CPU tokens, and how a process waits.
#include <algorithm>
#include <cerrno>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

// ---------------------------------------------------------------------------------------------------------------------
// The queue: rings (layout.h). Each worker has a home ring (workers beyond kRings share), takes from it first and from
// the others when it is empty. Who submits goes round the rings of workers that are awake, a few tasks at a time: so a
// line that one process writes for every task is read by few. An item is a hint: who runs a task is decided by its
// entry's state, so a second copy does no harm and a stale one is skipped.

namespace {

constexpr std::uint32_t kTasksPerRing = 16;  // submitted to one ring before the next one gets some
constexpr std::uint32_t kItemIndexShift = 10, kItemAttemptShift = 4, kItemAttemptMask = 0x3f;
constexpr std::uint32_t kLookAroundEvery = 61;  // tasks: then another ring comes first, so that none waits for ever

std::uint64_t lap_of(std::uint64_t position) {
  return position / kRingCells;
}

std::uint64_t free_cell(std::uint64_t position) {
  return lap_of(position) << 1;
}

bool is_item(std::uint64_t cell) {
  return (cell & 1) != 0;
}

bool is_item_of_lap(std::uint64_t cell, std::uint64_t lap) {
  return is_item(cell) && ((cell >> 1) & 7) == (lap & 7);
}

std::uint64_t item_of(std::uint32_t index, std::uint32_t generation, std::uint8_t attempt, std::uint64_t lap) {
  return (std::uint64_t{generation} << 32) | (std::uint64_t{index} << kItemIndexShift) |
         (std::uint64_t{attempt & kItemAttemptMask} << kItemAttemptShift) | ((lap & 7) << 1) | 1;
}

std::uint32_t entry_of_item(std::uint64_t cell) {
  return static_cast<std::uint32_t>(cell) >> kItemIndexShift & (kMaxObjects - 1);
}

// Of the last attempts: an item that is older than that is long gone.
bool is_item_of_attempt(std::uint64_t cell, std::uint8_t attempt) {
  return (static_cast<std::uint32_t>(cell) >> kItemAttemptShift & kItemAttemptMask) == (attempt & kItemAttemptMask);
}

void count(base::Atomic<std::uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

// The next task's lines come from the submitter's core while this one runs.
void Process::prefetch(std::uint64_t cell) {
  if (!is_item(cell)) return;
  const auto* lines = reinterpret_cast<const char*>(&entry(entry_of_item(cell)));
  for (std::size_t at = 0; at < sizeof(Entry); at += 64) __builtin_prefetch(lines + at);
}

// In any order: until all three are said, what others put into our ring is found in it by who looks around, and nobody
// can take us for idle before we have said that we are.
void Process::join_queue() {
  if (id_ < 64) control_.workers.fetch_or(std::uint64_t{1} << id_);
  raise_to(control_.rings, std::min(id_ - kFirstProc + 1, kRings));
  raise_to(control_.rest_words, id_ / 32 + 1);
}

// The state before the ring: an item whose entry is not kQueued yet is stale to whoever takes it, and would be lost.
bool Process::enqueue(std::uint32_t index) {
  update(entry(index), [](State s) { return s.with_phase(Phase::kQueued).without_proc(); });
  DAYBREAK_FAILPOINT("enqueue.queued");
  return requeue(index);
}

// The ring that this process fills now: of a worker that is awake, so that what is queued need not be stolen.
std::uint32_t Process::next_ring() {
  if (control_.num_cpus == 1) return 0;  // one at a time, and in the order of their coming
  constexpr std::uint64_t kHomes = ((std::uint64_t{1} << kRings) - 1) << kFirstProc;
  std::uint32_t cursor = push_cursor_.load(std::memory_order_relaxed);
  push_cursor_.store(cursor + 1, std::memory_order_relaxed);
  std::uint64_t workers = control_.workers.load(std::memory_order_relaxed) & kHomes;
  std::uint64_t awake = workers & ~control_.rest[0].load(std::memory_order_relaxed);
  if (awake == 0) awake = workers;
  if (awake == 0) return 0;
  std::uint32_t turn = kFirstProc + (cursor / kTasksPerRing) % kRings;
  std::uint64_t after = awake >> turn << turn;
  return static_cast<std::uint32_t>(__builtin_ctzll(after != 0 ? after : awake)) - kFirstProc;
}

bool Process::requeue(std::uint32_t index) {
  Entry& e = entry(index);
  std::uint32_t generation = e.load().generation();
  std::uint8_t attempt = e.part.attempt_now();
  std::uint32_t first = next_ring();
  if (first >= control_.rings.load()) raise_to(control_.rings, first + 1);
  // Rings beyond those in use are room for what the others cannot hold.
  const std::uint32_t room = std::max(control_.rings.load(), kRoomRings);
  for (std::uint32_t n = 0; n < room; ++n) {
    std::uint32_t ring = (first + n) % room;
    if (n > 0) raise_to(control_.rings, ring + 1);
    if (push_to_ring(control_.ring[ring], index, generation, attempt)) return true;
  }
  return false;
}

// The cell commits: from then on the item can be taken. The tail is moved after it, by us or by whoever comes next, so a
// death in between blocks nobody. False: full, at one moment of the call: the cell had the lap before's item, and then
// the tail was still where we had read it.
bool Process::push_to_ring(Ring& ring, std::uint32_t index, std::uint32_t generation, std::uint8_t attempt) {
  for (;;) {
    std::uint64_t tail = ring.tail.load();
    base::Atomic<std::uint64_t>& cell = ring.cell[tail % kRingCells];
    std::uint64_t seen = cell.load();
    if (seen == free_cell(tail)) {
      if (!cell.compare_exchange_strong(seen, item_of(index, generation, attempt, lap_of(tail)))) {
        count(slot().contended);
        continue;
      }
      DAYBREAK_FAILPOINT("enqueue.placed");
      ring.tail.compare_exchange_strong(tail, tail + 1);
      return true;
    }
    if (is_item_of_lap(seen, lap_of(tail) - 1)) {
      // The lap before's: nobody has taken it. If the tail has been here all the while, the ring is full.
      if (ring.tail.load() == tail) return false;
    } else {
      // Somebody has placed his item here (it may even be taken by now) and not come to this. If it is the tail that we
      // have read which is old, this does nothing.
      ring.tail.compare_exchange_strong(tail, tail + 1);
    }
  }
}

bool Process::claim(std::uint32_t index, std::uint32_t generation) {
  return claim_from(Phase::kQueued, index, generation);
}

// The claim commits, on the entry; then the cell is emptied and the head moved, by us or by whoever comes next. The other
// way round a death in between would lose the task: it would be kQueued and in no ring. As it is, the death leaves a
// stale item, which whoever takes it finds claimed.
std::uint32_t Process::take_from_ring(Ring& ring) {
  for (;;) {
    std::uint64_t head = ring.head.load();
    base::Atomic<std::uint64_t>& cell = ring.cell[head % kRingCells];
    std::uint64_t seen = cell.load();
    if (!is_item_of_lap(seen, lap_of(head))) {
      if (seen == free_cell(head)) return kNone;
      // Emptied, but the head was not moved. (Or the head that we read is old: then this does nothing.)
      ring.head.compare_exchange_strong(head, head + 1);
      continue;
    }
    std::uint32_t index = entry_of_item(seen);
    std::uint32_t generation = static_cast<std::uint32_t>(seen >> 32);
    prefetch(ring.cell[(head + 1) % kRingCells].load(std::memory_order_relaxed));
    bool mine = is_item_of_attempt(seen, entry(index).part.attempt_now()) && claim(index, generation);
    DAYBREAK_FAILPOINT("dequeue.claimed");
    cell.compare_exchange_strong(seen, free_cell(head) + 2);
    DAYBREAK_FAILPOINT("dequeue.emptied");
    ring.head.compare_exchange_strong(head, head + 1);
    if (mine) return index;
    count(slot().contended);
  }
}

// The item first, then the word that says so. Who finds none takes the word back and looks once more: whoever was before him
// with his item is seen, and whoever comes after him says it again. An item that does not fit lies in its own ring still.
void Process::hurry(Ref task) {
  Entry& e = entry(task.index);
  const State s = e.load();
  if (s.generation() != task.generation || s.phase() != Phase::kQueued || e.kind_now() != Kind::kTask) return;
  if (e.part.resources != 0) return;  // it has been given to a worker with what it asked for
  if (!push_to_ring(control_.hurried, task.index, task.generation, e.part.attempt_now())) return;
  DAYBREAK_FAILPOINT("hurry.placed");
  control_.anything_hurried.store(1);
}

std::uint32_t Process::take_hurried() {
  std::uint32_t index = take_from_ring(control_.hurried);
  if (index != kNone) return index;
  control_.anything_hurried.store(0);
  index = take_from_ring(control_.hurried);
  if (index != kNone) control_.anything_hurried.store(1);
  return index;
}

std::uint32_t Process::dequeue() {
  if (control_.anything_hurried.load(std::memory_order_relaxed) != 0) {
    if (std::uint32_t index = take_hurried(); index != kNone) {
      count(slot().taken);
      return index;
    }
  }
  const std::uint32_t rings = control_.rings.load();
  const std::uint32_t home = (id_ - kFirstProc) % kRings;
  std::uint32_t first = home < rings ? home : 0;
  const std::uint32_t turn = dequeues_.load(std::memory_order_relaxed) + 1;
  dequeues_.store(turn, std::memory_order_relaxed);
  if (turn % kLookAroundEvery == 0) first = (first + turn / kLookAroundEvery) % rings;
  for (std::uint32_t n = 0, at = first; n < rings; ++n) {
    std::uint32_t index = take_from_ring(control_.ring[at]);
    if (index != kNone) {
      count(slot().taken);
      if (at != home) count(slot().stolen);
      return index;
    }
    if (++at == rings) at = 0;
  }
  return kNone;
}

// A head that lags behind an emptied cell makes a ring look full that is empty: that wakes somebody for nothing, and he
// helps it on. The other mistake, empty for full, is not possible: an item at the head keeps its cell.
bool Process::queue_empty() const {
  const std::uint32_t rings = control_.rings.load();
  for (std::uint32_t i = 0; i < rings; ++i) {
    const Ring& ring = control_.ring[i];
    std::uint64_t head = ring.head.load();
    if (ring.cell[head % kRingCells].load() != free_cell(head)) return false;
  }
  return true;
}

std::uint64_t Process::queue_length() const {
  std::uint64_t length = 0;
  for (std::uint32_t i = 0; i < control_.rings.load(); ++i) {
    std::uint64_t head = control_.ring[i].head.load();
    auto n = static_cast<std::int64_t>(control_.ring[i].tail.load() - head);  // signed: the tail may be the older one
    if (n > 0) length += static_cast<std::uint64_t>(n);
  }
  return length;
}

// ---------------------------------------------------------------------------------------------------------------------
// Who looks for work. Whoever queues a task wakes a sleeper only if nobody is searching: a searcher will see the task,
// because it looks at all rings once more after it has given up its bit (and, before it sleeps, after it has set its
// idle bit). A searcher that finds a task and was the last one wakes the next if there is more. So a burst wakes one
// worker at a time, each by one that found more than it can do, and none for nothing.

namespace {

constexpr std::uint64_t idle_bit(std::uint32_t proc) {
  return std::uint64_t{1} << (proc % 32);
}
constexpr std::uint64_t searching_bit(std::uint32_t proc) {
  return std::uint64_t{1} << (32 + proc % 32);
}

}  // namespace

bool Process::anyone_searching() const {
  for (std::uint32_t word = 0; word < control_.rest_words.load(); ++word)
    if (control_.rest[word].load() >> 32 != 0) return true;
  return false;
}

// Only those count that spin: one that was woken may be long in coming, and whoever is awake should not sleep because
// of it.
bool Process::start_spinning() {
  std::uint32_t others = 0;
  for (std::uint32_t word = 0; word < (control_.rest_words.load() + 1) / 2; ++word)
    others += static_cast<std::uint32_t>(__builtin_popcountll(control_.spinning[word].load()));
  if (others >= std::max(1u, std::min(control_.num_cpus, control_.cores) / 4)) return false;
  control_.spinning[id_ / 64].fetch_or(std::uint64_t{1} << (id_ % 64));
  control_.rest[id_ / 32].fetch_or(searching_bit(id_));
  return true;
}

// It searches still: the bit that others rely on stays until stop_searching() or become_idle().
void Process::stop_spinning() {
  control_.spinning[id_ / 64].fetch_and(~(std::uint64_t{1} << (id_ % 64)));
}

// Gives up the bit, then looks at all rings: whoever queued before, and woke nobody because of the bit, is seen here.
void Process::stop_searching() {
  base::Atomic<std::uint64_t>& rest = control_.rest[id_ / 32];
  if ((rest.load() & searching_bit(id_)) == 0) return;
  rest.fetch_and(~searching_bit(id_));
  wake_next();
}

void Process::wake_next() {
  if (!anyone_searching() && !queue_empty()) wake_idle();
}

// In one step: between two, whoever queues a task would find neither a searcher nor a sleeper.
void Process::become_idle() {
  update(control_.rest[id_ / 32], [&](std::uint64_t now) { return (now & ~searching_bit(id_)) | idle_bit(id_); });
}

void Process::leave_idle() {
  control_.rest[id_ / 32].fetch_and(~idle_bit(id_));
}

bool Process::is_idle(std::uint32_t proc) const {
  return (control_.rest[proc / 32].load() & idle_bit(proc)) != 0;
}

bool Process::claim_idle(std::uint32_t proc) {
  return (control_.rest[proc / 32].fetch_and(~idle_bit(proc)) & idle_bit(proc)) != 0;
}

bool Process::task_queued() {
  return !anyone_searching() && wake_idle();
}

// Makes a searcher of a sleeper, in one step, before he is rung: so of two that queue at once the second finds somebody
// who searches and wakes nobody. A death between the step and the bell is made good by ring_all() in the sweep. The
// lowest first: the others may sleep long enough to be given up.
bool Process::wake_idle() {
  for (std::uint32_t word = 0; word < control_.rest_words.load(); ++word) {
    std::uint64_t rest = control_.rest[word].load();
    while (static_cast<std::uint32_t>(rest) != 0) {
      std::uint32_t proc = word * 32 + static_cast<std::uint32_t>(__builtin_ctzll(rest));
      if (!control_.rest[word].compare_exchange_weak(rest, (rest & ~idle_bit(proc)) | searching_bit(proc))) continue;
      DAYBREAK_FAILPOINT("wake.chosen");
      ring(proc);
      return true;
    }
  }
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------
// Inboxes: a stack that many push onto and one reader takes whole and turns round.

DetectableWord& Process::list_word(std::uint32_t list) {
  if (list == kSchedulerList) return control_.scheduler_inbox;
  if (list >= kActorList) return control_.actor[list - kActorList].inbox;
  return control_.proc[list].inbox;
}

void Process::push(std::uint32_t list, std::uint32_t index, Phase phase) {
  apply(list_word(list), Operation::kPush, index, list, 0, 0, nullptr, phase);
}

// The entries are marked as this process's before they leave the list, so that a death in between loses none: the sweep
// finds them by the mark.
void Process::take_all(std::uint32_t list, std::vector<std::uint32_t>& out, bool mark) {
  DetectableWord& word = list_word(list);
  std::uint64_t old = word.word.load();
  std::uint32_t marked = 0;
  do {
    if (DetectableWord::value(old) == 0) return;
    if (mark) {
      for (std::uint32_t at = DetectableWord::value(old); at != marked; at = entry(at - 1).next.load())
        entry(at - 1).part.set_target(static_cast<std::uint16_t>(id_ + 1));
      marked = DetectableWord::value(old);
    }
    DAYBREAK_FAILPOINT("take.marked");
    acknowledge(old);
  } while (!word.word.compare_exchange_weak(old, 0));
  DAYBREAK_FAILPOINT("take.taken");
  std::size_t first = out.size();
  for (std::uint32_t at = DetectableWord::value(old); at != 0; at = entry(at - 1).next.load()) out.push_back(at - 1);
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

// ---------------------------------------------------------------------------------------------------------------------
// CPU tokens.

std::uint32_t Process::acquire_token(std::uint32_t as) {
  const std::uint32_t count = control_.num_cpus;
  const std::uint32_t hint = token_hint_.load(std::memory_order_relaxed);
  for (std::uint32_t n = 0; n < count; ++n) {
    std::uint32_t token = hint + n < count ? hint + n : hint + n - count;
    std::uint32_t none = 0;
    if (control_.token[token].holder.load() == 0 &&
        control_.token[token].holder.compare_exchange_strong(none, as + 1)) {
      DAYBREAK_FAILPOINT("token.acquired");
      token_hint_.store(token, std::memory_order_relaxed);
      return token;
    }
  }
  return kNone;
}

void Process::release_token(std::uint32_t token, std::uint32_t as) {
  std::uint32_t holder = as + 1;
  DAYBREAK_CHECK(control_.token[token].holder.compare_exchange_strong(holder, 0));
  DAYBREAK_FAILPOINT("token.released");
}

// ---------------------------------------------------------------------------------------------------------------------
// Waiting. Lost wake-ups are excluded by the order of sequentially consistent steps: the waiter announces itself, then
// looks again; the waker changes the world, then looks for waiters.

// The mark goes into the word that completing replaces: so it is seen by who completes, or the object is done already.
bool Process::set_waiter(Ref ref) {
  Entry& e = entry(ref.index);
  State s = settled(ref.index);
  for (;;) {
    if (s.phase() == Phase::kDying) s = settled(ref.index);  // a mark there would be seen by nobody
    if (s.done()) return false;
    std::uint32_t waiter = s.waiter();
    if (waiter == id_ + 1 || waiter == State::kManyWaiters) return true;
    std::uint32_t next = waiter == 0 ? id_ + 1 : State::kManyWaiters;
    if (e.state.compare_exchange_weak(s.word, s.with_waiter(next).word)) return true;
  }
}

// The bit for a sleeper lies in the futex word itself, and the ringer takes it away: a burst of rings makes one system
// call, however long the sleeper takes to get a core.
bool Process::ring(std::uint32_t proc) {
  base::Atomic<std::uint32_t>& bell = control_.proc[proc].bell;
  if ((bell.fetch_add(2) & kAsleep) == 0) return false;
  bell.fetch_and(~kAsleep);
  count(slot().wakeups);
  base::futex_wake_all(bell);
  return true;
}

// ring() by one that died between its two last steps has left a sleeper without a mark: later rings would not wake it.
void Process::ring_surely(std::uint32_t proc) {
  base::Atomic<std::uint32_t>& bell = control_.proc[proc].bell;
  bell.fetch_add(2);
  bell.fetch_and(~kAsleep);
  base::futex_wake_all(bell);
}

void Process::ring_all() {
  for (std::uint32_t proc = 0; proc < procs_used(); ++proc)
    if (control_.proc[proc].status.load() == ProcStatus::kAlive) ring_surely(proc);
}

void Process::wake_waiters(std::uint32_t waiter) {
  if (waiter != State::kManyWaiters) {
    ring(waiter - 1);
    return;
  }
  // Whether or not they sleep yet: one that has just marked the entry must find its bell rung.
  for (std::uint32_t proc = 0; proc < procs_used(); ++proc) {
    ProcSlot& s = control_.proc[proc];
    if (s.status.load() != ProcStatus::kAlive) continue;
    if (!is_idle(proc) || s.blocked.load() != 0) ring(proc);  // an idle one waits for tasks, not for objects
  }
}

// The kernel looks at the word again before the thread sleeps: rung between our mark and that, it returns at once.
int Process::sleep(std::uint32_t seen, std::int64_t timeout_ns) {
  base::Atomic<std::uint32_t>& bell = slot().bell;
  auto not_rung = [&](std::uint32_t now) { return (now & ~kAsleep) == seen; };
  if (!update_if(bell, not_rung, [](std::uint32_t now) { return now | kAsleep; })) return 0;
  return base::futex_wait(bell, seen | kAsleep, timeout_ns);
}

// ---------------------------------------------------------------------------------------------------------------------
// Locks of shared memory, which RobustGuard takes. The holder's number is the lock, so who holds it is known at any
// instruction, and a death is made good by break_lock().

void Process::lock(RobustLock& lock) {
  for (int i = 0;; ++i) {
    std::uint32_t none = 0;
    if (lock.holder.compare_exchange_strong(none, id_ + 1)) return;
    if (i < 32) {
      base::cpu_pause();
      continue;
    }
    // The monitor must not wait for a process that it is about to bury.
    if (id_ == kSchedulerProc && none != 0 && control_.proc[none - 1].status.load() == ProcStatus::kDead) {
      break_lock(lock, none - 1);
      continue;
    }
    base::sleep_ns(i < 1000 ? 20'000 : 1'000'000);
  }
}

void Process::unlock(RobustLock& lock) {
  lock.holder.store(0);
}

}  // namespace daybreak::runtime
