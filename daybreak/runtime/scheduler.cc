// The scheduler's thread: only what is not ready passes here. A task whose arguments exist and that wants one CPU never
// does.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daybreak/runtime/node.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kPrestarted = 64;    // workers that are made before anybody asks
constexpr std::uint32_t kExtraWorkers = 64;  // beyond one a CPU, for tasks that want none
constexpr std::int64_t kSurplusIdleNs = 3'000'000'000;
constexpr std::int64_t kRetryNs = 1'000'000;  // how soon something that could not be placed is tried again
constexpr std::uint32_t kMaxConsecutiveFailures =
    20;  // workers that die before their first task: something is wrong with the set-up

std::uint32_t none() {
  return UINT32_MAX;
}

}  // namespace

void Node::schedule() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "daybreak-sched");
  while (!stopping_) {
    std::uint32_t seen = scheduler_.bell();
    bool again = step();
    std::int64_t timeout = -1;
    if (surplus_) timeout = 1'000'000'000;
    if (!waiting_.empty() || !actors_waiting_.empty() || !overflow_.empty() || again) timeout = kRetryNs;
    if (!stopping_) scheduler_.sleep(seen, timeout);
  }
}

// True when it should be tried again soon, whoever rings or not.
bool Node::step() {
  bool again = false;
  std::vector<Exit> exits;
  std::vector<std::uint32_t> alive;
  {
    std::lock_guard guard(mutex_);
    exits.swap(exits_);
    for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc)
      if (children_[proc].pid != 0 && !children_[proc].exited) alive.push_back(proc);
  }
  for (const Exit& exit : exits) bury(exit);

  for (std::uint32_t proc : alive) {
    ProcSlot& slot = control_.proc[proc];
    std::uint32_t wanted = slot.cancel.exchange(0);
    if (wanted == 0) continue;
    State s = scheduler_.entry(wanted - 1).load();
    if (s.phase() == Phase::kRunning && s.proc_plus_one() == proc + 1 && s.has(State::kCancelled))
      kill(slot.pid, s.has(State::kForced) ? SIGKILL : SIGINT);
  }

  taken_.clear();
  scheduler_.take_all(Process::kSchedulerList, taken_);
  for (std::uint32_t index : taken_) intake(index);
  for (std::size_t n = pending_.size(); n > 0; --n) {
    std::uint32_t index = pending_.front();
    pending_.pop_front();
    if (scheduler_.entry(index).load().has(State::kCancelled) && scheduler_.entry(index).kind == Kind::kTask) {
      if (scheduler_.claim_pending({index, scheduler_.entry(index).load().generation()}))
        scheduler_client_.cancel_claimed(index);
    } else if (dependencies_done(index)) {
      ready(index);
    } else {
      pending_.push_back(index);
    }
  }
  while (!overflow_.empty()) {
    auto [index, generation] = overflow_.front();
    State s = scheduler_.entry(index).load();
    if (s.generation() == generation && s.phase() == Phase::kQueued) {  // else somebody has cancelled it
      if (!scheduler_.requeue(index)) break;
      scheduler_.task_queued();
    }
    overflow_.pop_front();
  }
  collect_finished();
  again |= dispatch_waiting();
  look_after_actors();
  keep_workers();
  return again;
}

// ---------------------------------------------------------------------------------------------------------------------
// Tasks.

void Node::intake(std::uint32_t index) {
  if (scheduler_.entry(index).kind == Kind::kActorCreate) register_actor(index);
  if (dependencies_done(index))
    ready(index);
  else
    pending_.push_back(index);
}

bool Node::dependencies_done(std::uint32_t index) {
  Entry& e = scheduler_.entry(index);
  std::span<const Ref> refs = scheduler_.args_refs(index);
  for (std::uint16_t i = 0; i < e.args.deps; ++i)
    if (scheduler_.set_waiter(refs[i])) return false;  // one is enough: it is looked at again when that one is done
  return true;
}

