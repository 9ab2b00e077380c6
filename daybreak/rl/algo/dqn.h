// Deep Q learning (Mnih et al. 2015) with double targets (van Hasselt et al. 2016), dueling heads (Wang et al. 2016),
// n-step returns and prioritised replay (Schaul et al. 2016).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/rl/algo/checkpoint.h"
#include "daybreak/rl/algo/config.h"
#include "daybreak/rl/algo/replay.h"
#include "daybreak/rl/nn/mlp.h"
#include "daybreak/rl/trainer.h"

namespace daybreak::rl {

// The net, its target and Adam. Outputs: one value an action, or with dueling heads one advantage an action and the
// state's value: Q = V + A - mean A. One thread.
class QLearner {
 public:
  QLearner(int observation_size, int actions, const DqnConfig& config);

  struct Transitions {
    std::span<const std::int64_t> rows;
    std::span<const float> weights;
  };
  // One gradient step on the Huber loss of drawn transitions; `errors` gets their temporal difference errors. Returns
  // the loss. kInvalidArgument where the loss or its gradient is not finite: nothing is changed then.
  base::Result<double> learn(const ReplayBuffer& replay, const Transitions& drawn, double lr, std::span<float> errors);
  // The same loss and its gradient, without a step.
  double gradient(const ReplayBuffer& replay, const Transitions& drawn, std::span<float> errors);
  std::span<const float> gradients() const { return gradients_; }
  // target += tau (net - target)
  void update_target(double tau);

  const nn::Mlp& net() const { return net_; }
  std::span<float> params() { return params_; }
  std::span<float> target() { return target_; }
  std::span<float> first_moments() { return adam_m_; }
  std::span<float> second_moments() { return adam_v_; }
  // The four arrays as a checkpoint names them.
  std::array<NamedFloats, 4> arrays() {
    return {
        {{"train.params", params_}, {"train.target", target_}, {"train.adam_m", adam_m_}, {"train.adam_v", adam_v_}}};
  }
  std::int64_t adam_steps = 0;
  double grad_norm = 0;  // of the last step
  double mean_q = 0;     // mean of Q(s, a) over the last step's transitions

 private:
  void load_block(const ReplayBuffer& replay, std::span<const std::int64_t> rows, bool next, float* x) const;
  void block(const ReplayBuffer& replay, const Transitions& drawn, std::size_t first, int count,
             std::span<float> errors);
  float q(const float* out, std::ptrdiff_t ld, int action, int sample) const;

  const DqnConfig config_;
  const nn::Kernels& kernels_;
  int observation_size_, actions_;
  nn::Mlp net_;
  std::vector<float> params_, target_, adam_m_, adam_v_, gradients_;
  nn::MlpWorkspace workspace_, target_workspace_;
  std::vector<float> x_;
  std::ptrdiff_t ldx_ = 0;
  int block_ = 0;  // samples of one pass through the net
  std::vector<float> targets_;
  double loss_ = 0;
};

class DqnTrainer final : public Trainer {
 public:
  static base::Result<std::unique_ptr<DqnTrainer>> make(const DqnConfig& config, const EnvFactory& factory);

  // Rounds of train_freq environment steps and gradient_steps gradient steps, until steps_per_iteration steps are made.
  base::Result<IterationResult> train() override;
  std::int64_t timesteps() const override { return timesteps_; }
  std::shared_ptr<const Policy> policy() const override;
  base::Result<std::string> save() const override;
  base::Status restore(std::string bytes) override;
  std::string config() const override { return to_json(config_); }

  base::Status adjust(std::string_view config) override;
  void begin_anew() override { started_ = false; }

  const ReplayBuffer& replay() const { return replay_; }

 private:
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
  ReplayBuffer replay_;
  base::Xoshiro256 random_;
  std::shared_ptr<const Policy> acting_;  // snapshot of the net; null when it must be made anew

  bool started_ = false;
  std::uint64_t resets_ = 0;
  std::vector<float> observations_;
  std::vector<double> running_return_;
  std::vector<std::int64_t> running_length_;
  // The last n - 1 steps of every environment that still wait for their n-step return: [env][n_step] rings, flattened.
  std::vector<float> pending_observations_, pending_rewards_;
  std::vector<std::int32_t> pending_actions_;
  std::vector<std::int64_t> pending_count_;

  std::vector<std::int32_t> actions_;
  std::vector<float> rewards_, before_, finals_;
  std::vector<std::uint8_t> terminated_, truncated_;
  std::vector<std::int64_t> drawn_;
  std::vector<float> weights_, errors_;

  EpisodeWindow window_;
  std::int64_t timesteps_ = 0;
  std::int64_t iterations_ = 0;
  std::int64_t last_target_update_ = 0;
  std::int64_t last_round_ = 0;
  // of the iteration
  double loss_sum_ = 0, norm_sum_ = 0, q_sum_ = 0, sample_s_ = 0, learn_s_ = 0;
  std::int64_t gradient_steps_ = 0;
};

}  // namespace daybreak::rl
