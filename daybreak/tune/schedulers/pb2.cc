#include "daybreak/tune/schedulers/pb2.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "daybreak/tune/gp.h"
#include "daybreak/tune/keyed.h"

namespace daybreak::tune {
namespace {

constexpr std::size_t kPb2Rows = 500;
constexpr std::size_t kPb2FitRows = 200;
constexpr int kPb2Climbs = 10;
constexpr double kPb2Decay = 0.9;  // of the covariance, over the whole time that there has been

double share_of(double value, double low, double high) {
  return high > low ? (value - low) / (high - low) : 0;
}

// Mean 0, deviation 1, and none beyond 2.
void standardize_gains(std::vector<double>& gains) {
  double mean = 0;
  for (const double gain : gains) mean += gain / static_cast<double>(gains.size());
  double squares = 0;
  for (const double gain : gains) squares += (gain - mean) * (gain - mean) / static_cast<double>(gains.size());
  const double deviation = std::sqrt(squares);
  for (double& gain : gains) gain = deviation > 1e-12 ? std::clamp((gain - mean) / deviation, -2.0, 2.0) : 0;
}

}  // namespace

namespace internal {

TimeVaryingGp::TimeVaryingGp(std::size_t dims, std::vector<double> points, std::vector<double> values)
    : dims_(dims), points_(std::move(points)), values_(std::move(values)) {}

double TimeVaryingGp::shape(const double* a, const double* b, double length) const {
  double squared = 0;
  for (std::size_t k = 1; k < dims_; ++k) squared += (a[k] - b[k]) * (a[k] - b[k]);
  return std::exp(-squared / length + std::log(kPb2Decay) * 0.5 * std::abs(a[0] - b[0]));
}

bool TimeVaryingGp::condition(const Numbers& numbers) {
  const std::size_t n = values_.size();
  numbers_ = numbers;
  std::vector<double> factor(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      factor[i * n + j] = numbers.variance * shape(&points_[i * dims_], &points_[j * dims_], numbers.length);
    }
    factor[i * n + i] = numbers.variance + numbers.noise;
  }
  if (!kernels_.cholesky(factor.data(), n)) return false;
  inverse_factor_.resize(n * n);
  kernels_.invert_lower(factor.data(), inverse_factor_.data(), n);
  weights_.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = &inverse_factor_[i * n];
    kernels_.add(kernels_.dot(row, values_.data(), i + 1), row, weights_.data(), i + 1);
  }
  return true;
}

double TimeVaryingGp::loss(std::span<const double> logs, std::span<double> gradient) {
  const std::size_t n = values_.size();
  const Numbers numbers = {.variance = std::exp(logs[0]), .length = std::exp(logs[1]), .noise = std::exp(logs[2])};
  if (!condition(numbers)) return std::numeric_limits<double>::infinity();
  double found = 0;
  for (std::size_t i = 0; i < n; ++i) found += 0.5 * values_[i] * weights_[i] - std::log(inverse_factor_[i * n + i]);
  std::vector<double> product(n * n);
  kernels_.gram(inverse_factor_.data(), product.data(), n);
  std::ranges::fill(gradient, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const double* at = &points_[i * dims_];
    for (std::size_t j = 0; j < i; ++j) {  // off the diagonal each entry stands for two
      const double* other = &points_[j * dims_];
      const double covariance = numbers.variance * shape(at, other, numbers.length);
      const double share = (product[i * n + j] - weights_[i] * weights_[j]) * covariance;
      double squared = 0;
      for (std::size_t k = 1; k < dims_; ++k) squared += (at[k] - other[k]) * (at[k] - other[k]);
      gradient[0] += share;
      gradient[1] += share * squared / numbers.length;
    }
    const double own = (product[i * n + i] - weights_[i] * weights_[i]) / 2;
    gradient[0] += own * numbers.variance;
    gradient[2] += own * numbers.noise;
  }
  return found;
}

void TimeVaryingGp::fit() {
  const std::size_t n = std::min(values_.size(), kPb2FitRows);
  TimeVaryingGp last(dims_, {points_.end() - static_cast<std::ptrdiff_t>(n * dims_), points_.end()},
                     {values_.end() - static_cast<std::ptrdiff_t>(n), values_.end()});
  std::vector<double> logs = {0, 0, std::log(0.1)};
  const std::vector<double> low = {std::log(1e-3), std::log(1e-3), std::log(1e-6)};
  const std::vector<double> high = {std::log(1e3), 0, std::log(1e2)};
  minimized([&last](std::span<const double> x, std::span<double> gradient) { return last.loss(x, gradient); }, logs,
            low, high, 50, 1e-3);
  if (condition({.variance = std::exp(logs[0]), .length = std::exp(logs[1]), .noise = std::exp(logs[2])})) return;
  condition({});  // of variance 1 and noise 1 there always is a factor
}

