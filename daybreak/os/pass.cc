#include "daybreak/os/pass.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace daybreak::os {

using base::Code;
using base::fail;
using base::fail_errno;

namespace {

// What the kernel reads descriptors from and writes them into.
struct Control {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kMaxPassed * sizeof(int))] = {};
};

// All of them, into owners: what was received stays open otherwise, whatever becomes of the message.
std::vector<Fd> take_descriptors(msghdr& message) {
  std::vector<Fd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

base::Status send_message(int socket, std::string_view bytes, std::span<const int> fds, Wait wait) {
  if (bytes.empty()) return fail(Code::kInvalidArgument, "a message of 0 bytes: send at least 1");
  if (fds.size() > kMaxPassed)
    return fail(Code::kInvalidArgument, "{} descriptors in a message, at most {} are possible: send several",
                fds.size(), kMaxPassed);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  Control control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL | (wait == Wait::kNo ? MSG_DONTWAIT : 0)) < 0) {
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
      return fail(Code::kUnavailable, "nobody reads from socket {} any more", socket);
    return fail_errno(fmt::format("send {} bytes and {} descriptors", bytes.size(), fds.size()), errno);
  }
  return {};
}

base::Result<Received> receive_message(int socket, std::span<char> out, Wait wait) {
  iovec part{out.data(), out.size()};
  Control control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait == Wait::kNo ? MSG_DONTWAIT : 0));
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == ECONNRESET) return Received{};  // gone, with a message of ours unread
    return fail_errno(fmt::format("receive from socket {}", socket), errno);
  }
  Received received{static_cast<std::size_t>(got), take_descriptors(message)};
  if ((message.msg_flags & MSG_TRUNC) != 0)
    return fail(Code::kDataLoss, "a message has more than the {} bytes that are expected", out.size());
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    return fail(Code::kDataLoss, "a message brings more than {} descriptors, or more than this process may open",
                kMaxPassed);
  return received;
}

}  // namespace daybreak::os
