#include "daybreak/tune/study.h"

#include <algorithm>
#include <cmath>

#include "daybreak/base/json.h"
#include "daybreak/base/log.h"

namespace daybreak::tune {

using base::Code;
using base::fail;
using base::MutexLock;
using base::Result;
using base::Status;
using store::Durability;

namespace {

constexpr std::string_view kSeedAttribute = "daybreak:seed";
constexpr std::string_view kFixedAttribute = "fixed_params";  // Optuna's name for it
constexpr std::int64_t kReapEveryNs = 1'000'000'000;

// What a person has enqueued for the name, as the distribution has it; nothing when it is not among them.
Result<std::optional<double>> fixed_value(const std::string& fixed_json, const std::string& name,
                                          const Distribution& distribution, const std::string& options_json) {
  DAYBREAK_ASSIGN(const base::Json fixed, base::parse_json(fixed_json));
  const auto found = fixed.is_object() ? fixed.find(name) : fixed.end();
  if (found == fixed.end()) return std::nullopt;
  if (distribution.categorical()) {
    DAYBREAK_ASSIGN(const base::Json options, base::parse_json(options_json));
    for (const bool exactly : {true, false}) {  // 1, 1.0 and true are three options, or one's other spelling
      for (std::size_t i = 0; options.is_array() && i < options.size(); ++i) {
        if (exactly ? options[i].dump() == found->dump() : options[i] == *found) return static_cast<double>(i);
      }
    }
    return fail(Code::kInvalidArgument, "'{}' was enqueued as {}, which is none of its options {}", name, found->dump(),
                options.dump().substr(0, 200));
  }
  if (!found->is_number() && !found->is_boolean()) {
    return fail(Code::kInvalidArgument, "'{}' was enqueued as {}: a number is needed for {}", name, found->dump(),
                distribution.to_string());
  }
  const double value = found->is_boolean() ? (found->get<bool>() ? 1 : 0) : found->get<double>();
  if (distribution.kind() == Distribution::Kind::kInt && value != std::round(value)) {
    return fail(Code::kInvalidArgument, "'{}' was enqueued as {}: a whole number is needed for {}", name, value,
                distribution.to_string());
  }
  if (!distribution.contains(value)) {
    base::log_warn("a parameter was enqueued with a value that is not in its distribution, and has it",
                   {{"name", name}, {"value", value}, {"distribution", distribution.to_string()}});
  }
  return value;
}

// Whether a's values are better: none is worse and one is better.
bool dominates(std::span<const double> a, std::span<const double> b, const std::vector<Direction>& directions) {
  bool better = false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double sign = directions[i] == Direction::kMaximize ? -1 : 1;
    if (sign * a[i] > sign * b[i]) return false;
    better |= sign * a[i] < sign * b[i];
  }
  return better;
}

// In lexicographic order: what dominates precedes what it dominates.
bool precedes(std::span<const double> a, std::span<const double> b, const std::vector<Direction>& directions) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double sign = directions[i] == Direction::kMaximize ? -1 : 1;
    if (a[i] != b[i]) return sign * a[i] < sign * b[i];
  }
  return false;
}

bool is_candidate(const Trials& trials, std::uint32_t number) {
  return trials.state(number) == State::kComplete && !(trials.violation(number) > 0);
}

}  // namespace

Study::Study(std::shared_ptr<Storage> storage, StudyOptions options, std::uint64_t id)
    : storage_(std::move(storage)), options_(std::move(options)), id_(id) {}

Result<std::unique_ptr<Study>> Study::create(std::shared_ptr<Storage> storage, StudyOptions options) {
  if (options.dead_trials != State::kWaiting && options.dead_trials != State::kFailed) {
    return fail(Code::kInvalidArgument, "dead_trials: kWaiting or kFailed");
  }
  const auto made = storage->create_study(options.name, options.directions);
  if (!made && (made.error().code() != Code::kAlreadyExists || !options.load_if_exists)) {
    return std::unexpected(made.error());
  }
  if (!made) return load(std::move(storage), std::move(options));
  std::unique_ptr<Study> study(new Study(std::move(storage), std::move(options), *made));
  DAYBREAK_TRY(study->begin());
  return study;
}

