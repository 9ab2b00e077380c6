// What is known of a study's trials, in columns: what samplers, pruners and importances read, and what a study fills as it replays its
// journal. Trials are numbered from 0 on in the order in which they were made, and none goes away. Not locked: the study's lock is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/distribution.h"

namespace daybreak::tune {

enum class State : std::uint8_t { kRunning, kComplete, kPruned, kFailed, kWaiting };  // Optuna's numbers
inline bool finished(State state) {
  return state == State::kComplete || state == State::kPruned || state == State::kFailed;
}

enum class Direction : std::uint8_t { kNotSet, kMinimize, kMaximize };  // Optuna's numbers

struct Report {
  std::int64_t step = 0;
  double value = 0;
};

// One parameter of one trial, as given out.
struct Given {
  std::uint32_t column = 0;  // Trials::name says whose
  double value = 0;
  Distribution distribution = {};
};

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

class Trials {
 public:
  static constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();
  static constexpr std::uint32_t kNoColumn = ~std::uint32_t{0};

  explicit Trials(std::vector<Direction> directions) : directions_(std::move(directions)) {}

  std::size_t size() const { return states_.size(); }
  const std::vector<Direction>& directions() const { return directions_; }
  State state(std::size_t trial) const { return states_[trial]; }
  // One for each direction, as told; empty unless there are any.
  std::span<const double> values(std::size_t trial) const;
  // In ascending order of steps; of equal steps the first.
  std::span<const Report> reports(std::size_t trial) const { return reports_[trial]; }
  // In the order in which they were given.
  std::span<const Given> given(std::size_t trial) const { return given_[trial]; }
  // kAbsent where the trial has none.
  double parameter(std::size_t trial, std::uint32_t column) const;
  // The sum of what a finished trial's constraints are above 0: 0 is feasible; kAbsent where none were told.
  double violation(std::size_t trial) const { return violations_[trial]; }
  // What the sampler kept with the suggestion (a generation, an unrounded point): its own bytes.
  const std::string& note(std::size_t trial) const { return notes_[trial]; }

  std::uint32_t columns() const { return static_cast<std::uint32_t>(names_.size()); }
  const std::string& name(std::uint32_t column) const { return names_[column]; }
  std::uint32_t column(std::string_view name) const;  // kNoColumn
  // The numbers of finished trials, in the order in which they finished: what an incremental reader has not seen is behind
  // what it has.
  std::span<const std::uint32_t> finished_in_order() const { return finished_; }

  // Filling. Errors are kInvalidArgument and kFailedPrecondition (a finished trial does not change), and leave all as it was.
  std::uint32_t add(State state);
  std::uint32_t add_column(std::string_view name);  // or the one that is there
  // `outside`: a number that a person has chosen need not be in the distribution, which a suggested one must.
  base::Status give(std::size_t trial, std::uint32_t column, double value, const Distribution& distribution,
                    bool outside = false);
  // A step's second report changes nothing, or takes the first one's place.
  base::Status report(std::size_t trial, std::int64_t step, double value, bool replace = false);
  base::Status constrain(std::size_t trial, double violation);
  base::Status set_note(std::size_t trial, std::string note);
  // kRunning <-> kWaiting, or to a finished state, with its values.
  base::Status move(std::size_t trial, State state, std::span<const double> values = {});
  // Whether a trial could move so, in whose study `trial` is only for the message.
  base::Status check_values(std::size_t trial, State state, std::span<const double> values) const;

 private:
  base::Status open(std::size_t trial) const;

  std::vector<Direction> directions_;
  std::vector<State> states_;
  std::vector<double> values_;  // directions_.size() a trial; NaN while there are none
  std::vector<std::uint8_t> has_values_;
  std::vector<double> violations_;
  std::vector<std::vector<Report>> reports_;
  std::vector<std::vector<Given>> given_;
  std::vector<std::string> notes_;
  std::vector<std::uint32_t> finished_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::uint32_t, NameHash, std::equal_to<>> by_name_;
};

}  // namespace daybreak::tune
