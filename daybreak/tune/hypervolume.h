// Of several objectives: fronts, crowding and the volume that points dominate. Losses are row by row, `objectives` a row, none NaN;
// less is better.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::tune {

// Each point's front: 0 where no other dominates it, and so on without those before. Equal points have equal ranks. Where the first
// `enough` points are ranked, the rest gets one rank that is larger than theirs. O(n log n) a front of two objectives, else O(n^2).
std::vector<std::uint32_t> nondomination_ranks(std::span<const double> losses, std::size_t objectives,
                                               std::size_t enough);

// The volume between the reference and the points, exact: a sweep for two objectives, O(n^2) for three, WFG (While et al. 2012) for
// more. Infinite where the reference is. kInvalidArgument for a point that is beyond the reference.
base::Result<double> hypervolume(std::span<const double> losses, std::span<const double> reference);

// `count` indices whose hypervolume is large: greedily the point that adds most. Equal points come last.
std::vector<std::uint32_t> hypervolume_subset(std::span<const double> losses, std::size_t objectives, std::size_t count,
                                              std::span<const double> reference);

// The `count` best: whole fronts, and of the one that does not fit the subset of the largest hypervolume, whose reference is a tenth
// worse than its worst.
std::vector<std::uint32_t> best_of_fronts(std::span<const double> losses, std::size_t objectives, std::size_t count);

// NSGA-II's: the sum over objectives of the gap between the neighbours over the range; infinite at the ends.
std::vector<double> crowding_distances(std::span<const double> losses, std::size_t objectives);

}  // namespace daybreak::tune
