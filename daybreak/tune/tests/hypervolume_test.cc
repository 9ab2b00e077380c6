#include "daybreak/tune/hypervolume.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "daybreak/tune/keyed.h"

namespace daybreak::tune {
namespace {

std::vector<double> random_points(std::size_t count, std::size_t objectives, std::uint64_t seed) {
  Keyed random(seed, 0, "points");
  std::vector<double> points;
  // Of a coarse grid, so that there are equal coordinates and points.
  for (std::size_t k = 0; k < count * objectives; ++k) points.push_back(static_cast<double>(random.below(7)));
  return points;
}

bool dominates(const double* a, const double* b, std::size_t objectives) {
  bool better = false;
  for (std::size_t d = 0; d < objectives; ++d) {
    if (a[d] > b[d]) return false;
    better = better || a[d] < b[d];
  }
  return better;
}

TEST(Hypervolume, is_the_number_of_unit_cells_that_some_point_dominates) {
  for (std::size_t objectives = 1; objectives <= 5; ++objectives) {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      const std::vector<double> points = random_points(9, objectives, seed);
      const std::vector<double> reference(objectives, 7);
      std::size_t cells = 1;
      for (std::size_t d = 0; d < objectives; ++d) cells *= 7;
      double expected = 0;
      for (std::size_t cell = 0; cell < cells; ++cell) {
        bool inside = false;
        for (std::size_t k = 0; k < 9 && !inside; ++k) {
          std::size_t left = cell;
          inside = true;
          for (std::size_t d = 0; d < objectives; ++d, left /= 7) {
            inside = inside && points[k * objectives + d] <= static_cast<double>(left % 7);
          }
        }
        expected += inside ? 1 : 0;
      }
      EXPECT_DOUBLE_EQ(*hypervolume(points, reference), expected) << objectives << " objectives, seed " << seed;
    }
  }
}

TEST(Hypervolume, refuses_a_point_beyond_the_reference_and_is_infinite_with_it) {
  const base::Result<double> beyond = hypervolume(std::vector<double>{1, 2, 3, 1}, std::vector<double>{2, 2});
  ASSERT_FALSE(beyond.has_value());
  EXPECT_NE(beyond.error().message().find("point 1 has 3 where the reference has 2"), std::string::npos);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(*hypervolume(std::vector<double>{1, 2}, std::vector<double>{2, infinity}), infinity);
}

TEST(Ranks, are_how_many_fronts_must_go_before_none_dominates) {
  for (std::size_t objectives = 1; objectives <= 4; ++objectives) {
    const std::vector<double> points = random_points(40, objectives, objectives);
    const std::vector<std::uint32_t> ranks = nondomination_ranks(points, objectives, 40);
    for (std::size_t k = 0; k < 40; ++k) {
      std::uint32_t expected = 0;  // one more than the largest rank of what dominates it
      for (std::size_t j = 0; j < 40; ++j) {
        if (dominates(&points[j * objectives], &points[k * objectives], objectives)) {
          expected = std::max(expected, ranks[j] + 1);
        }
      }
      EXPECT_EQ(ranks[k], expected) << objectives;
    }
  }
}

TEST(Subset, adds_greedily_what_adds_most) {
  for (std::size_t objectives = 2; objectives <= 4; ++objectives) {
    std::vector<double> points;
    Keyed random(1, objectives, "sphere");
    for (int k = 0; k < 15; ++k) {
      std::vector<double> point;
      double square = 0;
      for (std::size_t d = 0; d < objectives; ++d) {
        point.push_back(std::abs(random.normal()));
        square += point.back() * point.back();
      }
      for (const double x : point) points.push_back(1 - x / std::sqrt(square));
    }
    const std::vector<double> reference(objectives, 1.1);
    std::vector<double> chosen;
    for (const std::uint32_t next : hypervolume_subset(points, objectives, 6, reference)) {
      const auto with = [&](std::size_t k) {
        std::vector<double> more = chosen;
        more.insert(more.end(), points.begin() + static_cast<std::ptrdiff_t>(k * objectives),
                    points.begin() + static_cast<std::ptrdiff_t>((k + 1) * objectives));
        return *hypervolume(more, reference);
      };
      for (std::size_t k = 0; k < 15; ++k) EXPECT_LE(with(k), with(next) + 1e-12);
      chosen.insert(chosen.end(), points.begin() + next * static_cast<std::ptrdiff_t>(objectives),
                    points.begin() + (next + 1) * static_cast<std::ptrdiff_t>(objectives));
    }
    EXPECT_EQ(chosen.size(), 6 * objectives);
  }
}

TEST(Crowding, is_the_gap_between_neighbours_over_the_range) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(crowding_distances(std::vector<double>{0, 4, 1, 2, 4, 0}, 2), (std::vector<double>{infinity, 2, infinity}));
  EXPECT_EQ(crowding_distances(std::vector<double>{3, 3}, 1), (std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace daybreak::tune
