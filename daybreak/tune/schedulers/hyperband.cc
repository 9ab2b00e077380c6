#include <algorithm>
#include <cmath>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

struct HyperBandMember {
  std::uint32_t trial;
  double time = 0;
  double score = -Scheduler::kNever;
};

// Trials that are halved together. Those that have ended are not in it any more.
struct HyperBandBracket {
  std::uint64_t size;      // trials that it takes, and keeps at the next halving
  double milestone;        // where it meets next
  std::uint64_t halvings;  // that are still to come
  double total_work;
  double done_work = 0;
  std::vector<HyperBandMember> live = {};
  std::unordered_set<std::uint32_t> unpaused = {};
  bool closed = false;  // it was full, or will not be

  HyperBandMember* find(std::uint32_t trial) {
    const auto found = std::ranges::find(live, trial, &HyperBandMember::trial);
    return found == live.end() ? nullptr : &*found;
  }
  void remove(std::uint32_t trial) {
    std::erase_if(live, [trial](const HyperBandMember& member) { return member.trial == trial; });
    unpaused.erase(trial);
  }
  bool all_are_there() const {
    return std::ranges::all_of(live, [this](const HyperBandMember& member) { return member.time >= milestone; });
  }
};

class HyperBand final : public Scheduler {
 public:
  explicit HyperBand(const HyperBandOptions& options)
      : options_(options),
        brackets_a_band_(
            static_cast<std::uint64_t>(std::round(std::log(options.max_t) / std::log(options.reduction_factor))) + 1) {}

  void on_add(std::uint32_t trial) override {
    if (bands_.empty() || filled(bands_.back().back()) || (options_.largest_first && bands_.back().back().closed)) {
      open_bracket();
    }
    HyperBandBracket& bracket = bands_.back().back();
    bracket.live.push_back({.trial = trial});
    bracket.closed = filled(bracket);
    where_[trial] = {bands_.size() - 1, bands_.back().size() - 1};
  }

  Decision on_result(std::uint32_t trial, const Observation& seen, const Board& board,
                     std::vector<Move>& moves) override {
    HyperBandBracket& bracket = of(trial);
    HyperBandMember* member = bracket.find(trial);
    if (member == nullptr) return Decision::kStop;
    bracket.done_work += seen.time - member->time;
    member->time = seen.time;
    member->score = std::isnan(seen.score) ? -kNever : seen.score;
    bracket.unpaused.erase(trial);
    if (goes_on(bracket, *member)) return Decision::kContinue;
    if (waits_to_be_full(bracket)) return Decision::kPause;
    return process(bracket, board, moves, trial);
  }

  void on_end(std::uint32_t trial, const Observation*, const Board& board, std::vector<Move>& moves) override {
    HyperBandBracket& bracket = of(trial);
    bracket.remove(trial);
    if (!finished(bracket) && !waits_to_be_full(bracket)) process(bracket, board, moves, kNobody);
  }

  std::optional<std::uint32_t> choose(const Board& board) const override {
    for (const std::vector<HyperBandBracket>& band : bands_) {
      std::vector<const HyperBandBracket*> order;
      order.reserve(band.size());
      for (const HyperBandBracket& bracket : band) order.push_back(&bracket);
      if (!options_.largest_first)
        std::ranges::stable_sort(order, {}, [this](const HyperBandBracket* bracket) { return completion(*bracket); });
      for (const HyperBandBracket* bracket : order) {
        for (const HyperBandMember& member : bracket->live) {
          const TrialState state = board.state(member.trial);
          if (state == TrialState::kPending ||
              (state == TrialState::kPaused && bracket->unpaused.contains(member.trial))) {
            return member.trial;
          }
        }
      }
    }
    return std::nullopt;
  }

  double next(std::uint32_t trial) const override {
    const auto [band, place] = where_.at(trial);
    const HyperBandBracket& bracket = bands_[band][place];
    return !options_.stop_last_trials && bracket.halvings == 0 ? kNever : bracket.milestone;
  }

  // Trials that wait below their milestone, as one does that a restart has put back: they go on. So does a bracket that was to be full.
  bool unblock(const Board& board, std::vector<Move>& moves) override {
    bool changed = false;
    for (std::vector<HyperBandBracket>& band : bands_) {
      for (HyperBandBracket& bracket : band) {
        if (!waits_to_be_full(bracket) || bracket.live.empty() || !bracket.all_are_there()) continue;
        bracket.closed = true;
        process(bracket, board, moves, kNobody);
        changed = true;
      }
    }
    if (changed) return true;
    for (std::vector<HyperBandBracket>& band : bands_) {
      for (HyperBandBracket& bracket : band) {
        for (const HyperBandMember& member : bracket.live) {
          if (board.state(member.trial) == TrialState::kPaused) {
            changed = bracket.unpaused.insert(member.trial).second || changed;
          }
        }
      }
    }
    return changed;
  }

  std::string status() const override {
    std::size_t brackets = 0;
    for (const auto& band : bands_) brackets += band.size();
    std::string text = fmt::format("Using {}: num_stopped={} total_brackets={}",
                                   options_.largest_first ? "HyperBandForBOHB" : "HyperBand", stopped_, brackets);
    for (std::size_t i = 0; i < bands_.size(); ++i) {
      text += fmt::format("\nRound #{}:", i);
      for (const HyperBandBracket& bracket : bands_[i]) {
        text += fmt::format("\n  Bracket(Max Size (n)={}, Milestone (r)={}, completed={:.1f}%): {} alive", bracket.size,
                            bracket.milestone, 100 * completion(bracket), bracket.live.size());
      }
    }
    return text;
  }

