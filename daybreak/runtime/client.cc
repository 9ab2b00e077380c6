#include "daybreak/runtime/client.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "daybreak/base/failpoint.h"
#include "daybreak/os/fd.h"
#include "daybreak/runtime/copy.h"
#include "daybreak/runtime/robust_guard.h"
#include "daybreak/runtime/stream.h"
#include "daybreak/runtime/update.h"

namespace daybreak::runtime {

namespace {

// Waking a sleeper costs about 6 us each way, so spinning that long costs at most as much again. On the same CPU
// spinning only keeps the peer from running.
constexpr std::int64_t kSpinNs = 20'000;
// One that we have just woken may have been put on this very CPU, which it cannot have while we spin.
constexpr std::int64_t kSpinAfterWakeNs = 3'000;
constexpr std::uint64_t kFreshBytes = 16ull << 20;  // from here on where a value lies is looked at before it is written
constexpr std::int64_t kComingNs = 100'000;         // how soon an actor is looked for again that is being made
thread_local std::uint32_t woken_for = 0;           // entry + 1 of this thread's newest task, if it took a wake-up
DAYBREAK_FIBER_LOCAL(woken_for);

}  // namespace

thread_local std::uint32_t Client::current_task = 0;
DAYBREAK_FIBER_LOCAL(Client::current_task);

static base::Atomic<Client*> the_client{nullptr};
Client* current_client() {
  return the_client.load();
}
void set_current_client(Client* client) {
  the_client.store(client);
}

std::uint64_t Payload::size() const {
  std::uint64_t at = 0;
  for (const Piece& piece : pieces) at = (at + piece.align - 1) / piece.align * piece.align + piece.size;
  return at;
}

void Payload::write(std::byte* to) const {
  std::uint64_t at = 0;
  for (const Piece& piece : pieces) {
    std::uint64_t start = (at + piece.align - 1) / piece.align * piece.align;
    if (start != at) std::memset(to + at, 0, start - at);
    copy_bytes(to + start, piece.data, piece.size);
    at = start + piece.size;
  }
}

base::Status Payload::write(int fd, std::uint64_t offset) const {
  std::uint64_t at = 0;
  for (const Piece& piece : pieces) {
    at = (at + piece.align - 1) / piece.align * piece.align;
    DAYBREAK_TRY(os::write_at(fd, {static_cast<const char*>(piece.data), piece.size}, offset + at, "the object store"));
    at += piece.size;
  }
  return {};
}

std::int64_t Client::now_ns() {
  return base::monotonic_ns();
}

base::Status Client::set_value(std::uint32_t index, const Payload& payload) {
  const std::uint64_t size = payload.size();
  // References behind it are written by place(), through the mapping.
  if (size < kFreshBytes || !payload.refs.empty()) {
    DAYBREAK_ASSIGN(std::byte * at, p_.set_value(index, size, payload.refs, payload.codec, payload.deps));
    payload.write(at);
    return {};
  }
  FreshWriter fresh{.write = [&](int fd, std::uint64_t offset) { return payload.write(fd, offset); },
                    .size_bytes = size};
  DAYBREAK_ASSIGN(std::byte * at, p_.set_value(index, size, {}, payload.codec, payload.deps, &fresh));
  if (!fresh.written) payload.write(at);
  return {};
}

base::Result<Ref> Client::put(const Payload& payload) {
  DAYBREAK_ASSIGN(Ref ref, p_.create(Kind::kValue));
  if (auto written = set_value(ref.index, payload); !written) {
    p_.abandon(ref.index);
    return std::unexpected(std::move(written).error());
  }
  p_.publish(ref.index, false);
  return ref;
}

// ---------------------------------------------------------------------------------------------------------------------

// A task's further results, in kCreated; on an error as many as there are.
base::Status Client::create_further(Ref task, std::uint16_t num_returns, bool streaming, std::vector<Ref>& further) {
  while (further.size() + 1 < num_returns) {
    if (streaming && !further.empty()) {
      further.push_back(further.front());  // the second cell comes with the first item
      continue;
    }
    DAYBREAK_ASSIGN(const Ref result, p_.create(Kind::kReturn));
    p_.entry(result.index).part.set_function(task);
    p_.entry(result.index).number = 0;
    further.push_back(result);
  }
  return {};
}

// Until it is pushed or queued all of it is kCreated by us, and a death undoes it whole. The further results become
// kPending before that, because whoever runs the task may claim them at once; a death in between leaves them without a
// task, which the sweep knows by the generation that they name.
base::Status Client::submit(const TaskSpec& spec, const Payload& args, std::vector<Ref>& results) {
  DAYBREAK_ASSIGN(Ref ref, p_.create(spec.kind));
  Entry& e = p_.entry(ref.index);
  const Ref parent = current_task == 0 ? kNoRef : Ref{current_task - 1, p_.entry(current_task - 1).load().generation()};
  if (spec.kind == Kind::kTask) {
    e.part.set_function(spec.function);
    e.part.set_parent(parent);
  } else {
    e.part.set_function(parent);
    e.part.set_actor(spec.actor);
  }
  e.part.resources = spec.resources;
  const bool streaming = (spec.options & kStreaming) != 0;
  const std::uint16_t num_returns = streaming ? Stream::kResults : spec.num_returns;
  e.part.num_returns = num_returns;
  e.window = spec.window;
  e.part.retries_left = spec.max_retries;
  e.part.set_options(spec.options);
  e.number = spec.group;
  std::size_t first_result = results.size();
  if (num_returns > 0) results.push_back(ref);
  std::vector<Ref> further;
  base::Status status = create_further(ref, num_returns, streaming, further);
  if (status) {
    // The further results lie behind the arguments, where the worker finds them; the task does not keep them alive.
    std::uint64_t size = args.size();
    std::uint64_t total = further.empty() ? size : (size + 7) / 8 * 8 + further.size() * sizeof(Ref);
    if (auto at = p_.set_args(ref.index, total, args.refs, args.deps, args.codec)) {
      args.write(*at);
      if (!further.empty()) std::memcpy(*at + (size + 7) / 8 * 8, further.data(), further.size() * sizeof(Ref));
    } else {
      status = std::unexpected(std::move(at).error());
    }
  }
  if (streaming && further.size() > 1) further.resize(1);
  if (!status) {
    for (Ref sibling : further) p_.abandon(sibling.index);
    p_.abandon(ref.index);
    results.resize(first_result);
    return status;
  }
  for (Ref sibling : further) {
    p_.set_pending(sibling.index);
    results.push_back(sibling);
  }
  if (spec.kind == Kind::kActorCall) {
    ActorSlot& actor = p_.control().actor[spec.actor];
    if (actor.status.load() < ActorStatus::kRestarting || !refused(ref.index)) {
      e.part.call_sequence = actor.calls.fetch_add(1);
      p_.push(Process::kActorList + spec.actor, ref.index, Phase::kQueued);
      if (std::uint32_t proc = actor.proc.load(); proc != 0 && p_.ring(proc - 1)) woken_for = ref.index + 1;
      // Dead since we looked: the scheduler may have failed the calls of the inbox before ours was in it.
      if (actor.status.load() == ActorStatus::kDead) p_.ring(kSchedulerProc);
    }
  } else {
    bool deps_done = true;
    for (std::uint16_t i = 0; i < args.deps && deps_done; ++i) deps_done = p_.done(args.refs[i]);
    route(ref.index, deps_done);
  }
  if (num_returns == 0) p_.release(ref);
  return {};
}

// kQueued, then in a ring, then a look for somebody to wake (task_queued): a worker says that it is idle, then looks at
// the rings. So he finds the task or we find him.
void Client::route(std::uint32_t index, bool deps_done) {
  Entry& e = p_.entry(index);
  if (deps_done && e.kind == Kind::kTask && e.part.resources == 0) {
    Ref ref{index, e.load().generation()};
    if (p_.enqueue(index)) {
      if (p_.task_queued())
        woken_for = index + 1;
      else if (p_.control().workers_short.load(std::memory_order_relaxed) != 0)
        p_.ring(kSchedulerProc);
      return;
    }
    if (!p_.claim(ref.index, ref.generation)) return;  // full after all, and cancelled meanwhile
  }
  // The scheduler waits for the arguments, the resources, or room in the queue.
  p_.push(Process::kSchedulerList, index, Phase::kPending);
  p_.ring(kSchedulerProc);
}

// ---------------------------------------------------------------------------------------------------------------------

base::Result<Client::Actor> Client::create_actor(const TaskSpec& spec, const Payload& args,
                                                 const ActorOptions& options) {
  if (options.name.size() >= kNameBytes)
    return base::fail(base::Code::kInvalidArgument,
                      "actor name '{}' has {} bytes with its namespace, at most {} are possible", options.name,
                      options.name.size(), kNameBytes - 1);
  // The arguments first, where nobody sees the entry: whoever finds the name later reads them.
  DAYBREAK_ASSIGN(Ref ref, p_.create(Kind::kActorCreate));
  Entry& e = p_.entry(ref.index);
  e.part.set_function(spec.function);
  e.part.resources = spec.resources;
  auto slot = [&]() -> base::Result<std::uint32_t> {
    DAYBREAK_ASSIGN(std::byte * at, p_.set_args(ref.index, args.size(), args.refs, args.deps, args.codec));
    args.write(at);
    return reserve_actor(ref, options);
  }();
  if (!slot) {
    e.set_kind(Kind::kValue);  // as which it goes: it has never been an actor
    p_.abandon(ref.index);
    return std::unexpected(std::move(slot).error());
  }
  // The slot is ours, and its name taken, but nobody can find it: an entry in kCreated would go with this process. The
  // scheduler, which keeps the entry, shows it.
  e.part.set_actor(*slot);
  DAYBREAK_FAILPOINT("actor.reserved");
  p_.push(Process::kSchedulerList, ref.index, Phase::kPending);
  p_.ring(kSchedulerProc);
  return Actor{ref, *slot};
}

// Who is killed for good gives the name away at once: his process may still be there, and what he had comes back later.
static bool is_named(const ActorSlot& actor, std::string_view name) {
  const ActorStatus status = actor.status.load();
  return status != ActorStatus::kFree && status != ActorStatus::kDead && actor.terminate.load() != 2 &&
         name == actor.name;
}

// A free slot in kReserved, if the name is free.
base::Result<std::uint32_t> Client::reserve_actor(Ref creation, const ActorOptions& options) {
  Control& control = p_.control();
  RobustGuard guard(p_, control.names_lock);
  std::uint32_t slot = kMaxActors;
  const std::uint32_t used = control.actors_used.load();
  for (std::uint32_t i = 0; i < used; ++i) {
    if (control.actor[i].status.load() == ActorStatus::kFree) {
      if (slot == kMaxActors) slot = i;
    } else if (!options.name.empty() && is_named(control.actor[i], options.name) &&
               !p_.entry(control.actor[i].creation.index).load().has(State::kNoHandles)) {
      return base::fail(
          base::Code::kAlreadyExists,
          "The name {} (namespace={}) is already taken: an actor named so is alive. Please use a different name, or "
          "get_if_exists=True",
          options.name.substr(options.name.find('/') + 1), options.name.substr(0, options.name.find('/')));
    }
  }
  if (slot == kMaxActors) slot = used;
  if (slot == kMaxActors)
    return base::fail(base::Code::kUnavailable, "{} actors are alive, more are not possible: kill some", kMaxActors);
  ActorSlot& actor = control.actor[slot];
  actor.creation = creation;
  actor.reserver = p_.id();
  actor.proc.store(0);
  actor.max_restarts = options.max_restarts;
  actor.restarts = 0;
  actor.max_task_retries = options.max_task_retries;
  actor.concurrency = std::max(1u, options.max_concurrency);
  actor.detached = options.detached;
  actor.terminate.store(0);
  actor.calls.store(0);
  actor.death[0] = 0;
  std::snprintf(actor.name, sizeof actor.name, "%s", options.name.c_str());
  std::snprintf(actor.class_name, sizeof actor.class_name, "%s", options.class_name.c_str());
  raise_to(control.actors_used, slot + 1);     // before it is seen to be in use
  actor.status.store(ActorStatus::kReserved);  // last: a death before it leaves the slot free
  return slot;
}

base::Result<Client::Actor> Client::find_actor(std::string_view name) {
  for (;;) {
    std::uint32_t seen = p_.bell();
    bool coming = false;
    if (auto found = look_for_actor(name, coming)) return *found;
    if (!coming || p_.stopping()) break;
    p_.sleep(seen, kComingNs);
  }
  return base::fail(base::Code::kNotFound,
                    "Failed to look up actor with name '{}': no actor named so is alive in the namespace '{}'",
                    name.substr(name.find('/') + 1), name.substr(0, name.find('/')));
}

// `coming`: one of that name is being made, and will be there or not in a moment.
std::optional<Client::Actor> Client::look_for_actor(std::string_view name, bool& coming) {
  Control& control = p_.control();
  RobustGuard guard(p_, control.names_lock);
  for (std::uint32_t i = 0; i < control.actors_used.load(); ++i) {
    ActorSlot& actor = control.actor[i];
    if (!is_named(actor, name)) continue;
    if (actor.status.load() == ActorStatus::kReserved) {
      coming = true;
      continue;
    }
    Ref ref = actor.creation;
    p_.hold(ref);  // the scheduler has it, and lets go of it under this lock only
    if (!p_.entry(ref.index).load().has(State::kNoHandles)) return Actor{ref, i};
    p_.release(ref);
  }
  return std::nullopt;
}

void Client::kill_actor(std::uint32_t slot, bool no_restart) {
  // Who is killed for good does not come back because somebody else kills him with a restart.
  update_if(
      p_.control().actor[slot].terminate, [&](std::uint32_t now) { return no_restart || now != 2; },
      [&](std::uint32_t) { return no_restart ? 2u : 3u; });
  p_.ring(kSchedulerProc);
}

// ---------------------------------------------------------------------------------------------------------------------

std::int64_t spin_budget_ns(Process& p, std::uint32_t peer_cpu_plus_one) {
  if (p.control().cores < 2) return 0;
  std::uint32_t here = static_cast<std::uint32_t>(sched_getcpu()) + 1;
  p.slot().cpu.store(here, std::memory_order_relaxed);
  return peer_cpu_plus_one == here ? 0 : kSpinNs;
}

// Blocked first, then the CPU goes back, then somebody is woken for it: who is woken, and the scheduler who counts the
// workers that can run something, must see both.
void Client::before_sleep() {
  if (worker_ == nullptr) return;
  p_.slot().blocked.fetch_add(1);
  if (worker_->token != kNone) {
    p_.release_token(worker_->token, p_.id());
    worker_->token = kNone;
  }
  // What is queued is another worker's now. Without an idle one the scheduler makes one.
  if (!p_.queue_empty()) p_.wake_idle();
  p_.ring(kSchedulerProc);
}

// Without a CPU if there is none free: the task goes on all the same, since whoever waits for it must not wait for ever.
void Client::after_sleep() {
  if (worker_ == nullptr) return;
  p_.slot().blocked.fetch_sub(1);
  if (worker_->token == kNone) worker_->token = p_.acquire_token(p_.id());
}

// Who interrupts a task rings as well, and a sleep that ends by that does not tell of the signal.
bool Client::cancelled() {
  return current_task != 0 && p_.entry(current_task - 1).load().has(State::kCancelled);
}

WaitResult Client::wait(Ref ref, std::int64_t deadline_ns) {
  return wait({&ref, 1}, 1, deadline_ns);
}

WaitResult Client::wait(std::span<const Ref> refs, std::size_t count, std::int64_t deadline_ns,
                        std::optional<std::uint32_t> seen_before) {
  auto count_done = [&] {
    std::size_t done = 0;
    for (std::size_t i = 0; i < refs.size() && done < count; ++i) done += p_.done(refs[i]);
    return done;
  };
  if (count_done() >= count) return WaitResult::kDone;
  if (deadline_ns >= 0 && now_ns() >= deadline_ns) return WaitResult::kTimeout;

  // Spin while the first unfinished one is being worked on elsewhere.
  Ref first{};
  for (Ref ref : refs)
    if (!p_.done(ref)) {
      first = ref;
      break;
    }
  State s = p_.entry(first.index).load();
  std::uint32_t peer = 0;
  if (s.phase() == Phase::kRunning)
    peer = s.proc_plus_one();
  else if (p_.entry(first.index).kind == Kind::kActorCall)
    peer = p_.control().actor[p_.entry(first.index).part.actor].proc.load();
  std::int64_t budget = spin_budget_ns(p_, peer != 0 ? p_.slot(peer - 1).cpu.load() : 0);
  if (woken_for == first.index + 1) budget = std::min(budget, kSpinAfterWakeNs);
  woken_for = 0;
  std::int64_t until = now_ns() + budget;
  if (deadline_ns >= 0) until = std::min(until, deadline_ns);
  do {
    for (int i = 0; i < kLooksPerSpin; ++i) {
      if (p_.done(first)) break;
      base::cpu_pause();
    }
    if (p_.done(first) && count_done() >= count) return WaitResult::kDone;
  } while (now_ns() < until);

  // The bell is read, then all are marked, then we sleep unless it has rung: whoever completes one after its mark rings,
  // and whoever did before it is seen by the mark.
  if (worker_ != nullptr) p_.hurry(first);
  before_sleep();
  WaitResult result = WaitResult::kDone;
  for (;;) {
    const std::uint32_t seen = seen_before ? *std::exchange(seen_before, std::nullopt) : p_.bell();
    std::size_t done = 0;
    for (Ref ref : refs) {
      if (!p_.set_waiter(ref) && ++done >= count) break;
    }
    if (done >= count) break;
    if (p_.stopping()) {
      result = WaitResult::kInterrupted;
      break;
    }
    std::int64_t left = -1;
    if (deadline_ns >= 0) {
      left = deadline_ns - now_ns();
      if (left <= 0) {
        result = WaitResult::kTimeout;
        break;
      }
    }
    if (p_.sleep(seen, left) == EINTR || cancelled()) {
      result = WaitResult::kInterrupted;
      break;
    }
  }
  after_sleep();
  return result;
}

WaitResult Client::wait_until(const std::function<bool()>& come, std::optional<std::uint32_t> seen_before) {
  if (come()) return WaitResult::kDone;
  before_sleep();
  WaitResult result = WaitResult::kDone;
  for (;;) {
    const std::uint32_t seen = seen_before ? *std::exchange(seen_before, std::nullopt) : p_.bell();
    if (come()) break;
    if (p_.stopping() || p_.sleep(seen, -1) == EINTR || cancelled()) {
      result = WaitResult::kInterrupted;
      break;
    }
  }
  after_sleep();
  return result;
}

// ---------------------------------------------------------------------------------------------------------------------

bool Client::cancel(Ref ref, bool force, bool recursive) {
  Entry& given = p_.entry(ref.index);
  if (given.kind == Kind::kReturn) ref = given.part.task_now();
  bool cancelled = cancel_one(ref, force);
  if (!recursive) return cancelled;

  // Who has submitted whom, in one look. A parent is named with its generation: an entry that has become another task
  // since is nobody's parent.
  auto key = [](Ref r) { return (std::uint64_t{r.generation} << 32) | r.index; };
  std::unordered_map<std::uint64_t, std::vector<Ref>> children;
  p_.for_each_entry([&](std::uint32_t i) {
    Entry& child = p_.entry(i);
    State s = child.load();
    const bool call = child.kind_now() == Kind::kActorCall;
    if ((!call && child.kind_now() != Kind::kTask) ||
        (s.phase() != Phase::kPending && s.phase() != Phase::kQueued && s.phase() != Phase::kRunning))
      return;
    Ref parent = call ? child.part.caller_now() : child.part.parent_now();
    if (child.load().generation() == s.generation() && parent != kNoRef)
      children[key(parent)].push_back({i, s.generation()});
  });
  std::vector<Ref> parents{ref};
  while (!parents.empty()) {
    auto below = children.extract(key(parents.back()));  // each is met once
    parents.pop_back();
    if (below.empty()) continue;
    for (Ref child : below.mapped()) {
      cancel_one(child, force && p_.entry(child.index).kind_now() == Kind::kTask);  // an actor is not killed for it
      parents.push_back(child);
    }
  }
  return cancelled;
}

bool Client::cancel_one(Ref ref, bool force) {
  Control& control = p_.control();
  Entry& e = p_.entry(ref.index);
  // The mark first, in the word that everybody who goes on with the task changes: he sees it, or we see how far he was.
  auto unfinished = [&](State s) {
    return s.generation() == ref.generation && !s.done() && s.phase() != Phase::kDying;
  };
  const auto s =
      update_if(e, unfinished, [&](State now) { return now.with(State::kCancelled | (force ? State::kForced : 0)); });
  if (!s) return false;
  bool cancelled = false;
  // What lies in an inbox stays there, marked, until its reader finds it: it is linked.
  if (s->phase() == Phase::kQueued && e.kind_now() == Kind::kTask && e.part.target_now() == 0 &&
      p_.claim(ref.index, ref.generation)) {
    cancel_claimed(ref.index);
    cancelled = true;
  } else if (s->phase() == Phase::kRunning && s->proc_plus_one() != 0) {
    ProcSlot& runner = control.proc[s->proc_plus_one() - 1];
    runner.cancel.store(ref.index + 1);
    if (e.kind_now() == Kind::kActorCall) {  // a coroutine's loop looks itself; an interrupt may come before its sleep
      runner.asked_to_exit.store(1);
      p_.ring(s->proc_plus_one() - 1);
    }
  } else if (s->phase() == Phase::kPending) {
    control.scheduler_looks.add(ref.index);
  } else if (s->phase() == Phase::kQueued && e.kind_now() == Kind::kActorCall) {
    // The actor may have taken it, and have no room to begin it.
    std::uint32_t actor = e.part.actor_now();
    std::uint32_t proc = actor < kMaxActors ? control.actor[actor].proc.load() : 0;
    if (proc != 0) {
      control.proc[proc - 1].asked_to_exit.store(1);
      p_.ring(proc - 1);
    }
  }
  p_.ring(kSchedulerProc);
  return cancelled;
}

void Client::fail(std::uint32_t index, ErrorKind kind, std::string_view text) {
  for (Ref sibling : p_.further_results(index))
    if (p_.claim_pending(sibling)) p_.publish_error(sibling.index, kind, text);
  p_.publish_error(index, kind, text);
}

void Client::cancel_claimed(std::uint32_t index) {
  fail(index, ErrorKind::kCancelled, "the task was cancelled");
}

// ---------------------------------------------------------------------------------------------------------------------

std::string Client::largest_holders(std::size_t count) {
  struct Large {
    std::uint64_t size;
    std::uint32_t index;
  };
  std::vector<Large> large;
  p_.for_each_entry([&](std::uint32_t i) {
    Entry& e = p_.entry(i);
    std::uint64_t size = (e.value.has_block() ? e.value.size : 0) + (e.args.where == kBlock ? e.args.size : 0);
    if (size > 0) large.push_back({size, i});
  });
  std::sort(large.begin(), large.end(), [](Large a, Large b) { return a.size > b.size; });
  std::string text;
  for (std::size_t n = 0; n < std::min(count, large.size()); ++n) {
    Entry& e = p_.entry(large[n].index);
    std::string holders;
    for (std::uint32_t proc = 0; proc < p_.procs_used(); ++proc)
      if (p_.is_holder(large[n].index, proc))
        holders += fmt::format("{}{} {}", holders.empty() ? "" : ", ", proc == kDriverProc ? "driver" : "process",
                               p_.slot(proc).pid);
    text += fmt::format("\n  {:>12} bytes, object {:08x}{:08x}, held by {}{}", large[n].size, large[n].index,
                        e.load().generation(), holders.empty() ? "tasks only" : holders,
                        e.pins.load() != 0 ? fmt::format(", {} references from tasks and objects", e.pins.load()) : "");
  }
  return text;
}

}  // namespace daybreak::runtime
