#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

std::int64_t hits(std::int64_t samples, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> side(0, 1);
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < samples; ++i) {
    const double x = side(random), y = side(random);
    inside += x * x + y * y <= 1;
  }
  return inside;
}

double mean(std::span<const double> values) {
  if (values.empty()) throw std::invalid_argument("the mean of nothing");
  return std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
}

double root(double x) {
  if (x < 0) throw std::invalid_argument("no root of a negative number");
  return std::sqrt(x);
}

Summary merge(const std::vector<Summary>& parts) {
  Summary all;
  for (const Summary& part : parts) {
    all.count += part.count;
    all.largest = std::max(all.largest, part.largest);
    all.labels.insert(all.labels.end(), part.labels.begin(), part.labels.end());
  }
  return all;
}
