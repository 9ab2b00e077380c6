// Files of the run log: locks that tell who lives, and counted reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/file.h"

namespace daybreak::track {

// What all readers of this process have done, for tests that compare the work of a run with that of a larger one.
struct ReadWork {
  std::atomic<std::uint64_t> bytes{0};  // read from files
  std::atomic<std::uint64_t> names{0};  // of files, looked at in listings
};
ReadWork& read_work();

// A file of the log, open for reading; what is read is counted. Empty, or open.
class FileHandle {
 public:
  FileHandle() = default;
  static base::Result<FileHandle> open_to_read(const std::string& path);
  base::Result<std::uint64_t> size() const { return file_->size(); }
  // Exactly so many bytes, or kDataLoss.
  base::Result<std::string> read(std::uint64_t offset, std::size_t size_bytes) const;
  base::Status read_into(std::span<char> out, std::uint64_t offset) const;

 private:
  std::optional<os::RandomFile> file_;
};

// Whether a process lives that holds the file's lock (os/lock.h): the kernel takes it back when the process dies,
// however it dies; asking does not take it.
base::Result<bool> is_locked(const std::string& path);
// Creates the file (0600) with its lock, which the descriptor holds: nobody ever sees it unlocked while we live.
base::Result<os::Fd> create_locked(const std::string& path);
// Another lock of the same file, for as long as the descriptor is open: who holds it puts right what a dead one left.
// The file is created when missing. kUnavailable when another has it and `wait` is false.
base::Result<os::Fd> lock_for_repair(const std::string& path, bool wait);

// 16 bytes that the kernel chose when the machine started; zeros where it does not say.
std::array<std::uint8_t, 16> boot_id();
std::string host_name();

}  // namespace daybreak::track
