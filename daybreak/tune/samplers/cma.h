// CMA-ES (Hansen 2016, with negative weights), plainly: a normal distribution that is asked for points and told which were good. With
// steps it keeps a margin (Hamano et al. 2022): no coordinate of few values gets stuck on one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/tune/keyed.h"

namespace daybreak::tune {

// Of the symmetric row-major n x n matrix, which becomes its eigenvectors, one a row; returns their values. O(n^3).
std::vector<double> symmetric_eigen(std::size_t n, std::vector<double>& matrix);

// A value. The space is [0, 1]^n.
class Cma {
 public:
  struct Solution {
    std::vector<double> point;  // as asked
    double loss = 0;
  };
  // steps: empty, or for each coordinate the distance of its values (the first is 0), 0 where it has all.
  Cma(std::vector<double> mean, double sigma, std::size_t population, std::vector<double> steps = {});

  static std::size_t default_population(std::size_t dims);

  std::size_t dims() const { return mean_.size(); }
  std::size_t population() const { return population_; }
  std::size_t generation() const { return generation_; }
  const std::vector<double>& mean() const { return mean_; }
  double sigma() const { return sigma_; }
  const std::vector<double>& covariance() const { return covariance_; }

  // In the space, drawn again up to 10 n times and then clipped; coordinates with steps are not on them yet.
  std::vector<double> drawn(Keyed& random) const;
  // The point with its steps.
  std::vector<double> on_steps(std::span<const double> point) const;
  // One generation: population() solutions.
  void tell(std::vector<Solution> solutions);
  // It has converged or broken down.
  bool done() const;

 private:
  void decompose();
  void update(const std::vector<Solution>& solutions);
  void keep_margin();
  double step_of(std::size_t coordinate, double value) const;

  std::size_t population_;
  std::vector<double> steps_;
  // Constants.
  std::size_t parents_ = 0;
  std::vector<double> weights_;
  double weight_sum_ = 0;
  double effective_ = 0;
  double c1_ = 0;
  double cmu_ = 0;
  double c_sigma_ = 0;
  double d_sigma_ = 0;
  double cc_ = 0;
  double chi_ = 0;
  double tolerance_x_ = 0;
  // State.
  std::vector<double> mean_;
  double sigma_;
  std::vector<double> covariance_;
  std::vector<double> vectors_;  // one a row
  std::vector<double> scales_;   // roots of the eigenvalues
  std::vector<double> path_sigma_;
  std::vector<double> path_c_;
  std::vector<double> stretch_;  // the margin's diagonal
  std::size_t generation_ = 0;
  std::vector<double> losses_;  // best and worst of the last generations, a ring
};

}  // namespace daybreak::tune
