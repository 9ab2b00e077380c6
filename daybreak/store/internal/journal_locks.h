// The file beside a journal: its locks, and how far the journal is known to be on the disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "daybreak/base/env.h"

namespace daybreak::store {

// Written by who holds the sync lock, read by anyone: a checksum tells a reader that it has met a writer in the middle.
// Lost or of another life they cost a sync, never a record.
struct SyncedWords {
  std::uint64_t life = 0;  // of the journal that the others are about
  std::uint64_t synced =
      0;  // every byte before this one was on the disk, also those of a record that was never finished
  std::uint64_t whole = 0;  // the end of the last whole record that somebody was told is on the disk
};

// Two locks between processes. Each belongs to this object (F_OFD_SETLK): two objects in one process exclude each
// other, and the kernel takes a lock back when the process dies, however it dies. A child made by fork() would keep it
// from doing so, as it shares the open file: so what a child inherits is closed before fork() returns there.
class JournalLocks {
 public:
  enum class Lock : std::uint8_t { kAppend = 0, kSync = 1 };  // taken in this order, never the other way round
  enum class Mode : std::uint8_t { kShared, kExclusive };

  // kExclusive creates the file when missing (0600); kShared only reads it.
  static base::Result<std::unique_ptr<JournalLocks>> open(const std::string& path, Mode mode);
  ~JournalLocks();
  JournalLocks(const JournalLocks&) = delete;
  JournalLocks& operator=(const JournalLocks&) = delete;

  // kFailedPrecondition in a child made by fork().
  base::Status check_process() const;
  // Waits at most timeout_ns: kUnavailable after that. One thread at a time for each lock. False, and no lock, once
  // `unless` gives true, which is asked again and again while another has it.
  base::Result<bool> acquire(Lock lock, Mode mode, std::int64_t timeout_ns, base::Env& env,
                             const std::function<bool()>& unless = nullptr);
  void release(Lock lock);

  // Zeros when there are none.
  base::Result<SyncedWords> words() const;
  base::Status set_words(const SyncedWords& words);
  // The words survive a loss of power.
  base::Status sync();

  void close_in_child();

 private:
  JournalLocks(int fd, std::string path);
  std::atomic<int> fd_;  // -1 in a child
  const std::string path_;
};

// A lock for the length of a scope.
class HeldLock {
 public:
  static base::Result<HeldLock> acquire(JournalLocks& locks, JournalLocks::Lock lock, JournalLocks::Mode mode,
                                        std::int64_t timeout_ns, base::Env& env);
  HeldLock(HeldLock&& other) noexcept : locks_(std::exchange(other.locks_, nullptr)), lock_(other.lock_) {}
  HeldLock& operator=(HeldLock&&) = delete;
  ~HeldLock() {
    if (locks_ != nullptr) locks_->release(lock_);
  }

 private:
  HeldLock(JournalLocks& locks, JournalLocks::Lock lock) : locks_(&locks), lock_(lock) {}
  JournalLocks* locks_;
  JournalLocks::Lock lock_;
};

}  // namespace daybreak::store
