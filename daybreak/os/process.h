// Child processes. One is named by a descriptor of the kernel (pidfd), not by its number alone, which may be another's
// by the time that a signal is sent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"

namespace daybreak::os {

// How a process ended.
struct Exit {
  int code = 0;    // exit status when `signal` is 0; -1: somebody else of this process has waited for it
  int signal = 0;  // the signal that killed it
  // "exit status 3" or "killed by signal 9 (SIGKILL)".
  std::string to_string() const;
  bool operator==(const Exit&) const = default;
};

// A process by its number, for send_signal() and poll(), which finds it readable once it has ended. The caller knows
// that the number is still that process's: it is a child that nobody has waited for, or a peer that is connected.
// kNotFound when there is none.
base::Result<Fd> open_process(int pid);
// kNotFound when it has ended.
base::Status send_signal(int pidfd, int signal);

struct SpawnOptions {
  std::vector<std::string> argv = {};                                  // argv[0] is looked up in PATH
  std::optional<std::vector<std::string>> environment = std::nullopt;  // "NAME=value"; unset = ours
  // Descriptors that it gets, as these numbers; besides, it has our 0, 1 and 2.
  struct Given {
    int fd;
    int number;
  };
  std::vector<Given> descriptors = {};
  bool no_input = false;  // its standard input is empty
};

// A child process. The destructor kills one that still runs and waits for it: none outlives its handle. In a child of
// fork() the handle means nothing: only the process that spawned may use it, and elsewhere the destructor does nothing.
// One thread at a time.
class ChildProcess {
 public:
  // Runs a program, with no signal blocked. kNotFound when there is no such program.
  static base::Result<ChildProcess> spawn(const SpawnOptions& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) = delete;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  int pid() const { return pid_; }
  // Its end, or kDeadlineExceeded after timeout_ns (0: only look). May be called again after either.
  base::Result<Exit> wait(std::int64_t timeout_ns = kForeverNs);
  // kNotFound when it has ended.
  base::Status send_signal(int signal) const;

 private:
  ChildProcess(int pid, int parent, Fd pidfd) : pid_(pid), parent_(parent), pidfd_(std::move(pidfd)) {}
  base::Status reap();

  int pid_;
  int parent_;  // who spawned
  Fd pidfd_;
  std::optional<Exit> exit_;
};

}  // namespace daybreak::os
