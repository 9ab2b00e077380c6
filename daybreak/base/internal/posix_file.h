// A WritableFile over a file descriptor.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/base/fd.h"

namespace daybreak::base::internal {

class PosixFile : public WritableFile {
 public:
  PosixFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status append(std::string_view bytes) override { return write_all(fd_.get(), bytes, path_); }

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
