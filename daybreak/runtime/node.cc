// Start and end of a runtime, and what its scheduler needs of the operating system.
#include "daybreak/runtime/node.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "daybreak/runtime/node_events.h"
#include "daybreak/runtime/robust_guard.h"

extern char** environ;

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kWarmBytes = 1ull << 30;
constexpr int kWarmDelays = 100;  // looks at whether the first worker is alive
constexpr useconds_t kWarmDelayUs = 5'000;
constexpr useconds_t kAwaitDelayUs = 500;  // a fork takes 2,000
constexpr std::uint64_t kWarmStep = 16ull << 20;

}  // namespace

Node::Node(NodeOptions options, std::unique_ptr<Segment> segment)
    : options_(std::move(options)),
      segment_(std::move(segment)),
      driver_(*segment_, kDriverProc),
      scheduler_process_(*segment_, kSchedulerProc),
      client_(driver_),
      control_(segment_->control()),
      children_(kMaxProcs) {}

base::Result<std::unique_ptr<Node>> Node::start(NodeOptions options) {
  DAYBREAK_ASSIGN(auto segment,
                  Segment::create({.data_capacity = options.object_store_bytes, .num_cpus = options.num_cpus}));
  // From here on an error ends what there is of the node by its destructor.
  std::unique_ptr<Node> node(new Node(std::move(options), std::move(segment)));
  for (std::uint32_t proc : {kDriverProc, kSchedulerProc}) {
    node->control_.proc[proc].kind = ProcKind::kDriver;
    node->control_.proc[proc].pid = getpid();
    node->control_.proc[proc].status = ProcStatus::kAlive;
  }
  DAYBREAK_TRY(node->set_up_resources());
  node->scheduler_ = std::make_unique<Scheduler>(
      node->scheduler_process_, node->driver_,
      SchedulerOptions{.gpus = static_cast<std::uint32_t>(std::ceil(node->options_.num_gpus))},
      static_cast<Launcher&>(*node));

  node->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  node->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (node->epoll_ < 0 || node->wake_ < 0) return base::fail_errno("make the monitor's epoll", errno);
  epoll_event event{EPOLLIN, {.u64 = kWakeEvent}};
  if (epoll_ctl(node->epoll_, EPOLL_CTL_ADD, node->wake_, &event) != 0)
    return base::fail_errno("watch the monitor's eventfd", errno);
  DAYBREAK_TRY(node->start_zygote());
  DAYBREAK_TRY(node->start_threads());
  return node;
}

base::Status Node::set_up_resources() {
  ResourceTable& table = control_.resources;
  std::strcpy(table.name[0], "CPU");
  std::strcpy(table.name[1], "GPU");
  table.names = 2;
  table.total[0] = options_.num_cpus * kResourceUnit;
  table.set[0] = ResourceSet{};
  table.set[0].cpu = kResourceUnit;
  table.sets = 1;
  Resources totals{.cpu = 0, .gpu = options_.num_gpus, .custom = options_.resources};
  while (totals.custom.size() > kMaxSetResources) totals.custom.pop_back();
  DAYBREAK_TRY(client_.resource_set(totals));
  table.total[1] = std::llround(options_.num_gpus * kResourceUnit);
  for (const auto& [name, amount] : options_.resources) {
    DAYBREAK_TRY(client_.resource_set({.cpu = 0, .gpu = 0, .custom = {{name, amount > 0 ? amount : 1}}}));
    for (std::uint32_t i = 0; i < table.names.load(); ++i)
      if (name == table.name[i]) table.total[i] = std::llround(amount * kResourceUnit);
  }
  for (std::uint32_t i = 0; i < kMaxResourceNames; ++i) table.available[i] = table.total[i].load();
  table.available[0] = 0;  // of CPUs it counts only those that are split, which are none
  return {};
}

