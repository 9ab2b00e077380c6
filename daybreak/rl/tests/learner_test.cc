#include "daybreak/rl/algo/learner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/rl/algo/gae.h"
#include "daybreak/rl/tests/reference.h"

namespace daybreak::rl {
namespace {

struct Case {
  const char* name;
  const char* algo;
  bool discrete, shared;
  nn::Act act;
  double value_clip, entropy, kl;
  std::int64_t threads;
  bool sde = false;
  bool linear = false;  // no hidden layer
};

SampleBatch random_batch(const nn::Model& model, std::int64_t rows, std::uint64_t seed) {
  base::Xoshiro256 random(seed);
  SampleBatch batch;
  const nn::ModelSpec& spec = model.spec();
  batch.resize(rows, spec.observation_size, spec.discrete ? 0 : spec.actions);
  for (float& x : batch.observations) x = random.normal();
  for (auto& a : batch.actions) a = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(spec.actions)));
  for (float& x : batch.box_actions) x = random.normal();
  // Near the present policy's log probability, so that ratios fall on both sides of the clip.
  for (float& x : batch.logp)
    x = (spec.discrete ? -std::log(static_cast<float>(spec.actions)) : -2.5F) + 0.4F * random.normal();
  for (float& x : batch.values) x = random.normal();
  for (float& x : batch.advantages) x = random.normal();
  for (float& x : batch.returns) x = random.normal();
  return batch;
}

class Gradients : public testing::TestWithParam<Case> {};

TEST_P(Gradients, equal_central_differences_of_the_reference) {
  const Case& c = GetParam();
  OnPolicyConfig config;
  config.algo = c.algo;
  config.num_threads = c.threads;
  config.value_clip = c.value_clip;
  config.entropy_coef = c.entropy;
  config.kl_coef = c.kl;
  nn::ModelSpec spec;
  spec.observation_size = 5;
  spec.discrete = c.discrete;
  spec.actions = c.discrete ? 3 : 2;
  if (c.linear) {
    spec.hidden = {};
  } else {
    spec.hidden = {9, 7};
  }
  spec.sde = c.sde;
  spec.act = c.act;
  spec.critic = config.algo != "pg";
  spec.shared = c.shared;
  const nn::Model model(spec);
  OnPolicyLearner learner(model, config);
  base::Xoshiro256 random(4);
  for (float& p : learner.params()) p = 0.4F * random.normal();
  const SampleBatch batch = random_batch(model, 77, 9);
  std::vector<std::int32_t> rows(77);
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<float> gradient(model.size());
  nn::PolicySums sums;
  double value_sum = 0;
  learner.gradient_of(batch, rows, 0, gradient, &sums, &value_sum);

  std::vector<double> params(learner.params().begin(), learner.params().end());
  const std::vector<double> held = params;
  const double step = 1e-6;
  double largest = 0;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const double kept = params[i];
    params[i] = kept + step;
    const double above = reference::on_policy_loss(model, config, params, batch, held);
    params[i] = kept - step;
    const double below = reference::on_policy_loss(model, config, params, batch, held);
    params[i] = kept;
    const double expected = (above - below) / (2 * step);
    ASSERT_NEAR(static_cast<double>(gradient[i]), expected, 2e-5 + 2e-4 * std::fabs(expected)) << "parameter " << i;
    largest = std::max(largest, std::fabs(expected));
  }
  EXPECT_GT(largest, 0.01);  // there was a gradient to get wrong
  if (config.algo == "ppo") {
    EXPECT_GT(sums.clipped, 5);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Gradients,
    testing::Values(Case{"ppo_discrete", "ppo", true, false, nn::Act::kTanh, 0, 0.01, 0.3, 1},
                    Case{"ppo_discrete_shared_relu", "ppo", true, true, nn::Act::kRelu, 0.3, 0.02, 0, 1},
                    Case{"ppo_box", "ppo", false, false, nn::Act::kTanh, 0, 0.01, 0.2, 1},
                    Case{"ppo_box_shared_two_threads", "ppo", false, true, nn::Act::kTanh, 0.2, 0.01, 0, 2},
                    Case{"ppo_sde", "ppo", false, false, nn::Act::kTanh, 0, 0.01, 0.2, 1, true},
                    Case{"ppo_sde_shared_two_threads", "ppo", false, true, nn::Act::kRelu, 0.2, 0.01, 0, 2, true},
                    Case{"a2c_sde_linear", "a2c", false, false, nn::Act::kTanh, 0, 0.01, 0, 1, true, true},
                    Case{"a2c_discrete", "a2c", true, false, nn::Act::kTanh, 0, 0.01, 0, 2},
                    Case{"a2c_box", "a2c", false, true, nn::Act::kRelu, 0, 0.01, 0, 1},
                    Case{"pg_discrete", "pg", true, false, nn::Act::kTanh, 0, 0, 0, 1},
                    Case{"pg_box", "pg", false, false, nn::Act::kTanh, 0, 0, 0, 1}),
    [](const auto& c) { return c.param.name; });

