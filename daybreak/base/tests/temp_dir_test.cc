#include "daybreak/base/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace daybreak::base {
namespace {

TEST(TempDir, is_private_and_goes_with_all_that_is_in_it) {
  std::string path;
  {
    const TempDir directory = TempDir::create().value();
    path = directory.path();
    struct stat about{};
    ASSERT_EQ(::stat(path.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777, 0700u);
    std::filesystem::create_directories(directory / "a/b");
    std::ofstream(directory / "a/b/file") << "x";
    EXPECT_TRUE(std::filesystem::exists(path + "/a/b/file"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TempDir, two_have_two_names_and_a_moved_one_removes_nothing) {
  auto first = std::make_optional(TempDir::create().value());
  const TempDir second = TempDir::create().value();
  EXPECT_NE(first->path(), second.path());
  const TempDir moved = std::move(*first);
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(moved.path()));
}

TEST(TempDir, a_place_that_is_not_there_is_named) {
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", "/nowhere/at/all", 1);
  const auto made = TempDir::create();
  before == nullptr ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", kept.c_str(), 1);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::kNotFound);
  EXPECT_NE(made.error().message().find("/nowhere/at/all"), std::string::npos);
}

}  // namespace
}  // namespace daybreak::base
