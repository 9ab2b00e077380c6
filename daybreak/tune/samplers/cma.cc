#include "daybreak/tune/samplers/cma.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "daybreak/base/error.h"
#include "daybreak/tune/parzen.h"

namespace daybreak::tune {
namespace {

constexpr double kCmaLargest = 1e32;
constexpr double kCmaSmall = 1e-8;

double dot(const double* a, const double* b, std::size_t n) {
  double sum = 0;
  for (std::size_t k = 0; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

double norm(const std::vector<double>& x) {
  return std::sqrt(dot(x.data(), x.data(), x.size()));
}

// Householder's reduction to a tridiagonal matrix; `z` becomes the transpose of what was applied.
void tridiagonalize(std::size_t n, std::vector<double>& a, std::vector<double>& diagonal, std::vector<double>& beside,
                    std::vector<double>& z) {
  std::vector<double> reflectors(n * n);
  std::vector<double> factors(n);
  std::vector<double> w(n);
  for (std::size_t k = 0; k + 2 < n; ++k) {
    double* v = &reflectors[k * n];
    for (std::size_t i = k + 1; i < n; ++i) v[i] = a[i * n + k];
    const double length = std::sqrt(dot(v + k + 1, v + k + 1, n - k - 1));
    beside[k] = v[k + 1] > 0 ? -length : length;
    v[k + 1] -= beside[k];
    const double square = dot(v + k + 1, v + k + 1, n - k - 1);
    if (square == 0) continue;
    const double factor = factors[k] = 2 / square;
    for (std::size_t i = k + 1; i < n; ++i) w[i] = factor * dot(&a[i * n + k + 1], v + k + 1, n - k - 1);
    const double half = factor / 2 * dot(v + k + 1, &w[k + 1], n - k - 1);
    for (std::size_t i = k + 1; i < n; ++i) w[i] -= half * v[i];
    for (std::size_t i = k + 1; i < n; ++i) {
      for (std::size_t j = k + 1; j < n; ++j) a[i * n + j] -= v[i] * w[j] + w[i] * v[j];
    }
  }
  if (n >= 2) beside[n - 2] = a[(n - 1) * n + n - 2];
  for (std::size_t k = 0; k < n; ++k) {
    diagonal[k] = a[k * n + k];
    z[k * n + k] = 1;
  }
  for (std::size_t k = n < 2 ? 0 : n - 2; k-- > 0;) {
    const double* v = &reflectors[k * n];
    for (std::size_t i = k + 1; i < n; ++i) {
      const double share = factors[k] * dot(&z[i * n + k + 1], v + k + 1, n - k - 1);
      for (std::size_t j = k + 1; j < n; ++j) z[i * n + j] -= share * v[j];
    }
  }
}

// QL steps with implicit shifts, each rotation applied to two rows of z.
void diagonalize(std::size_t n, std::vector<double>& diagonal, std::vector<double>& beside, std::vector<double>& z) {
  for (std::size_t low = 0; low < n; ++low) {
    for (int iteration = 0; iteration < 60; ++iteration) {
      std::size_t end = low;
      while (end + 1 < n && std::abs(beside[end]) > 1e-16 * (std::abs(diagonal[end]) + std::abs(diagonal[end + 1])))
        ++end;
      if (end == low) break;
      double g = (diagonal[low + 1] - diagonal[low]) / (2 * beside[low]);
      double r = std::hypot(g, 1);
      g = diagonal[end] - diagonal[low] + beside[low] / (g + std::copysign(r, g));
      double sine = 1;
      double cosine = 1;
      double shift = 0;
      bool split = false;
      for (std::size_t i = end; i-- > low;) {
        const double f = sine * beside[i];
        const double b = cosine * beside[i];
        r = std::hypot(f, g);
        beside[i + 1] = r;
        if (r == 0) {
          diagonal[i + 1] -= shift;
          beside[end] = 0;
          split = true;
          break;
        }
        sine = f / r;
        cosine = g / r;
        g = diagonal[i + 1] - shift;
        r = (diagonal[i] - g) * sine + 2 * cosine * b;
        shift = sine * r;
        diagonal[i + 1] = g + shift;
        g = cosine * r - b;
        double* upper = &z[i * n];
        double* lower = upper + n;
        for (std::size_t k = 0; k < n; ++k) {
          const double old = lower[k];
          lower[k] = sine * upper[k] + cosine * old;
          upper[k] = cosine * upper[k] - sine * old;
        }
      }
      if (split) continue;
      diagonal[low] -= shift;
      beside[low] = g;
      beside[end] = 0;
    }
  }
}

double inverse_ndtr(double share) {
  return inverse_ndtr_between(-40, 40, share);
}

double ndtr_at(double x, double mean, double scale) {
  return 0.5 * std::erfc(-(x - mean) / scale / std::sqrt(2.0));
}

}  // namespace

std::vector<double> symmetric_eigen(std::size_t n, std::vector<double>& matrix) {
  DAYBREAK_CHECK(matrix.size() == n * n);
  std::vector<double> diagonal(n);
  std::vector<double> beside(n);
  std::vector<double> z(n * n);
  tridiagonalize(n, matrix, diagonal, beside, z);
  diagonalize(n, diagonal, beside, z);
  matrix = std::move(z);
  return diagonal;
}

std::size_t Cma::default_population(std::size_t dims) {
  return 4 + static_cast<std::size_t>(std::floor(3 * std::log(static_cast<double>(dims))));
}

Cma::Cma(std::vector<double> mean, double sigma, std::size_t population, std::vector<double> steps)
    : population_(population), steps_(std::move(steps)), mean_(std::move(mean)), sigma_(sigma) {
  const auto n = static_cast<double>(dims());
  const auto lambda = static_cast<double>(population);
  parents_ = population / 2;
  double sum = 0;
  double squares = 0;
  double negative_sum = 0;
  double negative_squares = 0;
  for (std::size_t k = 0; k < population; ++k) {
    const double weight = std::log((lambda + 1) / 2) - std::log(static_cast<double>(k) + 1);
    weights_.push_back(weight);
    (k < parents_ ? sum : negative_sum) += weight;
    (k < parents_ ? squares : negative_squares) += weight * weight;
  }
  effective_ = sum * sum / squares;
  const double effective_negative = negative_sum * negative_sum / negative_squares;
  c1_ = 2 / ((n + 1.3) * (n + 1.3) + effective_);
  cmu_ = std::min(1 - c1_ - kCmaSmall, 2 * (effective_ - 2 + 1 / effective_) / ((n + 2) * (n + 2) + effective_));
  const double least =
      std::min({1 + c1_ / cmu_, 1 + 2 * effective_negative / (effective_ + 2), (1 - c1_ - cmu_) / (n * cmu_)});
  double positive = 0;
  double negative = 0;
  for (const double weight : weights_) (weight > 0 ? positive : negative) += std::abs(weight);
  for (double& weight : weights_) weight *= weight >= 0 ? 1 / positive : least / negative;
  weight_sum_ = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  c_sigma_ = (effective_ + 2) / (n + effective_ + 5);
  d_sigma_ = 1 + 2 * std::max(0.0, std::sqrt((effective_ - 1) / (n + 1)) - 1) + c_sigma_;
  cc_ = (4 + effective_ / n) / (n + 4 + 2 * effective_ / n);
  chi_ = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
  tolerance_x_ = 1e-12 * sigma;
  path_sigma_.assign(dims(), 0);
  path_c_.assign(dims(), 0);
  stretch_.assign(dims(), 1);
  covariance_.assign(dims() * dims(), 0);
  for (std::size_t k = 0; k < dims(); ++k) covariance_[k * dims() + k] = 1;
  losses_.assign(2 * (10 + static_cast<std::size_t>(std::ceil(30 * n / lambda))), 0);
  decompose();
}

void Cma::decompose() {
  const std::size_t n = dims();
  vectors_ = covariance_;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      vectors_[i * n + j] = vectors_[j * n + i] = (covariance_[i * n + j] + covariance_[j * n + i]) / 2;
    }
  }
  scales_ = symmetric_eigen(n, vectors_);
  bool repaired = false;
  for (double& value : scales_) {
    repaired = repaired || value < 0;
    value = std::sqrt(value < 0 ? kCmaSmall : value);
  }
  if (!repaired) return;
  std::ranges::fill(covariance_, 0.0);
  for (std::size_t k = 0; k < n; ++k) {
    const double* vector = &vectors_[k * n];
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) covariance_[i * n + j] += scales_[k] * scales_[k] * vector[i] * vector[j];
    }
  }
}

