#include "daybreak/store/journal.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/log.h"
#include "daybreak/base/mutex.h"
#include "daybreak/store/internal/journal_cursor.h"
#include "daybreak/store/internal/journal_file.h"
#include "daybreak/store/internal/journal_locks.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::fail_errno;
using base::MutexLock;
using base::Result;
using base::Status;

namespace {

using Lock = JournalLocks::Lock;
using Mode = JournalLocks::Mode;

std::string lock_path(const std::string& path) {
  return path + ".lock";
}

// In two parts while a test kills processes, so that one can die between them.
Status write_bytes(base::WritableFile& file, std::string_view bytes) {
  if (base::failpoint::armed.load(std::memory_order_relaxed)) {
    const std::size_t half = bytes.size() / 2;
    DAYBREAK_TRY(file.append(bytes.substr(0, half)));
    DAYBREAK_FAILPOINT("journal.half");
    bytes.remove_prefix(half);
  }
  return file.append(bytes);
}

}  // namespace

// Locks are taken from the top: mutex_, the append lock, the turn at the sync lock (SyncTurn), the sync lock. mutex_
// and the turn are for the threads of this pen, whose descriptors the kernel takes for one owner; the locks for other
// pens.
class Journal::Impl {
 public:
  Impl(std::string path, const JournalOptions& options, std::unique_ptr<JournalLocks> locks)
      : path_(std::move(path)), options_(options), env_(*options.env), locks_(std::move(locks)) {}

  Status begin();
  Result<std::optional<std::uint64_t>> append(std::string_view body, std::uint32_t kind, Durability durability);
  Status flush(Durability durability);
  Status rewrite(const std::function<Status(const Emit&)>& write);
  Status close();
  JournalStats stats() const;
  const std::string& path() const { return path_; }

 private:
  // A journal's file as a pen has it: another one after a rewrite. Who waits for a sync keeps the one it wrote into.
  struct PenFile {
    explicit PenFile(JournalFile opened) : journal(std::move(opened)), cursor(journal.file, journal.header) {}

    const JournalFile journal;
    JournalCursor cursor;                        // behind the last whole record that we know of; under the append lock
    std::unique_ptr<base::WritableFile> out;     // under the append lock
    std::unique_ptr<base::WritableFile> syncer;  // the same file, under the sync lock
    // The end of our last record that is on the disk.
    std::atomic<std::uint64_t> synced{0};
  };
  struct Pending {
    std::uint32_t kind;
    std::string body;
  };

  // One thread of this pen at a time has it, and no mutex meanwhile: the others look whether they are served.
  class SyncTurn {
   public:
    // Waits for the turn, or until `unless` gives true.
    explicit SyncTurn(Impl& pen, const std::function<bool()>& unless = nullptr) : pen_(pen) {
      MutexLock lock(pen_.turn_mutex_);
      while (!(unless && unless())) {
        if (!pen_.turn_taken_) {
          pen_.turn_taken_ = taken_ = true;
          return;
        }
        pen_.turn_ended_.wait(pen_.turn_mutex_);
      }
    }
    ~SyncTurn() {
      if (!taken_) return;
      MutexLock lock(pen_.turn_mutex_);
      pen_.turn_taken_ = false;
      pen_.turn_ended_.notify_all();
    }
    SyncTurn(const SyncTurn&) = delete;
    SyncTurn& operator=(const SyncTurn&) = delete;
    bool is_taken() const { return taken_; }

   private:
    Impl& pen_;
    bool taken_ = false;
  };

