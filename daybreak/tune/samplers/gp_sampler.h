// Bayesian optimisation with a Gaussian process: the point of the largest log expected improvement. One objective.
#pragma once

#include <cstdint>
#include <memory>

#include "daybreak/base/error.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

struct GpOptions {
  std::uint64_t seed = 0;
  std::uint32_t startup_trials = 10;  // complete ones
};
// Running trials are taken as if they had given what is expected of them. With constraints, and with several objectives, it refuses.
// Each suggestion is O(trials^3).
base::Result<std::unique_ptr<Sampler>> gp_sampler(const GpOptions& options);

}  // namespace daybreak::tune
