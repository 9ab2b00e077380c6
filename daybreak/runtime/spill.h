// Where values go that are written to disk for want of room: the interface that the ownership protocol (spill.cc) is
// written over. The product's is a folder (spill_folder.h), the interleaver's a map.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/os/memory.h"
#include "daybreak/runtime/layout.h"

namespace daybreak::runtime {

// Any thread; of two calls for one object the second begins when the first has returned, or its process is dead.
class SpillFiles {
 public:
  virtual ~SpillFiles() = default;
  // All of `bytes` under the object's name, on disk when it returns. After an error, or a death in between, there may be
  // part of it, until remove(). kResourceExhausted: the disk is full.
  virtual base::Status write(Ref ref, std::span<const std::byte> bytes) = 0;
  // What write() was given, of exactly this size. kDataLoss: it is gone, or not what was written. After another error it
  // may be tried again.
  virtual base::Status read(Ref ref, std::span<std::byte> bytes) = 0;
  // The same where the file lies, without room in the store: read-only, and it stays when the file is removed. Behind the
  // bytes there may be others.
  virtual base::Result<os::Mapping> map(Ref ref, std::uint64_t size) = 0;
  // Nothing when there is none.
  virtual void remove(Ref ref) = 0;
};

}  // namespace daybreak::runtime
