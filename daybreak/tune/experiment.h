// An experiment: its trials, what became of them, and its scheduler, in a journal. Every change is a record; what is in memory is what
// the records say, so that an experiment which a death has ended goes on from the file: no trial lost, none run twice.
//
// Results of a trial count in one line: after a restart the line goes on from the checkpoint, and what was reported behind it by the
// attempt that died is not told to the scheduler again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/fd.h"
#include "daybreak/store/journal.h"
#include "daybreak/tune/experiment_records.h"
#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {

struct SavedCheckpoint {
  std::string name;
  std::uint64_t iteration = 0;
  double time = 0;
  double rank = 0;
};

struct ExperimentTrial {
  std::string id = {};
  std::string suggestion = {};  // JSON
  TrialState state = TrialState::kPending;
  std::uint32_t starts = 0;
  std::uint32_t failures = 0;  // attempts that ended in an error
  std::uint64_t iteration = 0;
  double time = 0;
  double score = 0;                               // as of `fed`
  double fed = Scheduler::kAlways;                // up to this time the scheduler has been told
  std::string result = {};                        // the last that counts, as JSON
  std::string error = {};                         // of the last attempt that failed
  std::vector<SavedCheckpoint> checkpoints = {};  // that are kept, ascending in time of saving
  // Where its next attempt begins: of whose checkpoints, and which ("": from nothing).
  std::uint32_t source = 0;
  SavedCheckpoint from = {};
  std::string pinned = {};  // the checkpoint that a scheduler may send others to
};

// Not locked: one thread. Two on one file, in whatever processes, are refused.
class Experiment final : public Board {
 public:
  // A new one at `path` (the journal's): kAlreadyExists when there is one. Without a scheduler decisions are the caller's.
  static base::Result<std::unique_ptr<Experiment>> create(const std::string& path, std::string plan,
                                                          std::unique_ptr<Scheduler> scheduler);
  // Goes on with it: replays the journal. Trials that ran are pending again. kUnavailable: another driver has it.
  static base::Result<std::unique_ptr<Experiment>> open(const std::string& path, std::unique_ptr<Scheduler> scheduler);
  // What is there, also while somebody drives it: what changes it is kFailedPrecondition.
  static base::Result<std::unique_ptr<Experiment>> read(const std::string& path);
  // The plan as it stands, without opening.
  static base::Result<std::string> plan_of(const std::string& path);
  // Whether a process has it open to go on with it; asking takes nothing.
  static base::Result<bool> is_driven(const std::string& path);

  const std::string& plan() const { return plan_; }
  base::Status set_plan(std::string plan);

  std::size_t size() const override { return trials_.size(); }
  TrialState state(std::uint32_t trial) const override { return trials_[trial].state; }
  std::optional<std::uint32_t> first(TrialState state) const override;
  bool can_save(std::uint32_t trial) const override { return !trials_[trial].checkpoints.empty(); }
  std::uint64_t count(TrialState state) const {
    return by_state_[static_cast<std::size_t>(state)].size() + (state == TrialState::kPending ? handed_.size() : 0);
  }
  const ExperimentTrial& trial(std::uint32_t trial) const { return trials_[trial]; }

  base::Result<std::uint32_t> add(std::string id, std::string suggestion);
  // It runs from where `from` and `source` say.
  base::Status start(std::uint32_t trial);
  // The first that waits, for who will start it when one before it has ended: choose() passes it over. Nothing when there is none that
  // has never begun, or when the scheduler chooses otherwise than in their order. Not in the journal: until start() it is pending.
  std::optional<std::uint32_t> hand();
  void take_back(std::uint32_t trial);

  struct Answer {
    Decision decision = Decision::kContinue;
    double next = Scheduler::kNever;  // until its time reaches this it need not wait for answers
    std::uint32_t counted = 0;        // of the results
    std::uint32_t late = 0;           // that came after the trial's end: passed over
    std::uint32_t unscored = 0;       // without the metric or the time: no decision
    std::string lines = {};           // those that count as JSON lines
  };
  // `packed` are ResultRecords as pack() made them, in their order; `tail` (', "config": {...}') is added to each of the lines. Moves of
  // the scheduler: take_moves().
  base::Result<Answer> results(std::uint32_t trial, std::string_view packed, std::string_view tail = {});
  static void pack(std::string& packed, const ResultRecord& result);
  static base::Result<std::vector<ResultRecord>> unpacked(std::string_view packed);

