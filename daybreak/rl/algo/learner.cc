#include "daybreak/rl/algo/learner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "daybreak/rl/nn/sde.h"

namespace daybreak::rl {

// What one member of the team works with. Its own cache lines, its own gradient.
struct alignas(64) OnPolicyLearner::Shard {
  Shard(const nn::Model& model, int capacity)
      : workspace(model, capacity),
        gradients(model.size()),
        box_actions(static_cast<std::size_t>(model.spec().discrete ? 0 : model.spec().actions * nn::kBlock)) {}
  nn::ModelWorkspace workspace;
  std::vector<float> gradients;
  std::vector<float> box_actions;  // [component][kBlock]
  std::int32_t actions[nn::kBlock] = {};
  float logp[nn::kBlock] = {};
  float advantages[nn::kBlock] = {};
  float values[nn::kBlock] = {};
  float returns[nn::kBlock] = {};
  nn::PolicySums sums;
  double value_sum = 0;
  double squares = 0;  // of this member's slice of the summed gradient
};

OnPolicyLearner::OnPolicyLearner(const nn::Model& model, const OnPolicyConfig& config)
    : model_(model),
      config_(config),
      kernels_(nn::kernels()),
      team_(static_cast<std::size_t>(config.num_threads)),
      params_(model.size()),
      adam_m_(model.size()),
      adam_v_(model.size()),
      kl_coef_(config.kl_coef),
      random_(config.seed, 1),
      block_(model.actor().block()) {
  base::Xoshiro256 init(config.seed, 2);
  const bool normc = config.init == "normc";
  const bool uniform = config.init == "uniform";
  if (uniform) {
    model_.actor().init_uniform(params_.data(), init);
  } else if (normc) {
    model_.actor().init_normc(params_.data(), 1.0F, 0.01F, init);
  } else {
    model_.actor().init_orthogonal(params_.data(), std::sqrt(2.0F), 0.01F, init);
  }
  if (model_.separate_critic()) {
    if (uniform) {
      model_.critic().init_uniform(params_.data(), init);
    } else if (normc) {
      model_.critic().init_normc(params_.data(), 1.0F, 0.01F, init);
    } else {
      model_.critic().init_orthogonal(params_.data(), std::sqrt(2.0F), 1.0F, init);
    }
  }
  std::fill_n(params_.data() + model_.log_std(), model_.log_std_size(), static_cast<float>(config.log_std_init));
  // TensorFlow's RMSprop begins with mean squares of one, PyTorch's with zero.
  if (config.optimizer == "rmsprop_tf") std::fill(adam_v_.begin(), adam_v_.end(), 1.0F);
  for (std::size_t i = 0; i < team_.size(); ++i) shards_.push_back(std::make_unique<Shard>(model_, block_));
}

OnPolicyLearner::~OnPolicyLearner() = default;

void OnPolicyLearner::set_state(const State& state) {
  adam_steps_ = state.adam_steps;
  kl_coef_ = state.kl_coef;
  random_ = state.random;
}

void OnPolicyLearner::begin(const SampleBatch& batch, std::int64_t timestep) {
  stats_ = {};
  stats_.lr = config_.lr.at(timestep);
  stats_.clip = config_.clip.at(timestep);
  stats_.entropy_coef = config_.entropy_coef.at(timestep);
  stats_.kl_coef = kl_coef_;
  stop_ = false;
  shape_ = {};
  shape_.batch = &batch;
  shape_.loss.vanilla = config_.algo != "ppo";
  shape_.loss.clip = static_cast<float>(stats_.clip);
  shape_.loss.entropy_coef = static_cast<float>(stats_.entropy_coef);
  shape_.loss.kl_coef = static_cast<float>(kl_coef_);
  shape_.loss.actions = model_.spec().actions;
  shape_.value_clip = static_cast<float>(config_.value_clip);
}

void OnPolicyLearner::prepare(Minibatch& minibatch, std::span<const std::int32_t> rows) const {
  minibatch.rows = rows;
  const auto n = static_cast<double>(rows.size());
  minibatch.loss.scale = static_cast<float>(1.0 / n);
  minibatch.value_scale = static_cast<float>(config_.value_coef / n);
  minibatch.advantage_mean = 0;
  minibatch.advantage_scale = 1;
  if (!config_.normalize_advantage || rows.size() < 2) return;
  const float* advantages = minibatch.batch->advantages.data();
  double sum = 0;
  for (std::int32_t row : rows) sum += static_cast<double>(advantages[row]);
  const double mean = sum / n;
  double squares = 0;
  for (std::int32_t row : rows) {
    const double d = static_cast<double>(advantages[row]) - mean;
    squares += d * d;
  }
  minibatch.advantage_mean = static_cast<float>(mean);
  minibatch.advantage_scale = static_cast<float>(1.0 / (std::sqrt(squares / (n - 1)) + 1e-8));
}

void OnPolicyLearner::block_gradient(Shard& shard, const Minibatch& minibatch, std::int64_t first, int count) {
  const SampleBatch& batch = *minibatch.batch;
  const int nb = nn::pad_batch(count);
  float* x = shard.workspace.x();
  const std::ptrdiff_t ldx = shard.workspace.ldx();
  const int width = batch.observation_size;
  const int box = batch.action_size;
  for (int b = 0; b < nb; ++b) {
    // Padding lanes repeat the last row: finite, and without gradient.
    const auto row = static_cast<std::size_t>(minibatch.rows[static_cast<std::size_t>(first + std::min(b, count - 1))]);
    const float* observation = batch.observations.data() + row * static_cast<std::size_t>(width);
    for (int i = 0; i < width; ++i) x[i * ldx + b] = observation[i];
    if (box == 0) {
      shard.actions[b] = batch.actions[row];
    } else {
      for (int a = 0; a < box; ++a)
        shard.box_actions[static_cast<std::size_t>(a) * nn::kBlock + static_cast<std::size_t>(b)] =
            batch.box_actions[row * static_cast<std::size_t>(box) + static_cast<std::size_t>(a)];
    }
    shard.logp[b] = batch.logp[row];
    shard.advantages[b] = (batch.advantages[row] - minibatch.advantage_mean) * minibatch.advantage_scale;
    shard.values[b] = batch.values[row];
    shard.returns[b] = batch.returns[row];
  }
  shard.workspace.forward(kernels_, model_, params_.data(), nb);
  if (box == 0) {
    kernels_.categorical_loss(minibatch.loss, count, nb, shard.workspace.policy(), shard.workspace.ld_policy(),
                              shard.actions, shard.logp, shard.advantages, &shard.sums);
  } else if (model_.spec().sde) {
    const nn::SdeFeatures features{model_.features(), shard.workspace.features(), shard.workspace.ld_features()};
    nn::sde_loss(minibatch.loss, count, nb, shard.workspace.policy(), shard.workspace.ld_policy(), features,
                 params_.data() + model_.log_std(), shard.box_actions.data(), nn::kBlock, shard.logp, shard.advantages,
                 shard.gradients.data() + model_.log_std(), &shard.sums);
  } else {
    kernels_.gaussian_loss(minibatch.loss, count, nb, shard.workspace.policy(), shard.workspace.ld_policy(),
                           params_.data() + model_.log_std(), shard.box_actions.data(), nn::kBlock, shard.logp,
                           shard.advantages, shard.gradients.data() + model_.log_std(), &shard.sums);
  }
  if (model_.spec().critic) {
    shard.value_sum += kernels_.value_loss(count, nb, shard.workspace.value(), shard.values, shard.returns,
                                           minibatch.value_clip, minibatch.value_scale);
  }
  shard.workspace.backward(kernels_, model_, params_.data(), nb, shard.gradients.data());
}

void OnPolicyLearner::shard_gradient(Shard& shard, const Minibatch& minibatch, int member) {
  std::fill(shard.gradients.begin(), shard.gradients.end(), 0.0F);
  // Whole padding units a member, so that only the last shard has idle lanes.
  const auto n = static_cast<std::int64_t>(minibatch.rows.size());
  const std::int64_t units = (n + nn::kBatchPad - 1) / nn::kBatchPad;
  const auto members = static_cast<std::int64_t>(team_.size());
  const std::int64_t begin = units * member / members * nn::kBatchPad;
  const std::int64_t end = std::min(n, units * (member + 1) / members * nn::kBatchPad);
  for (std::int64_t at = begin; at < end; at += block_) {
    block_gradient(shard, minibatch, at, static_cast<int>(std::min<std::int64_t>(block_, end - at)));
  }
}

// Sums the shards' gradients over this member's slice, agrees on the global norm, and steps the slice. False, for all
// members alike, where the norm is not finite: nothing is stepped then.
bool OnPolicyLearner::apply_step(int member) {
  const std::size_t units = (model_.size() + 15) / 16;
  const std::size_t members = team_.size();
  const std::size_t begin = std::min(model_.size(), units * static_cast<std::size_t>(member) / members * 16);
  const std::size_t end = std::min(model_.size(), units * static_cast<std::size_t>(member + 1) / members * 16);
  float* total = shards_[0]->gradients.data();
  for (std::size_t s = 1; s < members; ++s)
    kernels_.add(end - begin, total + begin, shards_[s]->gradients.data() + begin);
  shards_[static_cast<std::size_t>(member)]->squares = kernels_.sum_squares(end - begin, total + begin);
  team_.barrier();
  double squares = 0;
  for (const auto& shard : shards_) squares += shard->squares;
  const double norm = std::sqrt(squares);
  if (member == 0) norm_ = norm;
  if (!std::isfinite(norm)) return false;
  const double limit = config_.max_grad_norm;
  const double scale = limit > 0 && norm > limit ? limit / (norm + 1e-6) : 1.0;
  if (config_.optimizer != "adam") {
    kernels_.rmsprop(end - begin, params_.data() + begin, total + begin, adam_v_.data() + begin,
                     static_cast<float>(stats_.lr), static_cast<float>(config_.rmsprop_alpha),
                     static_cast<float>(config_.rmsprop_eps), static_cast<float>(scale),
                     config_.optimizer == "rmsprop_tf");
  } else {
    adam_step(begin, end, total, scale);
  }
  team_.barrier();
  if (member == 0) {
    ++stats_.gradient_steps;
    stats_.grad_norm += norm;
  }
  return true;
}

void OnPolicyLearner::adam_step(std::size_t begin, std::size_t end, const float* total, double scale) {
  const double t = static_cast<double>(adam_steps_ + stats_.gradient_steps + 1);
  const double correction2 = std::sqrt(1 - std::pow(config_.adam_beta2, t));
  const double rate = stats_.lr * correction2 / (1 - std::pow(config_.adam_beta1, t));
  kernels_.adam(end - begin, params_.data() + begin, total + begin, adam_m_.data() + begin, adam_v_.data() + begin,
                static_cast<float>(rate), static_cast<float>(config_.adam_beta1),
                static_cast<float>(config_.adam_beta2), static_cast<float>(config_.adam_eps * correction2),
                static_cast<float>(scale));
}

// The sentence about what is not finite after a step that was not made, or after an epoch; none where all is well.
base::Status OnPolicyLearner::fault() const {
  double policy = 0;
  double value = 0;
  double entropy = 0;
  for (const auto& s : shards_) {
    policy += s->sums.loss;
    value += s->value_sum;
    entropy += s->sums.entropy;
  }
  const auto terms = {std::pair("policy loss", policy), std::pair("value loss", value), std::pair("entropy", entropy),
                      std::pair("gradient's norm", norm_)};
  for (const auto& [term, sum] : terms) {
    if (std::isfinite(sum)) continue;
    return base::fail(
        base::Code::kInvalidArgument,
        "gradient step {} of the iteration that began at time step {}: the {} is {}: learning stops, with the "
        "weights before it. lr={} may be too high or rewards too large (reward_scale makes them "
        "smaller, max_grad_norm limits a step)",
        stats_.gradient_steps + 1, timestep_, term, sum, stats_.lr);
  }
  return {};
}

void OnPolicyLearner::work(int member, std::int64_t epochs, std::int64_t minibatch_size) {
  Shard& shard = *shards_[static_cast<std::size_t>(member)];
  Minibatch minibatch = shape_;
  const auto rows = static_cast<std::int64_t>(order_.size());
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    if (member == 0) {
      for (std::uint32_t i = static_cast<std::uint32_t>(rows); i > 1; --i)
        std::swap(order_[i - 1], order_[random_.below(i)]);
    }
    shard.sums = {};
    shard.value_sum = 0;
    team_.barrier();
    for (std::int64_t first = 0; first < rows; first += minibatch_size) {
      const std::int64_t count = std::min(minibatch_size, rows - first);
      prepare(minibatch, std::span<const std::int32_t>(order_).subspan(static_cast<std::size_t>(first),
                                                                       static_cast<std::size_t>(count)));
      shard_gradient(shard, minibatch, member);
      team_.barrier();
      if (!apply_step(member)) return;
    }
    if (member == 0) {
      nn::PolicySums sums;
      double value_sum = 0;
      for (const auto& s : shards_) {
        sums.loss += s->sums.loss;
        sums.entropy += s->sums.entropy;
        sums.kl += s->sums.kl;
        sums.clipped += s->sums.clipped;
        value_sum += s->value_sum;
      }
      const double n = static_cast<double>(rows);
      stats_.policy_loss += sums.loss / n;
      stats_.entropy += sums.entropy / n;
      stats_.clip_fraction += sums.clipped / n;
      stats_.value_loss += value_sum / n;
      stats_.kl = sums.kl / n;  // of the last epoch: how far the policy has moved
      ++stats_.epochs;
      stop_ = !std::isfinite(sums.loss + sums.entropy + value_sum);  // with a finite gradient: too large to add up
      if (stop_) norm_ = std::numeric_limits<double>::quiet_NaN();
      stop_ = stop_ || (config_.target_kl > 0 && stats_.kl > 1.5 * config_.target_kl);
    }
    team_.barrier();
    if (stop_) break;
  }
}

