#include "daybreak/tune/samplers/exhaustive.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "daybreak/tune/samplers/qmc.h"

namespace daybreak::tune {
namespace {

const Distribution kTen = *Distribution::whole(0, 9);

base::Status take(Sampler& sampler, Trials& trials, std::uint32_t trial, const char* name, const Distribution& space) {
  const std::uint32_t column = trials.add_column(name);
  DAYBREAK_ASSIGN(const double value, sampler.sample_one(trials, trial, {.column = column, .distribution = space}));
  return trials.give(trial, column, value, space);
}

TEST(Grid, has_every_cell_once_and_those_that_failed_or_took_other_values_again) {
  const auto sampler = *grid_sampler(3, {{"a", {0, 1, 2}}, {"b", {5, 7}}});
  Trials trials({Direction::kMinimize});
  std::multiset<std::pair<double, double>> ran;
  for (int k = 0; k < 8; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    if (k == 2) {  // somebody's own values
      ASSERT_TRUE(trials.give(trial, trials.add_column("a"), 9, kTen).has_value());
    } else {
      ASSERT_TRUE(take(*sampler, trials, trial, "a", kTen).has_value());
    }
    ASSERT_TRUE(take(*sampler, trials, trial, "b", kTen).has_value());
    const double a = trials.parameter(trial, trials.column("a"));
    const double b = trials.parameter(trial, trials.column("b"));
    const double value = a + b;
    if (k == 4) {
      ASSERT_TRUE(trials.move(trial, State::kFailed).has_value());
    } else {
      ASSERT_TRUE(trials.move(trial, State::kComplete, {&value, 1}).has_value());
      if (k != 2) ran.emplace(a, b);
    }
  }
  EXPECT_EQ(ran.size(), 6U);
  EXPECT_EQ(std::set(ran.begin(), ran.end()).size(), 6U);
  const base::Status over = take(*sampler, trials, trials.add(State::kRunning), "a", kTen);
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code(), base::Code::kOutOfRange);
}

TEST(Grid, that_cannot_be_is_refused_by_name) {
  EXPECT_NE(grid_sampler(0, {{"lr", {}}}).error().message().find("axis 'lr' has no values"), std::string::npos);
  EXPECT_NE(grid_sampler(0, {}).error().message().find("without axes"), std::string::npos);
  const std::vector<double> many(5'000);
  EXPECT_NE(grid_sampler(0, {{"a", many}, {"b", many}}).error().message().find("16777216 cells"), std::string::npos);
  const auto sampler = *grid_sampler(0, {{"a", {11}}});
  Trials trials({Direction::kMinimize});
  const std::uint32_t trial = trials.add(State::kRunning);
  EXPECT_NE(take(*sampler, trials, trial, "a", kTen).error().message().find("a=11: not in"), std::string::npos);
  EXPECT_NE(take(*sampler, trials, trial, "z", kTen).error().message().find("'z' is no axis"), std::string::npos);
}

TEST(BruteForce, tries_every_combination_of_a_conditional_space_once) {
  const auto sampler = brute_force_sampler(4);
  Trials trials({Direction::kMinimize});
  std::set<std::vector<double>> seen;
  const Distribution pair = *Distribution::categorical(2);
  const Distribution three = *Distribution::real(0, 1, false, 0.5);
  EXPECT_FALSE(brute_force_exhausted(trials));
  for (int k = 0; k < 5; ++k) {  // c = 0 with three of x, c = 1 with two of y
    const std::uint32_t trial = trials.add(State::kRunning);
    ASSERT_TRUE(take(*sampler, trials, trial, "c", pair).has_value());
    const bool first = trials.given(trial)[0].value == 0;
    ASSERT_TRUE(take(*sampler, trials, trial, first ? "x" : "y", first ? three : pair).has_value());
    seen.insert({trials.given(trial)[0].value, trials.given(trial)[1].value});
    const double value = k;
    if (k % 2 == 0) {  // the others run still
      ASSERT_TRUE(trials.move(trial, State::kComplete, {&value, 1}).has_value());
    }
  }
  EXPECT_EQ(seen.size(), 5U);
  EXPECT_TRUE(brute_force_exhausted(trials));
  const std::uint32_t last = trials.add(State::kRunning);
  EXPECT_EQ(take(*sampler, trials, last, "c", pair).error().code(), base::Code::kOutOfRange);
  EXPECT_NE(take(*sampler, trials, last, "r", *Distribution::real(0, 1)).error().message().find("needs a step"),
            std::string::npos);
}

TEST(PartialFixed, holds_what_is_fixed_and_leaves_the_rest_to_the_other_sampler) {
  const auto sampler = partial_fixed_sampler(random_sampler({.seed = 1}), {{"a", 4}, {"b", 40}});
  Trials trials({Direction::kMinimize});
  const std::uint32_t trial = trials.add(State::kRunning);
  ASSERT_TRUE(take(*sampler, trials, trial, "a", kTen).has_value());
  EXPECT_EQ(trials.given(trial)[0].value, 4);
  ASSERT_TRUE(take(*sampler, trials, trial, "c", kTen).has_value());
  EXPECT_EQ(trials.given(trial)[1].value, drawn(1, trial, "c", kTen));
  EXPECT_NE(take(*sampler, trials, trial, "b", kTen).error().message().find("b is fixed at 40"), std::string::npos);
}

TEST(Qmc, has_one_point_in_each_cell_of_every_elementary_interval) {
  for (const bool scramble : {false, true}) {
    const QmcOptions options = {.seed = 7, .scramble = scramble};
    for (std::size_t d = 0; d < 40; ++d) {
      std::set<int> cells;
      for (std::uint32_t k = 0; k < 64; ++k) cells.insert(static_cast<int>((*qmc_point(options, k, 40))[d] * 64));
      EXPECT_EQ(cells.size(), 64U) << d;
    }
    std::set<std::pair<int, int>> squares;
    for (std::uint32_t k = 0; k < 64; ++k) {
      const std::vector<double> point = *qmc_point(options, k, 2);
      squares.emplace(static_cast<int>(point[0] * 8), static_cast<int>(point[1] * 8));
    }
    EXPECT_EQ(squares.size(), 64U);
    const QmcOptions halton = {.seed = 7, .sequence = QmcSequence::kHalton, .scramble = scramble};
    std::set<std::pair<int, int>> rectangles;
    for (std::uint32_t k = 0; k < 36; ++k) {
      const std::vector<double> point = *qmc_point(halton, k, 2);
      rectangles.emplace(static_cast<int>(point[0] * 4 + 1e-9), static_cast<int>(point[1] * 9 + 1e-9));
    }
    EXPECT_EQ(rectangles.size(), 36U);
  }
  EXPECT_NE(*qmc_point({.seed = 1, .scramble = true}, 5, 3), *qmc_point({.seed = 2, .scramble = true}, 5, 3));
  EXPECT_NE(qmc_point({}, 0, 257).error().message().find("257 parameters"), std::string::npos);
}

}  // namespace
}  // namespace daybreak::tune
