#include "daybreak/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace daybreak::base {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/daybreak_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const char* name) const { return directory_ + "/" + name; }
  std::size_t files() const {
    const std::filesystem::directory_iterator all(directory_);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  std::string directory_;
};

TEST_F(FileTest, written_bytes_are_read_back_and_private) {
  const std::string bytes("a\0b", 3);
  ASSERT_TRUE(write_file_atomically(path("x"), bytes));
  EXPECT_EQ(read_file(path("x"), 3).value(), bytes);
  struct stat about{};
  ASSERT_EQ(::stat(path("x").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, a_second_write_replaces_the_first) {
  ASSERT_TRUE(write_file_atomically(path("x"), "long first text"));
  ASSERT_TRUE(write_file_atomically(path("x"), "second"));
  EXPECT_EQ(read_file(path("x"), 100).value(), "second");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, a_failed_rename_leaves_nothing_behind) {
  std::filesystem::create_directory(path("x"));
  EXPECT_FALSE(write_file_atomically(path("x"), "bytes"));
  EXPECT_EQ(files(), 1u);
  EXPECT_TRUE(std::filesystem::is_directory(path("x")));
}

TEST_F(FileTest, a_missing_directory_is_named) {
  const auto written = write_file_atomically(path("no/x"), "bytes");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kNotFound);
  EXPECT_NE(written.error().message().find(path("no/x")), std::string::npos);
}

TEST_F(FileTest, reading_stops_at_the_limit) {
  ASSERT_TRUE(write_file_atomically(path("x"), "12345"));
  EXPECT_EQ(read_file(path("x"), 4).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(read_file(path("x"), 5));
  EXPECT_EQ(read_file(path("y"), 5).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daybreak::base
