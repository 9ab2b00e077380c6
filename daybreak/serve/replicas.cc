#include "daybreak/serve/replicas.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <tuple>

#include "daybreak/base/atomic.h"
#include "daybreak/base/log.h"
#include "daybreak/crypto/hash.h"
#include "daybreak/crypto/secret.h"
#include "daybreak/os/pass.h"
#include "daybreak/os/process.h"
#include "daybreak/serve/internal/handover.h"
#include "daybreak/serve/internal/native.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

// What a server says to a replica, with the type of its inputs behind.
constexpr std::string_view kHello = "daybreak.serve.1 ";
constexpr Nanos kFar = std::numeric_limits<Nanos>::max();
constexpr Nanos kTickNs = 1'000'000'000;  // slow attachments are looked for so often

enum class Kind : std::uint64_t { kWake, kTimer, kListener, kPending, kEvent, kLink };

std::uint64_t key_of(Kind kind, std::uint64_t id) {
  return static_cast<std::uint64_t>(kind) << 56 | id;
}

std::string random_text() {
  const auto bytes = crypto::Secret<16>::random();
  return crypto::to_hex(bytes.bytes());
}

}  // namespace

class Replicas::Impl {
 public:
  explicit Impl(Apps& apps) : apps_(apps) {}

  ~Impl() { stop(); }

