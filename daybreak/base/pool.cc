#include "daybreak/base/pool.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "daybreak/base/atomic.h"
#include "daybreak/base/mutex.h"

namespace daybreak::base {

namespace {

// About 30 microseconds awake: less than a sleep and a wake-up cost together.
constexpr int kPoolSpins = 1000;

void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t old) {
  for (int i = 0; i < kPoolSpins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    cpu_pause();
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

// Which job it is, how many work on it, and how many of those wait at its barrier: one word, so that who arrives, who
// leaves and who comes late agree on who is the last.
struct Seats {
  std::uint64_t word = 0;

  static constexpr std::uint64_t kArrived = 1;
  static constexpr std::uint64_t kPresent = std::uint64_t{1} << 16;
  static constexpr std::uint64_t kTeam = std::uint64_t{1} << 31;

  static Seats of(std::uint32_t number, bool team, std::uint64_t present) {
    return {std::uint64_t{number} << 32 | (team ? kTeam : 0) | present * kPresent};
  }
  std::uint32_t number() const { return static_cast<std::uint32_t>(word >> 32); }
  bool is_team() const { return (word & kTeam) != 0; }
  std::uint64_t present() const { return word >> 16 & 0x7fff; }
  std::uint64_t arrived() const { return word & 0xffff; }
};
static_assert(kMaxPoolSize <= 0x7fff);

// The pools whose jobs this thread is inside of, the innermost first.
struct Inside {
  const Pool* pool;
  const Inside* outer;
};
thread_local const Inside* innermost = nullptr;

class Entered {
 public:
  explicit Entered(const Pool* pool) : here_{pool, innermost} { innermost = &here_; }
  ~Entered() { innermost = here_.outer; }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  const Inside here_;
};

bool is_inside(const Pool* pool) {
  for (const Inside* at = innermost; at != nullptr; at = at->outer) {
    if (at->pool == pool) return true;
  }
  return false;
}

}  // namespace

// What the threads of one process share. One that a fork left behind is never touched again, not even destroyed: its
// locks may be held, and its threads are not there to be joined. It stays reachable, or a leak checker would tell of it.
struct Pool::Shared {
  Shared(const Pool* owner, pid_t process, Shared* of_parent) : pool(owner), pid(process), left_behind(of_parent) {}

  const Pool* const pool;
  const pid_t pid;
  Shared* left_behind;

  Mutex one_job;                     // held by the caller of a job until it has ended
  std::vector<std::thread> threads;  // member i is threads[i - 1]; touched with one_job held, and by ~Pool

  // The job. Written by its caller while nobody is at work, before `seats` names it.
  Call call = nullptr;
  void* job = nullptr;
  std::size_t count = 0;
  bool stop = false;

  alignas(64) std::atomic<std::uint32_t> bell{0};  // the number of the last job; members sleep on it
  alignas(64) std::atomic<std::uint64_t> seats{0};
  std::atomic<std::uint32_t> phase{0};           // barriers passed
  std::atomic<std::uint32_t> finished{0};        // the number of the last job that everyone has left
  alignas(64) std::atomic<std::size_t> next{0};  // step of a loop

  Mutex failure_mutex;
  std::size_t failed_at DAYBREAK_GUARDED_BY(failure_mutex) = 0;
  bool failed DAYBREAK_GUARDED_BY(failure_mutex) = false;
  Status failure DAYBREAK_GUARDED_BY(failure_mutex);
  std::exception_ptr thrown DAYBREAK_GUARDED_BY(failure_mutex);

  // False when it failed; what it failed with is kept.
  bool attempt(std::size_t i) {
    Status status;
    std::exception_ptr exception;
    try {
      status = call(job, i);
    } catch (...) {
      exception = std::current_exception();
    }
    if (status && exception == nullptr) return true;
    MutexLock lock(failure_mutex);
    if (failed && failed_at < i) return false;
    failed = true;
    failed_at = i;
    failure = std::move(status);
    thrown = std::move(exception);
    return false;
  }

  Status take_failure() {
    std::exception_ptr exception;
    {
      MutexLock lock(failure_mutex);
      failed = false;
      exception = std::exchange(thrown, nullptr);
      if (exception == nullptr) return std::exchange(failure, Status{});
    }
    std::rethrow_exception(exception);
  }

  void work(std::size_t member) {
    const Entered entered(pool);
    if (count == kTeamJob) {
      attempt(member);
      return;
    }
    for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      if (!attempt(i)) next.store(count, std::memory_order_relaxed);
    }
  }
  static constexpr std::size_t kTeamJob = std::numeric_limits<std::size_t>::max();

  // Everyone present waits at the barrier, so nobody else changes the word: the count of those who wait goes back before
  // the phase lets them on to the next barrier.
  void open_barrier(std::uint64_t arrived) {
    seats.fetch_sub(arrived * Seats::kArrived, std::memory_order_relaxed);
    phase.fetch_add(1, std::memory_order_release);
    phase.notify_all();
  }

  void arrive() {
    // Before arriving: afterwards the last one may have moved it already.
    const std::uint32_t before = phase.load(std::memory_order_acquire);
    const Seats seen{seats.fetch_add(Seats::kArrived, std::memory_order_acq_rel)};
    DAYBREAK_CHECK(seen.is_team());
    if (seen.arrived() + 1 == seen.present()) {
      open_barrier(seen.arrived() + 1);
    } else {
      wait_while(phase, before);
    }
  }

  // The last to leave says that the job is finished; one who leaves while all others wait lets them on.
  void leave() {
    const Seats seen{seats.fetch_sub(Seats::kPresent, std::memory_order_acq_rel)};
    if (seen.present() == 1) {
      finished.store(seen.number(), std::memory_order_release);
      finished.notify_all();
    } else if (seen.arrived() > 0 && seen.arrived() + 1 == seen.present()) {
      open_barrier(seen.arrived());
    }
  }

  // True for a member that works on the job of this number. Those of a team are counted from the start. A loop may be
  // over before a thread is awake: once nobody is present its job is gone.
  bool enter(std::uint32_t number) {
    Seats seen{seats.load(std::memory_order_acquire)};
    while (seen.number() == number && seen.present() > 0) {
      if (seen.is_team()) return true;
      if (seats.compare_exchange_weak(seen.word, seen.word + Seats::kPresent, std::memory_order_acq_rel,
                                      std::memory_order_acquire))
        return true;
    }
    return false;
  }

  void serve(std::size_t member, std::uint32_t seen) {
    for (;;) {
      wait_while(bell, seen);
      seen = bell.load(std::memory_order_acquire);
      if (!enter(seen)) continue;
      if (stop) return leave();
      work(member);
      leave();
    }
  }

  // With one_job held. A team waits for all its members, a loop for the threads that come in time.
  void begin(Call new_call, void* new_job, std::size_t new_count) {
    call = new_call;
    job = new_job;
    count = new_count;
    next.store(0, std::memory_order_relaxed);
    const bool is_team = new_count == kTeamJob;
    const std::uint32_t number = bell.load(std::memory_order_relaxed) + 1;
    // The job before the seats, by which a thread that enters knows it whole; the seats before the bell, by which it
    // wakes and which it looks at once.
    seats.store(Seats::of(number, is_team, is_team ? threads.size() + 1 : 1).word, std::memory_order_release);
    bell.store(number, std::memory_order_release);
    bell.notify_all();
  }

  void end() {
    leave();
    const std::uint32_t number = bell.load(std::memory_order_relaxed);
    for (std::uint32_t seen = finished.load(std::memory_order_acquire); seen != number;
         seen = finished.load(std::memory_order_acquire)) {
      wait_while(finished, seen);
    }
  }

  void make_threads(std::size_t wanted) {
    const std::uint32_t seen = bell.load(std::memory_order_relaxed);  // they begin with the job to come
    while (threads.size() < wanted) threads.emplace_back(&Shared::serve, this, threads.size() + 1, seen);
  }
};

Pool::Pool(std::size_t size) : size_(size), shared_(new Shared(this, ::getpid(), nullptr)) {
  DAYBREAK_CHECK(size >= 1 && size <= kMaxPoolSize);
}

Pool::~Pool() {
  Shared* const mine = shared_.load(std::memory_order_acquire);
  if (mine->pid != ::getpid()) {
    keep(mine);
    return;
  }
  if (mine->left_behind != nullptr) keep(mine->left_behind);
  mine->stop = true;
  if (!mine->threads.empty()) {
    mine->begin(nullptr, nullptr, Shared::kTeamJob);
    mine->end();
    for (std::thread& thread : mine->threads) thread.join();
  }
  delete mine;
}

void Pool::keep(Shared* of_parent) {
  static std::atomic<Shared*> kept{nullptr};
  Shared* last = of_parent;
  while (last->left_behind != nullptr) last = last->left_behind;
  last->left_behind = kept.load();
  while (!kept.compare_exchange_weak(last->left_behind, of_parent)) {
  }
}

Pool::Shared& Pool::shared() {
  Shared* mine = shared_.load(std::memory_order_acquire);
  const pid_t pid = ::getpid();
  if (mine->pid != pid) {
    auto fresh = std::make_unique<Shared>(this, pid, mine);
    if (shared_.compare_exchange_strong(mine, fresh.get(), std::memory_order_acq_rel)) mine = fresh.release();
  }
  return *mine;  // ours, or that of another thread of this process, which was quicker
}

Status Pool::loop(std::size_t count, Call call, void* job) {
  DAYBREAK_CHECK(count < Shared::kTeamJob);
  if (count <= 1 || size_ == 1 || is_inside(this)) {
    const Entered entered(this);
    for (std::size_t i = 0; i < count; ++i) DAYBREAK_TRY(call(job, i));
    return {};
  }
  Shared& mine = shared();
  MutexLock lock(mine.one_job);
  try {
    mine.make_threads(std::min(count, size_) - 1);
  } catch (const std::system_error&) {  // then those do it that there are
  }
  mine.begin(call, job, count);
  mine.work(0);
  mine.end();
  return mine.take_failure();
}

Status Pool::team(Call call, void* job) {
  DAYBREAK_CHECK(!is_inside(this));
  if (size_ == 1) {
    const Entered entered(this);
    return call(job, 0);
  }
  Shared& mine = shared();
  MutexLock lock(mine.one_job);
  mine.make_threads(size_ - 1);
  mine.begin(call, job, Shared::kTeamJob);
  mine.work(0);
  mine.end();
  return mine.take_failure();
}

void Pool::barrier() {
  if (size_ > 1) shared_.load(std::memory_order_acquire)->arrive();
}

}  // namespace daybreak::base