  Status check_usable() const;
  Result<HeldLock> hold(Lock lock) {
    return HeldLock::acquire(*locks_, lock, Mode::kExclusive, options_.lock_timeout_ns, env_);
  }
  Status load() DAYBREAK_REQUIRES(mutex_);
  Status catch_up() DAYBREAK_REQUIRES(mutex_);
  Status cut_tail(std::uint64_t size) DAYBREAK_REQUIRES(mutex_);
  Status forget_stale_words() DAYBREAK_REQUIRES(mutex_);
  Status write_pending() DAYBREAK_REQUIRES(mutex_);
  Status sync_file(PenFile& file);
  bool is_synced(const PenFile& file, std::uint64_t end) const;
  Status sync(PenFile& file, std::uint64_t end);
  Status sync_for_all(PenFile& file, std::uint64_t end);
  JournalHeader fresh_header(std::uint64_t first);

  const std::string path_;
  const JournalOptions options_;
  base::Env& env_;
  const std::unique_ptr<JournalLocks> locks_;

  base::Mutex mutex_;
  std::shared_ptr<PenFile> file_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<Pending> pending_ DAYBREAK_GUARDED_BY(mutex_);
  std::size_t pending_bytes_ DAYBREAK_GUARDED_BY(mutex_) = 0;

  base::Mutex turn_mutex_;
  base::CondVar turn_ended_;
  bool turn_taken_ DAYBREAK_GUARDED_BY(turn_mutex_) = false;

  std::atomic<bool> closed_{false}, sync_failed_{false};
  std::atomic<std::thread::id> rewriter_{};
  std::atomic<std::uint64_t> records_{0}, writes_{0}, syncs_{0}, cut_bytes_{0};
};

JournalHeader Journal::Impl::fresh_header(std::uint64_t first) {
  return {boot_number(), env_.random_u64(), first, options_.application};
}

// Before any mutex: in a child that was forked, a thread that is not there may hold it.
Status Journal::Impl::check_usable() const {
  DAYBREAK_TRY(locks_->check_process());
  if (closed_.load()) return fail(Code::kFailedPrecondition, "the journal '{}' is closed: open it again", path_);
  if (rewriter_.load() == std::this_thread::get_id()) {
    return fail(Code::kFailedPrecondition,
                "the journal '{}' is being rewritten by this thread: emit what shall be in it", path_);
  }
  if (sync_failed_.load()) {
    return fail(Code::kFailedPrecondition,
                "the disk refused the journal '{}' before, and what was appended then may be lost: open it again",
                path_);
  }
  return {};
}

// Opens the file that has the name now. The append lock is held.
Status Journal::Impl::load() {
  DAYBREAK_ASSIGN(JournalFile opened, JournalFile::open(path_, options_.application));
  // Before anything is promised: whoever gave the file its name may have died before the directory was synced, and a
  // loss of power would bring back the file that had the name before.
  const std::string folder = std::filesystem::path(path_).parent_path();
  DAYBREAK_TRY(env_.sync_directory(folder.empty() ? "." : folder));
  auto file = std::make_shared<PenFile>(std::move(opened));
  DAYBREAK_ASSIGN(file->out, env_.append_file(path_));
  DAYBREAK_ASSIGN(file->syncer, env_.append_file(path_));
  file_ = std::move(file);
  return {};
}

// Reads what others have appended, and cuts what a death left unfinished. The append lock is held: nobody is writing.
Status Journal::Impl::catch_up() {
  DAYBREAK_ASSIGN(const bool same, file_->journal.is_at(path_));
  if (!same) DAYBREAK_TRY(load());
  DAYBREAK_ASSIGN(const std::uint64_t size, file_->journal.file.size());
  while (true) {
    DAYBREAK_ASSIGN(const JournalCursor::Found found, file_->cursor.next(size));
    if (found == JournalCursor::Found::kEnd) return {};
    if (found == JournalCursor::Found::kBroken) return cut_tail(size);
  }
}

