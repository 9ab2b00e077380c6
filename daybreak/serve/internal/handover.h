// A unix socket with an abstract name, over which a server hands a replica its memory; between processes of one user.
#pragma once

#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/pass.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxHandover = 256;  // bytes of a message

// Listens on an abstract name; non-blocking.
base::Result<os::Fd> listen_abstract(const std::string& name);
// kUnavailable.
base::Result<os::Fd> connect_abstract(const std::string& name);
// One message; empty at the end, when nothing is there, or when it is too long.
struct Message {
  std::string text;
  std::vector<os::Fd> fds;
};
Message receive_handover(int socket, os::Wait wait);
// The process at the other end; 0 when it is another user's.
int peer_pid(int socket);

}  // namespace daybreak::serve
