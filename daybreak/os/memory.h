// Memory that processes share, and address space: anonymous files that belong to no path and vanish with their last
// descriptor and mapping, whatever kills the processes; mappings that unmap themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"

namespace daybreak::os {

// Owns a range of addresses; unmapped by the destructor. The memory behind it may be touched by any thread for as long.
class Mapping {
 public:
  Mapping() = default;
  // Takes what mmap() gave.
  explicit Mapping(std::span<std::byte> bytes) : bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept : bytes_(other.release()) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  std::byte* data() const { return bytes_.data(); }
  std::size_t size_bytes() const { return bytes_.size(); }
  std::span<std::byte> bytes() const { return bytes_; }
  explicit operator bool() const { return bytes_.data() != nullptr; }
  // From here on it stays mapped, as long as the process lives.
  std::span<std::byte> release() { return std::exchange(bytes_, {}); }

  // The memory of whole pages within [offset, offset + size_bytes) goes back to the system, in all processes: they read
  // as zeros. Of a shared, writable mapping. A kindness to others: what cannot be given back stays as it is.
  void give_back(std::size_t offset, std::size_t size_bytes) const;

 private:
  std::span<std::byte> bytes_;
};

struct MapOptions {
  bool writable = true;
  std::size_t align_bytes = 1;  // of the address: a power of two
};

// The first `size_bytes` of the file, shared with whoever maps it too. The descriptor may be closed afterwards.
base::Result<Mapping> map_shared(int fd, std::size_t size_bytes, MapOptions options = {});
// Zeros of this process alone. They cost memory only where they are touched.
base::Result<Mapping> map_zeros(std::size_t size_bytes);

struct MemoryOptions {
  bool fixed_size = false;  // sealed: nobody who gets the descriptor can take the ground from under a mapping
};

// An anonymous file of zeros, mode 0600; memory is taken where it is touched. `name` is what /proc shows.
base::Result<Fd> create_memory(const std::string& name, std::size_t size_bytes, MemoryOptions options = {});
// The same file, for somebody who may only read it.
base::Result<Fd> reopen_read_only(int fd);

// Takes real memory, or disk, for [offset, offset + size_bytes) of a file, so that a later store cannot fail.
// kResourceExhausted when there is no more. Bytes that are there stay.
base::Status allocate(int fd, std::uint64_t offset, std::uint64_t size_bytes);
// The same by faulting the pages of a mapping in, which several threads can do side by side and which fills this
// process's page table too. kUnimplemented before Linux 5.14.
base::Status populate(std::span<std::byte> bytes);

}  // namespace daybreak::os
