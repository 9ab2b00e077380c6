#include "daybreak/rl/nn/sde.h"

#include <algorithm>
#include <cmath>

namespace daybreak::rl::nn {

namespace {

constexpr float kHalfLog2Pi = 0.91893853320467274F;

}  // namespace

void sde_variance(int features, int actions, int n, const float* z, std::ptrdiff_t ldz, const float* log_std,
                  float* variance, std::ptrdiff_t ld) {
  for (int a = 0; a < actions; ++a) {
    float* row = variance + a * ld;
    std::fill_n(row, n, kSdeVariance);
    for (int k = 0; k < features; ++k) {
      const float squared = std::exp(2 * log_std[k * actions + a]);
      const float* feature = z + k * ldz;
      for (int b = 0; b < n; ++b) row[b] += squared * feature[b] * feature[b];
    }
  }
}

void sde_loss(const PolicyLoss& config, int n, int nb, float* mean, std::ptrdiff_t ld, const SdeFeatures& features,
              const float* log_std, const float* action, std::ptrdiff_t lda, const float* old_logp,
              const float* advantage, float* d_log_std, PolicySums* sums) {
  const auto size = static_cast<std::size_t>(config.actions) * static_cast<std::size_t>(nb);
  thread_local std::vector<float> variance;
  thread_local std::vector<float> d_variance;
  variance.resize(size);
  d_variance.resize(size);
  sde_variance(features.count, config.actions, n, features.z, features.ld, log_std, variance.data(), nb);
  for (int b = 0; b < n; ++b) {
    float logp = 0;
    float entropy = 0;
    for (int a = 0; a < config.actions; ++a) {
      const float s2 =
          variance[static_cast<std::size_t>(a) * static_cast<std::size_t>(nb) + static_cast<std::size_t>(b)];
      const float error = action[a * lda + b] - mean[a * ld + b];
      const float half_log = 0.5F * std::log(s2);
      logp -= 0.5F * error * error / s2 + half_log + kHalfLog2Pi;
      entropy += half_log + kHalfLog2Pi + 0.5F;
    }
    // The kernels' Surrogate, of one sample.
    const float log_ratio = std::min(logp - old_logp[b], 20.0F);
    const float ratio = std::exp(log_ratio);
    float value = -advantage[b] * logp;
    float slope = -advantage[b];
    if (!config.vanilla) {
      const float free = ratio * advantage[b];
      const float held = std::clamp(ratio, 1 - config.clip, 1 + config.clip) * advantage[b];
      value = -std::min(free, held);
      slope = free <= held ? -free : 0;
    }
    slope = (slope + config.kl_coef * (ratio - 1)) * config.scale;
    sums->loss += static_cast<double>(value);
    sums->entropy += static_cast<double>(entropy);
    sums->kl += static_cast<double>((ratio - 1) - log_ratio);
    sums->clipped += std::fabs(ratio - 1) > config.clip ? 1 : 0;
    for (int a = 0; a < config.actions; ++a) {
      const float s2 =
          variance[static_cast<std::size_t>(a) * static_cast<std::size_t>(nb) + static_cast<std::size_t>(b)];
      const float error = action[a * lda + b] - mean[a * ld + b];
      mean[a * ld + b] = slope * error / s2;
      d_variance[static_cast<std::size_t>(a) * static_cast<std::size_t>(nb) + static_cast<std::size_t>(b)] =
          0.5F / s2 * (slope * (error * error / s2 - 1) - config.entropy_coef * config.scale);
    }
  }
  for (int a = 0; a < config.actions; ++a) {
    std::fill(mean + a * ld + n, mean + a * ld + nb, 0.0F);
    const float* slope = d_variance.data() + a * nb;
    for (int k = 0; k < features.count; ++k) {
      const float* feature = features.z + k * features.ld;
      float sum = 0;
      for (int b = 0; b < n; ++b) sum += slope[b] * feature[b] * feature[b];
      d_log_std[k * config.actions + a] += 2 * std::exp(2 * log_std[k * config.actions + a]) * sum;
    }
  }
}

}  // namespace daybreak::rl::nn
