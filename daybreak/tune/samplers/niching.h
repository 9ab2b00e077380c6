// What NSGA-III (Deb and Jain 2014) chooses of a front that does not fit: points along lines that are spread over all directions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/keyed.h"

namespace daybreak::tune {

inline constexpr std::size_t kMaxReferencePoints = std::size_t{1} << 20;

// Das and Dennis (1998): all points of the simplex whose coordinates are multiples of 1 / divisions, row by row. kInvalidArgument for more
// than kMaxReferencePoints.
base::Result<std::vector<double>> simplex_points(std::size_t objectives, std::size_t divisions);

// `count` of the rows of `losses` from `chosen` on, those before having been chosen already: rows by ascending niche count, the nearest to
// its line first. Infinite losses count as the worst or best finite one. O(rows * references * objectives).
std::vector<std::uint32_t> niched(std::span<const double> losses, std::size_t objectives, std::size_t chosen,
                                  std::size_t count, std::span<const double> references, Keyed& random);

// The losses translated by their least and scaled by the intercepts of the plane through their extreme points (where there is no such
// plane, by their largest), row by row.
std::vector<double> scaled_by_intercepts(std::span<const double> losses, std::size_t objectives);

}  // namespace daybreak::tune