Status Journal::Impl::cut_tail(std::uint64_t size) {
  const SyncTurn turn(*this);
  DAYBREAK_ASSIGN(const HeldLock lock, hold(Lock::kSync));
  DAYBREAK_ASSIGN(SyncedWords words, locks_->words());
  const std::uint64_t life = file_->journal.header.life, end = file_->cursor.offset();
  const bool ours = words.life == life;
  DAYBREAK_ASSIGN(const JournalCursor::Tail tail, file_->cursor.judge(size, ours ? words.whole : 0, path_));
  // A sync may have counted the tail, as it does not know what is whole. The word goes down before the file becomes
  // shorter, also on the disk: else the next record would lie where all is said to be synced, and be promised unsynced.
  if (ours && words.synced > end) {
    words.synced = end;
    DAYBREAK_TRY(locks_->set_words(words));
    DAYBREAK_TRY(locks_->sync());
  }
  DAYBREAK_FAILPOINT("journal.cut.noted");
  if (::truncate(path_.c_str(), static_cast<off_t>(end)) != 0) {
    return fail_errno(fmt::format("cannot cut the journal '{}' to {} bytes", path_, end), errno);
  }
  DAYBREAK_FAILPOINT("journal.cut.done");
  // Before anything is appended: a loss of power must not bring the tail back behind it.
  DAYBREAK_TRY(sync_file(*file_));
  DAYBREAK_FAILPOINT("journal.cut.synced");
  cut_bytes_ += size - end;
  if (tail == JournalCursor::Tail::kTornByPower) {
    base::log_warn("a loss of power took the end of a journal, which was not synced",
                   {{"path", path_}, {"at", end}, {"bytes", size - end}});
  }
  return {};
}

// Words that say more than the file has are about a copy that went on elsewhere: believed, they would promise records
// as synced that are not.
Status Journal::Impl::forget_stale_words() {
  const SyncTurn turn(*this);
  DAYBREAK_ASSIGN(const HeldLock lock, hold(Lock::kSync));
  DAYBREAK_ASSIGN(SyncedWords words, locks_->words());
  const std::uint64_t end = file_->cursor.offset();
  if (words.life != file_->journal.header.life || std::max(words.synced, words.whole) <= end) return {};
  if (words.whole > end) {
    base::log_warn("a journal is shorter than it was: an older copy, or its end is lost",
                   {{"path", path_}, {"bytes", end}, {"bytes_before", words.whole}});
  }
  DAYBREAK_TRY(locks_->set_words({words.life, std::min(words.synced, end), std::min(words.whole, end)}));
  return locks_->sync();
}

Status Journal::Impl::begin() {
  MutexLock threads(mutex_);
  DAYBREAK_ASSIGN(const HeldLock lock, hold(Lock::kAppend));
  Status loaded = load();
  if (!loaded && loaded.error().code() == Code::kNotFound) {
    const auto nothing = [](const EmitRecord&) { return Status{}; };
    DAYBREAK_TRY(replace_journal(path_, fresh_header(0), nothing, env_));
    loaded = load();
  }
  DAYBREAK_TRY(std::move(loaded));
  DAYBREAK_TRY(catch_up());
  return forget_stale_words();
}

// Writes all that is pending behind the records that are there. What could not be written stays pending.
Status Journal::Impl::write_pending() {
  if (pending_.empty()) return {};
  DAYBREAK_ASSIGN(const HeldLock lock, hold(Lock::kAppend));
  DAYBREAK_TRY(catch_up());
  DAYBREAK_FAILPOINT("journal.locked");
  JournalHead head;
  head.number = file_->cursor.number();
  head.synced = file_->synced.load();
  head.boot = boot_number();
  const std::uint64_t first = head.number;
  std::string bytes;
  for (const Pending& record : pending_) {
    head.kind = record.kind;
    append_journal_record(bytes, head, record.body, file_->journal.header.life, file_->cursor.offset() + bytes.size());
    ++head.number;
  }
  Status written = write_bytes(*file_->out, bytes);
  if (written) {
    file_->cursor.pass(bytes.size(), pending_.size(), head.synced);
    DAYBREAK_FAILPOINT("journal.written");
  } else if (Status looked = catch_up(); !looked) {  // whoever appends next looks again
    base::log_warn("a journal could not be looked at after a failed write",
                   {{"path", path_}, {"error", looked.error().to_string()}});
  }
  // Of a write that failed, the records that came whole stay: readers may have seen them.
  const std::uint64_t done = file_->cursor.number() - first;
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(done));
  pending_bytes_ = 0;
  for (const Pending& record : pending_) pending_bytes_ += record.body.size();
  records_ += done;
  ++writes_;
  return pending_.empty() ? Status{} : written;
}

