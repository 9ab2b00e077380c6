// The folder that an engine's values are spilled to: one file for each, named by its object, of mode 0600 in a folder of
// mode 0700 which is this engine's alone. A file is the value's bytes and a trailer with a checksum
// (docs/formats/spilled-values.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/spill.h"

namespace daybreak::runtime {

// The files of a process. Outlived by the segment.
class SpillFolder final : public SpillFiles {
 public:
  // `path`: an OwnedSpillFolder's.
  SpillFolder(Control& control, std::string path) : control_(control), path_(std::move(path)) {}

  base::Status write(Ref ref, std::span<const std::byte> bytes) override;
  base::Status read(Ref ref, std::span<std::byte> bytes) override;
  base::Result<os::Mapping> map(Ref ref, std::uint64_t size) override;
  void remove(Ref ref) override;
  std::string file_of(Ref ref) const;

 private:
  base::Result<os::Fd> open_to_read(Ref ref) const;
  base::Status check_trailer(int fd, Ref ref, std::uint64_t size, std::uint32_t crc) const;
  base::Status write_file(int fd, std::span<const std::byte> bytes, Ref ref) const;

  Control& control_;
  std::string path_;
};

// A process finds the files of its engine, if that has a folder.
void use_spill_folder(Process& process);

// What became of an object whose value is lost: for people.
std::string lost_value_text(Process& process, Ref ref);

// Says on the standard error stream, once in an engine, that the folder lies in memory, if it does.
void warn_of_memory_folder(Control& control, const std::string& path);

// The folder itself: the driver's, which removes it.
class OwnedSpillFolder {
 public:
  // PARENT/daybreak-spill-PID-SESSION. First removes those there that dead engines of this user have left.
  static base::Result<std::unique_ptr<OwnedSpillFolder>> create(const std::string& parent, std::uint64_t session);
  ~OwnedSpillFolder();  // not in the child of a fork
  OwnedSpillFolder(const OwnedSpillFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  OwnedSpillFolder(std::string path, os::Fd lock);
  std::string path_;
  os::Fd lock_;
  int owner_;
};

}  // namespace daybreak::runtime