std::vector<double> TimeVaryingGp::covariances(std::span<const double> point) const {
  std::vector<double> found(values_.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i] = numbers_.variance * shape(&points_[i * dims_], point.data(), numbers_.length);
  }
  return found;
}

double TimeVaryingGp::mean(std::span<const double> point) const {
  return kernels_.dot(covariances(point).data(), weights_.data(), values_.size());
}

double TimeVaryingGp::variance(std::span<const double> point) const {
  const std::vector<double> shared = covariances(point);
  double found = numbers_.variance;
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const double part = kernels_.dot(&inverse_factor_[i * shared.size()], shared.data(), i + 1);
    found -= part * part;
  }
  return std::max(found, 0.0);
}

}  // namespace internal

std::vector<double> pb2_values(const std::vector<PbtBound>& bounds, const std::vector<Pb2Row>& all, const Pb2Row& at,
                               const std::vector<std::vector<double>>& pending, std::uint64_t seed, std::uint32_t trial,
                               std::uint64_t draw) {
  const std::span<const Pb2Row> rows = std::span(all).last(std::min(all.size(), kPb2Rows));
  const auto times = std::ranges::minmax(rows, {}, &Pb2Row::time);
  const auto scores = std::ranges::minmax(rows, {}, &Pb2Row::before);
  const std::size_t dims = 2 + bounds.size();
  std::vector<double> points;
  const auto add = [&](double time, double before, const std::vector<double>& values) {
    points.push_back(share_of(time, times.min.time, times.max.time));
    points.push_back(share_of(before, scores.min.before, scores.max.before));
    for (std::size_t k = 0; k < bounds.size(); ++k) {
      points.push_back(share_of(values[k], bounds[k].low, bounds[k].high));
    }
  };
  std::vector<double> gains;
  for (const Pb2Row& row : rows) {
    add(row.time, row.before, row.values);
    gains.push_back(row.gain);
  }
  standardize_gains(gains);
  internal::TimeVaryingGp seen(dims, points, gains);
  seen.fit();
  // What others were given is not told yet: there the variance is small already.
  for (const std::vector<double>& values : pending) add(at.time, at.before, values);
  gains.resize(gains.size() + pending.size());
  internal::TimeVaryingGp believed(dims, std::move(points), std::move(gains));
  if (!believed.condition(seen.numbers())) believed = seen;
  // The variance, and not its root, as Ray has it.
  const double kappa = std::sqrt(0.2 + std::max(0.0, std::log(0.4 * static_cast<double>(rows.size()))));
  std::vector<double> point(dims);
  point[0] = share_of(at.time, times.min.time, times.max.time);
  point[1] = share_of(at.before, scores.min.before, scores.max.before);
  const auto worth = [&](std::span<const double> shares) {
    std::ranges::copy(shares, point.begin() + 2);
    return seen.mean(point) + kappa * believed.variance(point);
  };
  const auto descent = [&](std::span<const double> shares, std::span<double> gradient) {
    std::vector<double> moved(shares.begin(), shares.end());
    for (std::size_t k = 0; k < moved.size(); ++k) {
      constexpr double kStep = 1e-5;
      moved[k] = shares[k] + kStep;
      const double above = worth(moved);
      moved[k] = shares[k] - kStep;
      gradient[k] = -(above - worth(moved)) / (2 * kStep);
      moved[k] = shares[k];
    }
    return -worth(shares);
  };
  Keyed random(seed, trial, fmt::format("pb2 {}", draw));
  const std::vector<double> low(bounds.size(), 0);
  const std::vector<double> high(bounds.size(), 1);
  std::vector<double> best;
  double best_loss = std::numeric_limits<double>::infinity();
  for (int climb = 0; climb < kPb2Climbs; ++climb) {
    std::vector<double> shares(bounds.size());
    for (double& share : shares) share = random.uniform();
    const double loss = minimized(descent, shares, low, high, 50, 1e-4);
    if (best.empty() || loss < best_loss) best = shares, best_loss = loss;
  }
  for (std::size_t k = 0; k < bounds.size(); ++k) {
    best[k] = std::clamp(bounds[k].low + best[k] * (bounds[k].high - bounds[k].low), bounds[k].low, bounds[k].high);
  }
  return best;
}

}  // namespace daybreak::tune
