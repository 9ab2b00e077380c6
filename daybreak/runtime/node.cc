// Start and end of a runtime, and what its scheduler needs of the operating system.
#include "daybreak/runtime/node.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <system_error>
#include <tuple>
#include <utility>

#include "daybreak/base/atomic.h"
#include "daybreak/base/machine.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/memory.h"
#include "daybreak/os/pass.h"
#include "daybreak/runtime/node_events.h"
#include "daybreak/runtime/robust_guard.h"
#include "daybreak/runtime/view.h"

extern char** environ;

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kWarmBytes = 1ull << 30;
constexpr int kWarmDelays = 100;  // looks at whether the first worker is alive
constexpr useconds_t kWarmDelayUs = 5'000;
constexpr useconds_t kAwaitDelayUs = 500;  // a fork takes 2,000
constexpr std::uint64_t kWarmStep = 2ull << 20;
constexpr std::int64_t kWarmRests = 2;  // times as long as a step has taken
constexpr std::int64_t kMostWarmRestUs = 50'000;
constexpr std::int64_t kTellPatienceNs = 100'000'000;      // a terminal that takes nothing for so long misses the line
constexpr std::int64_t kZygotePatienceNs = 4'000'000'000;  // that it has to kill what is below it

// What a process prints comes through two descriptors, and many a shell lets a program have 1,024. False: it has all that
// it may have.
bool raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return false;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace

Node::Node(NodeOptions options, std::unique_ptr<Segment> segment)
    : options_(std::move(options)),
      folded_(options_.fold_ns),
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
  node->control_.begun = moment_now();
  node->control_.history = node->options_.history ? 1 : 0;
  node->control_.patient = node->options_.patient ? 1 : 0;
  DAYBREAK_TRY(node->set_up_resources());
  node->scheduler_ = std::make_unique<Scheduler>(
      node->scheduler_process_, node->driver_,
      SchedulerOptions{.gpus = static_cast<std::uint32_t>(std::ceil(node->options_.num_gpus)),
                       .patient = node->options_.patient,
                       .memory_threshold = node->options_.memory_threshold,
                       .memory_refresh_ns = node->options_.memory_refresh_ns},
      static_cast<Launcher&>(*node));

  node->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!node->epoll_) return base::fail_errno("make the monitor's epoll", errno);
  DAYBREAK_ASSIGN(node->wake_, os::make_event());
  epoll_event event{EPOLLIN, {.u64 = kWakeEvent}};
  if (epoll_ctl(node->epoll_.get(), EPOLL_CTL_ADD, node->wake_.get(), &event) != 0)
    return base::fail_errno("watch the monitor's eventfd", errno);
  node->open_door();
  DAYBREAK_TRY(node->open_spill_folder());
  DAYBREAK_TRY(node->start_zygote());
  DAYBREAK_TRY(node->start_threads());
  return node;
}

void Node::open_door() {
  auto door = Door::open(control_.session, segment_->control_fd(), segment_->data_fd(), options_.identity);
  if (!door) {
    no_door_ = door.error().to_string();
    return;
  }
  door_ = std::move(*door);
  if (options_.history) output_log_.emplace(door_->path());
  epoll_event event{EPOLLIN, {.u64 = kDoorEvent}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, door_->fd(), &event);
  event.data.u64 = kDriversEvent;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, door_->drivers_fd(), &event);
}

base::Status Node::open_spill_folder() {
  if (options_.spill_directory.empty()) return {};
  auto folder = OwnedSpillFolder::create(options_.spill_directory, control_.session);
  if (!folder) return options_.spill_is_a_must ? base::Status(std::unexpected(folder.error())) : base::Status();
  spill_folder_ = std::move(*folder);
  control_.spill_above =
      static_cast<std::uint64_t>(options_.spill_threshold * static_cast<double>(control_.data_capacity));
  std::snprintf(control_.spill_folder, sizeof control_.spill_folder, "%s", spill_folder_->path().c_str());
  if (options_.spill_is_a_must) warn_of_memory_folder(control_, spill_folder_->path());
  use_spill_folder(driver_);
  use_spill_folder(scheduler_process_);
  return {};
}

