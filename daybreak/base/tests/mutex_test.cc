#include "daybreak/base/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace daybreak::base {
namespace {

class Box {
 public:
  void put(int value) DAYBREAK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    values_.push_back(value);
    filled_.notify_one();
  }

  int take() DAYBREAK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (values_.empty()) filled_.wait(mutex_);
    const int value = values_.back();
    values_.pop_back();
    return value;
  }

  bool stays_empty_for(std::int64_t timeout_ns) DAYBREAK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (values_.empty()) {
      if (!filled_.wait_for(mutex_, timeout_ns)) return values_.empty();
    }
    return false;
  }

 private:
  Mutex mutex_;
  CondVar filled_;
  std::vector<int> values_ DAYBREAK_GUARDED_BY(mutex_);
};

TEST(Mutex, what_one_thread_puts_another_takes) {
  Box box;
  int sum = 0;
  std::thread taker([&box, &sum] {
    for (int i = 0; i < 1000; ++i) sum += box.take();
  });
  for (int i = 0; i < 1000; ++i) box.put(i);
  taker.join();
  EXPECT_EQ(sum, 499500);
}

TEST(Mutex, waiting_ends_at_its_timeout) {
  Box box;
  EXPECT_TRUE(box.stays_empty_for(1'000'000));
  box.put(1);
  EXPECT_FALSE(box.stays_empty_for(1'000'000));
}

TEST(Mutex, try_lock_fails_while_another_holds_it) {
  Mutex mutex;
  mutex.lock();
  bool got = false;
  std::thread([&mutex, &got] {
    if (!mutex.try_lock()) return;
    got = true;
    mutex.unlock();
  }).join();
  EXPECT_FALSE(got);
  mutex.unlock();
}

}  // namespace
}  // namespace daybreak::base
