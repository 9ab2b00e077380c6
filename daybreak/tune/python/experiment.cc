// Experiment in daybreak._core.tune: the controller's records and decisions.
#include "daybreak/tune/experiment.h"

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>

#include "daybreak/base/bind.h"
#include "daybreak/tune/python/scheduler_factory.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using tune::Decision;
using tune::Experiment;
using tune::ExperimentTrial;
using tune::TrialState;

namespace {

constexpr std::array<std::string_view, 5> kStates = {"PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR"};
constexpr std::array<std::string_view, 3> kDecisions = {"CONTINUE", "PAUSE", "STOP"};

std::string_view state_name(TrialState state) {
  return kStates[static_cast<std::size_t>(state)];
}

template <typename E, std::size_t N>
E named_choice(const std::array<std::string_view, N>& names, std::string_view name, const char* what) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<E>(i);
  }
  base::raise(base::Error(base::Code::kInvalidArgument,
                          fmt::format("{}='{}': {}", what, name.substr(0, 80), fmt::join(names, ", "))));
}

nb::bytes bytes_of(const std::string& text) {
  return nb::bytes(text.data(), text.size());
}
std::string_view view_of_bytes(const nb::bytes& bytes) {
  return {bytes.c_str(), bytes.size()};
}

nb::dict row_of(const ExperimentTrial& row) {
  nb::dict made;
  made["id"] = row.id;
  made["suggestion"] = row.suggestion;
  made["state"] = state_name(row.state);
  made["starts"] = row.starts;
  made["failures"] = row.failures;
  made["iteration"] = row.iteration;
  made["time"] = row.time;
  made["result"] = row.result;
  made["error"] = row.error;
  made["source"] = row.source;
  made["from"] = row.from.name;
  made["from_iteration"] = row.from.iteration;
  made["from_time"] = row.from.time;
  nb::list checkpoints;
  for (const tune::SavedCheckpoint& one : row.checkpoints) {
    checkpoints.append(nb::make_tuple(one.name, one.iteration, one.time, one.rank));
  }
  made["checkpoints"] = checkpoints;
  return made;
}

struct RecordDict {
  nb::dict made;
  explicit RecordDict(const char* kind) { made["kind"] = kind; }
  template <typename T>
  RecordDict& with(const char* name, const T& value) {
    made[name] = value;
    return *this;
  }
};

nb::dict dict_of(const tune::PlanRecord& r) {
  return RecordDict("plan").with("text", r.text).made;
}
nb::dict dict_of(const tune::TrialRecord& r) {
  return RecordDict("trial").with("trial", r.trial).with("id", r.id).with("suggestion", r.suggestion).made;
}
nb::dict dict_of(const tune::StartRecord& r) {
  return RecordDict("start").with("trial", r.trial).with("source", r.source).with("checkpoint", r.checkpoint).made;
}
nb::dict dict_of(const tune::ResultRecord& r) {
  return RecordDict("result")
      .with("trial", r.trial)
      .with("iteration", r.iteration)
      .with("time", r.time)
      .with("score", r.score)
      .with("scored", (r.flags & tune::ResultRecord::kHasScore) != 0)
      .with("done", (r.flags & tune::ResultRecord::kDone) != 0)
      .with("rank", r.rank)
      .with("checkpoint", r.checkpoint)
      .with("text", r.text)
      .made;
}
nb::dict dict_of(const tune::DecisionRecord& r) {
  return RecordDict("decision")
      .with("trial", r.trial)
      .with("decision", kDecisions[static_cast<std::size_t>(r.decision)])
      .made;
}
nb::dict dict_of(const tune::ExploitRecord& r) {
  return RecordDict("exploit")
      .with("trial", r.trial)
      .with("source", r.source)
      .with("checkpoint", r.checkpoint)
      .with("suggestion", r.suggestion)
      .made;
}
nb::dict dict_of(const tune::EndRecord& r) {
  return RecordDict("end").with("trial", r.trial).with("state", state_name(r.state)).with("error", r.error).made;
}
nb::dict dict_of(const tune::CheckpointRecord& r) {
  return RecordDict("checkpoint")
      .with("trial", r.trial)
      .with("iteration", r.iteration)
      .with("time", r.time)
      .with("rank", r.rank)
      .with("checkpoint", r.checkpoint)
      .made;
}
nb::dict dict_of(const tune::ForgetRecord& r) {
  return RecordDict("forget").with("trial", r.trial).with("checkpoint", r.checkpoint).made;
}
nb::dict dict_of(const tune::UnblockRecord&) {
  return RecordDict("unblock").made;
}

nb::bytes pack_result(const std::string& text, std::uint64_t iteration, double time, double score, bool scored,
                      bool done, const std::string& checkpoint, double rank) {
  std::uint8_t flags = 0;
  if (scored) flags |= tune::ResultRecord::kHasScore;
  if (done) flags |= tune::ResultRecord::kDone;
  std::string packed;
  Experiment::pack(packed, {.trial = 0,
                            .flags = flags,
                            .iteration = iteration,
                            .time = time,
                            .score = score,
                            .rank = rank,
                            .checkpoint = checkpoint,
                            .text = text});
  return bytes_of(packed);
}

