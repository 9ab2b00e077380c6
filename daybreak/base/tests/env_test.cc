#include "daybreak/base/env.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <set>

namespace daybreak::base {
namespace {

constexpr std::int64_t kLongNs = 20'000'000'000;  // a hang is an error long before the test's own limit

class EnvTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/daybreak_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  Env& env_ = Env::real();
  std::string directory_;
};

TEST_F(EnvTest, monotonic_clock_passes_at_least_what_was_slept) {
  const std::int64_t before = env_.monotonic_ns();
  env_.sleep_ns(2'000'000);
  EXPECT_GE(env_.monotonic_ns() - before, 2'000'000);
  EXPECT_GT(env_.unix_ns(), 1'700'000'000'000'000'000);
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

TEST_F(EnvTest, shared_memory_is_one_memory_through_two_mappings) {
  const auto memory = env_.create_shared_memory(10'000).value();
  ASSERT_EQ(memory->bytes().size(), 10'000u);
  EXPECT_EQ(std::to_integer<int>(memory->bytes()[9999]), 0);
  memory->bytes()[0] = std::byte{7};
  void* again = ::mmap(nullptr, 10'000, PROT_READ, MAP_SHARED, memory->fd(), 0);
  ASSERT_NE(again, MAP_FAILED);
  EXPECT_EQ(*static_cast<unsigned char*>(again), 7);
  ::munmap(again, 10'000);
  EXPECT_FALSE(env_.create_shared_memory(0));
}

TEST_F(EnvTest, a_process_tells_how_it_ended) {
  const auto ended = env_.spawn({{"sh", "-c", "exit 3"}}).value();
  EXPECT_EQ(ended->wait(kLongNs).value(), (Exit{3, 0}));
  EXPECT_EQ(ended->wait(0).value(), (Exit{3, 0}));
  EXPECT_EQ(ended->send_signal(SIGTERM).error().code(), Code::kNotFound);

  const auto killed = env_.spawn({{"sleep", "1000"}}).value();
  EXPECT_EQ(killed->wait(0).error().code(), Code::kDeadlineExceeded);
  ASSERT_TRUE(killed->send_signal(SIGKILL));
  const Exit exit = killed->wait(kLongNs).value();
  EXPECT_EQ(exit, (Exit{0, SIGKILL}));
  EXPECT_EQ(exit.to_string(), "killed by signal 9 (SIGKILL)");
  EXPECT_EQ((Exit{3, 0}).to_string(), "exit status 3");
}

TEST_F(EnvTest, a_process_gets_the_environment_it_was_given) {
  const auto process = env_.spawn({{"/bin/sh", "-c", "exit $N"}, std::vector<std::string>{"N=42"}}).value();
  EXPECT_EQ(process->wait(kLongNs).value().code, 42);
}

TEST_F(EnvTest, a_program_that_is_not_there_is_an_error_of_spawn) {
  const auto process = env_.spawn({{"no-such-program-of-daybreak"}});
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code(), Code::kNotFound);
  EXPECT_FALSE(env_.spawn({}));
}

TEST_F(EnvTest, no_process_outlives_its_handle) {
  int pid = 0;
  {
    const auto process = env_.spawn({{"sleep", "1000"}}).value();
    pid = process->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

}  // namespace
}  // namespace daybreak::base
