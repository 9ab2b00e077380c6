#include "daybreak/base/env.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <tuple>
#include <utility>

#include "daybreak/base/file.h"
#include "daybreak/base/internal/posix_file.h"

namespace daybreak::base {
namespace {

constexpr std::int64_t kNsPerS = 1'000'000'000;
constexpr std::int64_t kNsPerMs = 1'000'000;

using internal::Fd;
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

// ---- shared memory

class Memfd : public SharedMemory {
 public:
  Memfd(Fd fd, std::span<std::byte> bytes) : fd_(std::move(fd)), bytes_(bytes) {}
  ~Memfd() override { ::munmap(bytes_.data(), bytes_.size()); }
  int fd() const override { return fd_.get(); }
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  Fd fd_;
  std::span<std::byte> bytes_;
};

// ---- processes

class Child : public Process {
 public:
  Child(int pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  ~Child() override {
    if (exit_) return;
    std::ignore = send_signal(SIGKILL);
    std::ignore = wait(INT64_MAX);
  }

  int pid() const override { return pid_; }

  Result<Exit> wait(std::int64_t timeout_ns) override {
    const std::int64_t deadline_ns = saturating_deadline(timeout_ns);
    while (!exit_) {
      const std::int64_t left_ns = std::max<std::int64_t>(deadline_ns - clock_ns(CLOCK_MONOTONIC), 0);
      pollfd readable{pidfd_.get(), POLLIN, 0};
      // Rounded up: waking before the deadline would only mean another turn.
      const std::int64_t left_ms = left_ns / kNsPerMs + (left_ns % kNsPerMs != 0 ? 1 : 0);
      const int ready = ::poll(&readable, 1, static_cast<int>(std::min<std::int64_t>(left_ms, INT_MAX)));
      if (ready < 0 && errno != EINTR) return fail_errno(fmt::format("wait for process {}", pid_), errno);
      if (ready > 0) {
        DAYBREAK_TRY(reap());
      } else if (clock_ns(CLOCK_MONOTONIC) >= deadline_ns) {
        return fail(Code::kDeadlineExceeded, "process {} still runs after {} ms", pid_, timeout_ns / kNsPerMs);
      }
    }
    return *exit_;
  }

  Status send_signal(int signal) override {
    if (exit_) return fail(Code::kNotFound, "process {} has ended: {}", pid_, exit_->to_string());
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) != 0) {
      if (errno == ESRCH) return fail(Code::kNotFound, "process {} has ended", pid_);
      return fail_errno(fmt::format("signal {} to process {}", signal, pid_), errno);
    }
    return {};
  }

 private:
  static std::int64_t saturating_deadline(std::int64_t timeout_ns) {
    std::int64_t deadline_ns = 0;
    return __builtin_add_overflow(clock_ns(CLOCK_MONOTONIC), timeout_ns, &deadline_ns) ? INT64_MAX : deadline_ns;
  }

  Status reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) return fail_errno(fmt::format("reap process {}", pid_), errno);
    }
    exit_ = WIFSIGNALED(status) ? Exit{0, WTERMSIG(status)} : Exit{WEXITSTATUS(status), 0};
    return {};
  }

  int pid_;
  Fd pidfd_;
  std::optional<Exit> exit_;
};

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// In the child, after fork: async-signal-safe calls only. Reports errno through `report_fd` when exec fails.
[[noreturn]] void become(char* const* argv, char* const* environment, bool die_with_parent, int parent, int report_fd) {
  if (die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it died before the call
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvpe(argv[0], argv, environment);
  const int error_number = errno;
  std::ignore = ::write(report_fd, &error_number, sizeof error_number);
  ::_exit(127);
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

  Result<std::unique_ptr<SharedMemory>> create_shared_memory(std::size_t size_bytes) override {
    if (size_bytes == 0) return fail(Code::kInvalidArgument, "0 bytes of shared memory asked: ask for at least 1");
    Fd fd(::memfd_create("daybreak", MFD_CLOEXEC));
    if (fd.get() < 0) return fail_errno("memfd_create", errno);
    if (::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0) {
      return fail_errno(fmt::format("{} bytes of shared memory", size_bytes), errno);
    }
    void* at = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) return fail_errno(fmt::format("map {} bytes of shared memory", size_bytes), errno);
    return std::make_unique<Memfd>(std::move(fd), std::span(static_cast<std::byte*>(at), size_bytes));
  }

  Result<std::unique_ptr<Process>> spawn(const SpawnOptions& options) override {
    if (options.argv.empty()) return fail(Code::kInvalidArgument, "argv is empty: name the program to run");
    const std::vector<char*> argv = pointers_to(options.argv);
    const std::vector<char*> variables = pointers_to(options.environment.value_or(std::vector<std::string>{}));
    char* const* environment = options.environment ? variables.data() : environ;
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("pipe", errno);
    const Fd report(ends[0]);
    Fd report_of_child(ends[1]);
    const int parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return fail_errno(fmt::format("start '{}'", options.argv[0]), errno);
    if (pid == 0) become(argv.data(), environment, options.die_with_parent, parent, report_of_child.get());
    report_of_child = Fd();
    // Not reaped yet, so the pid is still this child's.
    auto child = std::make_unique<Child>(pid, Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
    int error_number = 0;
    ssize_t got = 0;
    do {
      got = ::read(report.get(), &error_number, sizeof error_number);  // ends when exec closes the pipe
    } while (got < 0 && errno == EINTR);
    if (got == sizeof error_number) return fail_errno(fmt::format("start '{}'", options.argv[0]), error_number);
    return child;
  }
};

}  // namespace

std::string Exit::to_string() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  const char* name = ::sigabbrev_np(signal);
  return fmt::format("killed by signal {} (SIG{})", signal, name == nullptr ? "?" : name);
}

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
