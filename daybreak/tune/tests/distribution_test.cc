#include "daybreak/tune/distribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace daybreak::tune {
namespace {

TEST(Distribution, of_steps_ends_at_the_last_whole_step) {
  EXPECT_EQ(Distribution::real(0, 1, false, 0.3)->high(), 0.3 * 3);
  EXPECT_EQ(Distribution::real(0, 0.3, false, 0.1)->count(), 4U);  // 0.3 / 0.1 is 2.9999999999999996
  EXPECT_EQ(Distribution::whole(1, 10, false, 4)->high(), 9);
  EXPECT_EQ(Distribution::whole(1, 10, false, 4)->count(), 3U);
  EXPECT_EQ(Distribution::real(0, 1)->count(), 0U);
  EXPECT_EQ(Distribution::real(2, 2)->count(), 1U);
}

TEST(Distribution, contains_its_steps_and_bounds_and_nothing_else) {
  const Distribution steps = *Distribution::real(0.1, 0.7, false, 0.2);
  for (const double value : {0.1, 0.3, 0.1 + 0.2 + 0.2, 0.7}) EXPECT_TRUE(steps.contains(value)) << value;
  for (const double value : {0.2, 0.0, 0.8, std::nan("")}) EXPECT_FALSE(steps.contains(value)) << value;
  EXPECT_TRUE(Distribution::real(1e-5, 1)->contains(1e-5));
  EXPECT_FALSE(Distribution::categorical(3)->contains(3));
}

TEST(Distribution, nearest_is_always_contained) {
  for (const Distribution& d :
       {*Distribution::real(-1, 1), *Distribution::real(0, 1, false, 0.15), *Distribution::real(1e-8, 1e8, true),
        *Distribution::whole(1, 1000, true), *Distribution::whole(-7, 9, false, 3), *Distribution::categorical(5)}) {
    for (double value = -20; value < 2000; value = value < 20 ? value + 0.37 : value * 1.3) {
      EXPECT_TRUE(d.contains(d.nearest(value))) << d.to_string() << " " << value;
      const auto [low, high] = d.inner_bounds();
      EXPECT_TRUE(d.contains(d.from_inner(low + (high - low) * std::fmod(std::abs(value), 1.0)))) << d.to_string();
    }
    EXPECT_TRUE(d.contains(d.nearest(std::numeric_limits<double>::infinity())));
    EXPECT_TRUE(d.contains(d.nearest(std::nan(""))));
  }
}

TEST(Distribution, that_cannot_be_is_refused_with_the_values) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double huge = std::numeric_limits<double>::max();
  const auto message = [](const base::Result<Distribution>& made) {
    return made.has_value() ? "made" : made.error().message();
  };
  EXPECT_EQ(message(Distribution::real(2, 1)), "low=2 is above high=1: swap them");
  EXPECT_NE(message(Distribution::real(0, infinity)).find("inf"), std::string::npos);
  EXPECT_NE(message(Distribution::real(std::nan(""), 1)).find("nan"), std::string::npos);
  EXPECT_NE(message(Distribution::real(-huge, huge)).find("finite"), std::string::npos);
  EXPECT_NE(message(Distribution::real(0, 1, true)).find("low=0 with log"), std::string::npos);
  EXPECT_NE(message(Distribution::real(1, 2, true, 0.5)).find("step=0.5 with log"), std::string::npos);
  EXPECT_NE(message(Distribution::real(1, 2, false, -1)).find("step=-1"), std::string::npos);
  EXPECT_NE(message(Distribution::whole(0, 5, true)).find("low=0 with log"), std::string::npos);
  EXPECT_NE(message(Distribution::whole(1, 5, false, 0)).find("step=0"), std::string::npos);
  EXPECT_NE(message(Distribution::whole(1, 5, true, 2)).find("step=2 with log"), std::string::npos);
  EXPECT_NE(message(Distribution::whole(0, kMaxWhole + 1)).find("9007199254740993"), std::string::npos);
  EXPECT_NE(message(Distribution::categorical(0)).find("no options"), std::string::npos);
  EXPECT_NE(message(Distribution::categorical(kMaxOptions + 1)).find("1048577 options"), std::string::npos);
}

TEST(Distribution, may_change_its_range_in_a_study_but_not_its_kind_log_or_options) {
  const Distribution real = *Distribution::real(1, 2);
  EXPECT_TRUE(real.compatible(*Distribution::real(0, 9)));
  EXPECT_TRUE(real.compatible(*Distribution::real(1, 2, false, 0.5)));
  EXPECT_FALSE(real.compatible(*Distribution::real(1, 2, true)));
  EXPECT_FALSE(real.compatible(*Distribution::whole(1, 2)));
  EXPECT_FALSE(Distribution::categorical(2)->compatible(*Distribution::categorical(3)));
}

}  // namespace
}  // namespace daybreak::tune