void Node::ready(std::uint32_t index) {
  Entry& e = scheduler_.entry(index);
  if (e.kind == Kind::kActorCreate) {
    start_actor(e.part.actor);
  } else if (e.part.resources == 0) {
    Ref ref{index, e.load().generation()};
    if (scheduler_.enqueue(index))
      scheduler_.task_queued();
    else
      overflow_.push_back(ref);
  } else {
    std::string why;
    if (!feasible(control_.resources.set[e.part.resources], why)) {
      if (scheduler_.claim_pending({index, e.load().generation()}))
        scheduler_client_.fail(index, ErrorKind::kUnschedulable, why);
      return;
    }
    waiting_.push_back(index);
  }
}

bool Node::dispatch_waiting() {
  bool again = false;
  bool cpus_short = false;
  std::size_t count = waiting_.size();
  std::vector<std::uint16_t> refused;  // sets that did not fit in this round
  for (; count > 0; --count) {
    std::uint32_t index = waiting_.front();
    waiting_.pop_front();
    Entry& e = scheduler_.entry(index);
    Ref ref{index, e.load().generation()};
    if (e.load().has(State::kCancelled)) {
      if (scheduler_.claim_pending(ref)) scheduler_client_.cancel_claimed(index);
      continue;
    }
    if (std::find(refused.begin(), refused.end(), e.part.resources) != refused.end()) {
      waiting_.push_back(index);
      continue;
    }
    const ResourceSet& set = control_.resources.set[e.part.resources];
    Grant granted;
    std::uint32_t proc = none();
    if (grant(set, kSchedulerProc, granted)) {
      proc = claim_idle_worker();
      if (proc == none()) {
        revoke(granted);
        again = true;
      }
    } else {
      cpus_short |= set.cpu > 0;
    }
    if (proc == none()) {
      refused.push_back(e.part.resources);
      waiting_.push_back(index);
      continue;
    }
    for (std::uint32_t token : granted.tokens) {
      scheduler_.release_token(token, kSchedulerProc);
      std::uint32_t holder = 0;
      control_.token[token].holder.compare_exchange_strong(holder, proc + 1);
    }
    granted.token_owner = proc;
    e.part.gpus = 0;
    for (auto [gpu, units] : granted.gpus)
      if (gpu < 64) e.part.gpus |= 1ull << gpu;
    e.part.target = static_cast<std::uint16_t>(proc + 1);
    running_.push_back({ref, proc, std::move(granted)});
    scheduler_.push(proc, index, Phase::kQueued);
    scheduler_.ring(proc);
  }
  control_.tokens_wanted.store(cpus_short ? 1 : 0);
  return again;
}

void Node::collect_finished() {
  std::erase_if(running_, [&](Running& r) {
    State s = scheduler_.entry(r.ref.index).load();
    bool over = s.generation() != r.ref.generation || (s.phase() != Phase::kRunning && s.phase() != Phase::kQueued);
    if (over)
      revoke(r.grant);
    else if (control_.proc[r.proc].blocked.load() > 0)
      revoke_cpus(r.grant);
    return over;
  });
}

std::uint32_t Node::claim_idle_worker() {
  std::uint32_t workers = 0, starting = 0, blocked = 0;
  // The highest: the lowest is the next for the queue, and warm.
  for (std::uint32_t proc = kMaxProcs; proc-- > kFirstProc;)
    if (scheduler_.is_idle(proc) && scheduler_.claim_idle(proc)) return proc;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc) {
    ProcSlot& slot = control_.proc[proc];
    if (slot.kind != ProcKind::kWorker) continue;
    ProcStatus status = slot.status.load();
    if (status == ProcStatus::kStarting) {
      ++starting;
    } else if (status == ProcStatus::kAlive) {
      ++workers;
      blocked += slot.blocked.load() > 0;
    }
  }
  if (starting > 0 || workers - blocked >= control_.num_cpus + kExtraWorkers) return none();
  spawn(ProcKind::kWorker, none());
  return none();
}

// ---------------------------------------------------------------------------------------------------------------------
// Resources.

