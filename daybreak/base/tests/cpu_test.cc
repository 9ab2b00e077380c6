#include "daybreak/base/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace daybreak::base {
namespace {

TEST(CpuLevel, is_lowered_by_name_and_never_raised) {
  using enum CpuLevel;
  for (const CpuLevel best : {kScalar, kSse42, kAvx2, kAvx512}) {
    EXPECT_EQ(lowered_cpu_level(best, nullptr), best);
    EXPECT_EQ(lowered_cpu_level(best, ""), best);
    EXPECT_EQ(lowered_cpu_level(best, "scalar"), kScalar);
    EXPECT_EQ(lowered_cpu_level(best, "avx512"), best);
    for (const CpuLevel limit : {kScalar, kSse42, kAvx2, kAvx512}) {
      EXPECT_EQ(lowered_cpu_level(best, std::string(cpu_level_name(limit)).c_str()), std::min(best, limit));
    }
  }
}

TEST(CpuLevel, a_name_that_is_none_lowers_nothing) {
  EXPECT_EQ(lowered_cpu_level(CpuLevel::kAvx2, "AVX"), CpuLevel::kAvx2);
  EXPECT_FALSE(cpu_level_of("AVX"));
  EXPECT_EQ(cpu_level_of("sse42"), CpuLevel::kSse42);
}

TEST(CpuLevel, in_use_is_one_that_the_processor_has) {
  EXPECT_LE(cpu_level(), best_cpu_level());
}

}  // namespace
}  // namespace daybreak::base
