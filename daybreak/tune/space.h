// A search space: what each parameter may be, and which values the trial of a number gets. Names, bounds and rounding are Ray Tune's;
// the numbers drawn are a function of the seed, the trial and the parameter's path (keyed.h), so that what was drawn before, and by
// whom, changes nothing. Values; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/keyed.h"

namespace daybreak::tune {

class Domain {
 public:
  enum class Kind : std::uint8_t { kUniform, kLogUniform, kNormal, kInteger, kLogInteger, kOption };

  // [low, high), evenly or in the logarithm; with a quantum the multiples of it from low to high, which must be multiples themselves.
  static base::Result<Domain> uniform(double low, double high, double quantum = 0);
  static base::Result<Domain> loguniform(double low, double high, double quantum = 0);
  // Normally distributed; with a quantum rounded to a multiple of it.
  static base::Result<Domain> randn(double mean, double deviation, double quantum = 0);
  // [low, high); with a quantum above 1 its multiples from low to high, high included.
  static base::Result<Domain> randint(std::int64_t low, std::int64_t high, std::int64_t quantum = 1);
  static base::Result<Domain> lograndint(std::int64_t low, std::int64_t high, std::int64_t quantum = 1);
  // The index of one of so many.
  static base::Result<Domain> option(std::uint64_t options);

  Kind kind() const { return kind_; }
  double low() const { return low_; }    // randn: the mean
  double high() const { return high_; }  // randn: the deviation; option: how many there are
  double quantum() const { return quantum_; }
  bool whole() const { return kind_ >= Kind::kInteger; }

  double draw(Keyed& random) const;
  // Whether draw() may give it.
  bool contains(double value) const;
  // The value nearest to it that draw() may give: where a mutation that leaves the domain ends.
  double nearest(double value) const;

 private:
  Domain(Kind kind, double low, double high, double quantum) : kind_(kind), low_(low), high_(high), quantum_(quantum) {}
  double largest() const;

  Kind kind_;
  double low_;
  double high_;
  double quantum_;
};

// One parameter: a path in the config ("model/lr"), and whether all its options are tried (a grid) or one is drawn.
struct Axis {
  std::string path;
  Domain domain;
  bool grid = false;
};

// The grid's cells times samples, in Ray's order: all cells of a sample, then the next sample; the first grid axis by path varies fastest.
class SearchSpace {
 public:
  // Of `points` first samples some axes are given by the user: fixed[point][axis]; they are no axes of the grid there.
  // kInvalidArgument: two axes of one path, a grid that is no option, more than 2^53 cells.
  static base::Result<SearchSpace> make(std::vector<Axis> axes, std::uint64_t seed, bool constant_grid_search = false,
                                        std::vector<std::vector<bool>> fixed = {});

  const std::vector<Axis>& axes() const { return axes_; }
  std::uint64_t cells() const { return cells_; }
  // How many trials so many samples make.
  std::uint64_t size(std::uint64_t samples) const;
  // The values of the trial's axes, in their order; those that are fixed are NaN.
  std::vector<double> variant(std::uint64_t trial) const;
  // Which sample a trial is of.
  std::uint64_t sample_of(std::uint64_t trial) const { return placed(trial).sample; }

 private:
  struct Place {
    std::uint64_t sample;
    std::uint64_t cell;
  };
  SearchSpace(std::vector<Axis> axes, std::uint64_t seed, bool constant, std::vector<std::vector<bool>> fixed)
      : axes_(std::move(axes)), seed_(seed), constant_(constant), fixed_(std::move(fixed)) {}
  Place placed(std::uint64_t trial) const;

  std::vector<Axis> axes_;
  std::uint64_t seed_;
  bool constant_;
  std::vector<std::vector<bool>> fixed_;
  std::vector<std::size_t> by_path_;  // grid axes, ascending
  std::vector<std::uint64_t> fixed_cells_;
  std::uint64_t cells_ = 1;
};

}  // namespace daybreak::tune
