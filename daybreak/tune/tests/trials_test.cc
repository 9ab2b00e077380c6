#include "daybreak/tune/trials.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "daybreak/tune/keyed.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {
namespace {

TEST(Trials, keep_what_they_are_told_and_a_finished_one_does_not_change) {
  Trials trials({Direction::kMinimize});
  const std::uint32_t trial = trials.add(State::kWaiting);
  const std::uint32_t lr = trials.add_column("lr");
  EXPECT_EQ(trials.add_column("lr"), lr);
  EXPECT_EQ(trials.column("lr"), lr);
  EXPECT_EQ(trials.column("l"), Trials::kNoColumn);
  ASSERT_TRUE(trials.move(trial, State::kRunning).has_value());
  ASSERT_TRUE(trials.give(trial, lr, 0.5, *Distribution::real(0, 1)).has_value());
  EXPECT_TRUE(trials.give(trial, lr, 0.5, *Distribution::real(0, 1)).has_value());
  EXPECT_FALSE(trials.give(trial, lr, 0.6, *Distribution::real(0, 1)).has_value());
  EXPECT_FALSE(trials.give(trial, trials.add_column("n"), 7, *Distribution::whole(1, 5)).has_value());
  for (const std::int64_t step : {5, 1, 3, 1})
    ASSERT_TRUE(trials.report(trial, step, static_cast<double>(10 * step)).has_value());
  EXPECT_TRUE(std::ranges::is_sorted(trials.reports(trial), {}, &Report::step));
  EXPECT_EQ(trials.reports(trial).size(), 3U);
  EXPECT_TRUE(trials.values(trial).empty());
  const std::array<double, 1> value = {4};
  ASSERT_TRUE(trials.move(trial, State::kComplete, value).has_value());
  EXPECT_EQ(trials.values(trial)[0], 4);
  EXPECT_EQ(trials.finished_in_order()[0], trial);
  EXPECT_FALSE(trials.report(trial, 9, 1).has_value());
  EXPECT_FALSE(trials.set_note(trial, "x").has_value());
  EXPECT_FALSE(trials.move(trial, State::kRunning).has_value());
  EXPECT_EQ(trials.parameter(trial, lr), 0.5);
  EXPECT_TRUE(std::isnan(trials.parameter(trial, trials.column("n"))));
}

TEST(Trials, refuse_values_that_are_none_or_too_many_and_stay_as_they_were) {
  Trials trials({Direction::kMinimize, Direction::kMaximize});
  const std::uint32_t trial = trials.add(State::kRunning);
  EXPECT_FALSE(trials.move(trial, State::kComplete).has_value());
  EXPECT_FALSE(trials.move(trial, State::kComplete, std::array{1.0}).has_value());
  EXPECT_FALSE(trials.move(trial, State::kComplete, std::array{1.0, std::nan("")}).has_value());
  EXPECT_FALSE(trials.move(trial + 1, State::kFailed).has_value());
  EXPECT_EQ(trials.state(trial), State::kRunning);
  EXPECT_TRUE(trials.move(trial, State::kFailed).has_value());
  EXPECT_TRUE(trials.values(trial).empty());
}

TEST(Drawn, is_a_function_of_seed_trial_and_name_and_fits_the_distribution) {
  const Distribution real = *Distribution::real(1e-5, 1, true);
  EXPECT_EQ(drawn(1, 2, "lr", real), drawn(1, 2, "lr", real));
  EXPECT_NE(drawn(1, 2, "lr", real), drawn(1, 3, "lr", real));
  EXPECT_NE(drawn(1, 2, "lr", real), drawn(2, 2, "lr", real));
  EXPECT_NE(drawn(1, 2, "lr", real), drawn(1, 2, "mr", real));
  double below = 0;
  std::array<int, 5> counts{};
  for (std::size_t trial = 0; trial < 10'000; ++trial) {
    const double value = drawn(7, trial, "lr", real);
    ASSERT_TRUE(real.contains(value));
    below += std::log10(value) < -2.5 ? 1 : 0;
    counts.at(static_cast<std::size_t>(drawn(7, trial, "c", *Distribution::categorical(5)))) += 1;
  }
  EXPECT_NEAR(below / 10'000, 0.5, 0.02);
  for (const int count : counts) EXPECT_NEAR(count, 2'000, 180);
}

TEST(Drawn, reaches_both_ends_of_steps_as_often_as_what_lies_between) {
  const Distribution steps = *Distribution::real(0, 0.3, false, 0.1);
  std::set<double> seen;
  for (std::size_t trial = 0; trial < 200; ++trial) seen.insert(drawn(3, trial, "x", steps));
  EXPECT_EQ(seen.size(), 4U);
  EXPECT_EQ(*seen.rbegin(), steps.high());
  int ends = 0;
  for (std::size_t trial = 0; trial < 6'000; ++trial)
    ends += drawn(3, trial, "n", *Distribution::whole(1, 3, true)) == 1 ? 1 : 0;
  // log: the share of [0.5, 1.5) in [log 0.5, log 3.5).
  EXPECT_NEAR(ends / 6'000.0, std::log(3.0) / std::log(7.0), 0.03);
}

}  // namespace
}  // namespace daybreak::tune