std::vector<double> Cma::drawn(Keyed& random) const {
  const std::size_t n = dims();
  std::vector<double> point(n);
  for (std::size_t attempt = 0; attempt <= 10 * n; ++attempt) {
    point = mean_;
    for (std::size_t k = 0; k < n; ++k) {
      const double step = sigma_ * scales_[k] * random.normal();
      const double* vector = &vectors_[k * n];
      for (std::size_t i = 0; i < n; ++i) point[i] += step * vector[i];
    }
    bool inside = true;
    for (std::size_t i = 0; i < n && inside; ++i) {
      inside = (!steps_.empty() && steps_[i] > 0) || (point[i] >= 0 && point[i] <= 1);
    }
    if (inside) return point;
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (steps_.empty() || steps_[i] == 0) point[i] = std::clamp(point[i], 0.0, 1.0);
  }
  return point;
}

// The nearest value with a step; of two the lower one.
double Cma::step_of(std::size_t coordinate, double value) const {
  const double step = steps_[coordinate];
  const double last = std::round(1 / step);
  const double nearest = std::clamp(std::ceil(value / step - 0.5), 0.0, last);
  return nearest * step;
}

std::vector<double> Cma::on_steps(std::span<const double> point) const {
  std::vector<double> found(point.begin(), point.end());
  if (steps_.empty()) return found;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (steps_[i] > 0) found[i] = step_of(i, (point[i] - mean_[i]) * stretch_[i] + mean_[i]);
  }
  return found;
}

