// A lock for a few dozen instructions between the threads of one process. It never guards shared memory against other
// processes: a killed holder takes its whole process with it.
#pragma once

#include <sched.h>

#include <atomic>

namespace daybreak::runtime {

inline void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class SpinLock {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire)) {
      for (int i = 0; held_.load(std::memory_order_relaxed); ++i) {
        if (i < 64)
          cpu_pause();
        else
          sched_yield();  // the holder was preempted: let it run
      }
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

}  // namespace daybreak::runtime
