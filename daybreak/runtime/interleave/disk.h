// A disk for programs of the interleaver, which may be full and may lose files.
#pragma once

#include <fmt/format.h>

#include <array>
#include <map>
#include <utility>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/interleave/world.h"
#include "daybreak/runtime/spill.h"

namespace daybreak::runtime {

// Of a value only these bytes are written and looked at: each access to one is a call of the engine's.
inline std::array<std::uint64_t, 3> looked_at(std::uint64_t size) {
  return {0, size / 2, size - 1};
}

// Files that outlive the processes.
struct Disk {
  struct File {
    std::uint64_t size = 0;
    std::array<std::byte, 3> bytes{};
    bool whole = false;
  };
  std::map<std::uint64_t, File> files;
  std::uint32_t lost = 0;  // files that it lost
};

inline std::uint64_t disk_key(Ref ref) {
  return (std::uint64_t{ref.generation} << 32) | ref.index;
}

// One process's way to it.
class DiskFiles final : public SpillFiles {
 public:
  // `faulty`: it may be full, and lose what is written. `forgetful`: it may lose a file at any time.
  DiskFiles(Engine& engine, Disk& disk, bool faulty, bool forgetful = false)
      : engine_(engine), disk_(disk), faulty_(faulty), forgetful_(forgetful) {}

  base::Status write(Ref ref, std::span<const std::byte> bytes) override {
    disk_.files[disk_key(ref)].size = bytes.size();
    DAYBREAK_FAILPOINT("disk.half");
    if (faulty_ && engine_.below(4) == 0) return base::fail(base::Code::kResourceExhausted, "the disk is full");
    Disk::File& file = disk_.files[disk_key(ref)];
    for (std::size_t i = 0; i < file.bytes.size(); ++i) file.bytes[i] = bytes[looked_at(bytes.size())[i]];
    file.whole = true;
    if (faulty_ && engine_.below(6) == 0) {
      file.whole = false;
      ++disk_.lost;
    }
    return {};
  }

  base::Status read(Ref ref, std::span<std::byte> bytes) override {
    auto file = disk_.files.find(disk_key(ref));
    if (forgetful_ && file != disk_.files.end() && engine_.below(2) == 0) {
      file->second.whole = false;
      ++disk_.lost;
    }
    if (file == disk_.files.end()) {
      if (disk_.lost == 0) engine_.fail(fmt::format("the file of entry {} is not there", ref.index));
      return base::fail(base::Code::kDataLoss, "the file is gone");
    }
    if (file->second.size != bytes.size() || (!file->second.whole && disk_.lost == 0))
      engine_.fail(fmt::format("the file of entry {} is not what was written", ref.index));
    for (std::size_t i = 0; i < file->second.bytes.size(); ++i)
      bytes[looked_at(bytes.size())[i]] = file->second.bytes[i];
    const bool whole = file->second.whole;
    DAYBREAK_FAILPOINT("disk.read");
    if (!whole) return base::fail(base::Code::kDataLoss, "the file is damaged");
    return {};
  }

  base::Result<os::Mapping> map(Ref ref, std::uint64_t size) override {
    auto copy = os::map_zeros(size);
    DAYBREAK_TRY(read(ref, copy->bytes()));
    return copy;
  }

  void remove(Ref ref) override { disk_.files.erase(disk_key(ref)); }

 private:
  Engine& engine_;
  Disk& disk_;
  const bool faulty_, forgetful_;
};

}  // namespace daybreak::runtime
