// Study and Trial in daybreak._core.tune: Optuna's names, called without a Python frame of ours between.
#include "daybreak/tune/study.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "daybreak/base/bind.h"
#include "daybreak/base/log.h"
#include "daybreak/tune/python/pruner_factory.h"
#include "daybreak/tune/python/sampler_factory.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using base::Code;
using daybreak::store::Durability;
using tune::Distribution;
using tune::State;

namespace {

// Of a categorical parameter, as a person last gave them: what was checked once is known again by identity.
struct KnownOptions {
  nb::tuple values;
  std::string json;
};

struct BoundStudy {
  std::unique_ptr<tune::Study> study;
  std::unordered_map<std::string, KnownOptions, tune::NameHash, std::equal_to<>> options = {};
};

struct BoundTrial {
  nb::object owner;  // keeps `of` alive
  BoundStudy* of;
  tune::Asked asked;

  tune::Study& study() const { return *of->study; }
};

[[noreturn]] void refuse(std::string message) {
  base::raise(base::Error(Code::kInvalidArgument, std::move(message)));
}

template <typename F>
auto study_call(const tune::Study& study, F&& f) {
  if (study.storage()->is_in_memory()) return base::value_or_raise(f());
  auto result = [&] {
    nb::gil_scoped_release release;
    return f();
  }();
  return base::value_or_raise(std::move(result));
}

// The options as a tuple of plain values, and their JSON text. What the same objects were checked for before is not checked again.
const KnownOptions& options_of(BoundStudy& study, std::string_view name, nb::handle choices) {
  const auto known = study.options.find(name);
  if (known != study.options.end()) {
    const nb::tuple& values = known->second.values;
    if (choices.is(values)) return known->second;
    if (nb::isinstance<nb::list>(choices) || nb::isinstance<nb::tuple>(choices)) {
      const auto size = static_cast<Py_ssize_t>(PySequence_Fast_GET_SIZE(choices.ptr()));
      bool same = size == static_cast<Py_ssize_t>(values.size());
      for (Py_ssize_t i = 0; same && i < size; ++i) {
        same = PySequence_Fast_GET_ITEM(choices.ptr(), i) == PyTuple_GET_ITEM(values.ptr(), i);
      }
      if (same) return known->second;
    }
  }
  const nb::object checked = nb::module_::import_("daybreak.tune.options").attr("checked")(name, choices);
  KnownOptions fresh{nb::cast<nb::tuple>(checked[0]), nb::cast<std::string>(checked[1])};
  return study.options.insert_or_assign(std::string(name), std::move(fresh)).first->second;
}

double suggested(const BoundTrial& trial, tune::Space space) {
  return study_call(trial.study(), [&] { return trial.study().suggest(trial.asked, std::move(space)); });
}

double suggest_float(const BoundTrial& trial, std::string_view name, double low, double high,
                     std::optional<double> step, bool log) {
  if (step && !(*step > 0))
    refuse(fmt::format("'{}': step={}: a positive number, or none for every number between", name, *step));
  return suggested(trial,
                   {std::string(name), base::value_or_raise(Distribution::real(low, high, log, step.value_or(0)))});
}

std::int64_t suggest_int(const BoundTrial& trial, std::string_view name, std::int64_t low, std::int64_t high,
                         std::int64_t step, bool log) {
  return static_cast<std::int64_t>(
      suggested(trial, {std::string(name), base::value_or_raise(Distribution::whole(low, high, log, step))}));
}

// Whole numbers of any kind: 3.0, a numpy scalar, a tensor of one element. What is none is refused by its name.
std::int64_t suggest_whole(const BoundTrial& trial, std::string_view name, nb::handle low, nb::handle high,
                           nb::handle step, bool log) {
  const nb::object integer = nb::module_::import_("daybreak.base.numbers").attr("integer");
  const auto whole = [&](nb::handle value, const char* what) {
    return nb::cast<std::int64_t>(
        integer(value, what, nb::arg("minimum") = -tune::kMaxWhole, nb::arg("maximum") = tune::kMaxWhole));
  };
  return suggest_int(trial, name, whole(low, "low"), whole(high, "high"), whole(step, "step"), log);
}

nb::object suggest_categorical(const BoundTrial& trial, std::string_view name, nb::object choices) {
  const KnownOptions& options = options_of(*trial.of, name, choices);
  const nb::tuple values = options.values;
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(values.size(), UINT32_MAX));
  const double value =
      suggested(trial, {std::string(name), base::value_or_raise(Distribution::categorical(count)), options.json});
  return values[static_cast<std::size_t>(value)];
}

