// The seam to the operating system: clock, randomness, whole files. Code that takes an Env& runs on the real one and,
// in tests, on one whose clock stands still and whose disk is full or loses its power (test_env.h). What tests need not
// stop or break (descriptors, shared memory, locks, processes) is in os.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::base {

// A file that only grows. One thread at a time. The destructor closes without reporting: call close() when it matters.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // All of the bytes, or an error; after an error some of them may be in the file.
  virtual Status append(std::string_view bytes) = 0;
  // What was appended survives a loss of power once this returns.
  virtual Status sync() = 0;
  // Once. No other call may follow.
  virtual Status close() = 0;
};

// Any thread may call any function. Paths are as the kernel takes them; files are created with mode 0600, directories
// with 0700.
class Env {
 public:
  virtual ~Env() = default;
  // The operating system; lives for ever.
  static Env& real();

  // -- time
  // Never goes back; says nothing about the time of day. Not comparable across machines.
  virtual std::int64_t monotonic_ns() = 0;
  // Since 1970-01-01 UTC; may jump.
  virtual std::int64_t unix_ns() = 0;
  virtual void sleep_ns(std::int64_t duration_ns) = 0;

  // -- randomness fit for keys
  virtual void fill_random(std::span<std::byte> out) = 0;
  std::uint64_t random_u64();

  // -- files
  // kAlreadyExists when there is one.
  virtual Result<std::unique_ptr<WritableFile>> create_file(const std::string& path) = 0;
  // Appends to the file, which is created when missing.
  virtual Result<std::unique_ptr<WritableFile>> append_file(const std::string& path) = 0;
  // The whole file. kResourceExhausted when it is larger than max_bytes, kNotFound when there is none.
  virtual Result<std::string> read_file(const std::string& path, std::size_t max_bytes) = 0;
  // Replaces `to` in one step.
  virtual Status rename_file(const std::string& from, const std::string& to) = 0;
  virtual Status remove_file(const std::string& path) = 0;
  // Names in the directory (not paths), sorted.
  virtual Result<std::vector<std::string>> list_directory(const std::string& path) = 0;
  // With all parents; fine when it is there.
  virtual Status create_directories(const std::string& path) = 0;
  // Creations, renames and removals in the directory survive a loss of power once this returns.
  virtual Status sync_directory(const std::string& path) = 0;
};

}  // namespace daybreak::base
