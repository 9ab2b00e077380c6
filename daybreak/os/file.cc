#include "daybreak/os/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace daybreak::os {

using base::Code;
using base::fail;
using base::fail_errno;

namespace {

base::Result<struct stat> look_at(int fd, const std::string& path) {
  struct stat about{};
  if (::fstat(fd, &about) != 0) return fail_errno(fmt::format("look at {}", path), errno);
  return about;
}

// posix_fallocate() and not allocate(): it writes zeros where the file system cannot allocate.
int allocate_all(int fd, std::size_t size_bytes) {
  int failed = 0;
  do failed = ::posix_fallocate(fd, 0, static_cast<off_t>(size_bytes));
  while (failed == EINTR);
  return failed;
}

}  // namespace

base::Result<RandomFile> RandomFile::open(const std::string& path) {
  DAYBREAK_ASSIGN(Fd fd, open_file(path, O_RDONLY));
  return RandomFile(std::move(fd), path);
}

base::Result<std::uint64_t> RandomFile::size() const {
  DAYBREAK_ASSIGN(const struct stat about, look_at(fd_.get(), path_));
  if (!S_ISREG(about.st_mode)) return fail(Code::kDataLoss, "{} is not a regular file", path_);
  return static_cast<std::uint64_t>(about.st_size);
}

base::Result<std::uint64_t> RandomFile::identity() const {
  DAYBREAK_ASSIGN(const struct stat about, look_at(fd_.get(), path_));
  return about.st_nlink == 0 ? 0 : static_cast<std::uint64_t>(about.st_ino);
}

base::Status RandomFile::read_at(std::uint64_t offset, std::span<char> out) const {
  return os::read_at(fd_.get(), out, offset, path_);
}

base::Result<std::unique_ptr<MappedFile>> MappedFile::create(const std::string& path, std::size_t size_bytes) {
  DAYBREAK_ASSIGN(Fd fd, open_file(path, O_RDWR | O_CREAT | O_EXCL));
  if (const int failed = allocate_all(fd.get(), size_bytes); failed != 0) {
    ::unlink(path.c_str());
    return fail_errno(fmt::format("allocate {} bytes for {}", size_bytes, path), failed);
  }
  auto mapping = map_shared(fd.get(), size_bytes);
  if (!mapping) {
    ::unlink(path.c_str());
    return std::unexpected(std::move(mapping).error().wrap(path));
  }
  return std::unique_ptr<MappedFile>(new MappedFile(std::move(fd), std::move(*mapping), path));
}

base::Status MappedFile::sync() const {
  if (::fdatasync(fd_.get()) != 0) return fail_errno(fmt::format("sync {}", path_), errno);
  return {};
}

}  // namespace daybreak::os
