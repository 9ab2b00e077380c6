#include "daybreak/base/env.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "daybreak/base/fd.h"
#include "daybreak/base/file.h"
#include "daybreak/base/internal/posix_file.h"

namespace daybreak::base {
namespace {

constexpr std::int64_t kNsPerS = 1'000'000'000;
constexpr std::int64_t kNsPerMs = 1'000'000;

using internal::PosixFile;

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * kNsPerS + now.tv_nsec;
}

// ---- files

Result<std::unique_ptr<WritableFile>> open_file(const std::string& path, int flags) {
  Fd fd(::open(path.c_str(), flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (fd.get() < 0) return fail_errno(fmt::format("create '{}'", path), errno);
  return std::make_unique<PosixFile>(std::move(fd), path);
}

// Until the pipe has bytes or no writer any more.
Status wait_for_bytes(int fd, const std::string& path) {
  pollfd pipe{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&pipe, 1, static_cast<int>(kPipePatienceNs / kNsPerMs));
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return fail_errno(fmt::format("wait for '{}'", path), errno);
  if (ready == 0) {
    return fail(Code::kDeadlineExceeded,
                "'{}' is a pipe into which nobody wrote for {} s: write into it, or into a file and read that", path,
                kPipePatienceNs / kNsPerS);
  }
  return {};
}

// ---- the operating system

class RealEnv : public Env {
 public:
  std::int64_t monotonic_ns() override { return clock_ns(CLOCK_MONOTONIC); }
  std::int64_t unix_ns() override { return clock_ns(CLOCK_REALTIME); }

  void sleep_ns(std::int64_t duration_ns) override {
    if (duration_ns <= 0) return;
    timespec left{duration_ns / kNsPerS, duration_ns % kNsPerS};
    while (::clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
  }

  void fill_random(std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t got = ::getrandom(out.data(), out.size(), 0);
      DAYBREAK_CHECK(got > 0 || errno == EINTR);  // no kernel since 3.17 fails otherwise
      if (got > 0) out = out.subspan(static_cast<std::size_t>(got));
    }
  }

  Result<std::unique_ptr<WritableFile>> create_file(const std::string& path) override {
    return open_file(path, O_EXCL);
  }
  Result<std::unique_ptr<WritableFile>> append_file(const std::string& path) override {
    return open_file(path, O_APPEND);
  }

  Result<std::string> read_file(const std::string& path, std::size_t max_bytes) override {
    DAYBREAK_ASSIGN(const Place place, readable(path));
    // Without waiting: a pipe that nobody writes into would be waited for within open(), for ever.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (fd.get() < 0) return fail_errno(fmt::format("open '{}'", path), errno);
    std::string bytes;
    bytes.reserve(std::min<std::size_t>(place.size_bytes, max_bytes) + 1);
    std::vector<char> chunk(std::min<std::size_t>(max_bytes + 1, 1 << 20));
    for (;;) {
      if (place.kind == FileKind::kPipe) DAYBREAK_TRY(wait_for_bytes(fd.get(), path));
      const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
      if (got == 0) return bytes;
      if (got < 0) {
        if (errno == EINTR || (errno == EAGAIN && place.kind == FileKind::kPipe)) continue;
        return fail_errno(fmt::format("read '{}'", path), errno);
      }
      bytes.append(chunk.data(), static_cast<std::size_t>(got));
      if (bytes.size() > max_bytes) {
        return fail(Code::kResourceExhausted, "'{}' has more than the allowed {} bytes: is it the right file?", path,
                    max_bytes);
      }
    }
  }

  Status rename_file(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno(fmt::format("rename '{}' to '{}'", from, to), errno);
    return {};
  }

  Status remove_file(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return fail_errno(fmt::format("remove '{}'", path), errno);
    return {};
  }

  Result<std::vector<std::string>> list_directory(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return fail_errno(fmt::format("list '{}'", path), errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return fail_errno(fmt::format("list '{}'", path), errno);
    std::ranges::sort(names);
    return names;
  }

  Status create_directories(const std::string& path) override {
    for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
      const std::string part = path.substr(0, slash);
      if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST)
        return fail_errno(fmt::format("create '{}'", part), errno);
      if (slash == std::string::npos) break;
    }
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)) {
      return fail(Code::kAlreadyExists, "'{}' is there and is no directory", path);
    }
    return {};
  }

  Status sync_directory(const std::string& path) override {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0 || ::fsync(fd.get()) != 0) return fail_errno(fmt::format("sync '{}'", path), errno);
    return {};
  }
};

}  // namespace

Env& Env::real() {
  static RealEnv* const env = new RealEnv;  // never destroyed: threads may use it while the process ends
  return *env;
}

std::uint64_t Env::random_u64() {
  std::uint64_t value = 0;
  fill_random(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

}  // namespace daybreak::base
