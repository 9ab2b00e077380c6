// The kernels for AVX-512.
#include "daybreak/rl/nn/kernels.h"

#if defined(__x86_64__)
#define DAYBREAK_KERNELS_NAME "avx512"
#include "daybreak/rl/nn/kernels_impl.h"

namespace daybreak::rl::nn::internal {
const Kernels* avx512_kernels() {
  static const Kernels table = make_table();
  return &table;
}
}  // namespace daybreak::rl::nn::internal

#else
namespace daybreak::rl::nn::internal {
const Kernels* avx512_kernels() {
  return nullptr;
}
}  // namespace daybreak::rl::nn::internal
#endif
