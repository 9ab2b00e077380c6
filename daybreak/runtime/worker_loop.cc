#include "daybreak/runtime/worker_loop.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace daybreak::runtime {

static std::int64_t time_left(std::int64_t deadline) {
  return deadline < 0 ? -1 : std::max<std::int64_t>(0, deadline - Client::now_ns());
}

WorkerLoop::WorkerLoop(Client& client, std::uint32_t actor) : client_(client), p_(client.process()), actor_(actor) {
  p_.note_awake();  // the first task may be there already
  if (actor_ != kNone) return;
  client_.set_worker(&worker_);
  directed_only_ = p_.slot().environment != 0;
  if (!directed_only_) p_.join_queue();
}

void WorkerLoop::set_groups(std::size_t groups, Concurrency concurrency, bool in_order) {
  groups_.resize(groups);
  concurrency_ = concurrency;
  if (concurrency != Concurrency::kNone) p_.note_concurrent();
  in_order_ = in_order;
}

// What a worker of an environment runs: what the scheduler has given to it. A CPU that it has got back after a wait is not
// its own.
WorkerLoop::Next WorkerLoop::poll_directed(std::uint32_t& index) {
  if (p_.control().stopping.load(std::memory_order_relaxed) != 0) return Next::kExit;
  give_token_back();
  take(p_.id(), 0);
  std::deque<Call>& calls = groups_.front();
  while (!calls.empty()) {
    Ref ref = calls.front().ref;
    calls.pop_front();
    directed_ = true;
    if (!claim(ref)) {
      finished();
      continue;
    }
    index = ref.index;
    return Next::kTask;
  }
  return p_.slot().asked_to_exit.load(std::memory_order_relaxed) != 0 ? Next::kExit : Next::kIdle;
}

int WorkerLoop::sleep_directed(std::uint32_t seen, std::int64_t deadline) {
  p_.slot().idle_since_ns.store(static_cast<std::uint64_t>(Client::now_ns()));
  if (p_.control().wanted.load() != 0) p_.ring(kSchedulerProc);
  const std::int64_t left = time_left(deadline);
  return left == 0 ? ETIMEDOUT : p_.sleep(seen, left);
}

WorkerLoop::Next WorkerLoop::poll(std::uint32_t& index, std::size_t group) {
  if (actor_ != kNone) return poll_actor(&index, group);
  return directed_only_ ? poll_directed(index) : poll_worker(index);
}

WorkerLoop::Next WorkerLoop::look(std::size_t group) {
  return poll_actor(nullptr, group);
}

// Marked as ours before they leave the list (take_all), so that a sweep finds those that we die with. True: some of them
// are for another group than `group`.
bool WorkerLoop::take(std::uint32_t list, std::size_t group) {
  if (p_.list_empty(list)) return false;
  taken_.clear();
  p_.take_all(list, taken_, true);
  // After a restart calls come back all at once and perhaps mixed with newer ones.
  auto by_sequence = [&](std::uint32_t a, std::uint32_t b) {
    return p_.entry(a).part.call_sequence < p_.entry(b).part.call_sequence;
  };
  if (actor_ != kNone && !std::is_sorted(taken_.begin(), taken_.end(), by_sequence))
    std::stable_sort(taken_.begin(), taken_.end(), by_sequence);
  bool others = false;
  for (std::uint32_t i : taken_) {
    Entry& e = p_.entry(i);
    const State s = e.load();
    if (actor_ != kNone && s.has(State::kCancelled) && !claim({i, s.generation()})) continue;
    const std::size_t to = groups_.size() > 1 && e.number < groups_.size() ? e.number : 0;
    others = others || to != group;
    // One that is tried again goes before those that were called after it: they may wait for what it gives.
    std::deque<Call>& calls = groups_[to];
    const std::uint64_t sequence = actor_ == kNone ? 0 : e.part.call_sequence;
    auto at = calls.end();
    while (at != calls.begin() && sequence < std::prev(at)->sequence) --at;
    calls.insert(at, {{i, s.generation()}, e.part.submitter, sequence});
  }
  return others;
}

// Claims it, or ends it if it was cancelled while it waited.
bool WorkerLoop::claim(Ref ref) {
  if (!p_.claim(ref.index, ref.generation)) return false;
  if (!p_.entry(ref.index).load().has(State::kCancelled)) return true;
  client_.cancel_claimed(ref.index);
  return false;
}

