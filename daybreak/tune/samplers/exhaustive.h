// Samplers that go through all there is: a grid that was given, or every value of spaces that are counted. And one that holds some
// parameters fast.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

// Which cell of a grid a trial has: a function of its number in a random order, so that no two have one and none is forgotten. What did
// not run (a trial that failed, or took other values) is given to the trials behind the last cell, in the order in which they ended.
class GridPlan {
 public:
  // kInvalidArgument for no axes, an axis without values or more than 2^24 cells.
  static base::Result<GridPlan> make(std::uint64_t seed, std::vector<std::pair<std::string, std::vector<double>>> axes);

  std::size_t cells() const { return order_.size(); }
  const std::vector<std::pair<std::string, std::vector<double>>>& axes() const { return axes_; }
  // None: all have been given out, as far as is known now.
  std::optional<std::size_t> cell(const Trials& trials, std::size_t trial);
  // The place on the axis.
  std::size_t place(std::size_t cell, std::size_t axis) const;

 private:
  GridPlan() = default;
  bool ran(const Trials& trials, std::uint32_t trial, std::size_t cell) const;

  std::vector<std::pair<std::string, std::vector<double>>> axes_;
  std::vector<std::uint32_t> order_;
  std::size_t seen_ = 0;              // of the finished
  std::vector<std::uint32_t> again_;  // cells that did not run
};

// Values as Trials has them. kOutOfRange from sample_one once all cells have been given out.
base::Result<std::unique_ptr<Sampler>> grid_sampler(std::uint64_t seed,
                                                    std::vector<std::pair<std::string, std::vector<double>>> axes);

// Every combination once, also where which parameters there are depends on others' values. kInvalidArgument for a parameter of numbers
// without steps, kOutOfRange once there is nothing left.
std::unique_ptr<Sampler> brute_force_sampler(std::uint64_t seed);
// Whether every combination has been tried, or is being tried; not before there is a trial.
bool brute_force_exhausted(const Trials& trials);

// `base` with these parameters held to the values. A value must be in its distribution when it is asked for.
std::unique_ptr<Sampler> partial_fixed_sampler(std::unique_ptr<Sampler> base, std::map<std::string, double> fixed);

}  // namespace daybreak::tune
