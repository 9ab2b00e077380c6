#include "daybreak/tune/simulate.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <set>
#include <tuple>

#include "daybreak/tune/keyed.h"

namespace daybreak::tune {
namespace {

using base::Code;
using base::fail;

class Simulator final : public Board {
 public:
  Simulator(Scheduler& scheduler, Workload& workload, const SimulationOptions& options)
      : scheduler_(scheduler), workload_(workload), options_(options) {}

  base::Result<Simulation> run() {
    DAYBREAK_TRY(fill());
    while (true) {
      if (due_.empty()) {
        DAYBREAK_ASSIGN(const bool goes_on, unblocked());
        if (!goes_on) break;
        DAYBREAK_TRY(fill());
        continue;
      }
      const Due next = due_.top();
      if (next.time > options_.budget_s) {
        DAYBREAK_TRY(out_of_time());
        break;
      }
      due_.pop();
      if (++handled_ > options_.max_events) {
        return fail(Code::kResourceExhausted, "the simulation has more than max_events={} events", options_.max_events);
      }
      now_ = next.time;
      DAYBREAK_TRY(handle(next));
      DAYBREAK_TRY(fill());
    }
    found_.end_s = now_;
    return std::move(found_);
  }

  std::size_t size() const override { return found_.trials.size(); }
  TrialState state(std::uint32_t trial) const override { return found_.trials[trial].state; }
  std::optional<std::uint32_t> first(TrialState state) const override {
    const std::set<std::uint32_t>& trials = by_state_[static_cast<std::size_t>(state)];
    return trials.empty() ? std::nullopt : std::optional(*trials.begin());
  }
  bool can_save(std::uint32_t trial) const override { return found_.trials[trial].epoch > 0; }

 private:
  enum class What : std::uint8_t { kBegins, kTrained, kCompletes, kFrees };
  struct Due {
    double time;
    std::uint64_t sequence;
    What what;
    std::uint32_t trial;
    std::uint32_t attempt;  // of the trial: events of one that was stopped are passed over
    double seconds = 0;     // kTrained: what the epoch took
    double score = 0;
    bool operator>(const Due& other) const { return std::tie(time, sequence) > std::tie(other.time, other.sequence); }
  };
  struct Saved {
    std::uint32_t epoch = 0;
    double seconds = 0;
  };
  struct Own {
    std::uint32_t attempt = 0;
    double trained_at = 0;  // when its last epoch ended, before its message came
    double began = 0;
    std::optional<Saved> pinned = {};
  };

  void push(double time, What what, std::uint32_t trial, double seconds = 0, double score = 0) {
    due_.push({.time = time,
               .sequence = sequence_++,
               .what = what,
               .trial = trial,
               .attempt = own_[trial].attempt,
               .seconds = seconds,
               .score = score});
  }

  void log(SimulatedEvent::Kind kind, std::uint32_t trial, std::uint32_t source = 0) {
    found_.events.push_back({.time = now_,
                             .kind = kind,
                             .trial = trial,
                             .source = source,
                             .epoch = found_.trials[trial].epoch,
                             .score = found_.trials[trial].score});
  }

  void set_state(std::uint32_t trial, TrialState state) {
    TrialState& now = found_.trials[trial].state;
    by_state_[static_cast<std::size_t>(now)].erase(trial);
    now = state;
    by_state_[static_cast<std::size_t>(state)].insert(trial);
  }

  base::Result<bool> add() {
    if (no_more_ || size() >= options_.trials) return false;
    const auto trial = static_cast<std::uint32_t>(size());
    DAYBREAK_ASSIGN(const bool there, workload_.begin(trial));
    no_more_ = !there;
    if (!there) return false;
    found_.trials.emplace_back();
    own_.emplace_back();
    by_state_[static_cast<std::size_t>(TrialState::kPending)].insert(trial);
    scheduler_.on_add(trial);
    DAYBREAK_TRY(tell_values(trial));
    return true;
  }

  base::Status tell_values(std::uint32_t trial) {
    const std::vector<std::string> names = scheduler_.searches();
    if (names.empty()) return {};
    DAYBREAK_ASSIGN(std::vector<double> values, workload_.values(trial, names));
    if (values.size() != names.size()) {
      return fail(Code::kInvalidArgument, "{} values of trial {} for {} names", values.size(), trial, names.size());
    }
    scheduler_.on_values(trial, values);
    return {};
  }

