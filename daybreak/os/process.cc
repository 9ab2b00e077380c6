#include "daybreak/os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <tuple>

#include "daybreak/base/env.h"

namespace daybreak::os {

using base::Code;
using base::fail;
using base::fail_errno;

namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

// They point into the strings, which must live as long.
std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::int64_t deadline_after(std::int64_t timeout_ns) {
  std::int64_t deadline_ns = 0;
  return __builtin_add_overflow(base::Env::real().monotonic_ns(), timeout_ns, &deadline_ns) ? kForeverNs : deadline_ns;
}

// What posix_spawn() is told, and the duplicates that it needs for it.
class SpawnPlan {
 public:
  SpawnPlan() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnPlan() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  base::Status give(const std::vector<SpawnOptions::Given>& descriptors) {
    int above = STDERR_FILENO;
    for (const auto& [fd, number] : descriptors) above = std::max(above, number);
    for (const auto& [fd, number] : descriptors) {
      // Out of the way of all numbers that the child expects: one dup2 must not close what the next one needs.
      DAYBREAK_ASSIGN(Fd high, duplicate(fd, above + 1));
      ::posix_spawn_file_actions_adddup2(&actions_, high.get(), number);
      high_.push_back(std::move(high));
    }
    return {};
  }
  void no_input() { ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0); }

  base::Result<int> run(char* const* argv, char* const* environment) const {
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, argv[0], &actions_, &attributes_, argv, environment);
    if (error != 0) return fail_errno(fmt::format("start '{}'", argv[0]), error);
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  std::vector<Fd> high_;
};

}  // namespace

std::string Exit::to_string() const {
  if (signal != 0) {
    const char* name = ::sigabbrev_np(signal);
    return fmt::format("killed by signal {} (SIG{})", signal, name == nullptr ? "?" : name);
  }
  return code < 0 ? "an end that somebody else has seen" : fmt::format("exit status {}", code);
}

base::Result<Fd> open_process(int pid) {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd) return pidfd;
  if (errno == ESRCH) return fail(Code::kNotFound, "there is no process {}", pid);
  return fail_errno(fmt::format("open process {}", pid), errno);
}

base::Status send_signal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return {};
  if (errno == ESRCH) return fail(Code::kNotFound, "the process has ended");
  return fail_errno(fmt::format("send signal {}", signal), errno);
}

base::Result<ChildProcess> ChildProcess::spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return fail(Code::kInvalidArgument, "argv is empty: name the program to run");
  SpawnPlan plan;
  DAYBREAK_TRY(plan.give(options.descriptors));
  if (options.no_input) plan.no_input();
  const std::vector<char*> argv = pointers_to(options.argv);
  const std::vector<char*> variables = options.environment ? pointers_to(*options.environment) : std::vector<char*>();
  DAYBREAK_ASSIGN(const int pid, plan.run(argv.data(), options.environment ? variables.data() : environ));
  // Nobody has waited for it yet, so the number is still this child's.
  auto pidfd = open_process(pid);
  if (!pidfd) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return std::unexpected(std::move(pidfd).error().wrap(fmt::format("start '{}'", options.argv[0])));
  }
  return ChildProcess(pid, ::getpid(), std::move(*pidfd));
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(other.pid_), parent_(other.parent_), pidfd_(std::move(other.pidfd_)), exit_(other.exit_) {}

ChildProcess::~ChildProcess() {
  if (!pidfd_ || exit_ || ::getpid() != parent_) return;
  std::ignore = send_signal(SIGKILL);
  std::ignore = wait();
}

base::Result<Exit> ChildProcess::wait(std::int64_t timeout_ns) {
  const std::int64_t deadline_ns = deadline_after(timeout_ns);
  while (!exit_) {
    const std::int64_t left_ns = std::max<std::int64_t>(deadline_ns - base::Env::real().monotonic_ns(), 0);
    // Rounded up: waking before the deadline would only mean another turn.
    const std::int64_t left_ms =
        std::min<std::int64_t>(left_ns / kNsPerMs + (left_ns % kNsPerMs != 0 ? 1 : 0), INT_MAX);
    pollfd ended{pidfd_.get(), POLLIN, 0};
    const int ready = ::poll(&ended, 1, static_cast<int>(left_ms));
    if (ready < 0 && errno != EINTR) return fail_errno(fmt::format("wait for process {}", pid_), errno);
    if (ready > 0) {
      DAYBREAK_TRY(reap());
    } else if (base::Env::real().monotonic_ns() >= deadline_ns) {
      return fail(Code::kDeadlineExceeded, "process {} still runs after {} ms", pid_, timeout_ns / kNsPerMs);
    }
  }
  return *exit_;
}

base::Status ChildProcess::send_signal(int signal) const {
  if (exit_) return fail(Code::kNotFound, "process {} has ended: {}", pid_, exit_->to_string());
  return os::send_signal(pidfd_.get(), signal);
}

base::Status ChildProcess::reap() {
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0) {
    if (errno == ECHILD) {  // waited for by somebody else, or nobody needs to (SIGCHLD is ignored)
      exit_ = Exit{.code = -1};
      return {};
    }
    if (errno != EINTR) return fail_errno(fmt::format("wait for process {}", pid_), errno);
  }
  exit_ = info.si_code == CLD_EXITED ? Exit{.code = info.si_status} : Exit{.signal = info.si_status};
  return {};
}

}  // namespace daybreak::os