void Cma::tell(std::vector<Solution> solutions) {
  DAYBREAK_CHECK(solutions.size() == population_);
  std::ranges::stable_sort(solutions, {}, &Solution::loss);
  ++generation_;
  const std::size_t place = 2 * (generation_ % (losses_.size() / 2));
  losses_[place] = solutions.front().loss;
  losses_[place + 1] = solutions.back().loss;
  update(solutions);
  if (!steps_.empty()) keep_margin();
  decompose();
}

void Cma::update(const std::vector<Solution>& solutions) {
  const std::size_t n = dims();
  std::vector<double> y(population_ * n);
  std::vector<double> mean_step(n);
  for (std::size_t k = 0; k < population_; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      y[k * n + i] = (solutions[k].point[i] - mean_[i]) / sigma_;
      if (k < parents_) mean_step[i] += weights_[k] * y[k * n + i];
    }
  }
  for (std::size_t i = 0; i < n; ++i) mean_[i] += sigma_ * mean_step[i];
  const double path_gain = std::sqrt(c_sigma_ * (2 - c_sigma_) * effective_);
  for (double& x : path_sigma_) x *= 1 - c_sigma_;
  for (std::size_t k = 0; k < n; ++k) {
    const double* vector = &vectors_[k * n];
    const double share = path_gain * dot(vector, mean_step.data(), n) / scales_[k];
    for (std::size_t i = 0; i < n; ++i) path_sigma_[i] += share * vector[i];
  }
  const double length = norm(path_sigma_);
  sigma_ = std::min(sigma_ * std::exp(c_sigma_ / d_sigma_ * (length / chi_ - 1)), kCmaLargest);
  const double fresh = 1 - std::pow(1 - c_sigma_, 2 * static_cast<double>(generation_ + 1));
  const bool moves = length / std::sqrt(fresh) < (1.4 + 2 / (static_cast<double>(n) + 1)) * chi_;
  for (std::size_t i = 0; i < n; ++i) {
    path_c_[i] = (1 - cc_) * path_c_[i] + (moves ? std::sqrt(cc_ * (2 - cc_) * effective_) * mean_step[i] : 0);
  }
  const double stalled = moves ? 0 : cc_ * (2 - cc_);
  const double keep = 1 + c1_ * stalled - c1_ - cmu_ * weight_sum_;
  std::vector<double> factors(population_);
  for (std::size_t k = 0; k < population_; ++k) {
    factors[k] = cmu_ * weights_[k];
    if (weights_[k] >= 0) continue;
    double square = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const double share = dot(&vectors_[j * n], &y[k * n], n) / scales_[j];
      square += share * share;
    }
    factors[k] *= static_cast<double>(n) / (square + kCmaSmall);
  }
  for (std::size_t i = 0; i < n; ++i) {
    double* row = &covariance_[i * n];
    for (std::size_t j = 0; j <= i; ++j) row[j] = keep * row[j] + c1_ * path_c_[i] * path_c_[j];
    for (std::size_t k = 0; k < population_; ++k) {
      const double factor = factors[k] * y[k * n + i];
      for (std::size_t j = 0; j <= i; ++j) row[j] += factor * y[k * n + j];
    }
    for (std::size_t j = 0; j < i; ++j) covariance_[j * n + i] = row[j];
  }
}

