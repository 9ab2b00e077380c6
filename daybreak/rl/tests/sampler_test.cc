#include "daybreak/rl/algo/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "daybreak/rl/algo/on_policy.h"

namespace daybreak::rl {
namespace {

// Two rows whose episodes last three steps; row 0 is truncated, row 1 terminates. Observation: (step of the episode,
// row). Reward 1, or NaN in row 1 at total step `nan_at`.
class ScriptedEnv final : public VecEnv {
 public:
  explicit ScriptedEnv(std::int64_t nan_at) : nan_at_(nan_at) {}
  std::int64_t num_envs() const override { return 2; }
  const Space& observation_space() const override { return observations_; }
  const Space& action_space() const override { return actions_; }
  base::Status reset(std::uint64_t, float* observations) override {
    step_ = 0;
    write(observations, 0);
    return {};
  }
  base::Status step(const void*, const StepBuffers& out) override {
    ++step_;
    ++total_;
    const bool over = step_ == 3;
    for (int row = 0; row < 2; ++row) {
      out.rewards[row] = row == 1 && total_ == nan_at_ ? std::numeric_limits<float>::quiet_NaN() : 1;
      out.truncated[row] = over && row == 0;
      out.terminated[row] = over && row == 1;
    }
    if (over) write(out.final_observations, 3);
    if (over) step_ = 0;
    write(out.observations, step_);
    return {};
  }
  std::string save_state() const override { return std::to_string(step_); }
  base::Status load_state(std::string_view bytes) override {
    step_ = bytes[0] - '0';
    return {};
  }

