#include "daybreak/rl/nn/filter.h"

#include <algorithm>
#include <cmath>

namespace daybreak::rl::nn {

void RunningStats::clear() {
  count = 0;
  std::fill(mean.begin(), mean.end(), 0.0);
  std::fill(m2.begin(), m2.end(), 0.0);
}

void RunningStats::add(const float* row) {
  count += 1;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double x = static_cast<double>(row[i]);
    const double delta = x - mean[i];
    mean[i] += delta / count;
    m2[i] += delta * (x - mean[i]);
  }
}

void RunningStats::add(double x) {
  count += 1;
  const double delta = x - mean[0];
  mean[0] += delta / count;
  m2[0] += delta * (x - mean[0]);
}

void RunningStats::merge(const RunningStats& other) {
  if (other.count == 0) return;
  const double total = count + other.count;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double delta = other.mean[i] - mean[i];
    m2[i] += other.m2[i] + delta * delta * (count * other.count / total);
    mean[i] += delta * (other.count / total);
  }
  count = total;
}

Filter::Filter(int size, bool on, float limit_)
    : enabled(on),
      limit(limit_),
      mean(static_cast<std::size_t>(size), 0.0F),
      inverse_std(static_cast<std::size_t>(size), 1.0F) {}

void Filter::assign(const RunningStats& stats) {
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double variance = stats.count < 2 ? 1.0 : stats.m2[i] / stats.count + 1e-8;
    mean[i] = stats.count < 2 ? 0.0F : static_cast<float>(stats.mean[i]);
    inverse_std[i] = static_cast<float>(1.0 / std::sqrt(variance));
  }
}

void Filter::apply(const float* in, float* out) const {
  const std::size_t n = mean.size();
  if (!enabled) {
    std::copy_n(in, n, out);
    return;
  }
  for (std::size_t i = 0; i < n; ++i) out[i] = std::clamp((in[i] - mean[i]) * inverse_std[i], -limit, limit);
}

}  // namespace daybreak::rl::nn
