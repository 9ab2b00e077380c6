#include "daybreak/tune/gp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "daybreak/base/cpu.h"
#include "daybreak/tune/samplers/gp_sampler.h"

namespace daybreak::tune {
namespace {

Gp made_gp(std::size_t count, std::vector<double>* points = nullptr, std::vector<double>* values = nullptr) {
  std::vector<double> at;
  std::vector<double> told;
  for (std::size_t k = 0; k < count; ++k) {
    Keyed random(1, k, "gp points");
    const double x = random.uniform();
    const double y = random.uniform();
    const auto c = static_cast<double>(random.below(3));
    at.insert(at.end(), {x, y, c});
    told.push_back(std::sin(6 * x) + y * y - (c == 1 ? 1 : 0) + 0.05 * random.normal());
  }
  if (points != nullptr) *points = at;
  if (values != nullptr) *values = told;
  return {at, told, {false, false, true}};
}

const GpParameters kGpParameters = {.inverse_squared_scales = {3, 0.7, 0.4}, .variance = 1.3, .noise = 0.02};

TEST(Gp, predicts_what_solving_the_whole_system_gives) {
  std::vector<double> points;
  std::vector<double> values;
  Gp gp = made_gp(12, &points, &values);
  ASSERT_TRUE(gp.condition(kGpParameters));
  const auto covariance = [](const double* a, const double* b) {
    const double squared =
        3 * (a[0] - b[0]) * (a[0] - b[0]) + 0.7 * (a[1] - b[1]) * (a[1] - b[1]) + (a[2] != b[2] ? 0.4 : 0);
    const double root = std::sqrt(5 * squared);
    return 1.3 * (1 + root + root * root / 3) * std::exp(-root);
  };
  const std::vector<double> point = {0.3, 0.8, 1};
  // Gauss and Jordan on [K + noise | y, k].
  constexpr std::size_t kN = 12;
  std::vector<std::vector<long double>> rows(kN, std::vector<long double>(kN + 2));
  for (std::size_t i = 0; i < kN; ++i) {
    for (std::size_t j = 0; j < kN; ++j) rows[i][j] = covariance(&points[i * 3], &points[j * 3]) + (i == j ? 0.02 : 0);
    rows[i][kN] = values[i];
    rows[i][kN + 1] = covariance(&points[i * 3], point.data());
  }
  for (std::size_t k = 0; k < kN; ++k) {
    for (std::size_t i = 0; i < kN; ++i) {
      if (i == k) continue;
      const long double factor = rows[i][k] / rows[k][k];
      for (std::size_t j = k; j < kN + 2; ++j) rows[i][j] -= factor * rows[k][j];
    }
  }
  long double mean = 0;
  long double variance = 1.3;
  for (std::size_t k = 0; k < kN; ++k) {
    const double own = covariance(&points[k * 3], point.data());
    mean += own * rows[k][kN] / rows[k][k];
    variance -= own * rows[k][kN + 1] / rows[k][k];
  }
  const Gp::Prediction found = gp.predict(point);
  EXPECT_NEAR(found.mean, static_cast<double>(mean), 1e-11);
  EXPECT_NEAR(found.variance, static_cast<double>(variance), 1e-11);
  ASSERT_TRUE(gp.believe(point));
  EXPECT_NEAR(gp.predict(point).mean, found.mean, 1e-9);
  // As an observation with the noise.
  EXPECT_NEAR(gp.predict(point).variance, found.variance * 0.02 / (found.variance + 0.02), 1e-9);
}

TEST(Gp, has_the_gradients_that_differences_have) {
  Gp gp = made_gp(25);
  const std::vector<double> logs = {0.4, -0.3, -1, 0.2, -3};
  std::vector<double> gradient(5);
  std::vector<double> unused(5);
  gp.loss(logs, gradient);
  for (std::size_t k = 0; k < 5; ++k) {
    std::vector<double> up = logs;
    std::vector<double> down = logs;
    up[k] += 1e-5;
    down[k] -= 1e-5;
    EXPECT_NEAR(gradient[k], (gp.loss(up, unused) - gp.loss(down, unused)) / 2e-5, 1e-5) << k;
  }
  ASSERT_TRUE(gp.condition(kGpParameters));
  const std::vector<double> point = {0.3, 0.8, 1};
  std::vector<double> slopes(3);
  for (const double best : {-1.0, 1.5, 40.0}) {
    gp.improvement(point, best, slopes);
    for (std::size_t k = 0; k < 2; ++k) {
      std::vector<double> up = point;
      std::vector<double> down = point;
      up[k] += 1e-6;
      down[k] -= 1e-6;
      const double difference = (gp.improvement(up, best, {}) - gp.improvement(down, best, {})) / 2e-6;
      EXPECT_NEAR(slopes[k], difference, 1e-4 * std::max(1.0, std::abs(difference))) << best;
    }
    EXPECT_EQ(slopes[2], 0);
  }
}

TEST(LogExpectedImprovement, keeps_its_digits_far_below) {
  // log(phi(z) + z Phi(z)) by the continued fraction of Mills' ratio, 80 digits.
  EXPECT_NEAR(log_expected_improvement(0, 1, 0), -0.91893853320467274, 1e-14);
  EXPECT_NEAR(log_expected_improvement(-5, 1, 0), -16.74430116266099, 1e-9);
  EXPECT_NEAR(log_expected_improvement(-11.9, 1, 0), -76.69769951768451, 1e-6);
  EXPECT_NEAR(log_expected_improvement(-40, 1, 0), -808.29856835662, 1e-9);
}

TEST(Minimized, ends_at_the_bound_or_in_the_valley) {
  const Descent valley = [](std::span<const double> x, std::span<double> gradient) {
    gradient[0] = -400 * x[0] * (x[1] - x[0] * x[0]) - 2 * (1 - x[0]);
    gradient[1] = 200 * (x[1] - x[0] * x[0]);
    return 100 * std::pow(x[1] - x[0] * x[0], 2) + std::pow(1 - x[0], 2);
  };
  std::vector<double> x = {-1.2, 1};
  const std::vector<double> low = {-5, -5};
  EXPECT_LT(minimized(valley, x, low, std::vector<double>{5, 5}, 200, 1e-8), 1e-12);
  x = {-1.2, 0.3};
  minimized(valley, x, low, std::vector<double>{5, 0.5}, 200, 1e-8);
  EXPECT_DOUBLE_EQ(x[1], 0.5);
  EXPECT_NEAR(x[0], 0.70856, 1e-4);  // where the derivative by x is 0 on y = 1/2
}

TEST(Gp, improvements_of_many_points_are_those_of_each) {
  for (const std::size_t count : {3U, 16U, 41U}) {
    Gp gp = made_gp(count);
    ASSERT_TRUE(gp.condition(kGpParameters));
    std::vector<double> points;
    for (std::size_t k = 0; k < 19; ++k) {
      Keyed random(2, k, "candidates");
      points.insert(points.end(), {random.uniform(), random.uniform(), static_cast<double>(random.below(3))});
    }
    std::vector<double> found(19);
    gp.improvements(points, 0.3, found);
    for (std::size_t k = 0; k < 19; ++k) {
      EXPECT_NEAR(found[k], gp.improvement(std::span(points).subspan(3 * k, 3), 0.3, {}), 1e-9);
    }
  }
}

TEST(Gp, a_fit_of_many_points_that_begins_with_a_part_of_them_predicts_what_it_has_not_seen) {
  Gp gp = made_gp(220);
  ASSERT_TRUE(gp.fit({.inverse_squared_scales = {1, 1, 1}}));
  double squares = 0;
  for (std::size_t k = 0; k < 100; ++k) {
    Keyed random(9, k, "unseen");
    const double x = random.uniform();
    const double y = random.uniform();
    const auto c = static_cast<double>(random.below(3));
    const double mean = gp.predict(std::vector<double>{x, y, c}).mean;
    squares += std::pow(mean - (std::sin(6 * x) + y * y - (c == 1 ? 1 : 0)), 2) / 100;
  }
  EXPECT_LT(std::sqrt(squares), 0.05);
}

TEST(GpKernels, of_every_level_agree) {
  constexpr std::size_t kN = 37;
  std::vector<internal::GpKernels> levels = {internal::scalar_gp_kernels()};
  if (base::best_cpu_level() >= base::CpuLevel::kAvx2) levels.push_back(internal::avx2_gp_kernels());
  if (base::best_cpu_level() >= base::CpuLevel::kAvx512) levels.push_back(internal::avx512_gp_kernels());
  std::vector<double> first;
  for (const internal::GpKernels& level : levels) {
    if (level.dot == nullptr) continue;
    std::vector<double> matrix(kN * kN);
    for (std::size_t i = 0; i < kN; ++i) {
      for (std::size_t j = 0; j < kN; ++j)
        matrix[i * kN + j] = std::exp(-std::abs(0.1 * (static_cast<double>(i) - static_cast<double>(j)))) + (i == j);
    }
    std::vector<double> factor = matrix;
    ASSERT_TRUE(level.cholesky(factor.data(), kN));
    std::vector<double> inverse(kN * kN);
    std::vector<double> product(kN * kN);
    level.invert_lower(factor.data(), inverse.data(), kN);
    level.gram(inverse.data(), product.data(), kN);
    for (std::size_t i = 0; i < kN; ++i) {
      for (std::size_t j = 0; j < kN; ++j) {
        double sum = 0;
        for (std::size_t k = 0; k < kN; ++k) sum += product[std::max(i, k) * kN + std::min(i, k)] * matrix[k * kN + j];
        EXPECT_NEAR(sum, i == j ? 1 : 0, 1e-12);
      }
    }
    if (first.empty()) first = product;
    EXPECT_EQ(product, first);
    matrix[0] = -1;
    EXPECT_FALSE(level.cholesky(matrix.data(), kN));
  }
}

double best_with(Sampler& sampler, std::uint64_t count) {
  Trials trials({Direction::kMinimize});
  const std::vector<std::pair<const char*, Distribution>> space = {
      {"c", *Distribution::categorical(3)}, {"n", *Distribution::whole(0, 40)}, {"x", *Distribution::real(-5, 10)}};
  double best = 1e300;
  for (std::uint64_t k = 0; k < count; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const std::vector<Parameter> joint = sampler.joint(trials, trial);
    std::vector<double> at;
    if (!joint.empty()) at = sampler.sample(trials, trial, joint)->values;
    for (std::size_t d = 0; d < space.size(); ++d) {
      const std::uint32_t column = trials.add_column(space[d].first);
      const Parameter parameter = {.column = column, .distribution = space[d].second};
      if (joint.empty()) at.push_back(*sampler.sample_one(trials, trial, parameter));
      EXPECT_TRUE(trials.give(trial, column, at[d], space[d].second).has_value());
    }
    const double loss = std::pow(at[2] - 3.3, 2) / 10 + std::pow((at[1] - 31) / 10, 2) + (at[0] == 1 ? 0 : 1);
    EXPECT_TRUE(trials.move(trial, State::kComplete, {&loss, 1}).has_value());
    best = std::min(best, loss);
  }
  return best;
}

TEST(GpSampler, finds_the_bottom_of_a_mixed_space_in_few_trials) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    EXPECT_LT(best_with(**gp_sampler({.seed = seed}), 35), 0.01);
    EXPECT_GT(best_with(*random_sampler({.seed = seed}), 35), 0.01);
  }
}

TEST(GpSampler, refuses_constraints_and_several_objectives) {
  Trials several({Direction::kMinimize, Direction::kMinimize});
  const Parameter parameter = {.column = several.add_column("x")};
  EXPECT_NE(
      (*gp_sampler({}))->sample_one(several, several.add(State::kRunning), parameter).error().message().find("study 2"),
      std::string::npos);
  Trials trials({Direction::kMinimize});
  const std::uint32_t column = trials.add_column("x");
  for (int k = 0; k < 3; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const double value = 0.25 * k;
    ASSERT_TRUE(trials.give(trial, column, value, *Distribution::real(0, 1)).has_value());
    ASSERT_TRUE(trials.constrain(trial, 1).has_value());
    ASSERT_TRUE(trials.move(trial, State::kComplete, {&value, 1}).has_value());
  }
  const auto sampler = *gp_sampler({.startup_trials = 1});
  const std::uint32_t next = trials.add(State::kRunning);
  const auto refused = sampler->sample(trials, next, sampler->joint(trials, next));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("trial 0 violates a constraint"), std::string::npos);
}

}  // namespace
}  // namespace daybreak::tune
