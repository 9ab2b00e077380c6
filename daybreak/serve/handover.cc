#include "daybreak/serve/internal/handover.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

socklen_t abstract_address(const std::string& name, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  const std::size_t size = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + 1, name.data(), size);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
}

base::Result<os::Fd> unix_socket(int flags) {
  os::Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!fd) return base::fail_errno("cannot make a socket for replicas", errno);
  return fd;
}

}  // namespace

base::Result<os::Fd> listen_abstract(const std::string& name) {
  DAYBREAK_ASSIGN(os::Fd fd, unix_socket(SOCK_NONBLOCK));
  sockaddr_un address;
  const socklen_t size = abstract_address(name, address);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 || listen(fd.get(), 128) != 0)
    return base::fail_errno("cannot listen for replicas", errno);
  return fd;
}

base::Result<os::Fd> connect_abstract(const std::string& name) {
  DAYBREAK_ASSIGN(os::Fd fd, unix_socket(0));
  sockaddr_un address;
  const socklen_t size = abstract_address(name, address);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) return fd;
  return fail(Code::kUnavailable, "no server waits for this replica any more");
}

Message receive_handover(int socket, os::Wait wait) {
  Message message;
  message.text.resize(kMaxHandover);
  auto received = os::receive_message(socket, message.text, wait);
  message.text.resize(received ? received->size_bytes : 0);
  if (received) message.fds = std::move(received->fds);
  return message;
}

int peer_pid(int socket) {
  ucred who{};
  socklen_t size = sizeof who;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.uid != geteuid()) return 0;
  return who.pid;
}

}  // namespace daybreak::serve
