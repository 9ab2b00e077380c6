// What the store needs of a file system beyond base::Env: reads at an offset, and locks between processes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daybreak/base/env.h"

namespace daybreak::store {

// A file open for reading. Any thread; closed by the destructor.
class RandomFile {
 public:
  // kNotFound when there is none.
  static base::Result<RandomFile> open(const std::string& path);
  RandomFile(RandomFile&& other) noexcept;
  RandomFile& operator=(RandomFile&&) = delete;
  ~RandomFile();

  base::Result<std::uint64_t> size() const;
  // The inode: another file under the same name has another.
  base::Result<std::uint64_t> identity() const;
  // All of `out`, or kDataLoss when the file ends before.
  base::Status read_at(std::uint64_t offset, std::span<char> out) const;

 private:
  RandomFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

// An advisory lock on a whole file (flock): it belongs to this handle and goes with it, and with the process. A child
// made by fork() shares it.
class FileLock {
 public:
  enum class Mode { kShared, kExclusive };
  // Creates the file when missing and waits at most timeout_ns (0 = only tries): kUnavailable after that.
  static base::Result<FileLock> acquire(const std::string& path, Mode mode, std::int64_t timeout_ns,
                                        base::Env& env = base::Env::real());
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace daybreak::store
