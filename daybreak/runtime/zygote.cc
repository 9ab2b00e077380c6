#include "daybreak/runtime/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <tuple>

#include "daybreak/os/fd.h"
#include "daybreak/os/pass.h"

namespace daybreak::runtime {

namespace {

void send(const ZygoteMessage& message) {
  std::ignore =
      os::send_message(kZygoteSocketFd, bytes_of(message));  // a driver that is gone is seen when it is read from
}

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

void reap() {
  for (;;) {
    int status = 0;
    rusage usage{};
    pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid <= 0) return;
    kill(-pid, SIGKILL);  // what the worker started and left behind in its group
    send({ZygoteMessage::kExited, 0, pid, status, usage.ru_maxrss});
  }
}

}  // namespace

std::uint32_t run_zygote(const ForkHooks& hooks) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  setsid();  // out of the terminal's foreground group: Ctrl-C is the driver's
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_signal, nullptr);
  int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  fcntl(kZygoteSocketFd, F_SETFD, FD_CLOEXEC);
  fcntl(kZygoteControlFd, F_SETFD, FD_CLOEXEC);
  fcntl(kZygoteDataFd, F_SETFD, FD_CLOEXEC);
  const pid_t self = getpid();
  send({ZygoteMessage::kReady, 0, self, 0, 0});

  for (;;) {
    pollfd waits[2] = {{kZygoteSocketFd, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) break;
    if (waits[1].revents != 0) {
      signalfd_siginfo info;
      while (read(signals, &info, sizeof info) > 0) {
      }
      reap();
    }
    if (waits[0].revents == 0) continue;
    ZygoteMessage message{};
    auto got = os::receive_message(kZygoteSocketFd, bytes_of(message), os::Wait::kNo);
    if (!got && got.error().code() == base::Code::kUnavailable) continue;
    if (!got || got->size_bytes == 0) break;  // the driver is gone
    if (got->size_bytes != sizeof message || message.op != ZygoteMessage::kSpawn) continue;

    hooks.before();
    pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != self) _exit(1);  // it died before we asked
      setsid();
      close(kZygoteSocketFd);
      close(signals);
      sigprocmask(SIG_UNBLOCK, &child_signal, nullptr);
      int number = STDOUT_FILENO;
      for (os::Fd& output : got->fds) {
        if (number <= STDERR_FILENO) dup2(output.get(), number++);
        output.reset();
      }
      hooks.after_child();
      return message.proc;
    }
    int error = errno;
    hooks.after_parent();
    if (pid > 0)
      send({ZygoteMessage::kSpawned, message.proc, pid, 0, 0});
    else
      send({ZygoteMessage::kFailed, message.proc, 0, error, 0});
  }
  kill_all_below();
  _exit(0);
}

}  // namespace daybreak::runtime
