#include "daybreak/runtime/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace daybreak::runtime {

namespace {

struct Spawn {
  ZygoteMessage message;
  int fds[2] = {-1, -1};
};

// -1: the driver is gone; 0: nothing now; 1: a request.
int receive(Spawn& spawn) {
  iovec part{&spawn.message, sizeof spawn.message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof spawn.fds)];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n = recvmsg(kZygoteSocketFd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (n == 0) return -1;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      std::memcpy(spawn.fds, CMSG_DATA(c), sizeof spawn.fds);
  return static_cast<std::size_t>(n) == sizeof spawn.message ? 1 : 0;
}

void send(const ZygoteMessage& message) {
  while (::send(kZygoteSocketFd, &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
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
    Spawn spawn;
    int got = receive(spawn);
    if (got < 0) break;
    if (got == 0 || spawn.message.op != ZygoteMessage::kSpawn) continue;

    hooks.before();
    pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != self) _exit(1);  // it died before we asked
      setsid();
      close(kZygoteSocketFd);
      close(signals);
      sigprocmask(SIG_UNBLOCK, &child_signal, nullptr);
      for (int i = 0; i < 2; ++i) {
        if (spawn.fds[i] < 0) continue;
        dup2(spawn.fds[i], i + 1);
        close(spawn.fds[i]);
      }
      hooks.after_child();
      return spawn.message.proc;
    }
    int error = errno;
    hooks.after_parent();
    for (int fd : spawn.fds)
      if (fd >= 0) close(fd);
    if (pid > 0)
      send({ZygoteMessage::kSpawned, spawn.message.proc, pid, 0, 0});
    else
      send({ZygoteMessage::kFailed, spawn.message.proc, 0, error, 0});
  }
  kill_all_below();
  _exit(0);
}

}  // namespace daybreak::runtime
