#include "daybreak/tune/claims.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

#include "daybreak/base/mutex.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/lock.h"

namespace daybreak::tune {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;

namespace {

// All that are open in this process, for the moment of a fork.
struct OpenClaims {
  base::Mutex mutex;
  std::set<Claims*> all DAYBREAK_GUARDED_BY(mutex);
};

OpenClaims& open_claims();
void claims_before_fork() DAYBREAK_ACQUIRE(open_claims().mutex);
void claims_after_fork_in_parent() DAYBREAK_RELEASE(open_claims().mutex);
void claims_after_fork_in_child() DAYBREAK_RELEASE(open_claims().mutex);

OpenClaims& open_claims() {
  static OpenClaims* const claims = [] {
    ::pthread_atfork(&claims_before_fork, &claims_after_fork_in_parent, &claims_after_fork_in_child);
    return new OpenClaims;  // for ever: a fork may come while the process ends
  }();
  return *claims;
}

void claims_before_fork() {
  open_claims().mutex.lock();
}
void claims_after_fork_in_parent() {
  open_claims().mutex.unlock();
}
void claims_after_fork_in_child() {
  for (Claims* const claims : open_claims().all) claims->close_in_child();
  open_claims().all.clear();
  open_claims().mutex.unlock();
}

constexpr long kCifs = 0xFF534D42L, kSmb2 = 0xFE534D42L, kFuse = 0x65735546L, kLustre = 0x0BD00BD0L,
               kCeph = 0x00C36400L, kGpfs = 0x47504653L, kBeegfs = 0x19830326L;

}  // namespace

Result<bool> Claims::locks_reach_all(const std::string& folder) {
  struct statfs about = {};
  if (::statfs(folder.c_str(), &about) != 0)
    return fail_errno(fmt::format("cannot look at the folder '{}'", folder), errno);
  switch (static_cast<long>(about.f_type) & 0xFFFFFFFFL) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case V9FS_MAGIC:
    case AFS_SUPER_MAGIC:
    case kCifs:
    case kSmb2:
    case kFuse:
    case kLustre:
    case kCeph:
    case kGpfs:
    case kBeegfs: return false;
    default: return true;
  }
}

Claims::Claims(int fd, std::uint64_t holder, std::string path) : fd_(fd), holder_(holder), path_(std::move(path)) {
  base::MutexLock lock(open_claims().mutex);
  open_claims().all.insert(this);
}

Claims::~Claims() {
  base::MutexLock lock(open_claims().mutex);
  open_claims().all.erase(this);
  if (const int fd = fd_.exchange(-1); fd >= 0) ::close(fd);
}

void Claims::close_in_child() {
  if (const int fd = fd_.exchange(-1); fd >= 0) ::close(fd);
}

Result<std::unique_ptr<Claims>> Claims::open(const std::string& path, std::uint64_t holder) {
  DAYBREAK_ASSIGN(base::Fd fd, os::open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW));
  if (auto locked = os::lock_byte(fd.get(), holder, false); !locked) {
    return std::unexpected(std::move(locked).error().wrap(fmt::format("cannot hold claims in '{}'", path)));
  }
  return std::unique_ptr<Claims>(new Claims(fd.release(), holder, path));
}

Result<bool> Claims::is_alive(std::uint64_t holder) const {
  if (holder == holder_) return true;
  struct stat status = {};
  const int fd = fd_.load();
  if (fd < 0)
    return fail(Code::kFailedPrecondition, "'{}' was opened before fork(): open the journal again in this process",
                path_);
  if (::fstat(fd, &status) != 0 || status.st_nlink == 0) {  // whoever comes now locks another file
    return fail(Code::kFailedPrecondition,
                "'{}' was removed while its journal was open: close the journal wherever it is open, and open it again",
                path_);
  }
  return os::byte_is_locked(fd, holder);
}

}  // namespace daybreak::tune
