#include "daybreak/rl/envs/cartpole.h"

namespace daybreak::rl {

base::Result<std::unique_ptr<VecEnv>> CartPoleBatch::make(const EnvOptions& options) {
  OptionReader reader("CartPole-v1", options.options);
  DAYBREAK_ASSIGN(const std::int64_t limit, reader.integer("max_episode_steps", 500, 0, kNoStepLimit));
  DAYBREAK_ASSIGN(const bool sutton_barto, reader.boolean("sutton_barto_reward", false));
  DAYBREAK_TRY(reader.finish());
  const cartpole::Rules rules{.step_limit = limit == 0 ? kNoStepLimit : static_cast<std::int32_t>(limit),
                              .reward = sutton_barto ? 0.0F : 1.0F,
                              .reward_at_fall = sutton_barto ? -1.0F : 1.0F};
  return std::unique_ptr<VecEnv>(new CartPoleBatch(options, rules));
}

static Space observation_box() {
  constexpr double kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<double> high = {static_cast<float>(cartpole::kPositionLimit * 2), kInfinity,
                                    static_cast<float>(cartpole::kAngleLimit * 2), kInfinity};
  std::vector<double> low = high;
  for (double& bound : low) bound = -bound;
  return Space::box(std::move(low), high);
}

CartPoleBatch::CartPoleBatch(const EnvOptions& options, const cartpole::Rules& rules)
    : BatchEnv("CartPole-v1", options, observation_box(), Space::discrete(2), rules.step_limit),
      rules_(rules),
      step_(cartpole::step_function()),
      x_(options.num_envs),
      x_dot_(options.num_envs),
      theta_(options.num_envs),
      theta_dot_(options.num_envs) {}

base::Result<std::array<double, 4>> CartPoleBatch::state(std::int64_t row) const {
  DAYBREAK_TRY(check_row(row));
  return std::array<double, 4>{x_[row], x_dot_[row], theta_[row], theta_dot_[row]};
}

base::Status CartPoleBatch::set_state(std::int64_t row, const std::array<double, 4>& state) {
  DAYBREAK_TRY(check_row(row));
  x_[row] = state[0];
  x_dot_[row] = state[1];
  theta_[row] = state[2];
  theta_dot_[row] = state[3];
  start_from_outside(row);
  return {};
}

void CartPoleBatch::start(std::int64_t row) {
  constexpr double kSpread = 0.05;
  base::Pcg64& draws = random(row);
  x_[row] = draws.uniform(-kSpread, kSpread);
  x_dot_[row] = draws.uniform(-kSpread, kSpread);
  theta_[row] = draws.uniform(-kSpread, kSpread);
  theta_dot_[row] = draws.uniform(-kSpread, kSpread);
}

void CartPoleBatch::observe(std::int64_t row, float* observation) const {
  observation[0] = static_cast<float>(x_[row]);
  observation[1] = static_cast<float>(x_dot_[row]);
  observation[2] = static_cast<float>(theta_[row]);
  observation[3] = static_cast<float>(theta_dot_[row]);
}

void CartPoleBatch::advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) {
  ended.resize(num_envs());
  const std::int64_t count = step_({x_.data(), x_dot_.data(), theta_.data(), theta_dot_.data(), steps()},
                                   static_cast<const std::int32_t*>(actions), num_envs(), rules_,
                                   {out.observations, out.rewards, out.terminated, out.truncated, ended.data()});
  ended.resize(count);
}

base::Status CartPoleBatch::check_actions(const void* actions) const {
  return check_discrete(static_cast<const std::int32_t*>(actions));
}

void CartPoleBatch::save(BytesOut& out) const {
  for (const auto* values : {&x_, &x_dot_, &theta_, &theta_dot_}) out.array(*values);
}

bool CartPoleBatch::load(BytesIn& in) {
  auto x = x_, x_dot = x_dot_, theta = theta_, theta_dot = theta_dot_;
  if (!in.array(x) || !in.array(x_dot) || !in.array(theta) || !in.array(theta_dot) || !in.at_end()) return false;
  x_.swap(x);
  x_dot_.swap(x_dot);
  theta_.swap(theta);
  theta_dot_.swap(theta_dot);
  return true;
}

}  // namespace daybreak::rl
