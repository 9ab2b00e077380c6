#include <memory>

#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {
namespace {

class Fifo final : public Scheduler {
 public:
  void on_add(std::uint32_t) override {}
  Decision on_result(std::uint32_t, const Observation&, const Board&, std::vector<Move>&) override {
    return Decision::kContinue;
  }
  void on_end(std::uint32_t, const Observation*, const Board&, std::vector<Move>&) override {}
  std::optional<std::uint32_t> choose(const Board& board) const override { return first_that_waits(board); }
  bool in_order() const override { return true; }
  double next(std::uint32_t) const override { return kNever; }
  std::string status() const override { return "Using FIFO scheduling algorithm."; }
};

}  // namespace

std::optional<std::uint32_t> first_that_waits(const Board& board) {
  const std::optional<std::uint32_t> pending = board.first(TrialState::kPending);
  return pending ? pending : board.first(TrialState::kPaused);
}

std::unique_ptr<Scheduler> fifo_scheduler() {
  return std::make_unique<Fifo>();
}

}  // namespace daybreak::tune
