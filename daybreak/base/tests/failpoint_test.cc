#include "daybreak/base/failpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace daybreak::base {
namespace {

using Names = std::vector<std::string>;

// How a child ends that arms, passes a.one, b.two and a.three, and returns: SIGKILL or 0, and after how many points.
std::pair<int, int> ends(std::string_view prefix, std::uint64_t countdown) {
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    failpoint::arm(std::string(prefix), countdown);  // its own copy is kept
    for (const char* name : {"a.one", "b.two", "a.three"}) {
      DAYBREAK_FAILPOINT(name);
      if (write(pipe_ends[1], ".", 1) != 1) _exit(1);
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  char passed[8];
  const auto count = read(pipe_ends[0], passed, sizeof passed);
  close(pipe_ends[0]);
  return {WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), static_cast<int>(count)};
}

TEST(Failpoint, kills_at_the_point_that_was_counted_to_and_at_no_other) {
  EXPECT_EQ(ends("", 1), std::pair(SIGKILL, 0));
  EXPECT_EQ(ends("", 3), std::pair(SIGKILL, 2));
  EXPECT_EQ(ends("a.", 2), std::pair(SIGKILL, 2));
  EXPECT_EQ(ends("b.two", 1), std::pair(SIGKILL, 1));
  EXPECT_EQ(ends("b.two", 2), std::pair(0, 3));
  EXPECT_EQ(ends("c.", 1), std::pair(0, 3));
  EXPECT_EQ(ends("", 0), std::pair(0, 3));
}

TEST(Failpoint, those_passed_are_remembered_while_somebody_watches) {
  DAYBREAK_FAILPOINT("a.before");
  failpoint::watch("a.");
  EXPECT_TRUE(failpoint::armed);
  DAYBREAK_FAILPOINT("a.one");
  DAYBREAK_FAILPOINT("b.two");
  DAYBREAK_FAILPOINT("a.three");
  EXPECT_EQ(failpoint::watched(), (Names{"a.one", "a.three"}));
  EXPECT_FALSE(failpoint::armed);
  DAYBREAK_FAILPOINT("a.after");
  EXPECT_EQ(failpoint::watched(), Names{});
}

TEST(Failpoint, who_watches_does_not_disarm) {
  failpoint::arm("never.", 1);
  failpoint::watch("a.");
  EXPECT_EQ(failpoint::watched(), Names{});
  EXPECT_TRUE(failpoint::armed);
  failpoint::arm("", 0);
  EXPECT_FALSE(failpoint::armed);
}

}  // namespace
}  // namespace daybreak::base
