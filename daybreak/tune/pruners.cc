#include "daybreak/tune/pruners.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <unordered_map>
#include <utility>
#include <vector>

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

constexpr double kPrunerNaN = std::numeric_limits<double>::quiet_NaN();

base::Status one_objective(const Trials& trials) {
  if (trials.directions().size() == 1) return {};
  return fail(Code::kFailedPrecondition, "pruning with {} objectives: reports are of one; leave the pruner out",
              trials.directions().size());
}

bool maximized(const Trials& trials) {
  return trials.directions()[0] == Direction::kMaximize;
}

base::Status at_least(std::string_view name, std::int64_t value, std::int64_t least) {
  if (value >= least) return {};
  return fail(Code::kInvalidArgument, "{}={}: at least {}", name, value, least);
}

// NaN where all are.
double best_report(std::span<const Report> reports, bool maximize) {
  double best = kPrunerNaN;
  for (const Report& report : reports) {
    if (std::isnan(report.value)) continue;
    if (std::isnan(best) || (maximize ? report.value > best : report.value < best)) best = report.value;
  }
  return best;
}

// Whether the last report is the first one since the last multiple of the interval.
bool first_in_interval(std::span<const Report> reports, std::int64_t warmup, std::int64_t interval) {
  const std::int64_t step = reports.back().step;
  const std::int64_t begin = (step - warmup) / interval * interval + warmup;
  const std::int64_t before = reports.size() > 1 ? std::max<std::int64_t>(reports[reports.size() - 2].step, -1) : -1;
  return before < begin;
}

class NopPruner final : public Pruner {
 public:
  base::Result<bool> prune(const Trials&, std::size_t) override { return false; }
};

class PercentilePruner final : public Pruner {
 public:
  explicit PercentilePruner(const PercentileOptions& options) : options_(options) {}

  base::Result<bool> prune(const Trials& trials, std::size_t trial) override {
    DAYBREAK_TRY(one_objective(trials));
    read(trials);
    if (complete_ == 0 || complete_ < options_.startup_trials) return false;
    const std::span<const Report> reports = trials.reports(trial);
    if (reports.empty() || reports.back().step < options_.warmup_steps) return false;
    if (!first_in_interval(reports, options_.warmup_steps, options_.interval_steps)) return false;
    const double best = best_report(reports, maximized(trials));
    if (std::isnan(best)) return true;
    const auto found = steps_.find(reports.back().step);
    if (found == steps_.end() || found->second.count < options_.min_trials) return false;
    const double limit =
        percentile(found->second.sorted, maximized(trials) ? 100 - options_.percentile : options_.percentile);
    return maximized(trials) ? best < limit : best > limit;  // neither with NaN
  }

 private:
  struct AtStep {
    std::int64_t count = 0;      // NaN included
    std::vector<double> sorted;  // without
  };

  void read(const Trials& trials) {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; seen_ < finished.size(); ++seen_) {
      if (trials.state(finished[seen_]) != State::kComplete) continue;
      ++complete_;
      for (const Report& report : trials.reports(finished[seen_])) {
        AtStep& at = steps_[report.step];
        ++at.count;
        if (!std::isnan(report.value))
          at.sorted.insert(std::ranges::upper_bound(at.sorted, report.value), report.value);
      }
    }
  }

  // Between neighbours linearly, from the nearer one, as numpy does.
  static double percentile(const std::vector<double>& sorted, double percent) {
    if (sorted.empty()) return kPrunerNaN;
    const double place = static_cast<double>(sorted.size() - 1) * (percent / 100);
    const auto below = static_cast<std::size_t>(place);
    if (below + 1 >= sorted.size()) return sorted.back();
    const double share = place - static_cast<double>(below);
    const double gap = sorted[below + 1] - sorted[below];
    return share >= 0.5 ? sorted[below + 1] - gap * (1 - share) : sorted[below] + gap * share;
  }

  PercentileOptions options_;
  std::size_t seen_ = 0;
  std::int64_t complete_ = 0;
  std::unordered_map<std::int64_t, AtStep> steps_;
};

class ThresholdPruner final : public Pruner {
 public:
  explicit ThresholdPruner(const ThresholdOptions& options) : options_(options) {}

