#include "daybreak/rl/algo/dqn.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "daybreak/base/bytes.h"
#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/clock.h"
#include "daybreak/rl/algo/sampler.h"

namespace daybreak::rl {

using base::Code;
using base::fail;

namespace {

nn::Act act_of(const DqnConfig& config) {
  return config.activation == "relu" ? nn::Act::kRelu : nn::Act::kTanh;
}

}  // namespace

// ---- the learner
// -------------------------------------------------------------------------------------------------------

QLearner::QLearner(int observation_size, int actions, const DqnConfig& config)
    : config_(config),
      kernels_(nn::kernels()),
      observation_size_(observation_size),
      actions_(actions),
      net_(observation_size, config.hidden, actions + (config.dueling ? 1 : 0), act_of(config), 0),
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

// ---- the trainer
// -------------------------------------------------------------------------------------------------------

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

DqnTrainer::DqnTrainer(const DqnConfig& config, std::unique_ptr<VecEnv> env)
    : config_(config),
      env_(std::move(env)),
      observation_space_(env_->observation_space()),
      action_space_(env_->action_space()),
      envs_(env_->num_envs()),
      observation_size_(static_cast<int>(observation_space_.n)),
      learner_(observation_size_, static_cast<int>(action_space_.n), config),
      replay_(config.buffer_size, observation_size_, config.prioritized_replay, config.prioritized_alpha),
      random_(config.seed, 3) {
  const auto n = static_cast<std::size_t>(envs_);
  const auto width = static_cast<std::size_t>(observation_size_);
  const auto window = n * static_cast<std::size_t>(config.n_step);
  observations_.resize(n * width);
  before_.resize(n * width);
  finals_.resize(n * width);
  running_return_.resize(n);
  running_length_.resize(n);
  pending_observations_.resize(window * width);
  pending_rewards_.resize(window);
  pending_actions_.resize(window);
  pending_count_.resize(n);
  actions_.resize(n);
  rewards_.resize(n);
  terminated_.resize(n);
  truncated_.resize(n);
  drawn_.resize(static_cast<std::size_t>(config.batch_size));
  weights_.resize(drawn_.size());
  errors_.resize(drawn_.size());
}

void DqnTrainer::choose_actions() {
  const double done =
      static_cast<double>(timesteps_) / static_cast<double>(std::max<std::int64_t>(1, config_.exploration_timesteps));
  const double epsilon = config_.exploration_initial_eps +
                         std::min(1.0, done) * (config_.exploration_final_eps - config_.exploration_initial_eps);
  const auto start = static_cast<std::int32_t>(action_space_.start);
  for (std::size_t i = 0; i < actions_.size(); ++i) {
    if (timesteps_ < config_.learning_starts || random_.uniform_double() < epsilon) {
      actions_[i] = start + static_cast<std::int32_t>(random_.below(static_cast<std::uint32_t>(action_space_.n)));
    } else {
      if (acting_ == nullptr) acting_ = policy();
      acting_->act_batch(observations_.data() + i * static_cast<std::size_t>(observation_size_), 1, &actions_[i]);
    }
  }
}

base::Status DqnTrainer::check_finite() const {
  float sum = 0;
  for (float x : rewards_) sum += std::fabs(x);
  for (float x : observations_) sum += std::fabs(x);
  if (std::isfinite(sum)) return {};
  for (std::size_t i = 0; i < rewards_.size(); ++i) {
    if (!std::isfinite(rewards_[i])) {
      return fail(Code::kInvalidArgument,
                  "environment {} gave reward {} at time step {} (step {} of its episode): rewards must be finite", i,
                  rewards_[i], timesteps_, running_length_[i] + 1);
    }
  }
  return fail(Code::kInvalidArgument, "an environment gave an observation that is not finite at time step {}",
              timesteps_);
}

// Adds the step of one environment to its pending ones, and those whose n-step return is complete to the replay buffer.
void DqnTrainer::remember(std::int64_t env, EpisodeLog& episodes) {
  const auto e = static_cast<std::size_t>(env);
  const auto width = static_cast<std::size_t>(observation_size_);
  const auto n = static_cast<std::size_t>(config_.n_step);
  const bool over = (terminated_[e] | truncated_[e]) != 0;
  const auto count = static_cast<std::size_t>(++pending_count_[e]);
  float* pending_observations = pending_observations_.data() + e * n * width;
  float* pending_rewards = pending_rewards_.data() + e * n;
  std::int32_t* pending_actions = pending_actions_.data() + e * n;
  std::copy_n(before_.data() + e * width, width, pending_observations + (count - 1) * width);
  pending_rewards[count - 1] = rewards_[e] * static_cast<float>(config_.reward_scale);
  pending_actions[count - 1] = actions_[e] - static_cast<std::int32_t>(action_space_.start);
  const float* next = (over ? finals_.data() : observations_.data()) + e * width;
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
    replay_.add(pending_observations + i * width, pending_actions[i], reward, discount, next);
  }
  if (complete > 0 && complete < count) {
    std::memmove(pending_observations, pending_observations + width, (count - 1) * width * sizeof(float));
    std::memmove(pending_rewards, pending_rewards + 1, (count - 1) * sizeof(float));
    std::memmove(pending_actions, pending_actions + 1, (count - 1) * sizeof(std::int32_t));
  }
  pending_count_[e] = static_cast<std::int64_t>(count - complete);
  running_return_[e] += static_cast<double>(rewards_[e]);
  ++running_length_[e];
  if (!over) return;
  episodes.returns.push_back(running_return_[e]);
  episodes.lengths.push_back(running_length_[e]);
  running_return_[e] = 0;
  running_length_[e] = 0;
}

