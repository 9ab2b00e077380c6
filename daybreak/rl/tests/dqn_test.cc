#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <set>
#include <vector>

#include "daybreak/rl/algo/dqn_trainer.h"
#include "daybreak/rl/tests/reference.h"

namespace daybreak::rl {
namespace {

TEST(SumTree, finds_leaves_by_their_share) {
  SumTree tree(5);
  const double weights[] = {1, 0, 2, 0.5, 0};
  for (int i = 0; i < 5; ++i) tree.set(i, weights[i]);
  EXPECT_DOUBLE_EQ(tree.total(), 3.5);
  EXPECT_EQ(tree.find(0), 0);
  EXPECT_EQ(tree.find(0.999), 0);
  EXPECT_EQ(tree.find(1), 2);
  EXPECT_EQ(tree.find(2.999), 2);
  EXPECT_EQ(tree.find(3), 3);
  EXPECT_EQ(tree.find(3.5), 3);  // past the end by rounding: still a leaf with weight
  tree.set(2, 0);
  EXPECT_EQ(tree.find(1.2), 3);
}

ReplayBuffer filled(bool prioritized, std::int64_t n = 40) {
  ReplayBuffer replay(50, 3, prioritized, 0.6);
  base::Xoshiro256 random(5);
  for (std::int64_t i = 0; i < n; ++i) {
    float s[3];
    float t[3];
    for (float& x : s) x = random.normal();
    for (float& x : t) x = random.normal();
    replay.add(s, static_cast<std::int32_t>(random.below(4)), 2 * random.normal(), i % 5 == 0 ? 0.0F : 0.97F, t);
  }
  return replay;
}

TEST(ReplayBuffer, keeps_the_newest_and_draws_by_priority) {
  ReplayBuffer replay(4, 1, true, 1.0);
  for (float i = 0; i < 6; ++i) replay.add(&i, static_cast<std::int32_t>(i), i, 0, &i);
  EXPECT_EQ(replay.size(), 4);
  EXPECT_EQ(replay.action(0), 4);  // 0 and 1 were overwritten
  EXPECT_EQ(replay.action(1), 5);
  const std::int64_t rows[] = {0, 1, 2, 3};
  const float errors[] = {3, 1, 0, 0};
  replay.set_errors(rows, errors);
  base::Xoshiro256 random(1);
  std::vector<std::int64_t> drawn(4000);
  std::vector<float> weights(4000);
  replay.draw(random, 1.0, drawn, weights);
  const auto threes = std::count(drawn.begin(), drawn.end(), 0);
  EXPECT_NEAR(static_cast<double>(threes) / 4000, 0.75, 0.02);
  // Importance weights undo the priorities: three times the chance, a third of the weight.
  const auto weight_of = [&](std::int64_t row) {
    return weights[static_cast<std::size_t>(std::find(drawn.begin(), drawn.end(), row) - drawn.begin())];
  };
  EXPECT_NEAR(weight_of(1) / weight_of(0), 3, 1e-3);
}

TEST(ReplayBuffer, state_goes_out_and_in) {
  for (bool prioritized : {false, true}) {
    const ReplayBuffer replay = filled(prioritized);
    const std::string state = replay.save_state();
    ReplayBuffer loaded(50, 3, prioritized, 0.6);
    ASSERT_TRUE(loaded.load_state(state));
    EXPECT_EQ(loaded.save_state(), state);
    EXPECT_FALSE(loaded.load_state(state.substr(0, state.size() - 1)));
    ReplayBuffer small(10, 3, prioritized, 0.6);
    EXPECT_FALSE(small.load_state(state));
  }
}

double reference_q(const std::vector<double>& out, int action, int actions, bool dueling) {
  if (!dueling) return out[static_cast<std::size_t>(action)];
  const double mean = std::accumulate(out.begin(), out.begin() + actions, 0.0) / actions;
  return out[static_cast<std::size_t>(actions)] + out[static_cast<std::size_t>(action)] - mean;
}

struct QCase {
  const char* name;
  bool double_q, dueling, prioritized;
};

class QGradients : public testing::TestWithParam<QCase> {};

TEST_P(QGradients, equal_central_differences_of_the_reference) {
  const QCase& c = GetParam();
  DqnConfig config;
  config.hidden = {7, 6};
  config.activation = "tanh";
  config.batch_size = 24;
  config.double_q = c.double_q;
  config.dueling = c.dueling;
  QLearner learner(3, 4, config);
  base::Xoshiro256 random(8);
  for (float& p : learner.params()) p = 0.5F * random.normal();
  for (float& p : learner.target()) p = 0.5F * random.normal();
  ReplayBuffer replay = filled(c.prioritized);
  std::vector<std::int64_t> rows(24);
  std::vector<float> weights(24);
  std::vector<float> errors(24);
  if (c.prioritized) {
    std::vector<std::int64_t> all(40);
    std::vector<float> some(40);
    std::iota(all.begin(), all.end(), 0);
    for (float& x : some) x = random.normal();
    replay.set_errors(all, some);
  }
  replay.draw(random, 0.7, rows, weights);
  const double loss = learner.gradient(replay, {rows, weights}, errors);

  const std::vector<double> target_params(learner.target().begin(), learner.target().end());
  std::vector<double> params(learner.params().begin(), learner.params().end());
  const std::vector<double> fixed = params;  // no gradient flows through the choice of the next action
  const auto input = [](const float* x) { return std::vector<double>(x, x + 3); };
  const auto loss_of = [&] {
    double total = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto next = input(replay.next_observation(rows[i]));
      const auto target_out = reference::forward(learner.net(), target_params, next);
      const auto chooser = c.double_q ? reference::forward(learner.net(), fixed, next) : target_out;
      const int best = static_cast<int>(std::max_element(chooser.begin(), chooser.begin() + 4) - chooser.begin());
      const double target = static_cast<double>(replay.reward(rows[i])) +
                            static_cast<double>(replay.discount(rows[i])) * reference_q(target_out, best, 4, c.dueling);
      const auto out = reference::forward(learner.net(), params, input(replay.observation(rows[i])));
      const double error = reference_q(out, replay.action(rows[i]), 4, c.dueling) - target;
      total += static_cast<double>(weights[i]) * (std::fabs(error) < 1 ? 0.5 * error * error : std::fabs(error) - 0.5);
    }
    return total / static_cast<double>(rows.size());
  };
  EXPECT_NEAR(loss, loss_of(), 1e-5);
  for (std::size_t i = 0; i < params.size(); ++i) {
    const double kept = params[i];
    params[i] = kept + 1e-6;
    const double above = loss_of();
    params[i] = kept - 1e-6;
    const double below = loss_of();
    params[i] = kept;
    const double expected = (above - below) / 2e-6;
    ASSERT_NEAR(static_cast<double>(learner.gradients()[i]), expected, 2e-5 + 2e-4 * std::fabs(expected))
        << "parameter " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, QGradients,
                         testing::Values(QCase{"plain", false, false, false}, QCase{"double", true, false, false},
                                         QCase{"dueling", false, true, false},
                                         QCase{"rainbow_parts", true, true, true}),
                         [](const auto& c) { return c.param.name; });

// One row: observation is the step of the episode, reward 10^step; the episode ends after four steps.
class PowersEnv final : public VecEnv {
 public:
  explicit PowersEnv(bool terminates) : terminates_(terminates) {}
  std::int64_t num_envs() const override { return 1; }
  const Space& observation_space() const override { return observations_; }
  const Space& action_space() const override { return actions_; }
  base::Status reset(std::uint64_t, float* observations) override {
    step_ = 0;
    observations[0] = 0;
    return {};
  }
  base::Status step(const void*, const StepBuffers& out) override {
    out.rewards[0] = std::pow(10.0F, static_cast<float>(step_));
    ++step_;
    const bool over = step_ == 4;
    out.terminated[0] = over && terminates_;
    out.truncated[0] = over && !terminates_;
    out.final_observations[0] = 4;
    if (over) step_ = 0;
    out.observations[0] = static_cast<float>(step_);
    return {};
  }
  std::string save_state() const override { return {}; }
  base::Status load_state(std::string_view) override { return {}; }

