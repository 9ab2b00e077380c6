#include "daybreak/base/test_env.h"

#include <gtest/gtest.h>

#include "daybreak/base/clock.h"
#include "daybreak/base/file.h"

namespace daybreak::base {
namespace {

TEST(TestEnv, the_clock_moves_only_when_told) {
  TestEnv env;
  EXPECT_EQ(env.monotonic_ns(), 0);
  const std::int64_t unix_ns = env.unix_ns();
  env.sleep_ns(5);
  env.advance_ns(10);
  EXPECT_EQ(env.monotonic_ns(), 15);
  EXPECT_EQ(coarse_monotonic_ns(env), 15);
  EXPECT_EQ(env.unix_ns(), unix_ns + 15);
}

TEST(TestEnv, randomness_follows_the_seed) {
  EXPECT_EQ(TestEnv(3).random_u64(), TestEnv(3).random_u64());
  EXPECT_NE(TestEnv(3).random_u64(), TestEnv(4).random_u64());
}

TEST(TestEnv, a_full_disk_takes_what_fits) {
  TestEnv env;
  env.set_free_bytes(3);
  const auto file = env.create_file("d/x").value();
  EXPECT_EQ(file->append("abcde").error().code(), Code::kResourceExhausted);
  EXPECT_EQ(env.read_file("d/x", 10).value(), "abc");
  env.set_free_bytes(10);
  EXPECT_TRUE(file->append("de"));
}

TEST(TestEnv, power_loss_takes_what_was_not_synced) {
  TestEnv env;
  const auto file = env.create_file("d/x").value();
  ASSERT_TRUE(file->append("kept"));
  ASSERT_TRUE(file->sync());
  ASSERT_TRUE(env.sync_directory("d/"));
  ASSERT_TRUE(file->append(" lost"));
  ASSERT_TRUE(env.create_file("d/y"));
  env.lose_power();
  EXPECT_EQ(env.read_file("d/x", 10).value(), "kept");
  EXPECT_EQ(env.list_directory("d").value(), (std::vector<std::string>{"x"}));
}

// The atomic write, at every point where it can fail.

class AtomicWriteTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(write_file_atomically("d/x", "old", env_)); }

  void expect_old_file_alone() {
    EXPECT_EQ(env_.read_file("d/x", 100).value(), "old");
    EXPECT_EQ(env_.list_directory("d").value().size(), 1u);
  }

  TestEnv env_;
};

TEST_F(AtomicWriteTest, survives_power_loss_once_it_returned) {
  ASSERT_TRUE(write_file_atomically("d/x", "new", env_));
  env_.lose_power();
  EXPECT_EQ(env_.read_file("d/x", 100).value(), "new");
}

TEST_F(AtomicWriteTest, full_disk_leaves_the_old_file) {
  env_.set_free_bytes(2);
  EXPECT_EQ(write_file_atomically("d/x", "new bytes", env_).error().code(), Code::kResourceExhausted);
  expect_old_file_alone();
}

TEST_F(AtomicWriteTest, cut_write_leaves_the_old_file) {
  env_.cut_next_append(4);
  EXPECT_FALSE(write_file_atomically("d/x", "new bytes", env_));
  expect_old_file_alone();
  EXPECT_TRUE(write_file_atomically("d/x", "new bytes", env_));
}

TEST_F(AtomicWriteTest, failed_sync_leaves_the_old_file) {
  env_.fail_next_sync();
  EXPECT_FALSE(write_file_atomically("d/x", "new bytes", env_));
  expect_old_file_alone();
}

TEST_F(AtomicWriteTest, a_path_without_directory_is_in_the_current_one) {
  ASSERT_TRUE(write_file_atomically("x", "here", env_));
  env_.lose_power();
  EXPECT_EQ(env_.read_file("x", 100).value(), "here");
}

}  // namespace
}  // namespace daybreak::base