base::Status Node::set_up_resources() {
  ResourceTable& table = control_.resources;
  // In this order: they are the first two numbers. Set 0 is what a task asks for that says nothing.
  DAYBREAK_TRY(client_.set_resource_total("CPU", options_.num_cpus));
  DAYBREAK_TRY(client_.set_resource_total("GPU", options_.num_gpus));
  DAYBREAK_TRY(client_.resource_set({}));
  for (const auto& [name, amount] : options_.resources) DAYBREAK_TRY(client_.set_resource_total(name, amount));
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
// copy. In small steps with rests between, and not at a low priority: the kernel's lock of this process's memory is held in each, and
// who has it must come to its end although others want the cores.
void Node::warm_up() {
  block_signals();
  pthread_setname_np(pthread_self(), "daybreak-warm");
  // Until a worker is there, the cores are for those that make one.
  for (int i = 0; !stopping_ && i < kWarmDelays; ++i) {
    bool alive = false;
    for (std::uint32_t proc = kSchedulerProc + 1; proc < driver_.procs_used() && !alive; ++proc)
      alive = control_.proc[proc].status.load() == ProcStatus::kAlive;
    if (alive) break;
    usleep(kWarmDelayUs);
  }
  const std::uint64_t target = std::min(control_.data_capacity / 4, kWarmBytes);
  for (std::uint64_t from = 0; !stopping_ && from < target; from += kWarmStep) {
    const std::int64_t began = base::monotonic_ns();
    const std::uint64_t to = std::min(from + kWarmStep, control_.data_capacity);
    // The work is done without the heap's lock: whoever needs the memory now backs it himself, twice does no harm. Into this process's
    // page table, too: the driver is who puts most.
    if (!os::populate({segment_->data(from), to - from}) && !segment_->back(from, to)) return;
    {
      RobustGuard guard(driver_, control_.heap_lock);
      const std::uint64_t have = control_.committed.load();
      if (have >= from && have < to) control_.committed.store(to);
    }
    const std::int64_t took_us = (base::monotonic_ns() - began) / 1000;
    usleep(static_cast<useconds_t>(std::clamp<std::int64_t>(took_us * kWarmRests, 100, kMostWarmRestUs)));
  }
}

base::Status Node::start_zygote() {
  DAYBREAK_ASSIGN(os::SocketPair sockets, os::make_socket_pair());
  os::SpawnOptions options;
  options.argv = options_.command;
  options.descriptors = {{segment_->control_fd(), kZygoteControlFd},
                         {segment_->data_fd(), kZygoteDataFd},
                         {sockets.theirs.get(), kZygoteSocketFd}};
  options.no_input = true;
  // Worker processes share the cores: a thread pool in each would fight for them.
  std::vector<std::string>& environment = options.environment.emplace();
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})
    if (std::getenv(name) == nullptr) environment.push_back(std::string(name) + "=1");
  DAYBREAK_ASSIGN(os::ChildProcess zygote, os::ChildProcess::spawn(options));
  zygote_.emplace(std::move(zygote));
  epoll_event event{EPOLLIN, {.u64 = kSocketEvent}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, sockets.ours.get(), &event);
  base::MutexLock lock(mutex_);
  socket_ = std::move(sockets.ours);
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// The scheduler's operating system.

bool Node::launch(std::uint32_t proc, ProcKind kind, std::uint32_t actor) {
  auto out = os::make_pipe(), err = os::make_pipe();
  if ((!out || !err) && raise_descriptor_limit()) out = os::make_pipe(), err = os::make_pipe();
  if (!out || !err) {
    if (!std::exchange(told_of_descriptors_, true))
      tell(fmt::format(
          "daybreak: no worker can be started: {}. Each takes 2 file descriptors of this program; raise what "
          "it may have (ulimit -n, RLIMIT_NOFILE), or ask for fewer processes at once\n",
          (!out ? out : err).error().to_string()));
    return false;
  }
  for (os::Pipe* pipe : {&*out, &*err})
    if (!os::set_nonblocking(pipe->reader.get())) return false;
  base::MutexLock lock(mutex_);
  // In one step with the list of children: if the zygote dies, either it is found there or nothing was sent.
  if (!send_spawn(proc, out->writer, err->writer)) return false;
  Child& child = children_[proc];
  child = Child{};
  child.launched = true;
  child.kind = kind;
  child.actor = actor;
  child.output[0].fd = std::move(out->reader);
  child.output[1].fd = std::move(err->reader);
  for (int which = 0; which < 2; ++which) {
    epoll_event event{EPOLLIN, {.u64 = (std::uint64_t{proc} << 1) | static_cast<std::uint64_t>(which)}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, child.output[which].fd.get(), &event);
  }
  return true;
}

