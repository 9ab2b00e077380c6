#include "daybreak/rl/algo/q_learner.h"

#include <algorithm>
#include <cmath>

namespace daybreak::rl {

using base::Code;
using base::fail;

QLearner::QLearner(int observation_size, int actions, const DqnConfig& config)
    : config_(config),
      kernels_(nn::kernels()),
      observation_size_(observation_size),
      actions_(actions),
      net_(observation_size, config.hidden, actions + (config.dueling ? 1 : 0),
           config.activation == "relu" ? nn::Act::kRelu : nn::Act::kTanh, 0),
      params_(net_.end()),
      adam_m_(net_.end()),
      adam_v_(net_.end()),
      gradients_(net_.end()) {
  base::Xoshiro256 init(config.seed, 2);
  net_.init_uniform(params_.data(), init);
  target_ = params_;
  block_ = static_cast<int>(std::min<std::int64_t>(config.batch_size, net_.block()));
  const int capacity = block_;
  workspace_ = nn::MlpWorkspace(net_, capacity);
  target_workspace_ = nn::MlpWorkspace(net_, capacity);
  ldx_ = nn::padded_stride(nn::pad_batch(capacity));
  x_.resize(static_cast<std::size_t>(observation_size_ * ldx_));
  targets_.resize(static_cast<std::size_t>(capacity));
}

void QLearner::load_block(const ReplayBuffer& replay, std::span<const std::int64_t> rows, bool next, float* x) const {
  const int count = static_cast<int>(rows.size());
  for (int b = 0; b < nn::pad_batch(count); ++b) {
    const std::int64_t row = rows[static_cast<std::size_t>(std::min(b, count - 1))];
    const float* from = next ? replay.next_observation(row) : replay.observation(row);
    for (int i = 0; i < observation_size_; ++i) x[i * ldx_ + b] = from[i];
  }
}

float QLearner::q(const float* out, std::ptrdiff_t ld, int action, int sample) const {
  if (!config_.dueling) return out[action * ld + sample];
  float mean = 0;
  for (int a = 0; a < actions_; ++a) mean += out[a * ld + sample];
  return out[actions_ * ld + sample] + out[action * ld + sample] - mean / static_cast<float>(actions_);
}

void QLearner::block(const ReplayBuffer& replay, const Transitions& drawn, std::size_t first, int count,
                     std::span<float> errors) {
  const auto rows = drawn.rows.subspan(first, static_cast<std::size_t>(count));
  const int nb = nn::pad_batch(count);
  const std::ptrdiff_t ld = workspace_.ld();
  // Targets: R + discount * Q_target(s', argmax_a Q(s', a)), with Q the target net too unless double.
  load_block(replay, rows, true, x_.data());
  target_workspace_.forward(kernels_, net_, target_.data(), x_.data(), ldx_, nb);
  const float* chooser = target_workspace_.output();
  if (config_.double_q) {
    workspace_.forward(kernels_, net_, params_.data(), x_.data(), ldx_, nb);
    chooser = workspace_.output();
  }
  for (int b = 0; b < count; ++b) {
    int best = 0;
    for (int a = 1; a < actions_; ++a) {
      if (chooser[a * ld + b] > chooser[best * ld + b]) best = a;
    }
    const std::int64_t row = rows[static_cast<std::size_t>(b)];
    targets_[static_cast<std::size_t>(b)] =
        replay.reward(row) + replay.discount(row) * q(target_workspace_.output(), ld, best, b);
  }
  load_block(replay, rows, false, x_.data());
  workspace_.forward(kernels_, net_, params_.data(), x_.data(), ldx_, nb);
  float* out = workspace_.output();
  const float scale = 1.0F / static_cast<float>(drawn.rows.size());
  for (int b = 0; b < nb; ++b) {
    float slope = 0;
    int action = 0;
    if (b < count) {
      const std::size_t i = first + static_cast<std::size_t>(b);
      action = replay.action(drawn.rows[i]);
      const float value = q(out, ld, action, b);
      const float error = value - targets_[static_cast<std::size_t>(b)];
      errors[i] = error;
      mean_q += static_cast<double>(value * scale);
      const float size = std::fabs(error);
      loss_ += static_cast<double>(drawn.weights[i] * scale * (size < 1 ? 0.5F * error * error : size - 0.5F));
      slope = drawn.weights[i] * scale * std::clamp(error, -1.0F, 1.0F);
    }
    const float others = config_.dueling ? -slope / static_cast<float>(actions_) : 0;
    for (int a = 0; a < actions_; ++a) out[a * ld + b] = others;
    out[action * ld + b] += slope;
    if (config_.dueling) out[actions_ * ld + b] = slope;
  }
  workspace_.backward(kernels_, net_, params_.data(), x_.data(), ldx_, nb, gradients_.data());
}

double QLearner::gradient(const ReplayBuffer& replay, const Transitions& drawn, std::span<float> errors) {
  std::fill(gradients_.begin(), gradients_.end(), 0.0F);
  loss_ = 0;
  mean_q = 0;
  const std::size_t n = drawn.rows.size();
  for (std::size_t first = 0; first < n; first += static_cast<std::size_t>(block_)) {
    block(replay, drawn, first, static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(block_), n - first)),
          errors);
  }
  return loss_;
}

base::Result<double> QLearner::learn(const ReplayBuffer& replay, const Transitions& drawn, double lr,
                                     std::span<float> errors) {
  const double loss = gradient(replay, drawn, errors);
  grad_norm = std::sqrt(kernels_.sum_squares(gradients_.size(), gradients_.data()));
  if (!std::isfinite(loss) || !std::isfinite(grad_norm)) {
    return fail(
        Code::kInvalidArgument,
        "gradient step {}: the {} is {}: it was not applied, the weights are those before it. lr={} may be too high "
        "or rewards too large (reward_scale makes them smaller)",
        adam_steps + 1, std::isfinite(loss) ? "gradient's norm" : "loss", std::isfinite(loss) ? grad_norm : loss, lr);
  }
  const double limit = config_.max_grad_norm;
  const double scale = limit > 0 && grad_norm > limit ? limit / (grad_norm + 1e-6) : 1.0;
  constexpr double kBeta1 = 0.9;
  constexpr double kBeta2 = 0.999;
  const double t = static_cast<double>(++adam_steps);
  const double correction2 = std::sqrt(1 - std::pow(kBeta2, t));
  kernels_.adam(params_.size(), params_.data(), gradients_.data(), adam_m_.data(), adam_v_.data(),
                static_cast<float>(lr * correction2 / (1 - std::pow(kBeta1, t))), static_cast<float>(kBeta1),
                static_cast<float>(kBeta2), static_cast<float>(config_.adam_eps * correction2),
                static_cast<float>(scale));
  return loss;
}

void QLearner::update_target(double tau) {
  if (tau >= 1) {
    target_ = params_;
    return;
  }
  const float t = static_cast<float>(tau);
  for (std::size_t i = 0; i < target_.size(); ++i) target_[i] += t * (params_[i] - target_[i]);
}

}  // namespace daybreak::rl
