#include "daybreak/base/pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "daybreak/base/atomic.h"

namespace daybreak::base {
namespace {

std::ptrdiff_t thread_count() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

// The kernel takes a joined thread out of the list a moment after it has ended.
bool comes_down_to(std::ptrdiff_t count) {
  const std::int64_t until = monotonic_ns() + 10'000'000'000;
  while (thread_count() > count && monotonic_ns() < until) yield_cpu();
  return thread_count() == count;
}

// What `work` returns in a forked child; -1 where the child died. ThreadSanitizer lets no child of many threads make one.
template <typename Work>
int in_child(Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int state = 0;
  ::waitpid(child, &state, 0);
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}
#if defined(__SANITIZE_THREAD__)
constexpr bool kForks = false;
#else
constexpr bool kForks = true;
#endif

TEST(Pool, a_loop_does_every_step_once_with_any_number_of_threads) {
  for (const std::size_t size : {1, 2, 3, 8}) {
    Pool pool(size);
    for (const std::size_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> done(count);
      pool.for_each(count, [&](std::size_t i) { ++done[i]; });
      EXPECT_TRUE(std::all_of(done.begin(), done.end(), [](const auto& times) { return times == 1; })) << size;
    }
  }
}

TEST(Pool, every_member_of_a_team_works_on_every_job_and_meets_the_others_at_barriers) {
  Pool pool(3);
  std::vector<int> counts(3);
  std::atomic<std::size_t> before{0};
  for (int job = 0; job < 500; ++job) {
    before = 0;
    pool.run([&](std::size_t member) {
      ++counts[member];
      ++before;
      pool.barrier();
      EXPECT_EQ(before.load(), 3U);
      pool.barrier();
    });
  }
  EXPECT_EQ(counts, (std::vector<int>{500, 500, 500}));
}

TEST(Pool, loops_and_teams_take_turns_on_the_same_threads) {
  Pool pool(4);
  std::atomic<std::size_t> steps{0};
  std::atomic<std::size_t> members{0};
  for (int round = 0; round < 500; ++round) {
    pool.for_each(3, [&](std::size_t) { ++steps; });
    pool.run([&](std::size_t) {
      pool.barrier();
      ++members;
    });
  }
  EXPECT_EQ(steps, 1500U);
  EXPECT_EQ(members, 2000U);
}

TEST(Pool, a_team_of_one_is_the_caller_and_meets_itself) {
  Pool pool(1);
  std::thread::id who;
  pool.run([&](std::size_t member) {
    EXPECT_EQ(member, 0U);
    pool.barrier();
    who = std::this_thread::get_id();
  });
  EXPECT_EQ(who, std::this_thread::get_id());
}

TEST(Pool, the_error_of_the_lowest_step_comes_back_and_no_further_step_is_begun) {
  for (const std::size_t size : {1, 2, 4}) {
    Pool pool(size);
    std::atomic<std::size_t> begun{0};
    const Status status = pool.for_each(100'000, [&](std::size_t i) -> Status {
      ++begun;
      if (i >= 10) return fail(Code::kDataLoss, "step {}", i);
      return {};
    });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message(), "step 10");
    EXPECT_LE(begun, 10 + size);  // each thread begins none after one of its own that failed
    EXPECT_TRUE(pool.for_each(10, [](std::size_t) -> Status { return {}; })) << "and is forgotten";
  }
}

TEST(Pool, an_exception_is_thrown_again_in_the_caller_and_the_pool_goes_on) {
  for (const std::size_t size : {1, 3}) {
    Pool pool(size);
    const auto step = [](std::size_t i) {
      if (i == 5) throw std::runtime_error("step 5");
    };
    EXPECT_THROW(pool.for_each(20, step), std::runtime_error);
    EXPECT_THROW(pool.run([](std::size_t member) {
      if (member == 0) throw std::runtime_error("member 0");
    }),
                 std::runtime_error);
    std::atomic<int> steps{0};
    pool.for_each(20, [&](std::size_t) { ++steps; });
    EXPECT_EQ(steps, 20);
  }
}

TEST(Pool, a_member_that_fails_keeps_nobody_waiting_at_a_barrier) {
  Pool pool(4);
  for (int round = 0; round < 200; ++round) {
    for (std::size_t lost = 0; lost < 4; ++lost) {
      std::atomic<int> passed{0};
      const Status status = pool.run([&](std::size_t member) -> Status {
        pool.barrier();
        if (member == lost) return fail(Code::kAborted, "member {}", member);
        pool.barrier();
        pool.barrier();
        ++passed;
        return {};
      });
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().message(), "member " + std::to_string(lost));
      EXPECT_EQ(passed, 3);
    }
  }
}

