// Files that base::Env has no word for: reads at an offset, and stores into a mapping that outlive the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/memory.h"

namespace daybreak::os {

// A regular file open for reading at any offset. Any thread.
class RandomFile {
 public:
  // kNotFound when there is none.
  static base::Result<RandomFile> open(const std::string& path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // As it is now: it may grow. kDataLoss when it is no regular file.
  base::Result<std::uint64_t> size() const;
  // The inode: another file under the same name has another. 0 when it has no name any more.
  base::Result<std::uint64_t> identity() const;
  // All of `out`, or kDataLoss when the file ends before.
  base::Status read_at(std::uint64_t offset, std::span<char> out) const;

 private:
  RandomFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
};

// A file of a fixed size, all of whose blocks are allocated on disk and which is mapped shared: stores into it survive
// the death of the process, and never fail for a full disk.
class MappedFile {
 public:
  // Creates it, mode 0600; kAlreadyExists when there is one, kResourceExhausted when the disk is full (then nothing is
  // left behind).
  static base::Result<std::unique_ptr<MappedFile>> create(const std::string& path, std::size_t size_bytes);

  char* data() const { return reinterpret_cast<char*>(mapping_.data()); }
  std::size_t size_bytes() const { return mapping_.size_bytes(); }
  // What was stored before the call survives a loss of power after it.
  base::Status sync() const;
  // In a child process, after fork: the descriptor goes, the mapping stays and is never written.
  void close_in_child() { fd_.reset(); }

 private:
  MappedFile(Fd fd, Mapping mapping, std::string path)
      : fd_(std::move(fd)), mapping_(std::move(mapping)), path_(std::move(path)) {}

  Fd fd_;
  Mapping mapping_;
  std::string path_;
};

}  // namespace daybreak::os
