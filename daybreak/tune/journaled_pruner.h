// A pruner of a study, whose memory lies with its trials in the journal: a study that is opened again, and other processes that have
// it, decide the same.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "daybreak/base/error.h"
#include "daybreak/tune/pruners.h"
#include "daybreak/tune/study_state.h"

namespace daybreak::tune {

// Not locked: one thread at a time.
class JournaledPruner {
 public:
  explicit JournaledPruner(std::unique_ptr<Pruner> pruner) : pruner_(std::move(pruner)) {}

  struct Decision {
    bool prune = false;
    std::optional<Attribute> kept = {};  // what the trial is to get before anybody hears of the decision
  };
  // kDataLoss for a trial whose memory is none of this pruner's.
  base::Result<Decision> prune(const StudyState& state, std::uint32_t trial);

 private:
  base::Status recall(const StudyState& state);

  std::unique_ptr<Pruner> pruner_;
  std::uint32_t read_below_ = 0;                          // trials that had finished when they were read
  std::unordered_map<std::uint32_t, std::string> known_;  // of those above: the JSON text that was recalled or written
};

}  // namespace daybreak::tune
