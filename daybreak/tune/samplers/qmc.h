// Points that fill the space evenly: Sobol's sequence and Halton's. A trial's number is its place in the sequence, so that no two trials
// of however many processes have one point; the first trial, whose parameters are not known yet, is by chance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

enum class QmcSequence : std::uint8_t { kSobol, kHalton };

struct QmcOptions {
  std::uint64_t seed = 0;
  QmcSequence sequence = QmcSequence::kSobol;
  // Sobol: a random linear matrix and shift (Matousek 1998); Halton: digits permuted at random.
  bool scramble = false;
};
base::Result<std::unique_ptr<Sampler>> qmc_sampler(const QmcOptions& options);

// Point `index` of the sequence in [0, 1)^dims, in Gray code's order for Sobol. kInvalidArgument for more dimensions than there are
// numbers for (256).
base::Result<std::vector<double>> qmc_point(const QmcOptions& options, std::uint32_t index, std::size_t dims);

}  // namespace daybreak::tune
