// The contract of VecEnv, on every environment of our own.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <tuple>
#include <vector>

#include "daybreak/rl/envs/vec_env.h"

namespace daybreak::rl {
namespace {

std::unique_ptr<VecEnv> make(std::string_view id, std::int64_t num_envs, Autoreset autoreset = Autoreset::kSameStep,
                             std::map<std::string, std::string> options = {}) {
  auto env = make_vec_env(id, {.num_envs = num_envs, .autoreset = autoreset, .options = std::move(options)});
  EXPECT_TRUE(env.has_value()) << (env ? "" : env.error().message());
  return std::move(*env);
}

// A batch with its buffers and a stream of random actions.
struct Player {
  explicit Player(std::unique_ptr<VecEnv> made)
      : env(std::move(made)),
        n(env->num_envs()),
        width(env->observation_space().n),
        observations(n * width),
        rewards(n),
        finals(n * width),
        terminated(n),
        truncated(n),
        integers(n),
        floats(n) {}

  base::Status reset(std::uint64_t seed) {
    actions.seed(seed);
    return env->reset(seed, observations.data());
  }

  base::Status step() {
    for (auto& action : integers) action = static_cast<std::int32_t>(actions() % env->action_space().n);
    for (auto& action : floats) action = std::uniform_real_distribution<float>(-2.5F, 2.5F)(actions);
    return step_as_is();
  }

  base::Status step_as_is() {
    const bool discrete = env->action_space().kind == Space::Kind::kDiscrete;
    return env->step(discrete ? static_cast<const void*>(integers.data()) : floats.data(),
                     {observations.data(), rewards.data(), terminated.data(), truncated.data(), finals.data()});
  }

  std::vector<float> row(const std::vector<float>& matrix, std::int64_t i) const {
    return {matrix.begin() + i * width, matrix.begin() + (i + 1) * width};
  }

