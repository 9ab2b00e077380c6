#include "daybreak/rl/envs/cartpole_kernel.h"

namespace daybreak::rl::cartpole {

std::int64_t step_scalar(const Rows& rows, const std::int32_t* actions, std::int64_t n, const Rules& rules,
                         const Outputs& out) {
  std::int64_t ended = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (step_row(rows, i, actions[i], rules, out)) out.ended[ended++] = static_cast<std::int32_t>(i);
  }
  return ended;
}

StepFunction* step_function(base::CpuLevel level) {
#if defined(__x86_64__)
  if (level >= base::CpuLevel::kAvx2) return step_avx2;
#endif
  return step_scalar;
}

}  // namespace daybreak::rl::cartpole
