#include <algorithm>
#include <set>

#include "daybreak/linalg/schedule.h"

namespace daybreak::linalg {

namespace {

// The cache of the runner with one task at a time: what is resident, by its next use.
class Belady {
 public:
  Belady(const Schedule& schedule, std::uint64_t budget)
      : schedule_(schedule), budget_(budget), states_(schedule.tiles().size()) {}

  void task(std::uint32_t number, Forecast& forecast) {
    const Task& task = schedule_.tasks()[number];
    for (const Operand& o : schedule_.operands(task)) take(o.tile);
    for (const Operand& o : schedule_.operands(task)) {
      State& state = states_[o.tile];
      if (!state.resident && !fixed(o.tile)) load(o, forecast);
    }
    forecast.held_bytes = std::max(forecast.held_bytes, held_);
    for (const Operand& o : schedule_.operands(task)) {
      if (fixed(o.tile)) continue;
      State& state = states_[o.tile];
      if (o.mode != Mode::kRead) {
        ++state.writes;
        state.dirty = true;
      }
      if (!state.pinned) continue;
      state.pinned = false;
      give(o.tile, number, forecast);
    }
  }

  // Operands whose memory is the matrix's own.
  bool fixed(std::uint32_t tile) const {
    const Slot& slot = schedule_.slots()[schedule_.tiles()[tile].slot];
    return slot.store != nullptr && slot.store->in_memory();
  }

 private:
  struct State {
    bool resident = false;
    bool pinned = false;
    bool dirty = false;
    std::uint32_t next = kNever;
    std::uint32_t use = 0;
    std::uint32_t writes = 0;
  };

  std::uint64_t bytes(std::uint32_t tile) const { return aligned(schedule_.tiles()[tile].shape.bytes()); }

  void take(std::uint32_t tile) {
    State& state = states_[tile];
    if (state.resident && !state.pinned) idle_.erase({state.next, tile});
    state.pinned = true;
  }

  void load(const Operand& o, Forecast& forecast) {
    State& state = states_[o.tile];
    while (budget_ != 0 && held_ + bytes(o.tile) > budget_ && !idle_.empty()) {
      const auto last = std::prev(idle_.end());
      const std::uint32_t victim = last->second;
      idle_.erase(last);
      if (states_[victim].dirty) forecast.written_bytes += kAlignBytes + bytes(victim);
      states_[victim].dirty = false;
      states_[victim].resident = false;
      held_ -= bytes(victim);
    }
    const bool has_value = schedule_.tiles()[o.tile].stored || state.writes > 0;
    if (o.mode != Mode::kWrite && has_value) forecast.read_bytes += kAlignBytes + bytes(o.tile);
    state.resident = true;
    held_ += bytes(o.tile);
  }

  void give(std::uint32_t number, std::uint32_t task, Forecast& forecast) {
    State& state = states_[number];
    const Tile& tile = schedule_.tiles()[number];
    const auto uses = schedule_.uses(tile);
    while (state.use < uses.size() && uses[state.use] <= task) ++state.use;
    state.next = state.use < uses.size() ? uses[state.use] : kNever;
    const bool output = schedule_.slots()[tile.slot].role == Slot::kOutput;
    if (output && state.dirty && state.writes == tile.writes) {
      forecast.written_bytes += kAlignBytes + bytes(number);
      state.dirty = false;
    }
    if (state.next == kNever) {
      state.resident = false;
      held_ -= bytes(number);
    } else {
      idle_.insert({state.next, number});
    }
  }

  const Schedule& schedule_;
  const std::uint64_t budget_;
  std::vector<State> states_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> idle_;
  std::uint64_t held_ = 0;
};

}  // namespace

Forecast Schedule::forecast(const PlanOptions& options) const {
  Forecast made;
  made.tasks = tasks_.size();
  made.skipped = skipped_;
  made.flops = flops_;
  made.schedule_bytes = own_bytes();
  const std::uint64_t aside = made.schedule_bytes + workspace_bytes_ * static_cast<std::uint64_t>(options.threads);
  std::uint64_t results = 0;
  for (const Tile& tile : tiles_) {
    const Slot& slot = slots_[tile.slot];
    if (slot.role == Slot::kOutput && slot.store->in_memory()) results += aligned(tile.shape.bytes());
  }
  made.result_bytes = results;
  Belady cache(*this,
               options.budget_bytes == 0 ? 0 : options.budget_bytes - std::min(options.budget_bytes, aside + results));
  for (std::uint32_t t = 0; t < tasks_.size(); ++t) {
    std::uint64_t wide = 0;
    for (const Operand& o : operands(tasks_[t])) {
      if (!cache.fixed(o.tile)) wide += aligned(tiles_[o.tile].shape.bytes());
    }
    made.least_bytes = std::max(made.least_bytes, wide);
    cache.task(t, made);
  }
  made.least_bytes += aside + results;
  made.held_bytes += aside + results;
  return made;
}

}  // namespace daybreak::linalg
