#include "daybreak/rl/algo/gae.h"

namespace daybreak::rl {

void estimate_advantages(std::int64_t steps, std::int64_t envs, const float* rewards, const float* values,
                         const std::uint8_t* done, const float* last_values, float gamma, float lambda,
                         float* advantages, float* returns) {
  for (std::int64_t t = steps; t-- > 0;) {
    const float* next_values = t + 1 < steps ? values + (t + 1) * envs : last_values;
    const float* next_advantages = t + 1 < steps ? advantages + (t + 1) * envs : nullptr;
    for (std::int64_t n = 0; n < envs; ++n) {
      const std::int64_t at = t * envs + n;
      const float go_on = done[at] != 0 ? 0.0F : 1.0F;
      const float delta = rewards[at] + gamma * next_values[n] * go_on - values[at];
      const float later = next_advantages != nullptr ? next_advantages[n] : 0.0F;
      advantages[at] = delta + gamma * lambda * go_on * later;
      returns[at] = advantages[at] + values[at];
    }
  }
}

}  // namespace daybreak::rl
