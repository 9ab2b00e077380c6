// Descriptors and a few bytes over a unix socket with an abstract name, between processes of one user.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxHandover = 256;  // bytes of a message

// Listens on an abstract name; non-blocking.
base::Result<int> listen_abstract(const std::string& name);
// kUnavailable.
base::Result<int> connect_abstract(const std::string& name);
// One message with descriptors. False when it could not be sent.
bool send_message(int socket, std::string_view bytes, std::span<const int> fds = {});
// One message; empty at the end, when nothing is there, or when it is too long. Descriptors belong to the caller.
std::string receive_message(int socket, std::vector<int>* fds, bool wait);
// The process at the other end; 0 when it is another user's.
int peer_pid(int socket);

}  // namespace daybreak::serve