// Moves the mean and stretches coordinates so that the values beside the mean's keep the probability of a margin.
void Cma::keep_margin() {
  const std::size_t n = dims();
  const double margin = 1 / static_cast<double>(n * population_);
  for (std::size_t i = 0; i < n; ++i) {
    const double step = steps_[i];
    if (step == 0) continue;
    const double last = std::round(1 / step);
    const double index = std::round(step_of(i, mean_[i]) / step);
    const double low = (std::clamp(index - 1, 0.0, last - 1) + 0.5) * step;
    const double high = (std::clamp(index, 0.0, last - 1) + 0.5) * step;
    const double deviation = sigma_ * std::sqrt(covariance_[i * n + i]);
    double below = ndtr_at(low, mean_[i], deviation * stretch_[i]);
    double above = 1 - ndtr_at(high, mean_[i], deviation * stretch_[i]);
    const double middle = 1 - (below + above);
    if (std::max(below, above) > 0.5) {  // at an end
      if (std::min(below, above) >= margin) continue;
      const double sign = mean_[i] > high ? 1 : (mean_[i] < high ? -1 : 0);
      mean_[i] = high - sign * deviation * stretch_[i] * inverse_ndtr(margin);
      continue;
    }
    below = std::max(below, margin / 2);
    above = std::max(above, margin / 2);
    const double spare = (1 - below - above - middle) / (below + middle + above - 3 * margin / 2);
    const double new_below = std::clamp(below + spare * (below - margin / 2), 1e-10, 0.5 - 1e-10);
    const double new_above = std::clamp(above + spare * (above - margin / 2), 1e-10, 0.5 - 1e-10);
    const double left = -inverse_ndtr(new_below);
    const double right = -inverse_ndtr(new_above);
    stretch_[i] = (high - low) / ((left + right) * deviation);
    mean_[i] = (low * right + high * left) / (left + right);
  }
}

bool Cma::done() const {
  const std::size_t n = dims();
  if (generation_ > losses_.size() / 2) {
    const auto [least, most] = std::ranges::minmax_element(losses_);
    if (*most - *least < 1e-12) return true;
  }
  const auto [flattest, longest] = std::ranges::minmax_element(scales_);
  if (sigma_ * *longest > 1e4 || *longest / *flattest > 1e14) return true;
  bool small = true;
  for (std::size_t i = 0; i < n; ++i) {
    const double variance = covariance_[i * n + i];
    small = small && sigma_ * variance < tolerance_x_ && sigma_ * path_c_[i] < tolerance_x_;
    if (mean_[i] == mean_[i] + 0.2 * sigma_ * std::sqrt(variance)) return true;
  }
  if (small) return true;
  const std::size_t axis = generation_ % n;
  for (std::size_t i = 0; i < n; ++i) {
    if (mean_[i] != mean_[i] + 0.1 * sigma_ * scales_[axis] * vectors_[axis * n + i]) return false;
  }
  return true;
}

}  // namespace daybreak::tune