 private:
  Space observations_{Space::Kind::kBox, 1, {0}, {4}};
  Space actions_{Space::Kind::kDiscrete, 2, {}, {}};
  bool terminates_;
  int step_ = 0;
};

TEST(Dqn, n_step_returns_end_with_the_episode) {
  for (bool terminates : {true, false}) {
    DqnConfig config;
    config.n_step = 3;
    config.gamma = 0.5;
    config.train_freq = 4;
    config.steps_per_iteration = 4;
    auto trainer = DqnTrainer::make(config, [&](const EnvOptions&) -> base::Result<std::unique_ptr<VecEnv>> {
      return std::make_unique<PowersEnv>(terminates);
    });
    ASSERT_TRUE(trainer);
    ASSERT_TRUE((*trainer)->train());
    const ReplayBuffer& replay = (*trainer)->replay();
    ASSERT_EQ(replay.size(), 4);
    const float end = terminates ? 0 : 1;
    const float rewards[] = {1 + 5 + 25, 10 + 50 + 250, 100 + 500, 1000};
    const float discounts[] = {0.125F, 0.125F * end, 0.25F * end, 0.5F * end};
    const float next[] = {3, 4, 4, 4};
    for (int i = 0; i < 4; ++i) {
      EXPECT_FLOAT_EQ(replay.observation(i)[0], static_cast<float>(i));
      EXPECT_FLOAT_EQ(replay.reward(i), rewards[i]);
      EXPECT_FLOAT_EQ(replay.discount(i), discounts[i]);
      EXPECT_FLOAT_EQ(replay.next_observation(i)[0], next[i]);
    }
  }
}

// Twenty rows whose observations differ; keeps the actions of the first step.
class RowsEnv final : public VecEnv {
 public:
  static constexpr std::int64_t kRows = 20;
  explicit RowsEnv(std::vector<std::int32_t>* actions) : kept_(actions) {}
  std::int64_t num_envs() const override { return kRows; }
  const Space& observation_space() const override { return observations_; }
  const Space& action_space() const override { return actions_; }
  static std::array<float, 2> observation(std::int64_t row) {
    return {std::sin(static_cast<float>(row)), std::cos(static_cast<float>(3 * row))};
  }
  base::Status reset(std::uint64_t, float* observations) override {
    for (std::int64_t row = 0; row < kRows; ++row) std::copy_n(observation(row).begin(), 2, observations + row * 2);
    return {};
  }
  base::Status step(const void* actions, const StepBuffers& out) override {
    const auto* given = static_cast<const std::int32_t*>(actions);
    if (kept_->empty()) kept_->assign(given, given + kRows);
    std::fill_n(out.rewards, kRows, 0.0F);
    std::fill_n(out.terminated, kRows, 0);
    std::fill_n(out.truncated, kRows, 0);
    return reset(0, out.observations);
  }
  std::string save_state() const override { return {}; }
  base::Status load_state(std::string_view) override { return {}; }

