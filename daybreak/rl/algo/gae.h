// Advantages from rewards and values.
#pragma once

#include <cstdint>

namespace daybreak::rl {

// Generalised advantage estimation (Schulman et al. 2016), arrays [steps][envs]:
//   delta_t = r_t + gamma V_{t+1} (1 - done_t) - V_t,   A_t = delta_t + gamma lambda (1 - done_t) A_{t+1}
// `done` marks the last step of an episode for whatever reason. Termination is worth nothing more; a truncated step
// must already have gamma V(final observation) added to its reward. last_values [envs]: values after the last step.
// Returns are A + V. No allocation; O(steps * envs).
void estimate_advantages(std::int64_t steps, std::int64_t envs, const float* rewards, const float* values,
                         const std::uint8_t* done, const float* last_values, float gamma, float lambda,
                         float* advantages, float* returns);

}  // namespace daybreak::rl
