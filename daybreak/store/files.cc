#include "daybreak/store/files.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>

namespace daybreak::store {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;

namespace {
constexpr std::int64_t kFirstPauseNs = 200'000, kLongestPauseNs = 20'000'000;
}

Result<FileLock> FileLock::acquire(const std::string& path, Mode mode, std::int64_t timeout_ns, base::Env& env) {
  DAYBREAK_ASSIGN(os::Fd fd, os::open_file(path, O_RDWR | O_CREAT));
  const int operation = (mode == Mode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const std::int64_t deadline = env.monotonic_ns() + timeout_ns;
  std::int64_t pause = kFirstPauseNs;
  while (::flock(fd.get(), operation) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno(fmt::format("cannot lock {}", path), errno);
    if (env.monotonic_ns() >= deadline) {
      return fail(Code::kUnavailable, "another process has held {} for {} s: try again when it is done", path,
                  timeout_ns / 1'000'000'000);
    }
    env.sleep_ns(pause);
    pause = std::min(2 * pause, kLongestPauseNs);
  }
  return FileLock(std::move(fd));
}

}  // namespace daybreak::store
