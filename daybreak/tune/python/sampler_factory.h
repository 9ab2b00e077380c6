// What Python calls a sampler: how to make one for a study, of its seed. Each study has a sampler of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

struct SamplerFactory {
  std::function<std::unique_ptr<Sampler>(std::uint64_t seed)> make;
};

}  // namespace daybreak::tune
