#include "daybreak/tune/python/scheduler_factory.h"

#include <fmt/format.h>
#include <nanobind/nanobind.h>

#include <string_view>
#include <utility>

#include "daybreak/base/bind.h"

namespace base = daybreak::base;
namespace tune = daybreak::tune;

namespace {

// The options of a scheduler, of which each is a number; what is not asked for is a mistake of ours.
class SchedulerNumbers {
 public:
  explicit SchedulerNumbers(const std::map<std::string, double>& numbers) : numbers_(numbers) {}
  template <typename T>
  void take(const char* name, T& value) {
    if (const auto found = numbers_.find(name); found != numbers_.end()) value = static_cast<T>(found->second);
  }

 private:
  const std::map<std::string, double>& numbers_;
};

// "low NAME" and "high NAME", by name.
std::vector<tune::PbtBound> bounds_of(const std::map<std::string, double>& numbers) {
  constexpr std::string_view kLow = "low ";
  std::vector<tune::PbtBound> bounds;
  for (const auto& [key, low] : numbers) {
    if (!key.starts_with(kLow)) continue;
    const std::string name = key.substr(kLow.size());
    const auto high = numbers.find("high " + name);
    if (high != numbers.end()) bounds.push_back({.name = name, .low = low, .high = high->second});
  }
  if (bounds.empty()) {
    base::raise(base::Error(base::Code::kInvalidArgument, "hyperparam_bounds={}: name at least one"));
  }
  return bounds;
}

}  // namespace

namespace daybreak::tune::python {

std::unique_ptr<Scheduler> scheduler_of(const std::string& name, const std::map<std::string, double>& given) {
  SchedulerNumbers numbers(given);
  if (name.empty()) return nullptr;
  if (name == "fifo") return tune::fifo_scheduler();
  if (name == "asha") {
    tune::AshaOptions options;
    numbers.take("max_t", options.max_t);
    numbers.take("grace_period", options.grace_period);
    numbers.take("reduction_factor", options.reduction_factor);
    numbers.take("brackets", options.brackets);
    numbers.take("stop_last_trials", options.stop_last_trials);
    numbers.take("promotes", options.promotes);
    numbers.take("seed", options.seed);
    return base::value_or_raise(tune::asha_scheduler(options));
  }
  if (name == "hyperband" || name == "bohb") {
    tune::HyperBandOptions options;
    options.largest_first = name == "bohb";
    numbers.take("max_t", options.max_t);
    numbers.take("reduction_factor", options.reduction_factor);
    numbers.take("stop_last_trials", options.stop_last_trials);
    return base::value_or_raise(tune::hyperband_scheduler(options));
  }
  if (name == "median") {
    tune::MedianOptions options;
    numbers.take("grace_period", options.grace_period);
    numbers.take("min_samples_required", options.min_samples_required);
    numbers.take("min_time_slice", options.min_time_slice);
    numbers.take("hard_stop", options.hard_stop);
    return base::value_or_raise(tune::median_scheduler(options));
  }
  if (name == "pbt" || name == "pb2") {
    tune::PbtOptions options;
    if (name == "pb2") options.bounds = bounds_of(given);
    numbers.take("perturbation_interval", options.perturbation_interval);
    numbers.take("burn_in_period", options.burn_in_period);
    numbers.take("quantile_fraction", options.quantile_fraction);
    numbers.take("synch", options.synch);
    numbers.take("seed", options.seed);
    return base::value_or_raise(tune::pbt_scheduler(options));
  }
  base::raise(
      base::Error(base::Code::kInvalidArgument,
                  fmt::format("scheduler '{}': fifo, asha, hyperband, bohb, median, pbt, pb2", name.substr(0, 80))));
}

}  // namespace daybreak::tune::python
