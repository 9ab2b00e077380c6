#include "daybreak/tune/gp.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>

#include "daybreak/tune/parzen.h"

namespace daybreak::tune {
namespace {

constexpr double kLeastNoise = 1e-6;
constexpr double kGpInfinity = std::numeric_limits<double>::infinity();
constexpr double kLogRootTwoPi = 0.918938533204672741780329736406;
constexpr std::size_t kMemory = 8;      // pairs of L-BFGS
constexpr std::size_t kCoarseFit = 96;  // points: with more, most of the fit is done with a part of them

double matern(double squared) {
  const double root = std::sqrt(5 * squared);
  return (1 + root + 5.0 / 3 * squared) * std::exp(-root);
}

// By the squared distance.
double matern_slope(double squared) {
  const double root = std::sqrt(5 * squared);
  return -5.0 / 6 * (1 + root) * std::exp(-root);
}

// log(phi(z) + z Phi(z)).
double log_improvement(double z) {
  if (z > -1) return std::log(std::exp(-z * z / 2 - kLogRootTwoPi) + z * 0.5 * std::erfc(-z / std::sqrt(2.0)));
  const double log_density = -z * z / 2 - kLogRootTwoPi;
  if (z > -12) return log_density + std::log1p(z * std::exp(log_ndtr(z) - log_density));
  // 1 + z Phi / phi = 1/z^2 - 3/z^4 + 15/z^6 - 105/z^8 + ...
  const double square = 1 / (z * z);
  return log_density + std::log(square * (1 - square * (3 - square * (15 - square * (105 - square * 945)))));
}

struct LbfgsPair {
  std::vector<double> step;
  std::vector<double> change;
  double inverse_product;
};

double inner(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

// -H gradient by the two loops, over the coordinates that are free.
std::vector<double> lbfgs_direction(const std::deque<LbfgsPair>& pairs, std::vector<double> gradient) {
  std::vector<double> shares(pairs.size());
  for (std::size_t k = pairs.size(); k-- > 0;) {
    shares[k] = pairs[k].inverse_product * inner(pairs[k].step, gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] -= shares[k] * pairs[k].change[i];
  }
  if (!pairs.empty()) {
    const LbfgsPair& last = pairs.back();
    const double scale = 1 / (last.inverse_product * inner(last.change, last.change));
    for (double& x : gradient) x *= scale;
  }
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    const double share = shares[k] - pairs[k].inverse_product * inner(pairs[k].change, gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += share * pairs[k].step[i];
  }
  for (double& x : gradient) x = -x;
  return gradient;
}

}  // namespace

double minimized(const Descent& function, std::vector<double>& x, std::span<const double> low,
                 std::span<const double> high, int iterations, double tolerance, double least_gain) {
  const std::size_t n = x.size();
  std::vector<double> gradient(n);
  double value = function(x, gradient);
  if (!std::isfinite(value)) return value;
  std::deque<LbfgsPair> pairs;
  int small_gains = 0;
  for (int iteration = 0; iteration < iterations && small_gains < 2; ++iteration) {
    // A coordinate at a bound that the gradient leads beyond stays there.
    std::vector<double> reduced = gradient;
    double largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if ((x[i] <= low[i] && gradient[i] > 0) || (x[i] >= high[i] && gradient[i] < 0)) reduced[i] = 0;
      largest = std::max(largest, std::abs(reduced[i]));
    }
    if (largest < tolerance) break;
    std::vector<double> direction = lbfgs_direction(pairs, reduced);
    for (std::size_t i = 0; i < n; ++i) direction[i] = reduced[i] == 0 ? 0 : direction[i];
    if (inner(direction, reduced) >= 0) {
      pairs.clear();
      for (std::size_t i = 0; i < n; ++i) direction[i] = -reduced[i];
    }
    double rate = pairs.empty() ? std::min(1.0, 1 / std::sqrt(inner(reduced, reduced))) : 1;
    std::vector<double> next(n);
    std::vector<double> next_gradient(n);
    bool moved = false;
    for (int halving = 0; halving < 25 && !moved; ++halving, rate /= halving < 3 ? 2 : 5) {
      for (std::size_t i = 0; i < n; ++i) next[i] = std::clamp(x[i] + rate * direction[i], low[i], high[i]);
      double promised = 0;
      for (std::size_t i = 0; i < n; ++i) promised += gradient[i] * (next[i] - x[i]);
      const double found = function(next, next_gradient);
      if (!std::isfinite(found) || found > value + 1e-4 * promised) continue;
      moved = found < value;
      if (!moved) break;
      LbfgsPair pair = {.step = next, .change = next_gradient, .inverse_product = 0};
      for (std::size_t i = 0; i < n; ++i) {
        pair.step[i] -= x[i];
        pair.change[i] -= gradient[i];
      }
      const double product = inner(pair.step, pair.change);
      if (product > 1e-12 * inner(pair.change, pair.change)) {
        pair.inverse_product = 1 / product;
        pairs.push_back(std::move(pair));
        if (pairs.size() > kMemory) pairs.pop_front();
      }
      small_gains = value - found < least_gain ? small_gains + 1 : 0;
      value = found;
      x = next;
      gradient = next_gradient;
    }
    if (moved) continue;
    if (pairs.empty()) break;
    pairs.clear();  // once more, straight down
  }
  return value;
}

double log_expected_improvement(double mean, double deviation, double best) {
  return std::log(deviation) + log_improvement((mean - best) / deviation);
}

Gp::Gp(std::vector<double> points, std::vector<double> values, std::vector<bool> categorical)
    : categorical_(std::move(categorical)), points_(std::move(points)), values_(std::move(values)) {}

double Gp::squared_distance(const double* a, const double* b) const {
  double sum = 0;
  for (std::size_t d = 0; d < dims(); ++d) {
    const double distance = a[d] - b[d];
    sum +=
        parameters_.inverse_squared_scales[d] * (categorical_[d] ? (distance != 0 ? 1.0 : 0.0) : distance * distance);
  }
  return sum;
}

bool Gp::condition(const GpParameters& parameters) {
  return factorize(parameters, nullptr);
}

bool Gp::factorize(const GpParameters& parameters, Pairs* pairs) {
  const std::size_t n = size();
  parameters_ = parameters;
  std::vector<double> factor(n * n);
  if (pairs != nullptr) pairs->slopes.resize(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double squared = squared_distance(&points_[i * dims()], &points_[j * dims()]);
      const double root = std::sqrt(5 * squared);
      const double scale = parameters_.variance * std::exp(-root);
      factor[i * n + j] = scale * (1 + root + 5.0 / 3 * squared);
      if (pairs != nullptr) pairs->slopes[i * n + j] = -5.0 / 6 * (1 + root) * scale;
    }
    factor[i * n + i] = parameters_.variance + parameters_.noise;
  }
  if (pairs != nullptr) pairs->covariances = factor;
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

double Gp::loss(std::span<const double> logs, std::span<double> gradient) {
  const std::size_t n = size();
  const std::size_t d = dims();
  GpParameters parameters;
  for (std::size_t k = 0; k < d; ++k) parameters.inverse_squared_scales.push_back(std::exp(logs[k]));
  parameters.variance = std::exp(logs[d]);
  parameters.noise = std::exp(logs[d + 1]) + kLeastNoise;
  Pairs pairs;
  if (!factorize(parameters, &pairs)) return kGpInfinity;
  double found = 0;
  for (std::size_t i = 0; i < n; ++i) found += 0.5 * values_[i] * weights_[i] - std::log(inverse_factor_[i * n + i]);
  // d/dK of it is (K^-1 - weights weights^T) / 2; off the diagonal each entry stands for two.
  std::vector<double> product(n * n);
  kernels_.gram(inverse_factor_.data(), product.data(), n);
  std::ranges::fill(gradient, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const double* at = &points_[i * d];
    for (std::size_t j = 0; j < i; ++j) {
      const double* other = &points_[j * d];
      const double share = product[i * n + j] - weights_[i] * weights_[j];
      gradient[d] += share * pairs.covariances[i * n + j];
      const double slope = share * pairs.slopes[i * n + j];
      for (std::size_t k = 0; k < d; ++k) {
        const double distance = at[k] - other[k];
        gradient[k] += slope * (categorical_[k] ? (distance != 0 ? 1.0 : 0.0) : distance * distance);
      }
    }
    const double own = (product[i * n + i] - weights_[i] * weights_[i]) / 2;
    gradient[d] += own * parameters.variance;
    gradient[d + 1] += own;
  }
  for (std::size_t k = 0; k < d; ++k) {
    const double scale = parameters.inverse_squared_scales[k];
    gradient[k] = gradient[k] * scale - 0.1 / scale + 0.1 * scale;
    found += 0.1 / scale + 0.1 * scale;
  }
  found += -std::log(parameters.variance) + parameters.variance;
  gradient[d] += -1 + parameters.variance;
  found += -0.1 * std::log(parameters.noise) + 30 * parameters.noise;
  gradient[d + 1] = (gradient[d + 1] - 0.1 / parameters.noise + 30) * (parameters.noise - kLeastNoise);
  return found;
}

// A part of the points, evenly over their order, and the best: what the scales look like is seen in it at a fraction of the cost.
Gp Gp::part(std::size_t count) const {
  const std::size_t best = static_cast<std::size_t>(std::ranges::max_element(values_) - values_.begin());
  std::vector<double> points;
  std::vector<double> values;
  for (std::size_t i = 0, taken = 0; i < size(); ++i) {
    if (i != best && i * count / size() < taken) continue;
    points.insert(points.end(), points_.begin() + static_cast<std::ptrdiff_t>(i * dims()),
                  points_.begin() + static_cast<std::ptrdiff_t>((i + 1) * dims()));
    values.push_back(values_[i]);
    ++taken;
  }
  return {std::move(points), std::move(values), categorical_};
}

bool Gp::fit(const GpParameters& start) {
  if (size() <= kCoarseFit) return fit_from(start, 60);
  Gp coarse = part(kCoarseFit);
  return fit_from(coarse.fit_from(start, 60) ? coarse.parameters() : start, 8);
}

bool Gp::fit_from(const GpParameters& start, int iterations) {
  std::vector<double> logs;
  logs.reserve(dims() + 2);
  for (const double scale : start.inverse_squared_scales) logs.push_back(std::log(scale));
  logs.push_back(std::log(start.variance));
  logs.push_back(std::log(std::max(start.noise - kLeastNoise, 1e-8)));
  // e^-23 and e^12: beyond them nothing changes but rounding.
  const std::vector<double> low(logs.size(), -23);
  const std::vector<double> high(logs.size(), 12);
  for (double& x : logs) x = std::clamp(x, -23.0, 12.0);
  minimized([this](std::span<const double> x, std::span<double> gradient) { return loss(x, gradient); }, logs, low,
            high, iterations, 1e-2, 1e-3);
  GpParameters parameters;
  for (std::size_t k = 0; k < dims(); ++k) parameters.inverse_squared_scales.push_back(std::exp(logs[k]));
  parameters.variance = std::exp(logs[dims()]);
  parameters.noise = std::exp(logs[dims() + 1]) + kLeastNoise;
  return condition(parameters);
}

bool Gp::believe(std::span<const double> point) {
  values_.push_back(predict(point).mean);
  points_.insert(points_.end(), point.begin(), point.end());
  return condition(GpParameters(parameters_));
}

Gp::Prediction Gp::predict(std::span<const double> point) const {
  const std::size_t n = size();
  std::vector<double> covariances(n);
  for (std::size_t i = 0; i < n; ++i) {
    covariances[i] = parameters_.variance * matern(squared_distance(&points_[i * dims()], point.data()));
  }
  Prediction found = {.mean = kernels_.dot(covariances.data(), weights_.data(), n), .variance = parameters_.variance};
  for (std::size_t i = 0; i < n; ++i) {
    const double share = kernels_.dot(&inverse_factor_[i * n], covariances.data(), internal::in_lanes(i + 1, n));
    found.variance -= share * share;
  }
  found.variance = std::max(found.variance, 0.0);
  return found;
}

void Gp::improvements(std::span<const double> points, double best, std::span<double> out) const {
  constexpr std::size_t kColumns = internal::GpKernels::kColumns;
  const std::size_t n = size();
  std::vector<double> covariances(kColumns * n);
  for (std::size_t first = 0; first < out.size(); first += kColumns) {
    const std::size_t count = std::min(kColumns, out.size() - first);
    for (std::size_t column = 0; column < count; ++column) {
      const double* point = &points[(first + column) * dims()];
      for (std::size_t i = 0; i < n; ++i) {
        covariances[column * n + i] = parameters_.variance * matern(squared_distance(&points_[i * dims()], point));
      }
    }
    std::array<double, kColumns> variances;
    variances.fill(parameters_.variance);
    std::array<double, kColumns> shares = {};
    for (std::size_t i = 0; i < n; ++i) {
      kernels_.dots(&inverse_factor_[i * n], covariances.data(), n, internal::in_lanes(i + 1, n), shares.data());
      for (std::size_t column = 0; column < kColumns; ++column) variances[column] -= shares[column] * shares[column];
    }
    for (std::size_t column = 0; column < count; ++column) {
      const double mean = kernels_.dot(&covariances[column * n], weights_.data(), n);
      const double deviation = std::sqrt(std::max(variances[column], 0.0) + 1e-12);
      out[first + column] = log_expected_improvement(mean, deviation, best);
    }
  }
}

double Gp::improvement(std::span<const double> point, double best, std::span<double> gradient) const {
  const std::size_t n = size();
  std::vector<double> covariances(n);
  for (std::size_t i = 0; i < n; ++i) {
    covariances[i] = parameters_.variance * matern(squared_distance(&points_[i * dims()], point.data()));
  }
  const double mean = kernels_.dot(covariances.data(), weights_.data(), n);
  double variance = parameters_.variance;
  std::vector<double> solved(n);  // covariance^-1 covariances
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = &inverse_factor_[i * n];
    const std::size_t width = internal::in_lanes(i + 1, n);  // beyond the diagonal there is 0
    const double share = kernels_.dot(row, covariances.data(), width);
    variance -= share * share;
    if (!gradient.empty()) kernels_.add(share, row, solved.data(), width);
  }
  const double deviation = std::sqrt(std::max(variance, 0.0) + 1e-12);
  const double z = (mean - best) / deviation;
  const double log_h = log_improvement(z);
  if (!gradient.empty()) {
    const double by_mean = std::exp(log_ndtr(z) - log_h) / deviation;
    const double by_deviation = std::exp(-z * z / 2 - kLogRootTwoPi - log_h) / deviation;
    std::ranges::fill(gradient, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      const double* other = &points_[i * dims()];
      // d deviation / d covariance_i = -solved_i / deviation
      const double by_covariance = by_mean * weights_[i] - by_deviation * solved[i] / deviation;
      const double slope = by_covariance * parameters_.variance * matern_slope(squared_distance(other, point.data()));
      for (std::size_t d = 0; d < dims(); ++d) {
        if (categorical_[d]) continue;
        gradient[d] += slope * 2 * parameters_.inverse_squared_scales[d] * (point[d] - other[d]);
      }
    }
  }
  return std::log(deviation) + log_h;
}

}  // namespace daybreak::tune
