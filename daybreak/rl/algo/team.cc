#include "daybreak/rl/algo/team.h"

#include <unistd.h>

#include <thread>

namespace daybreak::rl {

namespace {

// About 30 microseconds awake: less than a sleep and a wake-up cost together.
constexpr int kSpins = 1000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

}  // namespace

struct Team::Shared {
  explicit Shared(int n) : size(static_cast<std::uint32_t>(n)) {}
  const std::uint32_t size;
  alignas(64) std::atomic<std::uint32_t> job_number{0};
  std::atomic<bool> stop{false};
  const std::function<void(int)>* job = nullptr;
  alignas(64) std::atomic<std::uint32_t> arrived{0};
  alignas(64) std::atomic<std::uint32_t> phase{0};

  void barrier() {
    const std::uint32_t before = phase.load(std::memory_order_acquire);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
      arrived.store(0, std::memory_order_relaxed);
      phase.store(before + 1, std::memory_order_release);
      phase.notify_all();
    } else {
      wait_while(phase, before);
    }
  }
};

Team::Team(int size) : size_(size) {}

Team::~Team() {
  if (!shared_ || owner_pid_ != getpid()) return;
  shared_->stop.store(true, std::memory_order_release);
  shared_->job_number.fetch_add(1, std::memory_order_acq_rel);
  shared_->job_number.notify_all();
}

void Team::start() {
  owner_pid_ = getpid();
  shared_ = std::make_shared<Shared>(size_);
  // Detached, holding what they touch: nobody need join them, neither here nor in a forked child that never had them.
  for (int member = 1; member < size_; ++member) std::thread(&Team::serve, shared_, member).detach();
}

void Team::serve(const std::shared_ptr<Shared>& shared, int member) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_while(shared->job_number, seen);
    seen = shared->job_number.load(std::memory_order_acquire);
    if (shared->stop.load(std::memory_order_acquire)) return;
    (*shared->job)(member);
    shared->barrier();
  }
}

void Team::run(const std::function<void(int)>& job) {
  if (size_ == 1) return job(0);
  if (!shared_ || owner_pid_ != getpid()) start();
  shared_->job = &job;
  shared_->job_number.fetch_add(1, std::memory_order_acq_rel);
  shared_->job_number.notify_all();
  job(0);
  shared_->barrier();
}

void Team::barrier() {
  if (size_ > 1) shared_->barrier();
}

}  // namespace daybreak::rl
