// Which calls of a call set's chunks are taken back, and go to others.
#include <algorithm>
#include <vector>

#include "daybreak/runtime/batch.h"

namespace daybreak::runtime {

// Takes back calls of a chunk, to the front of what waits. Of one that its worker is about to begin, a unit stays.
std::uint32_t Batch::give_back(Chunk& chunk, bool all, bool started) {
  const std::uint32_t won = progress(chunk).take_back(options_.unit, all, started ? 0 : 1);
  if (won > 0) put_back(cut_tail(chunk, chunk.calls - won));
  return won;
}

// True: something waits again. Whoever has no chunk gets half of what another has not begun; and what has not begun
// behind a call that takes long is for everybody.
bool Batch::rebalance() {
  bool any = false;
  std::uint32_t idle = 0, workers = 0;
  for (const Lane& lane : lanes_) {
    if (!lane.open()) continue;
    workers += lane.workers;
    idle += lane.workers - std::min(lane.workers, lane.in_flight);
  }
  if (in_flight_.empty()) return false;
  std::vector<bool> met(lanes_.size(), false), stuck(lanes_.size(), false);
  const std::int64_t now = Client::now_ns();
  struct Candidate {
    Chunk* chunk;
    bool started;
  };
  std::vector<Candidate> candidates;
  for (const auto& chunk : in_flight_) {
    const bool actor = lanes_[chunk->lane].spec.kind == Kind::kActorCall;
    const std::int64_t began = progress(*chunk).began_ns();
    const bool behind = actor && met[chunk->lane];  // another runs there
    const bool started = behind || progress(*chunk).now().begun > 0;
    const bool late = behind ? stuck[chunk->lane] : began != 0 && now - began > kStuckNs;
    met[chunk->lane] = true;
    if (late) stuck[chunk->lane] = true;
    if (late && started && workers > 1)
      any = give_back(*chunk, true, true) > 0 || any;
    else
      candidates.push_back({chunk.get(), started});
  }
  if (!pending_.empty()) return any;
  for (; idle > 0; --idle) {
    Candidate* best = nullptr;
    std::uint32_t most = 0;
    for (Candidate& each : candidates) {
      const auto [begun, limit] = progress(*each.chunk).now();
      const std::uint32_t left = limit - std::min(begun, limit), leave = each.started ? 0 : options_.unit;
      if (left > leave && left - leave > most) best = &each, most = left - leave;
    }
    if (best == nullptr) break;
    any = give_back(*best->chunk, false, best->started) > 0 || any;
  }
  return any;
}

}  // namespace daybreak::runtime
