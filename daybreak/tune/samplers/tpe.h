// The tree-structured Parzen estimator (Bergstra et al. 2011; its joint form: Falkner et al. 2018, Watanabe 2023).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "daybreak/base/error.h"
#include "daybreak/tune/sampler.h"

namespace daybreak::tune {

struct TpeOptions {
  std::uint64_t seed = 0;
  std::uint32_t startup_trials = 10;  // so many complete or pruned trials are needed before anything is learnt of them
  std::uint32_t candidates = 24;      // drawn of the good ones' density for each suggestion
  std::optional<bool> multivariate;   // parameters together; not given: with one objective
  bool group = false;                 // together as they occur together, where some are conditional
  bool constant_liar = true;          // running trials count as bad ones: others keep away from them
};
base::Result<std::unique_ptr<Sampler>> tpe_sampler(const TpeOptions& options);

// What running trials are about to use, as a note: they keep others away before they have asked for it.
std::string note_of_values(std::span<const Parameter> parameters, std::span<const double> values);
// kAbsent, if the note has none for the column.
double value_in_note(std::string_view note, std::uint32_t column);

}  // namespace daybreak::tune
