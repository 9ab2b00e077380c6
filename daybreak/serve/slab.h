// The inputs of a model's requests, in memory that its replicas see too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/memory.h"

namespace daybreak::serve {

// Address space for inputs of one model that are queued or being computed; memory is taken when it is first touched.
inline constexpr std::size_t kSlabBytes = 256u << 20;
inline constexpr std::size_t kSlabAlign = 64;
// Larger blocks give their memory back to the system when they are freed.
inline constexpr std::size_t kSlabKeepBytes = 256u << 10;

// An anonymous file, mapped here for writing; what replicas get of it can only be read. Blocks are
// handed out in sizes of 64 bytes times a power of two; freed ones are used again first in, first out, so that requests
// that come one after another tend to lie one after another. Any thread may call any function.
class Slab : public std::enable_shared_from_this<Slab> {
 public:
  // A part of the slab, given back when it goes. Holds the slab.
  class Block {
   public:
    Block() = default;
    Block(std::shared_ptr<Slab> slab, std::uint64_t offset, std::size_t size_bytes)
        : slab_(std::move(slab)), offset_(offset), size_bytes_(size_bytes) {}
    Block(Block&& other) noexcept
        : slab_(std::move(other.slab_)), offset_(other.offset_), size_bytes_(other.size_bytes_) {
      other.slab_ = nullptr;
    }
    Block& operator=(Block&& other) noexcept;
    ~Block() { reset(); }

    explicit operator bool() const { return slab_ != nullptr; }
    std::byte* data() const;
    std::uint64_t offset() const { return offset_; }
    std::size_t size_bytes() const { return size_bytes_; }
    void reset();

   private:
    std::shared_ptr<Slab> slab_;
    std::uint64_t offset_ = 0;
    std::size_t size_bytes_ = 0;
  };

  static base::Result<std::shared_ptr<Slab>> create(std::size_t size_bytes = kSlabBytes);
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // At least so many bytes. kResourceExhausted when so much is in use.
  base::Result<Block> allocate(std::size_t size_bytes) DAYBREAK_EXCLUDES(mutex_);
  int readable_fd() const { return readable_fd_.get(); }
  const std::byte* data() const { return mapping_.data(); }
  std::size_t size_bytes() const { return mapping_.size_bytes(); }
  std::size_t used_bytes() const DAYBREAK_EXCLUDES(mutex_);

 private:
  friend class Block;
  static constexpr int kClasses = 24;

  Slab(os::Fd readable_fd, os::Mapping mapping) : readable_fd_(std::move(readable_fd)), mapping_(std::move(mapping)) {}
  static int class_of(std::size_t size_bytes);
  void free(std::uint64_t offset, std::size_t size_bytes) DAYBREAK_EXCLUDES(mutex_);

  const os::Fd readable_fd_;
  const os::Mapping mapping_;
  mutable base::Mutex mutex_;
  std::array<std::deque<std::uint64_t>, kClasses> free_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint64_t top_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // nothing at or above it was ever handed out
  std::size_t used_ DAYBREAK_GUARDED_BY(mutex_) = 0;
};

}  // namespace daybreak::serve
