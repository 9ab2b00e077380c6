// The Parzen estimator's loops at the plain level.
#include "daybreak/tune/parzen_impl.h"
#include "daybreak/tune/parzen_kernels.h"

namespace daybreak::tune::internal {
ParzenKernels scalar_parzen_kernels() {
  return kParzenKernels;
}
}  // namespace daybreak::tune::internal
