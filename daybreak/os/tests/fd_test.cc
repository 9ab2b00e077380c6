#include "daybreak/os/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <thread>

#include "daybreak/base/temp_dir.h"
#include "daybreak/os/tests/signals.h"

namespace daybreak::os {
namespace {

using base::Code;

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(Fd, closes_what_it_owns_once) {
  Fd fd = open_file("/dev/null", O_RDONLY).value();
  const int number = fd.get();
  EXPECT_TRUE(is_open(number));
  EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
  Fd moved = std::move(fd);
  EXPECT_FALSE(fd);
  EXPECT_EQ(moved.get(), number);
  fd = std::move(moved);
  Fd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(number)) << "moving it to itself keeps it";
  fd.reset();
  EXPECT_FALSE(is_open(number));
  Fd kept = open_file("/dev/null", O_RDONLY).value();
  const int lent = kept.release();
  kept.reset();
  EXPECT_TRUE(is_open(lent));
  ::close(lent);
}

TEST(Fd, files_are_private_and_errors_name_the_path) {
  const base::TempDir directory = base::TempDir::create().value();
  const std::string path = directory / "x";
  EXPECT_EQ(open_file(path, O_RDONLY).error().code(), Code::kNotFound);
  EXPECT_NE(open_file(path, O_RDONLY).error().message().find(path), std::string::npos);
  ASSERT_TRUE(open_file(path, O_WRONLY | O_CREAT | O_EXCL));
  EXPECT_EQ(open_file(path, O_WRONLY | O_CREAT | O_EXCL).error().code(), Code::kAlreadyExists);
  struct stat about{};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST(Fd, every_call_of_a_closed_descriptor_is_an_error) {
  char byte = 0;
  EXPECT_FALSE(duplicate(-1));
  EXPECT_FALSE(set_nonblocking(-1));
  EXPECT_FALSE(read_some(-1, {&byte, 1}));
  EXPECT_FALSE(read_at(-1, {&byte, 1}, 0, "x"));
  EXPECT_FALSE(size_of(-1));
  EXPECT_FALSE(write_all(-1, "x", "x"));
  EXPECT_TRUE(write_all(-1, "", "x")) << "nothing to write";
  EXPECT_TRUE(read_at(-1, {}, 0, "x")) << "nothing to read";
}

TEST(Fd, a_duplicate_is_the_same_open_file_under_a_number_of_its_own) {
  const auto [reader, writer] = make_pipe().value();
  const Fd same = duplicate(writer.get(), 50).value();
  EXPECT_GE(same.get(), 50);
  EXPECT_NE(::fcntl(same.get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_TRUE(write_all(same.get(), "x", "pipe"));
  char byte = 0;
  EXPECT_EQ(read_some(reader.get(), {&byte, 1}).value(), 1u);
  EXPECT_EQ(byte, 'x');
}

TEST(Fd, reading_a_pipe_ends_with_its_last_writer) {
  Pipe pipe = make_pipe().value();
  ASSERT_TRUE(write_all(pipe.writer.get(), "abc", "pipe"));
  char bytes[10];
  EXPECT_EQ(read_some(pipe.reader.get(), bytes).value(), 3u);
  ASSERT_TRUE(set_nonblocking(pipe.reader.get()));
  EXPECT_EQ(read_some(pipe.reader.get(), bytes).error().code(), Code::kUnavailable);
  pipe.writer.reset();
  EXPECT_EQ(read_some(pipe.reader.get(), bytes).value(), 0u);
}

TEST(Fd, a_full_disk_is_resource_exhausted_and_names_the_file) {
  const Fd full = open_file("/dev/full", O_WRONLY).value();
  const auto written = write_all(full.get(), "x", "/dev/full");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kResourceExhausted);
  EXPECT_NE(written.error().message().find("/dev/full"), std::string::npos);
}

TEST(Fd, writing_goes_on_after_signals_and_short_writes) {
  Pipe pipe = make_pipe().value();
  const std::string bytes(1 << 20, 'x');  // 16 pipes full
  std::size_t got = 0;
  while_interrupted([&] { EXPECT_TRUE(write_all(pipe.writer.get(), bytes, "pipe")); },
                    [&] {
                      std::string part(50'000, '\0');
                      while (got < bytes.size()) got += read_some(pipe.reader.get(), part).value();
                    });
  EXPECT_EQ(got, bytes.size());
}

TEST(Fd, reading_goes_on_after_signals) {
  Pipe pipe = make_pipe().value();
  char byte = 0;
  while_interrupted([&] { EXPECT_EQ(read_some(pipe.reader.get(), {&byte, 1}).value(), 1u); },
                    [&] { EXPECT_TRUE(write_all(pipe.writer.get(), "y", "pipe")); });
  EXPECT_EQ(byte, 'y');
}

TEST(Fd, a_descriptor_that_does_not_wait_is_waited_for_as_long_as_one_may) {
  Pipe pipe = make_pipe().value();
  ASSERT_TRUE(set_nonblocking(pipe.writer.get()));
  const std::string bytes(1 << 20, 'x');
  const auto refused = write_all(pipe.writer.get(), bytes, "the pipe", 2'000'000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kDeadlineExceeded);
  EXPECT_NE(refused.error().message().find("the pipe"), std::string::npos);
  std::thread reader([&] {
    std::string part(50'000, '\0');
    while (read_some(pipe.reader.get(), part).value() > 0) {
    }
  });
  EXPECT_TRUE(write_all(pipe.writer.get(), bytes, "the pipe"));
  pipe.writer.reset();
  reader.join();
}

TEST(Fd, reads_at_an_offset_are_whole_or_data_loss) {
  const base::TempDir directory = base::TempDir::create().value();
  const Fd file = open_file(directory / "x", O_RDWR | O_CREAT).value();
  ASSERT_TRUE(write_all(file.get(), "0123456789", "x"));
  EXPECT_EQ(size_of(file.get()).value(), 10u);
  char bytes[4] = {};
  ASSERT_TRUE(read_at(file.get(), bytes, 6, "x"));
  EXPECT_EQ(std::string(bytes, 4), "6789");
  const auto beyond = read_at(file.get(), bytes, 7, "x");
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code(), Code::kDataLoss);
  EXPECT_EQ(beyond.error().message(), "x ends at byte 10, 1 more are expected");
  ASSERT_TRUE(write_at(file.get(), "ab", 12, "x"));
  char end[4] = {};
  ASSERT_TRUE(read_at(file.get(), end, 10, "x"));
  EXPECT_EQ(std::string_view(end, 4), std::string_view("\0\0ab", 4));
  EXPECT_TRUE(write_at(-1, "", 0, "x")) << "nothing to write";
  EXPECT_FALSE(write_at(-1, "a", 0, "x"));
}

TEST(Fd, an_event_that_was_rung_is_heard_until_it_is_cleared) {
  const Fd event = make_event().value();
  pollfd heard{event.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&heard, 1, 0), 0);
  ring_event(event.get());
  ring_event(event.get());
  EXPECT_EQ(::poll(&heard, 1, 0), 1);
  clear_event(event.get());
  EXPECT_EQ(::poll(&heard, 1, 0), 0);
  clear_event(event.get());  // does not wait
}

}  // namespace
}  // namespace daybreak::os