  std::unique_ptr<VecEnv> env;
  std::int64_t n, width;
  std::vector<float> observations, rewards, finals;
  std::vector<std::uint8_t> terminated, truncated;
  std::vector<std::int32_t> integers;
  std::vector<float> floats;
  std::mt19937_64 actions;
};

class VecEnvTest : public testing::TestWithParam<const char*> {};

TEST_P(VecEnvTest, ShapesAndSpacesFit) {
  Player player(make(GetParam(), 3));
  ASSERT_TRUE(player.reset(1));
  const Space& space = player.env->observation_space();
  EXPECT_EQ(space.kind, Space::Kind::kBox);
  for (int t = 0; t < 300; ++t) {
    ASSERT_TRUE(player.step());
    for (std::int64_t i = 0; i < 3 * player.width; ++i) {
      EXPECT_GE(player.observations[i], space.low[i % player.width]);
      EXPECT_LE(player.observations[i], space.high[i % player.width]);
    }
  }
}

TEST_P(VecEnvTest, ARowDependsOnSeedAndIndexOnly) {
  Player wide(make(GetParam(), 7)), narrow(make(GetParam(), 1));
  ASSERT_TRUE(wide.reset(20));
  for (std::int64_t i = 0; i < 7; ++i) {
    ASSERT_TRUE(narrow.reset(20 + i));
    EXPECT_EQ(wide.row(wide.observations, i), narrow.observations);
  }
  // The last of the narrow ones goes on beside row 6.
  for (int t = 0; t < 600; ++t) {
    ASSERT_TRUE(wide.step());
    narrow.integers[0] = wide.integers[6];
    narrow.floats[0] = wide.floats[6];
    ASSERT_TRUE(narrow.step_as_is());
    ASSERT_EQ(wide.row(wide.observations, 6), narrow.observations);
    ASSERT_EQ(wide.rewards[6], narrow.rewards[0]);
    ASSERT_EQ(wide.terminated[6], narrow.terminated[0]);
  }
}

TEST_P(VecEnvTest, ASavedStateGoesOnToTheBit) {
  for (const Autoreset autoreset : {Autoreset::kSameStep, Autoreset::kNextStep}) {
    Player player(make(GetParam(), 5, autoreset)), other(make(GetParam(), 5, autoreset));
    ASSERT_TRUE(player.reset(3));
    ASSERT_TRUE(other.reset(99));
    for (int t = 0; t < 333; ++t) ASSERT_TRUE(player.step());
    const std::string saved = player.env->save_state();
    ASSERT_TRUE(other.env->load_state(saved));
    EXPECT_EQ(other.env->save_state(), saved);
    other.actions = player.actions;
    for (int t = 0; t < 500; ++t) {
      ASSERT_TRUE(player.step());
      ASSERT_TRUE(other.step());
      ASSERT_EQ(player.observations, other.observations);
      ASSERT_EQ(player.rewards, other.rewards);
      ASSERT_EQ(player.terminated, other.terminated);
      ASSERT_EQ(player.truncated, other.truncated);
    }
  }
}

TEST_P(VecEnvTest, DamagedOrForeignStatesAreRefusedAndChangeNothing) {
  Player player(make(GetParam(), 4)), like(make(GetParam(), 4));
  ASSERT_TRUE(player.reset(3));
  ASSERT_TRUE(like.reset(4));
  const std::string before = player.env->save_state();
  const std::string good = like.env->save_state();
  std::vector<std::string> bad = {
      "",
      "daybreak",
      good + "x",
      make(GetParam(), 5)->save_state(),
      make(GetParam(), 4, Autoreset::kNextStep)->save_state(),
      make(GetParam(), 4, Autoreset::kSameStep, {{"max_episode_steps", "7"}})->save_state()};
  for (std::size_t size = 0; size < good.size(); size += 13) bad.push_back(good.substr(0, size));
  for (std::size_t at = 0; at < good.size(); at += 11) {
    bad.push_back(good);
    bad.back()[at] ^= 4;
  }
  for (const std::string& bytes : bad) {
    const base::Status loaded = player.env->load_state(bytes);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code(), base::Code::kDataLoss);
    EXPECT_EQ(player.env->save_state(), before);
  }
  EXPECT_TRUE(player.env->load_state(good));
}

TEST_P(VecEnvTest, TimeLimitTruncatesAndDoesNotTerminate) {
  Player player(make(GetParam(), 2, Autoreset::kSameStep, {{"max_episode_steps", "5"}}));
  ASSERT_TRUE(player.reset(3));
  for (int t = 1; t <= 20; ++t) {
    ASSERT_TRUE(player.step());
    EXPECT_EQ(player.truncated, (std::vector<std::uint8_t>(2, t % 5 == 0)));
    EXPECT_EQ(player.terminated, (std::vector<std::uint8_t>(2, 0)));
  }
}

TEST_P(VecEnvTest, AutoresetModesTellTheSameEpisodes) {
  // One row in each mode, seen as a list of observations; the first observation of an episode is where the modes
  // differ.
  const std::map<std::string, std::string> options = {{"max_episode_steps", "60"}};
  Player same(make(GetParam(), 1, Autoreset::kSameStep, options)),
      next(make(GetParam(), 1, Autoreset::kNextStep, options)),
      none(make(GetParam(), 1, Autoreset::kDisabled, options));
  for (Player* player : {&same, &next, &none}) ASSERT_TRUE(player->reset(8));
  int ends = 0;
  for (int t = 0; t < 1000; ++t) {
    ASSERT_TRUE(same.step());
    for (Player* player : {&next, &none}) {
      player->integers = same.integers;
      player->floats = same.floats;
      ASSERT_TRUE(player->step_as_is());
      ASSERT_EQ(player->rewards, same.rewards);
      ASSERT_EQ(player->terminated, same.terminated);
      ASSERT_EQ(player->truncated, same.truncated);
    }
    ASSERT_EQ(next.observations, none.observations);
    if (!same.terminated[0] && !same.truncated[0]) {
      ASSERT_EQ(same.observations, none.observations);
      continue;
    }
    ++ends;
    ASSERT_EQ(same.finals, none.observations);
    const base::Status too_far = none.step_as_is();
    ASSERT_FALSE(too_far.has_value());
    EXPECT_EQ(too_far.error().code(), base::Code::kFailedPrecondition);
    ASSERT_TRUE(none.env->reset_rows(nullptr, nullptr, none.observations.data()));
    ASSERT_TRUE(next.step_as_is());  // this action is ignored
    EXPECT_EQ(next.rewards[0], 0);
    EXPECT_EQ(next.terminated[0] + next.truncated[0], 0);
    ASSERT_EQ(next.observations, same.observations);
    ASSERT_EQ(none.observations, same.observations);
  }
  EXPECT_GT(ends, 5);
}

TEST_P(VecEnvTest, MisuseIsAnErrorThatNamesIt) {
  Player player(make(GetParam(), 3));
  base::Status status = player.step();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code(), base::Code::kFailedPrecondition);
  EXPECT_NE(status.error().message().find("never reset"), std::string::npos);

  ASSERT_TRUE(player.reset(0));
  const std::string before = player.env->save_state();
  player.integers = {0, 77, 0};
  player.floats = {0, std::numeric_limits<float>::quiet_NaN(), 0};
  status = player.step_as_is();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code(), base::Code::kInvalidArgument);
  EXPECT_NE(status.error().message().find("environment 1"), std::string::npos) << status.error().message();
  EXPECT_EQ(player.env->save_state(), before);
}

