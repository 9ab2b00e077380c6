// Pruners: whether a trial that has just reported is worth going on with, by Optuna's rules (its names, its defaults, its decisions).
// They are for one objective. NaN is never better than anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/tune/trials.h"

namespace daybreak::tune {

// Not locked: one thread at a time, which holds the study's lock.
class Pruner {
 public:
  virtual ~Pruner() = default;
  // Asked after a report. kFailedPrecondition with several objectives.
  virtual base::Result<bool> prune(const Trials& trials, std::size_t trial) = 0;
  // What it must not forget of the trial though Trials does not hold it (the rungs it went through, each when it was asked): bytes to
  // keep and to give back when the study is opened again. Empty: nothing.
  virtual std::string kept(std::size_t) const { return {}; }
  // kInvalidArgument for bytes that are none of its own.
  virtual base::Status recall(std::size_t, std::string_view) { return {}; }
};

std::unique_ptr<Pruner> nop_pruner();

struct PercentileOptions {
  double percentile = 50;  // goes on if its best so far is within this part of the complete ones at the step
  std::int64_t startup_trials = 5;
  std::int64_t warmup_steps = 0;
  std::int64_t interval_steps = 1;
  std::int64_t min_trials = 1;  // so many must have reported at the step
};
base::Result<std::unique_ptr<Pruner>> percentile_pruner(const PercentileOptions& options);  // the median by default

struct ThresholdOptions {
  double lower;
  double upper;
  std::int64_t warmup_steps = 0;
  std::int64_t interval_steps = 1;
};
base::Result<std::unique_ptr<Pruner>> threshold_pruner(const ThresholdOptions& options);

struct HalvingOptions {
  std::optional<std::int64_t> min_resource;  // none: a hundredth of the complete ones' last step
  std::int64_t reduction_factor = 4;
  std::int64_t min_early_stopping_rate = 0;
  std::int64_t bootstrap_count = 0;
};
base::Result<std::unique_ptr<Pruner>> successive_halving_pruner(const HalvingOptions& options);

struct HyperbandPrunerOptions {
  std::string study_name;  // it and the trial's number say which bracket
  std::int64_t min_resource = 1;
  std::optional<std::int64_t> max_resource;  // none: one more than the complete ones' last step, once there are some
  std::int64_t reduction_factor = 3;
  std::int64_t bootstrap_count = 0;
};
base::Result<std::unique_ptr<Pruner>> hyperband_pruner(const HyperbandPrunerOptions& options);

// Asks `wrapped` (null: prunes) once the last `patience` + 1 reports have not been better by min_delta than those before.
base::Result<std::unique_ptr<Pruner>> patient_pruner(std::unique_ptr<Pruner> wrapped, std::int64_t patience,
                                                     double min_delta);

// Wilcoxon's signed-rank test against the best trial, on the steps that both have.
struct WilcoxonOptions {
  double p_threshold = 0.1;
  std::int64_t startup_steps = 2;
};
base::Result<std::unique_ptr<Pruner>> wilcoxon_pruner(const WilcoxonOptions& options);

// The probability under the null hypothesis that the positive differences' ranks have at least this sum; zeros are split. Exact for up
// to 50 differences without ties and 13 with, else by the normal approximation. 1 for no differences.
double wilcoxon_greater(std::span<const double> differences);

}  // namespace daybreak::tune