bool Node::feasible(const ResourceSet& set, std::string& why) {
  ResourceTable& table = control_.resources;
  auto check = [&](std::string_view asked_as, std::uint32_t name, std::int64_t amount) {
    if (amount <= table.total[name].load()) return true;
    why = fmt::format("{}={} asked, the runtime has {}: it can never run; lower {}, or give init() more", asked_as,
                      static_cast<double>(amount) / kResourceUnit,
                      static_cast<double>(table.total[name].load()) / kResourceUnit, asked_as);
    return false;
  };
  if (!check("num_cpus", 0, set.cpu) || !check("num_gpus", 1, set.gpu)) return false;
  for (std::uint32_t i = 0; i < set.count; ++i)
    if (!check(table.name[set.custom[i].name], set.custom[i].name, set.custom[i].amount)) return false;
  return true;
}

// All or nothing. Whole CPUs are tokens in the name of `proc`; fractions share tokens of the scheduler's.
bool Node::grant(const ResourceSet& set, std::uint32_t proc, Grant& out) {
  ResourceTable& table = control_.resources;
  for (std::uint32_t i = 0; i < set.count; ++i)
    if (table.available[set.custom[i].name].load() < set.custom[i].amount) return false;

  std::vector<std::pair<std::uint32_t, std::int64_t>> gpus;
  std::int64_t left = set.gpu;
  for (std::uint32_t gpu = 0; gpu < gpu_free_.size() && left > 0; ++gpu) {
    std::int64_t wanted = std::min(left, kResourceUnit);
    if (gpu_free_[gpu] < wanted) continue;
    gpus.emplace_back(gpu, wanted);
    left -= wanted;
  }
  if (left > 0) return false;

  out.token_owner = proc;
  std::int64_t fraction = set.cpu % kResourceUnit;
  for (std::int64_t whole = set.cpu / kResourceUnit; whole > 0; --whole) {
    std::uint32_t token = scheduler_.acquire_token(proc);
    if (token == none()) {
      revoke_cpus(out);
      return false;
    }
    out.tokens.push_back(token);
  }
  if (fraction > 0) {
    auto shared =
        std::find_if(shared_tokens_.begin(), shared_tokens_.end(), [&](auto& t) { return t.second >= fraction; });
    if (shared == shared_tokens_.end()) {
      std::uint32_t token = scheduler_.acquire_token(kSchedulerProc);
      if (token == none()) {
        revoke_cpus(out);
        return false;
      }
      shared = shared_tokens_.emplace(token, kResourceUnit).first;
    }
    shared->second -= fraction;
    out.shared_token = shared->first;
    out.shared_units = fraction;
  }
  for (std::uint32_t i = 0; i < set.count; ++i) {
    table.available[set.custom[i].name].fetch_sub(set.custom[i].amount);
    out.custom.emplace_back(set.custom[i].name, set.custom[i].amount);
  }
  for (auto [gpu, units] : gpus) {
    gpu_free_[gpu] -= units;
    table.available[1].fetch_sub(units);
  }
  out.gpus = std::move(gpus);
  table.available[0].store(shared_left());
  return true;
}

std::int64_t Node::shared_left() const {
  std::int64_t left = 0;
  for (auto [token, units] : shared_tokens_) left += units;
  return left;
}

void Node::revoke_cpus(Grant& grant) {
  for (std::uint32_t token : grant.tokens) {
    std::uint32_t holder = grant.token_owner + 1;  // gone already where the sweep of a dead holder came first
    control_.token[token].holder.compare_exchange_strong(holder, 0);
  }
  grant.tokens.clear();
  if (grant.shared_units > 0) {
    auto shared = shared_tokens_.find(grant.shared_token);
    if (shared != shared_tokens_.end() && (shared->second += grant.shared_units) >= kResourceUnit) {
      scheduler_.release_token(shared->first, kSchedulerProc);
      shared_tokens_.erase(shared);
    }
    grant.shared_units = 0;
  }
  control_.resources.available[0].store(shared_left());
  if (!scheduler_.queue_empty()) scheduler_.wake_idle();
}

void Node::revoke(Grant& grant) {
  revoke_cpus(grant);
  for (auto [name, units] : grant.custom) control_.resources.available[name].fetch_add(units);
  for (auto [gpu, units] : grant.gpus) {
    gpu_free_[gpu] += units;
    control_.resources.available[1].fetch_add(units);
  }
  grant.custom.clear();
  grant.gpus.clear();
}

