// The queue, the inboxes, the CPU tokens, and how a process waits.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"

namespace daybreak::runtime {

// ---------------------------------------------------------------------------------------------------------------------
// The queue: a ring of words that any process fills and empties by compare-and-swap; whoever finds head or tail lagging
// helps it on, so a death between two steps blocks nobody. An item is a hint: who runs a task is decided by its entry's
// state.
//
// A free cell holds its lap << 1; an item has the low bit set: [63:32] generation | [31:12] entry | [11:4] attempt | 1.

namespace {

std::uint64_t free_cell(std::uint64_t position) {
  return (position / kQueueCells) << 1;
}

std::uint64_t item_of(std::uint32_t index, std::uint32_t generation, std::uint8_t attempt) {
  return (std::uint64_t{generation} << 32) | (std::uint64_t{index} << 12) | (std::uint64_t{attempt} << 4) | 1;
}

long futex(std::atomic<std::uint32_t>* word, int op, std::uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, word, op, value, timeout, nullptr, FUTEX_BITSET_MATCH_ANY);
}

}  // namespace

// The next task's lines come from the submitter's core while this one runs.
void Process::prefetch(std::uint64_t cell) {
  if ((cell & 1) == 0) return;
  const auto* lines = reinterpret_cast<const char*>(&entry(static_cast<std::uint32_t>(cell >> 12) & (kMaxObjects - 1)));
  for (std::size_t at = 0; at < sizeof(Entry); at += 64) __builtin_prefetch(lines + at);
}

bool Process::enqueue(std::uint32_t index) {
  Entry& e = entry(index);
  State s = e.load();
  State next;
  do next = s.with_phase(Phase::kQueued).without_proc();
  while (!e.state.compare_exchange_weak(s.word, next.word));
  DAYBREAK_FAILPOINT("enqueue.queued");
  return requeue(index);
}

bool Process::requeue(std::uint32_t index) {
  Entry& e = entry(index);
  std::uint64_t item = item_of(index, e.load().generation(), e.part.attempt_now());
  for (;;) {
    std::uint64_t tail = control_.queue_tail.load();
    std::uint64_t cell = control_.cell[tail % kQueueCells].load();
    if (cell == free_cell(tail)) {
      std::uint64_t expected = cell;
      if (!control_.cell[tail % kQueueCells].compare_exchange_strong(expected, item)) continue;
      DAYBREAK_FAILPOINT("enqueue.placed");
      control_.queue_tail.compare_exchange_strong(tail, tail + 1);
      return true;
    }
    if ((cell & 1) != 0 && tail - control_.queue_head.load() >= kQueueCells) return false;
    control_.queue_tail.compare_exchange_strong(tail, tail + 1);  // somebody placed an item and did not come to this
  }
}

bool Process::claim(std::uint32_t index, std::uint32_t generation) {
  Entry& e = entry(index);
  State s = e.load();
  for (;;) {
    if (s.generation() != generation || s.phase() != Phase::kQueued) return false;
    if (e.state.compare_exchange_weak(s.word, s.with_phase(Phase::kRunning).with_proc(id_).word)) return true;
  }
}

std::uint32_t Process::dequeue() {
  for (;;) {
    std::uint64_t head = control_.queue_head.load();
    std::uint64_t cell = control_.cell[head % kQueueCells].load();
    if ((cell & 1) == 0) {
      if (cell == free_cell(head)) return UINT32_MAX;
      control_.queue_head.compare_exchange_strong(head, head + 1);  // emptied, but the head was not moved
      continue;
    }
    std::uint32_t index = static_cast<std::uint32_t>(cell >> 12) & (kMaxObjects - 1);
    std::uint32_t generation = static_cast<std::uint32_t>(cell >> 32);
    std::uint8_t attempt = static_cast<std::uint8_t>(cell >> 4);
    prefetch(control_.cell[(head + 1) % kQueueCells].load(std::memory_order_relaxed));
    bool mine = entry(index).part.attempt_now() == attempt && claim(index, generation);
    DAYBREAK_FAILPOINT("dequeue.claimed");
    control_.cell[head % kQueueCells].compare_exchange_strong(cell, free_cell(head) + 2);
    DAYBREAK_FAILPOINT("dequeue.emptied");
    control_.queue_head.compare_exchange_strong(head, head + 1);
    if (mine) return index;
  }
}