double OnPolicyLearner::explained_variance(const SampleBatch& batch) const {
  double n = 0;
  double mean_return = 0;
  double mean_error = 0;
  for (std::int32_t row : order_) {
    n += 1;
    mean_return += static_cast<double>(batch.returns[static_cast<std::size_t>(row)]);
    mean_error +=
        static_cast<double>(batch.returns[static_cast<std::size_t>(row)] - batch.values[static_cast<std::size_t>(row)]);
  }
  mean_return /= n;
  mean_error /= n;
  double variance = 0;
  double error = 0;
  for (std::int32_t row : order_) {
    const double r = static_cast<double>(batch.returns[static_cast<std::size_t>(row)]);
    const double e = r - static_cast<double>(batch.values[static_cast<std::size_t>(row)]);
    variance += (r - mean_return) * (r - mean_return);
    error += (e - mean_error) * (e - mean_error);
  }
  return variance > 0 ? 1 - error / variance : 0;
}

base::Result<LearnStats> OnPolicyLearner::update(const SampleBatch& batch, std::int64_t timestep) {
  begin(batch, timestep);
  order_.clear();
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    if (batch.usable[static_cast<std::size_t>(row)] != 0) order_.push_back(static_cast<std::int32_t>(row));
  }
  if (order_.empty()) return stats_;
  norm_ = 0;
  timestep_ = timestep;
  stats_.explained_variance = explained_variance(batch);
  const auto rows = static_cast<std::int64_t>(order_.size());
  const std::int64_t minibatch_size = config_.minibatch_size == 0 ? rows : std::min(config_.minibatch_size, rows);
  team_.run([&](std::size_t member) { work(static_cast<int>(member), config_.num_epochs, minibatch_size); });
  adam_steps_ += stats_.gradient_steps;
  if (!std::isfinite(norm_)) DAYBREAK_TRY(fault());
  const double epochs = static_cast<double>(stats_.epochs);
  stats_.policy_loss /= epochs;
  stats_.value_loss /= epochs;
  stats_.entropy /= epochs;
  stats_.clip_fraction /= epochs;
  stats_.grad_norm /= static_cast<double>(stats_.gradient_steps);
  if (config_.kl_target > 0) {  // the adaptive penalty of the PPO paper, section 4
    if (stats_.kl > 2.0 * config_.kl_target) kl_coef_ *= 1.5;
    if (stats_.kl < 0.5 * config_.kl_target) kl_coef_ *= 0.5;
  }
  return stats_;
}

void OnPolicyLearner::gradient_of(const SampleBatch& batch, std::span<const std::int32_t> rows, std::int64_t timestep,
                                  std::span<float> gradients, nn::PolicySums* sums, double* value_loss_sum) {
  begin(batch, timestep);
  Minibatch minibatch = shape_;
  prepare(minibatch, rows);
  team_.run([&](std::size_t member) {
    Shard& shard = *shards_[member];
    shard.sums = {};
    shard.value_sum = 0;
    shard_gradient(shard, minibatch, static_cast<int>(member));
  });
  std::fill(gradients.begin(), gradients.end(), 0.0F);
  *sums = {};
  *value_loss_sum = 0;
  for (const auto& shard : shards_) {
    kernels_.add(gradients.size(), gradients.data(), shard->gradients.data());
    sums->loss += shard->sums.loss;
    sums->entropy += shard->sums.entropy;
    sums->kl += shard->sums.kl;
    sums->clipped += shard->sums.clipped;
    *value_loss_sum += shard->value_sum;
  }
}

}  // namespace daybreak::rl
