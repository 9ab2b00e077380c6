// NSGA-II (Deb et al. 2002) and NSGA-III: generations of parents and children, the better half of both goes on. Any number of objectives.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

enum class NsgaCrossover : std::uint8_t {
  kUniform,  // each parameter of one parent or the other
  kSbx,      // numbers: simulated binary (Deb and Agrawal 1995), bounded
};

struct NsgaOptions {
  std::uint64_t seed = 0;
  std::uint32_t population = 50;
  std::optional<double> mutation_probability;  // of each parameter; none: 1 / parameters
  double crossover_probability = 0.9;
  double swapping_probability = 0.5;
  NsgaCrossover crossover = NsgaCrossover::kUniform;
};
// A generation is the first ones of it to complete; a trial's note says which it is of, and without one it is of the first.
base::Result<std::unique_ptr<Sampler>> nsga2_sampler(const NsgaOptions& options);

// NSGA-III (Deb and Jain 2014): of the front that does not fit those go on that keep to lines through reference points, so that many
// objectives are covered evenly.
struct Nsga3Options {
  NsgaOptions nsga = {};
  std::uint32_t dividing_parameter = 3;              // parts of each edge of the simplex of reference points
  std::vector<std::vector<double>> references = {};  // instead: a number for each objective, none negative, in a row
};
base::Result<std::unique_ptr<Sampler>> nsga3_sampler(const Nsga3Options& options);

}  // namespace daybreak::tune
