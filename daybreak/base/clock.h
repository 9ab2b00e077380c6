// The time of deadlines, where the time itself is asked for more often than anything else.
#pragma once

#include <cstdint>

namespace daybreak::base {

class Env;

// env.monotonic_ns(); of the real Env up to 4 ms ago, at a fifth of the price.
std::int64_t coarse_monotonic_ns(Env& env);

}  // namespace daybreak::base