bool Process::queue_empty() const {
  std::uint64_t head = control_.queue_head.load();
  std::uint64_t cell = control_.cell[head % kQueueCells].load();
  return (cell & 1) == 0 && cell == free_cell(head);
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
        entry(at - 1).part.target = static_cast<std::uint16_t>(id_ + 1);
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
  return UINT32_MAX;
}

void Process::release_token(std::uint32_t token, std::uint32_t as) {
  std::uint32_t holder = as + 1;
  DAYBREAK_CHECK(control_.token[token].holder.compare_exchange_strong(holder, 0));
  DAYBREAK_FAILPOINT("token.released");
}

// ---------------------------------------------------------------------------------------------------------------------
// Waiting. Lost wake-ups are excluded by the order of sequentially consistent steps: the waiter announces itself, then
// looks again; the waker changes the world, then looks for waiters.

bool Process::set_waiter(Ref ref) {
  Entry& e = entry(ref.index);
  State s = e.load();
  for (;;) {
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
  std::atomic<std::uint32_t>& bell = control_.proc[proc].bell;
  if ((bell.fetch_add(2) & kAsleep) == 0) return false;
  bell.fetch_and(~kAsleep);
  futex(&bell, FUTEX_WAKE, INT_MAX, nullptr);
  return true;
}

void Process::ring_all() {
  for (std::uint32_t proc = 0; proc < kMaxProcs; ++proc) {
    ProcSlot& s = control_.proc[proc];
    if (s.status.load() != ProcStatus::kAlive) continue;
    s.bell.fetch_add(2);
    s.bell.fetch_and(~kAsleep);
    futex(&s.bell, FUTEX_WAKE, INT_MAX, nullptr);
  }
}

void Process::wake_waiters(std::uint32_t waiter) {
  if (waiter != State::kManyWaiters) {
    ring(waiter - 1);
    return;
  }
  // Whether or not they sleep yet: one that has just marked the entry must find its bell rung.
  for (std::uint32_t proc = 0; proc < kMaxProcs; ++proc) {
    ProcSlot& s = control_.proc[proc];
    if (s.status.load(std::memory_order_relaxed) != ProcStatus::kAlive) continue;
    bool idle = (control_.idle[proc / 64].load() >> (proc % 64) & 1) != 0;
    if (!idle || s.blocked.load() != 0) ring(proc);  // an idle one waits for tasks, not for objects
  }
}

int Process::sleep(std::uint32_t seen, std::int64_t timeout_ns) {
  std::atomic<std::uint32_t>& bell = slot().bell;
  timespec until{};
  if (timeout_ns >= 0) {
    clock_gettime(CLOCK_MONOTONIC, &until);
    std::int64_t total = until.tv_nsec + timeout_ns;
    until.tv_sec += total / 1'000'000'000;
    until.tv_nsec = total % 1'000'000'000;
  }
  std::uint32_t now = bell.load();
  do {
    if ((now & ~kAsleep) != seen) return 0;
  } while ((now & kAsleep) == 0 && !bell.compare_exchange_weak(now, seen | kAsleep));
  if (futex(&bell, FUTEX_WAIT_BITSET, seen | kAsleep, timeout_ns >= 0 ? &until : nullptr) == 0) return 0;
  return errno == EAGAIN ? 0 : errno;
}

bool Process::wake_idle() {
  for (std::uint32_t word = 0; word < kMaxProcs / 64; ++word) {
    std::uint64_t bits = control_.idle[word].load();
    while (bits != 0) {
      std::uint64_t lowest = bits & -bits;
      if ((control_.idle[word].fetch_and(~lowest) & lowest) != 0) {
        DAYBREAK_FAILPOINT("wake.chosen");
        ring(word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(lowest)));
        return true;
      }
      bits = control_.idle[word].load();
    }
  }
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------

void Process::lock(RobustLock& lock) {
  for (int i = 0;; ++i) {
    std::uint32_t none = 0;
    if (lock.holder.compare_exchange_strong(none, id_ + 1)) return;
    if (i < 32) {
      cpu_pause();
      continue;
    }
    // The monitor must not wait for a process that it is about to bury.
    if (id_ == kSchedulerProc && none != 0 && control_.proc[none - 1].status.load() == ProcStatus::kDead) {
      break_lock(lock, none - 1);
      continue;
    }
    timespec pause{0, i < 1000 ? 20'000 : 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

void Process::unlock(RobustLock& lock) {
  lock.holder.store(0);
}

}  // namespace daybreak::runtime
