#include "daybreak/store/pool.h"

namespace daybreak::store {

StorePool::~StorePool() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  for (std::thread& helper : helpers_) helper.join();
}

void StorePool::work(const std::function<void(std::size_t)>& step, std::size_t count) {
  for (std::size_t i = next_.fetch_add(1); i < count; i = next_.fetch_add(1)) step(i);
}

void StorePool::help() {
  std::size_t seen = 0;
  mutex_.lock();
  while (true) {
    while (!stop_ && (loop_ == seen || step_ == nullptr)) changed_.wait(mutex_);
    if (stop_) break;
    seen = loop_;
    ++busy_;
    const auto* step = step_;
    const std::size_t count = count_;
    mutex_.unlock();
    work(*step, count);
    mutex_.lock();
    if (--busy_ == 0) done_.notify_all();
  }
  mutex_.unlock();
}

void StorePool::for_each(std::size_t count, const std::function<void(std::size_t)>& step) {
  if (count <= 1 || wanted_ == 0) {
    for (std::size_t i = 0; i < count; ++i) step(i);
    return;
  }
  base::MutexLock one(one_loop_);
  while (helpers_.size() < wanted_) helpers_.emplace_back(&StorePool::help, this);
  {
    base::MutexLock lock(mutex_);
    next_ = 0;
    step_ = &step;
    count_ = count;
    ++loop_;
    changed_.notify_all();
  }
  work(step, count);
  base::MutexLock lock(mutex_);
  step_ = nullptr;  // a helper that comes late finds nothing
  while (busy_ > 0) done_.wait(mutex_);
}

}  // namespace daybreak::store
