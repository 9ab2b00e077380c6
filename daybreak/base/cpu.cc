#include "daybreak/base/cpu.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "daybreak/base/log.h"

namespace daybreak::base {
namespace {

constexpr std::array<std::string_view, 4> kCpuLevelNames = {"scalar", "sse42", "avx2", "avx512"};

}  // namespace

std::string_view cpu_level_name(CpuLevel level) {
  return kCpuLevelNames.at(static_cast<std::size_t>(level));
}

std::optional<CpuLevel> cpu_level_of(std::string_view name) {
  const auto* const found = std::ranges::find(kCpuLevelNames, name);
  if (found == kCpuLevelNames.end()) return std::nullopt;
  return static_cast<CpuLevel>(found - kCpuLevelNames.begin());
}

CpuLevel best_cpu_level() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("sse4.2")) return CpuLevel::kScalar;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CpuLevel::kSse42;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw")) {
    return CpuLevel::kAvx2;
  }
  return CpuLevel::kAvx512;
#else
  return CpuLevel::kScalar;
#endif
}

CpuLevel lowered_cpu_level(CpuLevel best, const char* limit) {
  if (limit == nullptr || *limit == '\0') return best;
  if (const auto level = cpu_level_of(limit)) return std::min(best, *level);
  log_warn("DAYBREAK_SIMD names no level: scalar, sse42, avx2 or avx512", {{"value", limit}});
  return best;
}

CpuLevel cpu_level() {
  static const CpuLevel level = lowered_cpu_level(best_cpu_level(), std::getenv("DAYBREAK_SIMD"));
  return level;
}

}  // namespace daybreak::base