// A number of Python's, numpy's or anything with __float__; nothing for what is none.
std::optional<double> number_of(nb::handle value) {
  if (PyFloat_CheckExact(value.ptr())) return PyFloat_AS_DOUBLE(value.ptr());
  if (value.is_none()) return std::nullopt;
  const double converted = PyFloat_AsDouble(value.ptr());
  if (converted == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    nb::object made = nb::steal(PyNumber_Float(value.ptr()));  // text, as float("1") takes it
    if (made.is_valid()) return PyFloat_AS_DOUBLE(made.ptr());
    PyErr_Clear();
    return std::nullopt;
  }
  return converted;
}

struct ToldValues {
  std::vector<double> values;
  std::string problem;  // why they are none
};

ToldValues told_values(nb::handle given, std::size_t directions) {
  ToldValues told;
  const auto take = [&](nb::handle one) {
    const std::optional<double> value = number_of(one);
    if (!value) {
      told.problem = fmt::format("the value {} is no number", nb::repr(one).c_str());
    } else if (std::isnan(*value)) {
      told.problem = "a value is NaN";
    } else {
      told.values.push_back(*value);
    }
  };
  if (given.is_none()) {
    told.problem = "no value was told";
  } else if (nb::isinstance<nb::list>(given) || nb::isinstance<nb::tuple>(given)) {
    for (nb::handle one : given) {
      if (told.problem.empty()) take(one);
    }
  } else {
    take(given);
  }
  if (told.problem.empty() && told.values.size() != directions) {
    told.problem = fmt::format("{} values for {} objectives", told.values.size(), directions);
  }
  return told;
}

tune::Asked asked_of(BoundStudy& self, nb::handle trial) {
  BoundTrial* bound = nullptr;
  if (nb::try_cast(trial, bound) && bound != nullptr) {
    if (bound->of != &self) refuse(fmt::format("trial {} is of another study: tell that one", bound->asked.number));
    return bound->asked;
  }
  std::uint32_t number = 0;
  if (!nb::try_cast(trial, number)) refuse("tell: a trial or its number expected");
  return study_call(*self.study, [&] { return self.study->trial(number); });
}

void tell(BoundStudy& self, nb::handle trial, nb::handle values, std::optional<int> state, bool skip_if_finished) {
  const tune::Asked asked = asked_of(self, trial);
  tune::Study& study = *self.study;
  if (skip_if_finished) {
    const bool is_finished = study_call(study, [&] {
      return study.read([&](const tune::StudyState& all) { return tune::finished(all.trials.state(asked.number)); });
    });
    if (is_finished) return;
  }
  State end = State::kComplete;
  if (state) {
    if (*state < 1 || *state > 3) refuse(fmt::format("state={}: COMPLETE (1), PRUNED (2) or FAIL (3)", *state));
    end = static_cast<State>(*state);
  }
  ToldValues told;
  if (!(state && end != State::kComplete && values.is_none())) told = told_values(values, study.directions().size());
  if (!told.problem.empty()) {
    if (state) refuse(fmt::format("trial {}: {}: tell a number for each objective", asked.number, told.problem));
    base::log_warn("a trial has failed, by what it was told", {{"trial", asked.number}, {"why", told.problem}});
    end = State::kFailed;
    told.values.clear();
  }
  study_call(study, [&] { return study.tell(asked, end, told.values); });
}