base::Status DqnTrainer::sample_step(EpisodeLog& episodes) {
  if (!started_) {
    DAYBREAK_TRY(env_->reset(env_seed(config_.seed, 0) + resets_, observations_.data()));
    ++resets_;
    started_ = true;
    std::fill(running_return_.begin(), running_return_.end(), 0.0);
    std::fill(running_length_.begin(), running_length_.end(), 0);
    std::fill(pending_count_.begin(), pending_count_.end(), 0);
  }
  choose_actions();
  before_ = observations_;
  base::Status status = env_->step(
      actions_.data(), {observations_.data(), rewards_.data(), terminated_.data(), truncated_.data(), finals_.data()});
  if (!status) status = std::unexpected(std::move(status).error().wrap(fmt::format("time step {}", timesteps_)));
  if (status) status = check_finite();
  if (!status) {
    started_ = false;
    return status;
  }
  for (std::int64_t env = 0; env < envs_; ++env) remember(env, episodes);
  timesteps_ += envs_;
  return {};
}

base::Status DqnTrainer::learn_round() {
  const double lr = config_.lr.at(timesteps_);
  const double beta = config_.prioritized_beta.at(timesteps_);
  for (std::int64_t i = 0; i < config_.gradient_steps; ++i) {
    replay_.draw(random_, beta, drawn_, weights_);
    auto loss = learner_.learn(replay_, {drawn_, weights_}, lr, errors_);
    if (!loss) return std::unexpected(std::move(loss).error().wrap(fmt::format("time step {}", timesteps_)));
    loss_sum_ += *loss;
    replay_.set_errors(drawn_, errors_);
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
  const std::int64_t begin = timesteps_;
  while (timesteps_ - begin < config_.steps_per_iteration) {
    const double start = steady_seconds();
    while (timesteps_ - last_round_ < config_.train_freq) DAYBREAK_TRY(sample_step(episodes));
    last_round_ = timesteps_;
    const double sampled = steady_seconds();
    if (timesteps_ - last_target_update_ >= config_.target_update_interval) {
      learner_.update_target(config_.tau);
      last_target_update_ = timesteps_;
    }
    if (timesteps_ >= config_.learning_starts && replay_.size() > 0) DAYBREAK_TRY(learn_round());
    sample_s_ += sampled - start;
    learn_s_ += steady_seconds() - sampled;
  }
  window_.add(episodes);
  ++iterations_;
  const double steps = static_cast<double>(std::max<std::int64_t>(1, gradient_steps_));
  IterationResult result;
  window_.report(result);
  result.emplace_back("timesteps_this_iter", static_cast<double>(timesteps_ - begin));
  result.emplace_back("timesteps_total", static_cast<double>(timesteps_));
  result.emplace_back("training_iteration", static_cast<double>(iterations_));
  result.emplace_back("loss", loss_sum_ / steps);
  result.emplace_back("mean_q", q_sum_ / steps);
  result.emplace_back("grad_norm", norm_sum_ / steps);
  result.emplace_back("learning_rate", config_.lr.at(timesteps_));
  result.emplace_back("gradient_steps", static_cast<double>(gradient_steps_));
  result.emplace_back("sample_s", sample_s_);
  result.emplace_back("learn_s", learn_s_);
  result.emplace_back("steps_per_s", static_cast<double>(timesteps_ - begin) / std::max(sample_s_ + learn_s_, 1e-9));
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
  info.act = act_of(config_);
  auto& learner = const_cast<QLearner&>(learner_);  // its parameters are only read
  return std::make_shared<const Policy>(std::move(info), nn::Filter(observation_size_, false, 0), learner.net(),
                                        learner.params(), std::span<const float>());
}

base::Result<std::string> DqnTrainer::save() const {
  auto& learner = const_cast<QLearner&>(learner_);  // spans over its arrays, read only here
  base::ByteWriter state;
  state.fixed<std::uint64_t>(static_cast<std::uint64_t>(learner.adam_steps));
  for (std::uint64_t word : random_.state()) state.fixed<std::uint64_t>(word);
  for (std::int64_t x : {timesteps_, iterations_, last_target_update_, last_round_})
    state.fixed<std::uint64_t>(static_cast<std::uint64_t>(x));
  const bool started = started_ && env_->can_restore();
  state.fixed<std::uint64_t>(static_cast<std::uint64_t>(started));
  state.fixed<std::uint64_t>(resets_);
  state.array(std::span(observations_));
  state.array(std::span(running_return_));
  state.array(std::span(running_length_));
  state.array(std::span(pending_observations_));
  state.array(std::span(pending_rewards_));
  state.array(std::span(pending_actions_));
  state.array(std::span(pending_count_));
  state.fixed_text<std::uint64_t>(window_.save());
  state.fixed_text<std::uint64_t>(replay_.save_state());
  state.fixed_text<std::uint64_t>(started ? env_->save_state() : std::string());
  return write_checkpoint(*policy(), learner.arrays(), state.take(), config());
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
  base::ByteReader in(file.state(), "the trainer's state");
  const std::uint64_t adam_steps = in.fixed<std::uint64_t>();
  std::array<std::uint64_t, 4> random{};
  for (std::uint64_t& word : random) word = in.fixed<std::uint64_t>();
  std::int64_t counters[4];
  for (std::int64_t& x : counters) x = static_cast<std::int64_t>(in.fixed<std::uint64_t>());
  const std::uint64_t started = in.fixed<std::uint64_t>();
  const std::uint64_t resets = in.fixed<std::uint64_t>();
  auto observations = observations_;
  auto running_return = running_return_;
  auto running_length = running_length_;
  auto pending_observations = pending_observations_;
  auto pending_rewards = pending_rewards_;
  auto pending_actions = pending_actions_;
  auto pending_count = pending_count_;
  in.array(std::span(observations), "observations");
  in.array(std::span(running_return), "running return");
  in.array(std::span(running_length), "running length");
  in.array(std::span(pending_observations), "pending observations");
  in.array(std::span(pending_rewards), "pending rewards");
  in.array(std::span(pending_actions), "pending actions");
  in.array(std::span(pending_count), "pending count");
  EpisodeWindow window;
  ReplayBuffer replay(config_.buffer_size, observation_size_, config_.prioritized_replay, config_.prioritized_alpha);
  const bool read = window.load(in.fixed_text<std::uint64_t>()) && replay.load_state(in.fixed_text<std::uint64_t>());
  const std::string_view env = in.fixed_text<std::uint64_t>();
  bool in_range = true;
  for (std::int64_t count : pending_count) in_range = in_range && count >= 0 && count < config_.n_step;
  if (!in.finish() || !read || !in_range || started > 1)
    return fail(Code::kDataLoss, "the checkpoint's state does not fit this trainer");
  if (started == 1) DAYBREAK_TRY(env_->load_state(env));

  file.copy_to(learner_.arrays());
  learner_.adam_steps = static_cast<std::int64_t>(adam_steps);
  random_.set_state(random);
  timesteps_ = counters[0];
  iterations_ = counters[1];
  last_target_update_ = counters[2];
  last_round_ = counters[3];
  started_ = started == 1;
  resets_ = resets;
  observations_ = std::move(observations);
  running_return_ = std::move(running_return);
  running_length_ = std::move(running_length);
  pending_observations_ = std::move(pending_observations);
  pending_rewards_ = std::move(pending_rewards);
  pending_actions_ = std::move(pending_actions);
  pending_count_ = std::move(pending_count);
  window_ = std::move(window);
  replay_ = std::move(replay);
  acting_ = nullptr;
  return {};
}

}  // namespace daybreak::rl
