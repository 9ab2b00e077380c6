#include "daybreak/base/fd.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace daybreak::base {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kLongestPollMs = INT32_MAX;

// Whether the descriptor takes bytes, or has an error to tell, within that time.
bool takes_bytes(int fd, std::int64_t patience_ns) {
  pollfd full{fd, POLLOUT, 0};
  const std::int64_t ms = std::min(patience_ns / kMs, kLongestPollMs);
  int ready = 0;
  do {
    ready = ::poll(&full, 1, patience_ns == kForeverNs ? -1 : static_cast<int>(ms));
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

}  // namespace

Status write_all(int fd, std::string_view bytes, std::string_view name, std::int64_t patience_ns) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      if (!takes_bytes(fd, patience_ns)) {
        return fail(Code::kDeadlineExceeded, "write '{}': nobody took the last {} bytes within {} ms", name,
                    bytes.size(), patience_ns / kMs);
      }
    } else if (errno != EINTR) {
      return fail_errno(fmt::format("write '{}'", name), errno);
    }
  }
  return {};
}

}  // namespace daybreak::base
