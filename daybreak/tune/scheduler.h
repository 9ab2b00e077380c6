// Schedulers: which trial runs next, and which stops early. One is a function of the order in which it was told things, and of its seed:
// so an experiment is resumed by telling it its journal again, and nothing of it is saved.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::tune {

enum class TrialState : std::uint8_t { kPending, kRunning, kPaused, kTerminated, kError };
inline bool ended(TrialState state) {
  return state == TrialState::kTerminated || state == TrialState::kError;
}

enum class Decision : std::uint8_t { kContinue, kPause, kStop };

struct Observation {
  double time = 0;   // the time attribute: iterations, seconds
  double score = 0;  // higher is better; NaN is never best
};

// What a scheduler wants of a trial other than the one whose result it has been told, or of that one beside its decision.
struct Move {
  enum class Kind : std::uint8_t {
    kStop,     // it ends where it is (it is paused)
    kExploit,  // it goes on from `source`'s checkpoint, with a config made of source's
    kSave,     // it keeps a checkpoint now: others will go on from it
  };
  Kind kind = Kind::kStop;
  std::uint32_t trial = 0;
  std::uint32_t source = 0;
};

// What schedulers see of the trials, which are numbered from 0 on.
class Board {
 public:
  virtual ~Board() = default;
  virtual std::size_t size() const = 0;
  virtual TrialState state(std::uint32_t trial) const = 0;
  // The first trial of a state.
  virtual std::optional<std::uint32_t> first(TrialState state) const = 0;
  // Whether others can go on from where it is: it saves when asked, or has given a checkpoint.
  virtual bool can_save(std::uint32_t trial) const = 0;
};

// Not locked: the experiment's one thread.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  virtual void on_add(std::uint32_t trial) = 0;
  // The trial runs. Its decision, of which kStop is its end; what befalls others goes into `moves`, of which kStop is theirs.
  virtual Decision on_result(std::uint32_t trial, const Observation& seen, const Board& board,
                             std::vector<Move>& moves) = 0;
  // It has ended by itself or by a stop rule (with its last result, if it had one), or by an error (nullptr).
  virtual void on_end(std::uint32_t trial, const Observation* last, const Board& board, std::vector<Move>& moves) = 0;
  // Of the pending and paused ones; nothing: none may run now.
  virtual std::optional<std::uint32_t> choose(const Board& board) const = 0;
  // Until the trial's time reaches this its results will be answered kContinue, without moves: it need not wait for answers.
  virtual double next(std::uint32_t trial) const = 0;
  // Nothing runs, nothing may, no trial will be added, and some have not ended: what was waited for will not come. Whether choose() or
  // a move has changed that.
  virtual bool unblock(const Board& board, std::vector<Move>& moves) {
    (void)board;
    (void)moves;
    return false;
  }
  virtual std::string status() const = 0;
  // Whether a trial that waits for an answer must have saved where it is: others may go on from there.
  virtual bool saves() const { return false; }
  // Whether those that have not begun begin in their order, whatever others report: they may be handed out ahead.
  virtual bool in_order() const { return false; }

  // Parameters (paths in a config, "model/lr") that it searches itself: it is told their values when a trial is added and when one goes
  // on with another config, and says what an exploit's are to be. None: kExploit's config is the caller's.
  virtual std::vector<std::string> searches() const { return {}; }
  virtual void on_values(std::uint32_t trial, std::span<const double> values) { (void)trial, (void)values; }
  virtual std::vector<double> explored(std::uint32_t trial, std::uint32_t source) const {
    (void)trial, (void)source;
    return {};
  }

  static constexpr double kNever = std::numeric_limits<double>::infinity();
  static constexpr double kAlways = -std::numeric_limits<double>::infinity();
};

// Pending ones in their order, then paused ones; nothing is decided.
std::unique_ptr<Scheduler> fifo_scheduler();
std::optional<std::uint32_t> first_that_waits(const Board& board);

// Asynchronous successive halving (Li et al., 2020), the variant that stops: a trial that at a rung is worse than the best
// 1/reduction_factor of those that came there before it stops. Ray's AsyncHyperBandScheduler, with rungs found in whole numbers.
struct AshaOptions {
  double max_t = 100;
  double grace_period = 1;
  double reduction_factor = 4;
  std::uint32_t brackets = 1;
  bool stop_last_trials = true;
  // The paper's own: a trial pauses at each rung; a free place promotes the best that waits at the top, or begins a new trial.
  bool promotes = false;
  std::uint64_t seed = 0;
};
base::Result<std::unique_ptr<Scheduler>> asha_scheduler(const AshaOptions& options);
std::unique_ptr<Scheduler> promoting_asha(const AshaOptions& options);  // asha_scheduler's part

// Synchronous: a bracket's trials pause at its milestone until all are there; the best 1/eta of them go on (Li et al., 2018).
struct HyperBandOptions {
  double max_t = 81;
  double reduction_factor = 3;
  bool stop_last_trials = true;
  // As BOHB has it (Falkner et al., 2018): a band begins with the bracket of the most trials, and none is halved before it is full.
  bool largest_first = false;
};
base::Result<std::unique_ptr<Scheduler>> hyperband_scheduler(const HyperBandOptions& options);

// Stops a trial whose best score so far is worse than the median of the others' running means (Vizier's rule).
struct MedianOptions {
  double grace_period = 60;
  std::uint32_t min_samples_required = 3;
  double min_time_slice = 0;
  bool hard_stop = true;
};
base::Result<std::unique_ptr<Scheduler>> median_scheduler(const MedianOptions& options);

// Population based training (Jaderberg et al., 2017): who goes on from whose checkpoint. The config that is explored from the source's is
// the caller's part (Move::Kind::kExploit).
struct PbtBound {
  std::string name;
  double low = 0;
  double high = 1;
};
struct PbtOptions {
  double perturbation_interval = 60;
  double burn_in_period = 0;
  double quantile_fraction = 0.25;
  bool synch = false;
  // With bounds it searches these itself, by population based bandits (schedulers/pb2.h).
  std::vector<PbtBound> bounds = {};
  std::uint64_t seed = 0;
};
base::Result<std::unique_ptr<Scheduler>> pbt_scheduler(const PbtOptions& options);

}  // namespace daybreak::tune
