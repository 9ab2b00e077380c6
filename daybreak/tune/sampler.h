// Samplers: where to look next. One is a function of its seed, the trial's number and what Trials holds; what it keeps besides is a
// cache that it could compute again. So a study is resumed by replaying its journal, and nothing of a sampler is pickled.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/distribution.h"
#include "daybreak/tune/trials.h"

namespace daybreak::tune {

struct Parameter {
  std::uint32_t column = 0;
  Distribution distribution = {};
};

// Not locked: one thread at a time, which holds the study's lock.
class Sampler {
 public:
  virtual ~Sampler() = default;

  // The parameters that sample() gives together for the trial, by ascending name; none: each is asked for alone.
  virtual std::vector<Parameter> joint(const Trials& trials, std::size_t trial) = 0;
  // A value for each, and what is to be kept with them (Trials::note), which may be empty.
  struct Sample {
    std::vector<double> values;
    std::string note;
  };
  virtual base::Result<Sample> sample(const Trials& trials, std::size_t trial,
                                      std::span<const Parameter> parameters) = 0;
  // One that is in no joint space.
  virtual base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) = 0;
};

// One that chooses each parameter for itself.
class OneByOneSampler : public Sampler {
 public:
  std::vector<Parameter> joint(const Trials&, std::size_t) override { return {}; }
  base::Result<Sample> sample(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters) override {
    Sample found;
    found.values.reserve(parameters.size());
    for (const Parameter& parameter : parameters) {
      DAYBREAK_ASSIGN(const double value, sample_one(trials, trial, parameter));
      found.values.push_back(value);
    }
    return found;
  }
};

struct RandomOptions {
  std::uint64_t seed = 0;
};
std::unique_ptr<Sampler> random_sampler(const RandomOptions& options);

// A draw from the distribution with nothing known: what random_sampler gives, and others while they know too little.
double drawn(std::uint64_t seed, std::size_t trial, std::string_view name, const Distribution& distribution);

}  // namespace daybreak::tune