// ---------------------------------------------------------------------------------------------------------------------
// Processes.

std::uint32_t Node::spawn(ProcKind kind, std::uint32_t actor) {
  std::uint32_t proc = none();
  for (std::uint32_t i = kSchedulerProc + 1; i < kMaxProcs && proc == none(); ++i)
    if (control_.proc[i].status.load() == ProcStatus::kFree) proc = i;
  if (proc == none()) return none();
  int out[2] = {-1, -1}, err[2] = {-1, -1};
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    for (int fd : {out[0], out[1], err[0], err[1]})
      if (fd >= 0) close(fd);
    return none();
  }
  ProcSlot& slot = control_.proc[proc];
  slot.kind = kind;
  slot.actor = actor;
  slot.pid = 0;
  slot.blocked = 0;
  slot.running = 0;
  slot.cancel = 0;
  slot.asked_to_exit = 0;
  slot.cpu = 0;
  slot.status = ProcStatus::kStarting;
  {
    std::lock_guard guard(mutex_);
    Child& child = children_[proc];
    child = Child{};
    child.kind = kind;
    child.actor = actor;
    for (int which = 0; which < 2; ++which) {
      int fd = which == 0 ? out[0] : err[0];
      fcntl(fd, F_SETFL, O_NONBLOCK);
      child.output[which].fd = fd;
      epoll_event event{EPOLLIN, {.u64 = (std::uint64_t{proc} << 1) | static_cast<std::uint64_t>(which)}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }
  }
  ZygoteMessage message{ZygoteMessage::kSpawn, proc, 0, 0, 0};
  iovec part{&message, sizeof message};
  int fds[2] = {out[1], err[1]};
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
  while (sendmsg(socket_, &header, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
  close(out[1]);
  close(err[1]);
  return proc;
}

void Node::keep_workers() {
  std::uint32_t workers = 0, blocked = 0, started = 0;
  std::vector<std::uint32_t> long_idle;
  std::int64_t now = 0;
  bool idle = false;
  for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc) {
    ProcSlot& slot = control_.proc[proc];
    ProcStatus status = slot.status.load();
    if (slot.kind != ProcKind::kWorker || (status != ProcStatus::kAlive && status != ProcStatus::kStarting)) continue;
    if (slot.asked_to_exit.load() != 0) continue;
    ++workers;
    started += status == ProcStatus::kAlive;
    blocked += slot.blocked.load() > 0;
    if (scheduler_.is_idle(proc)) {
      idle = true;
      if (now == 0) now = Client::now_ns();
      if (now - static_cast<std::int64_t>(slot.idle_since_ns.load()) > kSurplusIdleNs) long_idle.push_back(proc);
    }
  }
  std::uint32_t free_to_run = workers - std::min(blocked, workers);
  std::uint32_t wanted = control_.num_cpus;
  surplus_ = workers > wanted;  // those that wait in get now are surplus later, and nobody rings then
  control_.workers_short.store(free_to_run < wanted ? 1 : 0);
  for (std::uint32_t extra = free_to_run > wanted ? free_to_run - wanted : 0; extra > 0 && !long_idle.empty();
       --extra) {
    std::uint32_t proc = long_idle.back();
    long_idle.pop_back();
    if (!scheduler_.claim_idle(proc)) continue;
    control_.proc[proc].asked_to_exit.store(1);
    scheduler_.ring(proc);
  }
  if (free_to_run >= wanted || failures_ >= kMaxConsecutiveFailures) return;
  std::uint32_t missing = wanted - free_to_run;
  std::uint64_t queued = scheduler_.queue_length();
  std::uint32_t spawned = 0;
  while (missing > 0 && (workers + spawned < std::min(wanted, kPrestarted) || (!idle && queued > spawned))) {
    if (spawn(ProcKind::kWorker, none()) == none()) {
      if (spawned == 0 && started == blocked && !idle && queued > 0) break_deadlock();
      break;
    }
    ++spawned;
    --missing;
  }
}

// Every process that is possible waits for a task that none is left to run.
void Node::break_deadlock() {
  std::uint32_t index = scheduler_.dequeue();
  if (index == none()) return;
  scheduler_client_.fail(
      index, ErrorKind::kRuntime,
      fmt::format(
          "all {} processes wait for tasks that they have submitted, and no more are possible: nest less deeply",
          kMaxProcs - 2));
}

std::string Node::death_note(const Exit& exit, std::string_view what) {
  pid_t pid = control_.proc[exit.proc].pid;
  std::string how;
  if ((exit.status & 0x7f) != 0) {
    int signal = exit.status & 0x7f;
    const char* name = sigabbrev_np(signal);
    how = fmt::format("was killed by signal {} (SIG{})", signal, name != nullptr ? name : "?");
    if (signal == SIGKILL) how += "; the kernel does that when memory runs out, or somebody ran kill -9";
    if (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGABRT)
      how += "; native code that it ran has crashed";
  } else {
    how = fmt::format("ended with exit code {}", (exit.status >> 8) & 0xff);
  }
  std::string note = fmt::format("{} (pid {}) {}", what, pid, how);
  if (exit.max_rss_kb > 0) note += fmt::format("; it had used {} MB at most", exit.max_rss_kb / 1024);
  if (!exit.last_lines.empty()) note += fmt::format(". The last lines that it printed:{}", exit.last_lines);
  return note;
}

void Node::bury(const Exit& exit) {
  ProcSlot& slot = control_.proc[exit.proc];
  bool asked = slot.asked_to_exit.load() != 0;
  bool never_ran = slot.status.load() == ProcStatus::kStarting;
  slot.status = ProcStatus::kDead;
  bool by_hand = exit.status == SIGKILL;  // somebody's or the kernel's: says nothing about the set-up
  if (!by_hand) failures_ = never_ran && exit.status != 0 ? failures_ + 1 : 0;
  std::vector<std::uint32_t> inbox;
  scheduler_.take_all(exit.proc, inbox);  // their entries are in the sweep's list too
  Process::SweepResult swept = scheduler_.sweep(exit.proc);

  overflow_.insert(overflow_.end(), swept.queued.begin(), swept.queued.end());
  std::vector<std::uint32_t> redirected;
  for (std::uint32_t index : swept.directed) {
    if (scheduler_.entry(index).kind == Kind::kTask)
      redirected.push_back(index);
    else
      limbo_calls_.push_back(index);
  }
  std::erase_if(running_, [&](Running& r) {
    if (r.proc != exit.proc) return false;
    revoke(r.grant);
    return true;
  });
  for (std::uint32_t index : redirected) {
    scheduler_.entry(index).part.target = 0;
    if (!scheduler_.claim(index, scheduler_.entry(index).load().generation())) continue;
    scheduler_.revert(index, Phase::kPending);
    waiting_.push_back(index);
  }
  if (slot.kind == ProcKind::kActor) {
    lost_calls_ = swept.lost;
    actor_exited(slot.actor, exit);
    lost_calls_.clear();
    limbo_calls_.clear();
  } else {
    for (std::uint32_t index : swept.lost) retry_or_fail(index, exit);
  }
  (void)asked;
  {
    std::lock_guard guard(mutex_);
    children_[exit.proc].pid = 0;
  }
  scheduler_.ring_all();  // it may have died between taking a sleeper's mark and waking it
  slot.status = ProcStatus::kFree;
  if (failures_ == kMaxConsecutiveFailures) {
    fail_everything(fmt::format("{} workers in a row died before they could run a task, so no more are started. {}",
                                failures_, death_note(exit, "The last one")));
  }
}

// Workers cannot be started: what waits for one gets the reason instead of waiting for ever.
void Node::fail_everything(std::string_view why) {
  for (;;) {
    std::uint32_t index = scheduler_.dequeue();
    if (index == none()) break;
    scheduler_client_.fail(index, ErrorKind::kRuntime, why);
  }
  failures_ = 0;  // the next task tries again
}

void Node::retry_or_fail(std::uint32_t index, const Exit& exit) {
  Entry& e = scheduler_.entry(index);
  scheduler_.adopt(index);
  if (e.load().has(State::kCancelled)) {
    scheduler_client_.cancel_claimed(index);
    return;
  }
  if (e.part.retries_left == 0) {
    scheduler_client_.fail(index, ErrorKind::kWorkerCrashed,
                           death_note(exit, "the worker that ran the task") +
                               (e.part.attempt > 0 ? fmt::format("; it was attempt {}", e.part.attempt + 1) : ""));
    return;
  }
  if (e.part.retries_left > 0) --e.part.retries_left;
  e.part.set_attempt(e.part.attempt + 1);
  e.part.target = 0;
  if (e.part.resources != 0) {
    scheduler_.revert(index, Phase::kPending);
    waiting_.push_back(index);
  } else {
    scheduler_.revert(index, Phase::kPending);
    ready(index);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Actors.

void Node::register_actor(std::uint32_t index) {
  Entry& e = scheduler_.entry(index);
  Ref ref{index, e.load().generation()};
  ActorSlot& actor = control_.actor[e.part.actor];
  scheduler_.hold(ref);
  if (actor.detached != 0) driver_.hold(ref);
  actor.status.store(ActorStatus::kPending);
  actors_.push_back(e.part.actor);
  scheduler_.publish(index, false);  // from here on the references to it are the handles
}

void Node::start_actor(std::uint32_t slot) {
  ActorSlot& actor = control_.actor[slot];
  Entry& creation = scheduler_.entry(actor.creation.index);
  const ResourceSet& set = control_.resources.set[creation.part.resources];
  std::string why;
  if (!feasible(set, why)) {
    actor_dies(slot, why);
    return;
  }
  Grant granted;
  std::uint32_t proc = none();
  if (grant(set, kSchedulerProc, granted) && (proc = spawn(ProcKind::kActor, slot)) == none()) {
    revoke(granted);
    actor_dies(slot, fmt::format("no more than {} processes are possible: kill some actors", kMaxProcs - 2));
    return;
  }
  if (proc == none()) {
    if (set.cpu > 0) control_.tokens_wanted.store(1);
    actors_waiting_.push_back(slot);
    return;
  }
  creation.part.gpus = 0;
  for (auto [gpu, units] : granted.gpus)
    if (gpu < 64) creation.part.gpus |= 1ull << gpu;
  actor_grants_[slot] = std::move(granted);
  actor.proc.store(proc + 1);
  scheduler_.ring(proc);  // it may be up already, with a call that came while nobody could know whom to ring
}

void Node::actor_exited(std::uint32_t slot, const Exit& exit) {
  ActorSlot& actor = control_.actor[slot];
  Entry& creation = scheduler_.entry(actor.creation.index);
  actor.proc.store(0);
  if (auto grant = actor_grants_.find(slot); grant != actor_grants_.end()) {
    revoke(grant->second);
    actor_grants_.erase(grant);
  }
  std::uint32_t terminate = actor.terminate.load();
  bool constructor_failed = creation.error == ErrorKind::kUser;
  bool may_restart = actor.max_restarts < 0 || actor.restarts < actor.max_restarts;
  bool left = exit.status == 0;  // exit_actor(), or the last handle is gone
  bool restart = may_restart && !left && !constructor_failed && terminate != 1 && terminate != 2;
  std::string note = death_note(exit, fmt::format("the process of actor {}", actor.class_name));
  if (terminate == 2 || terminate == 3)
    note = fmt::format("actor {} was killed by kill()", actor.class_name);
  else if (left)
    note = fmt::format("actor {} has ended", actor.class_name);

  for (std::uint32_t index : lost_calls_) {
    Entry& e = scheduler_.entry(index);
    scheduler_.adopt(index);
    if (restart && e.part.retries_left != 0 && !e.load().has(State::kCancelled)) {
      if (e.part.retries_left > 0) --e.part.retries_left;
      e.part.set_attempt(e.part.attempt + 1);
      scheduler_.revert(index, Phase::kQueued);
      limbo_calls_.push_back(index);
    } else if (e.load().has(State::kCancelled)) {
      scheduler_client_.cancel_claimed(index);
    } else {
      scheduler_client_.fail(index, ErrorKind::kActorDied, note);
    }
  }
  if (!restart) {
    actor_dies(slot, note);
    return;
  }
  ++actor.restarts;
  std::uint32_t expected = 3;
  actor.terminate.compare_exchange_strong(expected, 0);
  actor.status.store(ActorStatus::kRestarting);
  bring_calls_back(slot);
  start_actor(slot);
}

// What the dead process had taken from the inbox goes in again; the new one sorts by sequence.
void Node::bring_calls_back(std::uint32_t slot) {
  for (std::uint32_t index : limbo_calls_) {
    if (scheduler_.entry(index).part.actor != slot) continue;
    scheduler_.entry(index).part.target = 0;
    bool in_list = false;
    std::vector<std::uint32_t> listed;
    // A death between marking and taking leaves it on the list.
    scheduler_.take_all(Process::kActorList + slot, listed);
    for (std::uint32_t other : listed) {
      in_list |= other == index;
      scheduler_.entry(other).part.target = 0;
      scheduler_.push(Process::kActorList + slot, other, Phase::kQueued);
    }
    if (!in_list) scheduler_.push(Process::kActorList + slot, index, Phase::kQueued);
  }
}

void Node::actor_dies(std::uint32_t slot, std::string_view why) {
  ActorSlot& actor = control_.actor[slot];
  std::size_t n = std::min(why.size(), sizeof actor.death - 1);
  std::memcpy(actor.death, why.data(), n);
  actor.death[n] = 0;
  actor.status.store(ActorStatus::kDead);
  if (actor.detached != 0) driver_.release(actor.creation);
  fail_calls(slot);
}

void Node::fail_calls(std::uint32_t slot) {
  std::vector<std::uint32_t> calls;
  scheduler_.take_all(Process::kActorList + slot, calls);
  for (std::uint32_t index : limbo_calls_)
    if (scheduler_.entry(index).part.actor == slot && std::find(calls.begin(), calls.end(), index) == calls.end())
      calls.push_back(index);
  for (std::uint32_t index : calls) {
    if (!scheduler_.claim(index, scheduler_.entry(index).load().generation())) continue;
    if (scheduler_.entry(index).load().has(State::kCancelled))
      scheduler_client_.cancel_claimed(index);
    else
      scheduler_client_.fail_actor_call(index);
  }
}

void Node::look_after_actors() {
  std::deque<std::uint32_t> waiting;
  waiting.swap(actors_waiting_);
  for (std::uint32_t slot : waiting)
    if (control_.actor[slot].status.load() != ActorStatus::kDead) start_actor(slot);

  for (std::size_t i = 0; i < actors_.size();) {
    std::uint32_t slot = actors_[i++];
    ActorSlot& actor = control_.actor[slot];
    std::uint32_t terminate = actor.terminate.load();
    std::uint32_t proc = actor.proc.load();
    if (actor.status.load() != ActorStatus::kDead) {
      if (terminate >= 2 && proc != 0) {
        pid_t pid = control_.proc[proc - 1].pid;
        if (pid > 0) kill(pid, SIGKILL);
      } else if (proc == 0 &&
                 (terminate == 2 || (terminate == 1 && scheduler_.list_empty(Process::kActorList + slot)))) {
        actor_dies(slot, terminate == 2 ? "the actor was killed before it had started"
                                        : "the actor's last handle was dropped before it had started");
      }
      continue;
    }
    if (!scheduler_.list_empty(Process::kActorList + slot)) fail_calls(slot);
    if (!scheduler_.entry(actor.creation.index).load().has(State::kCancelled)) continue;
    scheduler_.lock(control_.names_lock);
    scheduler_.release(actor.creation);
    actor.status.store(ActorStatus::kFree);
    scheduler_.unlock(control_.names_lock);
    actors_.erase(actors_.begin() + static_cast<std::ptrdiff_t>(--i));
  }
}

}  // namespace daybreak::runtime
