#include "daybreak/tune/study_state.h"

#include <algorithm>
#include <cmath>

namespace daybreak::tune {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

namespace {

const std::string* found_attribute(const std::vector<Attribute>& attributes, std::string_view name, bool system) {
  const auto found =
      std::ranges::find_if(attributes, [&](const Attribute& one) { return one.system == system && one.name == name; });
  return found == attributes.end() ? nullptr : &found->json;
}

// The last word counts; a name keeps its place.
void set_attributes(std::vector<Attribute>& attributes, const std::vector<Attribute>& given) {
  for (const Attribute& one : given) {
    const auto found = std::ranges::find_if(
        attributes, [&](const Attribute& other) { return other.system == one.system && other.name == one.name; });
    if (found == attributes.end()) {
      attributes.push_back(one);
    } else {
      found->json = one.json;
    }
  }
}

Status check_parameter(const StudyState& study, std::uint32_t number, std::uint32_t column,
                       const Suggested& suggested) {
  if (suggested.distribution.categorical() && !suggested.distribution.contains(suggested.value)) {
    return fail(Code::kInvalidArgument, "{}={}: not in {}", suggested.name, suggested.value,
                suggested.distribution.to_string());
  }
  if (!std::isfinite(suggested.value)) {
    return fail(Code::kInvalidArgument, "{}={}: a parameter must be finite", suggested.name, suggested.value);
  }
  if (column == Trials::kNoColumn) return {};
  const StudyState::Column& known = study.columns[column];
  if (!known.distribution) return {};
  if (!known.distribution->compatible(suggested.distribution)) {
    return fail(Code::kInvalidArgument,
                "'{}' is {} in this study, not {}: its range may change, its kind, log and options may not",
                suggested.name, known.distribution->to_string(), suggested.distribution.to_string());
  }
  if (!suggested.options.empty() && !known.options.empty() && suggested.options != known.options) {
    return fail(Code::kInvalidArgument,
                "'{}' has the options {} in this study, not {}: options and their order may not change", suggested.name,
                known.options.substr(0, 200), suggested.options.substr(0, 200));
  }
  if (number >= study.trials.size()) return {};
  for (const Given& given : study.trials.given(number)) {
    if (given.column != column) continue;
    if (given.value == suggested.value && given.distribution == suggested.distribution) continue;
    return fail(Code::kInvalidArgument, "trial {} has {}={} already", number, suggested.name, given.value);
  }
  return {};
}

Status check_parameters(const StudyState& study, std::uint32_t number, const std::vector<Suggested>& parameters) {
  for (const Suggested& suggested : parameters) {
    DAYBREAK_TRY(check_parameter(study, number, study.trials.column(suggested.name), suggested));
  }
  if (parameters.size() < 2) return {};
  std::set<std::string_view> names;
  for (const Suggested& suggested : parameters) {
    if (!names.insert(suggested.name).second) {
      return fail(Code::kInvalidArgument, "the parameter '{}' is given twice: once is enough", suggested.name);
    }
  }
  return {};
}

// Checked before.
void give_parameter(StudyState& study, std::uint32_t number, std::uint32_t column, const Suggested& suggested) {
  if (column == study.columns.size()) study.columns.emplace_back();
  StudyState::Column& known = study.columns[column];
  if (!known.distribution) known.distribution = suggested.distribution;
  if (known.options.empty()) known.options = suggested.options;
  DAYBREAK_CHECK(study.trials.give(number, column, suggested.value, suggested.distribution, true).has_value());
}

Status check_change(const StudyState& study, std::uint32_t number, const TrialChange& change) {
  DAYBREAK_TRY(check_parameters(study, number, change.parameters));
  if (change.violation && std::isnan(*change.violation)) {
    return fail(Code::kInvalidArgument, "trial {}: a constraint is NaN", number);
  }
  if (!change.state) {
    if (change.values.empty()) return {};
    return fail(Code::kInvalidArgument, "trial {}: values without a state", number);
  }
  return study.trials.check_values(number, *change.state, change.values);
}

// Checked before.
void move_trial(StudyState& study, std::uint32_t number, State state, std::span<const double> values,
                std::uint64_t writer) {
  Trials& trials = study.trials;
  if (trials.state(number) == State::kWaiting) study.waiting.erase(number);
  DAYBREAK_CHECK(trials.move(number, state, values).has_value());
  study.facts[number].holder = state == State::kRunning ? writer : 0;
  if (state == State::kWaiting) study.waiting.insert(number);
  while (study.all_finished_below < trials.size() && finished(trials.state(study.all_finished_below))) {
    ++study.all_finished_below;
  }
}

// Checked before.
void make_change(StudyState& study, std::uint32_t number, const TrialChange& change, std::uint64_t writer) {
  Trials& trials = study.trials;
  TrialFacts& facts = study.facts[number];
  for (const Suggested& suggested : change.parameters) {
    give_parameter(study, number, trials.add_column(suggested.name), suggested);
  }
  for (const Report& report : change.reports) {
    DAYBREAK_CHECK(trials.report(number, report.step, report.value, true).has_value());
  }
  set_attributes(facts.attributes, change.attributes);
  if (change.violation) DAYBREAK_CHECK(trials.constrain(number, *change.violation).has_value());
  if (change.note) DAYBREAK_CHECK(trials.set_note(number, *change.note).has_value());
  if (change.started_ns != 0) facts.started_ns = change.started_ns;
  if (change.finished_ns != 0) facts.finished_ns = change.finished_ns;
  if (change.state) move_trial(study, number, *change.state, change.values, writer);
}

}  // namespace

const std::string* TrialFacts::attribute(std::string_view name, bool system) const {
  return found_attribute(attributes, name, system);
}
const std::string* StudyState::attribute(std::string_view attribute_name, bool system) const {
  return found_attribute(attributes, attribute_name, system);
}

Result<std::uint64_t> StudiesState::apply(const Record& record) {
  return std::visit([&](const auto& body) { return done(record, body); }, record.body);
}

const StudyState* StudiesState::study(std::uint64_t id) const {
  return id < studies_.size() ? studies_[static_cast<std::size_t>(id)].get() : nullptr;
}

Result<StudyState*> StudiesState::found_study(std::uint64_t id) const {
  if (study(id) != nullptr) return studies_[static_cast<std::size_t>(id)].get();
  return fail(Code::kNotFound, "there is no study {}{}", id, id < studies_.size() ? " any more: it was deleted" : "");
}

Result<std::uint32_t> StudiesState::study_of_name(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) return found->second;
  return fail(Code::kNotFound, "there is no study '{}': create it, or look at the names that there are", name);
}