Result<std::unique_ptr<Study>> Study::load(std::shared_ptr<Storage> storage, StudyOptions options) {
  DAYBREAK_ASSIGN(const auto found,
                  storage->read([&](const StudiesState& all) { return all.study_of_name(options.name); }));
  if (!found) return std::unexpected(found.error());
  std::unique_ptr<Study> study(new Study(std::move(storage), std::move(options), *found));
  DAYBREAK_TRY(study->begin());
  return study;
}

Status Study::begin() {
  std::string seed;
  DAYBREAK_ASSIGN(const auto about, read([&](const StudyState& state) {
                    const std::string* const kept = state.attribute(kSeedAttribute, true);
                    if (kept != nullptr) seed = *kept;
                    return std::pair(state.name, state.trials.directions());
                  }));
  std::tie(name_, directions_) = about;
  if (options_.seed) {
    seed_ = *options_.seed;
  } else if (!seed.empty()) {
    DAYBREAK_ASSIGN(const base::Json kept, base::parse_json(seed));
    seed_ = kept.is_number_unsigned() ? kept.get<std::uint64_t>() : 0;
  } else {
    seed_ = base::Env::real().random_u64();
  }
  if (seed.empty()) {
    ChangeStudyRecord change{static_cast<std::uint32_t>(id_),
                             {{std::string(kSeedAttribute), std::to_string(seed_), true}}};
    DAYBREAK_TRY(storage_->submit(std::move(change)));
  }
  MutexLock lock(mutex_);
  sampler_ = options_.sampler ? options_.sampler(seed_) : random_sampler({.seed = seed_});
  prune_ = options_.prune;
  if (options_.pruner) {
    DAYBREAK_ASSIGN(auto made, options_.pruner(name_));
    pruner_ = std::make_unique<JournaledPruner>(std::move(made));
  }
  return {};
}

void Study::set_prune(Prune prune) {
  MutexLock lock(mutex_);
  prune_ = std::move(prune);
}

void Study::set_sampler(std::unique_ptr<Sampler> sampler) {
  MutexLock lock(mutex_);
  sampler_ = std::move(sampler);
}

Result<std::vector<std::uint32_t>> Study::reap() {
  return storage_->reap(id_, options_.dead_trials);
}

// Two processes that see one waiting trial both try to claim it: the journal's order says who has it, the other tries the next.
Result<Asked> Study::claim_or_make() {
  while (true) {
    DAYBREAK_ASSIGN(const auto waits, read([](const StudyState& state) -> std::optional<Asked> {
                      if (state.waiting.empty()) return std::nullopt;
                      return Asked{state.facts[*state.waiting.begin()].id, *state.waiting.begin()};
                    }));
    TrialChange change;
    change.state = State::kRunning;
    change.started_ns = storage_->now_ns();
    if (waits) {
      const auto claimed = storage_->change_trial(waits->id, std::move(change), options_.ask_durability);
      if (claimed) return *waits;
      const Code code = claimed.error().code();
      if (code != Code::kAborted && code != Code::kFailedPrecondition) return std::unexpected(claimed.error());
      if (code == Code::kFailedPrecondition) DAYBREAK_TRY(storage_->read([](const StudiesState&) { return 0; }));
      continue;
    }
    DAYBREAK_ASSIGN(const std::uint64_t id, storage_->create_trial(static_cast<std::uint32_t>(id_), std::move(change),
                                                                   options_.ask_durability));
    const auto place = storage_->seen([&](const StudiesState& all) { return all.place(id); });
    DAYBREAK_TRY(place);
    return Asked{id, place->number};
  }
}

// What the sampler gives together, if anything.
Result<Study::Joint> Study::sampled(Sampler& sampler, const StudyState& state, std::uint32_t number) {
  Joint joint;
  joint.parameters = sampler.joint(state.trials, number);
  if (joint.parameters.empty()) return joint;
  DAYBREAK_ASSIGN(joint.sample, sampler.sample(state.trials, number, joint.parameters));
  return joint;
}

