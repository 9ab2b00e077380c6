#include "daybreak/serve/batching.h"

#include <gtest/gtest.h>

namespace daybreak::serve {
namespace {

constexpr double kMs = 1e6;

TEST(BatchTimes, a_line_is_learnt_from_batches_of_several_sizes) {
  BatchTimes times;
  for (int round = 0; round < 20; ++round) {
    for (const std::uint32_t size : {1u, 4u, 16u})
      times.observe(size, static_cast<std::int64_t>((2 + 0.5 * size) * kMs));
  }
  EXPECT_NEAR(times.expected_ns(8), 6 * kMs, 0.1 * kMs);
  EXPECT_NEAR(times.expected_ns(100), 52 * kMs, 1 * kMs);
}

TEST(BatchTimes, the_largest_batch_stays_within_the_budget) {
  BatchTimes times;
  for (int round = 0; round < 50; ++round) {
    for (const std::uint32_t size : {1u, 8u, 32u})
      times.observe(size, static_cast<std::int64_t>((2 + 0.5 * size) * kMs));
  }
  EXPECT_NEAR(times.largest_within(12 * kMs, 1024), 20, 2);
  EXPECT_EQ(times.largest_within(12 * kMs, 16), 16u);
  EXPECT_EQ(times.largest_within(0, 1024), 1u);
  EXPECT_EQ(times.largest_within(1e12, 1024), 64u);  // twice what has been tried
}

TEST(BatchTimes, batches_may_grow_by_doubling_only) {
  BatchTimes times;
  EXPECT_EQ(times.largest_within(1e9, 1024), BatchTimes::kFirstLimit);
  times.observe(4, 1'000'000);
  EXPECT_EQ(times.largest_within(1e9, 1024), 8u);
  times.observe(8, 1'000'000);
  EXPECT_EQ(times.largest_within(1e9, 1024), 16u);
}

TEST(BatchTimes, what_has_become_slower_is_learnt_anew) {
  BatchTimes times;
  for (int i = 0; i < 100; ++i) times.observe(i % 2 == 0 ? 1 : 10, 1'000'000);
  for (int i = 0; i < 100; ++i) times.observe(i % 2 == 0 ? 1 : 10, 20'000'000);
  EXPECT_GT(times.expected_ns(5), 15 * kMs);
}

TEST(BatchTimes, one_batch_that_took_for_ever_is_forgotten) {
  BatchTimes times;
  for (int i = 0; i < 50; ++i) times.observe(4, 1'000'000);
  times.observe(4, 500'000'000);
  for (int i = 0; i < 200; ++i) times.observe(4, 1'000'000);
  EXPECT_LT(times.bound_ns(4), 4 * kMs);
}

TEST(BatchTimes, one_size_alone_gives_no_slope) {
  BatchTimes times;
  for (int i = 0; i < 10; ++i) times.observe(1, 1'000'000);
  EXPECT_NEAR(times.expected_ns(1), 1 * kMs, 1);
  EXPECT_NEAR(times.expected_ns(4), 1 * kMs, 1);  // until a larger one has been tried
}

}  // namespace
}  // namespace daybreak::serve
