#include "daybreak/serve/batching.h"

#include <algorithm>
#include <cmath>

namespace daybreak::serve {

namespace {
constexpr double kFade = 0.97;          // of a batch's weight when the next one comes: about 33 batches count
constexpr double kDeviationFade = 0.9;  // of how far batches lie above the line
}  // namespace

void BatchTimes::observe(std::uint32_t size, std::int64_t took_ns) {
  const double x = size, y = static_cast<double>(std::max<std::int64_t>(took_ns, 1));
  if (known()) {
    // A batch that waited for the processor counts, but not for ever.
    const double above = std::clamp(y - expected_ns(size), 0.0, 4 * expected_ns(size));
    deviation_ns_ = std::max(deviation_ns_ * kDeviationFade + above * (1 - kDeviationFade), above * 0.25);
  }
  weight_ = weight_ * kFade + 1;
  size_ = size_ * kFade + x;
  time_ = time_ * kFade + y;
  size_size_ = size_size_ * kFade + x * x;
  size_time_ = size_time_ * kFade + x * y;
  explored_ = std::max(explored_, size);
  fit();
}

void BatchTimes::fit() {
  const double mean_size = size_ / weight_, mean_time = time_ / weight_;
  const double variance = size_size_ / weight_ - mean_size * mean_size;
  if (variance > 1e-6 * (1 + mean_size * mean_size)) {
    each_ns_ = std::clamp((size_time_ / weight_ - mean_size * mean_time) / variance, 0.0, mean_time / mean_size);
  } else {
    // All of one size: the slope that was known, as far as it fits.
    each_ns_ = std::min(each_ns_, mean_time / mean_size);
  }
  fixed_ns_ = std::max(0.0, mean_time - each_ns_ * mean_size);
}

double BatchTimes::expected_ns(std::uint32_t size) const {
  return fixed_ns_ + each_ns_ * size;
}

std::uint32_t BatchTimes::largest_within(double budget_ns, std::uint32_t limit) const {
  limit = std::min(limit, std::max(kFirstLimit, explored_ * 2));
  if (!known() || bound_ns(limit) <= budget_ns) return std::max<std::uint32_t>(limit, 1);
  const double left = budget_ns - fixed_ns_ - 3 * deviation_ns_;
  if (each_ns_ <= 0 || left <= 0) return 1;
  return std::clamp<std::uint32_t>(static_cast<std::uint32_t>(std::min(left / each_ns_, 1e9)), 1, limit);
}

}  // namespace daybreak::serve
