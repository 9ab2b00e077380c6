#include <algorithm>
#include <cmath>
#include <memory>

#include "daybreak/tune/keyed.h"
#include "daybreak/tune/scheduler.h"
#include "daybreak/tune/schedulers/pb2.h"

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

struct PbtMember {
  double score = std::nan("");  // as of its last perturbation; NaN: in no quantile
  double perturbed = 0;         // when it was last looked at
  double trained = 0;           // how far it was then
  bool exploits = false;        // it is to go on from another's checkpoint
  bool saved = false;           // then it was among the best, and others may go on from there
  // With bounds: its config, what it had when it was last looked at with it, and the last row of it or of whom it goes on from.
  std::vector<double> values = {};
  std::optional<Observation> looked = {};
  std::optional<Pb2Row> row = {};
};

class Pbt final : public Scheduler {
 public:
  explicit Pbt(const PbtOptions& options)
      : options_(options), meeting_(std::max(options.perturbation_interval, options.burn_in_period)) {}

  void on_add(std::uint32_t trial) override {
    if (members_.size() <= trial) members_.resize(trial + 1);
  }

  Decision on_result(std::uint32_t trial, const Observation& seen, const Board& board,
                     std::vector<Move>& moves) override {
    if (seen.time < next(trial)) return Decision::kContinue;
    PbtMember& own = members_[trial];
    own.score = seen.score;
    own.trained = seen.time;
    if (!options_.bounds.empty()) note_gain(own, seen);
    if (options_.synch) {
      if (!others_lag(trial, board)) meet(seen.time, board, moves);
      return Decision::kPause;
    }
    own.perturbed = seen.time;
    const auto [lower, upper] = quantiles(board);
    const bool exploits = save_or_exploit(trial, lower, upper, board, moves);
    const bool others_wait = board.first(TrialState::kPending) || board.first(TrialState::kPaused);
    return exploits || others_wait ? Decision::kPause : Decision::kContinue;
  }

  void on_end(std::uint32_t, const Observation*, const Board&, std::vector<Move>&) override {}

  // The least trained of those that wait; where all meet, of those that are not there yet.
  std::optional<std::uint32_t> choose(const Board& board) const override {
    std::optional<std::uint32_t> found;
    for (std::uint32_t trial = 0; trial < members_.size(); ++trial) {
      const TrialState state = board.state(trial);
      if (state != TrialState::kPending && state != TrialState::kPaused) continue;
      if (options_.synch && members_[trial].trained >= meeting_) continue;
      if (!found || members_[trial].trained < members_[*found].trained) found = trial;
    }
    return found;
  }

  double next(std::uint32_t trial) const override {
    return std::max(options_.burn_in_period, members_[trial].perturbed + options_.perturbation_interval);
  }

  // All that are left are there: who would have come has ended.
  bool unblock(const Board& board, std::vector<Move>& moves) override {
    if (!options_.synch || !board.first(TrialState::kPaused)) return false;
    meet(meeting_, board, moves);
    return true;
  }

  bool saves() const override { return true; }

  std::vector<std::string> searches() const override {
    std::vector<std::string> names;
    names.reserve(options_.bounds.size());
    for (const PbtBound& bound : options_.bounds) names.push_back(bound.name);
    return names;
  }
  void on_values(std::uint32_t trial, std::span<const double> values) override {
    if (members_.size() <= trial) members_.resize(trial + 1);
    if (members_[trial].exploits) {
      if (rows_.size() > rows_explored_) pending_.clear();  // there has been a look since: they are known, or too old
      rows_explored_ = rows_.size();
      pending_.emplace_back(values.begin(), values.end());
      members_[trial].exploits = false;
    }
    members_[trial].values.assign(values.begin(), values.end());
  }
  std::vector<double> explored(std::uint32_t trial, std::uint32_t source) const override {
    const std::optional<Pb2Row>& at = members_[source].row;
    if (options_.bounds.empty() || !at) return members_[source].values;
    const bool known = rows_.size() > rows_explored_;
    return pb2_values(options_.bounds, rows_, *at, known ? std::vector<std::vector<double>>() : pending_, options_.seed,
                      trial, draws_);
  }
  std::string status() const override {
    return fmt::format("{}: {} checkpoints, {} perturbs", options_.bounds.empty() ? "PopulationBasedTraining" : "PB2",
                       saves_, exploits_);
  }

 private:
  using Trials = std::vector<std::uint32_t>;

  void note_gain(PbtMember& own, const Observation& seen) {
    if (std::isnan(seen.score)) return;
    if (own.looked && seen.time > own.looked->time && own.values.size() == options_.bounds.size()) {
      own.row = Pb2Row{.time = seen.time,
                       .before = own.looked->score,
                       .gain = (seen.score - own.looked->score) / (seen.time - own.looked->time),
                       .values = own.values};
      const auto place = std::ranges::upper_bound(rows_, seen.time, {}, &Pb2Row::time);
      rows_.insert(place, *own.row);
    }
    own.looked = seen;
  }

