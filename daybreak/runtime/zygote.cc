#include "daybreak/runtime/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "daybreak/os/fd.h"
#include "daybreak/os/pass.h"

namespace daybreak::runtime {

namespace {

// Kills every process below this one: children, and orphans that we inherit as their subreaper.
void kill_all_below() {
  for (int round = 0; round < 200; ++round) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE* children = std::fopen(path, "re");
    if (children == nullptr) break;
    int pid, count = 0;
    while (std::fscanf(children, "%d", &pid) == 1) {
      kill(-pid, SIGKILL);  // a worker leads its own group
      kill(pid, SIGKILL);
      ++count;
    }
    std::fclose(children);
    if (count == 0 && waitpid(-1, nullptr, WNOHANG) < 0) return;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    usleep(round < 20 ? 500 : 5000);
  }
}

int offered = -1;

// A zygote's loop. One thread.
class ForkServer {
 public:
  ForkServer(int socket, const ForkHooks& hooks, bool below)
      : socket_(socket), below_(below), hooks_(hooks), self_(getpid()) {}
  // Until the other side is gone. Returns in a forked worker, with its slot.
  std::uint32_t run(std::optional<std::uint32_t> first);

 private:
  struct Sent {  // to a zygote below, which has not said yet that it has forked it
    std::uint32_t proc;
    bool accepted;
    std::vector<os::Fd> outputs;
  };
  struct Below {
    std::uint64_t environment;
    os::Fd socket;
    bool ready = false;
    std::vector<Sent> sent;
  };

  void send(const ZygoteMessage& message) {
    std::ignore = os::send_message(socket_, bytes_of(message));  // who is gone is seen when it is read from
  }
  void start();
  void reap();
  // Each true in a child, whose slot is worker_ then.
  bool serve(bool readable);
  bool serve_below();
  bool spawn(std::uint32_t proc, std::vector<os::Fd> outputs);
  bool gone(Below below);
  bool forward(Below& below, std::uint32_t proc, std::vector<os::Fd>& outputs);
  bool read_below(Below& below);  // false: it is gone
  void become_worker(std::uint32_t proc, std::vector<os::Fd>& outputs, os::Fd offer);
  [[noreturn]] void end();

  const int socket_;
  const bool below_;
  const ForkHooks hooks_;
  const pid_t self_;
  int signals_ = -1;
  std::uint32_t worker_ = 0;
  std::set<pid_t> children_;
  std::vector<Below> belows_;
};

void ForkServer::start() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  setsid();  // out of the terminal's foreground group: Ctrl-C is the driver's
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_signal, nullptr);
  signals_ = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  for (int fd : {socket_, kZygoteControlFd, kZygoteDataFd}) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void ForkServer::end() {
  kill_all_below();
  _exit(0);
}

std::uint32_t ForkServer::run(std::optional<std::uint32_t> first) {
  start();
  if (first) {
    if (spawn(*first, {})) return worker_;
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);  // the pipes are that worker's
    dup2(nothing, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    close(nothing);
  }
  send({ZygoteMessage::kReady, 0, self_, 0, 0});
  for (;;) {
    std::vector<pollfd> waits = {{socket_, POLLIN, 0}, {signals_, POLLIN, 0}};
    for (const Below& each : belows_) waits.push_back({each.socket.get(), POLLIN, 0});
    const int ready = poll(waits.data(), waits.size(), below_ && children_.empty() ? kZygoteIdleMs : -1);
    if (ready == 0 || (ready < 0 && errno != EINTR)) end();
    if (waits[1].revents != 0) reap();
    if (serve_below() || serve(waits[0].revents != 0)) return worker_;
  }
}

void ForkServer::reap() {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof info) > 0) {
  }
  for (;;) {
    int status = 0;
    rusage usage{};
    pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid <= 0) return;
    kill(-pid, SIGKILL);  // what the worker started and left behind in its group
    children_.erase(pid);
    send({ZygoteMessage::kExited, 0, pid, status, usage.ru_maxrss});
  }
}

bool ForkServer::serve(bool readable) {
  if (!readable) return false;
  ZygoteMessage message{};
  auto got = os::receive_message(socket_, bytes_of(message), os::Wait::kNo);
  if (!got && got.error().code() == base::Code::kUnavailable) return false;
  if (!got || got->size_bytes == 0) end();  // the driver, or the first zygote, is gone
  if (got->size_bytes != sizeof message || message.op != ZygoteMessage::kSpawn) return false;
  if (below_) send({ZygoteMessage::kAccepted, message.proc, 0, 0, 0});
  return spawn(message.proc, std::move(got->fds));
}

