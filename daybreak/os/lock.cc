#include "daybreak/os/lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace daybreak::os {

using base::Code;
using base::fail;
using base::fail_errno;

namespace {

struct ::flock lock_of_byte(std::uint64_t byte) {
  struct ::flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  return lock;
}

}  // namespace

base::Status lock_byte(int fd, std::uint64_t byte, bool wait) {
  struct ::flock lock = lock_of_byte(byte);
  while (::fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EACCES) return fail(Code::kUnavailable, "another process has the lock");
    return fail_errno("lock (the file system must have POSIX locks)", errno);
  }
  return {};
}

base::Result<bool> byte_is_locked(int fd, std::uint64_t byte) {
  struct ::flock lock = lock_of_byte(byte);
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) return fail_errno("look at a lock", errno);
  return lock.l_type != F_UNLCK;
}

}  // namespace daybreak::os