  base::Result<bool> prune(const Trials& trials, std::size_t trial) override {
    DAYBREAK_TRY(one_objective(trials));
    const std::span<const Report> reports = trials.reports(trial);
    if (reports.empty() || reports.back().step < options_.warmup_steps) return false;
    if (!first_in_interval(reports, options_.warmup_steps, options_.interval_steps)) return false;
    const double value = reports.back().value;
    return !(value >= options_.lower && value <= options_.upper);
  }

 private:
  ThresholdOptions options_;
};

// Rung k of a trial is where it was asked first at a step of min_resource * factor^(rate + k) or later.
class HalvingPruner final : public Pruner {
 public:
  explicit HalvingPruner(const HalvingOptions& options) : options_(options), least_(options.min_resource) {}

  base::Result<bool> prune(const Trials& trials, std::size_t trial) override {
    DAYBREAK_TRY(one_objective(trials));
    const std::span<const Report> reports = trials.reports(trial);
    if (reports.empty()) return false;
    if (!least_) least_ = estimated(trials);
    if (!least_) return false;
    const Report& last = reports.back();
    while (true) {
      const std::size_t rung = passed_[trial].size();
      const double step = static_cast<double>(*least_) *
                          std::pow(static_cast<double>(options_.reduction_factor),
                                   static_cast<double>(options_.min_early_stopping_rate) + static_cast<double>(rung));
      if (static_cast<double>(last.step) < step) return false;
      if (std::isnan(last.value)) return true;
      add(trial, last.value);
      const std::vector<double>& competing = rungs_[rung];
      if (static_cast<std::int64_t>(competing.size()) <= options_.bootstrap_count) return true;
      const std::size_t promoted =
          std::max<std::size_t>(competing.size() / static_cast<std::size_t>(options_.reduction_factor), 1);
      const bool goes_on = maximized(trials) ? last.value >= competing[competing.size() - promoted]
                                             : last.value <= competing[promoted - 1];
      if (!goes_on) return true;
    }
  }

  std::string kept(std::size_t trial) const override {
    const auto found = passed_.find(trial);
    if (found == passed_.end()) return {};
    std::string bytes(found->second.size() * sizeof(double), '\0');
    std::memcpy(bytes.data(), found->second.data(), bytes.size());
    return bytes;
  }

  base::Status recall(std::size_t trial, std::string_view kept) override {
    if (kept.size() % sizeof(double) != 0) {
      return fail(Code::kInvalidArgument, "trial {}: {} bytes are no rungs of {} each", trial, kept.size(),
                  sizeof(double));
    }
    for (std::size_t rung = passed_[trial].size(); rung < kept.size() / sizeof(double); ++rung) {
      double value = 0;
      std::memcpy(&value, kept.data() + rung * sizeof(double), sizeof(double));
      if (std::isnan(value)) return fail(Code::kInvalidArgument, "trial {}: rung {} is NaN", trial, rung);
      add(trial, value);
    }
    return {};
  }

 private:
  void add(std::size_t trial, double value) {
    std::vector<double>& passed = passed_[trial];
    if (passed.size() == rungs_.size()) rungs_.emplace_back();
    std::vector<double>& rung = rungs_[passed.size()];
    rung.insert(std::ranges::upper_bound(rung, value), value);
    passed.push_back(value);
  }

  static std::optional<std::int64_t> estimated(const Trials& trials) {
    std::optional<std::int64_t> last;
    for (const std::uint32_t one : trials.finished_in_order()) {
      if (trials.state(one) != State::kComplete || trials.reports(one).empty()) continue;
      last = std::max(last.value_or(trials.reports(one).back().step), trials.reports(one).back().step);
    }
    if (!last) return {};
    return std::max<std::int64_t>(*last / 100, 1);
  }

  HalvingOptions options_;
  std::optional<std::int64_t> least_;
  std::unordered_map<std::size_t, std::vector<double>> passed_;  // by trial: its values, rung by rung
  std::vector<std::vector<double>> rungs_;                       // ascending
};

// The checksum that zlib and Python's binascii have.
std::uint32_t zip_crc32(std::string_view text) {
  std::uint32_t crc = ~0U;
  for (const char byte : text) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0);
  }
  return ~crc;
}

