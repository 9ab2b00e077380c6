#include "daybreak/runtime/worker_loop.h"

#include <algorithm>
#include <cerrno>

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kFewCores = 3;

}  // namespace

WorkerLoop::WorkerLoop(Client& client, std::uint32_t actor) : client_(client), p_(client.process()), actor_(actor) {
  if (actor_ == UINT32_MAX) client_.set_worker(&worker_);
}

WorkerLoop::Next WorkerLoop::poll(std::uint32_t& index) {
  return actor_ == UINT32_MAX ? poll_worker(index) : poll_actor(index);
}

void WorkerLoop::take(std::uint32_t list) {
  if (p_.list_empty(list)) return;
  taken_.clear();
  p_.take_all(list, taken_, true);
  // After a restart calls come back all at once and perhaps mixed with newer ones.
  auto by_sequence = [&](std::uint32_t a, std::uint32_t b) { return p_.entry(a).part.gpus < p_.entry(b).part.gpus; };
  if (actor_ != UINT32_MAX && !std::is_sorted(taken_.begin(), taken_.end(), by_sequence))
    std::stable_sort(taken_.begin(), taken_.end(), by_sequence);
  for (std::uint32_t i : taken_) calls_.push_back({{i, p_.entry(i).load().generation()}, p_.entry(i).part.submitter});
}

// Claims it, or ends it if it was cancelled while it waited.
bool WorkerLoop::claim(Ref ref) {
  if (!p_.claim(ref.index, ref.generation)) return false;
  if (!p_.entry(ref.index).load().has(State::kCancelled)) return true;
  client_.cancel_claimed(ref.index);
  return false;
}

WorkerLoop::Next WorkerLoop::poll_worker(std::uint32_t& index) {
  Control& control = p_.control();
  if (control.stopping.load(std::memory_order_relaxed) != 0) return Next::kExit;
  take(p_.id());
  while (!calls_.empty()) {
    Ref ref = calls_.front().ref;
    calls_.pop_front();
    directed_ = true;  // from here on finished() rings the scheduler: the CPUs of a cancelled one come back as well
    if (!claim(ref)) {
      finished(ref.index);
      continue;
    }
    if (worker_.token != UINT32_MAX) {
      p_.release_token(worker_.token, p_.id());
      worker_.token = UINT32_MAX;
      if (!p_.queue_empty()) p_.wake_idle();
    }
    index = ref.index;
    return Next::kTask;
  }
  if (p_.slot().asked_to_exit.load(std::memory_order_relaxed) != 0) return Next::kExit;
  if (control.tokens_wanted.load(std::memory_order_relaxed) != 0 && worker_.token != UINT32_MAX) {
    p_.release_token(worker_.token, p_.id());
    worker_.token = UINT32_MAX;
    p_.ring(kSchedulerProc);
    return Next::kIdle;
  }
  while (!p_.queue_empty()) {
    if (worker_.token == UINT32_MAX && (worker_.token = p_.acquire_token(p_.id())) == UINT32_MAX) return Next::kIdle;
    index = p_.dequeue();
    if (index == UINT32_MAX) break;
    directed_ = false;
    if (!p_.entry(index).load().has(State::kCancelled)) return Next::kTask;
    client_.cancel_claimed(index);
  }
  return Next::kIdle;
}

// Calls of one caller run in the order of their submission; one whose arguments are not ready holds up its caller's
// later calls, and nobody else's.
WorkerLoop::Next WorkerLoop::poll_actor(std::uint32_t& index) {
  std::lock_guard guard(mutex_);
  if (p_.control().stopping.load(std::memory_order_relaxed) != 0) return Next::kExit;
  ActorSlot& actor = p_.control().actor[actor_];
  std::uint32_t terminate = actor.terminate.load();
  take(Process::kActorList + actor_);
  std::vector<std::uint16_t> held_up;
  for (auto call = calls_.begin(); call != calls_.end();) {
    if (std::find(held_up.begin(), held_up.end(), call->submitter) != held_up.end()) {
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
      held_up.push_back(call->submitter);
      ++call;
      continue;
    }
    Ref ref = call->ref;
    call = calls_.erase(call);
    if (!claim(ref)) continue;
    index = ref.index;
    if (!calls_.empty() && actor.concurrency > 1) p_.ring(p_.id());  // another thread of ours may take the next
    return Next::kTask;
  }
  if (terminate == 1 && calls_.empty() && p_.list_empty(Process::kActorList + actor_)) return Next::kExit;
  return Next::kIdle;
}