 private:
  static void write(float* observations, int step) {
    for (int row = 0; row < 2; ++row) {
      observations[2 * row] = static_cast<float>(step);
      observations[2 * row + 1] = static_cast<float>(row);
    }
  }
  Space observations_{Space::Kind::kBox, 2, {-10, -10}, {10, 10}};
  Space actions_{Space::Kind::kDiscrete, 2, {}, {}};
  std::int64_t nan_at_;
  std::int64_t total_ = 0;
  int step_ = 0;
};

OnPolicyConfig config() {
  OnPolicyConfig c;
  c.num_envs = 2;
  c.num_steps = 5;
  c.gamma = 0.9;
  c.gae_lambda = 0;  // targets are r + gamma V(next)
  c.hidden = {8};
  c.init = "normc";
  return c;
}

struct Scene {
  explicit Scene(std::int64_t nan_at = -1) {
    nn::ModelSpec spec;
    spec.observation_size = 2;
    spec.actions = 2;
    spec.hidden = {8};
    model = nn::Model(spec);
    learner = std::make_unique<OnPolicyLearner>(model, config());
    base::Xoshiro256 random(1);
    for (float& p : learner->params()) p = random.normal();
    batch.resize(10, 2, 0);
    sampler =
        std::make_unique<RolloutSampler>(std::make_unique<ScriptedEnv>(nan_at), model, sampler_options(config()), 0, 0);
  }
  base::Status sample() {
    return sampler->sample(learner->params().data(), nn::Filter(2, false, 0), 5, batch, 0, log, seen);
  }
  float value(float step, float row) {
    nn::ModelWorkspace workspace(model, 1);
    workspace.x()[0] = step;
    workspace.x()[workspace.ldx()] = row;
    workspace.forward_value(nn::kernels(), model, learner->params().data(), nn::kBatchPad);
    return workspace.value()[0];
  }
  nn::Model model;
  std::unique_ptr<OnPolicyLearner> learner;
  SampleBatch batch;
  EpisodeLog log;
  nn::RunningStats seen{2};
  std::unique_ptr<RolloutSampler> sampler;
};

TEST(Sampler, truncation_bootstraps_the_value_and_termination_does_not) {
  Scene s;
  ASSERT_TRUE(s.sample());
  // Rows are step by step: step 2 of environment 0 is row 4, of environment 1 row 5.
  EXPECT_NEAR(s.batch.returns[4], 1 + 0.9F * s.value(3, 0), 1e-5);
  EXPECT_NEAR(s.batch.returns[5], 1, 1e-5);
  EXPECT_GT(std::fabs(s.value(3, 0)), 0.1);
  // Within an episode both bootstrap from the next observation; at the end of the fragment from the one after.
  EXPECT_NEAR(s.batch.returns[1], 1 + 0.9F * s.value(1, 1), 1e-5);
  EXPECT_NEAR(s.batch.returns[9], 1 + 0.9F * s.value(2, 1), 1e-5);
}

TEST(Sampler, episodes_are_logged_with_return_and_length) {
  Scene s;
  ASSERT_TRUE(s.sample());
  EXPECT_EQ(s.log.returns, (std::vector<double>{3, 3}));
  ASSERT_TRUE(s.sample());  // the episode in flight went on
  EXPECT_EQ(s.log.lengths, (std::vector<std::int64_t>{3, 3, 3, 3}));
}

TEST(Sampler, log_probabilities_are_those_of_the_actions) {
  Scene s;
  ASSERT_TRUE(s.sample());
  for (std::size_t row = 0; row < 10; ++row) {
    EXPECT_LT(s.batch.logp[row], 0);
    nn::ModelWorkspace workspace(s.model, 1);
    workspace.x()[0] = s.batch.observations[2 * row];
    workspace.x()[workspace.ldx()] = s.batch.observations[2 * row + 1];
    workspace.forward(nn::kernels(), s.model, s.learner->params().data(), nn::kBatchPad);
    nn::kernels().log_softmax(2, nn::kBatchPad, workspace.policy(), workspace.ld_policy(), nullptr);
    EXPECT_NEAR(s.batch.logp[row], workspace.policy()[s.batch.actions[row] * workspace.ld_policy()], 1e-5);
  }
}

TEST(Sampler, a_reward_that_is_not_finite_names_environment_and_step_and_the_next_fragment_starts_anew) {
  Scene s(4);
  const auto status = s.sample();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(status.error().message(),
            "environment 1 gave reward nan at step 3 of the rollout (step 1 of its episode): rewards must be finite");
  EXPECT_TRUE(s.log.returns.empty());
  ASSERT_TRUE(s.sample());
  EXPECT_EQ(s.batch.observations[0], 0);  // a first observation
}

TEST(Sampler, reinforce_uses_only_steps_whose_return_is_known) {
  Scene s;
  SamplerOptions options = sampler_options(config());
  options.drop_unfinished = true;
  s.sampler = std::make_unique<RolloutSampler>(std::make_unique<ScriptedEnv>(-1), s.model, options, 0, 0);
  ASSERT_TRUE(s.sample());
  EXPECT_EQ(s.batch.usable, (std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1, 0, 0, 0, 0}));
}

TEST(Trainer, a_failed_iteration_leaves_what_was_learned) {
  auto trainer = OnPolicyTrainer::make(config(), [](const EnvOptions&) -> base::Result<std::unique_ptr<VecEnv>> {
    return std::make_unique<ScriptedEnv>(7);
  });
  ASSERT_TRUE(trainer);
  ASSERT_TRUE((*trainer)->train());
  const std::string policy = (*trainer)->policy()->to_bytes();
  EXPECT_FALSE((*trainer)->train());
  EXPECT_EQ((*trainer)->policy()->to_bytes(), policy);
  EXPECT_EQ((*trainer)->timesteps(), 10);
  EXPECT_TRUE((*trainer)->train());
}

TEST(Trainer, fragments_that_do_not_fit_are_refused) {
  auto trainer = OnPolicyTrainer::make(
      config(),
      [](const EnvOptions&) -> base::Result<std::unique_ptr<VecEnv>> { return std::make_unique<ScriptedEnv>(-1); },
      false);
  ASSERT_TRUE(trainer);
  EXPECT_EQ((*trainer)->train().error().code(), base::Code::kFailedPrecondition);
  const float one[] = {0.5F};
  Fragment fragment;
  fragment.logp = one;
  EXPECT_EQ((*trainer)->update(std::span(&fragment, 1), 0).error().code(), base::Code::kInvalidArgument);
  EXPECT_FALSE((*trainer)->update({}, 0));
}

}  // namespace
}  // namespace daybreak::rl
