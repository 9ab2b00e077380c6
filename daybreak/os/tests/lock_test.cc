#include "daybreak/os/lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daybreak/base/temp_dir.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/tests/signals.h"

namespace daybreak::os {
namespace {

using base::Code;

class Lock : public testing::Test {
 protected:
  Fd open() const { return open_file(path_, O_RDWR | O_CREAT).value(); }

  const base::TempDir directory_ = base::TempDir::create().value();
  const std::string path_ = directory_ / "lock";
};

TEST_F(Lock, one_open_file_has_it_and_asking_does_not_take_it) {
  const Fd other = open();
  EXPECT_FALSE(byte_is_locked(other.get(), 0).value());
  {
    const Fd owner = open();
    ASSERT_TRUE(lock_byte(owner.get(), 0, false));
    ASSERT_TRUE(lock_byte(owner.get(), 0, false)) << "once more is no harm";
    EXPECT_FALSE(byte_is_locked(owner.get(), 0).value()) << "not by another";
    EXPECT_TRUE(byte_is_locked(other.get(), 0).value());
    EXPECT_EQ(lock_byte(other.get(), 0, false).error().code(), Code::kUnavailable);
    EXPECT_TRUE(lock_byte(other.get(), 1, false)) << "another byte is another lock";
  }
  EXPECT_FALSE(byte_is_locked(other.get(), 0).value());
  EXPECT_TRUE(lock_byte(other.get(), 0, false));
}

TEST_F(Lock, a_process_that_is_killed_frees_it) {
  const Pipe pipe = make_pipe().value();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const Fd owner = open();
    if (!lock_byte(owner.get(), 0, false)) ::_exit(1);
    if (!write_all(pipe.writer.get(), "!", "pipe")) ::_exit(2);
    ::pause();
    ::_exit(3);
  }
  char byte = 0;
  ASSERT_EQ(read_some(pipe.reader.get(), {&byte, 1}).value(), 1u);
  const Fd waits = open();
  EXPECT_TRUE(byte_is_locked(waits.get(), 0).value());
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_TRUE(lock_byte(waits.get(), 0, true)) << "it comes without anybody's help";
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST_F(Lock, waiting_goes_on_after_signals) {
  Fd owner = open();
  ASSERT_TRUE(lock_byte(owner.get(), 0, false));
  const Fd waits = open();
  while_interrupted([&] { EXPECT_TRUE(lock_byte(waits.get(), 0, true)); }, [&] { owner.reset(); });
  EXPECT_TRUE(byte_is_locked(open().get(), 0).value());
}

TEST_F(Lock, of_a_closed_descriptor_is_an_error) {
  EXPECT_FALSE(lock_byte(-1, 0, false));
  EXPECT_FALSE(byte_is_locked(-1, 0));
  ASSERT_TRUE(open());
  const Fd readable = open_file(path_, O_RDONLY).value();
  EXPECT_FALSE(lock_byte(readable.get(), 0, false)) << "taking it asks for a descriptor that may write";
}

}  // namespace
}  // namespace daybreak::os