TEST(Advantages, a_truncated_step_is_worth_its_bootstrap_and_a_terminated_one_is_not) {
  // One environment, three steps; the second ends an episode. Its reward holds gamma V(final) only when it was
  // truncated.
  const float gamma = 0.9F;
  const std::uint8_t done[] = {0, 1, 0};
  const float values[] = {1, 2, 3};
  const float last = 4;
  float advantages[3];
  float returns[3];
  const float terminated[] = {1, 1, 1};
  estimate_advantages(3, 1, terminated, values, done, &last, gamma, 1.0F, advantages, returns);
  EXPECT_FLOAT_EQ(returns[1], 1);
  EXPECT_FLOAT_EQ(returns[0], 1 + 0.9F * 1);
  EXPECT_FLOAT_EQ(returns[2], 1 + 0.9F * 4);
  const float truncated[] = {1, 1 + gamma * 10, 1};
  estimate_advantages(3, 1, truncated, values, done, &last, gamma, 1.0F, advantages, returns);
  EXPECT_FLOAT_EQ(returns[1], 10);
  EXPECT_FLOAT_EQ(returns[0], 1 + 0.9F * 10);
  EXPECT_FLOAT_EQ(advantages[2], 1 + 0.9F * 4 - 3);
}

TEST(Advantages, lambda_weighs_the_temporal_differences) {
  const float rewards[] = {1, 2, 3};
  const float values[] = {0.5F, 0.25F, 0.125F};
  const std::uint8_t done[] = {0, 0, 0};
  const float last = 1;
  float advantages[3];
  float returns[3];
  estimate_advantages(3, 1, rewards, values, done, &last, 0.9F, 0.8F, advantages, returns);
  const float d2 = 3 + 0.9F * 1 - 0.125F;
  const float d1 = 2 + 0.9F * 0.125F - 0.25F;
  const float d0 = 1 + 0.9F * 0.25F - 0.5F;
  EXPECT_FLOAT_EQ(advantages[0], d0 + 0.72F * d1 + 0.72F * 0.72F * d2);
}

OnPolicyConfig small_config(std::int64_t threads) {
  OnPolicyConfig config;
  config.num_threads = threads;
  config.minibatch_size = 64;
  config.num_epochs = 3;
  config.hidden = {16};
  return config;
}

nn::Model small_model() {
  nn::ModelSpec spec;
  spec.observation_size = 4;
  spec.actions = 2;
  spec.hidden = {16};
  return nn::Model(spec);
}

TEST(Learner, the_same_seed_gives_the_same_bits_at_every_number_of_threads) {
  const nn::Model model = small_model();
  const SampleBatch batch = random_batch(model, 300, 3);
  for (std::int64_t threads : {1, 2, 3}) {
    OnPolicyLearner a(model, small_config(threads));
    OnPolicyLearner b(model, small_config(threads));
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(a.update(batch, 0));
      ASSERT_TRUE(b.update(batch, 0));
    }
    EXPECT_TRUE(std::equal(a.params().begin(), a.params().end(), b.params().begin()));
  }
}

TEST(Learner, threads_change_the_result_by_rounding_only) {
  const nn::Model model = small_model();
  const SampleBatch batch = random_batch(model, 300, 3);
  OnPolicyLearner one(model, small_config(1));
  OnPolicyLearner three(model, small_config(3));
  ASSERT_TRUE(one.update(batch, 0));
  ASSERT_TRUE(three.update(batch, 0));
  for (std::size_t i = 0; i < model.size(); ++i) EXPECT_NEAR(one.params()[i], three.params()[i], 2e-4);
}

TEST(Learner, kl_coefficient_follows_the_target) {
  const nn::Model model = small_model();
  const SampleBatch batch = random_batch(model, 300, 3);  // its old log probabilities are off by 0.4: a large KL
  OnPolicyConfig config = small_config(1);
  config.kl_coef = 0.2;
  config.kl_target = 0.001;
  OnPolicyLearner tight(model, config);
  ASSERT_TRUE(tight.update(batch, 0));
  EXPECT_DOUBLE_EQ(tight.state().kl_coef, 0.3);
  config.kl_target = 100;
  OnPolicyLearner loose(model, config);
  ASSERT_TRUE(loose.update(batch, 0));
  EXPECT_DOUBLE_EQ(loose.state().kl_coef, 0.1);
}

TEST(Learner, epochs_stop_when_the_policy_has_moved_far_enough) {
  const nn::Model model = small_model();
  const SampleBatch batch = random_batch(model, 300, 3);
  OnPolicyConfig config = small_config(2);
  config.num_epochs = 9;
  config.target_kl = 1e-4;
  OnPolicyLearner learner(model, config);
  EXPECT_EQ(learner.update(batch, 0).value().epochs, 1);
}