using SpaceTuple = std::tuple<std::string, Distribution, std::string>;
std::vector<tune::Space> spaces_of(const std::vector<SpaceTuple>& given) {
  std::vector<tune::Space> spaces;
  spaces.reserve(given.size());
  for (const auto& [name, distribution, options] : given) spaces.push_back({name, distribution, options});
  return spaces;
}

tune::StudyOptions options_for(const std::string& name, const std::vector<int>& directions, bool load_if_exists,
                               std::optional<std::uint64_t> seed, const tune::SamplerFactory* sampler,
                               const tune::PrunerFactory* pruner, bool synced_asks, bool synced_tells,
                               const std::string& dead_trials) {
  tune::StudyOptions options;
  options.name = name;
  options.directions.clear();
  for (const int direction : directions) {
    if (direction != 1 && direction != 2) refuse(fmt::format("direction={}: 1 (minimize) or 2 (maximize)", direction));
    options.directions.push_back(static_cast<tune::Direction>(direction));
  }
  options.load_if_exists = load_if_exists;
  options.seed = seed;
  if (sampler != nullptr) options.sampler = sampler->make;
  if (pruner != nullptr) options.pruner = pruner->make;
  options.ask_durability = synced_asks ? Durability::kSynced : Durability::kWritten;
  options.tell_durability = synced_tells ? Durability::kSynced : Durability::kWritten;
  if (dead_trials != "retry" && dead_trials != "fail")
    refuse(fmt::format("dead_trials='{}': 'retry' or 'fail'", dead_trials.substr(0, 80)));
  options.dead_trials = dead_trials == "retry" ? State::kWaiting : State::kFailed;
  return options;
}

constexpr std::string_view kConstraint = "constraint:";  // a system attribute of each, by its key

// Of a constraint of the key; the trial's violation is the sum of what is above 0.
void set_constraint(const BoundTrial& trial, const std::string& key, double value) {
  if (!std::isfinite(value))
    refuse(fmt::format("set_constraint('{}', {}): a finite number; 0 or less is feasible", key, value));
  tune::Study& study = trial.study();
  study_call(study, [&]() -> base::Status {
    DAYBREAK_TRY(study.set_attribute(trial.asked, {std::string(kConstraint) + key, fmt::format("{}", value), true}));
    DAYBREAK_ASSIGN(const double violation, study.read([&](const tune::StudyState& state) {
      double sum = 0;
      for (const tune::Attribute& one : state.facts[trial.asked.number].attributes) {
        if (one.system && one.name.starts_with(kConstraint))
          sum += std::max(std::strtod(one.json.c_str(), nullptr), 0.0);
      }
      return sum;
    }));
    return study.set_violation(trial.asked, violation);
  });
}