  base::Status begin() {
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    timer_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!epoll_ || !timer_) return base::fail_errno("cannot watch replicas", errno);
    DAYBREAK_ASSIGN(wake_, os::make_event());
    DAYBREAK_ASSIGN(listener_, listen_abstract(name_));
    watch(wake_.get(), Kind::kWake, 0);
    watch(timer_.get(), Kind::kTimer, 0);
    watch(listener_.get(), Kind::kListener, 0);
    thread_ = std::thread([this] { run(); });
    return {};
  }

  base::Result<std::uint64_t> add_native(const std::string& model_name, const std::string& version,
                                         const daybreak_model_v1* native) {
    if (native == nullptr || native->size_bytes < sizeof(daybreak_model_v1))
      return fail(Code::kInvalidArgument, "the model is of an older {}: build both sides again", DAYBREAK_MODEL_V1);
    DAYBREAK_ASSIGN(auto entry, make(model_name));
    auto runner = std::make_shared<NativeRunner>(native);
    const std::shared_ptr<Model> model = entry.model;
    const std::shared_ptr<Replica> replica = entry.replica;
    replica->native = true;
    {
      const base::MutexLock lock(mutex_);
      DAYBREAK_TRY(entry.model->add_replica(version, replica));
      // Model and slab outlive the thread: the entry holds them until it has joined it.
      entry.thread = std::thread([runner, mapping = entry.mapping, model = entry.model.get(), id = replica->id,
                                  type = entry.model->input_type(version)] {
        runner->run(mapping, *model->slab(), type, [model, id] { model->replica_rang(id); });
      });
      entries_.emplace(replica->id, std::move(entry));
    }
    model->set_input_elements(version, native->input_elements);
    model->replica_ready(replica->id, getpid());
    tell("ready", replica->id);
    return replica->id;
  }

  base::Result<Channel> add_process(const std::string& model_name, const std::string& version) {
    DAYBREAK_ASSIGN(auto entry, make(model_name));
    entry.version = version;
    entry.token = random_text();
    const std::shared_ptr<Replica> replica = entry.replica;
    replica->end = [this, id = replica->id](bool force) { let_go(id, force); };
    const base::MutexLock lock(mutex_);
    DAYBREAK_TRY(entry.model->add_replica(version, replica));
    watch(replica->event.get(), Kind::kEvent, replica->id);
    const std::string address = name_ + "/" + entry.token;
    entries_.emplace(replica->id, std::move(entry));
    return Channel{replica->id, address};
  }

  bool remove(std::uint64_t id, std::chrono::milliseconds limit) {
    std::shared_ptr<Model> model;
    {
      const base::MutexLock lock(mutex_);
      const auto found = entries_.find(id);
      if (found == entries_.end()) return false;
      model = found->second.model;
    }
    const bool clean = model->remove_replica(id, limit);
    forget(id);
    return clean;
  }

  std::optional<ReplicaEvent> wait_event(std::chrono::milliseconds limit) {
    const base::MutexLock lock(mutex_);
    const Nanos end = base::monotonic_ns() + std::chrono::nanoseconds(limit).count();  // its thread's patience
    while (events_.empty() && !stopping_) {
      const Nanos left = end - base::monotonic_ns();
      if (left <= 0) return std::nullopt;
      told_.wait_for(mutex_, left);
    }
    if (events_.empty()) return std::nullopt;
    ReplicaEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  // Only when it would come too late: a timer that is set too early costs one look at the queues.
  void wake(Nanos deadline) {
    if (deadline >= armed_.load(std::memory_order_seq_cst)) return;
    sooner_.store(true, std::memory_order_seq_cst);
    os::ring_event(wake_.get());
  }

  void stop() {
    std::vector<std::uint64_t> ids;
    {
      const base::MutexLock lock(mutex_);
      if (stopping_) return;
      stopping_ = true;
      told_.notify_all();
      for (const auto& [id, entry] : entries_) ids.push_back(id);
    }
    for (const std::uint64_t id : ids) remove(id, std::chrono::milliseconds(0));
    if (!thread_.joinable()) return;
    os::ring_event(wake_.get());
    thread_.join();
    pending_.clear();
  }

 private:
  struct Entry {
    std::shared_ptr<Model> model;
    std::shared_ptr<Replica> replica;
    std::shared_ptr<ChannelMapping> mapping;
    std::thread thread;  // of a native one
    std::string version;
    std::string token;  // of a process that has not attached
    os::Fd socket;      // of one that has
    os::Fd process;
    int pid = 0;
  };

  base::Result<Entry> make(const std::string& model_name) {
    Entry entry;
    DAYBREAK_ASSIGN(entry.model, apps_.model(model_name));
    DAYBREAK_ASSIGN(entry.mapping, ChannelMapping::create());
    DAYBREAK_ASSIGN(os::Fd event, os::make_event());
    const base::MutexLock lock(mutex_);
    entry.replica = std::make_shared<Replica>(++last_id_, entry.mapping, std::move(event));
    if (stopping_) return fail(Code::kUnavailable, "the server is stopping");
    if (entries_.size() >= kMaxReplicas)
      return fail(Code::kResourceExhausted, "there are {} replicas, the most", kMaxReplicas);
    return entry;
  }

  // A replica's event is told once each time it is rung, so that nobody has to read it: a system call less a batch.
  void watch(int fd, Kind kind, std::uint64_t id) const {
    epoll_event event{};
    event.events = kind == Kind::kEvent ? EPOLLIN | EPOLLET : EPOLLIN;
    event.data.u64 = key_of(kind, id);
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  void tell(std::string what, std::uint64_t id) {
    const base::MutexLock lock(mutex_);
    events_.push_back({std::move(what), id});
    while (events_.size() > kMaxReplicas) events_.pop_front();
    told_.notify_all();
  }

  // The replica's process need not live any more.
  void let_go(std::uint64_t id, bool force) {
    const base::MutexLock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    const Entry& entry = found->second;
    // Not by number, which may be another's by now.
    if (force && entry.process) std::ignore = os::send_signal(entry.process.get(), SIGKILL);
    if (entry.socket) shutdown(entry.socket.get(), SHUT_RDWR);
  }

  void forget(std::uint64_t id) {
    Entry entry;
    {
      const base::MutexLock lock(mutex_);
      const auto found = entries_.find(id);
      if (found == entries_.end()) return;
      entry = std::move(found->second);
      entries_.erase(found);
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.replica->event.get(), nullptr);
      if (entry.socket) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.socket.get(), nullptr);
    }
    if (entry.thread.joinable()) entry.thread.join();
  }

  void run() {
    std::array<epoll_event, 64> events;
    Nanos next_tick = apps_.env().monotonic_ns() + kTickNs;
    for (;;) {
      const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 1000);
      {
        const base::MutexLock lock(mutex_);
        if (stopping_ && entries_.empty()) return;
      }
      bool timers = false;
      for (int i = 0; i < count; ++i) {
        const std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
        timers = handle(static_cast<Kind>(key >> 56), key & ((1ull << 56) - 1)) || timers;
      }
      const Nanos now = apps_.env().monotonic_ns();
      if (timers || now >= armed_.load(std::memory_order_seq_cst)) expire(now);
      if (now >= next_tick) {
        tick(now);
        next_tick = now + kTickNs;
      }
    }
  }

  // Whether deadlines must be looked at.
  bool handle(Kind kind, std::uint64_t id) {
    switch (kind) {
      case Kind::kWake: os::clear_event(wake_.get()); return sooner_.exchange(false);
      case Kind::kTimer: os::clear_event(timer_.get()); return true;
      case Kind::kListener: take_connection(); return false;
      case Kind::kPending: identify(static_cast<int>(id)); return false;
      case Kind::kEvent: rang(id); return false;
      case Kind::kLink: heard(id); return false;
    }
    return false;
  }

  void expire(Nanos now) {
    // From here on whoever has a deadline wakes us, until it is known what the next one is.
    armed_.store(kFar, std::memory_order_seq_cst);
    Nanos next = kFar;
    for (const auto& model : apps_.models()) next = std::min(next, model->expire(now));
    if (next == kFar) return;
    armed_.store(next, std::memory_order_seq_cst);
    // From now, not until then: the kernel's clock need not be ours. Of zero a timer would stop.
    const Nanos left = std::max<Nanos>(next - apps_.env().monotonic_ns(), 1);
    itimerspec time{};
    time.it_value.tv_sec = left / 1'000'000'000;
    time.it_value.tv_nsec = left % 1'000'000'000;
    timerfd_settime(timer_.get(), 0, &time, nullptr);
  }

  void rang(std::uint64_t id) {
    std::shared_ptr<Model> model;
    {
      const base::MutexLock lock(mutex_);
      const auto found = entries_.find(id);
      if (found == entries_.end()) return;
      model = found->second.model;
    }
    model->replica_rang(id);
  }

  void take_connection() {
    os::Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd || peer_pid(fd.get()) == 0 || pending_.size() >= 64) return;
    const int number = fd.get();
    pending_.emplace(number, Pending{std::move(fd), apps_.env().monotonic_ns()});
    watch(number, Kind::kPending, static_cast<std::uint64_t>(number));
  }

  // Somebody says whose process it is.
  void identify(int number) {
    const auto pending = pending_.extract(number);
    if (pending.empty()) return;  // it took too long, just now
    os::Fd fd = std::move(pending.mapped().fd);
    const std::string token = receive_handover(number, os::Wait::kNo).text;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, number, nullptr);
    const base::MutexLock lock(mutex_);
    for (auto& [id, entry] : entries_) {
      if (entry.token.empty() || entry.token.size() != token.size()) continue;
      const auto bytes = [](const std::string& text) {
        return std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
      };
      if (!crypto::constant_time_equal(bytes(entry.token), bytes(token))) continue;
      entry.token.clear();
      const std::array<int, 3> fds = {entry.mapping->fd(), entry.model->slab()->readable_fd(),
                                      entry.replica->event.get()};
      const std::string hello = fmt::format("{}{}", kHello, input_type_name(entry.model->input_type(entry.version)));
      if (!os::send_message(number, hello, fds)) return;
      entry.socket = std::move(fd);
      entry.pid = peer_pid(number);
      // It is connected, so the number is still its own. If it ends meanwhile, its link says so.
      if (auto process = os::open_process(entry.pid)) entry.process = std::move(*process);
      watch(number, Kind::kLink, id);
      return;
    }
  }

  // A replica's process says that it is ready, or has ended.
  void heard(std::uint64_t id) {
    std::shared_ptr<Model> model;
    int pid = 0;
    bool ready = false;
    {
      const base::MutexLock lock(mutex_);
      const auto found = entries_.find(id);
      if (found == entries_.end()) return;
      model = found->second.model;
      pid = found->second.pid;
      ready = receive_handover(found->second.socket.get(), os::Wait::kNo).text == "ready";
      if (!ready) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.socket.get(), nullptr);
    }
    if (ready) {
      model->replica_ready(id, pid);
      return tell("ready", id);
    }
    model->replica_rang(id);  // what it finished before it ended
    if (model->replica_died(id, "its process ended")) tell("dead", id);
    forget(id);
  }

  void tick(Nanos now) {
    std::erase_if(pending_, [&](const auto& each) { return now - each.second.since >= kAttachNs; });
  }

  Apps& apps_;
  const std::string name_ = "daybreak-serve-" + random_text();
  os::Fd epoll_, wake_, timer_, listener_;
  std::thread thread_;
  std::atomic<Nanos> armed_{kFar};
  std::atomic<bool> sooner_{false};
  struct Pending {
    os::Fd fd;
    Nanos since;
  };
  std::unordered_map<int, Pending> pending_;  // by their descriptors' numbers; on the thread
  base::Mutex mutex_;
  base::CondVar told_;
  std::uint64_t last_id_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::uint64_t, Entry> entries_ DAYBREAK_GUARDED_BY(mutex_);
  std::deque<ReplicaEvent> events_ DAYBREAK_GUARDED_BY(mutex_);
  bool stopping_ DAYBREAK_GUARDED_BY(mutex_) = false;
};

