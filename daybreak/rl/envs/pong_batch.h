// daybreak/Pong-v0: many games of PongJS.
#pragma once

#include <memory>

#include "daybreak/rl/envs/batch_env.h"
#include "daybreak/rl/envs/pong.h"

namespace daybreak::rl {

// Options: reward ("step": 1 every step, so that the return is the length of the rally; "win": +1 when the agent wins,
// -1 when it loses, else 0), max_episode_steps (0, none). reset() with a seed, and the first one, begin a new game; the
// rallies after it inherit paddles and prediction as the original's do.
class PongBatch final : public BatchEnv {
 public:
  static base::Result<std::unique_ptr<VecEnv>> make(const EnvOptions& options);

  // For drawing; kOutOfRange for a row that is not there.
  base::Result<PongGame> game(std::int64_t row) const;

 private:
  PongBatch(const EnvOptions& options, std::int32_t step_limit, bool reward_win);
  void start(std::int64_t row) override;
  void forget(std::int64_t row) override;
  void observe(std::int64_t row, float* observation) const override;
  void advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) override;
  base::Status check_actions(const void* actions) const override;
  void save(BytesOut& out) const override;
  bool load(BytesIn& in) override;

  bool reward_win_;
  std::vector<PongGame> games_;
};

}  // namespace daybreak::rl
