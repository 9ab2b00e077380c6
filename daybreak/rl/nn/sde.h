// State-dependent exploration (gSDE; Raffin, Kober and Stulp 2021, arXiv 2005.05719) of Box actions:
//   action = mean + theta z,  theta[k][a] ~ N(0, exp(log_std[k][a])^2),
// with z the actor's last hidden layer (k over its features), so that an action is Gaussian with variance
//   s2[a] = sum_k z_k^2 exp(log_std[k][a])^2 + kSdeVariance.
// As in Stable-Baselines3 no gradient flows from the variance into z.
#pragma once

#include <cstddef>
#include <vector>

#include "daybreak/rl/nn/kernels.h"

namespace daybreak::rl::nn {

inline constexpr float kSdeVariance = 1e-6F;  // Stable-Baselines3's

// variance[a * ld + b] for samples b < n, from z[k * ldz + b] and log_std[k * actions + a].
void sde_variance(int features, int actions, int n, const float* z, std::ptrdiff_t ldz, const float* log_std,
                  float* variance, std::ptrdiff_t ld);

// The actor's last hidden layer for one block of samples.
struct SdeFeatures {
  int count = 0;
  const float* z = nullptr;
  std::ptrdiff_t ld = 0;
};

// Kernels::gaussian_loss with this variance; d_log_std [features][actions] is added to.
void sde_loss(const PolicyLoss& config, int n, int nb, float* mean, std::ptrdiff_t ld, const SdeFeatures& features,
              const float* log_std, const float* action, std::ptrdiff_t lda, const float* old_logp,
              const float* advantage, float* d_log_std, PolicySums* sums);

}  // namespace daybreak::rl::nn
