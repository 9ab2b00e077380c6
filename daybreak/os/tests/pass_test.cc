#include "daybreak/os/pass.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "daybreak/os/tests/signals.h"

namespace daybreak::os {
namespace {

using base::Code;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(Pass, as_many_descriptors_as_may_be_arrive_and_are_the_same_files) {
  const SocketPair sockets = make_socket_pair().value();
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, kMaxPassed}) {
    std::vector<Pipe> pipes;
    std::vector<int> sent;
    for (std::size_t i = 0; i < count; ++i) {
      pipes.push_back(make_pipe().value());
      sent.push_back(pipes.back().writer.get());
    }
    ASSERT_TRUE(send_message(sockets.ours.get(), "hello", sent));
    char bytes[16];
    const Received received = receive_message(sockets.theirs.get(), bytes).value();
    EXPECT_EQ(std::string_view(bytes, received.size_bytes), "hello");
    ASSERT_EQ(received.fds.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_NE(::fcntl(received.fds[i].get(), F_GETFD) & FD_CLOEXEC, 0);
      pipes[i].writer.reset();
      ASSERT_TRUE(write_all(received.fds[i].get(), "x", "pipe"));
      EXPECT_EQ(read_some(pipes[i].reader.get(), bytes).value(), 1u);
    }
  }
}

TEST(Pass, messages_stay_apart) {
  const SocketPair sockets = make_socket_pair().value();
  ASSERT_TRUE(send_message(sockets.ours.get(), "one"));
  ASSERT_TRUE(send_message(sockets.ours.get(), "three"));
  char bytes[16];
  EXPECT_EQ(receive_message(sockets.theirs.get(), bytes).value().size_bytes, 3u);
  EXPECT_EQ(receive_message(sockets.theirs.get(), bytes).value().size_bytes, 5u);
  EXPECT_EQ(receive_message(sockets.theirs.get(), bytes, Wait::kNo).error().code(), Code::kUnavailable);
}

TEST(Pass, a_side_that_is_gone_is_an_end_to_the_reader_and_an_error_to_the_writer) {
  SocketPair sockets = make_socket_pair().value();
  ASSERT_TRUE(send_message(sockets.theirs.get(), "last words"));
  sockets.theirs.reset();
  char bytes[16];
  EXPECT_EQ(receive_message(sockets.ours.get(), bytes).value().size_bytes, 10u);
  EXPECT_EQ(receive_message(sockets.ours.get(), bytes).value().size_bytes, 0u);
  EXPECT_EQ(send_message(sockets.ours.get(), "x").error().code(), Code::kUnavailable);
}

TEST(Pass, one_that_goes_with_messages_unread_is_an_end_too) {
  SocketPair sockets = make_socket_pair().value();
  ASSERT_TRUE(send_message(sockets.ours.get(), "never read"));
  sockets.theirs.reset();
  char bytes[16];
  EXPECT_EQ(receive_message(sockets.ours.get(), bytes).value().size_bytes, 0u);
}

TEST(Pass, too_much_is_refused_with_its_limit) {
  const SocketPair sockets = make_socket_pair().value();
  const std::vector<int> many(kMaxPassed + 1, 0);
  EXPECT_EQ(send_message(sockets.ours.get(), "x", many).error().code(), Code::kInvalidArgument);
  EXPECT_NE(send_message(sockets.ours.get(), "x", many).error().message().find("17"), std::string::npos);
  EXPECT_EQ(send_message(sockets.ours.get(), "").error().code(), Code::kInvalidArgument);
  const int closed[] = {-1};
  EXPECT_FALSE(send_message(sockets.ours.get(), "x", closed));
  EXPECT_FALSE(send_message(-1, "x"));
  char byte = 0;
  EXPECT_FALSE(receive_message(-1, {&byte, 1}));
}

TEST(Pass, a_full_socket_is_unavailable_to_who_does_not_wait) {
  const SocketPair sockets = make_socket_pair().value();
  const std::string bytes(1000, 'x');
  base::Status sent;
  for (int i = 0; i < 100'000 && sent; ++i) sent = send_message(sockets.ours.get(), bytes, {}, Wait::kNo);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code(), Code::kUnavailable);
}

TEST(Pass, a_message_that_is_too_long_is_gone_and_so_are_its_descriptors) {
  const SocketPair sockets = make_socket_pair().value();
  const Pipe pipe = make_pipe().value();
  const int fds[] = {pipe.reader.get(), pipe.writer.get()};
  const std::size_t before = open_descriptors();
  ASSERT_TRUE(send_message(sockets.ours.get(), "too long", fds));
  char bytes[4];
  EXPECT_EQ(receive_message(sockets.theirs.get(), bytes).error().code(), Code::kDataLoss);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Pass, more_descriptors_than_may_be_are_data_loss_and_none_stays_open) {
  const SocketPair sockets = make_socket_pair().value();
  std::array<int, kMaxPassed + 4> fds{};  // as a sender of another kind may send them
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(header), fds.data(), sizeof fds);  // twenty times our standard input
  const std::size_t before = open_descriptors();
  ASSERT_EQ(::sendmsg(sockets.ours.get(), &message, 0), 1);
  EXPECT_EQ(receive_message(sockets.theirs.get(), {&byte, 1}).error().code(), Code::kDataLoss);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Pass, receiving_goes_on_after_signals) {
  const SocketPair sockets = make_socket_pair().value();
  char bytes[16];
  while_interrupted([&] { EXPECT_EQ(receive_message(sockets.theirs.get(), bytes).value().size_bytes, 5u); },
                    [&] { EXPECT_TRUE(send_message(sockets.ours.get(), "hello")); });
}

}  // namespace
}  // namespace daybreak::os