Result<StudiesState::Place> StudiesState::place(std::uint64_t trial) const {
  if (trial >= trials_.size())
    return fail(Code::kNotFound, "there is no trial of id {}: {} were made", trial, trials_.size());
  const Place place = trials_[static_cast<std::size_t>(trial)];
  DAYBREAK_TRY(found_study(place.study));
  return place;
}

std::uint32_t StudiesState::column_for(std::uint32_t study, std::string_view name) {
  StudyState& state = *studies_[study];
  const std::uint32_t known = state.trials.column(name);
  if (known != Trials::kNoColumn) return known;
  const std::uint32_t column = state.trials.add_column(name);
  if (column == state.columns.size()) state.columns.emplace_back();
  return column;
}

const StudiesState::Holder* StudiesState::holder(std::uint64_t id) const {
  const auto found = holders_.find(id);
  return found == holders_.end() ? nullptr : &found->second;
}

Result<std::uint64_t> StudiesState::done(const Record& record, const HolderRecord& holder) {
  holders_[record.holder].record = holder;
  return 0;
}

Result<std::uint64_t> StudiesState::done(const Record& record, const BeatRecord&) {
  ++holders_[record.holder].beats;
  return 0;
}

Result<std::uint64_t> StudiesState::done(const Record&, const CreateStudyRecord& study) {
  if (by_name_.contains(study.name)) {
    return fail(Code::kAlreadyExists, "there is a study '{}' already: load it, or give another name", study.name);
  }
  const auto id = static_cast<std::uint32_t>(studies_.size());
  studies_.push_back(std::make_unique<StudyState>(study.name, study.directions));
  by_name_.emplace(study.name, id);
  return id;
}