// First what only we can run, as its CPUs wait with it; then whether we are to end or to give our CPU away, between two
// tasks; then the queue. `directed_` is set before the claim, so that a cancelled task's CPUs are asked for again.
WorkerLoop::Next WorkerLoop::poll_worker(std::uint32_t& index) {
  Control& control = p_.control();
  if (control.stopping.load(std::memory_order_relaxed) != 0) return Next::kExit;
  take(p_.id(), 0);
  std::deque<Call>& calls = groups_.front();
  while (!calls.empty()) {
    Ref ref = calls.front().ref;
    calls.pop_front();
    directed_ = true;  // from here on finished() rings the scheduler
    if (!claim(ref)) {
      finished();
      continue;
    }
    p_.stop_searching();
    if (give_token_back() && !p_.queue_empty()) p_.wake_idle();
    index = ref.index;
    return Next::kTask;
  }
  if (p_.slot().asked_to_exit.load(std::memory_order_relaxed) != 0) return Next::kExit;
  if ((control.wanted.load(std::memory_order_relaxed) & Control::kCpuWanted) != 0 && give_token_back())
    return Next::kIdle;
  while (worker_.token != kNone || !p_.queue_empty()) {
    if (worker_.token == kNone && (worker_.token = p_.acquire_token(p_.id())) == kNone) return Next::kIdle;
    index = p_.dequeue();
    if (index == kNone) break;
    directed_ = false;
    p_.stop_searching();
    if (!p_.entry(index).load().has(State::kCancelled)) return Next::kTask;
    client_.cancel_claimed(index);
  }
  return Next::kIdle;
}

// Calls of one caller begin in the order of their submission; of an actor that runs one at a time, one whose arguments
// are not there holds up its caller's later calls, and nobody else's.
bool WorkerLoop::next_call(std::deque<Call>& calls, std::uint32_t& index) {
  std::vector<std::uint16_t> held_up;
  for (auto call = calls.begin(); call != calls.end();) {
    if (in_order_ && std::find(held_up.begin(), held_up.end(), call->submitter) != held_up.end()) {
      ++call;
      continue;
    }
    bool ready = true;
    const Blob& args = p_.entry(call->ref.index).args;
    if (args.deps != 0 && args.where != kNowhere) {
      std::span<const Ref> refs = p_.args_refs(call->ref.index);
      for (std::uint16_t i = 0; i < args.deps; ++i) ready = !p_.set_waiter(refs[i]) && ready;
    }
    if (!ready) {
      if (in_order_) held_up.push_back(call->submitter);
      ++call;
      continue;
    }
    Ref ref = call->ref;
    call = calls.erase(call);
    if (!claim(ref)) continue;
    index = ref.index;
    return true;
  }
  return false;
}

// Those that were cancelled while they wait for room, or for their arguments.
void WorkerLoop::drop_cancelled() {
  for (std::deque<Call>& calls : groups_)
    std::erase_if(calls, [&](const Call& call) {
      return p_.entry(call.ref.index).load().has(State::kCancelled) && !claim(call.ref);
    });
}

// index null: only what else there is to do. Other threads are rung outside of the lock, and only for what they may have
// missed: calls of their group that we took from the inbox, or more of ours.
WorkerLoop::Next WorkerLoop::poll_actor(std::uint32_t* index, std::size_t group) {
  Next next = Next::kIdle;
  bool ring = false;
  {
    base::MutexLock guard(mutex_);
    if (p_.control().stopping.load(std::memory_order_relaxed) != 0 || leaving()) return Next::kExit;
    ActorSlot& actor = p_.control().actor[actor_];
    std::uint32_t terminate = actor.terminate.load();  // before the inbox: who sees 1 finds all that was called before
    if (index != nullptr || groups_.size() > 1 || terminate == 1)
      ring = take(Process::kActorList + actor_, group) && groups_.size() > 1;
    base::Atomic<std::uint32_t>& asked = p_.slot().asked_to_exit;
    if (asked.load(std::memory_order_relaxed) != 0) {
      asked.store(0);
      cancellations_.fetch_add(1);
      take(Process::kActorList + actor_, group);
      drop_cancelled();
      ring = groups_.size() > 1 || concurrency_ == Concurrency::kThreads;
    }
    // After the inbox: a call that its caller has made after kill() finds it here, and does not run.
    const bool killed = actor.terminate.load() >= 2;
    if (index != nullptr && !killed && next_call(groups_[group], *index)) {
      next = Next::kTask;
      if (concurrency_ != Concurrency::kNone) running_.fetch_add(1);
      ring = ring || (concurrency_ == Concurrency::kThreads && !groups_[group].empty());
    } else if (terminate == 1 && running_.load() == 0 && p_.list_empty(Process::kActorList + actor_) &&
               std::all_of(groups_.begin(), groups_.end(), [](const auto& calls) { return calls.empty(); })) {
      return Next::kExit;
    }
  }
  if (ring) p_.ring(p_.id());
  return next;
}

bool WorkerLoop::no_calls() {
  return p_.control().stopping.load() == 0 && p_.list_empty(Process::kActorList + actor_);
}

