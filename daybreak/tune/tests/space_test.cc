#include "daybreak/tune/space.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace daybreak::tune {
namespace {

TEST(Domain, draws_within_its_bounds_and_knows_what_it_may_draw) {
  const Domain domains[] = {*Domain::uniform(-1, 1),       *Domain::uniform(0.1, 0.7, 0.1),
                            *Domain::loguniform(1e-6, 1),  *Domain::loguniform(0.5, 8, 0.5),
                            *Domain::randn(3, 2, 0.25),    *Domain::randint(-3, 4),
                            *Domain::randint(-6, 9, 3),    *Domain::lograndint(1, 1'000'000),
                            *Domain::lograndint(4, 64, 4), *Domain::option(7)};
  for (const Domain& domain : domains) {
    for (std::uint64_t trial = 0; trial < 500; ++trial) {
      Keyed random(1, trial, "x");
      const double value = domain.draw(random);
      EXPECT_TRUE(domain.contains(value)) << value;
      EXPECT_EQ(domain.nearest(value), value);
    }
  }
}

TEST(Domain, puts_back_what_has_left_it) {
  EXPECT_EQ(Domain::uniform(0, 1)->nearest(1.2), 1);
  EXPECT_EQ(Domain::uniform(0, 1)->nearest(std::nan("")), 0);
  EXPECT_EQ(Domain::randint(1, 5)->nearest(9.7), 4);
  EXPECT_EQ(Domain::randint(4, 12, 4)->nearest(9.7), 8);
  EXPECT_NEAR(Domain::uniform(0, 1, 0.25)->nearest(0.6), 0.5, 1e-12);
}

TEST(Domain, refuses_what_cannot_be) {
  EXPECT_FALSE(Domain::uniform(1, 0));
  EXPECT_FALSE(Domain::uniform(0, INFINITY));
  EXPECT_FALSE(Domain::uniform(0, 1, -0.5));
  EXPECT_FALSE(Domain::loguniform(0, 1));
  EXPECT_FALSE(Domain::randint(3, 3));
  EXPECT_FALSE(Domain::randint(3, 8, 2));
  EXPECT_FALSE(Domain::option(0));
  EXPECT_FALSE(Domain::randn(0, -1));
}

TEST(SearchSpace, has_each_cell_once_a_sample_and_draws_what_belongs_to_the_trial) {
  const SearchSpace space = *SearchSpace::make({{.path = "b", .domain = *Domain::option(3), .grid = true},
                                                {.path = "a", .domain = *Domain::option(2), .grid = true},
                                                {.path = "x", .domain = *Domain::uniform(0, 1)}},
                                               7);
  EXPECT_EQ(space.cells(), 6U);
  EXPECT_EQ(space.size(4), 24U);
  std::set<std::vector<double>> cells;
  std::set<double> draws;
  for (std::uint64_t trial = 0; trial < 6; ++trial) {
    const std::vector<double> values = space.variant(trial);
    cells.insert({values[0], values[1]});
    draws.insert(values[2]);
    EXPECT_EQ(values[1], static_cast<double>(trial % 2)) << "'a' is the first by its path, and varies fastest";
    EXPECT_EQ(values, space.variant(trial));
  }
  EXPECT_EQ(cells.size(), 6U);
  EXPECT_EQ(draws.size(), 6U);
}

TEST(SearchSpace, counts_the_cells_of_points_that_fix_some_axes) {
  const SearchSpace space = *SearchSpace::make({{.path = "a", .domain = *Domain::option(2), .grid = true},
                                                {.path = "b", .domain = *Domain::option(3), .grid = true}},
                                               0, false, {{true, true}, {false, true}});
  EXPECT_EQ(space.size(3), 1 + 2 + 6U);
  EXPECT_TRUE(std::isnan(space.variant(0)[0]));
  EXPECT_EQ(space.sample_of(2), 1U);
  EXPECT_EQ(space.sample_of(3), 2U);
  EXPECT_TRUE(std::isnan(space.variant(2)[1]));
}

TEST(SearchSpace, refuses_two_axes_of_one_path_and_too_many_cells) {
  const Axis a{.path = "a", .domain = *Domain::uniform(0, 1)};
  EXPECT_FALSE(SearchSpace::make({a, a}, 0));
  EXPECT_FALSE(SearchSpace::make({{.path = "a", .domain = *Domain::uniform(0, 1), .grid = true}}, 0));
  std::vector<Axis> many;
  for (int i = 0; i < 3; ++i) {
    many.push_back({.path = std::to_string(i), .domain = *Domain::option(1u << 20), .grid = true});
  }
  EXPECT_FALSE(SearchSpace::make(many, 0));
}

}  // namespace
}  // namespace daybreak::tune
