// The Gaussian process's loops at the plain level, and the choice of one.
#include "daybreak/base/cpu.h"
#include "daybreak/tune/gp_impl.h"
#include "daybreak/tune/gp_kernels.h"

namespace daybreak::tune::internal {

GpKernels scalar_gp_kernels() {
  return kGpKernels;
}

GpKernels gp_kernels() {
  const base::CpuLevel level = base::cpu_level();
#if defined(__x86_64__)
  if (level >= base::CpuLevel::kAvx512) return avx512_gp_kernels();
  if (level >= base::CpuLevel::kAvx2) return avx2_gp_kernels();
#endif
  (void)level;
  return scalar_gp_kernels();
}

}  // namespace daybreak::tune::internal
