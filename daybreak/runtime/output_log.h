// What workers have printed, kept beside the engine's door for whoever asks (`daybreak logs`): two files, DIR/output and, before it,
// DIR/output.1, of at most kFileBytes each, so that an engine that prints for a year keeps the last of it and no more.
//
// A line is: milliseconds since 1970, process number, 1 or 2 (the stream), name, the line itself, with a tab between them and a
// newline behind. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"

namespace daybreak::runtime {

class OutputLog {
 public:
  static constexpr std::uint64_t kFileBytes = std::uint64_t{4} << 20;
  static constexpr std::string_view kName = "/output";
  static constexpr std::string_view kOldName = "/output.1";

  // The files are made with the first line.
  explicit OutputLog(std::string directory) : directory_(std::move(directory)) {}

  // Gathered, until flush().
  void append(std::int64_t unix_ms, std::int32_t pid, int stream, std::string_view name, std::string_view line);
  // What has been gathered is in the file, or is lost (a full disk): the error says so, the first time.
  base::Status flush();

 private:
  base::Status write();

  std::string directory_;
  std::string gathered_;
  os::Fd file_;
  std::uint64_t size_ = 0;
  bool failed_ = false;
};

}  // namespace daybreak::runtime