// The sync lock is held. After a failure this pen promises nothing more: the kernel gives up what it could not write,
// and says so once, so a later sync that succeeds says nothing about it.
Status Journal::Impl::sync_file(PenFile& file) {
  DAYBREAK_TRY(check_usable());
  Status synced = file.syncer->sync();
  if (!synced) sync_failed_ = true;
  return synced;
}

// Somebody's sync has served us. Asked without the lock: a number that is too high has gone down before the append lock
// was free for the record that ends at `end` (cut_tail), one that is too low is asked for again.
bool Journal::Impl::is_synced(const PenFile& file, std::uint64_t end) const {
  const auto words = locks_->words();
  return words && words->life == file.journal.header.life && words->synced >= end;
}

// When it returns, the file is on the disk up to `end`, where a whole record ends. One sync serves all pens and
// threads: whoever comes to the lock first syncs for those who wait, and they see that it is done.
Status Journal::Impl::sync(PenFile& file, std::uint64_t end) {
  const auto served = [&] { return is_synced(file, end); };
  const SyncTurn turn(*this, served);
  if (turn.is_taken()) {
    DAYBREAK_ASSIGN(const bool locked,
                    locks_->acquire(Lock::kSync, Mode::kExclusive, options_.lock_timeout_ns, env_, served));
    if (locked) {
      Status synced = sync_for_all(file, end);
      locks_->release(Lock::kSync);
      DAYBREAK_TRY(std::move(synced));
    }
  }
  std::uint64_t before = file.synced.load();
  while (before < end && !file.synced.compare_exchange_weak(before, end)) {
  }
  return {};
}

// The sync lock is held.
Status Journal::Impl::sync_for_all(PenFile& file, std::uint64_t end) {
  DAYBREAK_ASSIGN(SyncedWords words, locks_->words());
  const std::uint64_t life = file.journal.header.life;
  if (words.life != life) words = {life, 0, 0};
  if (words.synced < end) {
    // Looked at before the sync begins: every byte before this one has been written, so the sync is about it, too.
    DAYBREAK_ASSIGN(const std::uint64_t size, file.journal.file.size());
    DAYBREAK_FAILPOINT("journal.sync.locked");
    ++syncs_;
    DAYBREAK_TRY(sync_file(file));
    DAYBREAK_FAILPOINT("journal.sync.done");
    words.synced = size;
  }
  words.whole = std::max(words.whole, end);
  // Only after the sync: the words are believed. Of a file that a rewrite has replaced nobody asks any more; and what
  // cannot be noted costs the next one a sync of its own.
  DAYBREAK_ASSIGN(const std::uint64_t identity, file.journal.file.identity());
  if (identity != 0) std::ignore = locks_->set_words(words);
  DAYBREAK_FAILPOINT("journal.sync.noted");
  return {};
}

Result<std::optional<std::uint64_t>> Journal::Impl::append(std::string_view body, std::uint32_t kind,
                                                           Durability durability) {
  DAYBREAK_TRY(check_usable());
  if (body.size() > kMaxJournalRecordBytes) {
    return fail(Code::kInvalidArgument,
                "a record of {} bytes: at most {} are allowed, keep the rest in a file of its own", body.size(),
                kMaxJournalRecordBytes);
  }
  std::shared_ptr<PenFile> file;
  std::uint64_t end = 0, number = 0;
  {
    MutexLock threads(mutex_);
    pending_.push_back({kind, std::string(body)});
    pending_bytes_ += body.size();
    if (durability == Durability::kBuffered && pending_bytes_ < kMaxJournalBufferBytes) return std::nullopt;
    if (Status written = write_pending(); !written) {
      pending_bytes_ -= body.size();
      pending_.pop_back();  // ours came last
      return std::unexpected(std::move(written).error());
    }
    file = file_;
    end = file_->cursor.offset();
    number = file_->cursor.number() - 1;
  }
  if (durability == Durability::kSynced) DAYBREAK_TRY(sync(*file, end));
  return number;
}