bool Node::send_spawn(std::uint32_t proc, const os::Fd& out, const os::Fd& err) {
  if (!socket_) return false;
  const ZygoteMessage message{ZygoteMessage::kSpawn, proc, 0, 0, 0};
  const int fds[] = {out.get(), err.get()};
  // A full socket is no reason to hold the lock.
  return os::send_message(socket_.get(), bytes_of(message), fds, os::Wait::kNo).has_value();
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
  const auto guest = std::ranges::find(guests_, proc, [](const auto& each) { return each.second.proc; });
  if (guest != guests_.end()) drop_guest(guest->first);
}

std::optional<base::MemoryUse> Node::memory_use() {
  return base::memory_use(options_.memory_root);
}

std::vector<ProcessMemory> Node::processes_memory() {
  std::vector<ProcessMemory> found;
  const View view(*segment_);
  for (const WorkerView& worker : view.workers()) {
    if (worker.status != ProcStatus::kAlive) continue;
    ProcessMemory process{worker.slot, worker.pid, base::anonymous_bytes(worker.pid), "an idle worker"};
    if (worker.kind == ProcKind::kDriver) process.what = "the driver";
    if (worker.kind == ProcKind::kActor)
      process.what = fmt::format("the actor {}", control_.actor[*worker.actor].class_name);
    if (worker.kind == ProcKind::kWorker && worker.task) {
      const std::string name = view.task_name(*worker.task);
      process.what = name.empty() ? "a task" : fmt::format("the task {}", name);
    }
    found.push_back(std::move(process));
  }
  return found;
}

void Node::tell(std::string_view line) {
  std::ignore = os::write_all(2, fmt::format("daybreak: {}\n", line), "a message", kTellPatienceNs);
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
  if (wake_) os::ring_event(wake_.get());
  // start() may have failed before there was any of them.
  for (std::thread* thread : {&scheduler_thread_, &monitor_thread_, &warm_thread_})
    if (thread->joinable()) thread->join();
  output_log_.reset();
  door_.reset();
  ring_guests();
  // The zygote sees the end of its socket, kills all below it, and goes. It is our child: reap it.
  {
    base::MutexLock lock(mutex_);
    socket_.reset();
  }
  if (zygote_) std::ignore = zygote_->wait(kZygotePatienceNs);
  zygote_.reset();  // one that still runs is killed
  spill_folder_.reset();
  for (std::uint32_t proc = 0; proc < driver_.procs_used(); ++proc) {
    for (int which = 0; which < 2; ++which) read_output(proc, which, true);
    close_output(proc);
  }
  print_repeated(std::numeric_limits<std::int64_t>::max());
}

void Node::await_workers(std::uint32_t count, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    std::uint32_t alive = 0;
    for (std::uint32_t proc = kSchedulerProc + 1; proc < driver_.procs_used() && alive < count; ++proc)
      alive += control_.proc[proc].status.load() == ProcStatus::kAlive;
    if (alive >= count) return;
    {
      base::MutexLock lock(mutex_);
      if (!socket_) return;
    }
    usleep(kAwaitDelayUs);
  }
}

std::vector<Node::ProcessInfo> Node::processes() {
  base::MutexLock lock(mutex_);
  std::vector<ProcessInfo> result;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < driver_.procs_used(); ++proc)
    if (children_[proc].pid != 0 && !children_[proc].exited)
      result.push_back({proc, children_[proc].pid, children_[proc].kind});
  return result;
}

}  // namespace daybreak::runtime