Status Study::keep(const Asked& trial, Result<Joint> sampled) {
  DAYBREAK_TRY(sampled);
  if (sampled->parameters.empty()) return {};
  std::string note = std::move(sampled->sample.note);
  {
    MutexLock lock(mutex_);
    joint_.insert_or_assign(trial.number, *std::move(sampled));
  }
  if (note.empty()) return {};
  TrialChange noted;
  noted.note = std::move(note);
  return change(trial, std::move(noted), Durability::kWritten);
}

Status Study::prepare(const Asked& trial) {
  Result<Joint> joint = [&] {
    MutexLock lock(mutex_);
    Sampler& sampler = *sampler_;
    return storage_->seen([&](const StudiesState& all) -> Result<Joint> {
      const StudyState* const state = all.study(id_);
      if (state == nullptr) return fail(Code::kNotFound, "the study '{}' was deleted", name_);
      return sampled(sampler, *state, trial.number);
    });
  }();
  return keep(trial, std::move(joint));
}

Result<Asked> Study::ask() {
  Asked trial;
  Status prepared;
  if (storage_->is_in_memory()) {
    Result<Joint> joint;
    {
      MutexLock lock(mutex_);
      Sampler& sampler = *sampler_;
      DAYBREAK_ASSIGN(const auto started,
                      storage_->start_in_memory(id_, [&](const StudyState& state, std::uint32_t number) {
                        joint = sampled(sampler, state, number);
                      }));
      trial = {started.first, started.second};
    }
    prepared = keep(trial, std::move(joint));
  } else {
    const std::int64_t now = storage_->monotonic_ns();
    std::int64_t last = reaped_ns_.load();
    if ((last == 0 || now - last > kReapEveryNs) && reaped_ns_.compare_exchange_strong(last, now)) {
      DAYBREAK_TRY(reap());
    }
    DAYBREAK_ASSIGN(trial, claim_or_make());
    prepared = prepare(trial);
  }
  if (!prepared) {
    std::ignore = tell(trial, State::kFailed);  // the first error is the one to tell
    return std::unexpected(std::move(prepared).error());
  }
  return trial;
}

Result<Study::AskedValues> Study::ask(std::span<const Space> space) {
  DAYBREAK_ASSIGN(const Asked trial, ask());
  std::vector<double> values;
  TrialChange given;
  {
    MutexLock lock(mutex_);
    for (const Space& one : space) {
      DAYBREAK_ASSIGN(const Choice chosen, choice(trial, one));
      values.push_back(chosen.value);
      if (chosen.is_given) continue;
      given.parameters.push_back(
          {one.name, chosen.value, one.distribution, chosen.needs_options ? one.options : std::string()});
    }
  }
  if (!given.parameters.empty()) DAYBREAK_TRY(change(trial, std::move(given), options_.ask_durability));
  return std::pair(trial, std::move(values));
}

Result<std::vector<Study::AskedValues>> Study::ask_many(std::size_t count, std::span<const Space> space) {
  std::vector<Storage::Body> bodies;
  bodies.reserve(count);
  TrialChange start;
  start.state = State::kRunning;
  start.started_ns = storage_->now_ns();
  for (std::size_t i = 0; i < count; ++i)
    bodies.emplace_back(std::in_place_type<CreateTrialRecord>, static_cast<std::uint32_t>(id_), start);
  const Durability made_for = space.empty() ? options_.ask_durability : Durability::kWritten;
  DAYBREAK_ASSIGN(const auto made, storage_->submit_all(std::move(bodies), made_for));
  std::vector<AskedValues> asked;
  asked.reserve(count);
  for (const Storage::Outcome& id : made) {
    DAYBREAK_TRY(id);
    const auto place = storage_->seen([&](const StudiesState& all) { return all.place(*id); });
    DAYBREAK_TRY(place);
    asked.push_back({Asked{*id, place->number}, {}});
  }
  if (Status filled = fill(asked, space); !filled) {
    for (const auto& [trial, values] : asked) std::ignore = tell(trial, State::kFailed);  // nobody will run them
    return std::unexpected(std::move(filled).error());
  }
  return asked;
}

