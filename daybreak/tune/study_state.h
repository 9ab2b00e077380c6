// What a journal's records add up to: studies, their trials, who holds them. A function of the records and their order, so that all
// who read one journal see the same; of two that exclude each other the first holds. Not locked: the storage's lock is.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/records.h"
#include "daybreak/tune/trials.h"

namespace daybreak::tune {

// Of a trial, beside what samplers read (Trials).
struct TrialFacts {
  std::uint64_t id = 0;         // in the journal
  std::uint64_t holder = 0;     // who runs it; 0: nobody
  std::int64_t started_ns = 0;  // since 1970 UTC; 0: not yet
  std::int64_t finished_ns = 0;
  std::vector<Attribute> attributes = {};

  const std::string* attribute(std::string_view name, bool system) const;
};

struct StudyState {
  StudyState(std::string given_name, std::vector<Direction> directions)
      : name(std::move(given_name)), trials(std::move(directions)) {}

  // What all distributions of a name must be compatible with.
  struct Column {
    std::optional<Distribution> distribution = {};  // the first one
    std::string options = {};                       // JSON text of a categorical one's
  };

  std::string name;
  Trials trials;
  std::vector<Attribute> attributes;
  std::vector<TrialFacts> facts;         // by number
  std::vector<Column> columns;           // by Trials' columns
  std::set<std::uint32_t> waiting;       // numbers
  std::uint32_t all_finished_below = 0;  // numbers below are finished; there may be others

  const std::string* attribute(std::string_view attribute_name, bool system) const;
};

class StudiesState {
 public:
  // The number of the study or the trial that was made, else 0. Errors leave all as it was: kNotFound, kAlreadyExists (a study's
  // name), kFailedPrecondition (a finished trial), kAborted (the trial is run by another one), kInvalidArgument.
  base::Result<std::uint64_t> apply(const Record& record);
  // The same of the records that come most often.
  base::Result<std::uint64_t> create_trial(std::uint64_t holder, std::uint64_t study, const TrialChange& change);
  base::Result<std::uint64_t> change_trial(std::uint64_t holder, std::uint64_t trial, const TrialChange& change);
  base::Status give(std::uint32_t study, std::uint32_t number, std::uint32_t column, const Suggested& suggested);
  // The first trial that waits, or a new one, runs from now on. Its number.
  base::Result<std::uint32_t> start(std::uint64_t holder, std::uint64_t study, std::int64_t now_ns);
  base::Status finish(std::uint64_t trial, State state, std::span<const double> values, std::int64_t now_ns);

  // Null where there is none, or no longer.
  const StudyState* study(std::uint64_t id) const;
  std::uint32_t studies() const { return static_cast<std::uint32_t>(studies_.size()); }  // made; deleted ones, too
  // kNotFound.
  base::Result<std::uint32_t> study_of_name(std::string_view name) const;
  struct Place {
    std::uint32_t study = 0;
    std::uint32_t number = 0;
  };
  base::Result<Place> place(std::uint64_t trial) const;

  // The column of the name in the study's Trials, which has no value yet where it is new. The study exists.
  std::uint32_t column_for(std::uint32_t study, std::string_view name);

  struct Holder {
    HolderRecord record;
    std::uint64_t beats = 0;
  };
  const Holder* holder(std::uint64_t id) const;

 private:
  base::Result<std::uint64_t> done(const Record&, const HolderRecord& holder);
  base::Result<std::uint64_t> done(const Record& record, const BeatRecord&);
  base::Result<std::uint64_t> done(const Record&, const CreateStudyRecord& study);
  base::Result<std::uint64_t> done(const Record&, const DeleteStudyRecord& study);
  base::Result<std::uint64_t> done(const Record&, const ChangeStudyRecord& change);
  base::Result<std::uint64_t> done(const Record& record, const CreateTrialRecord& trial) {
    return create_trial(record.holder, trial.study, trial.change);
  }
  base::Result<std::uint64_t> done(const Record& record, const ChangeTrialRecord& trial) {
    return change_trial(record.holder, trial.trial, trial.change);
  }
  base::Result<StudyState*> found_study(std::uint64_t id) const;
  void add_trial(std::uint64_t study_id, State state, std::uint64_t holder);

  std::vector<std::unique_ptr<StudyState>> studies_;
  std::unordered_map<std::string, std::uint32_t, NameHash, std::equal_to<>> by_name_;
  std::vector<Place> trials_;  // by id
  std::map<std::uint64_t, Holder> holders_;
};

}  // namespace daybreak::tune
