// The plain level of the kernels.
#include "daybreak/rl/nn/kernels.h"

#define DAYBREAK_KERNELS_NAME "scalar"
#include "daybreak/rl/nn/kernels_impl.h"

namespace daybreak::rl::nn::internal {
const Kernels* scalar_kernels() {
  static const Kernels table = make_table();
  return &table;
}
}  // namespace daybreak::rl::nn::internal
