#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "daybreak/tune/keyed.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {
namespace {

class RandomSampler final : public OneByOneSampler {
 public:
  explicit RandomSampler(const RandomOptions& options) : options_(options) {}

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    return drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution);
  }

 private:
  RandomOptions options_;
};

}  // namespace

double drawn(std::uint64_t seed, std::size_t trial, std::string_view name, const Distribution& distribution) {
  Keyed random(seed, trial, name);
  const std::uint64_t count = distribution.count();
  if (count == 1) return distribution.low();
  if (count > 0 && !distribution.log()) {
    return std::min(distribution.low() + static_cast<double>(random.below(count)) * distribution.step(),
                    distribution.high());
  }
  const auto [low, high] = distribution.inner_bounds();
  return distribution.from_inner(random.uniform(low, high));
}

std::unique_ptr<Sampler> random_sampler(const RandomOptions& options) {
  return std::make_unique<RandomSampler>(options);
}

}  // namespace daybreak::tune
