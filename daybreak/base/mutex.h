// Mutex, MutexLock and CondVar that clang's -Wthread-safety understands: say which lock guards a member, and a
// forgotten lock does not compile.
//
//   class Counts {
//     void add(int n) { MutexLock lock(mutex_); total_ += n; }
//     Mutex mutex_;
//     int total_ DAYBREAK_GUARDED_BY(mutex_) = 0;
//   };
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(DAYBREAK_INTERLEAVE)
#include "daybreak/base/atomic.h"
#endif

#if defined(__clang__)
#define DAYBREAK_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define DAYBREAK_THREAD_ANNOTATION(x)
#endif

#define DAYBREAK_CAPABILITY(name) DAYBREAK_THREAD_ANNOTATION(capability(name))
#define DAYBREAK_SCOPED_CAPABILITY DAYBREAK_THREAD_ANNOTATION(scoped_lockable)
// On a member: read and written only with the mutex held.
#define DAYBREAK_GUARDED_BY(mutex) DAYBREAK_THREAD_ANNOTATION(guarded_by(mutex))
// On a pointer member: what it points to is guarded, the pointer is not.
#define DAYBREAK_PT_GUARDED_BY(mutex) DAYBREAK_THREAD_ANNOTATION(pt_guarded_by(mutex))
// On a function: the caller holds the mutex.
#define DAYBREAK_REQUIRES(...) DAYBREAK_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
// On a function: the caller does not hold the mutex (it is taken inside).
#define DAYBREAK_EXCLUDES(...) DAYBREAK_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define DAYBREAK_ACQUIRE(...) DAYBREAK_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define DAYBREAK_RELEASE(...) DAYBREAK_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define DAYBREAK_TRY_ACQUIRE(...) DAYBREAK_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))

namespace daybreak::base {
#if defined(DAYBREAK_INTERLEAVE)
inline namespace interleaved {  // other code in the same program has the real ones
// A lock whose every step is the engine's.
class StdMutex {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire)) cpu_pause();
  }
  void unlock() { held_.store(false, std::memory_order_release); }
  bool try_lock() { return !held_.exchange(true, std::memory_order_acquire); }

 private:
  Atomic<bool> held_{false};
};
using StdCondition = std::condition_variable_any;
#else
using StdMutex = std::mutex;
using StdCondition = std::condition_variable;
#endif

// Not recursive, of one process.
class DAYBREAK_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() DAYBREAK_ACQUIRE() { mutex_.lock(); }
  void unlock() DAYBREAK_RELEASE() { mutex_.unlock(); }
  bool try_lock() DAYBREAK_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class CondVar;
  StdMutex mutex_;
};

class DAYBREAK_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) DAYBREAK_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() DAYBREAK_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits with a Mutex that the caller holds. Wake-ups may be spurious: wait in a loop over the condition.
class CondVar {
 public:
  void wait(Mutex& mutex) DAYBREAK_REQUIRES(mutex) {
    std::unique_lock<StdMutex> held(mutex.mutex_, std::adopt_lock);
    condition_.wait(held);
    held.release();
  }

  // False when the time was up.
  bool wait_for(Mutex& mutex, std::int64_t timeout_ns) DAYBREAK_REQUIRES(mutex) {
    std::unique_lock<StdMutex> held(mutex.mutex_, std::adopt_lock);
    const auto status = condition_.wait_for(held, std::chrono::nanoseconds(timeout_ns));
    held.release();
    return status == std::cv_status::no_timeout;
  }

  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  StdCondition condition_;
};

#if defined(DAYBREAK_INTERLEAVE)
}  // namespace interleaved
#endif

}  // namespace daybreak::base
