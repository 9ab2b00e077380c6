#include "daybreak/tune/samplers/spaces.h"

#include <algorithm>

namespace daybreak::tune {
namespace {

bool counts_for_space(const Trials& trials, std::uint32_t trial, bool with_pruned) {
  return trials.state(trial) == State::kComplete || (with_pruned && trials.state(trial) == State::kPruned);
}

const Given* given_for(std::span<const Given> given, std::uint32_t column) {
  const auto found = std::ranges::find(given, column, &Given::column);
  return found == given.end() ? nullptr : &*found;
}

}  // namespace

void sort_by_name(const Trials& trials, std::vector<Parameter>& parameters) {
  std::ranges::sort(parameters, {}, [&trials](const Parameter& parameter) { return trials.name(parameter.column); });
}

std::vector<Parameter> CommonSpace::of(const Trials& trials) {
  const std::span<const std::uint32_t> finished = trials.finished_in_order();
  for (; seen_ < finished.size(); ++seen_) {
    if (!counts_for_space(trials, finished[seen_], with_pruned_)) continue;
    const std::span<const Given> given = trials.given(finished[seen_]);
    if (!common_) {
      common_.emplace();
      for (const Given& one : given) common_->push_back({.column = one.column, .distribution = one.distribution});
      sort_by_name(trials, *common_);
      continue;
    }
    std::erase_if(*common_, [given](const Parameter& parameter) {
      const Given* one = given_for(given, parameter.column);
      return one == nullptr || !(one->distribution == parameter.distribution);
    });
  }
  std::vector<Parameter> found;
  if (!common_) return found;
  for (const Parameter& parameter : *common_) {
    if (!parameter.distribution.single()) found.push_back(parameter);
  }
  return found;
}

std::vector<std::vector<Parameter>> GroupedSpaces::of(const Trials& trials) {
  const std::span<const std::uint32_t> finished = trials.finished_in_order();
  for (; seen_ < finished.size(); ++seen_) {
    if (!counts_for_space(trials, finished[seen_], with_pruned_)) continue;
    std::vector<Parameter> left;
    for (const Given& one : trials.given(finished[seen_])) {
      left.push_back({.column = one.column, .distribution = one.distribution});
    }
    sort_by_name(trials, left);
    std::vector<std::vector<Parameter>> next;
    for (const std::vector<Parameter>& part : parts_) {
      std::vector<Parameter> in;
      std::vector<Parameter> out;
      for (const Parameter& parameter : part) {
        const auto place = std::ranges::find(left, parameter.column, &Parameter::column);
        (place == left.end() ? out : in).push_back(parameter);
        if (place != left.end()) left.erase(place);
      }
      if (!in.empty()) next.push_back(std::move(in));
      if (!out.empty()) next.push_back(std::move(out));
    }
    if (!left.empty()) next.push_back(std::move(left));
    parts_ = std::move(next);
  }
  std::vector<std::vector<Parameter>> found;
  for (const std::vector<Parameter>& part : parts_) {
    std::vector<Parameter> several;
    for (const Parameter& parameter : part) {
      if (!parameter.distribution.single()) several.push_back(parameter);
    }
    if (!several.empty()) found.push_back(std::move(several));
  }
  return found;
}

}  // namespace daybreak::tune
