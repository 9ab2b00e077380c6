// CMA-ES as a sampler: numbers jointly, categories and what only some trials have by chance. One objective.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "daybreak/base/error.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

enum class CmaRestarts : std::uint8_t {
  kNone,
  kIpop,   // with twice the population (Auger and Hansen 2005)
  kBipop,  // large populations and small ones in turn, as each has spent evaluations (Hansen 2009)
};

struct CmaesOptions {
  std::uint64_t seed = 0;
  std::uint32_t startup_trials = 1;         // so many complete ones are needed first
  std::optional<std::uint32_t> population;  // none: 4 + 3 log(dimensions)
  bool with_margin = false;                 // steps keep a margin
  CmaRestarts restarts = CmaRestarts::kNone;
};
// What it learns of a generation are the first ones to complete; a trial's note says which generation it is of.
base::Result<std::unique_ptr<Sampler>> cmaes_sampler(const CmaesOptions& options);

}  // namespace daybreak::tune