TEST(Learner, rmsprop_steps_by_the_mean_square_of_the_gradient_as_pytorch_and_as_tensorflow) {
  const nn::Model model = small_model();
  const SampleBatch batch = random_batch(model, 40, 3);
  std::vector<std::int32_t> rows(40);
  std::iota(rows.begin(), rows.end(), 0);
  for (const bool tf : {false, true}) {
    OnPolicyConfig config = small_config(2);
    config.minibatch_size = 0;
    config.num_epochs = 1;
    config.max_grad_norm = 0;
    config.optimizer = tf ? "rmsprop_tf" : "rmsprop";
    OnPolicyLearner learner(model, config);
    const std::vector<float> before(learner.params().begin(), learner.params().end());
    std::vector<float> gradient(model.size());
    nn::PolicySums sums;
    double value_sum = 0;
    learner.gradient_of(batch, rows, 0, gradient, &sums, &value_sum);
    ASSERT_TRUE(learner.update(batch, 0));
    for (std::size_t i = 0; i < before.size(); ++i) {
      const double g = static_cast<double>(gradient[i]);
      const double square = (tf ? 0.99 : 0.0) + 0.01 * g * g;
      const double root = tf ? std::sqrt(square + 1e-5) : std::sqrt(square) + 1e-5;
      // The order of the rows, which is drawn, changes the last bits of a gradient.
      ASSERT_NEAR(static_cast<double>(learner.params()[i]), static_cast<double>(before[i]) - 3e-4 * g / root,
                  2e-6 + 3e-4 * 1e-3)
          << i;
    }
  }
}

TEST(Learner, a_loss_that_is_not_finite_is_named_and_not_learned_from) {
  const nn::Model model = small_model();
  SampleBatch batch = random_batch(model, 40, 3);
  for (const auto& [array, term] :
       {std::pair(&batch.returns, "value loss"), std::pair(&batch.advantages, "policy loss")}) {
    const float kept = std::exchange((*array)[17], std::numeric_limits<float>::quiet_NaN());
    for (const std::int64_t threads : {1, 2}) {
      OnPolicyLearner learner(model, small_config(threads));
      const std::vector<float> before(learner.params().begin(), learner.params().end());
      const auto stats = learner.update(batch, 4096);
      ASSERT_FALSE(stats);
      EXPECT_NE(stats.error().message().find(std::string("time step 4096: the ") + term), std::string::npos)
          << stats.error().message();
      for (const float p : learner.params()) ASSERT_TRUE(std::isfinite(p));
    }
    (*array)[17] = kept;
  }
}

TEST(Learner, unusable_rows_have_no_influence) {
  const nn::Model model = small_model();
  SampleBatch batch = random_batch(model, 300, 3);
  OnPolicyConfig config = small_config(1);
  config.num_epochs = 1;
  config.minibatch_size = 0;
  std::vector<float> kept;
  for (float poison : {0.0F, 1e6F}) {
    for (std::size_t row = 100; row < 300; ++row) {
      batch.usable[row] = 0;
      batch.advantages[row] = poison;
      batch.returns[row] = poison;
    }
    OnPolicyLearner learner(model, config);
    ASSERT_TRUE(learner.update(batch, 0));
    if (kept.empty()) kept.assign(learner.params().begin(), learner.params().end());
    EXPECT_TRUE(std::equal(kept.begin(), kept.end(), learner.params().begin()));
  }
}

TEST(Schedule, is_straight_between_points_and_constant_outside) {
  auto config = parse_on_policy(R"({"lr": [[0, 1.0], [100, 0.0]], "clip": 0.3})");
  ASSERT_TRUE(config);
  EXPECT_DOUBLE_EQ(config->lr.at(0), 1);
  EXPECT_DOUBLE_EQ(config->lr.at(25), 0.75);
  EXPECT_DOUBLE_EQ(config->lr.at(1000), 0);
  EXPECT_DOUBLE_EQ(config->clip.at(1000), 0.3);
}

TEST(Config, names_what_is_wrong) {
  EXPECT_NE(parse_on_policy(R"({"gama": 0.9})").error().message().find("gamma"), std::string::npos);
  EXPECT_NE(parse_on_policy(R"({"gamma": 1.5})").error().message().find("gamma=1.5"), std::string::npos);
  EXPECT_FALSE(parse_on_policy(R"({"hidden": [0]})"));
  EXPECT_FALSE(parse_on_policy(R"({"lr": [[5, 1], [5, 2]]})"));
  EXPECT_FALSE(parse_on_policy("[1]"));
  EXPECT_EQ(to_json(*parse_on_policy(to_json(OnPolicyConfig{}))), to_json(OnPolicyConfig{}));
}

}  // namespace
}  // namespace daybreak::rl