class HyperbandPruner final : public Pruner {
 public:
  explicit HyperbandPruner(const HyperbandPrunerOptions& options) : options_(options), most_(options.max_resource) {
    if (most_) make_brackets();
  }

  base::Result<bool> prune(const Trials& trials, std::size_t trial) override {
    DAYBREAK_TRY(one_objective(trials));
    if (brackets_.empty() && !estimate(trials)) return false;
    return brackets_[bracket(trial)].prune(trials, trial);
  }

  std::string kept(std::size_t trial) const override {
    return brackets_.empty() ? std::string() : brackets_[bracket(trial)].kept(trial);
  }

  base::Status recall(std::size_t trial, std::string_view kept) override {
    if (brackets_.empty()) {
      waiting_.emplace_back(trial, kept);
      return {};
    }
    return brackets_[bracket(trial)].recall(trial, kept);
  }

 private:
  bool estimate(const Trials& trials) {
    for (const std::uint32_t one : trials.finished_in_order()) {
      if (trials.state(one) != State::kComplete || trials.reports(one).empty()) continue;
      most_ = std::max(most_.value_or(0), trials.reports(one).back().step + 1);
    }
    if (!most_) return false;
    make_brackets();
    for (const auto& [trial, kept] : std::exchange(waiting_, {})) {
      if (!brackets_[bracket(trial)].recall(trial, kept)) return false;
    }
    return true;
  }

  void make_brackets() {
    const auto factor = static_cast<double>(options_.reduction_factor);
    const double ratio = static_cast<double>(*most_) / static_cast<double>(options_.min_resource);
    // As Python's math.log(ratio, factor), whose rounding decides on whole powers.
    const double count = std::max(std::floor(std::log(ratio) / std::log(factor)) + 1, 1.0);
    for (double k = 0; k < count; ++k) {
      const double s = count - 1 - k;
      budgets_.push_back(static_cast<std::uint64_t>(std::ceil(count * std::pow(factor, s) / (s + 1))));
      brackets_.emplace_back(HalvingOptions{.min_resource = options_.min_resource,
                                            .reduction_factor = options_.reduction_factor,
                                            .min_early_stopping_rate = static_cast<std::int64_t>(k),
                                            .bootstrap_count = options_.bootstrap_count});
    }
  }

  std::size_t bracket(std::size_t trial) const {
    std::uint64_t total = 0;
    for (const std::uint64_t budget : budgets_) total += budget;
    std::uint64_t place = zip_crc32(fmt::format("{}_{}", options_.study_name, trial)) % total;
    std::size_t found = 0;
    while (place >= budgets_[found]) place -= budgets_[found++];
    return found;
  }

  HyperbandPrunerOptions options_;
  std::optional<std::int64_t> most_;
  std::vector<std::uint64_t> budgets_;
  std::vector<HalvingPruner> brackets_;
  std::vector<std::pair<std::size_t, std::string>> waiting_;  // recalled before the brackets are known
};

class PatientPruner final : public Pruner {
 public:
  PatientPruner(std::unique_ptr<Pruner> wrapped, std::int64_t patience, double min_delta)
      : wrapped_(std::move(wrapped)), patience_(patience), min_delta_(min_delta) {}

  base::Result<bool> prune(const Trials& trials, std::size_t trial) override {
    DAYBREAK_TRY(one_objective(trials));
    const std::span<const Report> reports = trials.reports(trial);
    if (static_cast<std::int64_t>(reports.size()) <= patience_ + 1) return false;
    const std::size_t recent = static_cast<std::size_t>(patience_) + 1;
    const double before = best_report(reports.first(reports.size() - recent), maximized(trials));
    const double after = best_report(reports.last(recent), maximized(trials));
    const bool stuck = maximized(trials) ? before - min_delta_ > after : before + min_delta_ < after;
    if (!stuck) return false;
    return wrapped_ == nullptr ? true : wrapped_->prune(trials, trial);
  }
  std::string kept(std::size_t trial) const override {
    return wrapped_ == nullptr ? std::string() : wrapped_->kept(trial);
  }
  base::Status recall(std::size_t trial, std::string_view kept) override {
    if (wrapped_ == nullptr) return {};
    return wrapped_->recall(trial, kept);
  }

