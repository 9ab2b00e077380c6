#include "daybreak/tune/trials.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace daybreak::tune {

using base::Code;
using base::fail;

std::span<const double> Trials::values(std::size_t trial) const {
  if (!has_values_[trial]) return {};
  return std::span(values_).subspan(trial * directions_.size(), directions_.size());
}

double Trials::parameter(std::size_t trial, std::uint32_t column) const {
  for (const Given& given : given_[trial]) {
    if (given.column == column) return given.value;
  }
  return kAbsent;
}

std::uint32_t Trials::column(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? kNoColumn : found->second;
}

std::uint32_t Trials::add(State state) {
  const auto number = static_cast<std::uint32_t>(states_.size());
  states_.push_back(state);
  values_.resize(values_.size() + directions_.size(), kAbsent);
  has_values_.push_back(0);
  violations_.push_back(kAbsent);
  reports_.emplace_back();
  given_.emplace_back();
  notes_.emplace_back();
  if (finished(state)) finished_.push_back(number);
  return number;
}

std::uint32_t Trials::add_column(std::string_view name) {
  if (const auto known = by_name_.find(name); known != by_name_.end()) return known->second;
  by_name_.emplace(name, columns());
  names_.emplace_back(name);
  return columns() - 1;
}

base::Status Trials::open(std::size_t trial) const {
  if (trial >= size()) return fail(Code::kNotFound, "trial {}: there are {}", trial, size());
  if (finished(states_[trial])) {
    return fail(Code::kFailedPrecondition, "trial {} is finished: it does not change any more", trial);
  }
  return {};
}

base::Status Trials::give(std::size_t trial, std::uint32_t column, double value, const Distribution& distribution,
                          bool outside) {
  DAYBREAK_TRY(open(trial));
  const bool may_be_outside = outside && !distribution.categorical() && std::isfinite(value);
  if (!may_be_outside && !distribution.contains(value)) {
    return fail(Code::kInvalidArgument, "{}={}: not in {}", names_[column], value, distribution.to_string());
  }
  for (const Given& given : given_[trial]) {
    if (given.column != column) continue;
    if (given.value == value && given.distribution == distribution) return {};
    return fail(Code::kFailedPrecondition, "trial {} has {}={} already", trial, names_[column], given.value);
  }
  // As many as the trial before had: most have the same ones, and growth one by one costs three allocations.
  if (given_[trial].empty() && trial > 0) given_[trial].reserve(given_[trial - 1].size());
  given_[trial].push_back({.column = column, .value = value, .distribution = distribution});
  return {};
}

base::Status Trials::report(std::size_t trial, std::int64_t step, double value, bool replace) {
  DAYBREAK_TRY(open(trial));
  std::vector<Report>& reports = reports_[trial];
  const auto place = std::ranges::lower_bound(reports, step, {}, &Report::step);
  if (place == reports.end() || place->step != step) {
    reports.insert(place, {.step = step, .value = value});
  } else if (replace) {
    place->value = value;
  }
  return {};
}

base::Status Trials::constrain(std::size_t trial, double violation) {
  DAYBREAK_TRY(open(trial));
  if (std::isnan(violation)) return fail(Code::kInvalidArgument, "trial {}: a constraint is NaN", trial);
  violations_[trial] = violation;
  return {};
}

base::Status Trials::set_note(std::size_t trial, std::string note) {
  DAYBREAK_TRY(open(trial));
  notes_[trial] = std::move(note);
  return {};
}

base::Status Trials::check_values(std::size_t trial, State state, std::span<const double> values) const {
  if (!values.empty() && values.size() != directions_.size()) {
    return fail(Code::kInvalidArgument, "trial {}: {} values for {} directions", trial, values.size(),
                directions_.size());
  }
  if (state == State::kComplete && values.empty()) {
    return fail(Code::kInvalidArgument, "trial {} is complete and has no value: tell one, or that it failed", trial);
  }
  if (std::ranges::any_of(values, [](double value) { return std::isnan(value); })) {
    return fail(Code::kInvalidArgument, "trial {}: a value is NaN, which is never best: tell that it failed", trial);
  }
  return {};
}

base::Status Trials::move(std::size_t trial, State state, std::span<const double> values) {
  DAYBREAK_TRY(open(trial));
  DAYBREAK_TRY(check_values(trial, state, values));
  std::ranges::copy(values, values_.begin() + static_cast<std::ptrdiff_t>(trial * directions_.size()));
  has_values_[trial] = values.empty() ? 0 : 1;
  states_[trial] = state;
  if (finished(state)) finished_.push_back(static_cast<std::uint32_t>(trial));
  return {};
}

}  // namespace daybreak::tune
