// Parzen estimators as TPE has them (Bergstra et al. 2011, Watanabe 2023): a mixture with one kernel an observation and a wide one for
// the prior, each a product over the parameters. A number's kernel is a normal truncated to the bounds, as wide as the gap to its
// neighbours; a category's leans to the observed one. Observations come and go one at a time at the cost of what changes by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "daybreak/tune/distribution.h"
#include "daybreak/tune/keyed.h"
#include "daybreak/tune/parzen_kernels.h"

namespace daybreak::tune {

// Of the standard normal: the log of its distribution function, exact to 1e-13 of itself down to -1e150; log(ndtr(high) - ndtr(low));
// and the x at which ndtr is the share of the way from ndtr(low) to ndtr(high).
double log_ndtr(double x);
double log_mass(double low, double high);
double inverse_ndtr_between(double low, double high, double share);

// A value; one thread at a time, reading included (it settles what was put off).
class Parzen {
 public:
  enum class Weights : std::uint8_t {
    kOldLess,  // the newest 25 have 1, older ones less
    kEqual,
  };

  Parzen(const std::vector<Distribution>& distributions, Weights weights);

  std::size_t dims() const { return dims_.size(); }
  std::size_t size() const { return by_trial_.size(); }  // observations
  bool contains(std::uint32_t trial) const;
  // One value for each distribution; it may lie outside of it (a range that changed). O(size + dims log size).
  void insert(std::uint32_t trial, std::span<const double> values);
  void erase(std::uint32_t trial);  // nothing, if it is not there

  // `count` points from the mixture, point by point.
  std::vector<double> drawn(Keyed& random, std::size_t count);
  // The log density at each point: of steps and categories the log of a probability. Whatever came
  // and went before, the same observations give the same bits, at each instruction level.
  void log_densities(std::span<const double> points, std::span<double> out);

 private:
  struct Place {
    double mu;
    std::uint32_t trial;  // of equal ones the order is theirs, whatever came first
    std::uint32_t slot;
    auto operator<=>(const Place&) const = default;
  };
  // A parameter. Numbers are kept as (inner - low) / width.
  struct Dimension {
    Distribution distribution;
    double low = 0;
    double width = 1;
    std::vector<double> mu;        // by slot; of a category its index
    std::vector<double> sigma;     // by slot; NaN: not known yet
    std::vector<double> constant;  // by slot: what does not depend on the point
    std::vector<Place> sorted;     // numbers' observations
    std::size_t packed = 0;        // which coordinate of packed_, if it is continuous
    bool continuous() const { return !distribution.categorical() && distribution.step() == 0; }
  };

  void settle();
  void settle_widths(Dimension& dim);
  void settle_around(Dimension& dim, std::size_t place);
  double width_at(const Dimension& dim, std::size_t place) const;
  void set_width(Dimension& dim, std::uint32_t slot, double sigma);
  void settle_weights();
  void resize_slots(std::size_t slots);
  void add_steps(const Dimension& dim, std::span<const double> points, std::size_t at);
  void add_categories(const Dimension& dim, std::span<const double> points, std::size_t at);
  double coordinate(const Dimension& dim, double value) const;
  double draw_number(const Dimension& dim, std::uint32_t slot, Keyed& random) const;

  Weights rule_;
  std::vector<Dimension> dims_;
  std::size_t packed_dims_ = 0;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> by_trial_;  // trial, slot; ascending
  std::vector<std::uint32_t> free_;
  std::size_t slots_ = 0;  // a multiple of kBlock; slot 0 is the prior
  std::size_t used_slots_ = 1;
  bool all_widths_ = true;  // every width may have changed
  bool new_weights_ = true;
  std::vector<std::uint8_t> stale_;  // by slot: its sum of constants
  std::vector<double> packed_;       // see AddQuadratics
  std::vector<double> constants_;    // by slot: the sum over continuous dimensions
  std::vector<double> weights_;      // by slot, their sum 1; 0: free
  std::vector<double> log_weights_;
  std::vector<double> rows_;  // scratch: points x slots
};

}  // namespace daybreak::tune
