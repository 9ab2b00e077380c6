// CartPole-v1 with Gymnasium's states to the bit, many at a time.
#pragma once

#include <array>
#include <memory>

#include "daybreak/rl/envs/batch_env.h"
#include "daybreak/rl/envs/cartpole_kernel.h"

namespace daybreak::rl {

// Rows are kept as one array a variable, in double precision. Options: max_episode_steps (500; 0 is none),
// sutton_barto_reward (false).
class CartPoleBatch final : public BatchEnv {
 public:
  static base::Result<std::unique_ptr<VecEnv>> make(const EnvOptions& options);

  // x, x_dot, theta, theta_dot of one row. Setting it begins an episode there without a draw.
  base::Result<std::array<double, 4>> state(std::int64_t row) const;
  base::Status set_state(std::int64_t row, const std::array<double, 4>& state);

 private:
  CartPoleBatch(const EnvOptions& options, const cartpole::Rules& rules);
  void start(std::int64_t row) override;
  void observe(std::int64_t row, float* observation) const override;
  void advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) override;
  base::Status check_actions(const void* actions) const override;
  void save(BytesOut& out) const override;
  bool load(BytesIn& in) override;

  cartpole::Rules rules_;
  cartpole::StepFunction* step_;
  std::vector<double> x_, x_dot_, theta_, theta_dot_;
};

}  // namespace daybreak::rl