Status Journal::Impl::flush(Durability durability) {
  DAYBREAK_TRY(check_usable());
  std::shared_ptr<PenFile> file;
  std::uint64_t end = 0;
  {
    MutexLock threads(mutex_);
    DAYBREAK_TRY(write_pending());
    if (durability != Durability::kSynced) return {};
    DAYBREAK_ASSIGN(const HeldLock lock, hold(Lock::kAppend));
    DAYBREAK_TRY(catch_up());  // to what the others have written
    file = file_;
    end = file_->cursor.offset();
  }
  return sync(*file, end);
}

Status Journal::Impl::rewrite(const std::function<Status(const Emit&)>& write) {
  DAYBREAK_TRY(check_usable());
  MutexLock threads(mutex_);
  DAYBREAK_TRY(write_pending());
  DAYBREAK_ASSIGN(const HeldLock lock, hold(Lock::kAppend));
  DAYBREAK_TRY(catch_up());
  rewriter_ = std::this_thread::get_id();
  // Its records are synced before it has the name: who waits for a sync of the file before this one is served by both.
  const Status replaced = replace_journal(path_, fresh_header(file_->cursor.number()), write, env_);
  rewriter_ = std::thread::id();
  DAYBREAK_TRY(catch_up());
  return replaced;
}

Status Journal::Impl::close() {
  if (closed_.load()) return {};
  const Status flushed = flush(Durability::kWritten);
  closed_ = true;
  return flushed;
}

JournalStats Journal::Impl::stats() const {
  return {records_.load(), writes_.load(), syncs_.load(), cut_bytes_.load()};
}

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Journal>> Journal::open(const std::string& path, const JournalOptions& options) {
  if (options.application.size() > kMaxApplicationBytes || options.application.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument,
                "the application's name has {} bytes: at most {}, none of them zero, are allowed",
                options.application.size(), kMaxApplicationBytes);
  }
  DAYBREAK_ASSIGN(base::Place place, journal_place(path));
  if (place.read_only) {
    return fail(Code::kPermissionDenied, "'{}' is read-only: make it writable (chmod u+w), or open a JournalReader",
                path);
  }
  if (place.kind == base::FileKind::kRegular) {  // before anything is made beside a file that is no journal
    DAYBREAK_TRY(JournalFile::open(place.path, options.application));
  }
  DAYBREAK_ASSIGN(auto locks, JournalLocks::open(lock_path(place.path), Mode::kExclusive));
  auto impl = std::make_unique<Impl>(std::move(place.path), options, std::move(locks));
  DAYBREAK_TRY(impl->begin());
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

Journal::~Journal() {
  const Status closed = impl_->close();
  if (closed || closed.error().code() == Code::kFailedPrecondition) return;  // a child's copy has nothing to say
  base::log_error("a journal could not be written while it was closed",
                  {{"path", impl_->path()}, {"error", closed.error().to_string()}});
}

Result<std::optional<std::uint64_t>> Journal::append(std::string_view body, std::uint32_t kind, Durability durability) {
  return impl_->append(body, kind, durability);
}
Status Journal::flush(Durability durability) {
  return impl_->flush(durability);
}
Status Journal::rewrite(const std::function<Status(const Emit& emit)>& write) {
  return impl_->rewrite(write);
}
Status Journal::close() {
  return impl_->close();
}
JournalStats Journal::stats() const {
  return impl_->stats();
}
const std::string& Journal::path() const {
  return impl_->path();
}

}  // namespace daybreak::store
