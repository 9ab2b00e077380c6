#pragma once

#include "daybreak/runtime/process.h"

namespace daybreak::runtime {

// Holds a RobustLock of shared memory for a scope, so that no way out of it, a throw included, leaves the lock held.
class RobustGuard {
 public:
  RobustGuard(Process& process, RobustLock& lock) : process_(process), lock_(lock) { process_.lock(lock_); }
  ~RobustGuard() { process_.unlock(lock_); }
  RobustGuard(const RobustGuard&) = delete;
  RobustGuard& operator=(const RobustGuard&) = delete;

 private:
  Process& process_;
  RobustLock& lock_;
};

}  // namespace daybreak::runtime
