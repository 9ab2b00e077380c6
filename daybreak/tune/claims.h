// Who of those that claim trials lives. Each holds the lock of a byte of NAME.claims for as long as its process does: the
// kernel takes it back when it dies, however it dies, in whatever container of the machine.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "daybreak/base/error.h"

namespace daybreak::tune {

class Claims {
 public:
  // Whether the kernel's locks are those of all who may open the file: not on a network file system.
  static base::Result<bool> locks_reach_all(const std::string& folder);
  // Makes the file (0600) when there is none, and takes the byte `holder`, below 2^62.
  static base::Result<std::unique_ptr<Claims>> open(const std::string& path, std::uint64_t holder);
  ~Claims();
  Claims(const Claims&) = delete;
  Claims& operator=(const Claims&) = delete;

  // Any thread. kFailedPrecondition when the file was removed, or in a child made by fork(), whose life must not prolong its
  // parent's hold.
  base::Result<bool> is_alive(std::uint64_t holder) const;
  void close_in_child();

 private:
  Claims(int fd, std::uint64_t holder, std::string path);
  std::atomic<int> fd_;  // -1 in a child
  const std::uint64_t holder_;
  const std::string path_;
};

}  // namespace daybreak::tune