// What zygotes below say is the driver's. What one that is gone has not begun is begun anew.
bool ForkServer::serve_below() {
  for (std::size_t at = 0; at < belows_.size();) {
    if (read_below(belows_[at])) {
      ++at;
      continue;
    }
    Below below = std::move(belows_[at]);
    belows_.erase(belows_.begin() + static_cast<std::ptrdiff_t>(at));
    if (gone(std::move(below))) return true;
  }
  return false;
}

bool ForkServer::gone(Below below) {
  for (Sent& each : below.sent) {
    if (each.accepted)  // perhaps it was forked: it is dead, and nobody else knows of it
      send({ZygoteMessage::kFailed, each.proc, 0, EPIPE, 0});
    else if (spawn(each.proc, std::move(each.outputs)))
      return true;
  }
  return false;
}

bool ForkServer::read_below(Below& below) {
  for (;;) {
    ZygoteMessage message{};
    auto got = os::receive_message(below.socket.get(), bytes_of(message), os::Wait::kNo);
    if (!got && got.error().code() == base::Code::kUnavailable) return true;
    if (!got || got->size_bytes != sizeof message) return false;
    auto sent =
        std::find_if(below.sent.begin(), below.sent.end(), [&](const Sent& s) { return s.proc == message.proc; });
    if (message.op == ZygoteMessage::kReady) {
      below.ready = true;
    } else if (message.op == ZygoteMessage::kAccepted) {
      if (sent == below.sent.end()) continue;
      sent->accepted = true;
      sent->outputs.clear();
    } else {
      if (message.op != ZygoteMessage::kExited && sent != below.sent.end()) below.sent.erase(sent);
      send(message);
    }
  }
}

bool ForkServer::forward(Below& below, std::uint32_t proc, std::vector<os::Fd>& outputs) {
  const ZygoteMessage message{ZygoteMessage::kSpawn, proc, 0, 0, 0};
  std::vector<int> fds;
  fds.reserve(outputs.size());
  for (const os::Fd& each : outputs) fds.push_back(each.get());
  if (!os::send_message(below.socket.get(), bytes_of(message), fds, os::Wait::kNo)) return false;
  below.sent.push_back({proc, false, std::move(outputs)});
  return true;
}

bool ForkServer::spawn(std::uint32_t proc, std::vector<os::Fd> outputs) {
  const std::uint64_t environment = below_ || hooks_.environment == nullptr ? 0 : hooks_.environment(proc);
  os::Fd offer;
  if (environment != 0) {
    auto known =
        std::find_if(belows_.begin(), belows_.end(), [&](const Below& b) { return b.environment == environment; });
    if (known != belows_.end() && known->ready && forward(*known, proc, outputs)) return false;
    if (known == belows_.end()) {
      if (auto sockets = os::make_socket_pair()) {
        belows_.push_back({environment, std::move(sockets->ours), false, {}});
        offer = std::move(sockets->theirs);
      }
    }
  }
  hooks_.before();
  pid_t pid = fork();
  if (pid == 0) {
    become_worker(proc, outputs, std::move(offer));
    return true;
  }
  int error = errno;
  hooks_.after_parent();
  if (pid > 0) {
    children_.insert(pid);
    send({ZygoteMessage::kSpawned, proc, pid, 0, 0});
  } else {
    send({ZygoteMessage::kFailed, proc, 0, error, 0});
  }
  return false;
}

void ForkServer::become_worker(std::uint32_t proc, std::vector<os::Fd>& outputs, os::Fd offer) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != self_) _exit(1);  // it died before we asked
  setsid();
  close(socket_);
  close(signals_);
  belows_.clear();
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_UNBLOCK, &child_signal, nullptr);
  int number = STDOUT_FILENO;
  for (os::Fd& output : outputs) {
    if (number <= STDERR_FILENO) dup2(output.get(), number++);
    output.reset();
  }
  offered = offer.release();
  worker_ = proc;
  hooks_.after_child();
}

}  // namespace

std::uint32_t run_zygote(const ForkHooks& hooks) {
  return ForkServer(kZygoteSocketFd, hooks, false).run(std::nullopt);
}

std::uint32_t run_zygote_below(int socket, std::uint32_t first, const ForkHooks& hooks) {
  return ForkServer(socket, hooks, true).run(first);
}

int offered_socket() {
  return offered;
}

}  // namespace daybreak::runtime
