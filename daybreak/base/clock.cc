#include "daybreak/base/clock.h"

#include <ctime>

#include "daybreak/base/env.h"

namespace daybreak::base {

std::int64_t coarse_monotonic_ns(Env& env) {
  if (&env != &Env::real()) return env.monotonic_ns();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  // the kernel's last tick: no counter is read
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace daybreak::base
