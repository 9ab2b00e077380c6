#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <unordered_set>

#include "daybreak/tune/keyed.h"
#include "daybreak/tune/scheduler.h"
#include "daybreak/tune/schedulers/quantile.h"

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

struct AshaRung {
  double milestone;
  Quantile cutoff;
  std::unordered_set<std::uint32_t> recorded = {};
};

// The rungs of one, the highest first.
using AshaBracket = std::vector<AshaRung>;

class Asha final : public Scheduler {
 public:
  explicit Asha(const AshaOptions& options) : options_(options) {
    // As numpy has it: the percentile first, then a hundredth of it.
    const double fraction = (1 - 1 / options.reduction_factor) * 100 / 100;
    for (std::uint32_t s = 0; s < options.brackets; ++s) {
      AshaBracket& bracket = brackets_.emplace_back();
      double milestone = options.grace_period;
      for (std::uint32_t k = 0; k < s; ++k) milestone *= options.reduction_factor;
      // In products, which of whole numbers are exact: the quotient of two logarithms loses the top rung of 1, 10, 100, 1000.
      for (; milestone <= options.max_t; milestone *= options.reduction_factor) {
        bracket.insert(bracket.begin(), {.milestone = milestone, .cutoff = Quantile(fraction)});
      }
    }
  }

  void on_add(std::uint32_t trial) override {
    if (of_.size() <= trial) of_.resize(trial + 1, 0);
    of_[trial] = drawn_bracket(trial);
    time_.resize(of_.size(), kAlways);
  }

  Decision on_result(std::uint32_t trial, const Observation& seen, const Board&, std::vector<Move>&) override {
    time_[trial] = std::max(time_[trial], seen.time);
    if (seen.time >= options_.max_t && options_.stop_last_trials) {
      ++stopped_;
      return Decision::kStop;
    }
    const Decision decision = recorded(trial, seen);
    if (decision == Decision::kStop) ++stopped_;
    return decision;
  }

  void on_end(std::uint32_t trial, const Observation* last, const Board&, std::vector<Move>&) override {
    if (last != nullptr) recorded(trial, *last);
  }

  std::optional<std::uint32_t> choose(const Board& board) const override { return first_that_waits(board); }
  bool in_order() const override { return true; }

  double next(std::uint32_t trial) const override {
    double soonest = options_.stop_last_trials ? options_.max_t : kNever;
    for (const AshaRung& rung : brackets_[of_[trial]]) {
      if (rung.recorded.contains(trial)) {
        if (!options_.stop_last_trials) break;
        continue;
      }
      if (rung.milestone <= time_[trial]) return kAlways;  // one that was skipped: the next result is ranked there
      soonest = std::min(soonest, rung.milestone);
    }
    return soonest;
  }

  std::string status() const override {
    std::string text = fmt::format("Using AsyncHyperBand: num_stopped={}", stopped_);
    for (const AshaBracket& bracket : brackets_) {
      text += "\nBracket:";
      for (const AshaRung& rung : bracket) {
        const std::optional<double> cutoff = rung.cutoff.value();
        text += fmt::format("{} Iter {:.3f}: {}", &rung == bracket.data() ? "" : " |", rung.milestone,
                            cutoff ? fmt::format("{}", *cutoff) : "None");
      }
    }
    return text;
  }

 private:
  // Softmax of the numbers of rungs.
  std::uint32_t drawn_bracket(std::uint32_t trial) const {
    const auto most = static_cast<double>(brackets_.front().size());  // a later bracket has fewer
    double sum = 0;
    for (const AshaBracket& bracket : brackets_) sum += std::exp(static_cast<double>(bracket.size()) - most);
    double left = Keyed(options_.seed, trial, "asha bracket").uniform() * sum;
    for (std::uint32_t i = 0; i < brackets_.size(); ++i) {
      left -= std::exp(static_cast<double>(brackets_[i].size()) - most);
      if (left < 0) return i;
    }
    return static_cast<std::uint32_t>(brackets_.size() - 1);
  }

  // At the highest rung that it has reached and has no record at; what is not worse than the cutoff goes on, NaN too (it is no cutoff).
  Decision recorded(std::uint32_t trial, const Observation& seen) {
    for (AshaRung& rung : brackets_[of_[trial]]) {
      if (seen.time < rung.milestone) continue;
      if (rung.recorded.contains(trial)) {
        if (!options_.stop_last_trials) break;  // what was decided higher up holds
        continue;
      }
      const std::optional<double> cutoff = rung.cutoff.value();
      rung.recorded.insert(trial);
      rung.cutoff.add(seen.score);
      return cutoff && seen.score < *cutoff ? Decision::kStop : Decision::kContinue;
    }
    return Decision::kContinue;
  }

  AshaOptions options_;
  std::vector<AshaBracket> brackets_;
  std::vector<std::uint32_t> of_;  // a trial's bracket
  std::vector<double> time_;       // the last that was seen of a trial
  std::uint64_t stopped_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<Scheduler>> asha_scheduler(const AshaOptions& options) {
  if (!(options.grace_period > 0)) {
    return fail(Code::kInvalidArgument, "grace_period={}: above 0", options.grace_period);
  }
  if (!(options.max_t >= options.grace_period)) {
    return fail(Code::kInvalidArgument, "max_t={} is below grace_period={}: no trial would reach a rung", options.max_t,
                options.grace_period);
  }
  if (!(options.reduction_factor > 1) || !std::isfinite(options.reduction_factor)) {
    return fail(Code::kInvalidArgument, "reduction_factor={}: above 1", options.reduction_factor);
  }
  if (std::log(options.max_t / options.grace_period) / std::log(options.reduction_factor) > 1000) {
    return fail(Code::kInvalidArgument, "reduction_factor={}: more than 1,000 rungs up to max_t={}: raise it",
                options.reduction_factor, options.max_t);
  }
  if (options.brackets < 1 || options.brackets > 100) {
    return fail(Code::kInvalidArgument, "brackets={}: 1 to 100", options.brackets);
  }
  if (options.promotes && (options.brackets != 1 || !options.stop_last_trials)) {
    return fail(Code::kInvalidArgument,
                "promotes with brackets={} and stop_last_trials={}: it has one bracket, to max_t", options.brackets,
                options.stop_last_trials);
  }
  if (options.promotes) return promoting_asha(options);
  return std::make_unique<Asha>(options);
}

}  // namespace daybreak::tune
