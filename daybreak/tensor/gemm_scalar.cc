// The plain level of the product.
#include "daybreak/tensor/gemm.h"
#include "daybreak/tensor/gemm_impl.h"
namespace daybreak::tensor::internal {
GemmKernel scalar_gemm() {
  return gemm_kernel_of_level;
}
}  // namespace daybreak::tensor::internal