 private:
  std::unique_ptr<Pruner> wrapped_;
  std::int64_t patience_;
  double min_delta_;
};

class WilcoxonPruner final : public Pruner {
 public:
  explicit WilcoxonPruner(const WilcoxonOptions& options) : options_(options) {}

  base::Result<bool> prune(const Trials& trials, std::size_t trial) override {
    DAYBREAK_TRY(one_objective(trials));
    const std::span<const Report> reports = trials.reports(trial);
    read(trials);
    if (reports.empty() || !best_ || !usable(reports)) return false;
    const std::span<const Report> best = trials.reports(*best_);
    if (best.empty() || !usable(best)) return false;
    const double sign = maximized(trials) ? -1 : 1;
    std::vector<double> differences;
    for (const Report& report : reports) {
      const auto other = std::ranges::lower_bound(best, report.step, {}, &Report::step);
      if (other != best.end() && other->step == report.step)
        differences.push_back(sign * (report.value - other->value));
    }
    if (static_cast<std::int64_t>(differences.size()) < std::max<std::int64_t>(2, options_.startup_steps)) return false;
    if (sign * mean(best) >= sign * mean(reports)) return false;
    return wilcoxon_greater(differences) < options_.p_threshold;
  }

 private:
  void read(const Trials& trials) {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; seen_ < finished.size(); ++seen_) {
      const std::uint32_t one = finished[seen_];
      if (trials.state(one) != State::kComplete || trials.violation(one) > 0) continue;
      const double value = trials.values(one)[0];
      const double known = best_ ? trials.values(*best_)[0] : 0;
      if (!best_ || (maximized(trials) ? value > known : value < known)) best_ = one;
    }
  }
  static bool usable(std::span<const Report> reports) {
    return std::ranges::all_of(reports, [](const Report& report) { return std::isfinite(report.value); });
  }
  static double mean(std::span<const Report> reports) {
    double sum = 0;
    for (const Report& report : reports) sum += report.value;
    return sum / static_cast<double>(reports.size());
  }

  WilcoxonOptions options_;
  std::size_t seen_ = 0;
  std::optional<std::uint32_t> best_;
};

base::Status check_interval(std::int64_t warmup, std::int64_t interval) {
  DAYBREAK_TRY(at_least("n_warmup_steps", warmup, 0));
  return at_least("interval_steps", interval, 1);
}

base::Status check_halving(std::int64_t min_resource, std::int64_t factor, std::int64_t rate, std::int64_t bootstrap,
                           bool resource_known) {
  DAYBREAK_TRY(at_least("min_resource", min_resource, 1));
  DAYBREAK_TRY(at_least("reduction_factor", factor, 2));
  DAYBREAK_TRY(at_least("min_early_stopping_rate", rate, 0));
  DAYBREAK_TRY(at_least("bootstrap_count", bootstrap, 0));
  if (bootstrap > 0 && !resource_known) {
    return fail(Code::kInvalidArgument,
                "bootstrap_count={} with a resource that is 'auto': give the resource as a number", bootstrap);
  }
  return {};
}

}  // namespace