TEST_P(VecEnvTest, OptionsAreCheckedByName) {
  const std::pair<std::map<std::string, std::string>, const char*> cases[] = {
      {{{"max_steps", "5"}}, "max_episode_steps"},
      {{{"max_episode_steps", "-1"}}, "0"},
      {{{"max_episode_steps", "5.5"}}, "integer"},
      {{{"max_episode_steps", ""}}, "integer"},
  };
  for (const auto& [options, words] : cases) {
    const auto env = make_vec_env(GetParam(), {.options = options});
    ASSERT_FALSE(env.has_value());
    EXPECT_EQ(env.error().code(), base::Code::kInvalidArgument);
    EXPECT_NE(env.error().message().find(words), std::string::npos) << env.error().message();
  }
  for (const std::int64_t num_envs : {0, -1, 1 << 21}) {
    EXPECT_FALSE(make_vec_env(GetParam(), {.num_envs = num_envs}).has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(All, VecEnvTest, testing::Values("CartPole-v1", "Pendulum-v1", "daybreak/Pong-v0"));

// docs/formats/rl-environment-state.md. When this fails on purpose, the number in the first line goes up.
TEST(SavedState, HasTheBytesOfTheFormat) {
  const std::tuple<const char*, std::size_t, const char*> formats[] = {
      {"CartPole-v1", 38 + 32, "CartPole-v1 num_envs=2 autoreset=1 {}\n"},
      {"Pendulum-v1", 38 + 16, "Pendulum-v1 num_envs=2 autoreset=1 {}\n"},
      {"daybreak/Pong-v0", 38 + 110, "daybreak/Pong-v0 num_envs=2 autoreset=1 {}\n"},
  };
  for (const auto& [id, row_bytes, second_line] : formats) {
    Player player(make(id, 2));
    ASSERT_TRUE(player.reset(42));
    const std::string bytes = player.env->save_state();
    const std::string header = std::string("daybreak environments 1\n") + second_line;
    EXPECT_EQ(bytes.substr(0, header.size()), header);
    EXPECT_EQ(bytes.size(), header.size() + 2 * row_bytes + 8) << id;
    // The first generator is numpy's of seed 42; the draws of reset have moved its state and never its increment.
    std::uint64_t increment[2];
    std::memcpy(increment, bytes.data() + header.size() + 16, sizeof increment);
    EXPECT_EQ(increment[0], 0x66caf2e28d25abffULL);
    EXPECT_EQ(increment[1], 0xfa505436c9a8416eULL);
  }
}

TEST(MakeVecEnv, AnUnknownIdNamesTheKnownOnes) {
  const auto env = make_vec_env("CartPole-v0", {});
  ASSERT_FALSE(env.has_value());
  EXPECT_EQ(env.error().code(), base::Code::kNotFound);
  for (const std::string& id : env_ids()) EXPECT_NE(env.error().message().find(id), std::string::npos);
}

TEST(MakeVecEnv, PongRewardsAreStepOrWin) {
  EXPECT_FALSE(make_vec_env("daybreak/Pong-v0", {.options = {{"reward", "points"}}}).has_value());
  Player player(make("daybreak/Pong-v0", 8, Autoreset::kSameStep, {{"reward", "win"}}));
  ASSERT_TRUE(player.reset(1));
  float total = 0;
  int ends = 0;
  for (int t = 0; t < 400; ++t) {
    ASSERT_TRUE(player.step());
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(player.rewards[i] != 0, player.terminated[i] == 1);
      total += player.rewards[i];
      ends += player.terminated[i];
    }
  }
  EXPECT_GT(ends, 20);
  EXPECT_EQ(total, -ends);  // chance does not win
}

TEST(ResetRows, TouchesOnlyTheRowsOfTheMask) {
  Player player(make("CartPole-v1", 3, Autoreset::kDisabled)), fresh(make("CartPole-v1", 1));
  ASSERT_TRUE(player.reset(1));
  ASSERT_TRUE(player.step());
  const auto before = player.observations;
  const std::uint8_t mask[] = {0, 1, 0};
  const std::uint64_t seeds[] = {5, 6, 7};
  ASSERT_TRUE(player.env->reset_rows(mask, seeds, player.observations.data()));
  ASSERT_TRUE(fresh.reset(6));
  EXPECT_EQ(player.row(player.observations, 0), std::vector<float>(before.begin(), before.begin() + 4));
  EXPECT_EQ(player.row(player.observations, 1), fresh.observations);
  EXPECT_EQ(player.row(player.observations, 2), std::vector<float>(before.begin() + 8, before.end()));
}

}  // namespace
}  // namespace daybreak::rl