void check_trial(const Experiment& experiment, std::uint32_t trial) {
  if (trial >= experiment.size())
    throw nb::index_error(fmt::format("trial {}: there are {}", trial, experiment.size()).c_str());
}

using ExperimentClass = nb::class_<Experiment>;
using Numbers = std::map<std::string, double>;

void bind_opening(ExperimentClass& experiment) {
  experiment
      .def_static(
          "create",
          [](const std::string& path, std::string plan, const std::string& scheduler, const Numbers& numbers) {
            return base::value_or_raise(
                Experiment::create(path, std::move(plan), tune::python::scheduler_of(scheduler, numbers)));
          },
          nb::arg("path"), nb::arg("plan"), nb::arg("scheduler") = "fifo", nb::arg("numbers") = Numbers())
      .def_static(
          "open",
          [](const std::string& path, const std::string& scheduler, const Numbers& numbers) {
            return base::value_or_raise(Experiment::open(path, tune::python::scheduler_of(scheduler, numbers)));
          },
          nb::arg("path"), nb::arg("scheduler") = "fifo", nb::arg("numbers") = Numbers(),
          "Replays the journal; trials that ran are pending again.")
      .def_static(
          "read", [](const std::string& path) { return base::value_or_raise(Experiment::read(path)); }, nb::arg("path"),
          "What is there, also while somebody drives it; nothing can be changed.")
      .def_static(
          "plan_of", [](const std::string& path) { return base::value_or_raise(Experiment::plan_of(path)); },
          nb::arg("path"))
      .def_static(
          "is_driven", [](const std::string& path) { return base::value_or_raise(Experiment::is_driven(path)); },
          nb::arg("path"), "Whether a process has it open to go on with it.")
      .def_prop_ro("plan", &Experiment::plan)
      .def(
          "set_plan", [](Experiment& e, std::string plan) { base::value_or_raise(e.set_plan(std::move(plan))); },
          nb::arg("plan"));
}

void bind_trials(ExperimentClass& experiment) {
  experiment.def("__len__", &Experiment::size)
      .def(
          "state",
          [](const Experiment& e, std::uint32_t trial) {
            check_trial(e, trial);
            return state_name(e.state(trial));
          },
          nb::arg("trial"))
      .def(
          "count",
          [](const Experiment& e, std::string_view state) {
            return e.count(named_choice<TrialState>(kStates, state, "state"));
          },
          nb::arg("state"))
      .def(
          "trial",
          [](const Experiment& e, std::uint32_t trial) {
            check_trial(e, trial);
            return row_of(e.trial(trial));
          },
          nb::arg("trial"), "What is known of it.")
      .def(
          "add",
          [](Experiment& e, std::string id, std::string suggestion) {
            return base::value_or_raise(e.add(std::move(id), std::move(suggestion)));
          },
          nb::arg("id"), nb::arg("suggestion"))
      .def(
          "start", [](Experiment& e, std::uint32_t trial) { base::value_or_raise(e.start(trial)); }, nb::arg("trial"))
      .def(
          "result",
          [](const Experiment& e, std::uint32_t trial) {
            check_trial(e, trial);
            return e.trial(trial).result;
          },
          nb::arg("trial"), "The last that counts, as JSON, or ''.")
      .def(
          "results",
          [](Experiment& e, std::uint32_t trial, const nb::bytes& packed, const nb::bytes& tail) {
            return base::value_or_raise(e.results(trial, view_of_bytes(packed), view_of_bytes(tail)));
          },
          nb::arg("trial"), nb::arg("packed"), nb::arg("tail") = nb::bytes(""))
      .def(
          "decide",
          [](Experiment& e, std::uint32_t trial, std::string_view decision) {
            base::value_or_raise(e.decide(trial, named_choice<Decision>(kDecisions, decision, "decision")));
          },
          nb::arg("trial"), nb::arg("decision"))
      .def(
          "end",
          [](Experiment& e, std::uint32_t trial, std::string_view state, std::string error) {
            base::value_or_raise(e.end(trial, named_choice<TrialState>(kStates, state, "state"), std::move(error)));
          },
          nb::arg("trial"), nb::arg("state"), nb::arg("error") = "")
      .def(
          "saved",
          [](Experiment& e, std::uint32_t trial, std::string name, std::uint64_t iteration, double time, double rank) {
            base::value_or_raise(
                e.saved(trial, {.name = std::move(name), .iteration = iteration, .time = time, .rank = rank}));
          },
          nb::arg("trial"), nb::arg("name"), nb::arg("iteration"), nb::arg("time"), nb::arg("rank"))
      .def(
          "exploit",
          [](Experiment& e, std::uint32_t trial, std::uint32_t source, std::string suggestion) {
            base::value_or_raise(e.exploit(trial, source, std::move(suggestion)));
          },
          nb::arg("trial"), nb::arg("source"), nb::arg("suggestion"));
}