Replicas::Replicas(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Replicas::~Replicas() = default;

base::Result<std::unique_ptr<Replicas>> Replicas::start(Apps& apps) {
  auto impl = std::make_unique<Impl>(apps);
  DAYBREAK_TRY(impl->begin());
  return std::unique_ptr<Replicas>(new Replicas(std::move(impl)));
}

base::Result<std::uint64_t> Replicas::add_native(const std::string& model, const std::string& version,
                                                 const daybreak_model_v1* native) {
  return impl_->add_native(model, version, native);
}
base::Result<Replicas::Channel> Replicas::add_process(const std::string& model, const std::string& version) {
  return impl_->add_process(model, version);
}
bool Replicas::remove(std::uint64_t id, std::chrono::milliseconds limit) {
  return impl_->remove(id, limit);
}
std::optional<ReplicaEvent> Replicas::wait_event(std::chrono::milliseconds limit) {
  return impl_->wait_event(limit);
}
void Replicas::wake(Nanos deadline) {
  impl_->wake(deadline);
}
void Replicas::stop() {
  impl_->stop();
}

// ---- in the replica's process

base::Result<std::unique_ptr<Attached>> Attached::attach(const std::string& address) {
  const std::size_t slash = address.find('/');
  if (slash == std::string::npos) return fail(Code::kInvalidArgument, "this is no address of a server");
  std::unique_ptr<Attached> attached(new Attached);
  DAYBREAK_ASSIGN(attached->socket_, connect_abstract(address.substr(0, slash)));
  Message hello;
  if (os::send_message(attached->socket_.get(), std::string_view(address).substr(slash + 1)))
    hello = receive_handover(attached->socket_.get(), os::Wait::kYes);
  if (!hello.text.starts_with(kHello) || hello.fds.size() != 3)
    return fail(Code::kPermissionDenied, "the server does not know this replica, or knows it already");
  DAYBREAK_ASSIGN(attached->input_type_, parse_input_type(std::string_view(hello.text).substr(kHello.size())));
  DAYBREAK_ASSIGN(auto channel, ChannelMapping::open(std::move(hello.fds[0])));
  DAYBREAK_ASSIGN(const std::uint64_t size_bytes, os::size_of(hello.fds[1].get()));
  DAYBREAK_ASSIGN(os::Mapping slab, os::map_shared(hello.fds[1].get(), size_bytes, {.writable = false}));
  attached->event_ = std::move(hello.fds[2]);
  attached->slab_ = slab.release();  // for ever: a model may still hold views of its inputs
  attached->side_.emplace(std::move(channel), attached->slab_, attached->event_.get());
  return attached;
}

Attached::~Attached() = default;

base::Status Attached::ready() {
  if (os::send_message(socket_.get(), "ready")) return {};
  return fail(Code::kUnavailable, "the server is gone");
}

bool Attached::connected() const {
  pollfd poll_for{socket_.get(), POLLIN | POLLHUP, 0};
  return poll(&poll_for, 1, 0) == 0;  // the server never sends anything more
}

}  // namespace daybreak::serve
