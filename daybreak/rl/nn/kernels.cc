#include "daybreak/rl/nn/kernels.h"

#include <cstdlib>
#include <string_view>

namespace daybreak::rl::nn {

const Kernels* kernels_for(Level level) {
  switch (level) {
    case Level::kScalar: return internal::scalar_kernels();
#if defined(__x86_64__)
    case Level::kAvx2:
      if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return internal::avx2_kernels();
      return nullptr;
    case Level::kAvx512:
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
        return internal::avx512_kernels();
      }
      return nullptr;
#else
    default: return nullptr;
#endif
  }
  return nullptr;
}

namespace {
const Kernels* choose() {
  const char* text = std::getenv("DAYBREAK_SIMD");
  const std::string_view limit = text == nullptr ? "avx512" : text;
  const Kernels* best = nullptr;
  if (limit != "scalar" && limit != "avx2") best = kernels_for(Level::kAvx512);
  if (best == nullptr && limit != "scalar") best = kernels_for(Level::kAvx2);
  return best != nullptr ? best : kernels_for(Level::kScalar);
}
}  // namespace

const Kernels& kernels() {
  static const Kernels* chosen = choose();
  return *chosen;
}

}  // namespace daybreak::rl::nn
