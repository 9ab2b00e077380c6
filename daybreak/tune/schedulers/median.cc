#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

// A trial's results in the order of their times, with sums of the scores so far, so that a mean is two searches.
struct MedianHistory {
  std::vector<double> times = {};
  std::vector<long double> sums = {0};
  double best = -Scheduler::kNever;
  double last = -Scheduler::kNever;
  double paused = -Scheduler::kNever;

  void add(const Observation& seen) {
    times.push_back(std::max(seen.time, times.empty() ? seen.time : times.back()));
    sums.push_back(sums.back() + static_cast<long double>(seen.score));
    if (seen.score > best) best = seen.score;
    last = seen.time;
  }
  // Of the results in [from, to]; NaN for none.
  double mean(double from, double to) const {
    const auto begin = std::ranges::lower_bound(times, from) - times.begin();
    const auto end = std::ranges::upper_bound(times, to) - times.begin();
    if (begin >= end) return std::nan("");
    return static_cast<double>((sums[static_cast<std::size_t>(end)] - sums[static_cast<std::size_t>(begin)]) /
                               static_cast<long double>(end - begin));
  }
};

class Median final : public Scheduler {
 public:
  explicit Median(const MedianOptions& options) : options_(options) {}

  void on_add(std::uint32_t) override {}

  Decision on_result(std::uint32_t trial, const Observation& seen, const Board& board, std::vector<Move>&) override {
    if (stopped_.contains(trial)) return Decision::kContinue;  // softly: it goes on when there is room
    MedianHistory& own = of_[trial];
    own.add(seen);
    if (seen.time < options_.grace_period) return Decision::kContinue;
    std::vector<double> means;
    for (const auto& [other, history] : of_) {
      if (other == trial || history.last < seen.time) continue;
      const double mean = history.mean(options_.grace_period, seen.time);
      if (std::isfinite(mean)) means.push_back(mean);
    }
    if (means.size() < options_.min_samples_required || means.empty()) {
      const bool others_wait = board.first(TrialState::kPending) || board.first(TrialState::kPaused);
      if (!others_wait || seen.time - own.paused <= options_.min_time_slice) return Decision::kContinue;
      own.paused = seen.time;
      return Decision::kPause;
    }
    if (!(median(means) > own.best)) return Decision::kContinue;
    stopped_.insert(trial);
    return options_.hard_stop ? Decision::kStop : Decision::kPause;
  }

  void on_end(std::uint32_t trial, const Observation* last, const Board&, std::vector<Move>&) override {
    if (last != nullptr) of_[trial].add(*last);
  }

  std::optional<std::uint32_t> choose(const Board& board) const override { return first_that_waits(board); }
  double next(std::uint32_t trial) const override { return stopped_.contains(trial) ? kNever : options_.grace_period; }
  std::string status() const override {
    return fmt::format("Using MedianStoppingRule: num_stopped={}.", stopped_.size());
  }

 private:
  static double median(std::vector<double>& values) {
    std::ranges::sort(values);
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  }

  MedianOptions options_;
  std::map<std::uint32_t, MedianHistory> of_;
  std::set<std::uint32_t> stopped_;
};

}  // namespace

base::Result<std::unique_ptr<Scheduler>> median_scheduler(const MedianOptions& options) {
  if (!(options.grace_period >= 0) || !std::isfinite(options.grace_period)) {
    return fail(Code::kInvalidArgument, "grace_period={}: not negative", options.grace_period);
  }
  if (!(options.min_time_slice >= 0)) {
    return fail(Code::kInvalidArgument, "min_time_slice={}: not negative", options.min_time_slice);
  }
  return std::make_unique<Median>(options);
}

}  // namespace daybreak::tune