base::Status Node::start_threads() {
  try {
    monitor_thread_ = std::thread([this] { monitor(); });
    scheduler_thread_ = std::thread([this] {
      block_signals();
      pthread_setname_np(pthread_self(), "daybreak-sched");
      scheduler_->run();
    });
    warm_thread_ = std::thread([this] { warm_up(); });
  } catch (const std::system_error& error) {
    return base::fail_errno("start the runtime's threads", error.code().value());
  }
  return {};
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
    base::Status status;
    {
      RobustGuard guard(driver_, control_.heap_lock);
      if (control_.committed.load() >= from) status = segment_->commit(to);
    }
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
  int duplicated = *std::min_element(high, high + 3) < 0 ? errno : 0;
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
  pid_t pid = 0;
  int error =
      duplicated != 0 ? duplicated : posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  for (int fd : high)
    if (fd >= 0) close(fd);
  if (error != 0) {
    close(pair[0]);
    return base::fail_errno(fmt::format("start {}", options_.command.empty() ? "the zygote" : options_.command[0]),
                            error);
  }
  zygote_pid_ = pid;
  epoll_event event{EPOLLIN, {.u64 = kSocketEvent}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, pair[0], &event);
  base::MutexLock lock(mutex_);
  socket_ = pair[0];
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// The scheduler's operating system.

bool Node::launch(std::uint32_t proc, ProcKind kind, std::uint32_t actor) {
  int out[2] = {-1, -1}, err[2] = {-1, -1};
  bool sent = false;
  if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0) {
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    base::MutexLock lock(mutex_);
    // In one step with the list of children: if the zygote dies, either it is found there or nothing was sent.
    sent = send_spawn(proc, out[1], err[1]);
    if (sent) {
      Child& child = children_[proc];
      child = Child{};
      child.launched = true;
      child.kind = kind;
      child.actor = actor;
      for (int which = 0; which < 2; ++which) {
        int fd = which == 0 ? out[0] : err[0];
        child.output[which].fd = fd;
        epoll_event event{EPOLLIN, {.u64 = (std::uint64_t{proc} << 1) | static_cast<std::uint64_t>(which)}};
        epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
      }
    }
  }
  for (int fd : {out[1], err[1]})
    if (fd >= 0) close(fd);
  if (sent) return true;
  for (int fd : {out[0], err[0]})
    if (fd >= 0) close(fd);
  return false;
}

bool Node::send_spawn(std::uint32_t proc, int out, int err) {
  if (socket_ < 0) return false;
  ZygoteMessage message{ZygoteMessage::kSpawn, proc, 0, 0, 0};
  iovec part{&message, sizeof message};
  int fds[2] = {out, err};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(c), fds, sizeof fds);
  ssize_t n;
  do n = sendmsg(socket_, &header, MSG_NOSIGNAL | MSG_DONTWAIT);  // a full socket is no reason to hold the lock
  while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof message);
}

void Node::signal(std::uint32_t proc, int signo) {
  base::MutexLock lock(mutex_);
  const Child& child = children_[proc];
  if (child.launched && !child.exited && child.pid > 0) kill(child.pid, signo);
}

void Node::buried(std::uint32_t proc) {
  base::MutexLock lock(mutex_);
  children_[proc].launched = false;
  children_[proc].pid = 0;
}

// ---------------------------------------------------------------------------------------------------------------------

Node::~Node() {
  stop();
}

void Node::stop() {
  if (stopped_ || disowned_) return;
  stopped_ = true;
  stopping_ = true;
  control_.stopping.store(1);
  scheduler_process_.ring(kSchedulerProc);
  std::uint64_t one = 1;
  if (wake_ >= 0 && write(wake_, &one, sizeof one) < 0) stopping_ = true;
  // start() may have failed before there was any of them.
  for (std::thread* thread : {&scheduler_thread_, &monitor_thread_, &warm_thread_})
    if (thread->joinable()) thread->join();
  // The zygote sees the end of its socket, kills all below it, and goes. It is our child: reap it.
  {
    base::MutexLock lock(mutex_);
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  for (int i = 0; zygote_pid_ > 0 && i < 4000; ++i) {
    pid_t reaped = waitpid(zygote_pid_, nullptr, WNOHANG);
    if (reaped == zygote_pid_ || (reaped < 0 && errno == ECHILD)) break;
    if (i == 2000) kill(zygote_pid_, SIGKILL);
    usleep(i < 100 ? 200 : 2000);
  }
  for (std::uint32_t proc = 0; proc < kMaxProcs; ++proc) {
    for (int which = 0; which < 2; ++which) read_output(proc, which, true);
    close_output(proc);
  }
  for (int fd : {epoll_, wake_})
    if (fd >= 0) close(fd);
}

void Node::await_workers(std::uint32_t count, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    std::uint32_t alive = 0;
    for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs && alive < count; ++proc)
      alive += control_.proc[proc].status.load() == ProcStatus::kAlive;
    if (alive >= count) return;
    {
      base::MutexLock lock(mutex_);
      if (socket_ < 0) return;
    }
    usleep(kAwaitDelayUs);
  }
}

std::vector<Node::ProcessInfo> Node::processes() {
  base::MutexLock lock(mutex_);
  std::vector<ProcessInfo> result;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc)
    if (children_[proc].pid != 0 && !children_[proc].exited)
      result.push_back({proc, children_[proc].pid, children_[proc].kind});
  return result;
}

}  // namespace daybreak::runtime
