// The ownership protocol under fire: processes that create, pass, pin, await and drop objects are killed at random
// named points, swept, and replaced; in the end nothing may be left. The same work runs on threads for the thread
// sanitizer.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/temp_dir.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/spill_folder.h"

namespace daybreak::runtime {
namespace {

std::uint64_t test_seed() {
  const char* text = std::getenv("DAYBREAK_TEST_SEED");
  std::uint64_t seed = text != nullptr
                           ? std::strtoull(text, nullptr, 10)
                           : static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  std::printf("DAYBREAK_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

std::byte pattern(Ref ref) {
  return static_cast<std::byte>(ref.index * 31 + ref.generation * 7 + 1);
}

// One process's (or thread's) random walk over the protocol.
class Walker {
 public:
  Walker(Process& process, std::uint64_t seed) : p_(process), random_(seed) {}

  void step() {
    switch (below(9)) {
      case 0: put(); break;
      case 1: submit(); break;
      case 2:
      case 3: work(); break;
      case 4:
      case 5: drop(); break;
      case 6: look(); break;
      case 7: pend(); break;
      case 8: token(); break;
    }
    while (held_.size() > 24) drop();
  }

  void drop_all() {
    while (!held_.empty()) drop();
    if (token_ != kNone) p_.release_token(token_, p_.id());
    token_ = kNone;
  }

  std::uint64_t checked() const { return checked_; }

 private:
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }

  std::uint64_t some_size() {
    switch (below(4)) {
      case 0: return below(kInlineBytes);
      case 1: return below(5000);
      case 2: return below(60'000);
      default: return below(300'000);
    }
  }

  // A value contains only what is done already, so that no cycle can come to be: reference counts would never free one.
  std::vector<Ref> some_refs(bool only_done) {
    std::vector<Ref> refs;
    for (std::uint32_t n = below(4); n > 0 && !held_.empty(); --n) {
      Ref ref = held_[below(held_.size())];
      if (!only_done || p_.done(ref)) refs.push_back(ref);
    }
    return refs;
  }

  bool fill(std::uint32_t index) {
    Ref self{index, p_.entry(index).load().generation()};
    std::uint64_t size = some_size();
    auto at = p_.set_value(index, size, some_refs(true), 0);
    if (!at) return false;
    std::memset(*at, static_cast<int>(pattern(self)), size);
    return true;
  }

  void put() {
    auto ref = p_.create(Kind::kValue);
    if (!ref) return;
    if (!fill(ref->index)) return p_.abandon(ref->index);
    p_.publish(ref->index, false);
    held_.push_back(*ref);
  }

  std::optional<Ref> task() {
    auto ref = p_.create(Kind::kTask);
    if (!ref) return std::nullopt;
    std::vector<Ref> refs = some_refs(false);
    if (!p_.set_args(ref->index, below(2) ? below(30) : below(9000), refs, 0, 0)) {
      p_.abandon(ref->index);
      return std::nullopt;
    }
    p_.entry(ref->index).part.retries_left = 2;
    return *ref;
  }

  void submit() {
    auto ref = task();
    if (!ref) return;
    held_.push_back(*ref);
    ASSERT_TRUE(p_.enqueue(ref->index));
    p_.wake_idle();
  }

  void pend() {
    auto ref = task();
    if (!ref) return;
    held_.push_back(*ref);
    p_.push(Process::kSchedulerList, ref->index, Phase::kPending);
    p_.ring(kSchedulerProc);
  }

  void work() {
    std::uint32_t index = p_.dequeue();
    if (index == kNone) return;
    std::vector<Ref> refs(p_.args_refs(index).begin(), p_.args_refs(index).end());
    for (Ref ref : refs) p_.hold(ref);
    for (Ref ref : refs) check(ref);
    if (fill(index))
      p_.publish(index, false);
    else
      p_.publish_error(index, ErrorKind::kStoreFull, "full");
    for (Ref ref : refs) {
      if (below(3) == 0)
        held_.push_back(ref);
      else
        p_.release(ref);
    }
  }

  void check(Ref ref) {
    Entry& e = p_.entry(ref.index);
    ASSERT_EQ(e.load().generation(), ref.generation);
    if (!e.load().done() || e.load().phase() == Phase::kError) return;
    const bool moves = p_.may_move(ref.index);
    if (moves) {
      p_.keep_in_place(ref);
      if (!p_.bring_back(ref)) {  // no room
        p_.let_move(ref);
        return;
      }
      ASSERT_EQ(p_.settled(ref.index).phase(), Phase::kReady);
    }
    for (std::byte byte : p_.value(ref.index)) ASSERT_EQ(byte, pattern(ref));
    if (moves) p_.let_move(ref);
    ++checked_;
  }

  void look() {
    if (held_.empty()) return;
    Ref ref = held_[below(held_.size())];
    if (!p_.done(ref)) {
      std::uint32_t seen = p_.bell();
      if (p_.set_waiter(ref)) p_.sleep(seen, 200'000);
    }
    check(ref);
    if (!p_.done(ref)) return;
    for (Ref inner : p_.value_refs(ref.index)) {
      p_.hold(inner);
      check(inner);
      held_.push_back(inner);
    }
  }

  void token() {
    if (token_ == kNone) {
      token_ = p_.acquire_token(p_.id());
    } else {
      p_.release_token(token_, p_.id());
      token_ = kNone;
    }
  }

  void drop() {
    if (held_.empty()) return;
    std::size_t i = below(held_.size());
    Ref ref = held_[i];
    held_[i] = held_.back();
    held_.pop_back();
    p_.release(ref);
  }

  Process& p_;
  std::mt19937_64 random_;
  std::vector<Ref> held_;
  std::uint32_t token_ = kNone;
  std::uint64_t checked_ = 0;
};

// What the scheduler does with pending tasks, and what it does with tasks whose worker died.
class TestScheduler {
 public:
  explicit TestScheduler(Process& process) : p_(process) {}

  void serve() {
    std::vector<std::uint32_t> pending;
    p_.take_all(Process::kSchedulerList, pending);
    for (std::uint32_t i : pending) EXPECT_TRUE(p_.enqueue(i));
  }

  void bury(std::uint32_t proc) {
    p_.slot(proc).status = ProcStatus::kDead;
    for (std::uint32_t i : p_.sweep(proc).lost) {
      Entry& e = p_.entry(i);
      p_.adopt(i);
      if (e.part.retries_left > 0) {
        --e.part.retries_left;
        e.part.set_attempt(e.part.attempt + 1);
        p_.revert(i, Phase::kQueued);
        EXPECT_TRUE(p_.requeue(i));
      } else {
        p_.publish_error(i, ErrorKind::kWorkerCrashed, "its worker was killed three times");
      }
    }
    p_.slot(proc).status = ProcStatus::kFree;
  }

 private:
  Process& p_;
};

void run_what_is_left(Process& p, TestScheduler& scheduler) {
  for (bool idle = false; !idle;) {
    scheduler.serve();
    std::uint32_t index = p.dequeue();
    idle = index == kNone;
    if (!idle) p.publish_error(index, ErrorKind::kCancelled, "the test is over");
  }
}

void expect_nothing_left(Process& p) {
  p.for_each_entry([&](std::uint32_t i) {
    Entry& e = p.entry(i);
    ADD_FAILURE() << "entry " << i << " is left in phase " << static_cast<int>(e.load().phase()) << ", pins "
                  << e.pins.load() << ", kind " << static_cast<int>(e.kind) << ", holders " << std::hex
                  << e.holders.load() << ", state " << e.load().word;
  });
  p.reclaim_chunks();
  EXPECT_EQ(p.bytes_used(), 0u);
  for (std::uint32_t i = 0; i < p.control().num_cpus; ++i)
    EXPECT_EQ(p.control().token[i].holder.load(), 0u) << "token " << i;
  EXPECT_TRUE(p.queue_empty());
  EXPECT_TRUE(p.list_empty(Process::kSchedulerList));
  EXPECT_EQ(p.control().heap_lock.holder.load(), 0u);
}

std::unique_ptr<Segment> small_segment() {
  return Segment::create({.data_capacity = 24u << 20, .num_cpus = 3}).value();
}

// From here on large values go to disk, and come back, all the time.
std::unique_ptr<OwnedSpillFolder> spill_early(Segment& segment, const std::string& parent) {
  auto folder = OwnedSpillFolder::create(parent, 1).value();
  std::snprintf(segment.control().spill_folder, kSpillPathBytes, "%s", folder->path().c_str());
  segment.control().spill_above = 4u << 20;
  return folder;
}

void expect_moved_and_gone(Segment& segment, const std::string& folder) {
  Control& control = segment.control();
  std::printf("spilled %llu, restored %llu\n", static_cast<unsigned long long>(control.spilled_objects.load()),
              static_cast<unsigned long long>(control.restored_objects.load()));
  EXPECT_GT(control.restored_objects.load(), 0u);
  const std::filesystem::directory_iterator files(folder);
  EXPECT_EQ(std::distance(begin(files), end(files)), 1) << "the lock alone";
}

constexpr std::uint32_t kWorkers = 3;
// The first one holds objects by bits in their entries, the others by bits far away.
constexpr std::uint32_t kFirst = kProcsPerWord - 1;

// Lives of processes that are killed at random points of the protocol. `spilling`: in a store of which little is to be in
// use, so that large values go to disk and come back all the time.
void kill_at_random_points(int lives_to_live, bool spilling) {
  std::mt19937_64 random(test_seed());
  auto segment = small_segment();
  const base::TempDir parent = base::TempDir::create().value();
  const auto folder = spilling ? spill_early(*segment, parent.path()) : nullptr;
  Process monitor(*segment, kSchedulerProc);
  use_spill_folder(monitor);
  TestScheduler scheduler(monitor);
  pid_t pids[kWorkers] = {};
  int lives = 0, killed = 0, clean = 0, failed = 0;
  auto spawn = [&](std::uint32_t w) {
    std::uint64_t seed = random();
    std::uint64_t countdown = random() % 3 == 0 ? 1 + random() % 40 : 1 + random() % 15000;
    monitor.slot(kFirst + w).status.store(ProcStatus::kAlive);  // who sleeps is rung
    pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that fails leaves no child behind
      Process process(*segment, kFirst + w);
      use_spill_folder(process);
      Walker walker(process, seed);
      base::failpoint::arm("", countdown);
      for (int i = 0; i < 600 && !::testing::Test::HasFailure(); ++i) walker.step();
      base::failpoint::arm("", 0);
      walker.drop_all();
      _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    pids[w] = pid;
    ++lives;
  };
  for (std::uint32_t w = 0; w < kWorkers; ++w) spawn(w);
  // Deaths are known as soon as they are reaped, also while another is being buried: who buries may wait for a lock of
  // the newly dead.
  std::atomic<bool> over{false};
  std::mutex mutex;
  std::deque<std::pair<std::uint32_t, int>> exits;
  std::thread reaper([&] {
    while (!over) {
      int status = 0;
      pid_t pid = 0;
      {
        std::lock_guard guard(mutex);  // spawn() notes the pid under it
        pid = waitpid(-1, &status, WNOHANG);
        for (std::uint32_t w = 0; pid > 0 && w < kWorkers; ++w) {
          if (pids[w] != pid) continue;
          monitor.slot(kFirst + w).status.store(ProcStatus::kDead);
          exits.emplace_back(w, status);
        }
      }
      if (pid <= 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  for (int running = kWorkers; running > 0;) {
    scheduler.serve();
    std::pair<std::uint32_t, int> exit;
    {
      std::lock_guard guard(mutex);
      if (!exits.empty()) {
        exit = exits.front();
        exits.pop_front();
      } else {
        exit.first = kWorkers;
      }
    }
    if (exit.first == kWorkers) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    {
      const auto [w, status] = exit;
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        ++killed;
      else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        ++clean;
      else
        ++failed;
      scheduler.bury(kFirst + w);
      std::lock_guard guard(mutex);
      if (lives < lives_to_live)
        spawn(w);
      else
        --running;
    }
  }
  over = true;
  reaper.join();
  run_what_is_left(monitor, scheduler);
  std::printf("lives %d, killed %d, clean %d\n", lives, killed, clean);
  EXPECT_EQ(failed, 0);
  EXPECT_GT(killed, lives / 2);
  expect_nothing_left(monitor);
  if (spilling) expect_moved_and_gone(*segment, folder->path());
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kLives = 60, kSpillingLives = 20;
#else
constexpr int kLives = 600, kSpillingLives = 200;
#endif

TEST(Protocol, nothing_is_left_when_processes_are_killed_at_random_points) {
  kill_at_random_points(kLives, false);
}

TEST(Protocol, nothing_is_left_and_no_value_changes_when_those_that_spill_are_killed_at_random_points) {
  kill_at_random_points(kSpillingLives, true);
}

TEST(Protocol, threads_that_share_everything_leave_nothing) {
  std::uint64_t seed = test_seed();
  auto segment = small_segment();
  Process monitor(*segment, kSchedulerProc);
  TestScheduler scheduler(monitor);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kSteps = 2000;
#else
  constexpr int kSteps = 20'000;
#endif
  std::vector<std::thread> threads;
  std::atomic<int> running{3};
  std::atomic<std::uint64_t> checked{0};
  // Two threads share a process, one has its own.
  Process shared(*segment, 2), own(*segment, 3);
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      Walker walker(t < 2 ? shared : own, seed + static_cast<std::uint64_t>(t));
      for (int i = 0; i < kSteps && !::testing::Test::HasFailure(); ++i) walker.step();
      walker.drop_all();
      checked += walker.checked();
      --running;
    });
  while (running > 0) {
    scheduler.serve();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  for (auto& thread : threads) thread.join();
  run_what_is_left(monitor, scheduler);
  EXPECT_GT(checked.load(), 0u);
  expect_nothing_left(monitor);
}

TEST(Protocol, every_block_class_fits_its_size) {
  for (std::uint64_t size = 1; size <= 65536; ++size) {
    std::uint32_t c = size_class_of(size);
    ASSERT_GE(size_of_class(c), size);
    if (c > 0) {
      ASSERT_LT(size_of_class(c - 1), size);
    }
  }
  EXPECT_EQ(size_class_of(65537), kNone);
}

TEST(Protocol, queue_keeps_order_and_says_when_it_is_full) {
  auto segment = small_segment();
  Process p(*segment, 2);
  p.join_queue();
  std::vector<Ref> refs;
  for (std::uint32_t i = 0; i < kRoomRings * kRingCells; ++i) {
    refs.push_back(p.create(Kind::kTask).value());
    ASSERT_TRUE(p.enqueue(refs.back().index)) << i;
  }
  EXPECT_EQ(p.queue_length(), refs.size());
  Ref extra = p.create(Kind::kTask).value();
  EXPECT_FALSE(p.enqueue(extra.index));
  for (std::size_t i = 0; i < refs.size(); ++i) {
    std::uint32_t index = p.dequeue();
    ASSERT_NE(index, kNone) << i;
    if (i < 60) {
      EXPECT_EQ(index, refs[i].index);  // then now and then another ring has its turn
    }
    p.publish(index, false);
  }
  EXPECT_EQ(p.dequeue(), kNone);
  for (Ref ref : refs) {
    EXPECT_TRUE(p.done(ref));
    p.release(ref);
  }
  EXPECT_TRUE(p.requeue(extra.index));
  EXPECT_EQ(p.dequeue(), extra.index);
  p.publish(extra.index, false);
  p.release(extra);
  expect_nothing_left(p);
}

TEST(Protocol, a_chain_of_100000_nested_objects_is_freed_without_recursion) {
  auto segment = small_segment();
  Process p(*segment, 2);
  std::vector<Ref> inner;
  for (int i = 0; i < 100'000; ++i) {
    Ref ref = p.create(Kind::kValue).value();
    ASSERT_TRUE(p.set_value(ref.index, 0, inner, 0));
    p.publish(ref.index, false);
    for (Ref r : inner) p.release(r);
    inner = {ref};
  }
  p.release(inner[0]);
  expect_nothing_left(p);
}

TEST(Protocol, store_that_is_full_says_so_and_recovers) {
  auto segment = small_segment();
  Process p(*segment, 2);
  std::vector<Ref> refs;
  for (;;) {
    Ref ref = p.create(Kind::kValue).value();
    auto at = p.set_value(ref.index, 1 << 20, {}, 0);
    if (!at) {
      EXPECT_EQ(at.error().code(), base::Code::kResourceExhausted);
      p.abandon(ref.index);
      break;
    }
    p.publish(ref.index, false);
    refs.push_back(ref);
  }
  EXPECT_EQ(refs.size(), 24u);
  for (Ref ref : refs) p.release(ref);
  // Small blocks everywhere, then one large object again: empty chunks are taken back.
  refs.clear();
  for (int i = 0; i < 20'000; ++i) {
    Ref ref = p.create(Kind::kValue).value();
    ASSERT_TRUE(p.set_value(ref.index, 1000, {}, 0));
    p.publish(ref.index, false);
    refs.push_back(ref);
  }
  for (Ref ref : refs) p.release(ref);
  Ref large = p.create(Kind::kValue).value();
  EXPECT_TRUE(p.set_value(large.index, 20 << 20, {}, 0));
  p.publish(large.index, false);
  p.release(large);
  expect_nothing_left(p);
}

}  // namespace
}  // namespace daybreak::runtime
