// Where studies are kept: a journal that many processes write and follow at once (docs/formats/tune-journal.md), or memory.
//
//   DAYBREAK_ASSIGN(const auto storage, Storage::open("studies.journal"));
//   DAYBREAK_ASSIGN(const std::uint64_t study, storage->create_study("cartpole", {Direction::kMaximize}));
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/store/journal.h"
#include "daybreak/tune/claims.h"
#include "daybreak/tune/study_state.h"

namespace daybreak::tune {

inline constexpr std::string_view kJournalApplication = "tune";
inline constexpr int kMissedBeats = 6;  // after so many intervals without a beat a holder is dead

struct StorageOptions {
  // How others see that this process lives. kAuto: by a lock that the kernel keeps, on a network file system by beats.
  enum class Signs : std::uint8_t { kAuto, kLock, kBeat };
  Signs signs = Signs::kAuto;
  std::int64_t beat_interval_ns = 10'000'000'000;
  base::Env* env = &base::Env::real();
};

// Any thread may call any function. A change is made whole or not at all, and seen by all in one order; of changes that
// exclude each other the first holds, the other is an error (StudiesState::apply says which). In a child made by fork() a
// storage of a journal refuses every call with kFailedPrecondition: open it again there.
class Storage {
 public:
  // Makes the journal when there is none; beside it NAME.claims. Errors are those of store::Journal::open.
  static base::Result<std::shared_ptr<Storage>> open(const std::string& path, const StorageOptions& options = {});
  static std::shared_ptr<Storage> in_memory(const StorageOptions& options = {});
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  using Body = decltype(Record::body);
  using Outcome = base::Result<std::uint64_t>;  // the number of what was made, else 0
  // Returns when the journal has it, as `durability` says (kBuffered is kWritten).
  Outcome submit(Body body, store::Durability durability = store::Durability::kWritten);
  // Many at once: one write, one sync. An error of the disk is an error of all, and of this storage from then on: some may
  // be in the journal.
  base::Result<std::vector<Outcome>> submit_all(std::vector<Body> bodies, store::Durability durability);

  Outcome create_study(std::string name, std::vector<Direction> directions);
  Outcome create_trial(std::uint32_t study, TrialChange change,
                       store::Durability durability = store::Durability::kWritten);
  base::Status change_trial(std::uint64_t trial, TrialChange change,
                            store::Durability durability = store::Durability::kWritten);
  // Runs `f(const StudiesState&)` with all that the journal holds at this moment; it must not call this storage.
  template <typename F>
  auto read(F&& f) -> base::Result<decltype(f(std::declval<const StudiesState&>()))> {
    DAYBREAK_TRY(check_process());
    base::MutexLock lock(mutex_);
    DAYBREAK_TRY(follow());
    return f(std::as_const(state_));
  }
  // As read, without a look at the journal: what this process has seen so far, as after a submit.
  template <typename F>
  auto seen(F&& f) -> decltype(f(std::declval<const StudiesState&>())) {
    base::MutexLock lock(mutex_);
    return f(std::as_const(state_));
  }

  // As seen, with the column of a parameter that may be new.
  template <typename F>
  auto seen_column(std::uint32_t study, std::string_view name, F&& f)
      -> decltype(f(std::declval<const StudyState*>(), std::uint32_t{})) {
    base::MutexLock lock(mutex_);
    const StudyState* const of = state_.study(study);
    return f(of, of == nullptr ? Trials::kNoColumn : state_.column_for(study, name));
  }
  // In memory alone: `choose(const StudyState*, column, Suggested&)` gives whether the trial has the value already; else it
  // is given under the same lock.
  template <typename F>
  base::Result<double> suggest_in_memory(std::uint32_t study, std::uint32_t number, Suggested suggested, F&& choose) {
    base::MutexLock lock(mutex_);
    const StudyState* const of = state_.study(study);
    const std::uint32_t column = of == nullptr ? Trials::kNoColumn : state_.column_for(study, suggested.name);
    DAYBREAK_ASSIGN(const bool is_given, choose(of, column, suggested));
    if (!is_given) DAYBREAK_TRY(state_.give(study, number, column, suggested));
    return suggested.value;
  }

