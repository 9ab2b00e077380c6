#include "daybreak/tune/parzen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "daybreak/base/cpu.h"
#include "daybreak/tune/parzen_kernels.h"

namespace daybreak::tune {
namespace {

// Plainly, in long double: the mixture as the paper has it, of numbers between bounds.
long double plain_log_density(const std::vector<std::vector<double>>& observations, const std::vector<double>& low,
                              const std::vector<double>& high, const std::vector<double>& point) {
  const auto m = observations.size();
  long double sum = 0;
  long double total = 0;
  for (std::size_t k = 0; k <= m; ++k) {
    long double weight = 1;
    if (k < m && m > 25 && k < m - 25) {
      weight = m == 26 ? 1.0L / 26
                       : 1.0L / static_cast<long double>(m) + (1 - 1.0L / static_cast<long double>(m)) *
                                                                  static_cast<long double>(k) /
                                                                  static_cast<long double>(m - 26);
    }
    long double product = weight;
    for (std::size_t d = 0; d < low.size(); ++d) {
      long double mu = (static_cast<long double>(low[d]) + high[d]) / 2;
      long double sigma = high[d] - low[d];
      if (k < m) {
        mu = observations[k][d];
        std::vector<long double> sorted;
        for (const auto& row : observations) sorted.push_back(row[d]);
        std::ranges::sort(sorted);
        const auto at = static_cast<std::size_t>(std::ranges::find(sorted, mu) - sorted.begin());
        const long double left = mu - (at == 0 ? static_cast<long double>(low[d]) : sorted[at - 1]);
        const long double right = (at + 1 == m ? static_cast<long double>(high[d]) : sorted[at + 1]) - mu;
        long double gap = std::max(left, right);
        if (m >= 2 && at == 0) gap = right;
        if (m >= 2 && at + 1 == m) gap = left;
        sigma = std::clamp(gap, sigma / std::min(100.0L, static_cast<long double>(m) + 2), sigma);
      }
      const auto ndtr = [](long double x) { return std::erfc(-x / std::numbers::sqrt2_v<long double>) / 2; };
      const long double mass = ndtr((high[d] - mu) / sigma) - ndtr((low[d] - mu) / sigma);
      const long double z = (point[d] - mu) / sigma;
      product *= std::exp(-z * z / 2) / (sigma * std::sqrt(2 * std::numbers::pi_v<long double>) * mass);
    }
    sum += product;
    total += weight;
  }
  return std::log(sum / total);
}

std::vector<std::vector<double>> points_of(std::size_t count, std::size_t dims, std::uint64_t seed) {
  std::vector<std::vector<double>> points(count);
  for (std::size_t k = 0; k < count; ++k) {
    Keyed random(seed, k, "point");
    for (std::size_t d = 0; d < dims; ++d) points[k].push_back(random.uniform(-3, 5));
  }
  return points;
}

TEST(Parzen, has_the_density_of_the_plain_mixture_at_any_number_of_observations) {
  for (const std::size_t count : {0U, 1U, 2U, 24U, 25U, 26U, 97U, 98U, 99U, 160U}) {
    const auto observations = points_of(count, 3, count);
    const Distribution d = *Distribution::real(-3, 5);
    Parzen parzen({d, d, d}, Parzen::Weights::kOldLess);
    for (std::uint32_t k = 0; k < count; ++k) parzen.insert(k, observations[k]);
    for (const auto& point : points_of(5, 3, 777)) {
      double found = 0;
      parzen.log_densities(point, {&found, 1});
      EXPECT_NEAR(found, static_cast<double>(plain_log_density(observations, {-3, -3, -3}, {5, 5, 5}, point)), 1e-11)
          << count;
    }
  }
}

TEST(Parzen, is_the_same_whatever_came_and_went_before) {
  const auto observations = points_of(300, 2, 1);
  const std::vector<Distribution> space = {*Distribution::real(-3, 5), *Distribution::real(-3, 5, false, 0.5)};
  const auto rounded = [&](std::size_t k) {
    return std::vector<double>{observations[k][0], space[1].nearest(observations[k][1])};
  };
  Parzen through(space, Parzen::Weights::kOldLess);
  Parzen straight(space, Parzen::Weights::kOldLess);
  Keyed random(3, 0, "order");
  double scratch = 0;
  for (std::uint32_t k = 0; k < 300; ++k) {
    through.insert(k, rounded(k));
    if (k % 7 == 0) through.log_densities(rounded(k), {&scratch, 1});
    if (k % 3 == 0) through.erase(static_cast<std::uint32_t>(random.below(k + 1)));
  }
  for (std::uint32_t k = 0; k < 300; ++k) {
    if (through.contains(k)) straight.insert(k, rounded(k));
  }
  ASSERT_LT(straight.size(), 300U);
  for (std::size_t k = 0; k < 50; ++k) {
    const std::vector<double> point = rounded(k);
    double a = 0;
    double b = 0;
    through.log_densities(point, {&a, 1});
    straight.log_densities(point, {&b, 1});
    EXPECT_EQ(a, b);
  }
}

TEST(Parzen, of_steps_and_categories_sums_to_one) {
  const std::vector<Distribution> space = {*Distribution::whole(1, 6, true), *Distribution::real(0, 1, false, 0.25),
                                           *Distribution::categorical(3)};
  Parzen parzen(space, Parzen::Weights::kEqual);
  parzen.insert(0, std::vector<double>{2, 0.5, 1});
  parzen.insert(1, std::vector<double>{6, 0, 1});
  parzen.insert(2, std::vector<double>{2, 0.5, 0});
  double sum = 0;
  for (double n = 1; n <= 6; ++n) {
    for (double x = 0; x <= 1; x += 0.25) {
      for (double c = 0; c < 3; ++c) {
        double found = 0;
        parzen.log_densities(std::vector<double>{n, x, c}, {&found, 1});
        sum += std::exp(found);
      }
    }
  }
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST(Parzen, draws_as_often_as_its_density_says) {
  const std::vector<Distribution> space = {*Distribution::real(0, 8), *Distribution::categorical(3)};
  Parzen parzen(space, Parzen::Weights::kEqual);
  for (std::uint32_t k = 0; k < 5; ++k) parzen.insert(k, std::vector<double>{k < 4 ? 0.5 * k : 7.9, k < 4 ? 2.0 : 0.0});
  constexpr std::size_t kDraws = 40'000;
  Keyed random(5, 0, "draws");
  const std::vector<double> points = parzen.drawn(random, kDraws);
  for (double cell = 0; cell < 8; ++cell) {
    for (double c = 0; c < 3; ++c) {
      double expected = 0;
      for (int k = 0; k < 100; ++k) {
        double found = 0;
        parzen.log_densities(std::vector<double>{cell + (k + 0.5) / 100, c}, {&found, 1});
        expected += std::exp(found) / 100;
      }
      double seen = 0;
      for (std::size_t p = 0; p < kDraws; ++p) {
        seen += points[p * 2] >= cell && points[p * 2] < cell + 1 && points[p * 2 + 1] == c ? 1.0 / kDraws : 0;
      }
      EXPECT_NEAR(seen, expected, 5 * std::sqrt(expected / kDraws) + 1e-4) << cell << " " << c;
    }
  }
}

TEST(ParzenKernels, of_every_level_agree) {
  constexpr std::size_t kBlocks = 5;
  constexpr std::size_t kDims = 7;
  constexpr std::size_t kPoints = 11;
  Keyed random(9, 0, "kernels");
  std::vector<double> kernels(kBlocks * kDims * 2 * internal::kBlock);
  std::vector<double> points(kPoints * kDims);
  std::vector<double> weights(kBlocks * internal::kBlock);
  for (double& x : kernels) x = random.uniform(0, 30);
  for (double& x : points) x = random.uniform();
  for (double& x : weights) x = std::log(random.uniform() < 0.3 ? 0 : random.uniform());
  std::vector<internal::ParzenKernels> levels = {internal::scalar_parzen_kernels()};
  if (base::best_cpu_level() >= base::CpuLevel::kAvx2) levels.push_back(internal::avx2_parzen_kernels());
  if (base::best_cpu_level() >= base::CpuLevel::kAvx512) levels.push_back(internal::avx512_parzen_kernels());
  std::vector<double> first;
  for (const internal::ParzenKernels& level : levels) {
    if (level.add_quadratics == nullptr) continue;
    std::vector<double> sums;
    std::vector<double> rows(kPoints * kBlocks * internal::kBlock, 1.5);
    level.add_quadratics(kernels.data(), kBlocks, kDims, points.data(), kPoints, rows.data());
    for (std::size_t p = 0; p < kPoints; ++p) {
      long double sum = 0;
      for (std::size_t k = 0; k < kBlocks * internal::kBlock; ++k) {
        double expected = 1.5;
        for (std::size_t d = 0; d < kDims; ++d) {
          const double* at = &kernels[(k / internal::kBlock * kDims + d) * 2 * internal::kBlock + k % internal::kBlock];
          const double z = points[p * kDims + d] * at[0] - at[internal::kBlock];
          expected -= z * z / 2;
        }
        EXPECT_NEAR(rows[p * kBlocks * internal::kBlock + k], expected, 1e-9);
        sum += std::exp(static_cast<long double>(weights[k]) + rows[p * kBlocks * internal::kBlock + k]);
      }
      sums.push_back(level.log_weighted_sum(&rows[p * kBlocks * internal::kBlock], weights.data(), kBlocks));
      EXPECT_NEAR(sums.back(), static_cast<double>(std::log(sum)), 1e-11);
    }
    if (first.empty()) first = sums;
    EXPECT_EQ(sums, first);  // a study goes on with the same bits on another machine
  }
}

TEST(LogMass, keeps_its_digits_in_the_tails) {
  EXPECT_NEAR(log_ndtr(-30), -454.3212439563432, 1e-10);  // of scipy.special
  EXPECT_NEAR(log_ndtr(-10), -53.23128515051247, 1e-12);
  EXPECT_NEAR(log_ndtr(5), -2.866516129637636e-07, 1e-19);
  EXPECT_NEAR(log_mass(30, 31), log_mass(-31, -30), 1e-10);
  EXPECT_NEAR(log_mass(-31, -30), -454.3212439563432 + std::log1p(-std::exp(log_ndtr(-31) + 454.3212439563432)), 1e-10);
  EXPECT_NEAR(log_mass(-50, 50), 0, 1e-15);
  for (const double share : {0.0, 0.25, 0.9, 1.0}) {
    const double x = inverse_ndtr_between(30, 31, share);
    EXPECT_GE(x, 30);
    EXPECT_LE(x, 31);
    const double log_share = share == 0 ? 0 : std::exp(log_mass(30, std::nextafter(x, 40)) - log_mass(30, 31));
    EXPECT_NEAR(log_share, share, 1e-6);
  }
}

}  // namespace
}  // namespace daybreak::tune
