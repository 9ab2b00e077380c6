// RolloutSampler: environments, a copy of the policy, and the loop that makes samples of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/random.h"
#include "daybreak/rl/algo/batch.h"
#include "daybreak/rl/bounds.h"
#include "daybreak/rl/envs/vec_env.h"
#include "daybreak/rl/nn/filter.h"
#include "daybreak/rl/nn/model.h"

namespace daybreak::rl {

struct SamplerOptions {
  float gamma = 0.99F;
  float lambda = 0.95F;
  float reward_scale = 1;
  // VecNormalize's rewards: divided by the running deviation of their discounted sum, clipped. The deviation is brought
  // up to date at every step, over all environments, before it divides.
  bool normalize_rewards = false;
  float reward_clip = 10;
  std::int64_t sde_sample_freq = -1;  // steps between two draws of gSDE's noise; none within a fragment below 1
  bool drop_unfinished = false;       // REINFORCE: samples whose return is not known are not usable
};

// The seed of the first environment of a sampler; the others and later resets count up from it. Environments in Python
// hand it to generators that take 32 bits, some of them signed: it is below kEnvSeeds, and a trainer's seed that is too
// is taken as it stands.
inline constexpr std::uint64_t kEnvSeeds = std::uint64_t{1} << 30;
std::uint64_t env_seed(std::uint64_t seed, std::uint64_t stream);

// Steps its environments for fragments of a fixed number of steps: nothing waits for an episode to end. Weights and
// filter stay the same through a fragment; what the filter learns from it is handed out, not applied. One thread at a
// time. After a failed sample() the next one starts new episodes; nothing else has changed.
class RolloutSampler {
 public:
  // env: autoreset kSameStep. The stream tells samplers of one seed apart.
  RolloutSampler(std::unique_ptr<VecEnv> env, const nn::Model& model, const SamplerOptions& options, std::uint64_t seed,
                 std::uint64_t stream);

  std::int64_t num_envs() const { return envs_; }
  // Statistics of discounted sums of rewards that the next fragment goes on from (normalize_rewards), and what the last
  // one added to them. As VecNormalize's they begin with a variance of one that counts as a ten-thousandth of a number.
  static nn::RunningStats first_reward_stats();
  void set_reward_stats(const nn::RunningStats& stats) { reward_stats_ = stats; }
  const nn::RunningStats& seen_rewards() const { return seen_rewards_; }

  // The next sample() starts new episodes.
  void begin_anew() { started_ = false; }

  // Writes steps * num_envs rows from `first_row` on, step by step. Clears and fills `episodes`, and `seen` with the
  // statistics of the raw observations. kInvalidArgument when an environment gives a reward or observation that is not
  // finite: the sentence names the environment and the step.
  base::Status sample(const float* params, const nn::Filter& filter, std::int64_t steps, SampleBatch& batch,
                      std::int64_t first_row, EpisodeLog& episodes, nn::RunningStats& seen);

  // Everything needed to go on to the bit.
  std::string save_state() const;
  base::Status load_state(std::string_view bytes);

 private:
  // What is saved and restored.
  struct State {
    std::uint64_t resets = 0;
    base::Xoshiro256 random;
    std::vector<float> observations;  // raw, of the next step
    std::vector<double> running_return;
    std::vector<std::int64_t> running_length;
    std::vector<double> discounted;  // the discounted sum of rewards of every environment (normalize_rewards)
  };
  // What the environments keep of it themselves; none where they have not started or cannot be restored.
  struct Environments {
    bool started = false;
    std::string_view state;
  };
  template <typename Archive, typename EnvironmentsOf, typename StateOf>
  static void fields(Archive& archive, const SamplerOptions& options, EnvironmentsOf& environments, StateOf& state);

  base::Status run(const float* params, const nn::Filter& filter, std::int64_t steps, SampleBatch& batch,
                   std::int64_t first_row, EpisodeLog& episodes, nn::RunningStats& seen);
  base::Status begin();
  void draw_noise(const float* params);
  float exploration(int env, int action, int column) const;
  void normalize_rewards();
  void act(const float* params, const nn::Filter& filter, SampleBatch& batch, std::int64_t row);
  void choose(std::int64_t first, int count, SampleBatch& batch, std::int64_t row, const float* params);
  void values_of(const float* params, const nn::Filter& filter, const float* raw, const std::int32_t* rows, int count,
                 float* out);
  base::Status check_finite(std::int64_t step) const;
  base::Status check_outputs(const SampleBatch& batch, std::int64_t row, std::int64_t step) const;
  void end_episodes(const float* params, const nn::Filter& filter, std::int64_t step, EpisodeLog& episodes);

  std::unique_ptr<VecEnv> env_;
  const nn::Model model_;
  const SamplerOptions options_;
  const std::uint64_t seed_;
  const nn::Kernels& kernels_;
  State state_;
  nn::ModelWorkspace workspace_;
  std::int64_t envs_;
  int observation_size_;
  bool started_ = false;
  ActionBounds bounds_;

  nn::RunningStats reward_stats_ = first_reward_stats(), seen_rewards_{1};

  // scratch of a step and of a fragment
  std::vector<std::int32_t> actions_;
  std::vector<float> env_actions_;
  std::vector<float> final_observations_;
  std::vector<float> step_rewards_, learned_rewards_;
  std::vector<std::uint8_t> terminated_, truncated_;
  std::vector<std::int32_t> truncated_rows_;
  std::vector<float> truncated_values_;
  std::vector<float> rewards_;
  std::vector<std::uint8_t> done_;
  std::vector<float> last_values_;
  std::vector<float> filtered_;
  std::vector<float> noise_;     // gSDE's matrices, [env][features][actions]
  std::vector<float> variance_;  // gSDE's, [actions][kBlock]
};

}  // namespace daybreak::rl
