// A lock for a few dozen instructions between the threads of one process. It never guards shared memory against other
// processes: a killed holder takes its whole process with it.
#pragma once

#include "daybreak/base/atomic.h"

namespace daybreak::runtime {

class SpinLock {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire)) {
      for (int i = 0; held_.load(std::memory_order_relaxed); ++i) {
        if (i < 64)
          base::cpu_pause();
        else
          base::yield_cpu();  // the holder was preempted: let it run
      }
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  base::Atomic<bool> held_{false};
};

}  // namespace daybreak::runtime
