#include "daybreak/tune/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "daybreak/tune/keyed.h"

namespace daybreak::tune {
namespace {

const std::vector<Distribution> kForestSpace = {*Distribution::real(0, 1), *Distribution::real(-2, 2),
                                                *Distribution::categorical(3)};

std::vector<double> forest_points(std::size_t count) {
  std::vector<double> points;
  for (std::size_t k = 0; k < count; ++k) {
    Keyed random(1, k, "forest points");
    points.insert(points.end(), {random.uniform(), random.uniform(-2, 2), static_cast<double>(random.below(3))});
  }
  return points;
}

TEST(Forest, of_fanova_gives_the_shares_of_an_additive_function) {
  // Variances over the space: of 4x it is 16/12, of y 16/12 / 4, of the category's {0, 0, 1.5} it is 0.5.
  const std::vector<double> points = forest_points(1'500);
  std::vector<double> losses;
  for (std::size_t k = 0; k < points.size(); k += 3) {
    losses.push_back(4 * points[k] + points[k + 1] / 2 + (points[k + 2] == 2 ? 1.5 : 0));
  }
  const Forest forest = *Forest::fit(kForestSpace, points, losses, {.trees = 16});
  const double x = 16.0 / 12;
  const double y = 1.0 / 4 * 16 / 12;
  const double all = x + y + 0.5;
  const std::vector<double> shares = *forest.fanova();
  EXPECT_NEAR(shares[0], x / all, 0.04);
  EXPECT_NEAR(shares[1], y / all, 0.04);
  EXPECT_NEAR(shares[2], 0.5 / all, 0.04);
  const std::vector<double> decreases = forest.impurity_decrease();
  EXPECT_NEAR(decreases[0] + decreases[1] + decreases[2], 1, 1e-12);
  EXPECT_NEAR(decreases[0], x / all, 0.06);
  EXPECT_NEAR(forest.predicted(std::vector<double>{0.5, 0, 2}), 3.5, 0.15);
}

TEST(Forest, of_fanova_leaves_what_only_an_interaction_explains_to_nobody) {
  const std::vector<double> points = forest_points(2'000);
  std::vector<double> losses;
  for (std::size_t k = 0; k < points.size(); k += 3) {
    losses.push_back((points[k] > 0.5) == (points[k + 1] > 0) ? 1.0 : -1.0);  // each alone says nothing
  }
  const std::vector<double> shares = *Forest::fit(kForestSpace, points, losses, {.trees = 16})->fanova();
  EXPECT_LT(shares[0] + shares[1] + shares[2], 0.1);
}

TEST(Forest, that_cannot_be_grown_is_refused_by_name) {
  const std::vector<double> points = forest_points(3);
  const std::vector<double> same = {1, 1, 1};
  EXPECT_NE(Forest::fit(kForestSpace, points, same, {})->fanova().error().message().find("no tree has any variance"),
            std::string::npos);
  EXPECT_NE(Forest::fit(kForestSpace, points, same, {.trees = 0}).error().message().find("n_trees=0"),
            std::string::npos);
  const std::vector<double> broken = {1, NAN, 1};
  EXPECT_NE(Forest::fit(kForestSpace, points, broken, {}).error().message().find("a loss is nan"), std::string::npos);
  const std::vector<double> odd = {0.5, 0, 7};
  const std::vector<double> one = {1};
  EXPECT_NE(Forest::fit(kForestSpace, odd, one, {}).error().message().find("point 0 has 7"), std::string::npos);
}

TEST(PedAnova, ranks_what_the_best_trials_share_and_refuses_a_top_that_is_not_of_the_region) {
  Trials trials({Direction::kMinimize});
  const std::uint32_t x = trials.add_column("x");
  const std::uint32_t c = trials.add_column("c");
  std::vector<std::uint32_t> region;
  std::vector<std::uint32_t> top;
  for (std::uint32_t k = 0; k < 200; ++k) {
    Keyed random(2, k, "ped");
    const std::uint32_t trial = trials.add(State::kRunning);
    const double value = random.uniform();
    ASSERT_TRUE(trials.give(trial, x, value, *Distribution::real(0, 1)).has_value());
    ASSERT_TRUE(trials.give(trial, c, static_cast<double>(random.below(3)), *Distribution::categorical(3)).has_value());
    ASSERT_TRUE(trials.move(trial, State::kComplete, {&value, 1}).has_value());
    region.push_back(trial);
    if (value < 0.1) top.push_back(trial);
  }
  const std::vector<std::uint32_t> columns = {c, x};
  const std::vector<double> found = *ped_anova(trials, region, top, columns, true);
  EXPECT_GT(found[1], 10 * found[0]);
  EXPECT_FALSE(ped_anova(trials, top, region, columns, true).has_value());
  EXPECT_FALSE(ped_anova(trials, region, {}, columns, true).has_value());
}

}  // namespace
}  // namespace daybreak::tune