double wilcoxon_greater(std::span<const double> differences) {
  const std::size_t n = differences.size();
  if (n == 0) return 1;
  std::vector<double> sizes;
  for (const double difference : differences) sizes.push_back(std::abs(difference));
  std::ranges::sort(sizes);
  // Four times each rank: whole numbers also of ties and of halves of zeros' ranks.
  std::vector<std::size_t> signed_ranks;
  std::size_t observed = 0;
  std::size_t fixed = 0;
  bool tied = false;
  double tie_correction = 0;
  for (const double difference : differences) {
    const auto [begin, end] = std::ranges::equal_range(sizes, std::abs(difference));
    const auto first = static_cast<std::size_t>(begin - sizes.begin());
    const auto last = static_cast<std::size_t>(end - sizes.begin());
    const std::size_t rank = 2 * (first + 1 + last);
    const auto together = static_cast<double>(last - first);
    tied = tied || last - first > 1 || difference == 0;
    tie_correction += together * together - 1;  // over each tie: t^3 - t
    if (difference == 0) fixed += rank / 2;
    if (difference != 0) signed_ranks.push_back(rank);
    if (difference > 0) observed += rank;
  }
  if (n > 50 || (tied && n > 13)) {
    const auto count = static_cast<double>(n);
    const double mean = count * (count + 1) / 4;
    const double deviation = std::sqrt((count * (count + 1) * (2 * count + 1) - tie_correction / 2) / 24);
    const double sum = static_cast<double>(observed + fixed) / 4;
    return 0.5 * std::erfc((sum - mean) / deviation / std::numbers::sqrt2);
  }
  std::size_t total = 0;
  for (const std::size_t rank : signed_ranks) total += rank;
  std::vector<double> ways(total + 1);  // sums of the ranks' subsets
  ways[0] = 1;
  for (const std::size_t rank : signed_ranks) {
    for (std::size_t sum = total; sum >= rank; --sum) ways[sum] += ways[sum - rank];
  }
  double above = 0;
  for (std::size_t sum = observed; sum <= total; ++sum) above += ways[sum];
  return above / std::exp2(static_cast<double>(signed_ranks.size()));
}

std::unique_ptr<Pruner> nop_pruner() {
  return std::make_unique<NopPruner>();
}

base::Result<std::unique_ptr<Pruner>> percentile_pruner(const PercentileOptions& options) {
  if (!(options.percentile >= 0 && options.percentile <= 100)) {
    return fail(Code::kInvalidArgument, "percentile={}: 0 to 100", options.percentile);
  }
  DAYBREAK_TRY(at_least("n_startup_trials", options.startup_trials, 0));
  DAYBREAK_TRY(check_interval(options.warmup_steps, options.interval_steps));
  DAYBREAK_TRY(at_least("n_min_trials", options.min_trials, 1));
  return std::make_unique<PercentilePruner>(options);
}

base::Result<std::unique_ptr<Pruner>> threshold_pruner(const ThresholdOptions& options) {
  if (!(options.lower <= options.upper)) {
    return fail(Code::kInvalidArgument, "lower={} is above upper={}: swap them", options.lower, options.upper);
  }
  DAYBREAK_TRY(check_interval(options.warmup_steps, options.interval_steps));
  return std::make_unique<ThresholdPruner>(options);
}

base::Result<std::unique_ptr<Pruner>> successive_halving_pruner(const HalvingOptions& options) {
  DAYBREAK_TRY(check_halving(options.min_resource.value_or(1), options.reduction_factor,
                             options.min_early_stopping_rate, options.bootstrap_count,
                             options.min_resource.has_value()));
  return std::make_unique<HalvingPruner>(options);
}

base::Result<std::unique_ptr<Pruner>> hyperband_pruner(const HyperbandPrunerOptions& options) {
  DAYBREAK_TRY(check_halving(options.min_resource, options.reduction_factor, 0, options.bootstrap_count,
                             options.max_resource.has_value()));
  if (options.max_resource && *options.max_resource < options.min_resource) {
    return fail(Code::kInvalidArgument, "max_resource={} is below min_resource={}: swap them", *options.max_resource,
                options.min_resource);
  }
  return std::make_unique<HyperbandPruner>(options);
}

base::Result<std::unique_ptr<Pruner>> patient_pruner(std::unique_ptr<Pruner> wrapped, std::int64_t patience,
                                                     double min_delta) {
  DAYBREAK_TRY(at_least("patience", patience, 0));
  if (!(min_delta >= 0)) return fail(Code::kInvalidArgument, "min_delta={}: 0 or more", min_delta);
  return std::make_unique<PatientPruner>(std::move(wrapped), patience, min_delta);
}

base::Result<std::unique_ptr<Pruner>> wilcoxon_pruner(const WilcoxonOptions& options) {
  if (!(options.p_threshold >= 0 && options.p_threshold <= 1)) {
    return fail(Code::kInvalidArgument, "p_threshold={}: 0 to 1", options.p_threshold);
  }
  DAYBREAK_TRY(at_least("n_startup_steps", options.startup_steps, 0));
  return std::make_unique<WilcoxonPruner>(options);
}

}  // namespace daybreak::tune
