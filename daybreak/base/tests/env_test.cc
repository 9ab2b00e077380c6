#include "daybreak/base/env.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "daybreak/base/clock.h"
#include "daybreak/base/temp_dir.h"

namespace daybreak::base {
namespace {

class EnvTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return directory_ / name; }

  Env& env_ = Env::real();
  const TempDir directory_ = TempDir::create().value();
};

TEST_F(EnvTest, monotonic_clock_passes_at_least_what_was_slept) {
  const std::int64_t before = env_.monotonic_ns();
  env_.sleep_ns(2'000'000);
  EXPECT_GE(env_.monotonic_ns() - before, 2'000'000);
  EXPECT_GT(env_.unix_ns(), 1'700'000'000'000'000'000);
}

TEST_F(EnvTest, coarse_clock_is_the_monotonic_one_a_few_milliseconds_ago) {
  for (int i = 0; i < 5; ++i) {
    const std::int64_t before = env_.monotonic_ns(), coarse = coarse_monotonic_ns(env_), after = env_.monotonic_ns();
    EXPECT_LE(coarse, after);
    EXPECT_GE(coarse, before - 20'000'000);  // a tick is 1 to 10 ms
    env_.sleep_ns(3'000'000);
  }
}

TEST_F(EnvTest, random_numbers_do_not_repeat) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(env_.random_u64());
  EXPECT_EQ(seen.size(), 1000u);
}

TEST_F(EnvTest, appended_files_grow_and_created_ones_must_be_new) {
  const auto file = env_.create_file(path("x")).value();
  ASSERT_TRUE(file->append("ab"));
  ASSERT_TRUE(file->sync());
  ASSERT_TRUE(file->close());
  EXPECT_EQ(env_.create_file(path("x")).error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(env_.append_file(path("x")).value()->append("cd"));
  EXPECT_EQ(env_.read_file(path("x"), 4).value(), "abcd");
  struct stat about{};
  ASSERT_EQ(::stat(path("x").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST_F(EnvTest, a_full_device_is_resource_exhausted) {
  const auto file = env_.append_file("/dev/full").value();
  const auto written = file->append("x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kResourceExhausted);
  EXPECT_NE(written.error().message().find("/dev/full"), std::string::npos);
}

TEST_F(EnvTest, directories_are_made_with_parents_and_listed_in_order) {
  ASSERT_TRUE(env_.create_directories(path("a/b/c")));
  ASSERT_TRUE(env_.create_directories(path("a/b/c")));
  ASSERT_TRUE(env_.create_file(path("a/z")));
  ASSERT_TRUE(env_.create_file(path("a/b2")));
  EXPECT_EQ(env_.list_directory(path("a")).value(), (std::vector<std::string>{"b", "b2", "z"}));
  EXPECT_EQ(env_.create_directories(path("a/z")).error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(env_.rename_file(path("a/z"), path("a/b2")));
  ASSERT_TRUE(env_.remove_file(path("a/b2")));
  ASSERT_TRUE(env_.sync_directory(path("a")));
  EXPECT_EQ(env_.list_directory(path("a")).value(), (std::vector<std::string>{"b"}));
  EXPECT_EQ(env_.remove_file(path("a/b2")).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daybreak::base
