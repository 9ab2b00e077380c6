// Deep Q learning: a QLearner, the environments that it samples, and the replay buffer between them, with n-step returns
// and prioritised replay (Schaul et al. 2016).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/rl/algo/config.h"
#include "daybreak/rl/algo/q_learner.h"
#include "daybreak/rl/algo/replay.h"
#include "daybreak/rl/trainer.h"

namespace daybreak::rl {

class DqnTrainer final : public Trainer {
 public:
  static base::Result<std::unique_ptr<DqnTrainer>> make(const DqnConfig& config, const EnvFactory& factory);

  // Rounds of train_freq environment steps and gradient_steps gradient steps, until steps_per_iteration steps are made.
  base::Result<IterationResult> train() override;
  std::int64_t timesteps() const override { return state_.timesteps; }
  std::shared_ptr<const Policy> policy() const override;
  base::Result<std::string> save() const override;
  base::Status restore(std::string bytes) override;
  std::string config() const override { return to_json(config_); }

  base::Status adjust(std::string_view config) override;
  void begin_anew() override { started_ = false; }

  const ReplayBuffer& replay() const { return state_.replay; }

 private:
  // What is saved and restored. The learner's arrays stand beside it.
  struct State {
    State(const DqnConfig& config, std::int64_t envs, int observation_size);
    base::Xoshiro256 random;
    std::int64_t timesteps = 0;
    std::int64_t iterations = 0;
    std::int64_t last_target_update = 0;
    std::int64_t last_round = 0;
    std::uint64_t resets = 0;
    std::vector<float> observations;
    std::vector<double> running_return;
    std::vector<std::int64_t> running_length;
    // The last n - 1 steps of every environment that still wait for their n-step return: [env][n_step] rings, flattened.
    std::vector<float> pending_observations, pending_rewards;
    std::vector<std::int32_t> pending_actions;
    std::vector<std::int64_t> pending_count;
    EpisodeWindow window;
    ReplayBuffer replay;
  };
  // What the learner and the environments keep of it themselves.
  struct Others {
    std::int64_t adam_steps = 0;
    bool started = false;
    std::string_view environments;  // none where they have not started or cannot be restored
  };
  template <typename Archive, typename OthersOf, typename StateOf>
  static void fields(Archive& archive, OthersOf& others, StateOf& state);

  DqnTrainer(const DqnConfig& config, std::unique_ptr<VecEnv> env);
  base::Status sample_step(EpisodeLog& episodes);
  void choose_actions();
  base::Status check_finite() const;
  void remember(std::int64_t env, EpisodeLog& episodes);
  base::Status learn_round();

  DqnConfig config_;
  std::unique_ptr<VecEnv> env_;
  const Space observation_space_, action_space_;
  std::int64_t envs_;
  int observation_size_;
  QLearner learner_;
  State state_;
  std::shared_ptr<const Policy> acting_;  // snapshot of the net; null when it must be made anew

  bool started_ = false;

  std::vector<std::int32_t> actions_;
  std::vector<std::size_t> greedy_;  // environments whose action the net chooses
  std::vector<float> greedy_observations_;
  std::vector<std::int32_t> greedy_actions_;
  std::vector<float> rewards_, before_, finals_;
  std::vector<std::uint8_t> terminated_, truncated_;
  std::vector<std::int64_t> drawn_;
  std::vector<float> weights_, errors_;

  // of the iteration
  double loss_sum_ = 0, norm_sum_ = 0, q_sum_ = 0, sample_s_ = 0, learn_s_ = 0;
  std::int64_t gradient_steps_ = 0;
};

}  // namespace daybreak::rl
