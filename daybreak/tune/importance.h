// How much each parameter matters for the losses of a study's trials.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/distribution.h"
#include "daybreak/tune/trials.h"

namespace daybreak::tune {

// PED-ANOVA (Watanabe, Bansal and Hutter 2023): how far the density of the best trials, `top`, is from that of all of `region`, or from
// a uniform one if not `local`; distributions that changed during the study are regimes of their own, and so is not being asked for.
// One number a column. `top` are some of `region`, at least one.
base::Result<std::vector<double>> ped_anova(const Trials& trials, std::span<const std::uint32_t> region,
                                            std::span<const std::uint32_t> top, std::span<const std::uint32_t> columns,
                                            bool local);

struct ForestOptions {
  std::uint64_t seed = 0;
  std::uint32_t trees = 64;
  std::uint32_t max_depth = 64;
};

// Regression trees (Breiman 2001), each grown on a bootstrap sample until its leaves are pure. Numbers split at midpoints, categories
// one against the rest. A value.
class Forest {
 public:
  // points: row by row, a value for each distribution. kInvalidArgument for sizes that do not fit, losses that are not finite, and
  // options of 0.
  static base::Result<Forest> fit(std::vector<Distribution> distributions, std::span<const double> points,
                                  std::span<const double> losses, const ForestOptions& options);

  // Functional ANOVA (Hutter, Hoos and Leyton-Brown 2014): the share of the trees' variance over the whole space that is explained by
  // each parameter alone. kFailedPrecondition if no tree has any.
  base::Result<std::vector<double>> fanova() const;
  // Mean decrease of impurity: what the splits at each parameter took off the variance of the samples, summing to 1 (0: no splits).
  std::vector<double> impurity_decrease() const;
  double predicted(std::span<const double> point) const;

 private:
  struct Node {
    std::int32_t parameter = -1;  // -1: a leaf
    double threshold = 0;         // numbers: left at or below; categories: right if equal
    std::uint32_t left = 0;
    std::uint32_t right = 0;
    double value = 0;
    double decrease = 0;  // of the summed squares, by the split
  };
  using Tree = std::vector<Node>;
  struct Grower;
  struct Marginals;

  std::vector<Distribution> distributions_;
  std::vector<Tree> trees_;
};

}  // namespace daybreak::tune
