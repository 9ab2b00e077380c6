// OnPolicyTrainer: samplers and a learner put together. PPO, A2C and REINFORCE.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/rl/algo/learner.h"
#include "daybreak/rl/algo/sampler.h"
#include "daybreak/rl/trainer.h"

namespace daybreak::rl {

// The model that a configuration asks for on these spaces.
base::Result<nn::ModelSpec> model_spec(const OnPolicyConfig& config, const Space& observations, const Space& actions);
SamplerOptions sampler_options(const OnPolicyConfig& config);

// What a sampler elsewhere (a rollout actor) made: rows of a batch and what its filter has seen. The spans are
// borrowed.
struct Fragment {
  std::span<const float> observations;
  std::span<const std::int32_t> actions;
  std::span<const float> box_actions;
  std::span<const float> logp, values, advantages, returns;
  std::span<const std::uint8_t> usable;
  std::span<const double> episode_returns;
  std::span<const std::int64_t> episode_lengths;
  double seen_count = 0;
  std::span<const double> seen_mean, seen_m2;
  std::span<const double> seen_rewards;  // count, mean, squared deviations of discounted sums of rewards
};

class OnPolicyTrainer final : public Trainer {
 public:
  // Environments are made here, so an unknown id or space fails here. `local_sampling` false: no environments are kept,
  // and update() is fed with fragments.
  static base::Result<std::unique_ptr<OnPolicyTrainer>> make(const OnPolicyConfig& config, const EnvFactory& factory,
                                                             bool local_sampling = true);

  base::Result<IterationResult> train() override;
  // Learns from fragments sampled with weights(): what train() does after sampling. sample_s: how long that took.
  base::Result<IterationResult> update(std::span<const Fragment> fragments, double sample_s);

  std::int64_t timesteps() const override { return state_.timesteps; }
  std::shared_ptr<const Policy> policy() const override;
  base::Result<std::string> save() const override;
  base::Status restore(std::string bytes) override;
  std::string config() const override { return to_json(config_); }

  base::Status adjust(std::string_view config) override;
  void begin_anew() override {
    for (const auto& sampler : samplers_) sampler->begin_anew();
  }

  const OnPolicyConfig& configuration() const { return config_; }
  // What RolloutSampler needs of the policy, flat: parameters, then the filter's means and inverse deviations, then
  // count, mean and squared deviations of discounted sums of rewards.
  std::vector<float> weights() const;
  const nn::Model& model() const { return learner_.model(); }

 private:
  // What is saved and restored beside the learner's arrays and the samplers.
  struct State {
    std::int64_t timesteps = 0;
    std::int64_t iterations = 0;
    EpisodeWindow window;
    nn::RunningStats stats;  // of observations
    nn::Filter filter;
    nn::RunningStats reward_stats = RolloutSampler::first_reward_stats();
  };
  template <typename Archive, typename LearnerOf, typename StateOf>
  static void fields(Archive& archive, const OnPolicyConfig& config, LearnerOf& learner, StateOf& state);

  OnPolicyTrainer(const OnPolicyConfig& config, const Space& observations, const Space& actions,
                  const nn::ModelSpec& spec);
  void prepare_batch(std::int64_t rows);
  base::Result<IterationResult> learn(double sample_s);

  OnPolicyConfig config_;
  const Space observation_space_, action_space_;
  OnPolicyLearner learner_;
  State state_;
  std::vector<std::unique_ptr<RolloutSampler>> samplers_;
  std::unique_ptr<base::Pool> sampling_team_;
  SampleBatch batch_;
  std::vector<EpisodeLog> logs_;
  std::vector<nn::RunningStats> seen_;
  EpisodeLog episodes_;
};

}  // namespace daybreak::rl
