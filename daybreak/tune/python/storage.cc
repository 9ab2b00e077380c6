// Storage in daybreak._core.tune: what the faces (Study, Optuna's BaseStorage) are written over.
#include "daybreak/tune/storage.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <vector>

#include "daybreak/base/bind.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using base::Code;
using daybreak::store::Durability;
using tune::Storage;

namespace {

// (name, JSON text, whether it is a program's)
using AttributeTuple = std::tuple<std::string, std::string, bool>;
// (name, value, distribution, JSON text of the options or "")
using ParameterTuple = std::tuple<std::string, double, tune::Distribution, std::string>;
using ReportTuple = std::pair<std::int64_t, double>;
using ValuesOrNone = std::optional<std::vector<double>>;
using GivenTuple = std::tuple<std::string, double, tune::Distribution>;
// (id, number, state, values, parameters, reports, attributes, started_ns, finished_ns, violation)
using TrialTuple =
    std::tuple<std::uint64_t, std::uint32_t, int, ValuesOrNone, std::vector<GivenTuple>, std::vector<ReportTuple>,
               std::vector<AttributeTuple>, std::int64_t, std::int64_t, std::optional<double>>;
using StudyTuple = std::tuple<std::uint32_t, std::string, std::vector<int>>;

template <typename F>
auto storage_call(const Storage& storage, F&& f) {
  if (storage.is_in_memory()) return base::value_or_raise(f());
  auto result = [&] {
    nb::gil_scoped_release release;
    return f();
  }();
  return base::value_or_raise(std::move(result));
}

base::Result<const tune::StudyState*> study_in(const tune::StudiesState& all, std::uint64_t study) {
  if (const tune::StudyState* const found = all.study(study); found != nullptr) return found;
  return base::fail(Code::kNotFound, "there is no study {}", study);
}

tune::State state_of(int state) {
  if (state < 0 || state > static_cast<int>(tune::State::kWaiting)) {
    base::raise(base::Error(Code::kInvalidArgument, fmt::format("state={}: 0 (running) to 4 (waiting)", state)));
  }
  return static_cast<tune::State>(state);
}

std::vector<AttributeTuple> attributes_of(const std::vector<tune::Attribute>& attributes) {
  std::vector<AttributeTuple> all;
  all.reserve(attributes.size());
  for (const tune::Attribute& one : attributes) all.emplace_back(one.name, one.json, one.system);
  return all;
}

TrialTuple trial_of(const tune::StudyState& study, std::uint32_t number) {
  const tune::Trials& trials = study.trials;
  const tune::TrialFacts& facts = study.facts[number];
  ValuesOrNone values;
  if (const auto told = trials.values(number); !told.empty()) values.emplace(told.begin(), told.end());
  std::vector<GivenTuple> given;
  for (const tune::Given& one : trials.given(number))
    given.emplace_back(trials.name(one.column), one.value, one.distribution);
  std::vector<ReportTuple> reports;
  for (const tune::Report& one : trials.reports(number)) reports.emplace_back(one.step, one.value);
  std::optional<double> violation;
  if (!std::isnan(trials.violation(number))) violation = trials.violation(number);
  return {facts.id,
          number,
          static_cast<int>(trials.state(number)),
          values,
          std::move(given),
          std::move(reports),
          attributes_of(facts.attributes),
          facts.started_ns,
          facts.finished_ns,
          violation};
}

tune::TrialChange change_of(const std::optional<int>& state, const ValuesOrNone& values,
                            const std::vector<ParameterTuple>& parameters, const std::vector<ReportTuple>& reports,
                            const std::vector<AttributeTuple>& attributes, std::optional<double> violation,
                            std::int64_t started_ns, std::int64_t finished_ns) {
  tune::TrialChange change;
  if (state) change.state = state_of(*state);
  if (values) change.values = *values;
  for (const auto& [name, value, distribution, options] : parameters)
    change.parameters.push_back({name, value, distribution, options});
  for (const auto& [step, value] : reports) change.reports.push_back({.step = step, .value = value});
  for (const auto& [name, json, system] : attributes) change.attributes.push_back({name, json, system});
  change.violation = violation;
  change.started_ns = started_ns;
  change.finished_ns = finished_ns;
  return change;
}

Durability durability_of_sync(bool synced) {
  return synced ? Durability::kSynced : Durability::kWritten;
}

// Trials of the study from a number on; with `unfinished`, only those.
base::Result<std::vector<TrialTuple>> trials_of(Storage& storage, std::uint64_t study, std::uint32_t from,
                                                const std::vector<std::uint32_t>& numbers) {
  auto found = storage.read([&](const tune::StudiesState& all) -> base::Result<std::vector<TrialTuple>> {
    DAYBREAK_ASSIGN(const tune::StudyState* const of, study_in(all, study));
    std::vector<TrialTuple> made;
    for (const std::uint32_t number : numbers) {
      if (number < of->trials.size()) made.push_back(trial_of(*of, number));
    }
    for (std::uint32_t number = from; number < of->trials.size(); ++number) made.push_back(trial_of(*of, number));
    return made;
  });
  DAYBREAK_TRY(found);
  return *std::move(found);
}

std::shared_ptr<Storage> opened(const std::filesystem::path& path, const std::string& signs, double beat_interval_s) {
  const std::string given = base::given_path(path, "Storage");
  tune::StorageOptions options;
  if (signs == "auto" || signs == "lock" || signs == "beat") {
    options.signs = signs == "auto"   ? tune::StorageOptions::Signs::kAuto
                    : signs == "lock" ? tune::StorageOptions::Signs::kLock
                                      : tune::StorageOptions::Signs::kBeat;
  } else {
    base::raise(
        base::Error(Code::kInvalidArgument, fmt::format("signs='{}': 'auto', 'lock' or 'beat'", signs.substr(0, 80))));
  }
  if (!(beat_interval_s >= 0.01 && beat_interval_s <= 86'400)) {
    base::raise(base::Error(Code::kInvalidArgument, fmt::format("beat_interval_s={}: 0.01 to 86400", beat_interval_s)));
  }
  options.beat_interval_ns = static_cast<std::int64_t>(beat_interval_s * 1e9);
  auto result = [&] {
    nb::gil_scoped_release release;
    return Storage::open(given, options);
  }();
  return base::value_or_raise(std::move(result));
}

void bind_storage_studies(nb::class_<Storage>& bound) {
  bound
      .def(
          "create_study",
          [](Storage& self, const std::string& name, const std::vector<int>& directions) {
            std::vector<tune::Direction> wanted;
            for (const int direction : directions) {
              if (direction < 0 || direction > 2) {
                base::raise(
                    base::Error(Code::kInvalidArgument,
                                fmt::format("direction={}: 0 (not set), 1 (minimize) or 2 (maximize)", direction)));
              }
              wanted.push_back(static_cast<tune::Direction>(direction));
            }
            return storage_call(self, [&] { return self.create_study(name, wanted); });
          },
          nb::arg("name"), nb::arg("directions"), "Its id. AlreadyExistsError when the name is taken.")
      .def(
          "delete_study",
          [](Storage& self, std::uint32_t study) {
            storage_call(self, [&] { return self.submit(tune::DeleteStudyRecord{study}, Durability::kSynced); });
          },
          nb::arg("study"))
      .def(
          "studies",
          [](Storage& self) {
            return storage_call(self, [&] {
              return self.read([](const tune::StudiesState& all) {
                std::vector<StudyTuple> made;
                for (std::uint32_t id = 0; id < all.studies(); ++id) {
                  const tune::StudyState* const study = all.study(id);
                  if (study == nullptr) continue;
                  std::vector<int> directions;
                  for (const tune::Direction one : study->trials.directions())
                    directions.push_back(static_cast<int>(one));
                  made.emplace_back(id, study->name, std::move(directions));
                }
                return made;
              });
            });
          },
          "(id, name, directions) of each.")
      .def(
          "study_attributes",
          [](Storage& self, std::uint64_t study) {
            return storage_call(self, [&]() -> base::Result<std::vector<AttributeTuple>> {
              auto found = self.read([&](const tune::StudiesState& all) -> base::Result<std::vector<AttributeTuple>> {
                DAYBREAK_ASSIGN(const tune::StudyState* const of, study_in(all, study));
                return attributes_of(of->attributes);
              });
              DAYBREAK_TRY(found);
              return *std::move(found);
            });
          },
          nb::arg("study"), "(name, JSON text, whether it is a program's) of each.");
}

void bind_storage_rest(nb::class_<Storage>& bound) {
  bound
      .def(
          "set_study_attribute",
          [](Storage& self, std::uint32_t study, const std::string& name, const std::string& json, bool system) {
            storage_call(self, [&] { return self.submit(tune::ChangeStudyRecord{study, {{name, json, system}}}); });
          },
          nb::arg("study"), nb::arg("name"), nb::arg("json"), nb::arg("system") = false)
      .def(
          "columns",
          [](Storage& self, std::uint64_t study) {
            using Columns = std::vector<std::pair<std::string, std::string>>;
            return storage_call(self, [&]() -> base::Result<Columns> {
              auto found = self.read([&](const tune::StudiesState& all) -> base::Result<Columns> {
                DAYBREAK_ASSIGN(const tune::StudyState* const of, study_in(all, study));
                Columns made;
                for (std::uint32_t i = 0; i < of->trials.columns(); ++i)
                  made.emplace_back(of->trials.name(i), of->columns[i].options);
                return made;
              });
              DAYBREAK_TRY(found);
              return *std::move(found);
            });
          },
          nb::arg("study"), "(name, JSON text of its options or '') of each parameter.")
      .def(
          "stale",
          [](Storage& self, std::uint64_t study) {
            std::vector<std::uint64_t> ids;
            for (const Storage::Stale& one : storage_call(self, [&] { return self.stale(study); }))
              ids.push_back(one.id);
            return ids;
          },
          nb::arg("study"), "Ids of trials that run and whose process is dead.")
      .def(
          "reap",
          [](Storage& self, std::uint64_t study, int to) {
            return storage_call(self, [&, wanted = state_of(to)] { return self.reap(study, wanted); });
          },
          nb::arg("study"), nb::arg("state"), "Moves them to the state; gives their numbers.");
}

void bind_storage_trials(nb::class_<Storage>& bound) {
  bound
      .def(
          "create_trial",
          [](Storage& self, std::uint32_t study, std::optional<int> state, const ValuesOrNone& values,
             const std::vector<ParameterTuple>& parameters, const std::vector<ReportTuple>& reports,
             const std::vector<AttributeTuple>& attributes, std::optional<double> violation, std::int64_t started_ns,
             std::int64_t finished_ns, bool synced) {
            tune::CreateTrialRecord record{
                study, change_of(state, values, parameters, reports, attributes, violation, started_ns, finished_ns)};
            return storage_call(self, [&] { return self.submit(std::move(record), durability_of_sync(synced)); });
          },
          nb::arg("study"), nb::arg("state") = nb::none(), nb::arg("values") = nb::none(),
          nb::arg("parameters") = std::vector<ParameterTuple>(), nb::arg("reports") = std::vector<ReportTuple>(),
          nb::arg("attributes") = std::vector<AttributeTuple>(), nb::arg("violation") = nb::none(),
          nb::arg("started_ns") = 0, nb::arg("finished_ns") = 0, nb::arg("synced") = false,
          "Its id. It runs, unless a state is given.")
      .def(
          "change_trial",
          [](Storage& self, std::uint64_t trial, std::optional<int> state, const ValuesOrNone& values,
             const std::vector<ParameterTuple>& parameters, const std::vector<ReportTuple>& reports,
             const std::vector<AttributeTuple>& attributes, std::optional<double> violation, std::int64_t started_ns,
             std::int64_t finished_ns, bool synced) {
            tune::ChangeTrialRecord record{
                trial, change_of(state, values, parameters, reports, attributes, violation, started_ns, finished_ns)};
            storage_call(self, [&] { return self.submit(std::move(record), durability_of_sync(synced)); });
          },
          nb::arg("trial"), nb::arg("state") = nb::none(), nb::arg("values") = nb::none(),
          nb::arg("parameters") = std::vector<ParameterTuple>(), nb::arg("reports") = std::vector<ReportTuple>(),
          nb::arg("attributes") = std::vector<AttributeTuple>(), nb::arg("violation") = nb::none(),
          nb::arg("started_ns") = 0, nb::arg("finished_ns") = 0, nb::arg("synced") = false,
          "All of it or nothing. NotFoundError; FailedPreconditionError for a finished trial; AbortedError for a claim "
          "of one that runs.")
      .def(
          "place",
          [](Storage& self, std::uint64_t trial) {
            using Pair = std::pair<std::uint32_t, std::uint32_t>;
            return storage_call(self, [&]() -> base::Result<Pair> {
              auto found = self.read([&](const tune::StudiesState& all) { return all.place(trial); });
              DAYBREAK_TRY(found);
              DAYBREAK_TRY(*found);
              return Pair((*found)->study, (*found)->number);
            });
          },
          nb::arg("trial"), "The study's id and the number of the trial of this id.")
      .def(
          "trials",
          [](Storage& self, std::uint64_t study, std::uint32_t from, const std::vector<std::uint32_t>& numbers) {
            return storage_call(self, [&] { return trials_of(self, study, from, numbers); });
          },
          nb::arg("study"), nb::arg("from_number") = 0, nb::arg("numbers") = std::vector<std::uint32_t>(),
          "(id, number, state, values, parameters, reports, attributes, started_ns, finished_ns, violation) of those "
          "of the given "
          "numbers, and of all from a number on.");
}

// Of all trials, as arrays of fixed numbers: what a data frame is made of.
struct Columns {
  std::string states;      // u8
  std::string values;      // f64, a row a trial
  std::string started_ns;  // i64
  std::string finished_ns;
  struct Parameter {
    std::string name;
    std::string options;
    bool whole = false;
    std::string values;  // f64, NaN where there is none
  };
  std::vector<Parameter> parameters;
  struct Kept {
    std::uint32_t number;
    tune::Attribute attribute;
  };
  std::vector<Kept> attributes;
};

template <typename T>
std::span<T> numbers_in(std::string& bytes, std::size_t count) {
  bytes.resize(count * sizeof(T));
  return {reinterpret_cast<T*>(bytes.data()), count};
}

Columns columns_of(const tune::StudyState& study) {
  Columns made;
  const tune::Trials& trials = study.trials;
  const std::size_t count = trials.size(), objectives = trials.directions().size();
  const auto states = numbers_in<std::uint8_t>(made.states, count);
  const auto values = numbers_in<double>(made.values, count * objectives);
  const auto started = numbers_in<std::int64_t>(made.started_ns, count),
             finished = numbers_in<std::int64_t>(made.finished_ns, count);
  std::vector<std::span<double>> parameters;
  made.parameters.resize(trials.columns());
  for (std::uint32_t i = 0; i < trials.columns(); ++i) {
    Columns::Parameter& one = made.parameters[i];
    one.name = trials.name(i);
    one.options = study.columns[i].options;
    one.whole =
        study.columns[i].distribution && study.columns[i].distribution->kind() == tune::Distribution::Kind::kInt;
    parameters.push_back(numbers_in<double>(one.values, count));
    std::ranges::fill(parameters.back(), tune::Trials::kAbsent);
  }
  for (std::uint32_t number = 0; number < count; ++number) {
    const tune::TrialFacts& facts = study.facts[number];
    states[number] = static_cast<std::uint8_t>(trials.state(number));
    const auto told = trials.values(number);
    for (std::size_t i = 0; i < objectives; ++i)
      values[number * objectives + i] = told.empty() ? tune::Trials::kAbsent : told[i];
    started[number] = facts.started_ns;
    finished[number] = facts.finished_ns;
    for (const tune::Given& one : trials.given(number)) parameters[one.column][number] = one.value;
    for (const tune::Attribute& one : facts.attributes) made.attributes.push_back({number, one});
  }
  return made;
}

void bind_storage_columns(nb::class_<Storage>& bound) {
  bound.def(
      "frame",
      [](Storage& self, std::uint64_t study) {
        const Columns made = storage_call(self, [&]() -> base::Result<Columns> {
          auto found = self.read([&](const tune::StudiesState& all) -> base::Result<Columns> {
            DAYBREAK_ASSIGN(const tune::StudyState* const of, study_in(all, study));
            return columns_of(*of);
          });
          DAYBREAK_TRY(found);
          return *std::move(found);
        });
        const auto bytes = [](const std::string& text) { return nb::bytes(text.data(), text.size()); };
        std::vector<std::tuple<std::string, std::string, bool, nb::bytes>> parameters;
        parameters.reserve(made.parameters.size());
        for (const Columns::Parameter& one : made.parameters)
          parameters.emplace_back(one.name, one.options, one.whole, bytes(one.values));
        std::vector<std::tuple<std::uint32_t, std::string, std::string, bool>> attributes;
        attributes.reserve(made.attributes.size());
        for (const auto& [number, one] : made.attributes)
          attributes.emplace_back(number, one.name, one.json, one.system);
        return std::tuple(bytes(made.states), bytes(made.values), bytes(made.started_ns), bytes(made.finished_ns),
                          std::move(parameters), std::move(attributes));
      },
      nb::arg("study"),
      "Arrays of all trials, as bytes: states (u8), values (f64, a row a trial), started_ns, finished_ns (i64), then "
      "(name, JSON text of "
      "the options, whether whole, f64 with NaN where there is none) of each parameter, and (number, name, JSON text, "
      "whether a "
      "program's) of each attribute.");
}

}  // namespace

void bind_storage(nb::module_& m) {
  nb::class_<Storage> bound(
      m, "Storage",
      "Studies in a journal that many processes write and follow, or in memory. Any thread may use it; a "
      "child made by fork opens it again.");
  bound
      .def_static("open", &opened, nb::arg("path"), nb::arg("signs") = "auto", nb::arg("beat_interval_s") = 10.0,
                  "signs: how others see that this process lives: 'lock', 'beat', or 'auto' by the file system.")
      .def_static(
          "in_memory", [] { return Storage::in_memory(); }, "Kept by this process alone.")
      .def_prop_ro("path", &Storage::path, "'' in memory.")
      .def_prop_ro("has_beats", &Storage::has_beats)
      .def("beat", [](Storage& self) { storage_call(self, [&] { return self.beat(); }); }, "A sign of life.");
  bind_storage_studies(bound);
  bind_storage_rest(bound);
  bind_storage_columns(bound);
  bind_storage_trials(bound);
}
