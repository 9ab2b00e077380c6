#include "daybreak/store/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace daybreak::store {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;
using base::Status;

namespace {
constexpr std::int64_t kFirstPauseNs = 200'000, kLongestPauseNs = 20'000'000;
}

Result<RandomFile> RandomFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno(fmt::format("cannot open {}", path), errno);
  return RandomFile(fd, path);
}

RandomFile::RandomFile(RandomFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

RandomFile::~RandomFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::uint64_t> RandomFile::size() const {
  struct stat s;
  if (::fstat(fd_, &s) != 0) return fail_errno(fmt::format("cannot look at {}", path_), errno);
  return static_cast<std::uint64_t>(s.st_size);
}

Result<std::uint64_t> RandomFile::identity() const {
  struct stat s;
  if (::fstat(fd_, &s) != 0) return fail_errno(fmt::format("cannot look at {}", path_), errno);
  return s.st_nlink == 0 ? 0 : static_cast<std::uint64_t>(s.st_ino);
}

Status RandomFile::read_at(std::uint64_t offset, std::span<char> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(fmt::format("cannot read {}", path_), errno);
    if (n == 0) return fail(Code::kDataLoss, "{} ends at byte {}, {} more are expected", path_, offset, out.size());
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<FileLock> FileLock::acquire(const std::string& path, Mode mode, std::int64_t timeout_ns, base::Env& env) {
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return fail_errno(fmt::format("cannot open the lock {}", path), errno);
  const int operation = (mode == Mode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const std::int64_t deadline = env.monotonic_ns() + timeout_ns;
  std::int64_t pause = kFirstPauseNs;
  while (::flock(lock.fd_, operation) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno(fmt::format("cannot lock {}", path), errno);
    if (env.monotonic_ns() >= deadline) {
      return fail(Code::kUnavailable, "another process has held {} for {} s: try again when it is done", path,
                  timeout_ns / 1'000'000'000);
    }
    env.sleep_ns(pause);
    pause = std::min(2 * pause, kLongestPauseNs);
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace daybreak::store
