#include "daybreak/track/log/keeper.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <thread>

namespace daybreak::track {

namespace {

constexpr std::int64_t kTickNs = 1'000'000'000;
constexpr int kNiceness = 10;

bool wants_ticks(const Writer* writer) {
  return writer->options().keeper;
}

}  // namespace

struct Keeper::State {
  base::Mutex list;
  base::CondVar ticked;
  std::vector<Writer*> writers DAYBREAK_GUARDED_BY(list);
  Writer* ticking DAYBREAK_GUARDED_BY(list) = nullptr;

  base::Mutex sleep;
  base::CondVar woken;
  bool awake DAYBREAK_GUARDED_BY(sleep) = false;
  bool has_thread DAYBREAK_GUARDED_BY(sleep) = false;
};

Keeper::Keeper() : state_(new State) {}

Keeper& Keeper::of_process() {
  static Keeper* const keeper = [] {
    auto* made = new Keeper;
    ::pthread_atfork(&Keeper::before_fork, &Keeper::after_fork_in_parent, &Keeper::after_fork_in_child);
    return made;
  }();
  return *keeper;
}

void Keeper::add(Writer* writer) {
  base::MutexLock lock(state_->list);
  state_->writers.push_back(writer);
  if (wants_ticks(writer)) ensure_thread();
}

void Keeper::ensure_thread() {
  base::MutexLock lock(state_->sleep);
  if (state_->has_thread) return;
  state_->has_thread = true;
  std::thread([this] { run(); }).detach();
}

void Keeper::remove(Writer* writer) {
  {
    base::MutexLock lock(state_->list);
    std::erase(state_->writers, writer);
    while (state_->ticking == writer) state_->ticked.wait(state_->list);
    if (std::any_of(state_->writers.begin(), state_->writers.end(), wants_ticks)) return;
  }
  wake();  // the thread ends when this was the last
}

void Keeper::wake() {
  base::MutexLock lock(state_->sleep);
  state_->awake = true;
  state_->woken.notify_all();
}

void Keeper::run() {
  ::pthread_setname_np(::pthread_self(), "daybreak-track");
  // Of this thread alone, on Linux: what runs here can wait, training cannot.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNiceness);
  for (;;) {
    {
      base::MutexLock lock(state_->sleep);
      if (!state_->awake) state_->woken.wait_for(state_->sleep, kTickNs);
      state_->awake = false;
    }
    base::MutexLock lock(state_->list);
    const std::vector<Writer*> round = state_->writers;
    for (Writer* writer : round) {
      if (std::find(state_->writers.begin(), state_->writers.end(), writer) == state_->writers.end()) continue;
      if (!wants_ticks(writer)) continue;
      state_->ticking = writer;
      state_->list.unlock();
      writer->tick();
      state_->list.lock();
      state_->ticking = nullptr;
      state_->ticked.notify_all();
    }
    if (std::any_of(state_->writers.begin(), state_->writers.end(), wants_ticks)) continue;
    base::MutexLock asleep(state_->sleep);
    state_->has_thread = false;
    return;
  }
}

// A fork happens between the three: what the first locks the others unlock, which no analysis can follow.
void Keeper::before_fork() DAYBREAK_THREAD_ANNOTATION(no_thread_safety_analysis) {
  State* state = of_process().state_;
  state->list.lock();
  for (Writer* writer : state->writers) writer->before_fork();
  state->sleep.lock();
}

void Keeper::after_fork_in_parent() DAYBREAK_THREAD_ANNOTATION(no_thread_safety_analysis) {
  State* state = of_process().state_;
  state->sleep.unlock();
  for (Writer* writer : state->writers) writer->after_fork_in_parent();
  state->list.unlock();
}

void Keeper::after_fork_in_child() DAYBREAK_THREAD_ANNOTATION(no_thread_safety_analysis) {
  State* state = of_process().state_;
  for (Writer* writer : state->writers) writer->after_fork_in_child();
  state->ticking = nullptr;
  state->has_thread = false;
  state->awake = false;
  new (&state->ticked) base::CondVar;  // those who wait there are threads of the parent
  new (&state->woken) base::CondVar;
  state->sleep.unlock();
  state->list.unlock();
}

}  // namespace daybreak::track
