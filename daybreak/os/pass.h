// Messages with descriptors, between processes of one machine, over sockets that keep messages apart (SOCK_SEQPACKET).
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"

namespace daybreak::os {

inline constexpr std::size_t kMaxPassed = 16;  // descriptors in a message

enum class Wait : bool { kNo, kYes };

// One message, whole or not at all; the other side gets descriptors of its own for the same open files.
// kInvalidArgument for more than kMaxPassed or for no byte (which the receiver would take for the end), kUnavailable
// when the socket is full and we do not wait, or nobody reads any more.
base::Status send_message(int socket, std::string_view bytes, std::span<const int> fds = {}, Wait wait = Wait::kYes);

struct Received {
  std::size_t size_bytes = 0;  // 0: the other side is gone
  std::vector<Fd> fds;
};

// One message. kUnavailable when there is none and we do not wait; kDataLoss when it is longer than `out` or brings
// more than kMaxPassed descriptors: then it is gone, and so are they.
base::Result<Received> receive_message(int socket, std::span<char> out, Wait wait = Wait::kYes);

}  // namespace daybreak::os
