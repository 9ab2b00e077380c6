#include "daybreak/runtime/output_log.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <iterator>
#include <utility>

namespace daybreak::runtime {

void OutputLog::append(std::int64_t unix_ms, std::int32_t pid, int stream, std::string_view name,
                       std::string_view line) {
  fmt::format_to(std::back_inserter(gathered_), "{}\t{}\t{}\t{}\t{}\n", unix_ms, pid, stream, name, line);
}

base::Status OutputLog::flush() {
  if (gathered_.empty()) return {};
  base::Status written = write();
  gathered_.clear();
  if (written.has_value()) {
    failed_ = false;
    return {};
  }
  file_.reset();  // begun anew by the next: it may end in half a line
  size_ = kFileBytes;
  if (std::exchange(failed_, true)) return {};
  return std::unexpected(std::move(written).error().wrap("what workers print cannot be kept for `daybreak logs`"));
}

base::Status OutputLog::write() {
  const std::string path = directory_ + std::string(kName);
  if (size_ + gathered_.size() > kFileBytes) {
    file_.reset();
    if (std::rename(path.c_str(), (directory_ + std::string(kOldName)).c_str()) != 0 && errno != ENOENT)
      return base::fail_errno("move " + path, errno);
  }
  if (!file_) {
    DAYBREAK_ASSIGN(file_, os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    size_ = 0;
  }
  DAYBREAK_TRY(os::write_at(file_.get(), gathered_, size_, path));
  size_ += gathered_.size();
  return {};
}

}  // namespace daybreak::runtime
