// Population based bandits (Parker-Holder et al., 2020): where a trial of a population goes on, as a Gaussian process of time, score and
// config sees what each config gained in a unit of time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/tune/gp_kernels.h"
#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {

// A trial's gain from one look at it to the next, with one config.
struct Pb2Row {
  double time = 0;
  double before = 0;  // its score at the look before
  double gain = 0;    // of score, a unit of time
  std::vector<double> values = {};
};

// What explores. Rows by ascending time; `at` is the row of the trial whose checkpoint is taken; `pending` are the values that others
// were given since the last look at any. Within the bounds. O(rows^3), rows being the last 500.
std::vector<double> pb2_values(const std::vector<PbtBound>& bounds, const std::vector<Pb2Row>& rows, const Pb2Row& at,
                               const std::vector<std::vector<double>>& pending, std::uint64_t seed, std::uint32_t trial,
                               std::uint64_t draw);

namespace internal {

// variance * exp(-|x - x'|^2 / length) * 0.9^(|t - t'| / 2) of points whose first coordinate is t. A value.
class TimeVaryingGp {
 public:
  // Row by row.
  TimeVaryingGp(std::size_t dims, std::vector<double> points, std::vector<double> values);

  struct Numbers {
    double variance = 1;
    double length = 1;
    double noise = 1;
  };
  const Numbers& numbers() const { return numbers_; }
  // The negative log of the likelihood and its gradient by the logs of variance, length and noise.
  double loss(std::span<const double> logs, std::span<double> gradient);
  // By the likelihood of the last 200 points.
  void fit();
  bool condition(const Numbers& numbers);
  double mean(std::span<const double> point) const;
  double variance(std::span<const double> point) const;  // of the function, without the noise

 private:
  std::vector<double> covariances(std::span<const double> point) const;
  double shape(const double* a, const double* b, double length) const;

  std::size_t dims_;
  std::vector<double> points_;
  std::vector<double> values_;
  GpKernels kernels_ = gp_kernels();
  Numbers numbers_;
  std::vector<double> inverse_factor_;
  std::vector<double> weights_;
};

}  // namespace internal

}  // namespace daybreak::tune
