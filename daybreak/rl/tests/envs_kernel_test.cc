// The CartPole kernels and what they stand on: the bits are the point.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "daybreak/rl/envs/cartpole_kernel.h"
#include "daybreak/rl/envs/small_trig.h"

namespace daybreak::rl {
namespace {

bool has_fma() {
  return base::best_cpu_level() >= base::CpuLevel::kAvx2;
}

TEST(SmallTrig, HasTheBitsOfLibm) {
  if (!has_fma()) GTEST_SKIP() << "libm takes its other path on this processor";
#if defined(__GLIBC__)
  std::mt19937_64 bits(1);
  std::uniform_real_distribution<double> wide(-small_trig::kLimit, small_trig::kLimit), usual(-0.21, 0.21);
  for (int i = 0; i < 2'000'000; ++i) {
    const double x = i % 2 ? wide(bits) : usual(bits) * std::exp2(-(i % 64) / 2.0);
    double sine, cosine;
    small_trig::sin_cos(x, sine, cosine);
    ASSERT_EQ(std::bit_cast<std::uint64_t>(sine), std::bit_cast<std::uint64_t>(std::sin(x))) << x;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(cosine), std::bit_cast<std::uint64_t>(std::cos(x))) << x;
  }
#endif
}

TEST(SmallTrig, IsRightAtTheEdges) {
  const double edges[] = {0.0,
                          0x1p-1074,
                          0x1p-27,
                          0x1p-26,
                          small_trig::kPolynomial,
                          std::nextafter(small_trig::kPolynomial, 0),
                          1.0 / 256,
                          3.0 / 256,
                          small_trig::kLimit,
                          std::nextafter(small_trig::kLimit, 1),
                          1.5,
                          100.0};
  for (const double edge : edges) {
    for (const double x : {edge, -edge}) {
      double sine, cosine;
      small_trig::sin_cos(x, sine, cosine);
      EXPECT_DOUBLE_EQ(sine, std::sin(x)) << x;
      EXPECT_DOUBLE_EQ(cosine, std::cos(x)) << x;
      EXPECT_EQ(std::signbit(sine), std::signbit(std::sin(x))) << x;
    }
  }
  double sine, cosine;
  small_trig::sin_cos(std::numeric_limits<double>::quiet_NaN(), sine, cosine);
  EXPECT_TRUE(std::isnan(sine) && std::isnan(cosine));
}

// A batch that can be stepped by any kernel.
struct Batch {
  explicit Batch(std::int64_t n)
      : state(4 * n), observations(4 * n), rewards(n), steps(n), actions(n), ended(n), terminated(n), truncated(n) {}

  std::int64_t step(cartpole::StepFunction* function, const cartpole::Rules& rules) {
    const auto n = static_cast<std::int64_t>(actions.size());
    const std::int64_t count = function(
        {state.data(), state.data() + n, state.data() + 2 * n, state.data() + 3 * n, steps.data()}, actions.data(), n,
        rules, {observations.data(), rewards.data(), terminated.data(), truncated.data(), ended.data()});
    std::fill(ended.begin() + count, ended.end(), -1);
    return count;
  }

  std::vector<double> state;
  std::vector<float> observations, rewards;
  std::vector<std::int32_t> steps, actions, ended;
  std::vector<std::uint8_t> terminated, truncated;
};

template <typename T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

TEST(CartPole, a_lower_level_has_another_kernel) {
  EXPECT_EQ(cartpole::step_function(base::CpuLevel::kScalar), cartpole::step_scalar);
#if defined(__x86_64__)
  EXPECT_EQ(cartpole::step_function(base::CpuLevel::kAvx2), cartpole::step_avx2);
#endif
}

TEST(CartPole, KernelsAgreeToTheBit) {
  if (!has_fma()) GTEST_SKIP() << "this processor has one kernel";
#if defined(__x86_64__)
  std::mt19937_64 bits(2);
  const auto uniform = [&](double size) { return std::uniform_real_distribution<double>(-size, size)(bits); };
  for (const std::int64_t n : {1, 3, 4, 7, 64, 129}) {
    for (int round = 0; round < 300; ++round) {
      // Ordinary states, states about to fall, and states that only set_state makes.
      const double scale = round % 3 == 0 ? 1 : round % 3 == 1 ? 0.1 : 30;
      Batch scalar(n);
      for (std::int64_t i = 0; i < n; ++i) {
        scalar.state[i] = uniform(2.5);
        scalar.state[n + i] = uniform(3 * scale);
        scalar.state[2 * n + i] = uniform(0.22 * scale);
        scalar.state[3 * n + i] = uniform(3.5 * scale);
        scalar.actions[i] = static_cast<std::int32_t>(bits() & 1);
        scalar.steps[i] = static_cast<std::int32_t>(490 + bits() % 12);
      }
      Batch vector = scalar;
      const cartpole::Rules rules{.step_limit = 500, .reward = 0.5F, .reward_at_fall = -1};
      for (int t = 0; t < 12; ++t) {
        EXPECT_EQ(scalar.step(cartpole::step_scalar, rules), vector.step(cartpole::step_avx2, rules));
        ASSERT_TRUE(same_bytes(scalar.state, vector.state)) << "n=" << n << " round " << round << " step " << t;
        ASSERT_TRUE(same_bytes(scalar.observations, vector.observations));
        ASSERT_TRUE(same_bytes(scalar.rewards, vector.rewards) && same_bytes(scalar.steps, vector.steps));
        ASSERT_TRUE(same_bytes(scalar.terminated, vector.terminated) && same_bytes(scalar.truncated, vector.truncated));
        ASSERT_TRUE(same_bytes(scalar.ended, vector.ended));
      }
    }
  }
#endif
}

TEST(CartPole, EpisodesEndAtTheLimitsOfGymnasium) {
  Batch batch(6);
  const double x[] = {2.4, std::nextafter(2.4, 3), -2.4, -std::nextafter(2.4, 3), 0, 0};
  const double angle[] = {0, 0, 0, 0, cartpole::kAngleLimit, -std::nextafter(cartpole::kAngleLimit, 1)};
  for (int i = 0; i < 6; ++i) {
    batch.state[i] = x[i];
    batch.state[12 + i] = angle[i];
  }
  EXPECT_EQ(batch.step(cartpole::step_function(), {.step_limit = 500, .reward = 1, .reward_at_fall = 1}), 3);
  EXPECT_EQ(batch.terminated, (std::vector<std::uint8_t>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(batch.ended, (std::vector<std::int32_t>{1, 3, 5, -1, -1, -1}));
}

}  // namespace
}  // namespace daybreak::rl
