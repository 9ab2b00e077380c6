#include "daybreak/tune/samplers/tpe.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "daybreak/tune/hypervolume.h"
#include "daybreak/tune/parzen.h"
#include "daybreak/tune/samplers/spaces.h"

namespace daybreak::tune {
namespace {

constexpr std::uint32_t kMaxCandidates = 1u << 16;
constexpr std::size_t kMostGood = 25;         // of one objective
constexpr std::size_t kMaxDensities = 4'096;  // pairs kept; a space of ever new ranges would make ever more
constexpr double kTpeInfinity = std::numeric_limits<double>::infinity();

enum class Role : std::uint8_t { kNone, kGood, kBad, kRunning };

// The trials that may be good, best first. Of one objective only so many as ever will be are kept.
class TpeRanking {
 public:
  void add(double first, double second, std::uint32_t trial, std::size_t keep) {
    const Entry entry = {first, second, trial};
    entries_.insert(std::ranges::upper_bound(entries_, entry, {}), entry);
    if (entries_.size() > keep) entries_.pop_back();
    ++count_;
  }
  std::size_t take(std::size_t wanted, std::vector<std::uint32_t>& into) const {
    const std::size_t taken = std::min(wanted, entries_.size());
    for (std::size_t k = 0; k < taken; ++k) into.push_back(entries_[k].trial);
    return wanted - taken;
  }

 private:
  struct Entry {
    double first;
    double second;
    std::uint32_t trial;
    auto operator<=>(const Entry&) const = default;
  };
  std::vector<Entry> entries_;
  std::size_t count_ = 0;
};

// The densities of the good and of the others over some parameters.
struct TpeDensities {
  std::vector<Parameter> parameters;
  Parzen good;
  Parzen bad;
  std::vector<Role> where = {};  // by trial
  std::size_t seen = 0;          // of the changes
};

class TpeSampler final : public Sampler {
 public:
  explicit TpeSampler(const TpeOptions& options) : options_(options) {}

  std::vector<Parameter> joint(const Trials& trials, std::size_t) override {
    read_finished(trials);
    if (usable_ < options_.startup_trials) return {};
    if (!multivariate(trials)) return {};
    if (!options_.group) return common_.of(trials);
    std::vector<Parameter> all;
    for (const std::vector<Parameter>& part : groups_.of(trials)) all.insert(all.end(), part.begin(), part.end());
    sort_by_name(trials, all);
    return all;
  }

  base::Result<Sample> sample(const Trials& trials, std::size_t trial, std::span<const Parameter> parameters) override {
    Sample found;
    found.values.resize(parameters.size());
    read(trials, trial);
    if (usable_ < options_.startup_trials) {
      for (std::size_t k = 0; k < parameters.size(); ++k) {
        found.values[k] = drawn(options_.seed, trial, trials.name(parameters[k].column), parameters[k].distribution);
      }
    } else {
      for (const std::vector<std::size_t>& part : parts(trials, parameters)) {
        std::vector<Parameter> together;
        together.reserve(part.size());
        for (const std::size_t k : part) together.push_back(parameters[k]);
        const std::vector<double> values = suggested(trials, trial, together);
        for (std::size_t k = 0; k < part.size(); ++k) found.values[part[k]] = values[k];
      }
    }
    if (options_.constant_liar) found.note = note_of_values(parameters, found.values);
    return found;
  }

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    read(trials, trial);
    if (usable_ < options_.startup_trials) {
      return drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution);
    }
    return suggested(trials, trial, {parameter})[0];
  }

 private:
  bool multivariate(const Trials& trials) const {
    return options_.multivariate.value_or(options_.group || trials.directions().size() == 1);
  }

