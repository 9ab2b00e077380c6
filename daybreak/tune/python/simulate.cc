// simulate() in daybreak._core.tune: experiments on a simulated clock.
#include "daybreak/tune/simulate.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <exception>
#include <string_view>

#include "daybreak/base/bind.h"
#include "daybreak/tune/python/scheduler_factory.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using nb::literals::operator""_a;
using tune::Simulation;
using tune::Workload;

namespace {

constexpr std::array<std::string_view, 6> kEventNames = {"start", "result", "pause", "stop", "complete", "exploit"};
constexpr std::array<std::string_view, 5> kEndNames = {"PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR"};

// A Python object's methods of Workload's names. What they raise ends the simulation and is raised again.
class PythonWorkload final : public Workload {
 public:
  PythonWorkload(nb::object object, std::uint32_t epochs) : object_(std::move(object)), epochs_(epochs) {}
  std::uint32_t epochs() const override { return epochs_; }
  base::Result<bool> begin(std::uint32_t trial) override {
    return caught([&] { return nb::cast<bool>(object_.attr("begin")(trial)); });
  }
  base::Result<Epoch> train(std::uint32_t trial, std::uint32_t epoch) override {
    return caught([&] {
      const auto [score, seconds] = nb::cast<std::tuple<double, double>>(object_.attr("train")(trial, epoch));
      return Epoch{.score = score, .seconds = seconds};
    });
  }
  base::Status seen(std::uint32_t trial, std::uint32_t epoch, double score, tune::Decision decision) override {
    return done([&] { object_.attr("seen")(trial, epoch, score, decision == tune::Decision::kStop); });
  }
  base::Status exploit(std::uint32_t trial, std::uint32_t source, std::uint32_t epoch,
                       std::span<const double> explored) override {
    return done(
        [&] { object_.attr("exploit")(trial, source, epoch, std::vector<double>(explored.begin(), explored.end())); });
  }
  base::Result<std::vector<double>> values(std::uint32_t trial, std::span<const std::string> names) override {
    return caught([&] {
      return nb::cast<std::vector<double>>(
          object_.attr("values")(trial, std::vector<std::string>(names.begin(), names.end())));
    });
  }
  base::Status ended(std::uint32_t trial, bool stopped) override {
    return done([&] { object_.attr("ended")(trial, stopped); });
  }
  void raise_again() const {
    if (raised_) std::rethrow_exception(raised_);
  }

 private:
  template <typename F>
  auto caught(F&& f) -> base::Result<decltype(f())> {
    try {
      return f();
    } catch (...) {
      raised_ = std::current_exception();
      return base::fail(base::Code::kAborted, "a workload raised");
    }
  }
  template <typename F>
  base::Status done(F&& f) {
    DAYBREAK_TRY(caught([&] { return f(), true; }));
    return {};
  }

  nb::object object_;
  std::uint32_t epochs_;
  std::exception_ptr raised_;
};

nb::list events_of(const Simulation& found) {
  nb::list events;
  for (const tune::SimulatedEvent& event : found.events) {
    events.append(nb::make_tuple(event.time, kEventNames[static_cast<std::size_t>(event.kind)], event.trial,
                                 event.source, event.epoch, event.score));
  }
  return events;
}

nb::dict dict_of_simulation(const Simulation& found) {
  nb::dict made;
  made["events"] = events_of(found);
  nb::list trials;
  for (const tune::SimulatedTrial& trial : found.trials) {
    trials.append(nb::make_tuple(kEndNames[static_cast<std::size_t>(trial.state)], trial.epoch, trial.seconds,
                                 trial.score, trial.starts));
  }
  made["trials"] = trials;
  made["end_s"] = found.end_s;
  made["busy_s"] = found.busy_s;
  made["out_of_time"] = found.out_of_time;
  return made;
}

tune::SimulationOptions options_of(const std::map<std::string, double>& given) {
  tune::SimulationOptions options;
  const auto take = [&given](const char* name, auto& value) {
    if (const auto found = given.find(name); found != given.end()) {
      value = static_cast<std::remove_reference_t<decltype(value)>>(found->second);
    }
  };
  take("trials", options.trials);
  take("workers", options.workers);
  take("one_by_one", options.one_by_one);
  take("by_seconds", options.by_seconds);
  take("start_delay_s", options.start_delay_s);
  take("result_delay_s", options.result_delay_s);
  take("complete_delay_s", options.complete_delay_s);
  take("stop_delay_s", options.stop_delay_s);
  take("budget_s", options.budget_s);
  return options;
}

using SimulatedNumbers = std::map<std::string, double>;

}  // namespace

void bind_simulate(nb::module_& m) {
  m.def(
      "simulate",
      [](const std::string& scheduler, const SimulatedNumbers& numbers, nb::object workload, std::uint32_t epochs,
         const SimulatedNumbers& options) {
        const auto decides = tune::python::scheduler_of(scheduler, numbers);
        if (!decides) base::raise(base::Error(base::Code::kInvalidArgument, "scheduler='': one of the native ones"));
        PythonWorkload trains(std::move(workload), epochs);
        auto found = tune::simulated(*decides, trains, options_of(options));
        trains.raise_again();
        return dict_of_simulation(base::value_or_raise(std::move(found)));
      },
      "scheduler"_a, "numbers"_a, "workload"_a, "epochs"_a, "options"_a,
      "An experiment of a workload's methods begin, train, seen, exploit, values and ended.");
  m.def(
      "simulate_table",
      [](const std::string& scheduler, const SimulatedNumbers& numbers, std::vector<double> scores,
         std::vector<double> seconds, std::uint32_t epochs, const SimulatedNumbers& options) {
        const auto decides = tune::python::scheduler_of(scheduler, numbers);
        if (!decides) base::raise(base::Error(base::Code::kInvalidArgument, "scheduler='': one of the native ones"));
        const auto trains = base::value_or_raise(tune::table_workload(std::move(scores), std::move(seconds), epochs));
        return dict_of_simulation(base::value_or_raise(tune::simulated(*decides, *trains, options_of(options))));
      },
      "scheduler"_a, "numbers"_a, "scores"_a, "seconds"_a, "epochs"_a, "options"_a,
      "An experiment over a table, flat, a row a trial: scores, and seconds since the trial's beginning.");
  m.def(
      "simulate_curves",
      [](std::uint32_t trials, std::uint32_t epochs, double noise, double seconds, std::uint64_t seed) {
        const auto made = base::value_or_raise(tune::curve_workload(
            {.trials = trials, .epochs = epochs, .noise = noise, .seconds = seconds, .seed = seed}));
        std::vector<double> scores;
        std::vector<double> elapsed;
        for (std::uint32_t trial = 0; trial < trials; ++trial) {
          double sum = 0;
          for (std::uint32_t epoch = 1; epoch <= epochs; ++epoch) {
            const Workload::Epoch found = base::value_or_raise(made->train(trial, epoch));
            scores.push_back(found.score);
            elapsed.push_back(sum += found.seconds);
          }
        }
        return std::make_tuple(std::move(scores), std::move(elapsed));
      },
      "trials"_a, "epochs"_a, "noise"_a, "seconds"_a, "seed"_a,
      "A table of curves a - b t^-c: scores and seconds, flat.");
}
