#include "daybreak/os/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "daybreak/os/tests/signals.h"

namespace daybreak::os {
namespace {

using base::Code;

constexpr std::int64_t kLongNs = 20'000'000'000;  // a hang is an error long before the test's own limit

ChildProcess run(std::vector<std::string> argv) {
  return ChildProcess::spawn({.argv = std::move(argv)}).value();
}

TEST(ChildProcess, tells_how_it_ended) {
  ChildProcess ended = run({"sh", "-c", "exit 3"});
  EXPECT_EQ(ended.wait(kLongNs).value(), (Exit{.code = 3}));
  EXPECT_EQ(ended.wait(0).value(), (Exit{.code = 3}));
  EXPECT_EQ(ended.send_signal(SIGTERM).error().code(), Code::kNotFound);

  ChildProcess killed = run({"sleep", "1000"});
  EXPECT_EQ(killed.wait(0).error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(killed.wait(1).error().code(), Code::kDeadlineExceeded);
  ASSERT_TRUE(killed.send_signal(SIGKILL));
  const Exit exit = killed.wait(kLongNs).value();
  EXPECT_EQ(exit, (Exit{.signal = SIGKILL}));
  EXPECT_EQ(exit.to_string(), "killed by signal 9 (SIGKILL)");
  EXPECT_EQ((Exit{.code = 3}).to_string(), "exit status 3");
}

TEST(ChildProcess, gets_the_environment_it_was_given_or_ours) {
  EXPECT_EQ(ChildProcess::spawn({.argv = {"/bin/sh", "-c", "exit $N"}, .environment = std::vector<std::string>{"N=42"}})
                .value()
                .wait(kLongNs)
                .value()
                .code,
            42);
  std::vector<std::string> many;  // too long to lie within the strings themselves
  for (int i = 0; i < 100; ++i)
    many.push_back("DAYBREAK_OS_TEST_VARIABLE_" + std::to_string(i) + "=" + std::string(100, 'x'));
  const std::string all = "test $(env | grep -c '^DAYBREAK_OS_TEST_VARIABLE_[0-9]*=x*$') = 100";
  EXPECT_EQ(ChildProcess::spawn({.argv = {"/bin/sh", "-c", all}, .environment = many}).value().wait(kLongNs).value(),
            Exit{});
  ::setenv("DAYBREAK_OS_TEST", "7", 1);
  EXPECT_EQ(run({"sh", "-c", "exit $DAYBREAK_OS_TEST"}).wait(kLongNs).value().code, 7);
  ::unsetenv("DAYBREAK_OS_TEST");
}

TEST(ChildProcess, gets_its_descriptors_under_the_numbers_it_expects_and_no_others) {
  Pipe out = make_pipe().value(), in = make_pipe().value();
  // Two that swap numbers in the child, and a third that stays closed for it.
  const int a = out.writer.get(), b = in.reader.get();
  ASSERT_TRUE(write_all(in.writer.get(), "x\n", "pipe"));
  const Fd secret = duplicate(out.writer.get(), 60).value();
  const std::string script = "read text <&" + std::to_string(a) + " && echo got-$text >&" + std::to_string(b) +
                             " && ! { true >&60; } 2>/dev/null";
  ChildProcess child =
      ChildProcess::spawn({.argv = {"bash", "-c", script}, .descriptors = {{a, b}, {b, a}}, .no_input = true}).value();
  EXPECT_EQ(child.wait(kLongNs).value(), Exit{});
  char bytes[16];
  const std::size_t size = read_some(out.reader.get(), bytes).value();
  EXPECT_EQ(std::string(bytes, size), "got-x\n");
}

TEST(ChildProcess, without_input_reads_nothing) {
  ChildProcess child = ChildProcess::spawn({.argv = {"sh", "-c", "test -z \"$(cat)\""}, .no_input = true}).value();
  EXPECT_EQ(child.wait(kLongNs).value(), Exit{});
}

TEST(ChildProcess, a_program_or_descriptor_that_is_not_there_is_an_error_of_spawn) {
  const auto missing = ChildProcess::spawn({.argv = {"no-such-program-of-daybreak"}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(missing.error().message().find("no-such-program-of-daybreak"), std::string::npos);
  EXPECT_EQ(ChildProcess::spawn({}).error().code(), Code::kInvalidArgument);
  EXPECT_FALSE(ChildProcess::spawn({.argv = {"true"}, .descriptors = {{-1, 3}}}));
}

TEST(ChildProcess, does_not_outlive_its_handle) {
  int pid = 0;
  {
    const ChildProcess child = run({"sleep", "1000"});
    pid = child.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcess, lives_on_when_a_fork_of_its_parent_drops_the_handle) {
  auto child = std::make_optional(run({"sleep", "1000"}));
  const pid_t fork = ::fork();
  if (fork == 0) {
    child.reset();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(fork, &status, 0), fork);
  EXPECT_EQ(child->wait(0).error().code(), Code::kDeadlineExceeded);
}

TEST(ChildProcess, is_waited_for_through_signals) {
  Pipe pipe = make_pipe().value();
  ChildProcess child =
      ChildProcess::spawn({.argv = {"sh", "-c", "read line <&9"}, .descriptors = {{pipe.reader.get(), 9}}}).value();
  while_interrupted([&] { EXPECT_EQ(child.wait(kLongNs).value(), Exit{}); },
                    [&] { EXPECT_TRUE(write_all(pipe.writer.get(), "\n", "pipe")); });
}

TEST(ChildProcess, whose_end_somebody_else_took_has_ended_all_the_same) {
  ChildProcess child = run({"true"});
  ASSERT_EQ(::waitpid(child.pid(), nullptr, 0), child.pid());
  EXPECT_EQ(child.wait(kLongNs).value().code, -1);
  EXPECT_EQ(child.wait(0).value().to_string(), "an end that somebody else has seen");
}

TEST(Process, opened_by_its_number_is_seen_to_end_and_gets_no_signal_then) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  const Fd process = open_process(pid).value();
  pollfd ended{process.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 0), 0);
  ASSERT_TRUE(send_signal(process.get(), SIGKILL));
  EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
  EXPECT_TRUE(open_process(pid)) << "dead, but not waited for: the number is still its own";
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(send_signal(process.get(), SIGKILL).error().code(), Code::kNotFound);
  EXPECT_EQ(open_process(pid).error().code(), Code::kNotFound);
  EXPECT_FALSE(open_process(-1));
}

}  // namespace
}  // namespace daybreak::os
