// Experiments on a simulated clock: what a scheduler makes of many workers and hours of training, in milliseconds, the same each time.
// Nothing runs and nothing is waited for: a heap of events, keyed by their time and the order in which they were made, is the clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/scheduler.h"
#include "daybreak/tune/study.h"

namespace daybreak::tune {

// What training would have given. Called by one thread, in the order of the simulated times.
class Workload {
 public:
  struct Epoch {
    double score = 0;    // higher is better; NaN is never best
    double seconds = 0;  // that this epoch takes; finite, not negative
  };

  virtual ~Workload() = default;
  // Epochs after which a trial has ended by itself.
  virtual std::uint32_t epochs() const = 0;
  // Its config is chosen now; false: there are no more trials.
  virtual base::Result<bool> begin(std::uint32_t trial) = 0;
  // From 1 on, each once, but again after an exploit() or where it is resumed from before it (it is not, without one).
  virtual base::Result<Epoch> train(std::uint32_t trial, std::uint32_t epoch) = 0;
  // A result of the trial has been seen, and what was decided.
  virtual base::Status seen(std::uint32_t trial, std::uint32_t epoch, double score, Decision decision);
  // It goes on from source's state after `epoch`, with a config made of source's: `explored` of what the scheduler searches itself.
  virtual base::Status exploit(std::uint32_t trial, std::uint32_t source, std::uint32_t epoch,
                               std::span<const double> explored);
  // Of the trial's config what the scheduler searches itself; asked only by those that do.
  virtual base::Result<std::vector<double>> values(std::uint32_t trial, std::span<const std::string> names);
  // `stopped`: before its end.
  virtual base::Status ended(std::uint32_t trial, bool stopped);
};

// Rows of scores and of the seconds since a trial's beginning, `epochs` a row, by trial; a trial that exploits another goes on in its own
// row. kInvalidArgument for no rows, rows of two lengths, seconds that are not finite or become less.
base::Result<std::unique_ptr<Workload>> table_workload(std::vector<double> scores, std::vector<double> seconds,
                                                       std::uint32_t epochs);

// Curves a - b * epoch^-c with noise, drawn of the seed so that they cross: the best at the beginning are not the best at the end.
struct CurveOptions {
  std::uint32_t trials = 100;
  std::uint32_t epochs = 81;
  double noise = 0.02;
  double seconds = 1;  // an epoch takes between half and one and a half of it, by trial
  std::uint64_t seed = 0;
};
base::Result<std::unique_ptr<Workload>> curve_workload(const CurveOptions& options);

// Configs are the study's suggestions, which is told what came of them: the last score of a trial that ended by itself (kComplete), and
// reports of those that were stopped (kPruned). The study must outlive it; directions: one, to which `train`'s values belong.
using TrainStep = std::function<base::Result<Workload::Epoch>(std::span<const double> config, std::uint32_t epoch)>;
base::Result<std::unique_ptr<Workload>> study_workload(Study& study, std::vector<Space> space, std::uint32_t epochs,
                                                       TrainStep train);

struct SimulationOptions {
  std::uint32_t trials = 1;  // at most
  std::uint32_t workers = 1;
  // Chosen when they can run, knowing all that is known by then; else all at the beginning.
  bool one_by_one = false;
  bool by_seconds = false;  // the scheduler's time is what a trial has trained in seconds, not in epochs
  // What messages take: until a trial begins, until its result is seen, until its end is, until a stopped one's worker is free.
  double start_delay_s = 0.05;
  double result_delay_s = 0.05;
  double complete_delay_s = 0.05;
  double stop_delay_s = 0.05;
  double budget_s = Scheduler::kNever;  // all ends then
  std::uint64_t max_events = 100'000'000;
};

struct SimulatedEvent {
  enum class Kind : std::uint8_t { kStart, kResult, kPause, kStop, kComplete, kExploit };
  double time = 0;
  Kind kind = Kind::kStart;
  std::uint32_t trial = 0;
  std::uint32_t source = 0;  // kExploit: whose state it has now
  std::uint32_t epoch = 0;   // that it has reached
  double score = 0;          // kResult
};

struct SimulatedTrial {
  TrialState state = TrialState::kPending;
  std::uint32_t epoch = 0;
  double seconds = 0;  // trained, by whoever's state it goes on from
  double score = 0;    // the last
  std::uint32_t starts = 0;
};

struct Simulation {
  std::vector<SimulatedEvent> events;
  std::vector<SimulatedTrial> trials;
  double end_s = 0;          // the last event's time, or the budget
  double busy_s = 0;         // of all workers
  bool out_of_time = false;  // the budget ended it
};

// kInvalidArgument for options and epochs that cannot be, kResourceExhausted beyond max_events; the workload's errors.
base::Result<Simulation> simulated(Scheduler& scheduler, Workload& workload, const SimulationOptions& options);

}  // namespace daybreak::tune
