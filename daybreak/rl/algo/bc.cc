#include "daybreak/rl/algo/bc.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/clock.h"
#include "daybreak/rl/algo/fields.h"
#include "daybreak/rl/algo/on_policy.h"

namespace daybreak::rl {

using base::Code;
using base::fail;

namespace {

constexpr std::int64_t kMaxRows = std::int64_t{1} << 26;

// The learner's terms: REINFORCE without a critic, where the loss is -advantage * log p.
OnPolicyConfig learner_config(const BcConfig& config) {
  OnPolicyConfig c;
  c.algo = "pg";
  c.env = config.env;
  c.seed = config.seed;
  c.num_threads = config.num_threads;
  c.hidden = config.hidden;
  c.activation = config.activation;
  c.init = config.init;
  c.log_std_init = config.log_std_init;
  c.minibatch_size = config.minibatch_size;
  c.num_epochs = config.num_epochs;
  c.lr = config.lr;
  c.entropy_coef = config.entropy_coef;
  c.normalize_advantage = false;
  c.max_grad_norm = config.max_grad_norm;
  c.adam_eps = config.adam_eps;
  c.adam_beta1 = config.adam_beta1;
  c.adam_beta2 = config.adam_beta2;
  return c;
}

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

base::Status check(const Demonstrations& d, const Space& observations, const Space& actions) {
  if (d.rows < 1 || d.rows > kMaxRows)
    return fail(Code::kInvalidArgument, "{} recorded rows: 1 to {} are possible", d.rows, kMaxRows);
  const auto rows = static_cast<std::size_t>(d.rows);
  const bool discrete = actions.kind == Space::Kind::kDiscrete;
  const auto width = static_cast<std::size_t>(observations.n);
  if (d.observations.size() != rows * width) {
    return fail(Code::kInvalidArgument, "{} numbers of observations in {} rows: the environment has {} a row",
                d.observations.size(), rows, width);
  }
  if (discrete ? d.actions.size() != rows : d.box_actions.size() != rows * static_cast<std::size_t>(actions.n)) {
    return fail(Code::kInvalidArgument, "{} actions in {} rows: {}", discrete ? d.actions.size() : d.box_actions.size(),
                rows, discrete ? "one whole number a row is needed" : fmt::format("{} numbers a row", actions.n));
  }
  if (!finite(d.observations) || !finite(d.box_actions))
    return fail(Code::kInvalidArgument, "a recorded number is not finite");
  for (std::size_t row = 0; row < d.actions.size(); ++row) {
    if (d.actions[row] < actions.start || d.actions[row] >= actions.start + actions.n)
      return fail(Code::kInvalidArgument, "action {} in row {}: {} to {} are possible", d.actions[row], row,
                  actions.start, actions.start + actions.n - 1);
  }
  return {};
}

// Discrete observations as the environment gives them, one whole number a row, as the net takes them.
base::Status to_one_hot(Demonstrations& d, const Space& space) {
  const auto rows = static_cast<std::size_t>(d.rows);
  if (space.kind != Space::Kind::kDiscrete || space.n == 1 || d.observations.size() != rows) return {};
  std::vector<float> wide(rows * static_cast<std::size_t>(space.n));
  for (std::size_t row = 0; row < rows; ++row) {
    const double at = static_cast<double>(d.observations[row]) - static_cast<double>(space.start);
    if (!(at >= 0 && at < static_cast<double>(space.n)) || at != std::floor(at)) {
      return fail(Code::kInvalidArgument, "observation {} in row {}: whole numbers from {} to {} are possible",
                  d.observations[row], row, space.start, space.start + space.n - 1);
    }
    wide[row * static_cast<std::size_t>(space.n) + static_cast<std::size_t>(at)] = 1;
  }
  d.observations = std::move(wide);
  return {};
}

}  // namespace

base::Result<std::unique_ptr<BcTrainer>> BcTrainer::make(const BcConfig& config, const EnvFactory& factory,
                                                         Demonstrations demonstrations) {
  EnvOptions options;
  options.num_envs = 1;
  options.options = config.env_options;
  DAYBREAK_ASSIGN(const auto env, factory(options));
  const Space& observations = env->observation_space();
  const Space& actions = env->action_space();
  DAYBREAK_ASSIGN(const nn::ModelSpec spec, model_spec(learner_config(config), observations, actions));
  DAYBREAK_TRY(to_one_hot(demonstrations, observations));
  DAYBREAK_TRY(check(demonstrations, observations, actions));
  for (std::int32_t& action : demonstrations.actions) action -= static_cast<std::int32_t>(actions.start);
  return std::unique_ptr<BcTrainer>(new BcTrainer(config, spec, observations, actions, std::move(demonstrations)));
}

BcTrainer::BcTrainer(const BcConfig& config, const nn::ModelSpec& spec, const Space& observations, const Space& actions,
                     Demonstrations demonstrations)
    : config_(config),
      observation_space_(observations),
      action_space_(actions),
      demonstrations_(std::move(demonstrations)),
      learner_(nn::Model(spec), learner_config(config)),
      state_{.filter = nn::Filter(spec.observation_size, config.normalize_observations,
                                  static_cast<float>(config.observation_clip))} {
  hold_out();
  if (state_.filter.enabled) {
    nn::RunningStats stats(spec.observation_size);
    for (const std::int64_t row : training_rows_)
      stats.add(demonstrations_.observations.data() + row * spec.observation_size);
    state_.filter.assign(stats);
  }
  fill_batch();
}

void BcTrainer::hold_out() {
  std::vector<std::int64_t> order(static_cast<std::size_t>(demonstrations_.rows));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  base::Xoshiro256 random(config_.seed, 3);
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  const auto held = static_cast<std::ptrdiff_t>(config_.validation_fraction * static_cast<double>(order.size()));
  validation_rows_.assign(order.begin(), order.begin() + held);
  training_rows_.assign(order.begin() + held, order.end());
}

// The inverse of what Policy does to a Box action: the environment's bounds to [-1, 1].
float BcTrainer::unscaled(std::size_t row, std::size_t component) const {
  const auto width = static_cast<std::size_t>(action_space_.n);
  const float action = demonstrations_.box_actions[row * width + component];
  for (std::size_t i = 0; i < width; ++i) {  // as in Policy: all bounds are finite, or none counts
    if (!std::isfinite(action_space_.low[i]) || !std::isfinite(action_space_.high[i])) return action;
  }
  const double low = action_space_.low[component], high = action_space_.high[component];
  return high > low ? static_cast<float>(2 * (static_cast<double>(action) - low) / (high - low) - 1) : 0.0F;
}

void BcTrainer::fill_batch() {
  const auto width = static_cast<std::size_t>(spec().observation_size);
  const auto box = static_cast<std::size_t>(spec().discrete ? 0 : spec().actions);
  batch_.resize(static_cast<std::int64_t>(training_rows_.size()), spec().observation_size, static_cast<int>(box));
  std::fill(batch_.advantages.begin(), batch_.advantages.end(), 1.0F);
  for (std::size_t i = 0; i < training_rows_.size(); ++i) {
    const auto row = static_cast<std::size_t>(training_rows_[i]);
    state_.filter.apply(demonstrations_.observations.data() + row * width, batch_.observations.data() + i * width);
    if (spec().discrete) batch_.actions[i] = demonstrations_.actions[row];
    for (std::size_t a = 0; a < box; ++a) batch_.box_actions[i * box + a] = unscaled(row, a);
  }
}

BcTrainer::Score BcTrainer::score(const Policy& policy, const std::vector<std::int64_t>& rows) const {
  const auto width = static_cast<std::size_t>(spec().observation_size);
  const auto actions = static_cast<std::size_t>(spec().actions);
  std::vector<float> out(actions);
  const auto log_std = std::as_const(learner_).params().subspan(spec().discrete ? 0 : learner_.model().log_std());
  Score score;
  for (const std::int64_t index : rows) {
    const auto row = static_cast<std::size_t>(index);
    policy.outputs(demonstrations_.observations.data() + row * width, out.data());
    if (spec().discrete) {
      const auto best = std::max_element(out.begin(), out.end());
      const auto action = static_cast<std::size_t>(demonstrations_.actions[row]);
      double total = 0;
      for (const float logit : out) total += std::exp(static_cast<double>(logit - *best));
      score.loss += std::log(total) - static_cast<double>(out[action] - *best);
      score.match += static_cast<std::size_t>(best - out.begin()) == action ? 1 : 0;
      continue;
    }
    for (std::size_t a = 0; a < actions; ++a) {
      const double error = static_cast<double>(unscaled(row, a) - out[a]);
      const double deviation = std::exp(static_cast<double>(log_std[a]));
      score.loss += 0.5 * error * error / (deviation * deviation) + static_cast<double>(log_std[a]) +
                    0.5 * std::log(2 * std::numbers::pi);
      score.match += error * error / static_cast<double>(actions);
    }
  }
  const auto n = static_cast<double>(rows.size());
  return {score.loss / n, score.match / n};  // NaN when no rows are held out
}

base::Result<IterationResult> BcTrainer::train() {
  const double start = steady_seconds();
  DAYBREAK_ASSIGN(const LearnStats stats, learner_.update(batch_, state_.timesteps));
  state_.timesteps += batch_.rows * stats.epochs;
  ++state_.iterations;
  const double learn_s = steady_seconds() - start;
  const auto snapshot = policy();
  const Score training = score(*snapshot, training_rows_);
  const Score validation = score(*snapshot, validation_rows_);
  const std::string match = spec().discrete ? "accuracy" : "mse";
  IterationResult result;
  result.emplace_back("loss", training.loss);
  result.emplace_back(match, training.match);
  result.emplace_back("validation_loss", validation.loss);
  result.emplace_back("validation_" + match, validation.match);
  result.emplace_back("entropy", stats.entropy);
  result.emplace_back("grad_norm", stats.grad_norm);
  result.emplace_back("learning_rate", stats.lr);
  result.emplace_back("gradient_steps", static_cast<double>(stats.gradient_steps));
  result.emplace_back("timesteps_this_iter", static_cast<double>(batch_.rows * stats.epochs));
  result.emplace_back("timesteps_total", static_cast<double>(state_.timesteps));
  result.emplace_back("training_iteration", static_cast<double>(state_.iterations));
  result.emplace_back("learn_s", learn_s);
  result.emplace_back("steps_per_s", static_cast<double>(batch_.rows * stats.epochs) / std::max(learn_s, 1e-9));
  return result;
}

std::shared_ptr<const Policy> BcTrainer::policy() const {
  PolicyInfo info;
  info.algo = config_.algo;
  info.env = config_.env;
  info.observation_space = observation_space_;
  info.action_space = action_space_;
  info.distribution = spec().discrete ? Distribution::kCategorical : Distribution::kGaussian;
  info.hidden = spec().hidden;
  info.act = spec().act;
  const nn::Model& model = learner_.model();
  std::span<const float> log_std;
  if (!spec().discrete) log_std = learner_.params().subspan(model.log_std(), static_cast<std::size_t>(spec().actions));
  return std::make_shared<const Policy>(std::move(info), state_.filter, model.actor(), learner_.params(), log_std);
}

template <typename Archive, typename LearnerOf, typename StateOf>
void BcTrainer::fields(Archive& archive, LearnerOf& learner, StateOf& state) {
  archive("adam steps", learner.adam_steps);
  archive("random", learner.random);
  archive("timesteps", state.timesteps);
  archive("iterations", state.iterations);
  archive("filter", state.filter);
}

base::Result<std::string> BcTrainer::save() const {
  const OnPolicyLearner::State learner = learner_.state();
  FieldWriter out;
  fields(out, learner, state_);
  return write_checkpoint(*policy(), learner_.arrays(), out.take(), config());
}

base::Status BcTrainer::adjust(std::string_view config) {
  DAYBREAK_ASSIGN(const BcConfig read, parse_bc(config));
  config_.lr = read.lr;
  config_.entropy_coef = read.entropy_coef;
  learner_.set_schedules(learner_config(config_));
  return {};
}

base::Status BcTrainer::restore(std::string bytes) {
  DAYBREAK_ASSIGN(const Checkpoint file, Checkpoint::open(std::move(bytes), config(),
                                                          {"algo", "env", "env_options", "hidden", "activation",
                                                           "normalize_observations", "validation_fraction"},
                                                          learner_.arrays()));
  OnPolicyLearner::State learner = learner_.state();
  State state = state_;
  FieldReader in(file.state(), "the trainer's state");
  fields(in, learner, state);
  if (!in.finish()) return fail(Code::kDataLoss, "the checkpoint's state does not fit this trainer");
  file.copy_to(learner_.arrays());
  learner_.set_state(learner);
  state_ = std::move(state);
  fill_batch();  // by the filter that the weights are used to
  return {};
}

}  // namespace daybreak::rl
