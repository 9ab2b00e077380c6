#include "daybreak/store/internal/journal_locks.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "daybreak/base/crc32c.h"
#include "daybreak/base/mutex.h"
#include "daybreak/os/fd.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t kWordsBytes = sizeof(SyncedWords) + 4;  // and their checksum
std::uint32_t words_checksum(const char* bytes) {
  return base::crc32c(std::string_view(bytes, sizeof(SyncedWords)));
}

constexpr std::int64_t kFirstLockPauseNs = 20'000, kLongestLockPauseNs = 1'000'000;

// All that are open in this process, for the moment of a fork.
struct OpenLocks {
  base::Mutex mutex;
  std::set<JournalLocks*> all DAYBREAK_GUARDED_BY(mutex);
};

OpenLocks& open_locks();
void before_fork() DAYBREAK_ACQUIRE(open_locks().mutex);
void after_fork_in_parent() DAYBREAK_RELEASE(open_locks().mutex);
void after_fork_in_child() DAYBREAK_RELEASE(open_locks().mutex);

OpenLocks& open_locks() {
  static OpenLocks* const locks = [] {
    ::pthread_atfork(&before_fork, &after_fork_in_parent, &after_fork_in_child);
    return new OpenLocks;  // for ever: a fork may come while the process ends
  }();
  return *locks;
}

void before_fork() {
  open_locks().mutex.lock();
}
void after_fork_in_parent() {
  open_locks().mutex.unlock();
}
void after_fork_in_child() {
  for (JournalLocks* const locks : open_locks().all) locks->close_in_child();
  open_locks().all.clear();
  open_locks().mutex.unlock();
}

struct ::flock one_byte(JournalLocks::Lock lock, short type) {
  struct ::flock about = {};
  about.l_type = type;
  about.l_whence = SEEK_SET;
  about.l_start = static_cast<off_t>(lock);
  about.l_len = 1;
  return about;
}

}  // namespace

JournalLocks::JournalLocks(int fd, std::string path) : fd_(fd), path_(std::move(path)) {
  base::MutexLock lock(open_locks().mutex);
  open_locks().all.insert(this);
}

JournalLocks::~JournalLocks() {
  base::MutexLock lock(open_locks().mutex);
  open_locks().all.erase(this);
  if (const int fd = fd_.exchange(-1); fd >= 0) ::close(fd);
}

void JournalLocks::close_in_child() {
  if (const int fd = fd_.exchange(-1); fd >= 0) ::close(fd);
}

Result<std::unique_ptr<JournalLocks>> JournalLocks::open(const std::string& path, Mode mode) {
  const int flags = mode == Mode::kExclusive ? O_RDWR | O_CREAT : O_RDONLY;
  DAYBREAK_ASSIGN(base::Fd fd, os::open_file(path, flags | O_NOFOLLOW));
  return std::unique_ptr<JournalLocks>(new JournalLocks(fd.release(), path));
}

Status JournalLocks::check_process() const {
  if (fd_.load() >= 0) return {};
  return fail(Code::kFailedPrecondition, "the journal of '{}' was opened before fork(): open it again in this process",
              path_);
}

Result<bool> JournalLocks::acquire(Lock lock, Mode mode, std::int64_t timeout_ns, base::Env& env,
                                   const std::function<bool()>& unless) {
  DAYBREAK_TRY(check_process());
  struct ::flock about = one_byte(lock, mode == Mode::kShared ? F_RDLCK : F_WRLCK);
  const std::int64_t deadline = env.monotonic_ns() + timeout_ns;
  std::int64_t pause = kFirstLockPauseNs;
  while (::fcntl(fd_.load(), F_OFD_SETLK, &about) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EACCES) {
      return fail_errno(fmt::format("cannot lock '{}' (its file system must have POSIX locks)", path_), errno);
    }
    if (unless && unless()) return false;
    if (env.monotonic_ns() >= deadline) {
      return fail(Code::kUnavailable,
                  "another process has held '{}' for {} s: see whether it is stopped (lslocks), and try again", path_,
                  timeout_ns / 1'000'000'000);
    }
    env.sleep_ns(pause);
    pause = std::min(2 * pause, kLongestLockPauseNs);
  }
  struct stat status = {};
  if (::fstat(fd_.load(), &status) != 0 || status.st_nlink == 0) {  // whoever comes now locks another file
    release(lock);
    return fail(Code::kFailedPrecondition,
                "'{}' was removed while its journal was open: close the journal wherever it is open, and open it again",
                path_);
  }
  return true;
}

void JournalLocks::release(Lock lock) {
  struct ::flock about = one_byte(lock, F_UNLCK);
  if (const int fd = fd_.load(); fd >= 0) ::fcntl(fd, F_OFD_SETLK, &about);
}

Result<SyncedWords> JournalLocks::words() const {
  std::array<char, kWordsBytes> bytes{};
  ssize_t got;
  do got = ::pread(fd_.load(), bytes.data(), bytes.size(), 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return fail_errno(fmt::format("cannot read '{}'", path_), errno);
  SyncedWords words;
  std::uint32_t checksum = 0;
  std::memcpy(&checksum, bytes.data() + sizeof words, sizeof checksum);
  if (static_cast<std::size_t>(got) < bytes.size() || checksum != words_checksum(bytes.data())) return words;
  std::memcpy(&words, bytes.data(), sizeof words);
  return words;
}

Status JournalLocks::set_words(const SyncedWords& words) {
  std::array<char, kWordsBytes> bytes{};
  std::memcpy(bytes.data(), &words, sizeof words);
  const std::uint32_t checksum = words_checksum(bytes.data());
  std::memcpy(bytes.data() + sizeof words, &checksum, sizeof checksum);
  ssize_t written;
  do written = ::pwrite(fd_.load(), bytes.data(), bytes.size(), 0);
  while (written < 0 && errno == EINTR);
  const int error_number = written < 0 ? errno : ENOSPC;
  if (written < static_cast<ssize_t>(bytes.size())) {
    return fail_errno(fmt::format("cannot write '{}'", path_), error_number);
  }
  return {};
}

Status JournalLocks::sync() {
  if (::fdatasync(fd_.load()) != 0) return fail_errno(fmt::format("cannot sync '{}'", path_), errno);
  return {};
}

Result<HeldLock> HeldLock::acquire(JournalLocks& locks, JournalLocks::Lock lock, JournalLocks::Mode mode,
                                   std::int64_t timeout_ns, base::Env& env) {
  DAYBREAK_TRY(locks.acquire(lock, mode, timeout_ns, env));
  return HeldLock(locks, lock);
}

}  // namespace daybreak::store