Result<std::uint64_t> StudiesState::done(const Record&, const DeleteStudyRecord& study) {
  DAYBREAK_ASSIGN(const StudyState* const found, found_study(study.study));
  by_name_.erase(by_name_.find(found->name));
  studies_[study.study].reset();
  return 0;
}

Result<std::uint64_t> StudiesState::done(const Record&, const ChangeStudyRecord& change) {
  DAYBREAK_ASSIGN(StudyState* const study, found_study(change.study));
  set_attributes(study->attributes, change.attributes);
  return 0;
}

Result<std::uint64_t> StudiesState::create_trial(std::uint64_t holder, std::uint64_t study_id,
                                                 const TrialChange& change) {
  DAYBREAK_ASSIGN(StudyState* const study, found_study(study_id));
  const auto number = static_cast<std::uint32_t>(study->trials.size());
  DAYBREAK_TRY(check_change(*study, number, change));
  const State state = change.state.value_or(State::kRunning);
  // What is finished does not change: so it is not yet, while it is filled.
  add_trial(study_id, finished(state) ? State::kWaiting : state, holder);
  make_change(*study, number, change, holder);
  return study->facts[number].id;
}

void StudiesState::add_trial(std::uint64_t study_id, State state, std::uint64_t holder) {
  StudyState& study = *studies_[static_cast<std::size_t>(study_id)];
  const std::uint32_t number = study.trials.add(state);
  study.facts.push_back({.id = trials_.size(), .holder = state == State::kRunning ? holder : 0});
  if (state == State::kWaiting) study.waiting.insert(number);
  trials_.push_back({static_cast<std::uint32_t>(study_id), number});
}

Result<std::uint32_t> StudiesState::start(std::uint64_t holder, std::uint64_t study_id, std::int64_t now_ns) {
  DAYBREAK_ASSIGN(StudyState* const study, found_study(study_id));
  std::uint32_t number = 0;
  if (study->waiting.empty()) {
    number = static_cast<std::uint32_t>(study->trials.size());
    add_trial(study_id, State::kRunning, holder);
  } else {
    number = *study->waiting.begin();
    move_trial(*study, number, State::kRunning, {}, holder);
  }
  study->facts[number].started_ns = now_ns;
  return number;
}

Status StudiesState::finish(std::uint64_t trial, State state, std::span<const double> values, std::int64_t now_ns) {
  DAYBREAK_ASSIGN(const Place at, place(trial));
  StudyState& study = *studies_[at.study];
  if (finished(study.trials.state(at.number))) {
    return fail(Code::kFailedPrecondition, "trial {} is finished: it does not change any more", at.number);
  }
  DAYBREAK_TRY(study.trials.check_values(at.number, state, values));
  move_trial(study, at.number, state, values, 0);
  study.facts[at.number].finished_ns = now_ns;
  return {};
}

Result<std::uint64_t> StudiesState::change_trial(std::uint64_t holder, std::uint64_t trial, const TrialChange& change) {
  DAYBREAK_ASSIGN(const Place at, place(trial));
  StudyState& study = *studies_[at.study];
  const State state = study.trials.state(at.number);
  if (finished(state)) {
    return fail(Code::kFailedPrecondition, "trial {} is finished: it does not change any more", at.number);
  }
  if (change.holder && (state != State::kRunning || study.facts[at.number].holder != *change.holder)) {
    return fail(Code::kAborted, "trial {} is not run any more by whom it was run", at.number);
  }
  if (change.state == State::kRunning && state == State::kRunning) {
    return fail(Code::kAborted, "trial {} is run by another one", at.number);
  }
  DAYBREAK_TRY(check_change(study, at.number, change));
  make_change(study, at.number, change, holder);
  return 0;
}

Status StudiesState::give(std::uint32_t study_id, std::uint32_t number, std::uint32_t column,
                          const Suggested& suggested) {
  DAYBREAK_ASSIGN(StudyState* const study, found_study(study_id));
  if (finished(study->trials.state(number))) {
    return fail(Code::kFailedPrecondition, "trial {} is finished: it does not change any more", number);
  }
  DAYBREAK_TRY(check_parameter(*study, number, column, suggested));
  give_parameter(*study, number, column, suggested);
  return {};
}

}  // namespace daybreak::tune
