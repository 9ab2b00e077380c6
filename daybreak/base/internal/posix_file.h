// A file descriptor that closes itself, and a WritableFile over one.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"

namespace daybreak::base::internal {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PosixFile : public WritableFile {
 public:
  PosixFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status append(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) {  // a descriptor that somebody made non-blocking
          pollfd full{fd_.get(), POLLOUT, 0};
          ::poll(&full, 1, -1);
          continue;
        }
        return fail_errno(fmt::format("write '{}'", path_), errno);
      }
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }

  Status sync() override {
    if (::fdatasync(fd_.get()) != 0) return fail_errno(fmt::format("sync '{}'", path_), errno);
    return {};
  }

  Status close() override {
    if (::close(fd_.release()) != 0) return fail_errno(fmt::format("close '{}'", path_), errno);
    return {};
  }

 private:
  Fd fd_;
  std::string path_;
};

}  // namespace daybreak::base::internal