  // Indices into the parameters, of those that are sampled together.
  std::vector<std::vector<std::size_t>> parts(const Trials& trials, std::span<const Parameter> parameters) {
    std::vector<std::vector<std::size_t>> found;
    std::vector<bool> taken(parameters.size());
    if (options_.group) {
      for (const std::vector<Parameter>& part : groups_.of(trials)) {
        std::vector<std::size_t>& together = found.emplace_back();
        for (std::size_t k = 0; k < parameters.size(); ++k) {
          if (taken[k] || std::ranges::find(part, parameters[k].column, &Parameter::column) == part.end()) continue;
          together.push_back(k);
          taken[k] = true;
        }
        if (together.empty()) found.pop_back();
      }
    }
    std::vector<std::size_t> rest;
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      if (!taken[k]) rest.push_back(k);
    }
    if (!rest.empty()) found.push_back(std::move(rest));
    return found;
  }

  void become(std::uint32_t trial, Role role) {
    if (roles_[trial] == role) return;
    roles_[trial] = role;
    changed_.push_back(trial);
  }

  void read_finished(const Trials& trials) {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    if (roles_.size() < trials.size()) roles_.resize(trials.size(), Role::kNone);
    for (; seen_ < finished.size(); ++seen_) {
      const std::uint32_t trial = finished[seen_];
      const State state = trials.state(trial);
      if (state == State::kFailed) {
        become(trial, Role::kNone);
        continue;
      }
      ++usable_;
      become(trial, Role::kBad);
      rank(trials, trial);
      new_ranks_ = true;
    }
  }

  void rank(const Trials& trials, std::uint32_t trial) {
    const bool one = trials.directions().size() == 1;
    const std::size_t keep = one ? kMostGood : std::numeric_limits<std::size_t>::max();
    const double sign = trials.directions()[0] == Direction::kMaximize ? -1 : 1;
    if (trials.violation(trial) > 0) {
      infeasible_.add(trials.violation(trial), 0, trial, keep);
    } else if (trials.state(trial) == State::kComplete) {
      if (one) complete_.add(sign * trials.values(trial)[0], 0, trial, keep);
      if (!one) feasible_.insert(std::ranges::upper_bound(feasible_, trial), trial);
    } else if (trials.reports(trial).empty()) {
      pruned_.add(1, 0, trial, keep);
    } else {
      const Report& last = trials.reports(trial).back();
      pruned_.add(-static_cast<double>(last.step), std::isnan(last.value) ? kTpeInfinity : sign * last.value, trial,
                  keep);
    }
  }

  void read(const Trials& trials, std::size_t trial) {
    read_finished(trials);
    if (new_ranks_) split(trials);
    new_ranks_ = false;
    for (; opened_ < trials.size(); ++opened_) open_.push_back(static_cast<std::uint32_t>(opened_));
    std::erase_if(open_, [&trials](std::uint32_t one) { return finished(trials.state(one)); });
    if (!options_.constant_liar) return;
    for (const std::uint32_t one : open_) {
      become(one, one != trial && trials.state(one) == State::kRunning ? Role::kRunning : Role::kNone);
    }
  }

  // Who is good.
  void split(const Trials& trials) {
    const auto tenth = (usable_ + 9) / 10;
    const bool one = trials.directions().size() == 1;
    std::vector<std::uint32_t> good;
    std::size_t left = one ? std::min(tenth, kMostGood) : tenth;
    if (one) {
      left = complete_.take(left, good);
    } else {
      good = best_of_fronts(losses(trials), trials.directions().size(), left);
      for (std::uint32_t& place : good) place = feasible_[place];
      left -= good.size();
    }
    left = pruned_.take(left, good);
    infeasible_.take(left, good);
    std::ranges::sort(good);
    for (const std::uint32_t trial : good_) {
      if (!std::ranges::binary_search(good, trial)) become(trial, Role::kBad);
    }
    for (const std::uint32_t trial : good) become(trial, Role::kGood);
    good_ = std::move(good);
  }

  std::vector<double> losses(const Trials& trials) const {
    std::vector<double> found;
    for (const std::uint32_t trial : feasible_) {
      const std::span<const double> values = trials.values(trial);
      for (std::size_t k = 0; k < values.size(); ++k) {
        found.push_back(trials.directions()[k] == Direction::kMaximize ? -values[k] : values[k]);
      }
    }
    return found;
  }

  TpeDensities& densities(const Trials& trials, const std::vector<Parameter>& parameters) {
    std::vector<std::uint32_t> key;
    key.reserve(parameters.size());
    for (const Parameter& parameter : parameters) key.push_back(parameter.column);
    const auto same = [&parameters](const TpeDensities& one) {
      return std::ranges::equal(one.parameters, parameters, [](const Parameter& a, const Parameter& b) {
        return a.column == b.column && a.distribution == b.distribution;
      });
    };
    if (densities_count_ >= kMaxDensities) {
      densities_.clear();
      densities_count_ = 0;
    }
    std::vector<TpeDensities>& of_key = densities_[key];
    auto found = std::ranges::find_if(of_key, same);
    if (found == of_key.end()) {
      std::vector<Distribution> distributions;
      distributions.reserve(parameters.size());
      for (const Parameter& parameter : parameters) distributions.push_back(parameter.distribution);
      const auto rule = trials.directions().size() == 1 ? Parzen::Weights::kOldLess : Parzen::Weights::kEqual;
      of_key.push_back({.parameters = parameters,
                        .good = Parzen(distributions, rule),
                        .bad = Parzen(distributions, Parzen::Weights::kOldLess)});
      ++densities_count_;
      found = of_key.end() - 1;
    }
    follow(trials, *found);
    return *found;
  }

  void follow(const Trials& trials, TpeDensities& densities) {
    densities.where.resize(roles_.size(), Role::kNone);
    std::vector<double> values;
    for (; densities.seen < changed_.size(); ++densities.seen) {
      const std::uint32_t trial = changed_[densities.seen];
      Role& where = densities.where[trial];
      const Role role = roles_[trial];
      if (where == role) continue;
      // What a running one was about to use need not be what it used.
      if (where == Role::kGood) densities.good.erase(trial);
      if (where == Role::kBad || where == Role::kRunning) densities.bad.erase(trial);
      where = role;
      if (role == Role::kNone || !values_of(trials, trial, densities.parameters, values)) continue;
      (role == Role::kGood ? densities.good : densities.bad).insert(trial, values);
    }
    for (const std::uint32_t trial : open_) {  // those that have got their parameters since
      if (roles_[trial] != Role::kRunning || densities.bad.contains(trial)) continue;
      if (values_of(trials, trial, densities.parameters, values)) densities.bad.insert(trial, values);
    }
  }

  static bool values_of(const Trials& trials, std::uint32_t trial, const std::vector<Parameter>& parameters,
                        std::vector<double>& values) {
    values.clear();
    for (const Parameter& parameter : parameters) {
      double value = trials.parameter(trial, parameter.column);
      if (std::isnan(value) && !finished(trials.state(trial))) {
        value = value_in_note(trials.note(trial), parameter.column);
      }
      if (std::isnan(value)) return false;
      values.push_back(value);
    }
    return true;
  }

  std::vector<double> suggested(const Trials& trials, std::size_t trial, const std::vector<Parameter>& parameters) {
    TpeDensities& densities = this->densities(trials, parameters);
    Keyed random(options_.seed, trial, "tpe " + trials.name(parameters[0].column));
    const std::vector<double> points = densities.good.drawn(random, options_.candidates);
    std::vector<double> good(options_.candidates);
    std::vector<double> bad(options_.candidates);
    densities.good.log_densities(points, good);
    densities.bad.log_densities(points, bad);
    std::size_t best = 0;
    for (std::size_t k = 1; k < good.size(); ++k) {
      if (good[k] - bad[k] > good[best] - bad[best]) best = k;
    }
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(best * parameters.size());
    return {begin, begin + static_cast<std::ptrdiff_t>(parameters.size())};
  }

  TpeOptions options_;
  CommonSpace common_{true};
  GroupedSpaces groups_{true};
  std::size_t seen_ = 0;    // of the finished
  std::size_t usable_ = 0;  // complete or pruned
  TpeRanking complete_;
  TpeRanking pruned_;
  TpeRanking infeasible_;
  std::vector<std::uint32_t> feasible_;  // complete ones, of several objectives
  bool new_ranks_ = false;
  std::vector<std::uint32_t> good_;  // ascending
  std::size_t opened_ = 0;
  std::vector<std::uint32_t> open_;  // not finished
  std::vector<Role> roles_;
  std::vector<std::uint32_t> changed_;  // trials, whenever what they are changed
  std::map<std::vector<std::uint32_t>, std::vector<TpeDensities>> densities_;
  std::size_t densities_count_ = 0;
};

}  // namespace