 private:
  static constexpr std::uint32_t kNobody = ~std::uint32_t{0};

  HyperBandBracket& of(std::uint32_t trial) {
    const auto [band, place] = where_.at(trial);
    return bands_[band][place];
  }
  bool waits_to_be_full(const HyperBandBracket& bracket) const { return options_.largest_first && !bracket.closed; }
  static bool filled(const HyperBandBracket& bracket) { return bracket.live.size() == bracket.size; }
  bool finished(const HyperBandBracket& bracket) const {
    return options_.stop_last_trials && bracket.halvings == 0 && bracket.all_are_there();
  }
  bool goes_on(const HyperBandBracket& bracket, const HyperBandMember& member) const {
    return (!options_.stop_last_trials && bracket.halvings == 0) || member.time < bracket.milestone;
  }
  double completion(const HyperBandBracket& bracket) const {
    return finished(bracket) ? 1.0 : std::min(bracket.done_work / bracket.total_work, 1.0);
  }

  // n(s) = ceil((s_max + 1) / (s + 1) * eta^s) trials that first run r(s) = max_t / eta^s.
  void open_bracket() {
    const double eta = options_.reduction_factor;
    while (true) {
      if (bands_.empty() || next_in_band_ == brackets_a_band_) {
        bands_.emplace_back();
        next_in_band_ = 0;
      }
      const std::uint64_t place = next_in_band_++;
      const auto s = static_cast<double>(options_.largest_first ? brackets_a_band_ - 1 - place : place);
      const double first = std::trunc(options_.max_t * std::pow(eta, -s));
      if (first == 0) continue;  // too small a bracket
      const double size = std::ceil(static_cast<double>(brackets_a_band_) / (s + 1) * std::pow(eta, s));
      double work = 0, n = size, r = first;
      for (double i = 0; i <= s; ++i) {
        work += n * r;
        n = std::ceil(n / eta);
        r = std::trunc(std::min(r * eta, options_.max_t - first));
      }
      bands_.back().push_back({.size = static_cast<std::uint64_t>(size),
                               .milestone = first,
                               .halvings = static_cast<std::uint64_t>(s),
                               .total_work = std::max(work, 1.0)});
      return;
    }
  }

  // When all are there, the best go on; `current` is the one that runs, whose decision is returned.
  Decision process(HyperBandBracket& bracket, const Board& board, std::vector<Move>& moves, std::uint32_t current) {
    if (!bracket.all_are_there()) return Decision::kPause;
    if (finished(bracket)) {
      stop_all(bracket, board, moves, current);
      return Decision::kStop;
    }
    if (bracket.halvings == 0) return Decision::kContinue;
    --bracket.halvings;
    bracket.size = static_cast<std::uint64_t>(std::ceil(static_cast<double>(bracket.size) / options_.reduction_factor));
    bracket.milestone = std::trunc(std::min(bracket.milestone * options_.reduction_factor, options_.max_t));
    std::vector<HyperBandMember> sorted = bracket.live;
    std::ranges::stable_sort(sorted, {}, &HyperBandMember::score);
    const std::size_t bad = sorted.size() > bracket.size ? sorted.size() - bracket.size : 0;
    Decision decision = Decision::kPause;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      const HyperBandMember& member = sorted[i];
      if (i < bad || (!goes_on(bracket, member) && finished(bracket))) {
        if (i < bad) ++stopped_;
        if (member.trial == current)
          decision = Decision::kStop;
        else
          moves.push_back({.kind = Move::Kind::kStop, .trial = member.trial});
        bracket.remove(member.trial);
      } else if (goes_on(bracket, member)) {
        if (member.trial == current)
          decision = Decision::kContinue;
        else if (board.state(member.trial) == TrialState::kPaused)
          bracket.unpaused.insert(member.trial);
      }
    }
    return decision;
  }

  static void stop_all(HyperBandBracket& bracket, const Board& board, std::vector<Move>& moves, std::uint32_t current) {
    for (const HyperBandMember& member : std::vector<HyperBandMember>(bracket.live)) {
      if (member.trial != current && board.state(member.trial) != TrialState::kPaused) continue;
      if (member.trial != current) moves.push_back({.kind = Move::Kind::kStop, .trial = member.trial});
      bracket.remove(member.trial);
    }
  }

  HyperBandOptions options_;
  std::uint64_t brackets_a_band_;
  std::uint64_t next_in_band_ = 0;  // of the last band: the s of its next bracket
  std::vector<std::vector<HyperBandBracket>> bands_;
  std::unordered_map<std::uint32_t, std::pair<std::size_t, std::size_t>> where_;
  std::uint64_t stopped_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<Scheduler>> hyperband_scheduler(const HyperBandOptions& options) {
  if (!(options.max_t >= 1) || !std::isfinite(options.max_t)) {
    return fail(Code::kInvalidArgument, "max_t={}: at least 1", options.max_t);
  }
  if (!(options.reduction_factor > 1) || !std::isfinite(options.reduction_factor)) {
    return fail(Code::kInvalidArgument, "reduction_factor={}: above 1", options.reduction_factor);
  }
  if (std::log(options.max_t) / std::log(options.reduction_factor) > 60) {
    return fail(Code::kInvalidArgument, "reduction_factor={}: more than 60 halvings up to max_t={}: raise it",
                options.reduction_factor, options.max_t);
  }
  return std::make_unique<HyperBand>(options);
}

}  // namespace daybreak::tune
