// The Gaussian process's loops for AVX-512.
#include "daybreak/tune/gp_kernels.h"

#if defined(__x86_64__)
#include "daybreak/tune/gp_impl.h"

namespace daybreak::tune::internal {
GpKernels avx512_gp_kernels() {
  return kGpKernels;
}
}  // namespace daybreak::tune::internal

#else
namespace daybreak::tune::internal {
GpKernels avx512_gp_kernels() {
  return {};
}
}  // namespace daybreak::tune::internal
#endif
