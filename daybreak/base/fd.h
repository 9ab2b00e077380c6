// A file descriptor with an owner. What else the operating system offers for one is in os/fd.h: this part lies here
// because Env and the log stand on it.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "daybreak/base/error.h"

namespace daybreak::base {

inline constexpr std::int64_t kForeverNs = INT64_MAX;

// Closed by the destructor, which reports nothing: who must know whether the last bytes arrived calls sync, or close of
// WritableFile. Empty at -1. Move it, or lend get().
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (const int old = std::exchange(fd_, fd); old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

// All of the bytes, however often a signal or a short write interrupts; a descriptor that somebody made non-blocking is
// waited for. kDeadlineExceeded after `patience_ns` in which it took nothing; after any error some of the bytes may be
// written. `name`: for the error.
Status write_all(int fd, std::string_view bytes, std::string_view name, std::int64_t patience_ns = kForeverNs);

}  // namespace daybreak::base