  // Of a study in memory: StudiesState::start, then `f(const StudyState&, number)` under the same lock; and finish.
  template <typename F>
  base::Result<std::pair<std::uint64_t, std::uint32_t>> start_in_memory(std::uint64_t study, F&& f) {
    const std::int64_t now = now_ns();
    base::MutexLock lock(mutex_);
    DAYBREAK_ASSIGN(const std::uint32_t number, state_.start(holder_, study, now));
    const StudyState& of = *state_.study(study);
    f(of, number);
    return std::pair(of.facts[number].id, number);
  }
  base::Status finish_in_memory(std::uint64_t trial, State state, std::span<const double> values);

  struct Stale {
    std::uint64_t id = 0;
    std::uint64_t holder = 0;  // who died
    std::uint32_t number = 0;
  };
  // Trials of the study that are running and whose holder is dead; none in memory.
  base::Result<std::vector<Stale>> stale(std::uint64_t study);
  // Moves them to kWaiting (they are asked for again) or kFailed, and gives their numbers.
  base::Result<std::vector<std::uint32_t>> reap(std::uint64_t study, State to);

  bool is_in_memory() const { return journal_ == nullptr; }
  bool has_beats() const { return sign_ == HolderRecord::Sign::kBeat; }
  std::uint64_t holder() const { return holder_; }
  const std::string& path() const { return path_; }  // empty in memory
  std::int64_t now_ns() const { return options_.env->unix_ns(); }
  std::int64_t monotonic_ns() const { return options_.env->monotonic_ns(); }
  // The journal's own, for those who keep other records in it; null in memory.
  store::Journal* journal() const { return journal_.get(); }
  // A sign of life; sent by itself when beats are the sign.
  base::Status beat();

 private:
  Storage(std::string path, const StorageOptions& options, std::uint64_t holder);
  base::Status check_process() const;
  base::Status follow() DAYBREAK_REQUIRES(mutex_);
  base::Status take(const store::JournalRecord& record) DAYBREAK_REQUIRES(mutex_);
  struct Encoded {
    std::uint32_t kind;
    std::string bytes;
  };
  base::Result<std::vector<Encoded>> encoded(std::vector<Body> bodies, std::uint64_t& first) DAYBREAK_REQUIRES(mutex_);
  base::Status announce() DAYBREAK_EXCLUDES(announcing_, mutex_);
  base::Result<std::vector<Outcome>> commit(std::vector<Body> bodies, store::Durability durability)
      DAYBREAK_EXCLUDES(mutex_);
  base::Result<std::vector<Outcome>> outcomes(std::uint64_t first, std::size_t count) DAYBREAK_REQUIRES(mutex_);
  base::Result<bool> is_alive(std::uint64_t holder) DAYBREAK_REQUIRES(mutex_);
  void keep_beating();

  const std::string path_;
  const StorageOptions options_;
  const std::uint64_t holder_;
  const int pid_;
  HolderRecord::Sign sign_ = HolderRecord::Sign::kLock;
  std::unique_ptr<store::Journal> journal_;
  std::unique_ptr<Claims> claims_;
  base::Mutex announcing_;
  std::atomic<bool> announced_{false};  // the journal says who we are

  base::Mutex mutex_;
  StudiesState state_ DAYBREAK_GUARDED_BY(mutex_);
  std::unique_ptr<store::JournalReader> reader_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint64_t sequence_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, Outcome> outcomes_ DAYBREAK_GUARDED_BY(mutex_);  // of our records, until they are taken
  std::optional<base::Error> broken_ DAYBREAK_GUARDED_BY(mutex_);          // every call is refused with it
  struct LastBeat {
    std::uint64_t beats = 0;
    std::int64_t seen_ns = 0;
  };
  std::map<std::uint64_t, LastBeat> beats_ DAYBREAK_GUARDED_BY(mutex_);  // of others, by our clock

  base::Mutex beating_mutex_;
  base::CondVar stop_beating_;
  bool stopping_ DAYBREAK_GUARDED_BY(beating_mutex_) = false;
  std::thread beating_;
};

}  // namespace daybreak::tune