  base::Status fill() {
    while (!options_.one_by_one) {
      DAYBREAK_ASSIGN(const bool added, add());
      if (!added) break;
    }
    while (busy_ < options_.workers) {
      if (options_.one_by_one && !first(TrialState::kPending)) DAYBREAK_TRY(add());
      const std::optional<std::uint32_t> trial = scheduler_.choose(*this);
      if (!trial) return {};
      ++busy_;
      ++found_.trials[*trial].starts;
      ++own_[*trial].attempt;
      own_[*trial].began = now_;
      set_state(*trial, TrialState::kRunning);
      log(SimulatedEvent::Kind::kStart, *trial);
      push(now_ + options_.start_delay_s, What::kBegins, *trial);
    }
    return {};
  }

  base::Status handle(const Due& due) {
    if (due.what == What::kFrees) {
      --busy_;
      return {};
    }
    if (due.attempt != own_[due.trial].attempt) return {};
    switch (due.what) {
      case What::kBegins: own_[due.trial].trained_at = now_; return train(due.trial);
      case What::kTrained: return trained(due);
      default: return completes(due.trial);
    }
  }

  base::Status train(std::uint32_t trial) {
    const std::uint32_t epoch = found_.trials[trial].epoch + 1;
    Own& own = own_[trial];
    if (epoch > workload_.epochs()) {
      push(own.trained_at + options_.complete_delay_s, What::kCompletes, trial);
      return {};
    }
    DAYBREAK_ASSIGN(const Workload::Epoch found, workload_.train(trial, epoch));
    if (!(found.seconds >= 0) || !std::isfinite(found.seconds)) {
      return fail(Code::kInvalidArgument, "epoch {} of trial {} takes {} seconds: finite and not negative", epoch,
                  trial, found.seconds);
    }
    own.trained_at += found.seconds;
    push(own.trained_at + options_.result_delay_s, What::kTrained, trial, found.seconds, found.score);
    return {};
  }

  base::Status trained(const Due& due) {
    SimulatedTrial& row = found_.trials[due.trial];
    ++row.epoch;
    row.seconds += due.seconds;
    row.score = due.score;
    const Observation seen{.time = options_.by_seconds ? row.seconds : row.epoch, .score = due.score};
    std::vector<Move> moves;
    const Decision decision = scheduler_.on_result(due.trial, seen, *this, moves);
    log(SimulatedEvent::Kind::kResult, due.trial);
    DAYBREAK_TRY(workload_.seen(due.trial, row.epoch, due.score, decision));
    if (decision != Decision::kContinue) DAYBREAK_TRY(leaves(due.trial, decision == Decision::kStop));
    DAYBREAK_TRY(apply(moves));
    return state(due.trial) == TrialState::kRunning ? train(due.trial) : base::Status{};
  }

  // A running one stops or pauses: its later events are none, and its worker is free soon.
  base::Status leaves(std::uint32_t trial, bool stops) {
    if (state(trial) == TrialState::kRunning) {
      ++own_[trial].attempt;
      const double delay = found_.out_of_time ? 0 : options_.stop_delay_s;
      found_.busy_s += now_ - own_[trial].began + delay;
      push(now_ + delay, What::kFrees, trial);
    }
    set_state(trial, stops ? TrialState::kTerminated : TrialState::kPaused);
    log(stops ? SimulatedEvent::Kind::kStop : SimulatedEvent::Kind::kPause, trial);
    return stops ? workload_.ended(trial, true) : base::Status{};
  }

  base::Status completes(std::uint32_t trial) {
    const SimulatedTrial& row = found_.trials[trial];
    const Observation last{.time = options_.by_seconds ? row.seconds : row.epoch, .score = row.score};
    std::vector<Move> moves;
    scheduler_.on_end(trial, row.epoch > 0 ? &last : nullptr, *this, moves);
    set_state(trial, TrialState::kTerminated);
    log(SimulatedEvent::Kind::kComplete, trial);
    --busy_;
    found_.busy_s += now_ - own_[trial].began;
    DAYBREAK_TRY(workload_.ended(trial, false));
    return apply(moves);
  }

  base::Status apply(const std::vector<Move>& moves) {
    for (const Move& move : moves) {
      SimulatedTrial& row = found_.trials[move.trial];
      switch (move.kind) {
        case Move::Kind::kStop:
          if (!tune::ended(row.state)) DAYBREAK_TRY(leaves(move.trial, true));
          break;
        case Move::Kind::kSave: own_[move.trial].pinned = Saved{.epoch = row.epoch, .seconds = row.seconds}; break;
        case Move::Kind::kExploit: {
          const SimulatedTrial& source = found_.trials[move.source];
          const Saved from = own_[move.source].pinned.value_or(Saved{.epoch = source.epoch, .seconds = source.seconds});
          row.epoch = from.epoch;
          row.seconds = from.seconds;
          log(SimulatedEvent::Kind::kExploit, move.trial, move.source);
          DAYBREAK_TRY(
              workload_.exploit(move.trial, move.source, from.epoch, scheduler_.explored(move.trial, move.source)));
          DAYBREAK_TRY(tell_values(move.trial));
          break;
        }
      }
    }
    return {};
  }

