#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {
namespace {

// A score and a trial, ascending; of equal scores the earlier trial is the better.
using RankedTrial = std::pair<double, std::uint32_t>;
RankedTrial ranked_trial(double score, std::uint32_t trial) {
  return {std::isnan(score) ? -Scheduler::kNever : score, ~trial};
}

// Where trials pause: what all that came here had, the best floor(n / eta) of them apart, and which of them wait here.
class PromotingRung {
 public:
  PromotingRung(double milestone, double factor) : milestone_(milestone), factor_(factor) {}

  double milestone() const { return milestone_; }
  void add(const RankedTrial& one) {
    waiting_.insert(one);
    if (!best_.empty() && one > *best_.begin())
      best_.insert(one);
    else
      rest_.insert(one);
    const auto keeps = static_cast<std::size_t>(std::floor(static_cast<double>(best_.size() + rest_.size()) / factor_));
    while (best_.size() > keeps) move_one(best_, best_.begin(), rest_);
    while (best_.size() < keeps) move_one(rest_, std::prev(rest_.end()), best_);
  }
  void leave(const RankedTrial& one) { waiting_.erase(one); }
  // The best that waits here, where it is among the best of all.
  std::optional<std::uint32_t> promotable() const {
    if (waiting_.empty() || best_.empty()) return std::nullopt;
    const RankedTrial& first = *waiting_.rbegin();
    if (first < *best_.begin()) return std::nullopt;
    return ~first.second;
  }

 private:
  using Ranked = std::set<RankedTrial>;
  static void move_one(Ranked& from, Ranked::iterator which, Ranked& to) { to.insert(from.extract(which)); }

  double milestone_;
  double factor_;
  Ranked best_;
  Ranked rest_;
  Ranked waiting_;
};

class AshaPromoting final : public Scheduler {
 public:
  explicit AshaPromoting(const AshaOptions& options) : options_(options) {
    for (double milestone = options.grace_period; milestone < options.max_t; milestone *= options.reduction_factor) {
      rungs_.emplace_back(milestone, options.reduction_factor);
    }
  }

  void on_add(std::uint32_t trial) override {
    if (members_.size() <= trial) members_.resize(trial + 1);
  }

  Decision on_result(std::uint32_t trial, const Observation& seen, const Board& board, std::vector<Move>&) override {
    leave(trial);  // it has been promoted: it runs
    if (seen.time >= options_.max_t) {
      ++whole_;
      return Decision::kStop;
    }
    Member& own = members_[trial];
    if (own.rung >= rungs_.size() || seen.time < rungs_[own.rung].milestone()) return Decision::kContinue;
    while (own.rung + 1 < rungs_.size() && seen.time >= rungs_[own.rung + 1].milestone()) ++own.rung;
    own.place = ranked_trial(seen.score, trial);
    own.waits_at = own.rung;
    rungs_[own.rung].add(own.place);
    ++own.rung;
    // What would be promoted next goes on where it is.
    if (choose_promotable() != trial) return Decision::kPause;
    (void)board;
    leave(trial);
    return Decision::kContinue;
  }

  void on_end(std::uint32_t trial, const Observation*, const Board&, std::vector<Move>&) override { leave(trial); }

  // A promotion, from the top rung down; else a new trial.
  std::optional<std::uint32_t> choose(const Board& board) const override {
    const std::optional<std::uint32_t> promoted = choose_promotable();
    if (promoted && board.state(*promoted) == TrialState::kPaused) return promoted;
    return board.first(TrialState::kPending);
  }

  double next(std::uint32_t trial) const override {
    const std::size_t rung = members_[trial].rung;
    return rung < rungs_.size() ? rungs_[rung].milestone() : options_.max_t;
  }

  // No more trials come, so that nobody else is promoted: those that wait stay where they are, which is their end.
  bool unblock(const Board& board, std::vector<Move>& moves) override {
    for (std::uint32_t trial = 0; trial < members_.size(); ++trial) {
      if (board.state(trial) != TrialState::kPaused) continue;
      leave(trial);
      moves.push_back({.kind = Move::Kind::kStop, .trial = trial});
    }
    return !moves.empty();
  }

  std::string status() const override {
    std::string text = fmt::format("Using ASHA that promotes: {} trials to the end", whole_);
    for (const PromotingRung& rung : rungs_) {
      const std::optional<std::uint32_t> next = rung.promotable();
      text += fmt::format(" | Iter {:.3f}: {}", rung.milestone(), next ? fmt::format("trial {}", *next) : "None");
    }
    return text;
  }

 private:
  static constexpr std::size_t kNowhere = ~std::size_t{0};
  struct Member {
    std::size_t rung = 0;  // where it will be looked at next
    std::size_t waits_at = kNowhere;
    RankedTrial place = {};
  };

  std::optional<std::uint32_t> choose_promotable() const {
    for (auto rung = rungs_.rbegin(); rung != rungs_.rend(); ++rung) {
      if (const std::optional<std::uint32_t> found = rung->promotable()) return found;
    }
    return std::nullopt;
  }
  void leave(std::uint32_t trial) {
    Member& own = members_[trial];
    if (own.waits_at != kNowhere) rungs_[own.waits_at].leave(own.place);
    own.waits_at = kNowhere;
  }

  AshaOptions options_;
  std::vector<PromotingRung> rungs_;  // ascending; the end is max_t
  std::vector<Member> members_;
  std::uint64_t whole_ = 0;
};

}  // namespace

std::unique_ptr<Scheduler> promoting_asha(const AshaOptions& options) {
  return std::make_unique<AshaPromoting>(options);
}

}  // namespace daybreak::tune