std::string note_of_values(std::span<const Parameter> parameters, std::span<const double> values) {
  std::string note(parameters.size() * (sizeof(std::uint32_t) + sizeof(double)), '\0');
  char* at = note.data();
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    std::memcpy(at, &parameters[k].column, sizeof(std::uint32_t));
    std::memcpy(at + sizeof(std::uint32_t), &values[k], sizeof(double));
    at += sizeof(std::uint32_t) + sizeof(double);
  }
  return note;
}

double value_in_note(std::string_view note, std::uint32_t column) {
  constexpr std::size_t kEntry = sizeof(std::uint32_t) + sizeof(double);
  for (; note.size() >= kEntry; note.remove_prefix(kEntry)) {
    std::uint32_t named = 0;
    std::memcpy(&named, note.data(), sizeof(named));
    double value = 0;
    std::memcpy(&value, note.data() + sizeof(named), sizeof(value));
    if (named == column) return value;
  }
  return Trials::kAbsent;
}

base::Result<std::unique_ptr<Sampler>> tpe_sampler(const TpeOptions& options) {
  if (options.candidates < 1 || options.candidates > kMaxCandidates) {
    return base::fail(base::Code::kInvalidArgument, "n_ei_candidates={}: 1 to {}", options.candidates, kMaxCandidates);
  }
  if (options.group && options.multivariate.has_value() && !*options.multivariate) {
    return base::fail(base::Code::kInvalidArgument,
                      "group=True with multivariate=False: groups are sampled together; leave multivariate out");
  }
  return std::make_unique<TpeSampler>(options);
}

}  // namespace daybreak::tune
