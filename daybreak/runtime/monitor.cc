// Start and end of a runtime, and the monitor's thread: what the zygote reports and what workers print.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "daybreak/runtime/node.h"

extern char** environ;

namespace daybreak::runtime {

namespace {

constexpr std::size_t kLastLines = 20;        // of a worker's output, for the note on its death
constexpr std::size_t kLongestLine = 16'384;  // bytes; a longer one is printed in pieces
constexpr std::uint64_t kWarmBytes = 1ull << 30;
constexpr int kWarmDelays = 100;  // looks at whether the first worker is alive
constexpr useconds_t kWarmDelayUs = 5'000;
constexpr std::uint64_t kWarmStep = 16ull << 20;
constexpr std::uint64_t kSocketEvent = 1ull << 32;
constexpr std::uint64_t kWakeEvent = 2ull << 32;

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      if (poll(&wait, 1, 1000) > 0) continue;
    }
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
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

Node::Node(NodeOptions options, std::unique_ptr<Segment> segment)
    : options_(std::move(options)),
      segment_(std::move(segment)),
      driver_(*segment_, kDriverProc),
      scheduler_(*segment_, kSchedulerProc),
      client_(driver_),
      scheduler_client_(scheduler_),
      control_(segment_->control()),
      children_(kMaxProcs) {}

base::Result<std::unique_ptr<Node>> Node::start(NodeOptions options) {
  DAYBREAK_ASSIGN(auto segment,
                  Segment::create({.data_capacity = options.object_store_bytes, .num_cpus = options.num_cpus}));
  std::unique_ptr<Node> node(new Node(std::move(options), std::move(segment)));
  Control& control = node->control_;
  for (std::uint32_t proc : {kDriverProc, kSchedulerProc}) {
    control.proc[proc].kind = ProcKind::kDriver;
    control.proc[proc].pid = getpid();
    control.proc[proc].status = ProcStatus::kAlive;
  }
  ResourceTable& table = control.resources;
  std::strcpy(table.name[0], "CPU");
  std::strcpy(table.name[1], "GPU");
  table.names = 2;
  table.total[0] = node->options_.num_cpus * kResourceUnit;
  table.set[0] = ResourceSet{};
  table.set[0].cpu = kResourceUnit;
  table.sets = 1;
  Resources totals{.cpu = 0, .gpu = node->options_.num_gpus, .custom = node->options_.resources};
  while (totals.custom.size() > kMaxSetResources) totals.custom.pop_back();
  DAYBREAK_TRY(node->client_.resource_set(totals));
  table.total[1] = std::llround(node->options_.num_gpus * kResourceUnit);
  for (const auto& [name, amount] : node->options_.resources) {
    DAYBREAK_TRY(node->client_.resource_set({.cpu = 0, .gpu = 0, .custom = {{name, amount > 0 ? amount : 1}}}));
    for (std::uint32_t i = 0; i < table.names.load(); ++i)
      if (name == table.name[i]) table.total[i] = std::llround(amount * kResourceUnit);
  }
  for (std::uint32_t i = 0; i < kMaxResourceNames; ++i) table.available[i] = table.total[i].load();
  for (double left = node->options_.num_gpus; left > 0; left -= 1) node->gpu_free_.push_back(kResourceUnit);

  node->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  node->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (node->epoll_ < 0 || node->wake_ < 0) return base::fail_errno("make the monitor's epoll", errno);
  epoll_event event{EPOLLIN, {.u64 = kWakeEvent}};
  epoll_ctl(node->epoll_, EPOLL_CTL_ADD, node->wake_, &event);
  DAYBREAK_TRY(node->start_zygote());
  node->monitor_thread_ = std::thread([self = node.get()] { self->monitor(); });
  node->scheduler_thread_ = std::thread([self = node.get()] { self->schedule(); });
  node->warm_thread_ = std::thread([self = node.get()] { self->warm_up(); });
  return node;
}

// Backs the beginning of the store with memory before it is needed: pages that were never touched cost ten times a warm
// copy.
void Node::warm_up() {
  block_signals();
  pthread_setname_np(pthread_self(), "daybreak-warm");
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
  // Until a worker is there, the cores are for those that make one.
  for (int i = 0; !stopping_ && i < kWarmDelays; ++i) {
    bool alive = false;
    for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs && !alive; ++proc)
      alive = control_.proc[proc].status.load() == ProcStatus::kAlive;
    if (alive) break;
    usleep(kWarmDelayUs);
  }
  const std::uint64_t target = std::min(control_.data_capacity / 4, kWarmBytes);
  for (std::uint64_t from = 0; !stopping_ && from < target; from += kWarmStep) {
    // The slow part is done without the lock: whoever needs the memory now backs it himself, twice does no harm.
    std::uint64_t to = std::min(from + kWarmStep, control_.data_capacity);
    if (!segment_->back(from, to)) return;
    driver_.lock(control_.heap_lock);
    base::Status status;
    if (control_.committed.load() >= from) status = segment_->commit(to);
    driver_.unlock(control_.heap_lock);
    if (!status) return;
    // Into this process's page table too: the driver is who puts most.
    madvise(segment_->data(from), to - from, MADV_POPULATE_WRITE);
  }
}

