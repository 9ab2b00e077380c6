#include "daybreak/tune/storage.h"

#include <unistd.h>

#include <array>
#include <filesystem>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/log.h"

namespace daybreak::tune {

using base::Code;
using base::fail;
using base::MutexLock;
using base::Result;
using base::Status;
using store::Durability;

namespace {

std::uint64_t drawn_holder(base::Env& env) {
  while (true) {  // a place that a lock may have (off_t), and not 0, which is nobody
    if (const std::uint64_t holder = env.random_u64() >> 2; holder != 0) return holder;
  }
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

store::JournalOptions journal_options(const StorageOptions& options) {
  return {.application = std::string(kJournalApplication), .env = options.env};
}

}  // namespace

Storage::Storage(std::string path, const StorageOptions& options, std::uint64_t holder)
    : path_(std::move(path)), options_(options), holder_(holder), pid_(::getpid()) {}

std::shared_ptr<Storage> Storage::in_memory(const StorageOptions& options) {
  return std::shared_ptr<Storage>(new Storage("", options, drawn_holder(*options.env)));
}

Result<std::shared_ptr<Storage>> Storage::open(const std::string& path, const StorageOptions& options) {
  DAYBREAK_ASSIGN(auto journal, store::Journal::open(path, journal_options(options)));
  const std::uint64_t holder = drawn_holder(*options.env);
  const std::shared_ptr<Storage> made(new Storage(journal->path(), options, holder));
  bool locks = options.signs == StorageOptions::Signs::kLock;
  if (options.signs == StorageOptions::Signs::kAuto) {
    const std::string folder = std::filesystem::path(made->path_).parent_path();
    DAYBREAK_ASSIGN(locks, Claims::locks_reach_all(folder.empty() ? "." : folder));
  }
  made->sign_ = locks ? HolderRecord::Sign::kLock : HolderRecord::Sign::kBeat;
  // Also with beats: those who have locks are seen by them.
  DAYBREAK_ASSIGN(made->claims_, Claims::open(made->path_ + ".claims", holder));
  made->journal_ = std::move(journal);
  {
    MutexLock lock(made->mutex_);
    DAYBREAK_ASSIGN(made->reader_, store::JournalReader::open(made->path_, journal_options(options)));
    DAYBREAK_TRY(made->follow());
  }
  if (!locks) made->beating_ = std::thread([storage = made.get()] { storage->keep_beating(); });
  return made;
}

Storage::~Storage() {
  if (!beating_.joinable()) return;
  if (pid_ != ::getpid()) {  // of a parent, which has it
    beating_.detach();
    return;
  }
  {
    MutexLock lock(beating_mutex_);
    stopping_ = true;
    stop_beating_.notify_all();
  }
  beating_.join();
}

void Storage::keep_beating() {
  while (true) {
    {
      MutexLock lock(beating_mutex_);
      const std::int64_t until = options_.env->monotonic_ns() + options_.beat_interval_ns;
      for (std::int64_t left = options_.beat_interval_ns; left > 0 && !stopping_;
           left = until - options_.env->monotonic_ns()) {
        stop_beating_.wait_for(beating_mutex_, left);
      }
      if (stopping_) return;
    }
    if (!announced_.load()) continue;  // nothing is claimed
    if (const Status beaten = beat(); !beaten) {
      base::log_warn("a storage of trials cannot show that it lives: others may take over its trials",
                     {{"path", path_}, {"error", beaten.error().to_string()}});
    }
  }
}

Status Storage::beat() {
  const Outcome beaten = submit(BeatRecord{});
  if (!beaten) return std::unexpected(beaten.error());
  return {};
}

// Before any mutex: in a child that was forked, a thread that is not there may hold it.
Status Storage::check_process() const {
  if (journal_ == nullptr || pid_ == ::getpid()) return {};
  return fail(Code::kFailedPrecondition, "the journal '{}' was opened before fork(): open it again in this process",
              path_);
}

// Reads what the journal has by now.
Status Storage::follow() {
  if (broken_) return std::unexpected(*broken_);
  if (reader_ == nullptr) return {};
  while (true) {
    auto batch = reader_->read();
    if (!batch) return std::unexpected(std::move(batch).error());
    if (batch->restarted) state_ = StudiesState();
    if (batch->records.empty()) return {};
    for (const store::JournalRecord& record : batch->records) {
      if (Status taken = take(record); !taken) {
        // What was read does not come again: whoever went on would know of a part.
        broken_ = taken.error();
        return taken;
      }
    }
  }
}

Status Storage::take(const store::JournalRecord& record) {
  if (record.kind > kMaxStudyRecordKind) return {};
  auto decoded = decode_record(record.kind, record.body);
  if (!decoded)
    return std::unexpected(std::move(decoded).error().wrap(fmt::format("record {} of '{}'", record.number, path_)));
  Outcome outcome = state_.apply(*decoded);
  if (decoded->holder == holder_) outcomes_.insert_or_assign(decoded->sequence, std::move(outcome));
  return {};
}

Result<std::vector<Storage::Encoded>> Storage::encoded(std::vector<Body> bodies, std::uint64_t& first) {
  std::vector<Encoded> all;
  all.reserve(bodies.size());
  std::uint64_t sequence = first = sequence_;
  for (Body& body : bodies) {
    const Record record{.holder = holder_, .sequence = sequence++, .body = std::move(body)};
    DAYBREAK_ASSIGN(std::string bytes, encode_record(record));
    all.push_back({static_cast<std::uint32_t>(record.kind()), std::move(bytes)});
  }
  sequence_ = sequence;
  return all;
}

Result<std::vector<Storage::Outcome>> Storage::outcomes(std::uint64_t first, std::size_t count) {
  DAYBREAK_TRY(follow());
  std::vector<Outcome> all;
  all.reserve(count);
  for (std::uint64_t sequence = first; sequence < first + count; ++sequence) {
    auto found = outcomes_.extract(sequence);
    if (found.empty()) {
      return fail(Code::kInternal,
                  "the journal '{}' was written and a record is not in it: it was replaced or cut meanwhile", path_);
    }
    all.push_back(std::move(found.mapped()));
  }
  return all;
}

Storage::Outcome Storage::submit(Body body, Durability durability) {
  DAYBREAK_TRY(check_process());
  if (journal_ == nullptr) {
    MutexLock lock(mutex_);
    return state_.apply({.holder = holder_, .sequence = 0, .body = std::move(body)});
  }
  DAYBREAK_TRY(announce());
  std::vector<Body> one;
  one.push_back(std::move(body));
  DAYBREAK_ASSIGN(std::vector<Outcome> all, commit(std::move(one), durability));
  return std::move(all.front());
}

Result<std::vector<Storage::Outcome>> Storage::submit_all(std::vector<Body> bodies, Durability durability) {
  DAYBREAK_TRY(check_process());
  if (bodies.empty()) return std::vector<Outcome>{};
  if (journal_ == nullptr) {
    std::vector<Outcome> all;
    all.reserve(bodies.size());
    MutexLock lock(mutex_);
    for (Body& body : bodies) all.push_back(state_.apply({.holder = holder_, .sequence = 0, .body = std::move(body)}));
    return all;
  }
  DAYBREAK_TRY(announce());
  return commit(std::move(bodies), durability);
}

// Before the first claim: others know then by what sign we live.
Status Storage::announce() {
  if (announced_.load()) return {};
  MutexLock lock(announcing_);
  if (announced_.load()) return {};
  std::vector<Body> self;
  self.emplace_back(HolderRecord{.sign = sign_,
                                 .interval_ns = options_.beat_interval_ns,
                                 .host = host_name(),
                                 .pid = static_cast<std::uint32_t>(pid_)});
  DAYBREAK_TRY(commit(std::move(self), Durability::kWritten));
  announced_ = true;
  return {};
}

Result<std::vector<Storage::Outcome>> Storage::commit(std::vector<Body> bodies, Durability durability) {
  const Durability promised = durability == Durability::kSynced ? durability : Durability::kWritten;
  std::uint64_t first = 0;
  std::vector<Encoded> records;
  {
    MutexLock lock(mutex_);
    if (broken_) return std::unexpected(*broken_);
    DAYBREAK_ASSIGN(records, encoded(std::move(bodies), first));
  }
  DAYBREAK_FAILPOINT("tune.encoded");
  for (const Encoded& record : records) {
    const bool last = &record == &records.back();
    auto appended = journal_->append(record.bytes, record.kind, last ? promised : Durability::kBuffered);
    if (appended) continue;
    if (records.size() > 1) {  // those before it wait in the journal's buffer, and may be written yet
      MutexLock lock(mutex_);
      broken_ = appended.error();
    }
    return std::unexpected(std::move(appended).error());
  }
  DAYBREAK_FAILPOINT("tune.appended");
  MutexLock lock(mutex_);
  return outcomes(first, records.size());
}

Storage::Outcome Storage::create_study(std::string name, std::vector<Direction> directions) {
  return submit(CreateStudyRecord{std::move(name), std::move(directions)}, Durability::kSynced);
}

Storage::Outcome Storage::create_trial(std::uint32_t study, TrialChange change, Durability durability) {
  if (journal_ != nullptr) return submit(CreateTrialRecord{study, std::move(change)}, durability);
  MutexLock lock(mutex_);
  return state_.create_trial(holder_, study, change);
}

Status Storage::change_trial(std::uint64_t trial, TrialChange change, Durability durability) {
  const auto changed = [&]() -> Outcome {
    if (journal_ != nullptr) return submit(ChangeTrialRecord{trial, std::move(change)}, durability);
    MutexLock lock(mutex_);
    return state_.change_trial(holder_, trial, change);
  }();
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Status Storage::finish_in_memory(std::uint64_t trial, State state, std::span<const double> values) {
  const std::int64_t now = now_ns();
  MutexLock lock(mutex_);
  return state_.finish(trial, state, values, now);
}

Result<bool> Storage::is_alive(std::uint64_t holder) {
  if (holder == holder_) return true;
  const StudiesState::Holder* const known = state_.holder(holder);
  if (known == nullptr || known->record.sign == HolderRecord::Sign::kLock) return claims_->is_alive(holder);
  const std::int64_t now = options_.env->monotonic_ns();
  const auto [last, is_new] = beats_.try_emplace(holder, LastBeat{known->beats, now});
  if (last->second.beats != known->beats) last->second = {known->beats, now};
  return now - last->second.seen_ns <= kMissedBeats * known->record.interval_ns;
}

Result<std::vector<Storage::Stale>> Storage::stale(std::uint64_t study) {
  DAYBREAK_TRY(check_process());
  std::vector<Stale> found;
  if (journal_ == nullptr) return found;
  MutexLock lock(mutex_);
  DAYBREAK_TRY(follow());
  const StudyState* const of = state_.study(study);
  if (of == nullptr) return fail(Code::kNotFound, "there is no study {}", study);
  std::map<std::uint64_t, bool> lives;
  for (std::uint32_t number = of->all_finished_below; number < of->trials.size(); ++number) {
    if (of->trials.state(number) != State::kRunning) continue;
    const TrialFacts& facts = of->facts[number];
    const auto [known, is_new] = lives.try_emplace(facts.holder, true);
    if (is_new) {
      DAYBREAK_ASSIGN(known->second, is_alive(facts.holder));
    }
    if (!known->second) found.push_back({facts.id, facts.holder, number});
  }
  return found;
}

Result<std::vector<std::uint32_t>> Storage::reap(std::uint64_t study, State to) {
  DAYBREAK_ASSIGN(const std::vector<Stale> dead, stale(study));
  std::vector<std::uint32_t> numbers;
  for (const Stale& trial : dead) {
    TrialChange change;
    change.state = to;
    change.holder = trial.holder;  // another one may have taken it over, and somebody may run it again
    if (to != State::kWaiting) change.finished_ns = now_ns();
    const Status moved = change_trial(trial.id, std::move(change), Durability::kSynced);
    if (moved) {
      numbers.push_back(trial.number);
    } else if (moved.error().code() != Code::kAborted && moved.error().code() != Code::kFailedPrecondition) {
      return std::unexpected(moved.error());
    }
  }
  return numbers;
}

}  // namespace daybreak::tune