void bind_trial(nb::module_& m) {
  nb::class_<BoundTrial>(m, "Trial", "One that runs here: asks for its parameters, reports on its way.")
      .def("suggest_float", &suggest_float, nb::arg("name"), nb::arg("low"), nb::arg("high"), nb::kw_only(),
           nb::arg("step") = nb::none(), nb::arg("log") = false,
           "A number in [low, high]; with a step low, low + step, ...")
      .def("suggest_int", &suggest_int, nb::arg("name"), nb::arg("low"), nb::arg("high"), nb::kw_only(),
           nb::arg("step") = 1, nb::arg("log") = false, "A whole number in [low, high].")
      .def("suggest_int", &suggest_whole, nb::arg("name"), nb::arg("low"), nb::arg("high"), nb::kw_only(),
           nb::arg("step") = 1, nb::arg("log") = false)
      .def("suggest_categorical", &suggest_categorical, nb::arg("name"), nb::arg("choices"),
           "One of the options, each None, a bool, an int, a float or a str; numpy's scalars become these.")
      .def(
          "report",
          [](const BoundTrial& self, double value, std::int64_t step) {
            study_call(self.study(), [&] { return self.study().report(self.asked, value, step); });
          },
          nb::arg("value"), nb::arg("step"), "Of a step the first report counts.")
      .def(
          "should_prune",
          [](const BoundTrial& self) {
            return study_call(self.study(), [&] { return self.study().should_prune(self.asked); });
          },
          "Whether it shall end now, by what it has reported.")
      .def(
          "set_violation",
          [](const BoundTrial& self, double violation) {
            study_call(self.study(), [&] { return self.study().set_violation(self.asked, violation); });
          },
          nb::arg("violation"), "The sum of its constraints' excess; 0 or less is feasible.")
      .def("set_constraint", &set_constraint, nb::arg("key"), nb::arg("value"),
           "0 or less: feasible. Of several keys what is above 0 is added up; of one key the last value counts.")
      .def(
          "set_attribute",
          [](const BoundTrial& self, const std::string& name, const std::string& json, bool system) {
            study_call(self.study(), [&] { return self.study().set_attribute(self.asked, {name, json, system}); });
          },
          nb::arg("name"), nb::arg("json"), nb::arg("system"))
      .def(
          "set_user_attr",
          [](const BoundTrial& self, const std::string& key, nb::handle value) {
            const auto json = nb::cast<std::string>(nb::module_::import_("json").attr("dumps")(value));
            study_call(self.study(), [&] { return self.study().set_attribute(self.asked, {key, json, false}); });
          },
          nb::arg("key"), nb::arg("value"), "A value that JSON holds.")
      .def_prop_ro(
          "params",
          [](const BoundTrial& self) { return nb::cast<nb::dict>(self.owner.attr("params_of")(self.asked.number)); },
          "What it was given so far, by name.")
      .def_prop_ro("number", [](const BoundTrial& self) { return self.asked.number; })
      .def_prop_ro("trial_id", [](const BoundTrial& self) { return self.asked.id; })
      .def_prop_ro("study", [](const BoundTrial& self) { return self.owner; })
      .def("__repr__", [](const BoundTrial& self) { return fmt::format("Trial(number={})", self.asked.number); });
}

BoundTrial bound_trial(nb::handle owner, BoundStudy& self, tune::Asked asked) {
  return {nb::borrow(owner), &self, asked};
}

BoundStudy& study_in(nb::handle owner) {
  BoundStudy* found = nullptr;
  if (!nb::try_cast(owner, found) || found == nullptr) throw nb::type_error("a Study expected");
  return *found;
}

void bind_asking(nb::class_<BoundStudy>& bound) {
  bound
      .def(
          "ask",
          [](nb::handle owner, nb::handle fixed_distributions) {
            BoundStudy& self = study_in(owner);
            if (!fixed_distributions.is_none()) {
              return nb::cast<nb::object>(owner.attr("_ask_fixed")(fixed_distributions));
            }
            return nb::cast(bound_trial(owner, self, study_call(*self.study, [&] { return self.study->ask(); })));
          },
          nb::arg("fixed_distributions") = nb::none(),
          nb::sig("def ask(self, fixed_distributions: object = None) -> Trial"),
          "A trial that waits, or a new one. With distributions (or options) by name these are suggested at once, in "
          "one write.")
      .def(
          "ask_spaces",
          [](nb::handle owner, const std::vector<SpaceTuple>& space) {
            BoundStudy& self = study_in(owner);
            auto [asked, values] =
                study_call(*self.study, [&, spaces = spaces_of(space)] { return self.study->ask(spaces); });
            return std::pair(bound_trial(owner, self, asked), std::move(values));
          },
          nb::arg("space"))
      .def(
          "ask_many_spaces",
          [](nb::handle owner, std::size_t count, const std::vector<SpaceTuple>& space) {
            BoundStudy& self = study_in(owner);
            const auto all =
                study_call(*self.study, [&, spaces = spaces_of(space)] { return self.study->ask_many(count, spaces); });
            std::vector<std::pair<BoundTrial, std::vector<double>>> made;
            made.reserve(all.size());
            for (const auto& [asked, values] : all) made.emplace_back(bound_trial(owner, self, asked), values);
            return made;
          },
          nb::arg("count"), nb::arg("space"))
      .def(
          "enqueue_json",
          [](BoundStudy& self, const std::string& parameters,
             const std::vector<std::pair<std::string, std::string>>& attributes) {
            std::vector<tune::Attribute> given;
            given.reserve(attributes.size());
            for (const auto& [name, json] : attributes) given.push_back({name, json, false});
            return study_call(*self.study, [&] { return self.study->enqueue(parameters, given); });
          },
          nb::arg("parameters"), nb::arg("attributes"))
      .def("tell", &tell, nb::arg("trial"), nb::arg("values") = nb::none(), nb::arg("state") = nb::none(),
           nb::arg("skip_if_finished") = false,
           "What became of a trial (or of its number). Without a state: complete when there is a number for each "
           "objective, else "
           "failed, which is logged.")
      .def(
          "tell_many",
          [](BoundStudy& self, const std::vector<std::pair<nb::object, double>>& told) {
            std::vector<std::pair<tune::Asked, double>> values;
            values.reserve(told.size());
            for (const auto& [trial, value] : told) values.emplace_back(asked_of(self, trial), value);
            study_call(*self.study, [&] { return self.study->tell_many(values); });
          },
          nb::arg("told"), "Many (trial, value), in one write and one sync.");
}

}  // namespace

