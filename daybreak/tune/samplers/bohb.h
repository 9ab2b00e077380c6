// BOHB's model (Falkner et al. 2018) of one budget: where the good configs are dense and the others are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/distribution.h"

namespace daybreak::tune {

struct BohbOptions {
  std::size_t least = 2;        // configs that a density needs: parameters and one
  double top_share = 0.15;      // of the configs that are good
  std::size_t candidates = 64;  // drawn of the good ones' density
  std::uint64_t seed = 0;
};
// A config for the trial of the number, of rows (a value a distribution, row by row) and their losses, NaN being the worst. The densities
// are TPE's. kFailedPrecondition for less than least + 2 rows.
base::Result<std::vector<double>> bohb_config(const BohbOptions& options, std::size_t number,
                                              const std::vector<Distribution>& distributions,
                                              std::span<const double> rows, std::span<const double> losses);

}  // namespace daybreak::tune
