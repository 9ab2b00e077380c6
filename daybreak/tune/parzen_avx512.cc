// The Parzen estimator's loops for AVX-512.
#include "daybreak/tune/parzen_kernels.h"

#if defined(__x86_64__)
#include "daybreak/tune/parzen_impl.h"

namespace daybreak::tune::internal {
ParzenKernels avx512_parzen_kernels() {
  return kParzenKernels;
}
}  // namespace daybreak::tune::internal

#else
namespace daybreak::tune::internal {
ParzenKernels avx512_parzen_kernels() {
  return {};
}
}  // namespace daybreak::tune::internal
#endif
