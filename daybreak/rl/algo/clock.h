// How long parts of an iteration take.
#pragma once

#include <chrono>

namespace daybreak::rl {

inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace daybreak::rl