// The bell is read before the look at what there is: what is rung for after that ends the sleep at once.
WorkerLoop::Next WorkerLoop::wait(std::uint32_t& index, std::int64_t timeout_ns, std::size_t group) {
  std::int64_t deadline = timeout_ns < 0 ? -1 : Client::now_ns() + timeout_ns;
  for (;;) {
    std::uint32_t seen = p_.bell();
    Next next = poll(index, group);
    if (next != Next::kIdle) {
      p_.note_awake();
      return next;
    }
    if (!directed_only_ && spin(seen)) continue;

    int error = directed_only_    ? sleep_directed(seen, deadline)
                : actor_ == kNone ? sleep_idle(seen, index, deadline, next)
                                  : sleep_actor(seen, deadline);
    if (next != Next::kIdle) {
      p_.note_awake();
      return next;
    }
    const bool interrupted = error == EINTR, late = error == ETIMEDOUT && deadline >= 0;
    if (!interrupted && !late) continue;
    if (actor_ == kNone && !directed_only_) p_.stop_searching();
    return interrupted ? Next::kInterrupted : Next::kIdle;
  }
}

// The next task often comes at once, so a few look out for it. True: something has come, perhaps.
bool WorkerLoop::spin(std::uint32_t seen) {
  const bool worker = actor_ == kNone;
  // A task that is queued and that we could not take: we have no token, and wait for one asleep.
  if (worker && (!p_.queue_empty() || !p_.start_spinning())) return false;
  std::int64_t until = Client::now_ns() + spin_budget_ns(p_, p_.slot(kDriverProc).cpu.load(std::memory_order_relaxed));
  bool come = false;
  do {
    for (int i = 0; i < kLooksPerSpin && !come; ++i) {
      base::cpu_pause();
      come = p_.rung_since(seen) || (worker && !p_.queue_empty());
    }
  } while (!come && Client::now_ns() < until);
  if (worker) p_.stop_spinning();
  return come;
}

int WorkerLoop::sleep_actor(std::uint32_t seen, std::int64_t deadline) {
  std::int64_t left = time_left(deadline);
  if (left == 0) return ETIMEDOUT;
  return no_calls() ? p_.sleep(seen, left) : 0;
}

// The order is what excludes a lost task: first the token goes back (somebody else may run what is queued), then we are
// idle instead of searching, then we look at the queue once more, then we sleep. Whoever queued before that look is
// seen by it; whoever queues after it sees that we are idle and nobody searches. The same for who gives back a token.
int WorkerLoop::sleep_idle(std::uint32_t seen, std::uint32_t& index, std::int64_t deadline, Next& next) {
  give_token_back();
  p_.slot().idle_since_ns.store(static_cast<std::uint64_t>(Client::now_ns()));
  p_.become_idle();
  if (p_.control().wanted.load() != 0) p_.ring(kSchedulerProc);
  // A token that we took for a task which was gone may have kept another from it: back with it, and look again.
  do next = p_.queue_empty() ? Next::kIdle : poll(index);
  while (next == Next::kIdle && give_token_back());
  int error = 0;
  if (next == Next::kIdle) {
    std::int64_t left = time_left(deadline);
    error = left == 0 ? ETIMEDOUT : p_.sleep(seen, left);
  }
  p_.leave_idle();
  if (base::Atomic<std::uint32_t>& asleep = p_.control().memory_asleep; asleep.load() != 0 && asleep.exchange(0) != 0)
    p_.ring(kSchedulerProc);
  if (next != Next::kIdle) {
    p_.stop_searching();  // somebody may have woken us while we looked idle,
    p_.wake_next();       // or have queued more than we took while we searched
  }
  return error;
}

bool WorkerLoop::give_token_back() {
  if (worker_.token == kNone) return false;
  p_.release_token(worker_.token, p_.id());
  worker_.token = kNone;
  // The scheduler says what it lacks, then looks at the tokens once more; we give ours back, then look at what it
  // lacks.
  if (p_.control().wanted.load() != 0) p_.ring(kSchedulerProc);
  return true;
}

int WorkerLoop::wait_for_bell(std::uint32_t seen, std::int64_t timeout_ns) {
  const std::int64_t deadline = timeout_ns < 0 ? -1 : Client::now_ns() + timeout_ns;
  if (p_.rung_since(seen) || spin(seen)) return 0;
  const std::int64_t left = time_left(deadline);
  return left == 0 ? ETIMEDOUT : p_.sleep(seen, left);
}

void WorkerLoop::leave() {
  leaving_.store(1);
  p_.ring_surely(p_.id());
}

// The last call of an actor that is to end lets the others see that none runs any more.
void WorkerLoop::finished() {
  if (concurrency_ != Concurrency::kNone && running_.fetch_sub(1) == 1 &&
      p_.control().actor[actor_].terminate.load() == 1)
    p_.ring(p_.id());
  if (!directed_) return;
  directed_ = false;
  p_.ring(kSchedulerProc);
}

}  // namespace daybreak::runtime
