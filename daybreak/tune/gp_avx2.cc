// The Gaussian process's loops for AVX2 + FMA.
#include "daybreak/tune/gp_kernels.h"

#if defined(__x86_64__)
#include "daybreak/tune/gp_impl.h"

namespace daybreak::tune::internal {
GpKernels avx2_gp_kernels() {
  return kGpKernels;
}
}  // namespace daybreak::tune::internal

#else
namespace daybreak::tune::internal {
GpKernels avx2_gp_kernels() {
  return {};
}
}  // namespace daybreak::tune::internal
#endif
