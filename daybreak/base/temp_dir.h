// A directory for a while.
#pragma once

#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::base {

// A new directory (0700) in $TMPDIR, or /tmp. The destructor removes it with all that is in it; of a process that is
// killed it stays. Movable: the one that was moved from removes nothing.
class TempDir {
 public:
  static Result<TempDir> create();
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&& other) = delete;
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  // The path of something in it.
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace daybreak::base
