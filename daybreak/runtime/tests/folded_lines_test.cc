#include "daybreak/runtime/folded_lines.h"

#include <gtest/gtest.h>

#include <limits>

namespace daybreak::runtime {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

TEST(FoldedLines, what_several_say_within_five_seconds_is_printed_once_and_counted) {
  FoldedLines lines;
  EXPECT_TRUE(lines.is_new(1, "worker", "loading", 10, 0));
  EXPECT_FALSE(lines.next_ns());
  EXPECT_FALSE(lines.is_new(1, "worker", "loading", 11, kSecond));
  EXPECT_FALSE(lines.is_new(1, "Actor", "loading", 12, 2 * kSecond));
  EXPECT_FALSE(lines.is_new(1, "Actor", "loading", 12, 3 * kSecond));
  EXPECT_EQ(lines.next_ns(), 5 * kSecond);
  EXPECT_TRUE(lines.over(5 * kSecond - 1).empty());
  const auto over = lines.over(5 * kSecond);
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].line, "loading");
  EXPECT_EQ(over[0].name, "Actor");
  EXPECT_EQ(over[0].fd, 1);
  EXPECT_EQ(over[0].times, 3u);
  EXPECT_EQ(over[0].processes, 2u);
  EXPECT_TRUE(lines.is_new(1, "worker", "loading", 11, 6 * kSecond));
}

TEST(FoldedLines, a_process_that_repeats_itself_is_heard_each_time) {
  FoldedLines lines;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(lines.is_new(1, "worker", "tick", 10, i));
  EXPECT_TRUE(lines.over(kEnd).empty());
}

TEST(FoldedLines, empty_lines_other_texts_and_the_other_descriptor_are_apart) {
  FoldedLines lines;
  EXPECT_TRUE(lines.is_new(1, "worker", "", 10, 0));
  EXPECT_TRUE(lines.is_new(1, "worker", "", 11, 0));
  EXPECT_TRUE(lines.is_new(1, "worker", "a", 10, 0));
  EXPECT_TRUE(lines.is_new(2, "worker", "a", 11, 0));
  EXPECT_TRUE(lines.is_new(1, "worker", "b", 11, 0));
  EXPECT_TRUE(lines.over(kEnd).empty());
}

TEST(FoldedLines, a_line_that_comes_again_later_is_new) {
  FoldedLines lines;
  EXPECT_TRUE(lines.is_new(1, "worker", "a", 10, 0));
  EXPECT_TRUE(lines.is_new(1, "worker", "a", 11, FoldedLines::kWindowNs));
}

TEST(FoldedLines, beyond_what_is_remembered_lines_are_printed_as_they_come) {
  FoldedLines lines;
  for (std::size_t i = 0; i < FoldedLines::kMaxLines; ++i)
    EXPECT_TRUE(lines.is_new(1, "worker", std::to_string(i), 10, 0));
  EXPECT_TRUE(lines.is_new(1, "worker", "more", 10, 1));
  EXPECT_TRUE(lines.is_new(1, "worker", "more", 11, 2));
  EXPECT_FALSE(lines.is_new(1, "worker", "7", 11, 3));
  EXPECT_TRUE(lines.is_new(1, "worker", "more", 10, FoldedLines::kWindowNs));  // the others' time is over
  EXPECT_FALSE(lines.is_new(1, "worker", "more", 11, FoldedLines::kWindowNs));
  EXPECT_EQ(lines.over(kEnd).size(), 2u);
}

}  // namespace
}  // namespace daybreak::runtime