bool WorkerLoop::nothing_to_do() {
  if (p_.control().stopping.load() != 0) return false;
  if (actor_ != UINT32_MAX)
    return p_.list_empty(Process::kActorList + actor_) && p_.control().actor[actor_].terminate.load() != 1;
  return p_.list_empty(p_.id()) && p_.slot().asked_to_exit.load() == 0 && p_.queue_empty();
}

// Of the workers of a machine with few cores one spins: the others would take the core from whoever has work for them.
bool WorkerLoop::take_turn_to_spin() {
  Control& control = p_.control();
  if (actor_ != UINT32_MAX || control.cores > kFewCores) return true;
  std::uint32_t holder = control.spinner.load(std::memory_order_relaxed);
  if (holder != 0 && holder != p_.id() + 1 && p_.slot(holder - 1).status.load() == ProcStatus::kAlive) return false;
  return control.spinner.compare_exchange_strong(holder, p_.id() + 1);
}

void WorkerLoop::leave_turn_to_spin() {
  if (actor_ != UINT32_MAX || p_.control().cores > kFewCores) return;
  std::uint32_t holder = p_.id() + 1;
  p_.control().spinner.compare_exchange_strong(holder, 0);
}

WorkerLoop::Next WorkerLoop::wait(std::uint32_t& index, std::int64_t timeout_ns) {
  std::int64_t deadline = timeout_ns < 0 ? -1 : Client::now_ns() + timeout_ns;
  for (;;) {
    std::uint32_t seen = p_.bell();
    Next next = poll(index);
    if (next != Next::kIdle) return next;

    // The next task often comes at once.
    std::int64_t until =
        Client::now_ns() + spin_budget_ns(p_, p_.slot(kDriverProc).cpu.load(std::memory_order_relaxed));
    const bool turn = take_turn_to_spin();
    if (!turn) until = 0;
    bool rung = false;
    do {
      for (int i = 0; i < 32 && !rung; ++i) {
        cpu_pause();
        rung = p_.rung_since(seen) || (actor_ == UINT32_MAX && !p_.queue_empty());
      }
    } while (!rung && Client::now_ns() < until);
    if (turn) leave_turn_to_spin();
    if (rung) {
      next = poll(index);
      if (next != Next::kIdle) return next;
      seen = p_.bell();
      next = poll(index);
      if (next != Next::kIdle) return next;
    }

    const std::uint32_t word = p_.id() / 64;
    const std::uint64_t bit = 1ull << (p_.id() % 64);
    if (actor_ == UINT32_MAX) {
      if (worker_.token != UINT32_MAX) {
        p_.release_token(worker_.token, p_.id());
        worker_.token = UINT32_MAX;
      }
      p_.slot().idle_since_ns.store(static_cast<std::uint64_t>(Client::now_ns()));
      p_.control().idle[word].fetch_or(bit);
      // Whoever queued before it saw our bit is seen by us here.
      if (!p_.queue_empty()) {
        next = poll(index);
        if (next != Next::kIdle) {
          p_.control().idle[word].fetch_and(~bit);
          return next;
        }
      }
    }
    std::int64_t left = deadline < 0 ? -1 : deadline - Client::now_ns();
    int error = 0;
    if (deadline < 0 || left > 0) {
      if (actor_ == UINT32_MAX || nothing_to_do()) error = p_.sleep(seen, left);
    } else {
      error = ETIMEDOUT;
    }
    if (actor_ == UINT32_MAX) p_.control().idle[word].fetch_and(~bit);
    if (error == EINTR) return Next::kInterrupted;
    if (error == ETIMEDOUT && deadline >= 0) return Next::kIdle;
  }
}

void WorkerLoop::finished(std::uint32_t index) {
  if (!directed_) return;
  directed_ = false;
  p_.ring(kSchedulerProc);
}

}  // namespace daybreak::runtime
