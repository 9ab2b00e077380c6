// The observation filter: running mean and variance of every observation component, part of the policy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace daybreak::rl::nn {

// Count, mean and sum of squared deviations, merged by Chan, Golub and LeVeque's formula (1979). A value.
struct RunningStats {
  double count = 0;
  std::vector<double> mean;
  std::vector<double> m2;

  RunningStats() = default;
  explicit RunningStats(int size) : mean(static_cast<std::size_t>(size)), m2(static_cast<std::size_t>(size)) {}
  void clear();
  void add(const float* row);  // one observation
  void add(double x);          // one number, where there is one component
  void merge(const RunningStats& other);
};

// What is applied: clip((x - mean) * inverse_std, +-limit). When not enabled, x passes unchanged.
struct Filter {
  bool enabled = false;
  float limit = 10;
  std::vector<float> mean;
  std::vector<float> inverse_std;

  Filter() = default;
  Filter(int size, bool enabled, float limit);
  // The standard deviation of fewer than two observations counts as 1; 1e-8 is added to every variance.
  void assign(const RunningStats& stats);
  void apply(const float* in, float* out) const;  // one row
};

}  // namespace daybreak::rl::nn