  static bool holds(const Trials& trials, std::uint32_t trial) { return std::ranges::count(trials, trial) > 0; }

  bool others_lag(std::uint32_t trial, const Board& board) const {
    for (std::uint32_t other = 0; other < members_.size(); ++other) {
      if (other != trial && !ended(board.state(other)) && members_[other].trained < meeting_) return true;
    }
    return false;
  }

  // The worst and the best of those that live and have a score, ascending.
  std::pair<Trials, Trials> quantiles(const Board& board) const {
    Trials ranked;
    for (std::uint32_t trial = 0; trial < members_.size(); ++trial) {
      if (!std::isnan(members_[trial].score) && !ended(board.state(trial))) ranked.push_back(trial);
    }
    std::ranges::stable_sort(ranked, {}, [this](std::uint32_t trial) { return members_[trial].score; });
    if (ranked.size() < 2) return {};
    const auto asked = std::ceil(static_cast<double>(ranked.size()) * options_.quantile_fraction);
    const auto count = static_cast<std::ptrdiff_t>(std::min(asked, std::floor(static_cast<double>(ranked.size()) / 2)));
    return {Trials(ranked.begin(), ranked.begin() + count), Trials(ranked.end() - count, ranked.end())};
  }

  // Whether it goes on from another's checkpoint.
  bool save_or_exploit(std::uint32_t trial, const Trials& lower, const Trials& upper, const Board& board,
                       std::vector<Move>& moves) {
    PbtMember& own = members_[trial];
    own.saved = holds(upper, trial) && board.can_save(trial);
    if (own.saved) {
      ++saves_;
      moves.push_back({.kind = Move::Kind::kSave, .trial = trial});
    }
    if (!holds(lower, trial)) return false;
    Keyed random(options_.seed, trial, fmt::format("pbt source {}", draws_++));
    const std::uint32_t source = upper[random.below(upper.size())];
    if (!members_[source].saved) return false;
    ++exploits_;
    moves.push_back({.kind = Move::Kind::kExploit, .trial = trial, .source = source});
    own.perturbed = members_[source].perturbed;
    own.trained = members_[source].trained;
    own.exploits = true;
    own.looked = members_[source].looked;
    own.row = members_[source].row;
    return true;
  }

  void meet(double time, const Board& board, std::vector<Move>& moves) {
    const auto [lower, upper] = quantiles(board);
    Trials order = upper;
    for (std::uint32_t trial = 0; trial < members_.size(); ++trial) {
      if (!holds(lower, trial) && !holds(upper, trial)) order.push_back(trial);
    }
    order.insert(order.end(), lower.begin(), lower.end());
    double furthest = 0;
    for (const std::uint32_t trial : order) {
      members_[trial].perturbed = time;
      save_or_exploit(trial, lower, upper, board, moves);
    }
    for (const PbtMember& member : members_) furthest = std::max(furthest, member.trained);
    meeting_ = std::max(meeting_ + options_.perturbation_interval, furthest);
  }

  PbtOptions options_;
  double meeting_;  // synch: how far all must be
  std::vector<PbtMember> members_;
  std::vector<Pb2Row> rows_;                  // by time
  std::vector<std::vector<double>> pending_;  // explored since a row came
  std::size_t rows_explored_ = 0;             // that there were when one was explored last
  std::uint64_t draws_ = 0;
  std::uint64_t saves_ = 0;
  std::uint64_t exploits_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<Scheduler>> pbt_scheduler(const PbtOptions& options) {
  if (!(options.perturbation_interval > 0) || !std::isfinite(options.perturbation_interval)) {
    return fail(Code::kInvalidArgument, "perturbation_interval={}: above 0", options.perturbation_interval);
  }
  if (!(options.burn_in_period >= 0) || !std::isfinite(options.burn_in_period)) {
    return fail(Code::kInvalidArgument, "burn_in_period={}: not negative", options.burn_in_period);
  }
  if (!(options.quantile_fraction >= 0 && options.quantile_fraction <= 0.5)) {
    return fail(Code::kInvalidArgument, "quantile_fraction={}: 0 to 0.5", options.quantile_fraction);
  }
  for (const PbtBound& bound : options.bounds) {
    if (std::isfinite(bound.low) && std::isfinite(bound.high) && bound.low < bound.high) continue;
    return fail(Code::kInvalidArgument, "hyperparam_bounds of '{}': {} to {}: finite, the lower one first", bound.name,
                bound.low, bound.high);
  }
  return std::make_unique<Pbt>(options);
}

}  // namespace daybreak::tune
