#include "daybreak/track/log/preview.h"

#include <algorithm>
#include <cmath>

namespace daybreak::track {

std::vector<Sample> downsample(std::span<const Sample> samples, std::size_t points) {
  std::vector<Sample> finite;
  std::copy_if(samples.begin(), samples.end(), std::back_inserter(finite),
               [](const Sample& s) { return std::isfinite(s.value); });
  points = std::max<std::size_t>(points, 3);
  if (finite.size() <= points) return finite;
  std::vector<Sample> chosen = {finite.front()};
  const double width = static_cast<double>(finite.size() - 2) / static_cast<double>(points - 2);
  const auto bucket_begin = [&](std::size_t bucket) {
    return 1 + std::min(finite.size() - 2, static_cast<std::size_t>(width * static_cast<double>(bucket)));
  };
  for (std::size_t bucket = 0; bucket + 2 < points; ++bucket) {
    const std::size_t begin = bucket_begin(bucket);
    const std::size_t end = std::max(begin + 1, bucket_begin(bucket + 1));
    const std::size_t next_end = bucket + 3 == points ? finite.size() : std::max(end + 1, bucket_begin(bucket + 2));
    double mean_x = 0, mean_y = 0;
    for (std::size_t i = end; i < next_end; ++i) {
      mean_x += static_cast<double>(finite[i].step);
      mean_y += finite[i].value;
    }
    mean_x /= static_cast<double>(next_end - end);
    mean_y /= static_cast<double>(next_end - end);
    const Sample& left = chosen.back();
    const auto left_x = static_cast<double>(left.step);
    double largest = -1;
    std::size_t best = begin;
    for (std::size_t i = begin; i < end; ++i) {
      const double area = std::abs((left_x - mean_x) * (finite[i].value - left.value) -
                                   (left_x - static_cast<double>(finite[i].step)) * (mean_y - left.value));
      if (area > largest) {
        largest = area;
        best = i;
      }
    }
    chosen.push_back(finite[best]);
  }
  chosen.push_back(finite.back());
  return chosen;
}

}  // namespace daybreak::track