TEST(Pool, a_loop_inside_of_a_step_is_the_calling_threads_alone) {
  Pool pool(3);
  std::atomic<int> inner{0};
  pool.for_each(6, [&](std::size_t) {
    const auto caller = std::this_thread::get_id();
    pool.for_each(5, [&](std::size_t) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      ++inner;
    });
  });
  EXPECT_EQ(inner, 30);
}

TEST(Pool, callers_from_several_threads_take_turns) {
  Pool pool(3);
  std::atomic<int> steps{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&pool, &steps] {
      for (int round = 0; round < 100; ++round) pool.for_each(8, [&](std::size_t) { ++steps; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(steps, 4 * 100 * 8);
}

TEST(Pool, threads_are_made_when_needed_and_none_is_left_behind) {
  const std::ptrdiff_t before = thread_count();
  {
    Pool pool(5);
    pool.for_each(1, [](std::size_t) {});
    EXPECT_EQ(thread_count(), before);
    pool.for_each(3, [](std::size_t) {});
    EXPECT_EQ(thread_count(), before + 2) << "no more than have a step";
    pool.run([](std::size_t) {});
    EXPECT_EQ(thread_count(), before + 4);
  }
  EXPECT_TRUE(comes_down_to(before));
}

TEST(Pool, who_has_no_job_takes_no_processor_time) {
  const auto spent_ns = [] {
    timespec spent{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return spent.tv_sec * 1'000'000'000LL + spent.tv_nsec;
  };
  Pool pool(4);
  pool.run([](std::size_t) {});
  const auto before = spent_ns();
  sleep_ns(200'000'000);
  EXPECT_LT(spent_ns() - before, 100'000'000);  // three that spin would take 200 to 600 ms
}

TEST(Pool, a_forked_child_makes_threads_of_its_own) {
  if (!kForks) GTEST_SKIP() << "under ThreadSanitizer a forked child may start no thread";
  Pool pool(3);
  const auto use = [&pool] {
    std::atomic<int> done{0};
    pool.for_each(100, [&](std::size_t) { ++done; });
    pool.run([&](std::size_t) {
      pool.barrier();
      ++done;
    });
    return done == 103 && thread_count() == 3 ? 0 : 1;
  };
  EXPECT_EQ(in_child(use), 0) << "before its first job";
  pool.run([](std::size_t) {});
  EXPECT_EQ(in_child(use), 0);
  EXPECT_EQ(in_child([&] { return use() + in_child(use); }), 0) << "a child's child";
  std::atomic<int> steps{0};
  pool.for_each(100, [&](std::size_t) { ++steps; });
  EXPECT_EQ(steps, 100) << "the parent's go on";
}

TEST(Pool, a_child_that_is_forked_in_the_middle_of_a_job_can_use_it) {
  if (!kForks) GTEST_SKIP() << "under ThreadSanitizer a forked child may start no thread";
  Pool pool(2);
  std::atomic<bool> begun{false};
  std::atomic<bool> end{false};
  std::thread caller([&] {
    pool.for_each(2, [&](std::size_t) {
      begun = true;
      while (!end) yield_cpu();
    });
  });
  while (!begun) yield_cpu();
  EXPECT_EQ(in_child([&] {
              std::atomic<int> steps{0};
              pool.for_each(50, [&](std::size_t) { ++steps; });
              return steps == 50 ? 0 : 1;
            }),
            0);
  end = true;
  caller.join();
  int inner = 0;
  EXPECT_EQ(in_child([&] { return 0; }), 0);
  pool.for_each(1, [&](std::size_t) {
    inner = in_child([&] {  // inside of a step: the loop is the child's only thread's
      int steps = 0;
      pool.for_each(50, [&](std::size_t) { ++steps; });
      return steps;
    });
  });
  EXPECT_EQ(inner, 50);
}

TEST(Pool, a_child_that_destroys_it_leaves_the_parents_threads_alone) {
  if (!kForks) GTEST_SKIP() << "under ThreadSanitizer a forked child may start no thread";
  auto pool = std::make_unique<Pool>(3);
  pool->run([](std::size_t) {});
  EXPECT_EQ(in_child([&] {
              pool.reset();
              return 0;
            }),
            0);
  EXPECT_EQ(in_child([&] {
              pool->run([](std::size_t) {});
              pool.reset();
              return comes_down_to(1) ? 0 : 1;
            }),
            0);
  std::atomic<int> members{0};
  pool->run([&](std::size_t) { ++members; });
  EXPECT_EQ(members, 3);
}

}  // namespace
}  // namespace daybreak::base
