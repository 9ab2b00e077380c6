#include "daybreak/os/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "daybreak/base/file.h"
#include "daybreak/base/temp_dir.h"

namespace daybreak::os {
namespace {

using base::Code;

class File : public testing::Test {
 protected:
  const base::TempDir directory_ = base::TempDir::create().value();
  const std::string path_ = directory_ / "x";
};

TEST_F(File, is_read_anywhere_and_knows_its_size_and_identity) {
  ASSERT_TRUE(base::write_file_atomically(path_, "0123456789"));
  const RandomFile file = RandomFile::open(path_).value();
  EXPECT_EQ(file.path(), path_);
  EXPECT_EQ(file.size().value(), 10u);
  char bytes[3];
  ASSERT_TRUE(file.read_at(7, bytes));
  EXPECT_EQ(std::string(bytes, 3), "789");
  const auto beyond = file.read_at(8, bytes);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code(), Code::kDataLoss);
  EXPECT_NE(beyond.error().message().find(path_), std::string::npos);

  const std::uint64_t identity = file.identity().value();
  EXPECT_EQ(RandomFile::open(path_).value().identity().value(), identity);
  ASSERT_TRUE(base::write_file_atomically(path_, "another"));
  EXPECT_NE(RandomFile::open(path_).value().identity().value(), identity);
  EXPECT_EQ(file.identity().value(), 0u) << "it has no name any more";
  EXPECT_EQ(file.size().value(), 10u) << "and is still itself";
}

TEST_F(File, that_is_missing_or_a_directory_is_an_error) {
  EXPECT_EQ(RandomFile::open(path_).error().code(), Code::kNotFound);
  EXPECT_EQ(RandomFile::open(directory_.path()).value().size().error().code(), Code::kDataLoss);
}

TEST_F(File, stores_into_a_mapped_one_outlive_the_process_that_is_killed) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto file = MappedFile::create(path_, 10'000);
    if (!file) ::_exit(1);
    std::memcpy((*file)->data() + 9990, "the end...", 10);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  const std::string bytes = base::read_file(path_, 1 << 20).value();
  ASSERT_EQ(bytes.size(), 10'000u);
  EXPECT_EQ(bytes.substr(9990), "the end...");
  struct stat about{};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST_F(File, a_mapped_one_is_new_and_has_all_its_blocks) {
  const auto file = MappedFile::create(path_, 1 << 20).value();
  EXPECT_EQ(file->size_bytes(), 1u << 20);
  struct stat about{};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_GE(about.st_blocks * 512, 1 << 20);
  EXPECT_EQ(MappedFile::create(path_, 1 << 20).error().code(), Code::kAlreadyExists);
  file->data()[5] = 'x';
  EXPECT_TRUE(file->sync());
  file->close_in_child();
  EXPECT_EQ(file->data()[5], 'x');
  EXPECT_FALSE(file->sync());
}

TEST_F(File, a_mapped_one_for_which_there_is_no_room_leaves_nothing_behind) {
  // As a full disk, of this process alone: RLIMIT_FSIZE says EFBIG where a disk says ENOSPC.
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{1 << 16, 1 << 16};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const auto file = MappedFile::create(path_, 1 << 20);
    ::_exit(!file && file.error().code() == Code::kResourceExhausted ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(MappedFile::create(path_, 0)) << "of no bytes";
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace daybreak::os
