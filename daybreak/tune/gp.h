// A Gaussian process with a Matern-5/2 kernel that has a scale for each coordinate (Rasmussen and Williams 2006), fitted by its marginal
// likelihood and mild priors, and the logarithm of expected improvement (Ament et al. 2023) that is climbed on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "daybreak/tune/gp_kernels.h"
#include "daybreak/tune/keyed.h"

namespace daybreak::tune {

// A function to be minimised: fills the gradient, returns the value; not finite: not to be gone to.
using Descent = std::function<double(std::span<const double> x, std::span<double> gradient)>;
// L-BFGS within bounds from x, which becomes the best point; returns its value. Ends where the projected gradient is below the tolerance,
// or where two steps have gained less than `least_gain` each.
double minimized(const Descent& function, std::vector<double>& x, std::span<const double> low,
                 std::span<const double> high, int iterations, double tolerance, double least_gain = 0);

double log_expected_improvement(double mean, double deviation, double best);  // of maximising

struct GpParameters {
  std::vector<double> inverse_squared_scales;  // by coordinate
  double variance = 1;
  double noise = 1e-2;
};

// A value. Coordinates lie in [0, 1]; of categories the distance is 0 or 1.
class Gp {
 public:
  // Points row by row.
  Gp(std::vector<double> points, std::vector<double> values, std::vector<bool> categorical);

  std::size_t size() const { return values_.size(); }
  std::size_t dims() const { return categorical_.size(); }
  const GpParameters& parameters() const { return parameters_; }

  // The negative log of likelihood and priors, and its gradient by the logs of scales, variance and noise above the least.
  double loss(std::span<const double> logs, std::span<double> gradient);
  // From these parameters on; false if there is no fit.
  bool fit(const GpParameters& start);
  bool condition(const GpParameters& parameters);  // without fitting
  // One more point with the value that is expected there: a pending one, whose neighbourhood is known as soon as it is told.
  bool believe(std::span<const double> point);

  struct Prediction {
    double mean = 0;
    double variance = 0;
  };
  Prediction predict(std::span<const double> point) const;
  // log EI of points, row by row; many at once are had for a fraction of what each alone takes.
  void improvements(std::span<const double> points, double best, std::span<double> out) const;
  // log EI and its gradient by the point's coordinates (0 for categories).
  double improvement(std::span<const double> point, double best, std::span<double> gradient) const;

 private:
  Gp part(std::size_t count) const;
  bool fit_from(const GpParameters& start, int iterations);
  double squared_distance(const double* a, const double* b) const;
  // condition(), which leaves the covariances and the kernel's slopes (by squared distances) of all pairs, when they are asked for.
  struct Pairs {
    std::vector<double> covariances;
    std::vector<double> slopes;
  };
  bool factorize(const GpParameters& parameters, Pairs* pairs);

  internal::GpKernels kernels_ = internal::gp_kernels();
  std::vector<bool> categorical_;
  std::vector<double> points_;
  std::vector<double> values_;
  GpParameters parameters_;
  std::vector<double> inverse_factor_;  // of the covariance's Cholesky factor
  std::vector<double> weights_;         // covariance^-1 values
};

}  // namespace daybreak::tune
