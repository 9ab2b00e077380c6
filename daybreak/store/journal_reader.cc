#include <optional>
#include <utility>

#include "daybreak/store/internal/journal_cursor.h"
#include "daybreak/store/internal/journal_file.h"
#include "daybreak/store/internal/journal_locks.h"
#include "daybreak/store/journal.h"

namespace daybreak::store {

using base::Code;
using base::Result;
using base::Status;

class JournalReader::Impl {
 public:
  Impl(std::string path, const JournalOptions& options, JournalFile file)
      : path_(std::move(path)), options_(options), env_(*options.env) {
    take(std::move(file));
  }

  Result<JournalBatch> read(std::size_t max_bytes);

 private:
  struct Opened {
    explicit Opened(JournalFile opened) : journal(std::move(opened)), cursor(journal.file, journal.header) {}
    const JournalFile journal;
    JournalCursor cursor;
  };

  void take(JournalFile file) { opened_ = std::make_unique<Opened>(std::move(file)); }
  Result<bool> next();
  Result<bool> next_for_certain();
  Result<bool> is_replaced() const;

  const std::string path_;
  const JournalOptions options_;
  base::Env& env_;
  std::unique_ptr<Opened> opened_;
  bool replaced_ = false;   // our file has lost its name, and grows no more
  bool restarted_ = false;  // and nobody has been told
};

// Whether there was one more record. Takes no lock unless it meets what is no record: somebody may be writing it.
Result<bool> JournalReader::Impl::next() {
  DAYBREAK_ASSIGN(const std::uint64_t size, opened_->journal.file.size());
  const auto found = opened_->cursor.next(size);
  if (found && *found != JournalCursor::Found::kBroken) return *found == JournalCursor::Found::kRecord;
  return next_for_certain();
}

// The same while nobody writes or cuts.
Result<bool> JournalReader::Impl::next_for_certain() {
  auto locks = JournalLocks::open(path_ + ".lock", JournalLocks::Mode::kShared);
  std::optional<HeldLock> appends, syncs;
  SyncedWords words;
  if (locks) {
    const auto hold = [&](JournalLocks::Lock lock) {
      return HeldLock::acquire(**locks, lock, JournalLocks::Mode::kShared, options_.lock_timeout_ns, env_);
    };
    DAYBREAK_ASSIGN(HeldLock append, hold(JournalLocks::Lock::kAppend));
    appends.emplace(std::move(append));
    DAYBREAK_ASSIGN(HeldLock sync, hold(JournalLocks::Lock::kSync));
    syncs.emplace(std::move(sync));
    DAYBREAK_ASSIGN(words, (*locks)->words());
  } else if (locks.error().code() != Code::kNotFound) {  // a copy that has no lock has no writer
    return std::unexpected(std::move(locks).error());
  }
  DAYBREAK_ASSIGN(const std::uint64_t size, opened_->journal.file.size());
  DAYBREAK_ASSIGN(const JournalCursor::Found found, opened_->cursor.next(size));
  if (found != JournalCursor::Found::kBroken) return found == JournalCursor::Found::kRecord;
  DAYBREAK_TRY(opened_->cursor.judge(size, words.life == opened_->journal.header.life ? words.whole : 0, path_));
  return false;
}

Result<bool> JournalReader::Impl::is_replaced() const {
  auto same = opened_->journal.is_at(path_);
  if (!same && same.error().code() == Code::kNotFound) return false;  // removed: nothing more comes
  if (!same) return std::unexpected(std::move(same).error());
  return !*same;
}

Result<JournalBatch> JournalReader::Impl::read(std::size_t max_bytes) {
  JournalBatch batch;
  std::size_t bytes = 0;
  while (batch.records.empty() || bytes < max_bytes) {
    const auto more = next();
    if (!more) {
      if (batch.records.empty()) return std::unexpected(more.error());
      break;  // it comes again
    }
    if (*more) {
      const JournalCursor& cursor = opened_->cursor;
      batch.records.push_back({cursor.number() - 1, cursor.kind(), std::string(cursor.body())});
      bytes += cursor.body().size();
    } else if (!batch.records.empty()) {
      break;
    } else if (!replaced_) {
      DAYBREAK_ASSIGN(replaced_, is_replaced());
      if (!replaced_) break;
      // Once more through the old file: what was appended between our last look and the rewrite.
    } else {
      DAYBREAK_ASSIGN(JournalFile file, JournalFile::open(path_, options_.application));
      take(std::move(file));
      replaced_ = false;
      restarted_ = true;
    }
  }
  batch.restarted = std::exchange(restarted_, false);
  return batch;
}

JournalReader::JournalReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JournalReader::~JournalReader() = default;

Result<std::unique_ptr<JournalReader>> JournalReader::open(const std::string& path, const JournalOptions& options) {
  DAYBREAK_ASSIGN(base::Place place, journal_place(path));
  DAYBREAK_ASSIGN(JournalFile file, JournalFile::open(place.path, options.application));
  return std::unique_ptr<JournalReader>(
      new JournalReader(std::make_unique<Impl>(std::move(place.path), options, std::move(file))));
}

Result<JournalBatch> JournalReader::read(std::size_t max_bytes) {
  return impl_->read(max_bytes);
}

}  // namespace daybreak::store