void bind_study(nb::module_& m) {
  bind_trial(m);
  nb::class_<BoundStudy> bound(m, "Study", "What is asked for, told and remembered.");
  bound.def(
      "__init__",
      [](BoundStudy* self, const std::shared_ptr<tune::Storage>& storage, const std::string& name,
         const std::vector<int>& directions, bool create, bool load_if_exists, std::optional<std::uint64_t> seed,
         const tune::SamplerFactory* sampler, const tune::PrunerFactory* pruner, bool synced_asks, bool synced_tells,
         const std::string& dead_trials) {
        tune::StudyOptions options = options_for(name, directions, load_if_exists, seed, sampler, pruner, synced_asks,
                                                 synced_tells, dead_trials);
        auto made = [&] {
          nb::gil_scoped_release release;
          return create ? tune::Study::create(storage, std::move(options))
                        : tune::Study::load(storage, std::move(options));
        }();
        new (self) BoundStudy{base::value_or_raise(std::move(made))};
      },
      nb::arg("storage"), nb::arg("name"), nb::arg("directions"), nb::kw_only(), nb::arg("create") = true,
      nb::arg("load_if_exists") = false, nb::arg("seed") = nb::none(), nb::arg("sampler") = nb::none(),
      nb::arg("pruner") = nb::none(), nb::arg("synced_asks") = false, nb::arg("synced_tells") = true,
      nb::arg("dead_trials") = "retry");
  bind_asking(bound);
  bound.def("best_number", [](BoundStudy& self) { return study_call(*self.study, [&] { return self.study->best(); }); })
      .def("best_numbers",
           [](BoundStudy& self) { return study_call(*self.study, [&] { return self.study->best_trials(); }); })
      .def(
          "reap", [](BoundStudy& self) { return study_call(*self.study, [&] { return self.study->reap(); }); },
          "Trials whose process died wait again, or have failed, as asked. Their numbers. ask() does so once a second.")
      .def(
          "stop", [](BoundStudy& self) { self.study->stop(); }, "optimize() starts no further trial.")
      .def_prop_ro("is_stopped", [](const BoundStudy& self) { return self.study->is_stopped(); })
      .def_prop_ro("study_id", [](const BoundStudy& self) { return self.study->id(); })
      .def_prop_ro("direction_numbers",
                   [](const BoundStudy& self) {
                     std::vector<int> directions;
                     for (const tune::Direction one : self.study->directions())
                       directions.push_back(static_cast<int>(one));
                     return directions;
                   })
      .def_prop_ro("study_name", [](const BoundStudy& self) { return self.study->name(); })
      .def_prop_ro(
          "seed", [](const BoundStudy& self) { return self.study->seed(); },
          "Of its random numbers; kept in the journal.")
      .def_prop_ro("storage", [](const BoundStudy& self) { return self.study->storage(); });
}