base::Status Node::start_zygote() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return base::fail_errno("make the zygote's socket", errno);
  // Out of the way of the numbers that the zygote expects.
  int high[3] = {fcntl(segment_->control_fd(), F_DUPFD_CLOEXEC, 64), fcntl(segment_->data_fd(), F_DUPFD_CLOEXEC, 64),
                 fcntl(pair[1], F_DUPFD_CLOEXEC, 64)};
  close(pair[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int wanted[3] = {kZygoteControlFd, kZygoteDataFd, kZygoteSocketFd};
  for (int i = 0; i < 3; ++i) posix_spawn_file_actions_adddup2(&actions, high[i], wanted[i]);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);

  // Worker processes share the cores: a thread pool in each would fight for them.
  std::vector<std::string> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})
    if (std::getenv(name) == nullptr) environment.push_back(std::string(name) + "=1");
  std::vector<char*> argv, envp;
  for (std::string& a : options_.command) argv.push_back(a.data());
  for (std::string& e : environment) envp.push_back(e.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  int error = posix_spawnp(&zygote_pid_, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  for (int fd : high) close(fd);
  if (error != 0) {
    close(pair[0]);
    return base::fail_errno(fmt::format("start {}", options_.command[0]), error);
  }
  socket_ = pair[0];
  epoll_event event{EPOLLIN, {.u64 = kSocketEvent}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, socket_, &event);
  return {};
}

Node::~Node() {
  stop();
}

void Node::stop() {
  if (stopped_ || disowned_) return;
  stopped_ = true;
  stopping_ = true;
  control_.stopping.store(1);
  scheduler_.ring(kSchedulerProc);
  std::uint64_t one = 1;
  if (write(wake_, &one, sizeof one) < 0) stopping_ = true;
  scheduler_thread_.join();
  monitor_thread_.join();
  warm_thread_.join();
  // The zygote sees the end of its socket, kills all below it, and goes. It is our child: reap it.
  close(socket_);
  for (int i = 0; i < 4000; ++i) {
    pid_t reaped = waitpid(zygote_pid_, nullptr, WNOHANG);
    if (reaped == zygote_pid_ || (reaped < 0 && errno == ECHILD)) break;
    if (i == 2000) kill(zygote_pid_, SIGKILL);
    usleep(i < 100 ? 200 : 2000);
  }
  for (std::uint32_t proc = 0; proc < kMaxProcs; ++proc) {
    for (int which = 0; which < 2; ++which)
      if (children_[proc].output[which].fd >= 0) read_output(proc, which, true);
    close_output(proc);
  }
  close(epoll_);
  close(wake_);
}

std::vector<Node::ProcessInfo> Node::processes() {
  std::lock_guard guard(mutex_);
  std::vector<ProcessInfo> result;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc)
    if (children_[proc].pid != 0) result.push_back({proc, children_[proc].pid, children_[proc].kind});
  return result;
}

// ---------------------------------------------------------------------------------------------------------------------

void Node::monitor() {
  block_signals();
  pthread_setname_np(pthread_self(), "daybreak-mon");
  while (!stopping_) {
    epoll_event events[32];
    int n = epoll_wait(epoll_, events, 32, -1);
    // Output first: a worker's last words are read before its end is reported.
    for (int i = 0; i < n; ++i) {
      std::uint64_t what = events[i].data.u64;
      if (what < kSocketEvent) read_output(static_cast<std::uint32_t>(what >> 1), static_cast<int>(what & 1), false);
    }
    for (int i = 0; i < n; ++i)
      if (events[i].data.u64 == kSocketEvent) read_zygote();
  }
}

