// How long parts of an iteration take.
#pragma once

#include "daybreak/base/env.h"

namespace daybreak::rl {

inline double steady_seconds() {
  return 1e-9 * static_cast<double>(base::Env::real().monotonic_ns());
}

}  // namespace daybreak::rl