  // For schedulers that are the caller's.
  base::Status decide(std::uint32_t trial, Decision decision);
  // The attempt is over: kTerminated, kError, or kPending to try again.
  base::Status end(std::uint32_t trial, TrialState state, std::string error);
  base::Status saved(std::uint32_t trial, SavedCheckpoint checkpoint);
  // What a kExploit asks for. An empty checkpoint: source's pinned one, or the last that it has.
  base::Status exploit(std::uint32_t trial, std::uint32_t source, std::string suggestion);
  // Starts it over from nothing (restart_errored), or lets it go on where it was (resume_errored).
  base::Status reopen(std::uint32_t trial, bool from_checkpoint);
  // Names of checkpoints that are above `keep`, the worst first, which nobody is to copy: no longer kept, to be deleted by the caller.
  base::Result<std::vector<std::string>> surplus(std::uint32_t trial, std::size_t keep);

  std::optional<std::uint32_t> choose() const {
    return scheduler_ ? scheduler_->choose(*this) : first_that_waits(*this);
  }
  double next(std::uint32_t trial) const { return scheduler_ ? scheduler_->next(trial) : Scheduler::kAlways; }
  bool saves() const { return scheduler_ && scheduler_->saves(); }
  // Of an exploit that is to be done: values of what the scheduler searches itself; empty: the config is the caller's.
  std::vector<std::string> searches() const { return scheduler_ ? scheduler_->searches() : std::vector<std::string>(); }
  std::vector<double> explored(std::uint32_t trial, std::uint32_t source) const {
    return scheduler_ && known(trial) && known(source) ? scheduler_->explored(trial, source) : std::vector<double>();
  }
  // Nothing runs and nothing may, but some have not ended: what they waited for will not come. Whether that has changed.
  base::Result<bool> unblock();
  // kExploits that are to be done; kStop and kSave are done here.
  std::vector<Move> take_moves();
  // Trials that a move has ended while they did not run: of their end nobody else hears.
  std::vector<std::uint32_t> take_stopped();
  std::string status() const;

  base::Status flush(bool synced);
  base::Status close();

 private:
  explicit Experiment(std::unique_ptr<Scheduler> scheduler) : scheduler_(std::move(scheduler)) {}
  base::Status lock(const std::string& path);
  base::Status replay(const std::string& path);
  base::Status settle_owed();
  base::Status known(std::uint32_t trial) const;
  base::Status note(const ExperimentRecord& record);
  base::Status count_result(std::uint32_t trial, std::string_view body, Answer& answer);
  void set_state(std::uint32_t trial, TrialState state);
  // What records do to what is in memory; what the scheduler wants is left in decision_ and moves_.
  base::Status apply(const ExperimentRecord& record);
  base::Status on(const PlanRecord& record);
  base::Status on(const TrialRecord& record);
  base::Status on(const StartRecord& record);
  base::Status on(const ResultRecord& record);
  base::Status on(const DecisionRecord& record);
  base::Status on(const ExploitRecord& record);
  base::Status on(const EndRecord& record);
  base::Status on(const CheckpointRecord& record);
  base::Status on(const ForgetRecord& record);
  base::Status on(const UnblockRecord& record);
  base::Status tell_values(std::uint32_t trial);
  void pin_saves();
  base::Status note_moves();

  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<store::Journal> journal_;
  base::Fd lock_;
  std::string plan_;
  std::vector<ExperimentTrial> trials_;
  std::set<std::uint32_t> by_state_[5];  // of the pending ones those that nobody was handed
  std::set<std::uint32_t> handed_;
  ResultRecord result_;  // scratch of results()
  std::string body_;
  Decision decision_ = Decision::kContinue;  // the last that the scheduler made
  std::vector<Move> moves_;                  // that it wants and no record says yet
  bool unblocked_ = false;
  std::vector<Move> exploits_;              // for the caller
  std::vector<std::uint32_t> stopped_;      // for the caller
  std::map<std::uint32_t, Decision> owed_;  // replay: decisions that no record says yet
};

}  // namespace daybreak::tune