void Node::read_zygote() {
  for (;;) {
    ZygoteMessage message{};
    ssize_t n = recv(socket_, &message, sizeof message, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      zygote_died();
      return;
    }
    if (message.op == ZygoteMessage::kSpawned) {
      std::lock_guard guard(mutex_);
      children_[message.proc].pid = message.pid;
      control_.proc[message.proc].pid = message.pid;
      scheduler_.ring(kSchedulerProc);
    } else if (message.op == ZygoteMessage::kFailed) {
      close_output(message.proc);
      std::lock_guard guard(mutex_);
      exits_.push_back({message.proc, 127 << 8, 0, fmt::format("fork failed: {}", std::strerror(message.status))});
      scheduler_.ring(kSchedulerProc);
    } else if (message.op == ZygoteMessage::kExited) {
      std::uint32_t proc = kMaxProcs;
      for (std::uint32_t i = kSchedulerProc + 1; i < kMaxProcs; ++i)
        if (children_[i].pid == message.pid && !children_[i].exited) proc = i;
      if (proc == kMaxProcs) continue;  // something that a task had started and left behind
      for (int which = 0; which < 2; ++which) read_output(proc, which, true);
      close_output(proc);
      std::lock_guard guard(mutex_);
      Child& child = children_[proc];
      child.exited = true;
      std::string lines;
      for (const std::string& line : child.last_lines) lines += "\n    " + line;
      exits_.push_back({proc, message.status, message.max_rss_kb, std::move(lines)});
      scheduler_.ring(kSchedulerProc);
    }
  }
}

// Everything below it is being killed by the kernel (PDEATHSIG). Once all are dead their slots are swept, and a new one
// starts.
void Node::zygote_died() {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, socket_, nullptr);
  close(socket_);
  socket_ = -1;
  if (stopping_) return;
  waitpid(zygote_pid_, nullptr, 0);
  write_all(2, "daybreak: the process that starts workers died; all workers are lost and started again\n");
  std::vector<std::uint32_t> lost;
  {
    std::lock_guard guard(mutex_);
    for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc) {
      ProcStatus status = control_.proc[proc].status.load();
      if ((status == ProcStatus::kStarting || status == ProcStatus::kAlive) && !children_[proc].exited)
        lost.push_back(proc);
    }
  }
  for (std::uint32_t proc : lost) {
    pid_t pid = children_[proc].pid;
    while (pid != 0 && !is_dead(pid)) {
      kill(pid, SIGKILL);
      usleep(1000);
    }
    close_output(proc);
  }
  base::Status started = start_zygote();
  if (!started) write_all(2, fmt::format("daybreak: {}\n", started.error().to_string()));
  std::lock_guard guard(mutex_);
  for (std::uint32_t proc : lost) {
    children_[proc].exited = true;
    exits_.push_back({proc, SIGKILL, 0, ""});
  }
  scheduler_.ring(kSchedulerProc);
}

void Node::read_output(std::uint32_t proc, int which, bool to_the_end) {
  Output& output = children_[proc].output[which];
  if (output.fd < 0) return;
  char buffer[16'384];
  for (;;) {
    ssize_t n = read(output.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) {
      epoll_ctl(epoll_, EPOLL_CTL_DEL, output.fd, nullptr);
      close(output.fd);
      output.fd = -1;
    }
    if (n <= 0) break;
    std::string_view text(buffer, static_cast<std::size_t>(n));
    while (!text.empty()) {
      std::size_t end = text.find('\n');
      output.line.append(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (end == std::string_view::npos && output.line.size() < kLongestLine) break;
      print_line(proc, which, output.line);
      output.line.clear();
    }
    if (!to_the_end && static_cast<std::size_t>(n) < sizeof buffer) return;
  }
  if ((to_the_end || output.fd < 0) && !output.line.empty()) {
    print_line(proc, which, output.line);
    output.line.clear();
  }
}

void Node::close_output(std::uint32_t proc) {
  for (Output& output : children_[proc].output) {
    if (output.fd < 0) continue;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, output.fd, nullptr);
    close(output.fd);
    output.fd = -1;
  }
}

void Node::print_line(std::uint32_t proc, int which, std::string_view line) {
  std::string prefix;
  {
    std::lock_guard guard(mutex_);
    Child& child = children_[proc];
    child.last_lines.emplace_back(line.substr(0, 500));
    if (child.last_lines.size() > kLastLines) child.last_lines.pop_front();
    std::string name =
        child.kind == ProcKind::kActor ? std::string(control_.actor[child.actor].class_name) : std::string("worker");
    prefix = fmt::format("({} pid={})", name, child.pid);
  }
  if (!options_.log_to_driver) return;
  int fd = which == 0 ? 1 : 2;
  if (isatty(fd)) prefix = "\033[36m" + prefix + "\033[0m";
  write_all(fd, fmt::format("{} {}\n", prefix, line));
}

}  // namespace daybreak::runtime
