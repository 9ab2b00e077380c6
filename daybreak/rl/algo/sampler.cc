#include "daybreak/rl/algo/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "daybreak/rl/algo/fields.h"
#include "daybreak/rl/algo/gae.h"
#include "daybreak/rl/nn/sde.h"

namespace daybreak::rl {

using base::Code;
using base::fail;

RolloutSampler::RolloutSampler(std::unique_ptr<VecEnv> env, const nn::Model& model, const SamplerOptions& options,
                               std::uint64_t seed, std::uint64_t stream)
    : env_(std::move(env)),
      model_(model),
      options_(options),
      seed_(env_seed(seed, stream)),
      kernels_(nn::kernels()),
      state_{.random = base::Xoshiro256(seed, 1000 + stream)},
      workspace_(model, static_cast<int>(std::min<std::int64_t>(env_->num_envs(), nn::kBlock))),
      envs_(env_->num_envs()),
      observation_size_(model.spec().observation_size) {
  const auto n = static_cast<std::size_t>(envs_);
  const auto size = static_cast<std::size_t>(observation_size_);
  state_.observations.resize(n * size);
  final_observations_.resize(n * size);
  filtered_.resize(size);
  state_.running_return.resize(n);
  state_.discounted.resize(n);
  if (model.spec().sde) {
    noise_.resize(n * model.log_std_size());
    variance_.resize(static_cast<std::size_t>(model.spec().actions) * nn::kBlock);
  }
  state_.running_length.resize(n);
  actions_.resize(static_cast<std::size_t>(nn::pad_batch(static_cast<int>(envs_))));
  step_rewards_.resize(n);
  learned_rewards_.resize(n);
  terminated_.resize(n);
  truncated_.resize(n);
  truncated_values_.resize(n);
  truncated_rows_.reserve(n);
  last_values_.resize(n);
  if (!model_.spec().discrete) {
    env_actions_.resize(n * static_cast<std::size_t>(model_.spec().actions));
    bounds_ = ActionBounds(env_->action_space());
  }
}

std::uint64_t env_seed(std::uint64_t seed, std::uint64_t stream) {
  if (stream == 0 && seed < kEnvSeeds) return seed;
  return base::Xoshiro256(seed, 2000 + stream).next() % kEnvSeeds;
}

base::Status RolloutSampler::begin() {
  if (started_) return {};
  DAYBREAK_TRY(env_->reset(seed_ + state_.resets, state_.observations.data()));
  ++state_.resets;
  std::fill(state_.running_return.begin(), state_.running_return.end(), 0.0);
  std::fill(state_.discounted.begin(), state_.discounted.end(), 0.0);
  std::fill(state_.running_length.begin(), state_.running_length.end(), 0);
  started_ = true;
  return {};
}

base::Status RolloutSampler::sample(const float* params, const nn::Filter& filter, std::int64_t steps,
                                    SampleBatch& batch, std::int64_t first_row, EpisodeLog& episodes,
                                    nn::RunningStats& seen) {
  const base::Xoshiro256 before = state_.random;
  base::Status status = run(params, filter, steps, batch, first_row, episodes, seen);
  if (!status) {
    state_.random = before;
    started_ = false;
    episodes.clear();
    seen.clear();
    seen_rewards_.clear();
  }
  return status;
}

nn::RunningStats RolloutSampler::first_reward_stats() {
  nn::RunningStats stats(1);
  stats.count = 1e-4;
  stats.m2[0] = stats.count;
  return stats;
}

void RolloutSampler::draw_noise(const float* params) {
  const float* log_std = params + model_.log_std();
  const std::size_t size = model_.log_std_size();
  for (std::size_t i = 0; i < noise_.size(); ++i) noise_[i] = std::exp(log_std[i % size]) * state_.random.normal();
}

// theta z of one environment, whose features are column `column` of the workspace.
float RolloutSampler::exploration(int env, int action, int column) const {
  const float* theta = noise_.data() + static_cast<std::size_t>(env) * model_.log_std_size();
  const int actions = model_.spec().actions;
  float sum = 0;
  for (int k = 0; k < model_.features(); ++k) {
    sum += theta[k * actions + action] * workspace_.features()[k * workspace_.ld_features() + column];
  }
  return sum;
}

void RolloutSampler::normalize_rewards() {
  nn::RunningStats step(1);
  for (std::size_t i = 0; i < state_.discounted.size(); ++i) {
    state_.discounted[i] =
        state_.discounted[i] * static_cast<double>(options_.gamma) + static_cast<double>(step_rewards_[i]);
    step.add(state_.discounted[i]);
  }
  reward_stats_.merge(step);
  seen_rewards_.merge(step);
  const double scale = 1 / std::sqrt(reward_stats_.m2[0] / reward_stats_.count + 1e-8);
  const auto clip = static_cast<double>(options_.reward_clip);
  for (std::size_t i = 0; i < learned_rewards_.size(); ++i) {
    learned_rewards_[i] = static_cast<float>(std::clamp(static_cast<double>(step_rewards_[i]) * scale, -clip, clip)) *
                          options_.reward_scale;
  }
}

// Log probabilities and an action for environments [first, first + count) from the actor's outputs in the workspace.
void RolloutSampler::choose(std::int64_t first, int count, SampleBatch& batch, std::int64_t row, const float* params) {
  const int actions = model_.spec().actions;
  float* out = workspace_.policy();
  const std::ptrdiff_t ld = workspace_.ld_policy();
  if (model_.spec().discrete) {
    kernels_.log_softmax(actions, nn::pad_batch(count), out, ld, nullptr);
    for (int b = 0; b < count; ++b) {
      const float u = state_.random.uniform();
      float below = 0;
      int a = 0;
      for (; a < actions - 1; ++a) {
        below += std::exp(out[a * ld + b]);
        if (u < below) break;
      }
      const auto at = static_cast<std::size_t>(row + b);
      actions_[static_cast<std::size_t>(first + b)] = static_cast<std::int32_t>(env_->action_space().start) + a;
      batch.actions[at] = a;
      batch.logp[at] = out[a * ld + b];
    }
    return;
  }
  const float* log_std = params + model_.log_std();
  const bool sde = model_.spec().sde;
  if (sde) {
    nn::sde_variance(model_.features(), actions, count, workspace_.features(), workspace_.ld_features(), log_std,
                     variance_.data(), nn::kBlock);
  }
  for (int b = 0; b < count; ++b) {
    float logp = 0;
    for (int a = 0; a < actions; ++a) {
      float action = out[a * ld + b];
      if (sde) {
        const float off = exploration(static_cast<int>(first) + b, a, b);
        const float s2 = variance_[static_cast<std::size_t>(a) * nn::kBlock + static_cast<std::size_t>(b)];
        action += off;
        logp -= 0.5F * off * off / s2 + 0.5F * std::log(s2) + 0.91893853320467274F;
      } else {
        const float noise = state_.random.normal();
        action += std::exp(log_std[a]) * noise;
        logp -= 0.5F * noise * noise + log_std[a] + 0.91893853320467274F;
      }
      batch.box_actions[static_cast<std::size_t>((row + b) * actions + a)] = action;
      env_actions_[static_cast<std::size_t>((first + b) * actions + a)] =
          bounds_.apply(action, static_cast<std::size_t>(a));
    }
    batch.logp[static_cast<std::size_t>(row + b)] = logp;
  }
}

void RolloutSampler::act(const float* params, const nn::Filter& filter, SampleBatch& batch, std::int64_t row) {
  const std::ptrdiff_t ldx = workspace_.ldx();
  for (std::int64_t first = 0; first < envs_; first += nn::kBlock) {
    const int count = static_cast<int>(std::min<std::int64_t>(envs_ - first, nn::kBlock));
    float* x = workspace_.x();
    for (int b = 0; b < count; ++b) {
      float* kept = batch.observations.data() + (row + first + b) * observation_size_;
      filter.apply(state_.observations.data() + (first + b) * observation_size_, kept);
      for (int i = 0; i < observation_size_; ++i) x[i * ldx + b] = kept[i];
    }
    workspace_.forward(kernels_, model_, params, nn::pad_batch(count));
    if (model_.spec().critic) {
      std::copy_n(workspace_.value(), count, batch.values.data() + row + first);
    } else {
      std::fill_n(batch.values.data() + row + first, count, 0.0F);
    }
    choose(first, count, batch, row + first, params);
  }
}

// Values of `count` rows of `raw` (rows: which ones; null: the first `count`).
void RolloutSampler::values_of(const float* params, const nn::Filter& filter, const float* raw,
                               const std::int32_t* rows, int count, float* out) {
  if (!model_.spec().critic) {
    std::fill_n(out, count, 0.0F);
    return;
  }
  const std::ptrdiff_t ldx = workspace_.ldx();
  for (int first = 0; first < count; first += nn::kBlock) {
    const int n = std::min(count - first, nn::kBlock);
    float* x = workspace_.x();
    for (int b = 0; b < n; ++b) {
      const std::int64_t r = rows != nullptr ? rows[first + b] : first + b;
      filter.apply(raw + r * observation_size_, filtered_.data());
      for (int i = 0; i < observation_size_; ++i) x[i * ldx + b] = filtered_[static_cast<std::size_t>(i)];
    }
    workspace_.forward_value(kernels_, model_, params, nn::pad_batch(n));
    std::copy_n(workspace_.value(), n, out + first);
  }
}

// What the net says of the rows of a step: a weight that is not finite shows here first.
base::Status RolloutSampler::check_outputs(const SampleBatch& batch, std::int64_t row, std::int64_t step) const {
  float logp_sum = 0;
  float value_sum = 0;
  for (std::int64_t n = 0; n < envs_; ++n) {
    logp_sum += std::fabs(batch.logp[static_cast<std::size_t>(row + n)]);
    value_sum += std::fabs(batch.values[static_cast<std::size_t>(row + n)]);
  }
  if (std::isfinite(logp_sum) && std::isfinite(value_sum)) return {};
  return fail(Code::kInvalidArgument,
              "step {} of the rollout: the policy's {} is not finite: its weights have grown too large, lower lr", step,
              std::isfinite(logp_sum) ? "value" : "log probability");
}

base::Status RolloutSampler::check_finite(std::int64_t step) const {
  // A sum is finite only if every term is (overflow of huge finite rewards is as unusable).
  float reward_sum = 0;
  for (float r : step_rewards_) reward_sum += std::fabs(r);
  float observation_sum = 0;
  for (float x : state_.observations) observation_sum += std::fabs(x);
  if (std::isfinite(reward_sum) && std::isfinite(observation_sum)) return {};
  for (std::int64_t n = 0; n < envs_; ++n) {
    const float r = step_rewards_[static_cast<std::size_t>(n)];
    if (!std::isfinite(r)) {
      return fail(
          Code::kInvalidArgument,
          "environment {} gave reward {} at step {} of the rollout (step {} of its episode): rewards must be finite", n,
          r, step, state_.running_length[static_cast<std::size_t>(n)] + 1);
    }
    for (int i = 0; i < observation_size_; ++i) {
      const float x = state_.observations[static_cast<std::size_t>(n * observation_size_ + i)];
      if (!std::isfinite(x)) {
        return fail(Code::kInvalidArgument,
                    "environment {} gave observation[{}]={} at step {} of the rollout: observations must be finite", n,
                    i, x, step);
      }
    }
  }
  return fail(Code::kInvalidArgument, "rewards or observations of step {} of the rollout are too large to add up",
              step);
}

void RolloutSampler::end_episodes(const float* params, const nn::Filter& filter, std::int64_t step,
                                  EpisodeLog& episodes) {
  truncated_rows_.clear();
  if (options_.normalize_rewards) {
    normalize_rewards();
  } else {
    for (std::size_t i = 0; i < learned_rewards_.size(); ++i)
      learned_rewards_[i] = step_rewards_[i] * options_.reward_scale;
  }
  for (std::int64_t n = 0; n < envs_; ++n) {
    const auto i = static_cast<std::size_t>(n);
    state_.running_return[i] += static_cast<double>(step_rewards_[i]);
    ++state_.running_length[i];
    const auto at = static_cast<std::size_t>(step * envs_ + n);
    rewards_[at] = learned_rewards_[i];
    done_[at] = terminated_[i] | truncated_[i];
    if (done_[at] == 0) continue;
    if (terminated_[i] == 0) truncated_rows_.push_back(static_cast<std::int32_t>(n));
    episodes.returns.push_back(state_.running_return[i]);
    episodes.lengths.push_back(state_.running_length[i]);
    state_.running_return[i] = 0;
    state_.running_length[i] = 0;
    state_.discounted[i] = 0;
  }
  if (truncated_rows_.empty()) return;
  // A time limit is not the end of the world: what would have followed is worth V(final observation).
  values_of(params, filter, final_observations_.data(), truncated_rows_.data(),
            static_cast<int>(truncated_rows_.size()), truncated_values_.data());
  for (std::size_t j = 0; j < truncated_rows_.size(); ++j) {
    rewards_[static_cast<std::size_t>(step * envs_ + truncated_rows_[j])] += options_.gamma * truncated_values_[j];
  }
}

base::Status RolloutSampler::run(const float* params, const nn::Filter& filter, std::int64_t steps, SampleBatch& batch,
                                 std::int64_t first_row, EpisodeLog& episodes, nn::RunningStats& seen) {
  episodes.clear();
  seen.clear();
  seen_rewards_.clear();
  DAYBREAK_TRY(begin());
  const auto rows = static_cast<std::size_t>(steps * envs_);
  rewards_.resize(rows);
  done_.resize(rows);
  for (std::int64_t t = 0; t < steps; ++t) {
    if (filter.enabled) {
      for (std::int64_t n = 0; n < envs_; ++n) seen.add(state_.observations.data() + n * observation_size_);
    }
    if (model_.spec().sde && (t == 0 || (options_.sde_sample_freq > 0 && t % options_.sde_sample_freq == 0))) {
      draw_noise(params);
    }
    act(params, filter, batch, first_row + t * envs_);
    DAYBREAK_TRY(check_outputs(batch, first_row + t * envs_, t));
    const void* actions = model_.spec().discrete ? static_cast<const void*>(actions_.data()) : env_actions_.data();
    base::Status stepped = env_->step(actions, {state_.observations.data(), step_rewards_.data(), terminated_.data(),
                                                truncated_.data(), final_observations_.data()});
    if (!stepped) return std::unexpected(std::move(stepped).error().wrap(fmt::format("step {} of the rollout", t)));
    DAYBREAK_TRY(check_finite(t));
    end_episodes(params, filter, t, episodes);
  }
  values_of(params, filter, state_.observations.data(), nullptr, static_cast<int>(envs_), last_values_.data());
  estimate_advantages(steps, envs_, rewards_.data(), batch.values.data() + first_row, done_.data(), last_values_.data(),
                      options_.gamma, options_.lambda, batch.advantages.data() + first_row,
                      batch.returns.data() + first_row);
  if (options_.drop_unfinished) {
    for (std::int64_t n = 0; n < envs_; ++n) {
      for (std::int64_t t = steps; t-- > 0 && done_[static_cast<std::size_t>(t * envs_ + n)] == 0;) {
        batch.usable[static_cast<std::size_t>(first_row + t * envs_ + n)] = 0;
      }
    }
  }
  return {};
}

template <typename Archive, typename EnvironmentsOf, typename StateOf>
void RolloutSampler::fields(Archive& archive, const SamplerOptions& options, EnvironmentsOf& environments,
                            StateOf& state) {
  archive("started", environments.started);
  archive("resets", state.resets);
  archive("random", state.random);
  archive("observations", state.observations);
  archive("running return", state.running_return);
  archive("running length", state.running_length);
  if (options.normalize_rewards) archive("discounted", state.discounted);
  archive.text("environments", environments.state);
}

std::string RolloutSampler::save_state() const {
  // Environments in foreign code cannot be saved: whoever goes on from this starts new episodes.
  Environments environments{started_ && env_->can_restore(), {}};
  const std::string saved = environments.started ? env_->save_state() : std::string();
  environments.state = saved;
  FieldWriter out;
  fields(out, options_, environments, state_);
  return out.take();
}

base::Status RolloutSampler::load_state(std::string_view bytes) {
  Environments environments;
  State state = state_;
  FieldReader in(bytes, "the sampler's state");
  fields(in, options_, environments, state);
  if (!in.finish()) {
    return fail(Code::kDataLoss, "the state of a sampler does not fit {} environments of {} observations", envs_,
                observation_size_);
  }
  if (environments.started) DAYBREAK_TRY(env_->load_state(environments.state));
  started_ = environments.started;
  state_ = std::move(state);
  return {};
}

}  // namespace daybreak::rl