 private:
  Space observations_{Space::Kind::kBox, 2, {-1, -1}, {1, 1}};
  Space actions_{Space::Kind::kDiscrete, 5, {}, {}, 7};
  std::vector<std::int32_t>* kept_;
};

TEST(Dqn, rows_that_are_chosen_for_together_get_the_action_that_each_would_get_alone) {
  DqnConfig config;
  config.num_envs = RowsEnv::kRows;
  config.learning_starts = 0;
  config.exploration_initial_eps = config.exploration_final_eps = 0;
  config.train_freq = config.steps_per_iteration = RowsEnv::kRows;
  std::vector<std::int32_t> actions;
  auto trainer = DqnTrainer::make(config, [&](const EnvOptions&) -> base::Result<std::unique_ptr<VecEnv>> {
    return std::make_unique<RowsEnv>(&actions);
  });
  ASSERT_TRUE(trainer);
  const auto policy = (*trainer)->policy();
  ASSERT_TRUE((*trainer)->train());
  ASSERT_EQ(actions.size(), RowsEnv::kRows);
  std::set<std::int32_t> different;
  for (std::int64_t row = 0; row < RowsEnv::kRows; ++row) {
    std::int32_t alone = 0;
    ASSERT_TRUE(policy->act(RowsEnv::observation(row), &alone));
    EXPECT_EQ(actions[static_cast<std::size_t>(row)], alone) << row;
    different.insert(alone);
  }
  EXPECT_GT(different.size(), 1U) << "rows of one action would not tell";
}

}  // namespace
}  // namespace daybreak::rl
