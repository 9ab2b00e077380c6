#include "daybreak/rl/envs/pendulum.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace daybreak::rl {
namespace {

constexpr double kPendulumMaxSpeed = 8, kPendulumDt = 0.05;
constexpr float kMaxTorque = 2;

// Python's `a % b` for positive b.
double modulo(double a, double b) {
  double result = std::fmod(a, b);
  if (result == 0) return 0.0;
  if (result < 0) result += b;
  return result;
}

}  // namespace

base::Result<std::unique_ptr<VecEnv>> PendulumBatch::make(const EnvOptions& options) {
  OptionReader reader("Pendulum-v1", options.options);
  DAYBREAK_ASSIGN(const std::int64_t limit, reader.integer("max_episode_steps", 200, 0, kNoStepLimit));
  DAYBREAK_ASSIGN(const double g, reader.number("g", 10.0));
  DAYBREAK_TRY(reader.finish());
  return std::unique_ptr<VecEnv>(
      new PendulumBatch(options, limit == 0 ? kNoStepLimit : static_cast<std::int32_t>(limit), g));
}

PendulumBatch::PendulumBatch(const EnvOptions& options, std::int32_t step_limit, double g)
    : BatchEnv("Pendulum-v1", options, Space::box({-1, -1, -kPendulumMaxSpeed}, {1, 1, kPendulumMaxSpeed}),
               Space::box({-kMaxTorque}, {kMaxTorque}), step_limit),
      g_(g),
      theta_(options.num_envs),
      theta_dot_(options.num_envs) {}

base::Result<std::array<double, 2>> PendulumBatch::state(std::int64_t row) const {
  DAYBREAK_TRY(check_row(row));
  return std::array<double, 2>{theta_[row], theta_dot_[row]};
}

base::Status PendulumBatch::set_state(std::int64_t row, const std::array<double, 2>& state) {
  DAYBREAK_TRY(check_row(row));
  theta_[row] = state[0];
  theta_dot_[row] = state[1];
  start_from_outside(row);
  return {};
}

void PendulumBatch::start(std::int64_t row) {
  theta_[row] = random(row).uniform(-std::numbers::pi, std::numbers::pi);
  theta_dot_[row] = random(row).uniform(-1.0, 1.0);
}

void PendulumBatch::observe(std::int64_t row, float* observation) const {
  observation[0] = static_cast<float>(std::cos(theta_[row]));
  observation[1] = static_cast<float>(std::sin(theta_[row]));
  observation[2] = static_cast<float>(theta_dot_[row]);
}

void PendulumBatch::advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) {
  const auto* torques = static_cast<const float*>(actions);
  for (std::int64_t row = 0; row < num_envs(); ++row) {
    if (idle(row)) continue;
    const double theta = theta_[row], theta_dot = theta_dot_[row];
    const float u = std::clamp(torques[row], -kMaxTorque, kMaxTorque);
    const double angle = modulo(theta + std::numbers::pi, 2 * std::numbers::pi) - std::numbers::pi;
    const double cost = angle * angle + 0.1 * (theta_dot * theta_dot) + static_cast<double>(0.001F * (u * u));
    const double pull = 3 * g_ / 2 * std::sin(theta) + static_cast<double>(3.0F * u);
    const double next_dot = std::clamp(theta_dot + pull * kPendulumDt, -kPendulumMaxSpeed, kPendulumMaxSpeed);
    theta_[row] = theta + next_dot * kPendulumDt;
    theta_dot_[row] = next_dot;
    out.rewards[row] = static_cast<float>(-cost);
    observe(row, out.observations + 3 * row);
    if (count_step(row, false, out)) ended.push_back(static_cast<std::int32_t>(row));
  }
}

base::Status PendulumBatch::check_actions(const void* actions) const {
  const auto* torques = static_cast<const float*>(actions);
  for (std::int64_t row = 0; row < num_envs(); ++row) {
    if (std::isnan(torques[row])) {
      return base::fail(base::Code::kInvalidArgument, "Pendulum-v1: the action of environment {} is NaN", row);
    }
  }
  return {};
}

void PendulumBatch::save(BytesOut& out) const {
  out.array(theta_);
  out.array(theta_dot_);
}

bool PendulumBatch::load(BytesIn& in) {
  auto theta = theta_, theta_dot = theta_dot_;
  if (!in.array(theta) || !in.array(theta_dot) || !in.at_end()) return false;
  theta_.swap(theta);
  theta_dot_.swap(theta_dot);
  return true;
}

}  // namespace daybreak::rl