  // Nothing is to come: whether the scheduler lets something run after all. What waits then ends where it is.
  base::Result<bool> unblocked() {
    if (!first(TrialState::kPending) && !first(TrialState::kPaused)) return false;
    std::vector<Move> moves;
    const bool changed = scheduler_.unblock(*this, moves);
    DAYBREAK_TRY(apply(moves));
    if (changed && scheduler_.choose(*this)) return true;
    for (std::uint32_t trial = 0; trial < size(); ++trial) {
      if (!tune::ended(state(trial))) DAYBREAK_TRY(leaves(trial, true));
    }
    return false;
  }

  base::Status out_of_time() {
    now_ = options_.budget_s;
    found_.out_of_time = true;
    for (std::uint32_t trial = 0; trial < size(); ++trial) {
      if (!tune::ended(state(trial))) DAYBREAK_TRY(leaves(trial, true));
    }
    return {};
  }

  Scheduler& scheduler_;
  Workload& workload_;
  const SimulationOptions options_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::uint64_t sequence_ = 0;
  std::uint64_t handled_ = 0;
  double now_ = 0;
  std::uint32_t busy_ = 0;
  bool no_more_ = false;
  std::vector<Own> own_;
  std::set<std::uint32_t> by_state_[5];
  Simulation found_;
};

class TableWorkload final : public Workload {
 public:
  TableWorkload(std::vector<double> scores, std::vector<double> seconds, std::uint32_t epochs)
      : scores_(std::move(scores)), seconds_(std::move(seconds)), epochs_(epochs) {}
  std::uint32_t epochs() const override { return epochs_; }
  base::Result<bool> begin(std::uint32_t trial) override { return trial < scores_.size() / epochs_; }
  base::Result<Epoch> train(std::uint32_t trial, std::uint32_t epoch) override {
    const std::size_t place = std::size_t{trial} * epochs_ + epoch - 1;
    // What it had taken before it was paused is not taken again.
    return Epoch{.score = scores_[place], .seconds = seconds_[place] - (epoch > 1 ? seconds_[place - 1] : 0)};
  }

 private:
  std::vector<double> scores_;
  std::vector<double> seconds_;
  std::uint32_t epochs_;
};

class StudyWorkload final : public Workload {
 public:
  StudyWorkload(Study& study, std::vector<Space> space, std::uint32_t epochs, TrainStep train)
      : study_(study), space_(std::move(space)), epochs_(epochs), train_(std::move(train)) {}
  std::uint32_t epochs() const override { return epochs_; }
  base::Result<bool> begin(std::uint32_t trial) override {
    DAYBREAK_ASSIGN(auto asked, study_.ask(space_));
    if (trial != trials_.size()) return fail(Code::kInternal, "trial {} begins as number {}", trial, trials_.size());
    trials_.push_back({.asked = asked.first, .config = std::move(asked.second)});
    return true;
  }
  base::Result<Epoch> train(std::uint32_t trial, std::uint32_t epoch) override {
    return train_(trials_[trial].config, epoch);
  }
  base::Status seen(std::uint32_t trial, std::uint32_t epoch, double score, Decision) override {
    trials_[trial].value = study_.directions()[0] == Direction::kMaximize ? score : -score;
    return study_.report(trials_[trial].asked, trials_[trial].value, epoch);
  }
  base::Status exploit(std::uint32_t trial, std::uint32_t source, std::uint32_t, std::span<const double>) override {
    return fail(Code::kFailedPrecondition,
                "trial {} is to go on from trial {} with another config: a population searches itself, without a study",
                trial, source);
  }
  base::Status ended(std::uint32_t trial, bool stopped) override {
    const Trained& one = trials_[trial];
    if (stopped) return study_.tell(one.asked, State::kPruned);
    if (std::isnan(one.value)) return study_.tell(one.asked, State::kFailed);
    return study_.tell(one.asked, one.value);
  }

