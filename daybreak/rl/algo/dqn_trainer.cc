#include "daybreak/rl/algo/dqn_trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/clock.h"
#include "daybreak/rl/algo/fields.h"
#include "daybreak/rl/algo/sampler.h"

namespace daybreak::rl {

using base::Code;
using base::fail;

base::Result<std::unique_ptr<DqnTrainer>> DqnTrainer::make(const DqnConfig& config, const EnvFactory& factory) {
  EnvOptions options;
  options.num_envs = config.num_envs;
  options.options = config.env_options;
  DAYBREAK_ASSIGN(auto env, factory(options));
  if (env->action_space().kind != Space::Kind::kDiscrete) {
    return fail(Code::kInvalidArgument, "DQN needs a Discrete action space, {} has a Box of {}: use PPO or A2C",
                config.env, env->action_space().n);
  }
  return std::unique_ptr<DqnTrainer>(new DqnTrainer(config, std::move(env)));
}

DqnTrainer::State::State(const DqnConfig& config, std::int64_t envs, int observation_size)
    : random(config.seed, 3),
      replay(config.buffer_size, observation_size, config.prioritized_replay, config.prioritized_alpha) {
  const auto n = static_cast<std::size_t>(envs);
  const auto width = static_cast<std::size_t>(observation_size);
  const auto pending = n * static_cast<std::size_t>(config.n_step);
  observations.resize(n * width);
  running_return.resize(n);
  running_length.resize(n);
  pending_observations.resize(pending * width);
  pending_rewards.resize(pending);
  pending_actions.resize(pending);
  pending_count.resize(n);
}

template <typename Archive, typename OthersOf, typename StateOf>
void DqnTrainer::fields(Archive& archive, OthersOf& others, StateOf& state) {
  archive("adam steps", others.adam_steps);
  archive("random", state.random);
  archive("timesteps", state.timesteps);
  archive("iterations", state.iterations);
  archive("last target update", state.last_target_update);
  archive("last round", state.last_round);
  archive("started", others.started);
  archive("resets", state.resets);
  archive("observations", state.observations);
  archive("running return", state.running_return);
  archive("running length", state.running_length);
  archive("pending observations", state.pending_observations);
  archive("pending rewards", state.pending_rewards);
  archive("pending actions", state.pending_actions);
  archive("pending count", state.pending_count);
  archive("window", state.window);
  archive("replay", state.replay);
  archive.text("environments", others.environments);
}

DqnTrainer::DqnTrainer(const DqnConfig& config, std::unique_ptr<VecEnv> env)
    : config_(config),
      env_(std::move(env)),
      observation_space_(env_->observation_space()),
      action_space_(env_->action_space()),
      envs_(env_->num_envs()),
      observation_size_(static_cast<int>(observation_space_.n)),
      learner_(observation_size_, static_cast<int>(action_space_.n), config),
      state_(config, envs_, observation_size_) {
  const auto n = static_cast<std::size_t>(envs_);
  before_.resize(state_.observations.size());
  finals_.resize(state_.observations.size());
  actions_.resize(n);
  rewards_.resize(n);
  terminated_.resize(n);
  truncated_.resize(n);
  drawn_.resize(static_cast<std::size_t>(config.batch_size));
  weights_.resize(drawn_.size());
  errors_.resize(drawn_.size());
}

// Random numbers are drawn environment by environment; the net then sees all rows that are its to decide at once.
void DqnTrainer::choose_actions() {
  const double done = static_cast<double>(state_.timesteps) /
                      static_cast<double>(std::max<std::int64_t>(1, config_.exploration_timesteps));
  const double epsilon = config_.exploration_initial_eps +
                         std::min(1.0, done) * (config_.exploration_final_eps - config_.exploration_initial_eps);
  const auto start = static_cast<std::int32_t>(action_space_.start);
  greedy_.clear();
  for (std::size_t i = 0; i < actions_.size(); ++i) {
    if (state_.timesteps < config_.learning_starts || state_.random.uniform_double() < epsilon) {
      actions_[i] = start + static_cast<std::int32_t>(state_.random.below(static_cast<std::uint32_t>(action_space_.n)));
    } else {
      greedy_.push_back(i);
    }
  }
  if (greedy_.empty()) return;
  if (acting_ == nullptr) acting_ = policy();
  const auto width = static_cast<std::size_t>(observation_size_);
  greedy_observations_.resize(greedy_.size() * width);
  greedy_actions_.resize(greedy_.size());
  for (std::size_t row = 0; row < greedy_.size(); ++row)
    std::copy_n(state_.observations.data() + greedy_[row] * width, width, greedy_observations_.data() + row * width);
  acting_->act_batch(greedy_observations_.data(), static_cast<std::int64_t>(greedy_.size()), greedy_actions_.data());
  for (std::size_t row = 0; row < greedy_.size(); ++row) actions_[greedy_[row]] = greedy_actions_[row];
}

base::Status DqnTrainer::check_finite() const {
  float sum = 0;
  for (float x : rewards_) sum += std::fabs(x);
  for (float x : state_.observations) sum += std::fabs(x);
  if (std::isfinite(sum)) return {};
  for (std::size_t i = 0; i < rewards_.size(); ++i) {
    if (!std::isfinite(rewards_[i])) {
      return fail(Code::kInvalidArgument,
                  "environment {} gave reward {} at time step {} (step {} of its episode): rewards must be finite", i,
                  rewards_[i], state_.timesteps, state_.running_length[i] + 1);
    }
  }
  return fail(Code::kInvalidArgument, "an environment gave an observation that is not finite at time step {}",
              state_.timesteps);
}

// Adds the step of one environment to its pending ones, and those whose n-step return is complete to the replay buffer.
void DqnTrainer::remember(std::int64_t env, EpisodeLog& episodes) {
  const auto e = static_cast<std::size_t>(env);
  const auto width = static_cast<std::size_t>(observation_size_);
  const auto n = static_cast<std::size_t>(config_.n_step);
  const bool over = (terminated_[e] | truncated_[e]) != 0;
  const auto count = static_cast<std::size_t>(++state_.pending_count[e]);
  float* pending_observations = state_.pending_observations.data() + e * n * width;
  float* pending_rewards = state_.pending_rewards.data() + e * n;
  std::int32_t* pending_actions = state_.pending_actions.data() + e * n;
  std::copy_n(before_.data() + e * width, width, pending_observations + (count - 1) * width);
  pending_rewards[count - 1] = rewards_[e] * static_cast<float>(config_.reward_scale);
  pending_actions[count - 1] = actions_[e] - static_cast<std::int32_t>(action_space_.start);
  const float* next = (over ? finals_.data() : state_.observations.data()) + e * width;
  const auto gamma = static_cast<float>(config_.gamma);
  const std::size_t complete = over ? count : (count == n ? 1 : 0);
  for (std::size_t i = 0; i < complete; ++i) {
    float reward = 0;
    float discount = 1;
    for (std::size_t j = i; j < count; ++j) {
      reward += discount * pending_rewards[j];
      discount *= gamma;
    }
    if (terminated_[e] != 0) discount = 0;  // a truncated episode goes on in its final observation's value
    state_.replay.add(pending_observations + i * width, pending_actions[i], reward, discount, next);
  }
  if (complete > 0 && complete < count) {
    std::memmove(pending_observations, pending_observations + width, (count - 1) * width * sizeof(float));
    std::memmove(pending_rewards, pending_rewards + 1, (count - 1) * sizeof(float));
    std::memmove(pending_actions, pending_actions + 1, (count - 1) * sizeof(std::int32_t));
  }
  state_.pending_count[e] = static_cast<std::int64_t>(count - complete);
  state_.running_return[e] += static_cast<double>(rewards_[e]);
  ++state_.running_length[e];
  if (!over) return;
  episodes.returns.push_back(state_.running_return[e]);
  episodes.lengths.push_back(state_.running_length[e]);
  state_.running_return[e] = 0;
  state_.running_length[e] = 0;
}

base::Status DqnTrainer::sample_step(EpisodeLog& episodes) {
  if (!started_) {
    DAYBREAK_TRY(env_->reset(env_seed(config_.seed, 0) + state_.resets, state_.observations.data()));
    ++state_.resets;
    started_ = true;
    std::fill(state_.running_return.begin(), state_.running_return.end(), 0.0);
    std::fill(state_.running_length.begin(), state_.running_length.end(), 0);
    std::fill(state_.pending_count.begin(), state_.pending_count.end(), 0);
  }
  choose_actions();
  before_ = state_.observations;
  base::Status status = env_->step(actions_.data(), {state_.observations.data(), rewards_.data(), terminated_.data(),
                                                     truncated_.data(), finals_.data()});
  if (!status) status = std::unexpected(std::move(status).error().wrap(fmt::format("time step {}", state_.timesteps)));
  if (status) status = check_finite();
  if (!status) {
    started_ = false;
    return status;
  }
  for (std::int64_t env = 0; env < envs_; ++env) remember(env, episodes);
  state_.timesteps += envs_;
  return {};
}

base::Status DqnTrainer::learn_round() {
  const double lr = config_.lr.at(state_.timesteps);
  const double beta = config_.prioritized_beta.at(state_.timesteps);
  for (std::int64_t i = 0; i < config_.gradient_steps; ++i) {
    state_.replay.draw(state_.random, beta, drawn_, weights_);
    auto loss = learner_.learn(state_.replay, {drawn_, weights_}, lr, errors_);
    if (!loss) return std::unexpected(std::move(loss).error().wrap(fmt::format("time step {}", state_.timesteps)));
    loss_sum_ += *loss;
    state_.replay.set_errors(drawn_, errors_);
    norm_sum_ += learner_.grad_norm;
    q_sum_ += learner_.mean_q;
    ++gradient_steps_;
    acting_ = nullptr;
  }
  return {};
}

base::Result<IterationResult> DqnTrainer::train() {
  EpisodeLog episodes;
  loss_sum_ = norm_sum_ = q_sum_ = sample_s_ = learn_s_ = 0;
  gradient_steps_ = 0;
  const std::int64_t begin = state_.timesteps;
  while (state_.timesteps - begin < config_.steps_per_iteration) {
    const double start = steady_seconds();
    while (state_.timesteps - state_.last_round < config_.train_freq) DAYBREAK_TRY(sample_step(episodes));
    state_.last_round = state_.timesteps;
    const double sampled = steady_seconds();
    if (state_.timesteps - state_.last_target_update >= config_.target_update_interval) {
      learner_.update_target(config_.tau);
      state_.last_target_update = state_.timesteps;
    }
    if (state_.timesteps >= config_.learning_starts && state_.replay.size() > 0) DAYBREAK_TRY(learn_round());
    sample_s_ += sampled - start;
    learn_s_ += steady_seconds() - sampled;
  }
  state_.window.add(episodes);
  ++state_.iterations;
  const double steps = static_cast<double>(std::max<std::int64_t>(1, gradient_steps_));
  IterationResult result;
  state_.window.report(result);
  result.emplace_back("timesteps_this_iter", static_cast<double>(state_.timesteps - begin));
  result.emplace_back("timesteps_total", static_cast<double>(state_.timesteps));
  result.emplace_back("training_iteration", static_cast<double>(state_.iterations));
  result.emplace_back("loss", loss_sum_ / steps);
  result.emplace_back("mean_q", q_sum_ / steps);
  result.emplace_back("grad_norm", norm_sum_ / steps);
  result.emplace_back("learning_rate", config_.lr.at(state_.timesteps));
  result.emplace_back("gradient_steps", static_cast<double>(gradient_steps_));
  result.emplace_back("sample_s", sample_s_);
  result.emplace_back("learn_s", learn_s_);
  result.emplace_back("steps_per_s",
                      static_cast<double>(state_.timesteps - begin) / std::max(sample_s_ + learn_s_, 1e-9));
  return result;
}

std::shared_ptr<const Policy> DqnTrainer::policy() const {
  PolicyInfo info;
  info.algo = "dqn";
  info.env = config_.env;
  info.observation_space = observation_space_;
  info.action_space = action_space_;
  info.distribution = Distribution::kQ;
  info.hidden = config_.hidden;
  info.act = config_.activation == "relu" ? nn::Act::kRelu : nn::Act::kTanh;
  return std::make_shared<const Policy>(std::move(info), nn::Filter(observation_size_, false, 0), learner_.net(),
                                        learner_.params(), std::span<const float>());
}

base::Result<std::string> DqnTrainer::save() const {
  Others others{learner_.adam_steps, started_ && env_->can_restore(), {}};
  const std::string environments = others.started ? env_->save_state() : std::string();
  others.environments = environments;
  FieldWriter out;
  fields(out, others, state_);
  return write_checkpoint(*policy(), learner_.arrays(), out.take(), config());
}

base::Status DqnTrainer::adjust(std::string_view config) {
  DAYBREAK_ASSIGN(const DqnConfig read, parse_dqn(config));
  config_.lr = read.lr;
  config_.prioritized_beta = read.prioritized_beta;
  config_.exploration_timesteps = read.exploration_timesteps;
  return {};
}

base::Status DqnTrainer::restore(std::string bytes) {
  DAYBREAK_ASSIGN(const Checkpoint file, Checkpoint::open(std::move(bytes), config(),
                                                          {"env", "env_options", "num_envs", "hidden", "activation",
                                                           "dueling", "n_step", "buffer_size", "prioritized_replay"},
                                                          learner_.arrays()));
  Others others;
  State state(config_, envs_, observation_size_);
  FieldReader in(file.state(), "the trainer's state");
  fields(in, others, state);
  const bool in_range = std::all_of(state.pending_count.begin(), state.pending_count.end(),
                                    [&](std::int64_t count) { return count >= 0 && count < config_.n_step; });
  if (!in.finish() || !in_range) return fail(Code::kDataLoss, "the checkpoint's state does not fit this trainer");
  if (others.started) DAYBREAK_TRY(env_->load_state(others.environments));

  file.copy_to(learner_.arrays());
  learner_.adam_steps = others.adam_steps;
  started_ = others.started;
  state_ = std::move(state);
  acting_ = nullptr;
  return {};
}

}  // namespace daybreak::rl
