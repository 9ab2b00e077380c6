// What the store needs of a file system beyond base::Env: reads at an offset (os's), and its locks between processes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "daybreak/base/env.h"
#include "daybreak/os/file.h"

namespace daybreak::store {

using os::RandomFile;

// An advisory lock on a whole file (flock; os's locks of bytes would not keep out a process of an older version): it belongs to this handle and goes with it, and with the process. A child
// made by fork() shares it.
class FileLock {
 public:
  enum class Mode { kShared, kExclusive };
  // Creates the file when missing and waits at most timeout_ns (0 = only tries): kUnavailable after that.
  static base::Result<FileLock> acquire(const std::string& path, Mode mode, std::int64_t timeout_ns,
                                        base::Env& env = base::Env::real());

 private:
  explicit FileLock(os::Fd fd) : fd_(std::move(fd)) {}
  os::Fd fd_;
};

}  // namespace daybreak::store
