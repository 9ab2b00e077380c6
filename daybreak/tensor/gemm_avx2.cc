// The product for AVX2 + FMA.
#include "daybreak/tensor/gemm.h"

#if defined(__x86_64__)
#include "daybreak/tensor/gemm_impl.h"

namespace daybreak::tensor::internal {
GemmKernel avx2_gemm() {
  return gemm_kernel_of_level;
}
}  // namespace daybreak::tensor::internal

#else
namespace daybreak::tensor::internal {
GemmKernel avx2_gemm() {
  return nullptr;
}
}  // namespace daybreak::tensor::internal
#endif