 private:
  struct Trained {
    Asked asked;
    std::vector<double> config;
    double value = std::nan("");
  };
  Study& study_;
  std::vector<Space> space_;
  std::uint32_t epochs_;
  TrainStep train_;
  std::vector<Trained> trials_;
};

base::Status check_delay(std::string_view name, double value) {
  if (value >= 0 && std::isfinite(value)) return {};
  return fail(Code::kInvalidArgument, "{}={}: seconds, finite and not negative", name, value);
}

}  // namespace

base::Status Workload::seen(std::uint32_t, std::uint32_t, double, Decision) {
  return {};
}
base::Status Workload::exploit(std::uint32_t, std::uint32_t, std::uint32_t, std::span<const double>) {
  return {};
}
base::Result<std::vector<double>> Workload::values(std::uint32_t, std::span<const std::string>) {
  return fail(Code::kUnimplemented, "this workload knows no values, which the scheduler searches itself");
}
base::Status Workload::ended(std::uint32_t, bool) {
  return {};
}

base::Result<std::unique_ptr<Workload>> table_workload(std::vector<double> scores, std::vector<double> seconds,
                                                       std::uint32_t epochs) {
  if (epochs == 0 || scores.empty() || scores.size() % epochs != 0) {
    return fail(Code::kInvalidArgument, "a table of {} scores in rows of {}: at least one row, all of one length",
                scores.size(), epochs);
  }
  if (seconds.size() != scores.size()) {
    return fail(Code::kInvalidArgument, "a table of {} scores and {} seconds: as many of both", scores.size(),
                seconds.size());
  }
  for (std::size_t k = 0; k < seconds.size(); ++k) {
    const double before = k % epochs == 0 ? 0 : seconds[k - 1];
    if (seconds[k] >= before && std::isfinite(seconds[k])) continue;
    return fail(Code::kInvalidArgument,
                "row {} has {} seconds at epoch {} after {}: they are since the trial's beginning, and finite",
                k / epochs, seconds[k], k % epochs + 1, before);
  }
  return std::make_unique<TableWorkload>(std::move(scores), std::move(seconds), epochs);
}

base::Result<std::unique_ptr<Workload>> curve_workload(const CurveOptions& options) {
  if (options.trials == 0 || options.epochs == 0 || std::uint64_t{options.trials} * options.epochs > 1u << 28) {
    return fail(Code::kInvalidArgument, "{} curves of {} epochs: at least one of both, at most 2^28 in all",
                options.trials, options.epochs);
  }
  DAYBREAK_TRY(check_delay("noise", options.noise));
  DAYBREAK_TRY(check_delay("seconds", options.seconds));
  std::vector<double> scores;
  std::vector<double> seconds;
  for (std::uint32_t trial = 0; trial < options.trials; ++trial) {
    Keyed random(options.seed, trial, "curve");
    const double a = random.uniform(0.5, 1);
    const double b = random.uniform(0.2, 1);
    const double c = random.uniform(0.2, 1.5);
    const double pace = options.seconds * random.uniform(0.5, 1.5);
    for (std::uint32_t epoch = 1; epoch <= options.epochs; ++epoch) {
      scores.push_back(a - b * std::pow(epoch, -c) + options.noise * random.normal());
      seconds.push_back(pace * epoch);
    }
  }
  return table_workload(std::move(scores), std::move(seconds), options.epochs);
}

base::Result<std::unique_ptr<Workload>> study_workload(Study& study, std::vector<Space> space, std::uint32_t epochs,
                                                       TrainStep train) {
  if (study.directions().size() != 1) {
    return fail(Code::kInvalidArgument, "the study has {} objectives: a scheduler knows one",
                study.directions().size());
  }
  return std::make_unique<StudyWorkload>(study, std::move(space), epochs, std::move(train));
}

base::Result<Simulation> simulated(Scheduler& scheduler, Workload& workload, const SimulationOptions& options) {
  if (options.trials == 0 || options.trials > 1u << 24) {
    return fail(Code::kInvalidArgument, "trials={}: 1 to 2^24", options.trials);
  }
  if (options.workers == 0) return fail(Code::kInvalidArgument, "workers=0: at least 1");
  if (workload.epochs() == 0) return fail(Code::kInvalidArgument, "epochs=0: at least 1");
  DAYBREAK_TRY(check_delay("start_delay_s", options.start_delay_s));
  DAYBREAK_TRY(check_delay("result_delay_s", options.result_delay_s));
  DAYBREAK_TRY(check_delay("complete_delay_s", options.complete_delay_s));
  DAYBREAK_TRY(check_delay("stop_delay_s", options.stop_delay_s));
  if (!(options.budget_s > 0)) return fail(Code::kInvalidArgument, "budget_s={}: above 0", options.budget_s);
  return Simulator(scheduler, workload, options).run();
}

}  // namespace daybreak::tune
