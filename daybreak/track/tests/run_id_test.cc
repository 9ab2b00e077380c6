#include "daybreak/track/run_id.h"

#include <gtest/gtest.h>

#include "daybreak/base/test_env.h"

namespace daybreak::track {
namespace {

TEST(RunId, ascends_even_when_the_clock_goes_back) {
  base::TestEnv env;
  RunId last = RunId::make(env);
  for (int i = 0; i < 10000; ++i) {
    if (i % 100 == 0) env.jump_ns(-5'000'000);
    const RunId next = RunId::make(env);
    ASSERT_LT(last, next);
    last = next;
  }
}

TEST(RunId, text_goes_both_ways_and_other_text_is_refused) {
  const RunId id = RunId::make();
  const std::string text = id.to_string();
  EXPECT_EQ(RunId::parse(text), id);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string bad = text;
    bad[i] = bad[i] == '-' ? '0' : 'g';
    EXPECT_FALSE(RunId::parse(bad)) << bad;
  }
  EXPECT_FALSE(RunId::parse(text + "0"));
  EXPECT_FALSE(RunId::parse(""));
  std::string version4 = text;
  version4[14] = '4';
  EXPECT_FALSE(RunId::parse(version4));
}

}  // namespace
}  // namespace daybreak::track
