// The monitor's thread: what workers print, how they end, and the zygote's death.
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include "daybreak/base/env.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/pass.h"
#include "daybreak/os/process.h"
#include "daybreak/runtime/node.h"
#include "daybreak/runtime/node_events.h"

namespace daybreak::runtime {

namespace {

constexpr std::size_t kLastLines = 20;                    // of a worker's output, for the note on its death
constexpr std::size_t kLongestLine = 16'384;              // bytes; a longer one is printed in pieces
constexpr std::size_t kKeptLineBytes = 500;               // of a line for that note
constexpr int kZygoteRetryMs = 200;                       // how soon another one is tried where none could be started
constexpr int kCouldNotStart = 127 << 8;                  // as a wait status: exit code 127, as a shell's
constexpr std::int64_t kPrintPatienceNs = 1'000'000'000;  // a terminal that takes nothing for so long misses the line

void print(int fd, std::string_view text) {
  std::ignore = os::write_all(fd, text, "the workers' output", kPrintPatienceNs);  // there is nobody to be told
}

// Gone, or a zombie that somebody else has to reap: it runs no instruction any more.
bool is_dead(pid_t pid) {
  std::string path = fmt::format("/proc/{}/stat", pid);
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return true;
  char text[512] = {};
  std::size_t n = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  const char* end = n > 0 ? std::strrchr(text, ')') : nullptr;
  return end == nullptr || end[2] == 'Z' || end[2] == 'X';
}

}  // namespace

void Node::monitor() {
  block_signals();
  pthread_setname_np(pthread_self(), "daybreak-mon");
  while (!stopping_) {
    epoll_event events[32];
    int n = epoll_wait(epoll_.get(), events, 32, zygote_ ? until_repeated_ms() : kZygoteRetryMs);
    // Output first: a worker's last words are read before its end is reported.
    for (int i = 0; i < n; ++i) {
      std::uint64_t what = events[i].data.u64;
      if (what < kSocketEvent) read_output(static_cast<std::uint32_t>(what >> 1), static_cast<int>(what & 1), false);
    }
    for (int i = 0; i < n; ++i) {
      const auto number = static_cast<std::uint32_t>(events[i].data.u64);
      switch (events[i].data.u64 & kEventMask) {
        case kSocketEvent: read_zygote(); break;
        case kDoorEvent: door_->answer(); break;
        case kDriversEvent: greet_guests(); break;
        case kGuestSaysEvent: read_guest(number); break;
        case kGuestEndsEvent: guest_ended(number, SIGKILL); break;
        default: break;
      }
    }
    if (!zygote_ && !stopping_) try_new_zygote();
    print_repeated(Client::now_ns());
  }
}

// Until a count is due; -1: none is.
int Node::until_repeated_ms() const {
  const std::optional<std::int64_t> next = folded_.next_ns();
  if (!next) return -1;
  return static_cast<int>(std::clamp<std::int64_t>((*next - Client::now_ns()) / 1'000'000 + 1, 0, 60'000));
}

void Node::print_repeated(std::int64_t now_ns) {
  for (const FoldedLines::Repeated& said : folded_.over(now_ns))
    print(said.fd, fmt::format("({}) {} [repeated {}x by {} other process{}; RAY_DEDUP_LOGS=0 shows each]\n", said.name,
                               said.line, said.times, said.processes, said.processes == 1 ? "" : "es"));
}

void Node::read_zygote() {
  int socket;
  {
    base::MutexLock lock(mutex_);
    socket = socket_.get();  // this thread alone closes it
  }
  while (socket >= 0) {
    ZygoteMessage message{};
    const auto got = os::receive_message(socket, bytes_of(message), os::Wait::kNo);
    if (!got && got.error().code() == base::Code::kUnavailable) return;
    if (!got || got->size_bytes == 0) {
      zygote_died();
      return;
    }
    if (message.op == ZygoteMessage::kSpawned) {
      {
        base::MutexLock lock(mutex_);
        children_[message.proc].pid = message.pid;
        control_.proc[message.proc].pid = message.pid;
      }
      scheduler_process_.ring(kSchedulerProc);  // it may have wanted to send it a signal
    } else if (message.op == ZygoteMessage::kReady) {
      zygote_ready_ = true;
    } else if (message.op == ZygoteMessage::kFailed) {
      report_exit(message.proc, kCouldNotStart, 0, fmt::format("\n    fork failed: {}", std::strerror(message.status)));
    } else if (message.op == ZygoteMessage::kExited) {
      child_exited(message);
    }
  }
}

void Node::child_exited(const ZygoteMessage& message) {
  std::uint32_t proc = kMaxProcs;
  {
    base::MutexLock lock(mutex_);
    for (std::uint32_t i = kSchedulerProc + 1; i < driver_.procs_used(); ++i)
      if (children_[i].launched && children_[i].pid == message.pid && !children_[i].exited) proc = i;
  }
  if (proc == kMaxProcs) return;  // something that a task had started and left behind
  for (int which = 0; which < 2; ++which) read_output(proc, which, true);
  report_exit(proc, message.status, message.max_rss_kb, "");
}

void Node::report_exit(std::uint32_t proc, std::int32_t status, std::int64_t max_rss_kb, std::string why) {
  close_output(proc);
  Exit exit{proc, status, max_rss_kb, std::move(why)};
  {
    base::MutexLock lock(mutex_);
    Child& child = children_[proc];
    child.exited = true;
    for (const std::string& line : child.last_lines) exit.last_lines += "\n    " + line;
  }
  scheduler_->exited(std::move(exit));
}

// Everything below it is being killed by the kernel (PDEATHSIG). Once all are dead their slots are swept, and a new one
// starts.
void Node::zygote_died() {
  std::vector<std::pair<std::uint32_t, pid_t>> lost;
  {
    // What the scheduler has sent so far is in the list, and from here on it can send nothing.
    base::MutexLock lock(mutex_);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket_.get(), nullptr);
    socket_.reset();
    if (stopping_) return;
    for (std::uint32_t proc = kSchedulerProc + 1; proc < driver_.procs_used(); ++proc)
      if (children_[proc].launched && !children_[proc].exited) lost.emplace_back(proc, children_[proc].pid);
  }
  const os::Exit end = zygote_->wait().value_or(os::Exit{.code = -1});
  zygote_.reset();
  const bool was_ready = std::exchange(zygote_ready_, false);
  // One that never got ready is no accident: its workers count as workers that cannot run, and there is a pause.
  std::string why;
  if (!was_ready)
    why = fmt::format("the process that starts workers ended before it was ready ({} {})",
                      end.signal != 0 ? "signal" : "exit code", end.signal != 0 ? end.signal : end.code);
  print(2, was_ready ? "daybreak: the process that starts workers died; all workers are lost and started again\n"
                     : fmt::format("daybreak: {}\n", why));
  for (auto [proc, pid] : lost) {
    if (pid == 0) pid = control_.proc[proc].pid;  // forked, and the zygote had no time to say so
    while (pid != 0 && !is_dead(pid)) {
      kill(pid, SIGKILL);
      usleep(1000);
    }
  }
  if (was_ready) try_new_zygote();
  for (auto [proc, pid] : lost)
    report_exit(proc, was_ready ? SIGKILL : kCouldNotStart, 0, was_ready ? "" : "\n    " + why);
}

// Where that fails it is tried again; the scheduler, whose launches fail meanwhile, gives up at some point.
void Node::try_new_zygote() {
  base::Status started = start_zygote();
  if (!started) print(2, fmt::format("daybreak: {}\n", started.error().to_string()));
  scheduler_process_.ring(kSchedulerProc);
}

void Node::read_output(std::uint32_t proc, int which, bool to_the_end) {
  int fd;
  std::string line;  // not under the lock: what is read is printed, and that may take its time
  {
    base::MutexLock lock(mutex_);
    fd = children_[proc].output[which].fd.get();  // this thread alone closes it
    line.swap(children_[proc].output[which].line);
  }
  if (fd < 0) return;
  char buffer[16'384];
  bool ended = false;
  for (;;) {
    const auto n = os::read_some(fd, buffer);
    ended = n.has_value() && *n == 0;
    if (!n || *n == 0) break;
    std::string_view text(buffer, *n);
    while (!text.empty()) {
      std::size_t end = text.find('\n');
      line.append(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (end == std::string_view::npos && line.size() < kLongestLine) break;
      print_line(proc, which, line);
      line.clear();
    }
    if (!to_the_end && *n < sizeof buffer) break;
  }
  if ((to_the_end || ended) && !line.empty()) {
    print_line(proc, which, line);
    line.clear();
  }
  if (output_log_) {
    if (const base::Status kept = output_log_->flush(); !kept.has_value()) tell(kept.error().to_string());
  }
  base::MutexLock lock(mutex_);
  Output& output = children_[proc].output[which];
  output.line.swap(line);
  if (!ended) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  output.fd.reset();
}

void Node::close_output(std::uint32_t proc) {
  base::MutexLock lock(mutex_);
  for (Output& output : children_[proc].output) {
    if (!output.fd) continue;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, output.fd.get(), nullptr);
    output.fd.reset();
  }
}

void Node::print_line(std::uint32_t proc, int which, std::string_view line) {
  std::string name;
  std::int32_t pid;
  {
    base::MutexLock lock(mutex_);
    Child& child = children_[proc];
    child.last_lines.emplace_back(line.substr(0, kKeptLineBytes));
    if (child.last_lines.size() > kLastLines) child.last_lines.pop_front();
    name = child.kind == ProcKind::kActor ? std::string(control_.actor[child.actor].class_name) : std::string("worker");
    pid = child.pid;
  }
  if (output_log_) output_log_->append(base::Env::real().unix_ns() / 1'000'000, pid, which + 1, name, line);
  if (print_at_guest(proc, which, name, pid, line) || !options_.log_to_driver) return;
  int fd = which == 0 ? 1 : 2;
  if (options_.fold_ns > 0 && !folded_.is_new(fd, name, line, pid, Client::now_ns())) return;
  std::string prefix = fmt::format("({} pid={})", name, pid);
  if (isatty(fd)) prefix = "\033[36m" + prefix + "\033[0m";
  print(fd, fmt::format("{} {}\n", prefix, line));
}

}  // namespace daybreak::runtime
