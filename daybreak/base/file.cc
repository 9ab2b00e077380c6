#include "daybreak/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace daybreak::base {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  // The result of close(2), which may be the only one to report a failed write.
  int close() {
    const int result = ::close(fd_);
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

Status write_all(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return fail_errno(fmt::format("write '{}'", path), errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_and_sync(Fd& fd, const std::string& path, std::string_view bytes) {
  DAYBREAK_TRY(write_all(fd.get(), path, bytes));
  if (::fsync(fd.get()) != 0) return fail_errno(fmt::format("fsync '{}'", path), errno);
  if (fd.close() != 0) return fail_errno(fmt::format("close '{}'", path), errno);
  return {};
}

}  // namespace

Status write_file_atomically(const std::string& path, std::string_view bytes) {
  std::string temporary = path + ".XXXXXX";
  Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));  // creates with mode 0600
  if (fd.get() < 0) return fail_errno(fmt::format("create a temporary file beside '{}'", path), errno);
  Status written = write_and_sync(fd, temporary, bytes);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) {
    written = fail_errno(fmt::format("rename '{}' to '{}'", temporary, path), errno);
  }
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Fd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0 || ::fsync(parent.get()) != 0) return fail_errno(fmt::format("fsync '{}'", directory), errno);
  return {};
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail_errno(fmt::format("open '{}'", path), errno);
  std::string bytes;
  struct stat about{};
  if (::fstat(fd.get(), &about) == 0 && about.st_size > 0) bytes.reserve(static_cast<std::size_t>(about.st_size) + 1);
  constexpr std::size_t kChunk = 1 << 20;
  for (;;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + kChunk);
    const ssize_t got = ::read(fd.get(), bytes.data() + before, kChunk);
    const int error_number = errno;
    bytes.resize(before + static_cast<std::size_t>(got > 0 ? got : 0));
    if (got == 0) return bytes;
    if (got < 0 && error_number != EINTR) return fail_errno(fmt::format("read '{}'", path), error_number);
    if (bytes.size() > max_bytes) {
      return fail(Code::kResourceExhausted, "'{}' has more than the allowed {} bytes: is it the right file?", path,
                  max_bytes);
    }
  }
}

}  // namespace daybreak::base
