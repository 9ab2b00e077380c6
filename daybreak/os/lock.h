// Locks between processes that a death frees, however it comes. One is a byte of a file and belongs to the open file
// (F_OFD_SETLK), so it holds between threads as it does between processes, and across the containers of one machine; it
// goes with the last descriptor of that open file, which a child of fork() shares.
#pragma once

#include <cstdint>

#include "daybreak/base/error.h"

namespace daybreak::os {

// Takes the lock of a byte, which need not be within the file; `fd` is open for writing. kUnavailable when another open
// file has it and `wait` is false. kUnimplemented, kUnknown where the file system has no POSIX locks.
base::Status lock_byte(int fd, std::uint64_t byte, bool wait);
// Whether another open file has it. Asking does not take it; `fd` is open for reading.
base::Result<bool> byte_is_locked(int fd, std::uint64_t byte);

}  // namespace daybreak::os
