// Which parameters the finished trials had in common: the spaces in which samplers sample jointly. Read on incrementally; caches of
// what Trials holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "daybreak/tune/sampler.h"
#include "daybreak/tune/trials.h"

namespace daybreak::tune {

// The parameters that all complete (and pruned, if they count) trials had with one distribution, by ascending name.
class CommonSpace {
 public:
  explicit CommonSpace(bool with_pruned) : with_pruned_(with_pruned) {}
  // Those with more than one value.
  std::vector<Parameter> of(const Trials& trials);

 private:
  bool with_pruned_;
  std::size_t seen_ = 0;
  std::optional<std::vector<Parameter>> common_;
};

// The coarsest partition of all parameters so that each trial has all of a part or none of it.
class GroupedSpaces {
 public:
  explicit GroupedSpaces(bool with_pruned) : with_pruned_(with_pruned) {}
  // The parts, each by ascending name, without parameters that have one value only.
  std::vector<std::vector<Parameter>> of(const Trials& trials);

 private:
  bool with_pruned_;
  std::size_t seen_ = 0;
  std::vector<std::vector<Parameter>> parts_;
};

void sort_by_name(const Trials& trials, std::vector<Parameter>& parameters);

}  // namespace daybreak::tune
