// Files of the run log that base::Env has no word for: preallocated shared mappings, locks that tell who lives, reads
// at an offset.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daybreak/base/error.h"

namespace daybreak::track {

// What all readers of this process have done, for tests that compare the work of a run with that of a larger one.
struct ReadWork {
  std::atomic<std::uint64_t> bytes{0};  // read from files
  std::atomic<std::uint64_t> names{0};  // of files, looked at in listings
};
ReadWork& read_work();

// An open file descriptor; closed by the destructor.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(other.release()) {}
  FileHandle& operator=(FileHandle&& other) noexcept;
  ~FileHandle();

  static base::Result<FileHandle> open_to_read(const std::string& path);
  int fd() const { return fd_; }
  int release();
  base::Result<std::uint64_t> size() const;
  // Exactly so many bytes, or kDataLoss.
  base::Result<std::string> read(std::uint64_t offset, std::size_t size_bytes) const;
  base::Status read_into(std::span<char> out, std::uint64_t offset) const;

 private:
  int fd_ = -1;
};

// Whether a process lives that holds the file's lock. The lock belongs to the open file (F_OFD_SETLK): the kernel takes
// it back when the process dies, however it dies, also across containers of one machine; asking does not take it.
base::Result<bool> is_locked(const std::string& path);
// Creates the file (0600) with its lock: nobody ever sees it unlocked while we live.
base::Result<FileHandle> create_locked(const std::string& path);
// Another lock of the same file, for as long as the handle lives: who holds it puts right what a dead one left. The
// file is created when missing. kUnavailable when another has it and `wait` is false.
base::Result<FileHandle> lock_for_repair(const std::string& path, bool wait);

// A file of a fixed size, all of whose blocks are allocated on disk and which is mapped shared: stores into it survive
// the death of the process, and never fail for a full disk.
class MappedFile {
 public:
  // Creates it; kResourceExhausted when the disk is full (then nothing is left behind).
  static base::Result<std::unique_ptr<MappedFile>> create(const std::string& path, std::size_t size_bytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;

  char* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  // What was stored before the call survives a loss of power after it.
  base::Status sync() const;
  // In a child process, after fork: the descriptor goes, the mapping stays and is never written.
  void close_in_child();

 private:
  MappedFile(FileHandle file, char* data, std::size_t size_bytes, std::string path)
      : file_(std::move(file)), data_(data), size_bytes_(size_bytes), path_(std::move(path)) {}

  FileHandle file_;
  char* data_;
  std::size_t size_bytes_;
  std::string path_;
};

// 16 bytes that the kernel chose when the machine started; zeros where it does not say.
std::array<std::uint8_t, 16> boot_id();
std::string host_name();

}  // namespace daybreak::track
