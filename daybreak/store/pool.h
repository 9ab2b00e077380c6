// A few helper threads that sleep when there is nothing to do.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "daybreak/base/mutex.h"

namespace daybreak::store {

// Runs loops side by side on the caller and its helpers. One loop at a time; a second caller waits.
class StorePool {
 public:
  // `helpers` threads, started at the first loop that has more than one step.
  explicit StorePool(std::size_t helpers) : wanted_(helpers) {}
  ~StorePool();
  StorePool(const StorePool&) = delete;
  StorePool& operator=(const StorePool&) = delete;

  // step(0) ... step(count - 1), each once, taken in this order; returns when all are done. `step` must not throw.
  void for_each(std::size_t count, const std::function<void(std::size_t)>& step);

 private:
  void help();
  void work(const std::function<void(std::size_t)>& step, std::size_t count);

  const std::size_t wanted_;
  base::Mutex one_loop_;
  base::Mutex mutex_;
  base::CondVar changed_, done_;
  std::vector<std::thread> helpers_;
  const std::function<void(std::size_t)>* step_ DAYBREAK_GUARDED_BY(mutex_) = nullptr;
  std::size_t count_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::size_t loop_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // number of the loop, so that a helper joins each once
  std::size_t busy_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  bool stop_ DAYBREAK_GUARDED_BY(mutex_) = false;
  std::atomic<std::size_t> next_{0};
};

}  // namespace daybreak::store