Status Study::fill(std::vector<AskedValues>& asked, std::span<const Space> space) {
  std::vector<Storage::Body> bodies;
  bodies.reserve(asked.size());
  for (auto& [trial, values] : asked) {
    DAYBREAK_TRY(prepare(trial));
    MutexLock lock(mutex_);
    TrialChange given;
    for (const Space& one : space) {
      DAYBREAK_ASSIGN(const Choice chosen, choice(trial, one));
      values.push_back(chosen.value);
      given.parameters.push_back(
          {one.name, chosen.value, one.distribution, chosen.needs_options ? one.options : std::string()});
    }
    bodies.emplace_back(ChangeTrialRecord{trial.id, std::move(given)});
  }
  if (space.empty()) return {};
  DAYBREAK_ASSIGN(const auto given, storage_->submit_all(std::move(bodies), options_.ask_durability));
  for (const Storage::Outcome& one : given) DAYBREAK_TRY(one);
  return {};
}

Result<Study::Choice> Study::choice(const Asked& trial, const Space& space) {
  const Choosing choosing{*sampler_, joint_};
  const auto study = static_cast<std::uint32_t>(id_);
  return storage_->seen_column(study, space.name, [&](const StudyState* state, std::uint32_t column) {
    return choose(choosing, state, column, trial, space.name, space.distribution, space.options);
  });
}

// A name, what it has by now, what was enqueued, what was sampled with others, what is sampled for it alone: the first that there is.
Result<Study::Choice> Study::choose(const Choosing& choosing, const StudyState* state, std::uint32_t column,
                                    const Asked& trial, const std::string& name, const Distribution& distribution,
                                    const std::string& options) {
  if (state == nullptr) return fail(Code::kNotFound, "the study was deleted");
  const StudyState::Column& known = state->columns[column];
  Choice chosen;
  chosen.needs_options = known.options != options;  // said once, or refused
  for (const Given& given : state->trials.given(trial.number)) {
    if (given.column != column) continue;
    if (!given.distribution.compatible(distribution)) break;  // refused when it is given
    if (!options.empty() && known.options != options) break;
    chosen.value = given.value;
    chosen.is_given = true;
    return chosen;
  }
  const TrialFacts& facts = state->facts[trial.number];
  if (!facts.attributes.empty()) {
    if (const std::string* const fixed = facts.attribute(kFixedAttribute, true); fixed != nullptr) {
      DAYBREAK_ASSIGN(const std::optional<double> value,
                      fixed_value(*fixed, name, distribution, options.empty() ? known.options : options));
      if (value) {
        chosen.value = *value;
        return chosen;
      }
    }
  }
  if (const auto joint = choosing.joints.find(trial.number); joint != choosing.joints.end()) {
    const std::vector<Parameter>& parameters = joint->second.parameters;
    const auto found = std::ranges::find(parameters, column, &Parameter::column);
    if (found != parameters.end()) {
      const double value = joint->second.sample.values[static_cast<std::size_t>(found - parameters.begin())];
      if (found->distribution.compatible(distribution) && distribution.contains(value)) {
        chosen.value = value;
        return chosen;
      }
    }
  }
  DAYBREAK_ASSIGN(chosen.value, choosing.sampler.sample_one(state->trials, trial.number, {column, distribution}));
  return chosen;
}

Result<double> Study::suggest(const Asked& trial, Space space) {
  if (storage_->is_in_memory()) {
    MutexLock lock(mutex_);
    const Choosing choosing{*sampler_, joint_};
    Suggested suggested{std::move(space.name), 0, space.distribution, std::move(space.options)};
    return storage_->suggest_in_memory(
        static_cast<std::uint32_t>(id_), trial.number, std::move(suggested),
        [&](const StudyState* state, std::uint32_t column, Suggested& to_give) -> Result<bool> {
          DAYBREAK_ASSIGN(const Choice chosen,
                          choose(choosing, state, column, trial, to_give.name, to_give.distribution, to_give.options));
          to_give.value = chosen.value;
          return chosen.is_given;
        });
  }
  Choice chosen;
  {
    MutexLock lock(mutex_);
    DAYBREAK_ASSIGN(chosen, choice(trial, space));
  }
  if (chosen.is_given) return chosen.value;
  TrialChange given;
  given.parameters.push_back({std::move(space.name), chosen.value, space.distribution,
                              chosen.needs_options ? std::move(space.options) : std::string()});
  DAYBREAK_TRY(change(trial, std::move(given), Durability::kWritten));
  return chosen.value;
}

