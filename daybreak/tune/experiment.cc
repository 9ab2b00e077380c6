#include "daybreak/tune/experiment.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "daybreak/base/bytes.h"
#include "daybreak/base/failpoint.h"
#include "daybreak/base/json.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/lock.h"

namespace daybreak::tune {

using base::Code;
using base::fail;

namespace {

store::JournalOptions experiment_journal() {
  return {.application = std::string(kJournalApplication)};
}

bool is_experiment(const store::JournalRecord& record) {
  return record.kind >= kFirstExperimentKind && record.kind <= kLastExperimentKind;
}

// Each record of the experiment, from the first on.
base::Status for_each_experiment_record(const std::string& path,
                                        const std::function<base::Status(const store::JournalRecord&)>& visit) {
  DAYBREAK_ASSIGN(const auto reader, store::JournalReader::open(path, experiment_journal()));
  while (true) {
    DAYBREAK_ASSIGN(const store::JournalBatch batch, reader->read());
    if (batch.records.empty()) return {};
    for (const store::JournalRecord& record : batch.records) {
      if (is_experiment(record)) DAYBREAK_TRY(visit(record));
    }
  }
}

}  // namespace

base::Result<std::unique_ptr<Experiment>> Experiment::create(const std::string& path, std::string plan,
                                                             std::unique_ptr<Scheduler> scheduler) {
  std::unique_ptr<Experiment> made(new Experiment(std::move(scheduler)));
  DAYBREAK_TRY(made->lock(path));
  DAYBREAK_ASSIGN(made->journal_, store::Journal::open(path, experiment_journal()));
  bool there = false;
  DAYBREAK_TRY(for_each_experiment_record(path, [&](const store::JournalRecord&) -> base::Status {
    there = true;
    return {};
  }));
  if (there) {
    return fail(Code::kAlreadyExists, "{} is an experiment already: restore it, or take another name", path);
  }
  DAYBREAK_TRY(made->set_plan(std::move(plan)));
  return made;
}

base::Result<std::unique_ptr<Experiment>> Experiment::open(const std::string& path,
                                                           std::unique_ptr<Scheduler> scheduler) {
  std::unique_ptr<Experiment> made(new Experiment(std::move(scheduler)));
  if (::access(path.c_str(), F_OK) != 0) return fail(Code::kNotFound, "{}: there is no experiment", path);
  DAYBREAK_TRY(made->lock(path));
  DAYBREAK_ASSIGN(made->journal_, store::Journal::open(path, experiment_journal()));
  DAYBREAK_TRY(made->replay(path));
  if (made->plan_.empty()) return fail(Code::kNotFound, "{}: there is no experiment in it", path);
  DAYBREAK_TRY(made->settle_owed());
  return made;
}

base::Result<std::unique_ptr<Experiment>> Experiment::read(const std::string& path) {
  std::unique_ptr<Experiment> made(new Experiment(nullptr));
  DAYBREAK_TRY(made->replay(path));
  if (made->plan_.empty()) return fail(Code::kNotFound, "{}: there is no experiment in it", path);
  return made;
}

base::Result<std::string> Experiment::plan_of(const std::string& path) {
  std::string plan;
  DAYBREAK_TRY(for_each_experiment_record(path, [&](const store::JournalRecord& record) -> base::Status {
    if (record.kind != PlanRecord::kKind) return {};
    DAYBREAK_ASSIGN(const ExperimentRecord found, decoded(record.kind, record.body));
    plan = std::get<PlanRecord>(found).text;
    return {};
  }));
  if (plan.empty()) return fail(Code::kNotFound, "{}: there is no experiment in it", path);
  return plan;
}

base::Result<bool> Experiment::is_driven(const std::string& path) {
  const std::string driver = path + ".driver";
  if (::access(driver.c_str(), F_OK) != 0) return false;  // written by nobody yet
  DAYBREAK_ASSIGN(const base::Fd file, os::open_file(driver, O_RDONLY));
  return os::byte_is_locked(file.get(), 0);
}

// Who drives it: a lock that a death frees, beside the journal.
base::Status Experiment::lock(const std::string& path) {
  DAYBREAK_ASSIGN(lock_, os::open_file(path + ".driver", O_RDWR | O_CREAT));
  if (const auto locked = os::lock_byte(lock_.get(), 0, false); !locked) {
    if (locked.error().code() != Code::kUnavailable) return locked;
    char pid[32] = {};
    const ::ssize_t size = ::pread(lock_.get(), pid, sizeof pid - 1, 0);
    return fail(Code::kUnavailable, "{}: process {} drives this experiment: wait for it, or end it", path,
                size > 0 ? pid : "?");
  }
  if (::ftruncate(lock_.get(), 0) != 0) return base::fail_errno(path + ".driver", errno);
  return os::write_at(lock_.get(), std::to_string(::getpid()), 0, path + ".driver");
}

// Feeding the scheduler as it was fed before: it decides again what it decided, and records say what was done of that.
base::Status Experiment::replay(const std::string& path) {
  DAYBREAK_TRY(for_each_experiment_record(path, [this](const store::JournalRecord& record) -> base::Status {
    auto found = decoded(record.kind, record.body);
    if (!found) return std::unexpected(std::move(found).error().wrap(fmt::format("record {}", record.number)));
    decision_ = Decision::kContinue;
    if (auto applied = apply(*found); !applied) {
      return std::unexpected(std::move(applied).error().wrap(fmt::format("record {}", record.number)));
    }
    if (const ResultRecord* result = std::get_if<ResultRecord>(&*found); result && decision_ != Decision::kContinue) {
      owed_[result->trial] = decision_;
    }
    return {};
  }));
  return {};
}

base::Status Experiment::settle_owed() {
  for (const auto& [trial, decision] : std::exchange(owed_, {})) {
    if (state(trial) == TrialState::kRunning) DAYBREAK_TRY(decide(trial, decision));
  }
  DAYBREAK_TRY(note_moves());
  stopped_.clear();  // the caller sees the states of all
  for (std::uint32_t trial = 0; trial < trials_.size(); ++trial) {
    if (state(trial) == TrialState::kRunning) set_state(trial, TrialState::kPending);  // its driver is gone
  }
  return {};
}

base::Status Experiment::known(std::uint32_t trial) const {
  if (trial < trials_.size()) return {};
  return fail(Code::kDataLoss, "trial {}: there are {}", trial, trials_.size());
}

base::Status Experiment::note(const ExperimentRecord& record) {
  if (!journal_) return fail(Code::kFailedPrecondition, "this experiment was opened to be read: open() it to go on");
  DAYBREAK_TRY(journal_->append(encoded(record), kind_of(record), store::Durability::kBuffered));
  return apply(record);
}

base::Status Experiment::apply(const ExperimentRecord& record) {
  return std::visit([this](const auto& one) { return on(one); }, record);
}

void Experiment::set_state(std::uint32_t trial, TrialState state) {
  ExperimentTrial& row = trials_[trial];
  by_state_[static_cast<std::size_t>(row.state)].erase(trial);
  handed_.erase(trial);
  row.state = state;
  by_state_[static_cast<std::size_t>(state)].insert(trial);
}

std::optional<std::uint32_t> Experiment::first(TrialState state) const {
  const std::set<std::uint32_t>& trials = by_state_[static_cast<std::size_t>(state)];
  if (trials.empty()) return std::nullopt;
  return *trials.begin();
}

base::Status Experiment::on(const PlanRecord& record) {
  plan_ = record.text;
  return {};
}

base::Status Experiment::on(const TrialRecord& record) {
  if (record.trial != trials_.size()) {
    return fail(Code::kDataLoss, "trial {} comes when there are {}", record.trial, trials_.size());
  }
  ExperimentTrial& row = trials_.emplace_back();
  row.id = record.id;
  row.suggestion = record.suggestion;
  row.source = record.trial;
  by_state_[static_cast<std::size_t>(TrialState::kPending)].insert(record.trial);
  if (scheduler_) scheduler_->on_add(record.trial);
  return tell_values(record.trial);
}

base::Status Experiment::on(const StartRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  ExperimentTrial& row = trials_[record.trial];
  if (row.state == TrialState::kRunning) set_state(record.trial, TrialState::kPending);  // by a driver that is gone
  ++row.starts;
  row.iteration = row.from.iteration;
  row.time = row.from.time;
  set_state(record.trial, TrialState::kRunning);
  return {};
}

base::Status Experiment::on(const ResultRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  ExperimentTrial& row = trials_[record.trial];
  row.iteration = record.iteration;
  row.result = record.text;
  if (!record.checkpoint.empty()) {
    row.checkpoints.push_back(
        {.name = record.checkpoint, .iteration = record.iteration, .time = record.time, .rank = record.rank});
    row.from = row.checkpoints.back();
    row.source = record.trial;
  }
  const bool scored = (record.flags & ResultRecord::kHasScore) != 0;
  const Observation seen{.time = record.time, .score = record.score};
  if (scored) row.time = record.time;
  if ((record.flags & ResultRecord::kDone) != 0) {
    if (scheduler_) scheduler_->on_end(record.trial, scored ? &seen : nullptr, *this, moves_);
    pin_saves();
    set_state(record.trial, TrialState::kTerminated);
    return {};
  }
  if (!scheduler_ || !scored || record.time <= row.fed) return {};
  row.fed = record.time;
  row.score = record.score;
  decision_ = scheduler_->on_result(record.trial, seen, *this, moves_);
  pin_saves();
  return {};
}

base::Status Experiment::on(const DecisionRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  owed_.erase(record.trial);
  if (record.decision == Decision::kPause) set_state(record.trial, TrialState::kPaused);
  if (record.decision == Decision::kStop) {
    set_state(record.trial, TrialState::kTerminated);
    std::erase_if(moves_,
                  [&](const Move& move) { return move.kind == Move::Kind::kStop && move.trial == record.trial; });
  }
  return {};
}

base::Status Experiment::on(const ExploitRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  DAYBREAK_TRY(known(record.source));
  ExperimentTrial& row = trials_[record.trial];
  const auto is_this = [&](const Move& move) {
    return move.kind == Move::Kind::kExploit && move.trial == record.trial;
  };
  std::erase_if(moves_, is_this);
  std::erase_if(exploits_, is_this);
  row.suggestion = record.suggestion;
  row.source = record.source;
  row.from = {.name = record.checkpoint};
  for (const SavedCheckpoint& checkpoint : trials_[record.source].checkpoints) {
    if (checkpoint.name == record.checkpoint) row.from = checkpoint;
  }
  row.fed = row.from.time;  // its time is the source's now
  return tell_values(record.trial);
}

// Of the config, what the scheduler searches.
base::Status Experiment::tell_values(std::uint32_t trial) {
  const std::vector<std::string> names = scheduler_ ? scheduler_->searches() : std::vector<std::string>();
  if (names.empty()) return {};
  DAYBREAK_ASSIGN(const base::Json suggestion,
                  base::parse_json(trials_[trial].suggestion, {.max_bytes = kMaxTextBytes}));
  std::vector<double> values;
  for (const std::string& name : names) {
    DAYBREAK_ASSIGN(base::Json at, base::json_member<base::Json>(suggestion, "config"));
    std::size_t begin = 0;
    for (std::size_t end = name.find('/'); end != std::string::npos; end = name.find('/', begin)) {
      DAYBREAK_ASSIGN(at, base::json_member<base::Json>(at, name.substr(begin, end - begin)));
      begin = end + 1;
    }
    DAYBREAK_ASSIGN(const double value, base::json_member<double>(at, name.substr(begin)));
    values.push_back(value);
  }
  scheduler_->on_values(trial, values);
  return {};
}

base::Status Experiment::on(const EndRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  owed_.erase(record.trial);
  ExperimentTrial& row = trials_[record.trial];
  const bool was_over = ended(row.state);
  if (!record.error.empty()) {
    ++row.failures;
    row.error = record.error;
  }
  set_state(record.trial, record.state);
  if (was_over && !ended(record.state)) row.error.clear();
  if (!scheduler_ || was_over || !ended(record.state)) return {};
  const Observation last{.time = row.fed, .score = row.score};
  const bool has_last = record.state == TrialState::kTerminated && row.fed != Scheduler::kAlways;
  scheduler_->on_end(record.trial, has_last ? &last : nullptr, *this, moves_);
  pin_saves();
  return {};
}

base::Status Experiment::on(const CheckpointRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  ExperimentTrial& row = trials_[record.trial];
  row.checkpoints.push_back(
      {.name = record.checkpoint, .iteration = record.iteration, .time = record.time, .rank = record.rank});
  row.from = row.checkpoints.back();
  row.source = record.trial;
  return {};
}

base::Status Experiment::on(const ForgetRecord& record) {
  DAYBREAK_TRY(known(record.trial));
  std::erase_if(trials_[record.trial].checkpoints,
                [&](const SavedCheckpoint& checkpoint) { return checkpoint.name == record.checkpoint; });
  ExperimentTrial& row = trials_[record.trial];
  if (row.source == record.trial && row.from.name == record.checkpoint) row.from = {};
  return {};
}

base::Status Experiment::on(const UnblockRecord&) {
  unblocked_ = scheduler_ && scheduler_->unblock(*this, moves_);
  pin_saves();
  return {};
}

// Of what is to be saved the last checkpoint is kept for those that will go on from it.
void Experiment::pin_saves() {
  std::erase_if(moves_, [this](const Move& move) {
    if (move.kind != Move::Kind::kSave) return false;
    ExperimentTrial& row = trials_[move.trial];
    row.pinned = row.checkpoints.empty() ? "" : row.checkpoints.back().name;
    return true;
  });
}

base::Status Experiment::set_plan(std::string plan) {
  if (plan.empty() || plan.size() > kMaxTextBytes) {
    return fail(Code::kInvalidArgument, "a plan of {} bytes: 1 to {}", plan.size(), kMaxTextBytes);
  }
  DAYBREAK_TRY(note(PlanRecord{.text = std::move(plan)}));
  return flush(true);
}

base::Result<std::uint32_t> Experiment::add(std::string id, std::string suggestion) {
  const auto trial = static_cast<std::uint32_t>(trials_.size());
  if (trial >= kMaxExperimentTrials) {
    return fail(Code::kResourceExhausted, "{} trials: an experiment has at most {}", trial, kMaxExperimentTrials);
  }
  if (id.size() > kMaxNameBytes || suggestion.size() > kMaxTextBytes) {
    return fail(Code::kInvalidArgument, "an id of {} and a config of {} bytes: at most {} and {}", id.size(),
                suggestion.size(), kMaxNameBytes, kMaxTextBytes);
  }
  DAYBREAK_TRY(note(TrialRecord{.trial = trial, .id = std::move(id), .suggestion = std::move(suggestion)}));
  DAYBREAK_FAILPOINT("experiment.added");
  return trial;
}

base::Status Experiment::start(std::uint32_t trial) {
  DAYBREAK_TRY(known(trial));
  const ExperimentTrial& row = trials_[trial];
  if (row.state != TrialState::kPending && row.state != TrialState::kPaused) {
    return fail(Code::kFailedPrecondition, "trial {} neither waits nor is paused", row.id);
  }
  DAYBREAK_TRY(note(StartRecord{.trial = trial, .source = row.source, .checkpoint = row.from.name}));
  DAYBREAK_FAILPOINT("experiment.started");
  return {};
}

std::optional<std::uint32_t> Experiment::hand() {
  if (!scheduler_ || !scheduler_->in_order()) return std::nullopt;
  const std::optional<std::uint32_t> trial = choose();
  if (!trial || state(*trial) != TrialState::kPending || trials_[*trial].starts > 0) return std::nullopt;
  by_state_[static_cast<std::size_t>(TrialState::kPending)].erase(*trial);
  handed_.insert(*trial);
  return trial;
}

void Experiment::take_back(std::uint32_t trial) {
  if (handed_.erase(trial) > 0) by_state_[static_cast<std::size_t>(TrialState::kPending)].insert(trial);
}

void Experiment::pack(std::string& packed, const ResultRecord& result) {
  base::ByteWriter writer;
  writer.text(encoded(result));
  packed += writer.bytes();
}

base::Result<std::vector<ResultRecord>> Experiment::unpacked(std::string_view packed) {
  std::vector<ResultRecord> results;
  base::ByteReader reader(packed, "results of a trial");
  while (reader.left() > 0 && reader.ok()) {
    const std::string_view body = reader.text(0, kMaxTextBytes + kMaxNameBytes, "result");
    if (!reader.ok()) break;
    DAYBREAK_ASSIGN(ExperimentRecord record, decoded(ResultRecord::kKind, body));
    results.push_back(std::get<ResultRecord>(std::move(record)));
  }
  DAYBREAK_TRY(reader.status());
  return results;
}

base::Result<Experiment::Answer> Experiment::results(std::uint32_t trial, std::string_view packed,
                                                     std::string_view tail) {
  DAYBREAK_TRY(known(trial));
  if (!journal_) return fail(Code::kFailedPrecondition, "this experiment was opened to be read: open() it to go on");
  Answer answer;
  base::ByteReader reader(packed, "results of a trial");
  answer.lines.reserve(packed.size() + packed.size() / 4);
  while (reader.left() > 0) {
    const std::string_view body = reader.text(1, kMaxTextBytes + kMaxNameBytes, "result");
    DAYBREAK_TRY(reader.status());
    DAYBREAK_TRY(decode_result(body, result_));
    if (state(trial) != TrialState::kRunning) {
      ++answer.late;
      continue;
    }
    DAYBREAK_TRY(count_result(trial, body, answer));
    std::string_view text = result_.text;
    if (text.ends_with('}') && !tail.empty()) text.remove_suffix(1);
    answer.lines += text;
    if (!tail.empty()) answer.lines.append(tail) += '}';
    answer.lines += '\n';
  }
  answer.next = ended(state(trial)) ? Scheduler::kNever : next(trial);
  return answer;
}

// result_ is what `body` says, of a trial that runs.
base::Status Experiment::count_result(std::uint32_t trial, std::string_view body, Answer& answer) {
  number_result(body, trial, body_);
  result_.trial = trial;
  decision_ = Decision::kContinue;
  DAYBREAK_TRY(journal_->append(body_, ResultRecord::kKind, store::Durability::kBuffered));
  DAYBREAK_TRY(on(result_));
  DAYBREAK_FAILPOINT("experiment.result");
  ++answer.counted;
  if ((result_.flags & ResultRecord::kHasScore) == 0) ++answer.unscored;
  if ((result_.flags & ResultRecord::kDone) != 0) answer.decision = Decision::kStop;
  if (decision_ != Decision::kContinue) {
    answer.decision = decision_;
    DAYBREAK_TRY(decide(trial, decision_));
  }
  return note_moves();
}

// Stops are records; exploits wait for the caller.
base::Status Experiment::note_moves() {
  while (!moves_.empty()) {
    const Move move = moves_.front();
    moves_.erase(moves_.begin());
    ExperimentTrial& row = trials_[move.trial];
    switch (move.kind) {
      case Move::Kind::kStop:
        if (ended(row.state)) break;
        if (row.state != TrialState::kRunning) stopped_.push_back(move.trial);
        DAYBREAK_TRY(note(DecisionRecord{.trial = move.trial, .decision = Decision::kStop}));
        break;
      case Move::Kind::kSave: break;  // pin_saves()
      case Move::Kind::kExploit: exploits_.push_back(move); break;
    }
  }
  return {};
}

base::Status Experiment::decide(std::uint32_t trial, Decision decision) {
  DAYBREAK_TRY(known(trial));
  if (decision == Decision::kContinue) return {};
  if (state(trial) != TrialState::kRunning && decision == Decision::kPause) {
    return fail(Code::kFailedPrecondition, "trial {} does not run: it cannot be paused", trials_[trial].id);
  }
  DAYBREAK_TRY(note(DecisionRecord{.trial = trial, .decision = decision}));
  DAYBREAK_FAILPOINT("experiment.decided");
  return {};
}

base::Status Experiment::end(std::uint32_t trial, TrialState state, std::string error) {
  DAYBREAK_TRY(known(trial));
  if (ended(trials_[trial].state) && error.empty()) return {};
  if (error.size() > kMaxTextBytes) error.resize(kMaxTextBytes);
  DAYBREAK_TRY(note(EndRecord{.trial = trial, .state = state, .error = std::move(error)}));
  DAYBREAK_FAILPOINT("experiment.ended");
  return note_moves();
}

base::Status Experiment::saved(std::uint32_t trial, SavedCheckpoint checkpoint) {
  DAYBREAK_TRY(known(trial));
  DAYBREAK_TRY(note(CheckpointRecord{.trial = trial,
                                     .iteration = checkpoint.iteration,
                                     .time = checkpoint.time,
                                     .rank = checkpoint.rank,
                                     .checkpoint = std::move(checkpoint.name)}));
  DAYBREAK_FAILPOINT("experiment.saved");
  return {};
}

base::Status Experiment::exploit(std::uint32_t trial, std::uint32_t source, std::string suggestion) {
  DAYBREAK_TRY(known(trial));
  DAYBREAK_TRY(known(source));
  const ExperimentTrial& of = trials_[source];
  if (of.pinned.empty() && of.checkpoints.empty()) {
    return fail(Code::kFailedPrecondition, "trial {} has no checkpoint that trial {} could go on from", of.id,
                trials_[trial].id);
  }
  const std::string checkpoint = of.pinned.empty() ? of.checkpoints.back().name : of.pinned;
  DAYBREAK_TRY(note(
      ExploitRecord{.trial = trial, .source = source, .checkpoint = checkpoint, .suggestion = std::move(suggestion)}));
  DAYBREAK_FAILPOINT("experiment.exploited");
  return {};
}

base::Status Experiment::reopen(std::uint32_t trial, bool from_checkpoint) {
  DAYBREAK_TRY(known(trial));
  if (!ended(state(trial))) return {};
  if (!from_checkpoint) {
    const std::vector<SavedCheckpoint> kept = trials_[trial].checkpoints;
    for (const SavedCheckpoint& checkpoint : kept) {
      DAYBREAK_TRY(note(ForgetRecord{.trial = trial, .checkpoint = checkpoint.name}));
    }
  }
  return note(EndRecord{.trial = trial, .state = TrialState::kPending, .error = ""});
}

base::Result<std::vector<std::string>> Experiment::surplus(std::uint32_t trial, std::size_t keep) {
  DAYBREAK_TRY(known(trial));
  std::set<std::string> needed;
  for (const ExperimentTrial& other : trials_) {
    if (!ended(other.state) && other.source == trial) needed.insert(other.from.name);
  }
  const ExperimentTrial& row = trials_[trial];
  if (!ended(row.state)) {
    needed.insert(row.from.name);  // a failure goes on from it
    needed.insert(row.pinned);
  }
  std::vector<SavedCheckpoint> ranked = row.checkpoints;
  std::ranges::stable_sort(ranked, [](const SavedCheckpoint& a, const SavedCheckpoint& b) {
    const auto value = [](double rank) { return std::isnan(rank) ? Scheduler::kAlways : rank; };
    return value(a.rank) < value(b.rank);
  });
  std::vector<std::string> names;
  for (std::size_t i = 0; i + keep < ranked.size(); ++i) {
    if (!needed.contains(ranked[i].name)) names.push_back(ranked[i].name);
  }
  for (const std::string& name : names) DAYBREAK_TRY(note(ForgetRecord{.trial = trial, .checkpoint = name}));
  return names;
}

base::Result<bool> Experiment::unblock() {
  if (!scheduler_) return false;
  DAYBREAK_TRY(note(UnblockRecord{}));
  DAYBREAK_TRY(note_moves());
  return unblocked_;
}

std::vector<std::uint32_t> Experiment::take_stopped() {
  return std::exchange(stopped_, {});
}

std::vector<Move> Experiment::take_moves() {
  return std::exchange(exploits_, {});
}

std::string Experiment::status() const {
  return scheduler_ ? scheduler_->status() : "";
}

base::Status Experiment::flush(bool synced) {
  return journal_->flush(synced ? store::Durability::kSynced : store::Durability::kWritten);
}

base::Status Experiment::close() {
  if (!journal_) return {};
  base::Status flushed = flush(true);
  lock_ = {};  // also when the disk is full; what is in memory can still be read
  base::Status closed = journal_->close();
  return flushed ? closed : flushed;
}

}  // namespace daybreak::tune
