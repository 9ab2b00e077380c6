#include "daybreak/rl/nn/kernels.h"

namespace daybreak::rl::nn {

using base::CpuLevel;

const Kernels* kernels_for(CpuLevel level) {
  if (level > base::best_cpu_level()) return nullptr;
#if defined(__x86_64__)
  if (level >= CpuLevel::kAvx512) return internal::avx512_kernels();
  if (level >= CpuLevel::kAvx2) return internal::avx2_kernels();
#endif
  return internal::scalar_kernels();
}

const Kernels& kernels() {
  static const Kernels& chosen = *kernels_for(base::cpu_level());
  return chosen;
}

}  // namespace daybreak::rl::nn
