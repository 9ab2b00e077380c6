// Pendulum-v1 with Gymnasium's states to the bit.
#pragma once

#include <array>
#include <memory>

#include "daybreak/rl/envs/batch_env.h"

namespace daybreak::rl {

// The action is a torque in float32, clipped to [-2, 2], and enters the arithmetic as Gymnasium's float32 action does.
// Options: max_episode_steps (200; 0 is none), g (10).
class PendulumBatch final : public BatchEnv {
 public:
  static base::Result<std::unique_ptr<VecEnv>> make(const EnvOptions& options);

  // theta and its velocity of one row. Setting it begins an episode there without a draw.
  base::Result<std::array<double, 2>> state(std::int64_t row) const;
  base::Status set_state(std::int64_t row, const std::array<double, 2>& state);

 private:
  PendulumBatch(const EnvOptions& options, std::int32_t step_limit, double g);
  void start(std::int64_t row) override;
  void observe(std::int64_t row, float* observation) const override;
  void advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) override;
  base::Status check_actions(const void* actions) const override;
  void save(BytesOut& out) const override;
  bool load(BytesIn& in) override;

  double g_;
  std::vector<double> theta_, theta_dot_;
};

}  // namespace daybreak::rl
