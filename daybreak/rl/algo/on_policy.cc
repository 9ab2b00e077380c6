#include "daybreak/rl/algo/on_policy.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/clock.h"
#include "daybreak/rl/algo/fields.h"

namespace daybreak::rl {

using base::Code;
using base::fail;

namespace {

// Environments are split evenly, the first ones one larger.
std::int64_t share(std::int64_t total, std::int64_t parts, std::int64_t part) {
  return total / parts + (part < total % parts ? 1 : 0);
}

}  // namespace

base::Result<nn::ModelSpec> model_spec(const OnPolicyConfig& config, const Space& observations, const Space& actions) {
  constexpr std::int64_t kMaxObservations = 1 << 20;
  constexpr std::int64_t kMaxActions = 1 << 12;
  if (observations.n < 1 || observations.n > kMaxObservations) {
    return fail(Code::kInvalidArgument, "observations of {} numbers: 1 to {} are possible", observations.n,
                kMaxObservations);
  }
  if (actions.n < 1 || actions.n > kMaxActions) {
    return fail(Code::kInvalidArgument, "an action space of size {}: 1 to {} are possible", actions.n, kMaxActions);
  }
  nn::ModelSpec spec;
  spec.observation_size = static_cast<int>(observations.n);
  spec.discrete = actions.kind == Space::Kind::kDiscrete;
  spec.actions = static_cast<int>(actions.n);
  spec.hidden = config.hidden;
  spec.act = config.activation == "relu" ? nn::Act::kRelu : nn::Act::kTanh;
  spec.critic = config.algo != "pg";
  spec.shared = config.shared && spec.critic;
  if (config.use_sde && spec.discrete) {
    return fail(Code::kInvalidArgument, "use_sde=true is for Box actions, the space is Discrete({}): leave it out",
                actions.n);
  }
  spec.sde = config.use_sde;
  return spec;
}

SamplerOptions sampler_options(const OnPolicyConfig& config) {
  SamplerOptions options;
  options.gamma = static_cast<float>(config.gamma);
  options.lambda = config.algo == "pg" ? 1.0F : static_cast<float>(config.gae_lambda);
  options.reward_scale = static_cast<float>(config.reward_scale);
  options.drop_unfinished = config.algo == "pg";
  options.normalize_rewards = config.normalize_rewards;
  options.reward_clip = static_cast<float>(config.reward_clip);
  options.sde_sample_freq = config.sde_sample_freq;
  return options;
}

OnPolicyTrainer::OnPolicyTrainer(const OnPolicyConfig& config, const Space& observations, const Space& actions,
                                 const nn::ModelSpec& spec)
    : config_(config),
      observation_space_(observations),
      action_space_(actions),
      learner_(nn::Model(spec), config),
      state_{.stats = nn::RunningStats(spec.observation_size),
             .filter = nn::Filter(spec.observation_size, config.normalize_observations,
                                  static_cast<float>(config.observation_clip))} {}

base::Result<std::unique_ptr<OnPolicyTrainer>> OnPolicyTrainer::make(const OnPolicyConfig& config,
                                                                     const EnvFactory& factory, bool local_sampling) {
  const std::int64_t parts = local_sampling ? std::min(config.num_threads, config.num_envs) : 1;
  std::vector<std::unique_ptr<VecEnv>> envs;
  for (std::int64_t i = 0; i < parts; ++i) {
    EnvOptions options;
    options.num_envs = local_sampling ? share(config.num_envs, parts, i) : 1;
    options.autoreset = Autoreset::kSameStep;
    options.options = config.env_options;
    DAYBREAK_ASSIGN(auto env, factory(options));
    envs.push_back(std::move(env));
  }
  DAYBREAK_ASSIGN(const nn::ModelSpec spec, model_spec(config, envs[0]->observation_space(), envs[0]->action_space()));
  std::unique_ptr<OnPolicyTrainer> trainer(
      new OnPolicyTrainer(config, envs[0]->observation_space(), envs[0]->action_space(), spec));
  if (local_sampling) {
    for (std::int64_t i = 0; i < parts; ++i) {
      trainer->samplers_.push_back(std::make_unique<RolloutSampler>(std::move(envs[static_cast<std::size_t>(i)]),
                                                                    trainer->model(), sampler_options(config),
                                                                    config.seed, static_cast<std::uint64_t>(i)));
      trainer->logs_.emplace_back();
      trainer->seen_.emplace_back(spec.observation_size);
    }
    trainer->sampling_team_ = std::make_unique<base::Pool>(static_cast<std::size_t>(parts));
  }
  return trainer;
}

void OnPolicyTrainer::prepare_batch(std::int64_t rows) {
  const nn::ModelSpec& spec = model().spec();
  batch_.resize(rows, spec.observation_size, spec.discrete ? 0 : spec.actions);
}

base::Result<IterationResult> OnPolicyTrainer::train() {
  if (samplers_.empty()) {
    return fail(Code::kFailedPrecondition,
                "this trainer has no environments of its own: give it fragments with update()");
  }
  const double start = steady_seconds();
  prepare_batch(config_.num_envs * config_.num_steps);
  std::vector<std::int64_t> first_rows;
  std::int64_t row = 0;
  for (const auto& sampler : samplers_) {
    first_rows.push_back(row);
    row += sampler->num_envs() * config_.num_steps;
  }
  for (const auto& sampler : samplers_) sampler->set_reward_stats(state_.reward_stats);
  DAYBREAK_TRY(sampling_team_->run([&](std::size_t i) {
    return samplers_[i]->sample(learner_.params().data(), state_.filter, config_.num_steps, batch_, first_rows[i],
                                logs_[i], seen_[i]);
  }));
  episodes_.clear();
  for (std::size_t i = 0; i < samplers_.size(); ++i) {
    episodes_.returns.insert(episodes_.returns.end(), logs_[i].returns.begin(), logs_[i].returns.end());
    episodes_.lengths.insert(episodes_.lengths.end(), logs_[i].lengths.begin(), logs_[i].lengths.end());
    if (state_.filter.enabled) state_.stats.merge(seen_[i]);
    state_.reward_stats.merge(samplers_[i]->seen_rewards());
  }
  return learn(steady_seconds() - start);
}

base::Result<IterationResult> OnPolicyTrainer::update(std::span<const Fragment> fragments, double sample_s) {
  const nn::ModelSpec& spec = model().spec();
  const auto width = static_cast<std::size_t>(spec.observation_size);
  const auto box = static_cast<std::size_t>(spec.discrete ? 0 : spec.actions);
  std::int64_t rows = 0;
  for (const Fragment& f : fragments) {
    const std::size_t n = f.logp.size();
    if (f.observations.size() != n * width || f.actions.size() != (spec.discrete ? n : 0) ||
        f.box_actions.size() != n * box || f.values.size() != n || f.advantages.size() != n || f.returns.size() != n ||
        f.usable.size() != n || f.episode_returns.size() != f.episode_lengths.size() || f.seen_mean.size() != width ||
        f.seen_m2.size() != width || f.seen_rewards.size() != 3) {
      return fail(Code::kInvalidArgument,
                  "a fragment of {} rows does not fit observations of {} and {} actions: its arrays have other lengths",
                  n, width, spec.actions);
    }
    float sum = 0;
    for (const std::span<const float> part :
         {f.observations, f.box_actions, f.logp, f.values, f.advantages, f.returns}) {
      for (float x : part) sum += std::fabs(x);
    }
    if (!std::isfinite(sum))
      return fail(Code::kInvalidArgument, "a fragment of {} rows holds numbers that are not finite", n);
    for (std::int32_t a : f.actions) {
      if (a < 0 || a >= spec.actions)
        return fail(Code::kInvalidArgument, "a fragment holds action {} of {}", a, spec.actions);
    }
    rows += static_cast<std::int64_t>(n);
  }
  if (rows == 0) return fail(Code::kInvalidArgument, "no rows to learn from");
  prepare_batch(rows);
  episodes_.clear();
  std::size_t at = 0;
  for (const Fragment& f : fragments) {
    const auto put = [&](auto from, auto& to, std::size_t row_size) {
      std::copy(from.begin(), from.end(), to.begin() + static_cast<std::ptrdiff_t>(at * row_size));
    };
    put(f.observations, batch_.observations, width);
    put(f.actions, batch_.actions, 1);
    put(f.box_actions, batch_.box_actions, box);
    put(f.logp, batch_.logp, 1);
    put(f.values, batch_.values, 1);
    put(f.advantages, batch_.advantages, 1);
    put(f.returns, batch_.returns, 1);
    put(f.usable, batch_.usable, 1);
    at += f.logp.size();
    episodes_.returns.insert(episodes_.returns.end(), f.episode_returns.begin(), f.episode_returns.end());
    episodes_.lengths.insert(episodes_.lengths.end(), f.episode_lengths.begin(), f.episode_lengths.end());
    nn::RunningStats rewards(1);
    rewards.count = f.seen_rewards[0];
    rewards.mean[0] = f.seen_rewards[1];
    rewards.m2[0] = f.seen_rewards[2];
    state_.reward_stats.merge(rewards);
    if (state_.filter.enabled) {
      nn::RunningStats seen(spec.observation_size);
      seen.count = f.seen_count;
      seen.mean.assign(f.seen_mean.begin(), f.seen_mean.end());
      seen.m2.assign(f.seen_m2.begin(), f.seen_m2.end());
      state_.stats.merge(seen);
    }
  }
  return learn(sample_s);
}

base::Result<IterationResult> OnPolicyTrainer::learn(double sample_s) {
  const double start = steady_seconds();
  // Schedules are read before the steps of this iteration count, as at its beginning.
  DAYBREAK_ASSIGN(const LearnStats stats, learner_.update(batch_, state_.timesteps));
  if (state_.filter.enabled) state_.filter.assign(state_.stats);
  state_.timesteps += batch_.rows;
  ++state_.iterations;
  state_.window.add(episodes_);
  const double learn_s = steady_seconds() - start;
  IterationResult result;
  state_.window.report(result);
  result.emplace_back("timesteps_this_iter", static_cast<double>(batch_.rows));
  result.emplace_back("timesteps_total", static_cast<double>(state_.timesteps));
  result.emplace_back("training_iteration", static_cast<double>(state_.iterations));
  result.emplace_back("policy_loss", stats.policy_loss);
  result.emplace_back("value_loss", stats.value_loss);
  result.emplace_back("entropy", stats.entropy);
  result.emplace_back("kl", stats.kl);
  result.emplace_back("clip_fraction", stats.clip_fraction);
  result.emplace_back("explained_variance", stats.explained_variance);
  result.emplace_back("grad_norm", stats.grad_norm);
  result.emplace_back("learning_rate", stats.lr);
  result.emplace_back("clip_range", stats.clip);
  result.emplace_back("entropy_coef", stats.entropy_coef);
  result.emplace_back("kl_coef", stats.kl_coef);
  result.emplace_back("gradient_steps", static_cast<double>(stats.gradient_steps));
  result.emplace_back("sample_s", sample_s);
  result.emplace_back("learn_s", learn_s);
  result.emplace_back("steps_per_s", static_cast<double>(batch_.rows) / std::max(sample_s + learn_s, 1e-9));
  return result;
}

std::vector<float> OnPolicyTrainer::weights() const {
  std::vector<float> flat(learner_.params().begin(), learner_.params().end());
  flat.insert(flat.end(), state_.filter.mean.begin(), state_.filter.mean.end());
  flat.insert(flat.end(), state_.filter.inverse_std.begin(), state_.filter.inverse_std.end());
  for (const double x : {state_.reward_stats.count, state_.reward_stats.mean[0], state_.reward_stats.m2[0]})
    flat.push_back(static_cast<float>(x));
  return flat;
}

std::shared_ptr<const Policy> OnPolicyTrainer::policy() const {
  PolicyInfo info;
  info.algo = config_.algo;
  info.env = config_.env;
  info.observation_space = observation_space_;
  info.action_space = action_space_;
  info.distribution = model().spec().discrete ? Distribution::kCategorical
                      : model().spec().sde    ? Distribution::kSde
                                              : Distribution::kGaussian;
  info.hidden = model().spec().hidden;
  info.act = model().spec().act;
  const auto log_std = learner_.params().subspan(model().log_std(), model().log_std_size());
  return std::make_shared<const Policy>(std::move(info), state_.filter, model().actor(), learner_.params(), log_std);
}

template <typename Archive, typename LearnerOf, typename StateOf>
void OnPolicyTrainer::fields(Archive& archive, const OnPolicyConfig& config, LearnerOf& learner, StateOf& state) {
  archive("adam steps", learner.adam_steps);
  archive("kl_coef", learner.kl_coef);
  archive("random", learner.random);
  archive("timesteps", state.timesteps);
  archive("iterations", state.iterations);
  archive("window", state.window);
  archive("statistics of observations", state.stats);
  archive("filter", state.filter);
  if (config.normalize_rewards) archive("statistics of rewards", state.reward_stats);
}

base::Result<std::string> OnPolicyTrainer::save() const {
  const OnPolicyLearner::State learner = learner_.state();
  FieldWriter out;
  fields(out, config_, learner, state_);
  out("samplers", samplers_.size());
  for (const auto& sampler : samplers_) out.text("sampler", sampler->save_state());
  return write_checkpoint(*policy(), learner_.arrays(), out.take(), config());
}

base::Status OnPolicyTrainer::adjust(std::string_view config) {
  DAYBREAK_ASSIGN(const OnPolicyConfig read, parse_on_policy(config));
  config_.lr = read.lr;
  config_.clip = read.clip;
  config_.entropy_coef = read.entropy_coef;
  learner_.set_schedules(config_);
  return {};
}

base::Status OnPolicyTrainer::restore(std::string bytes) {
  DAYBREAK_ASSIGN(const Checkpoint file,
                  Checkpoint::open(std::move(bytes), config(),
                                   {"algo", "env", "env_options", "num_envs", "num_threads", "hidden", "activation",
                                    "shared", "normalize_observations", "normalize_rewards", "use_sde", "optimizer"},
                                   learner_.arrays()));
  OnPolicyLearner::State learner = learner_.state();
  State state = state_;
  FieldReader in(file.state(), "the trainer's state");
  fields(in, config_, learner, state);
  std::uint64_t count = 0;
  in("samplers", count);
  std::vector<std::string_view> states;
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) in.text("sampler", states.emplace_back());
  if (!in.finish() || states.size() != samplers_.size()) {
    return fail(Code::kDataLoss, "the checkpoint's state does not fit this trainer ({} samplers, {} here)",
                states.size(), samplers_.size());
  }
  // Samplers are the only part that can still refuse: on a refusal those already loaded go back.
  std::vector<std::string> before;
  for (std::size_t i = 0; i < samplers_.size(); ++i) {
    before.push_back(samplers_[i]->save_state());
    if (base::Status status = samplers_[i]->load_state(states[i]); !status) {
      for (std::size_t j = 0; j <= i; ++j) DAYBREAK_CHECK(samplers_[j]->load_state(before[j]).has_value());
      return status;
    }
  }
  file.copy_to(learner_.arrays());
  learner_.set_state(learner);
  state_ = std::move(state);
  return {};
}

}  // namespace daybreak::rl
