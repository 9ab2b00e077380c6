// A series drawn with few points.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace daybreak::track {

// A point of a sorted series.
struct Sample {
  std::int64_t step = 0;
  std::int64_t time_ns = 0;
  double value = 0;
  bool operator==(const Sample&) const = default;
};

// At most `points` (3 or more) of the samples, the first and the last among them, chosen so that a line through them
// looks like a line through all: largest triangle three buckets (Steinarsson, 2013). Samples that are not finite cannot
// be drawn and are left out. All finite samples when there are no more than `points`. O(samples).
std::vector<Sample> downsample(std::span<const Sample> samples, std::size_t points);

}  // namespace daybreak::track