Status Study::change(const Asked& trial, TrialChange change, Durability durability) {
  return storage_->change_trial(trial.id, std::move(change), durability);
}

Status Study::report(const Asked& trial, double value, std::int64_t step) {
  if (directions_.size() > 1) {
    return fail(Code::kInvalidArgument, "a report of a study with {} objectives: pruning needs exactly one",
                directions_.size());
  }
  const bool is_there = storage_->seen([&](const StudiesState& all) {
    const StudyState* const state = all.study(id_);
    if (state == nullptr || finished(state->trials.state(trial.number))) return false;  // refused below
    const auto reports = state->trials.reports(trial.number);
    return std::ranges::binary_search(reports, step, {}, &Report::step);
  });
  if (is_there) return {};
  TrialChange reported;
  reported.reports.push_back({.step = step, .value = value});
  return change(trial, std::move(reported), Durability::kWritten);
}

Result<bool> Study::should_prune(const Asked& trial) {
  if (directions_.size() > 1) {
    return fail(Code::kInvalidArgument, "pruning in a study with {} objectives: it needs exactly one",
                directions_.size());
  }
  MutexLock lock(mutex_);
  if (!prune_ && pruner_ != nullptr) {
    JournaledPruner& pruner = *pruner_;
    DAYBREAK_ASSIGN(auto decided, read([&](const StudyState& state) { return pruner.prune(state, trial.number); }));
    DAYBREAK_ASSIGN(JournaledPruner::Decision decision, std::move(decided));
    if (decision.kept) {
      DAYBREAK_TRY(set_attribute(trial, std::move(*decision.kept)));
    }
    return decision.prune;
  }
  if (!prune_) return false;
  const Prune prune = prune_;  // the analysis does not see that the lambda runs under the lock
  DAYBREAK_ASSIGN(auto pruned, read([&](const StudyState& state) { return prune(state.trials, trial.number); }));
  return pruned;
}

Status Study::set_violation(const Asked& trial, double violation) {
  TrialChange told;
  told.violation = std::max(violation, 0.0);
  if (std::isnan(violation)) told.violation = violation;  // refused
  return change(trial, std::move(told), Durability::kWritten);
}

Status Study::set_attribute(const Asked& trial, Attribute attribute) {
  TrialChange told;
  told.attributes.push_back(std::move(attribute));
  return change(trial, std::move(told), Durability::kWritten);
}

Status Study::tell(const Asked& trial, State state, std::span<const double> values) {
  if (!finished(state)) {
    return fail(Code::kInvalidArgument, "trial {}: a trial is told to be complete, pruned or failed", trial.number);
  }
  if (state == State::kFailed && !values.empty()) {
    return fail(Code::kInvalidArgument, "trial {} failed and has {} values: a failed one has none", trial.number,
                values.size());
  }
  std::optional<double> last;
  if (state == State::kPruned && values.empty() && directions_.size() == 1) {
    last = storage_->seen([&](const StudiesState& all) -> std::optional<double> {
      const StudyState* const of = all.study(id_);
      const auto reports = of == nullptr ? std::span<const Report>() : of->trials.reports(trial.number);
      if (reports.empty() || std::isnan(reports.back().value)) return std::nullopt;
      return reports.back().value;
    });
    if (last) values = std::span(&*last, 1);
  }
  if (storage_->is_in_memory()) {
    DAYBREAK_TRY(storage_->finish_in_memory(trial.id, state, values));
  } else {
    TrialChange end;
    end.state = state;
    end.values.assign(values.begin(), values.end());
    end.finished_ns = storage_->now_ns();
    DAYBREAK_TRY(change(trial, std::move(end), options_.tell_durability));
  }
  MutexLock lock(mutex_);
  if (!joint_.empty()) joint_.erase(trial.number);
  return {};
}

