// The losses in plain double arithmetic, straight from the papers, one sample at a time: what the kernels' gradients
// are held against by central differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "daybreak/rl/algo/batch.h"
#include "daybreak/rl/algo/config.h"
#include "daybreak/rl/nn/model.h"

namespace daybreak::rl::reference {

inline double activation(nn::Act act, double x) {
  if (act == nn::Act::kTanh) return std::tanh(x);
  if (act == nn::Act::kRelu) return std::max(x, 0.0);
  return x;
}

// `features`, when not null, gets the input of the last layer.
inline std::vector<double> forward(const nn::Mlp& mlp, const std::vector<double>& params, std::vector<double> x,
                                   std::vector<double>* features = nullptr) {
  for (const nn::Layer& layer : mlp.layers()) {
    if (features != nullptr && &layer == &mlp.layers().back()) *features = x;
    std::vector<double> y(static_cast<std::size_t>(layer.out));
    for (int o = 0; o < layer.out; ++o) {
      double sum = params[layer.bias + static_cast<std::size_t>(o)];
      for (int i = 0; i < layer.in; ++i) {
        sum += params[layer.weights + static_cast<std::size_t>(o * layer.ldw + i)] * x[static_cast<std::size_t>(i)];
      }
      y[static_cast<std::size_t>(o)] = activation(layer.act, sum);
    }
    x = std::move(y);
  }
  return x;
}

// Log probability of the row's action and the entropy of its distribution.
// features: of gSDE, in which nothing is derived through them.
inline void distribution(const nn::Model& model, const std::vector<double>& params, const std::vector<double>& out,
                         const std::vector<double>& features, const SampleBatch& batch, std::size_t row, double* logp,
                         double* entropy) {
  const auto actions = static_cast<std::size_t>(model.spec().actions);
  *logp = 0;
  *entropy = 0;
  if (model.spec().discrete) {
    double total = 0;
    for (std::size_t a = 0; a < actions; ++a) total += std::exp(out[a]);
    for (std::size_t a = 0; a < actions; ++a) *entropy -= std::exp(out[a]) / total * (out[a] - std::log(total));
    *logp = out[static_cast<std::size_t>(batch.actions[row])] - std::log(total);
    return;
  }
  const double half_log_2pi = 0.5 * std::log(2 * 3.141592653589793);
  for (std::size_t a = 0; a < actions; ++a) {
    double log_std = params[model.log_std() + a];
    if (model.spec().sde) {
      double variance = 1e-6;
      for (std::size_t k = 0; k < features.size(); ++k)
        variance += std::pow(features[k] * std::exp(params[model.log_std() + k * actions + a]), 2);
      log_std = 0.5 * std::log(variance);
    }
    const double z = (static_cast<double>(batch.box_actions[row * actions + a]) - out[a]) / std::exp(log_std);
    *logp -= 0.5 * z * z + log_std + half_log_2pi;
    *entropy += log_std + half_log_2pi + 0.5;
  }
}

// The mean over all rows of  surrogate - c_e H + c_kl KL + c_v (V - R)^2, advantages normalised when the configuration
// says so.
// held: the parameters that gSDE's features are of.
inline double on_policy_loss(const nn::Model& model, const OnPolicyConfig& config, const std::vector<double>& params,
                             const SampleBatch& batch, const std::vector<double>& held) {
  const auto rows = static_cast<std::size_t>(batch.rows);
  double mean = 0;
  double deviation = 1;
  if (config.normalize_advantage) {
    for (float a : batch.advantages) mean += static_cast<double>(a) / static_cast<double>(rows);
    double squares = 0;
    for (float a : batch.advantages) squares += (static_cast<double>(a) - mean) * (static_cast<double>(a) - mean);
    deviation = std::sqrt(squares / static_cast<double>(rows - 1)) + 1e-8;
  }
  const double clip = config.clip.at(0);
  double total = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<double> x;
    for (int i = 0; i < batch.observation_size; ++i)
      x.push_back(static_cast<double>(
          batch.observations[row * static_cast<std::size_t>(batch.observation_size) + static_cast<std::size_t>(i)]));
    const std::vector<double> out = forward(model.actor(), params, x);
    double logp = 0;
    double entropy = 0;
    std::vector<double> features;
    forward(model.actor(), held, x, &features);
    distribution(model, params, out, features, batch, row, &logp, &entropy);
    const double advantage = (static_cast<double>(batch.advantages[row]) - mean) / deviation;
    const double log_ratio = logp - static_cast<double>(batch.logp[row]);
    const double ratio = std::exp(log_ratio);
    if (config.algo == "ppo") {
      total -= std::min(ratio * advantage, std::clamp(ratio, 1 - clip, 1 + clip) * advantage);
    } else {
      total -= logp * advantage;
    }
    total -= config.entropy_coef.at(0) * entropy;
    total += config.kl_coef * ((ratio - 1) - log_ratio);
    if (!model.spec().critic) continue;
    const double value = model.separate_critic() ? forward(model.critic(), params, x)[0] : out.back();
    const double target = static_cast<double>(batch.returns[row]);
    double error = (value - target) * (value - target);
    if (config.value_clip > 0) {
      const double old = static_cast<double>(batch.values[row]);
      const double kept = old + std::clamp(value - old, -config.value_clip, config.value_clip);
      error = std::max(error, (kept - target) * (kept - target));
    }
    total += config.value_coef * error;
  }
  return total / static_cast<double>(rows);
}

}  // namespace daybreak::rl::reference
