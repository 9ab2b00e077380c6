#include "daybreak/rl/model.h"

#include <gtest/gtest.h>

#include <vector>

namespace daybreak::rl {
namespace {

std::shared_ptr<const Policy> small_policy(bool discrete) {
  PolicyInfo info;
  info.algo = "ppo";
  info.env = "some-env";
  info.observation_space = Space::box({-1, -1, -1}, {1, 1, 1});
  info.action_space = discrete ? Space::discrete(4, 10) : Space::box({-2, -2}, {2, 2});
  info.distribution = discrete ? Distribution::kCategorical : Distribution::kGaussian;
  info.hidden = {8};
  const nn::Mlp actor(3, info.hidden, discrete ? 4 : 2, info.act, 0);
  std::vector<float> params(actor.end());
  base::Xoshiro256 random(3);
  actor.init_orthogonal(params.data(), 1, 1, random);
  const std::vector<float> log_std(discrete ? 0 : 2);
  return std::make_shared<const Policy>(info, nn::Filter(3, false, 0), actor, params, log_std);
}

TEST(Model, answers_as_the_policy_does_and_outlives_its_maker) {
  for (const bool discrete : {true, false}) {
    auto policy = small_policy(discrete);
    const daybreak_model_v1* model = make_model(policy);
    ASSERT_EQ(model->size_bytes, sizeof *model);
    EXPECT_STREQ(model->description, "policy of ppo on some-env");
    EXPECT_EQ(model->input_dtype, DAYBREAK_MODEL_FLOAT32);
    EXPECT_EQ(model->output_dtype, discrete ? DAYBREAK_MODEL_INT32 : DAYBREAK_MODEL_FLOAT32);
    ASSERT_EQ(model->input_elements, 3u);
    ASSERT_EQ(model->output_elements, discrete ? 1u : 2u);

    std::vector<float> seen(7 * 3);
    base::Xoshiro256 random(1);
    for (float& x : seen) x = random.normal();
    std::vector<std::int32_t> want(7 * 2), got(7 * 2);  // wide enough for two floats a row as well
    policy->act_batch(seen.data(), 7, want.data());
    model->retain(model->context);
    model->release(model->context);
    policy.reset();
    char error[64];
    ASSERT_EQ(model->predict(model->context, seen.data(), 7, got.data(), error, sizeof error), 0);
    EXPECT_EQ(got, want);
    for (int row = 0; discrete && row < 7; ++row) {
      EXPECT_TRUE(got[static_cast<std::size_t>(row)] >= 10 && got[static_cast<std::size_t>(row)] < 14)
          << "the server's answers start at 10";
    }
    model->release(model->context);
  }
}

}  // namespace
}  // namespace daybreak::rl