Status Study::tell_many(std::span<const std::pair<Asked, double>> values) {
  std::vector<Storage::Body> bodies;
  bodies.reserve(values.size());
  const std::int64_t now = storage_->now_ns();
  for (const auto& [trial, value] : values) {
    TrialChange end;
    end.state = State::kComplete;
    end.values = {value};
    end.finished_ns = now;
    bodies.emplace_back(ChangeTrialRecord{trial.id, std::move(end)});
  }
  DAYBREAK_ASSIGN(const auto told, storage_->submit_all(std::move(bodies), options_.tell_durability));
  {
    MutexLock lock(mutex_);
    if (!joint_.empty()) {
      for (const auto& [trial, value] : values) joint_.erase(trial.number);
    }
  }
  for (const Storage::Outcome& one : told) DAYBREAK_TRY(one);
  return {};
}

Result<Asked> Study::trial(std::uint32_t number) {
  DAYBREAK_ASSIGN(const auto found, read([&](const StudyState& state) -> std::optional<Asked> {
                    if (number >= state.facts.size()) return std::nullopt;
                    return Asked{state.facts[number].id, number};
                  }));
  if (!found) return fail(Code::kNotFound, "the study '{}' has no trial {}", name_, number);
  return *found;
}

Result<std::uint32_t> Study::enqueue(std::string_view parameters_json, std::vector<Attribute> attributes) {
  DAYBREAK_ASSIGN(const base::Json parameters, base::parse_json(parameters_json));
  if (!parameters.is_object()) {
    return fail(Code::kInvalidArgument, "'{}': an object of names and values is needed",
                parameters_json.substr(0, 200));
  }
  TrialChange change;
  change.state = State::kWaiting;
  change.attributes = std::move(attributes);
  change.attributes.push_back({std::string(kFixedAttribute), std::string(parameters_json), true});
  DAYBREAK_ASSIGN(const std::uint64_t id,
                  storage_->create_trial(static_cast<std::uint32_t>(id_), std::move(change), options_.tell_durability));
  const auto place = storage_->seen([&](const StudiesState& all) { return all.place(id); });
  DAYBREAK_TRY(place);
  return place->number;
}

Result<std::uint32_t> Study::best() {
  if (directions_.size() > 1) {
    return fail(Code::kFailedPrecondition, "the study has {} objectives, and no single best trial: ask for best_trials",
                directions_.size());
  }
  MutexLock lock(mutex_);
  std::optional<std::uint32_t> best = best_;
  std::size_t looked_at = looked_at_;
  const double sign = directions_[0] == Direction::kMaximize ? -1 : 1;
  DAYBREAK_TRY(read([&](const StudyState& state) {
    const Trials& trials = state.trials;
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; looked_at < finished.size(); ++looked_at) {
      const std::uint32_t number = finished[looked_at];
      if (!is_candidate(trials, number)) continue;
      const double mine = sign * trials.values(number)[0];
      const double other = best ? sign * trials.values(*best)[0] : mine;
      if (!best || mine < other || (mine == other && number < *best)) best = number;
    }
    return 0;
  }));
  best_ = best;
  looked_at_ = looked_at;
  if (best) return *best;
  return fail(Code::kFailedPrecondition, "no trial of '{}' is complete and feasible yet: tell one", name_);
}

Result<std::vector<std::uint32_t>> Study::best_trials() {
  DAYBREAK_ASSIGN(auto front, read([&](const StudyState& state) {
                    const Trials& trials = state.trials;
                    std::vector<std::uint32_t> order, kept;
                    for (std::uint32_t number = 0; number < trials.size(); ++number) {
                      if (is_candidate(trials, number)) order.push_back(number);
                    }
                    // What dominates comes before what it dominates, so one look at those that are kept is enough.
                    std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
                      return precedes(trials.values(a), trials.values(b), directions_);
                    });
                    for (const std::uint32_t number : order) {
                      const bool beaten = std::ranges::any_of(kept, [&](std::uint32_t other) {
                        return dominates(trials.values(other), trials.values(number), directions_);
                      });
                      if (!beaten) kept.push_back(number);
                    }
                    std::ranges::sort(kept);
                    return kept;
                  }));
  return front;
}

}  // namespace daybreak::tune