void bind_scheduling(ExperimentClass& experiment) {
  experiment
      .def(
          "reopen",
          [](Experiment& e, std::uint32_t trial, bool from_checkpoint) {
            base::value_or_raise(e.reopen(trial, from_checkpoint));
          },
          nb::arg("trial"), nb::arg("from_checkpoint"))
      .def(
          "surplus",
          [](Experiment& e, std::uint32_t trial, std::size_t keep) {
            return base::value_or_raise(e.surplus(trial, keep));
          },
          nb::arg("trial"), nb::arg("keep"),
          "Checkpoints above `keep` that nobody needs; they are forgotten: delete them.")
      .def("choose", &Experiment::choose)
      .def("hand", &Experiment::hand,
           "The first that waits and has never begun, for who will start() it when one before it has ended; None: not "
           "now.")
      .def("take_back", &Experiment::take_back, nb::arg("trial"), "It was handed, and waits again.")
      .def("next", &Experiment::next, nb::arg("trial"))
      .def_prop_ro("saves", &Experiment::saves)
      .def(
          "explored",
          [](const Experiment& e, std::uint32_t trial, std::uint32_t source) {
            check_trial(e, trial);
            check_trial(e, source);
            const std::vector<std::string> names = e.searches();
            const std::vector<double> values = e.explored(trial, source);
            std::map<std::string, double> found;
            for (std::size_t k = 0; k < std::min(names.size(), values.size()); ++k) found[names[k]] = values[k];
            return found;
          },
          nb::arg("trial"), nb::arg("source"),
          "What the scheduler searches itself, by path, as the trial has it that goes on from source.")
      .def("unblock", [](Experiment& e) { return base::value_or_raise(e.unblock()); })
      .def(
          "take_stopped", [](tune::Experiment& e) { return e.take_stopped(); },
          "Trials that were stopped while they did not run.")
      .def("take_exploits",
           [](Experiment& e) {
             std::vector<std::tuple<std::uint32_t, std::uint32_t>> made;
             for (const tune::Move& move : e.take_moves()) made.emplace_back(move.trial, move.source);
             return made;
           })
      .def("status", &Experiment::status)
      .def(
          "flush",
          [](Experiment& e, bool synced) {
            nb::gil_scoped_release release;
            const auto done = e.flush(synced);
            nb::gil_scoped_acquire acquire;
            base::value_or_raise(done);
          },
          nb::arg("synced") = false)
      .def("close", [](Experiment& e) { base::value_or_raise(e.close()); });
}

void bind_results(nb::module_& m) {
  m.def(
      "texts_of",
      [](const nb::bytes& packed) {
        std::vector<std::string> texts;
        for (auto& result : base::value_or_raise(Experiment::unpacked(view_of_bytes(packed)))) {
          texts.push_back(std::move(result.text));
        }
        return texts;
      },
      nb::arg("packed"), "The JSON of each of the results.");
  m.def(
      "cut_at",
      [](const nb::bytes& packed, std::size_t count) {
        std::string kept;
        std::vector<tune::ResultRecord> results = base::value_or_raise(Experiment::unpacked(view_of_bytes(packed)));
        results.resize(std::min(count, results.size()));
        if (!results.empty()) results.back().flags |= tune::ResultRecord::kDone;
        for (const tune::ResultRecord& result : results) Experiment::pack(kept, result);
        return bytes_of(kept);
      },
      nb::arg("packed"), nb::arg("count"), "The first so many results, of which the last is the trial's last.");
  m.def("pack_result", &pack_result, nb::arg("text"), nb::arg("iteration"), nb::arg("time"), nb::arg("score"),
        nb::arg("scored"), nb::arg("done") = false, nb::arg("checkpoint") = "", nb::arg("rank") = 0.0,
        "One result as Experiment.results() takes them, one behind the other.");
  m.def(
      "decoded_record",
      [](std::uint32_t kind, const nb::bytes& body) {
        const auto record = base::value_or_raise(tune::decoded(kind, view_of_bytes(body)));
        return std::visit([](const auto& one) { return dict_of(one); }, record);
      },
      nb::arg("kind"), nb::arg("body"), "A record of an experiment's journal.");
}

}  // namespace

void bind_experiment(nb::module_& m) {
  nb::class_<Experiment::Answer>(m, "Answer", "What results of a trial led to.")
      .def_prop_ro("decision",
                   [](const Experiment::Answer& a) { return kDecisions[static_cast<std::size_t>(a.decision)]; })
      .def_ro("next", &Experiment::Answer::next, "Until its time reaches this it need not wait for answers.")
      .def_ro("counted", &Experiment::Answer::counted)
      .def_ro("late", &Experiment::Answer::late, "Results that came after its end: passed over.")
      .def_ro("unscored", &Experiment::Answer::unscored, "Results without the metric or the time: no decision.")
      .def_prop_ro("lines", [](const Experiment::Answer& a) { return bytes_of(a.lines); });
  nb::class_<Experiment> experiment(
      m, "Experiment",
      R"(Trials, what became of them, and their scheduler, in a journal; one thread, one driver.

``scheduler``: "fifo", "asha", "hyperband", "bohb", "median", "pbt", "pb2" with its numbers, or "" when decisions are the caller's.)");
  bind_opening(experiment);
  bind_trials(experiment);
  bind_scheduling(experiment);
  bind_results(m);
}
