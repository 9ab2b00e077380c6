// The samples of one iteration, as flat arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace daybreak::rl {

// Finished episodes, in the order in which they ended.
struct EpisodeLog {
  std::vector<double> returns;
  std::vector<std::int64_t> lengths;
  void clear() {
    returns.clear();
    lengths.clear();
  }
};

// `rows` samples; one row-major array a quantity. Rows that no gradient may use (the unfinished tails of REINFORCE)
// have usable = 0. Owned by one learner; samplers write disjoint ranges of rows.
struct SampleBatch {
  std::int64_t rows = 0;
  int observation_size = 0;
  int action_size = 0;                // 0 for Discrete
  std::vector<float> observations;    // [rows][observation_size], after the filter
  std::vector<std::int32_t> actions;  // [rows], Discrete
  std::vector<float> box_actions;     // [rows][action_size], Box, before clipping and rescaling
  std::vector<float> logp;            // [rows], of the action when it was taken
  std::vector<float> values;          // [rows]
  std::vector<float> advantages;      // [rows]
  std::vector<float> returns;         // [rows], the critic's targets
  std::vector<std::uint8_t> usable;   // [rows]

  void resize(std::int64_t n, int observations_, int box_actions_) {
    rows = n;
    observation_size = observations_;
    action_size = box_actions_;
    const auto count = static_cast<std::size_t>(n);
    observations.resize(count * static_cast<std::size_t>(observations_));
    actions.resize(box_actions_ == 0 ? count : 0);
    box_actions.resize(count * static_cast<std::size_t>(box_actions_));
    logp.resize(count);
    values.resize(count);
    advantages.resize(count);
    returns.resize(count);
    usable.assign(count, 1);
  }
};

}  // namespace daybreak::rl
