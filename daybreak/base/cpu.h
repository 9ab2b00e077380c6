// What instructions the code may use: those of this processor, lowered by the environment variable DAYBREAK_SIMD
// (scalar, sse42, avx2, avx512), which all of Daybreak's dispatchers obey.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace daybreak::base {

// Each has what those below it have.
enum class CpuLevel : std::uint8_t {
  kScalar,
  kSse42,   // with the CRC-32C instruction
  kAvx2,    // with fused multiply-add
  kAvx512,  // F, DQ, VL and BW
};

std::string_view cpu_level_name(CpuLevel level);
std::optional<CpuLevel> cpu_level_of(std::string_view name);

// The best that this processor has.
CpuLevel best_cpu_level();
// What `limit` (as in DAYBREAK_SIMD; null: none) leaves of `best`. A name that is none lowers nothing, and is told to
// the log.
CpuLevel lowered_cpu_level(CpuLevel best, const char* limit);
// The level to use. Read once: who dispatches often keeps what it chose in a static.
CpuLevel cpu_level();

}  // namespace daybreak::base
