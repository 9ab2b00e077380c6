#include "daybreak/track/log/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "daybreak/base/env.h"
#include "daybreak/crypto/hash.h"

namespace daybreak::track {

using base::Code;
using base::fail;
using base::fail_errno;

namespace {

constexpr off_t kLifeByte = 0, kRepairByte = 1;

struct ::flock byte_lock(off_t byte) {
  struct ::flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_start = byte;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  return lock;
}

}  // namespace

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}
FileHandle::~FileHandle() {
  if (fd_ >= 0) ::close(fd_);
}
int FileHandle::release() {
  return std::exchange(fd_, -1);
}

base::Result<FileHandle> FileHandle::open_to_read(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno(fmt::format("open {}", path), errno);
  return FileHandle(fd);
}

base::Result<std::uint64_t> FileHandle::size() const {
  struct stat status = {};
  if (::fstat(fd_, &status) != 0) return fail_errno("fstat", errno);
  if (!S_ISREG(status.st_mode)) return fail(Code::kDataLoss, "not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

base::Status FileHandle::read_into(std::span<char> out, std::uint64_t offset) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read", errno);
    if (got == 0)
      return fail(Code::kDataLoss, "the file ends at byte {}, {} expected", offset + done, offset + out.size());
    done += static_cast<std::size_t>(got);
  }
  read_work().bytes.fetch_add(out.size(), std::memory_order_relaxed);
  return {};
}

base::Result<std::string> FileHandle::read(std::uint64_t offset, std::size_t size_bytes) const {
  std::string bytes(size_bytes, '\0');
  DAYBREAK_TRY(read_into(bytes, offset));
  return bytes;
}

ReadWork& read_work() {
  static ReadWork work;
  return work;
}

base::Result<bool> is_locked(const std::string& path) {
  DAYBREAK_ASSIGN(const FileHandle file, FileHandle::open_to_read(path));
  struct ::flock lock = byte_lock(kLifeByte);
  if (::fcntl(file.fd(), F_OFD_GETLK, &lock) != 0) return fail_errno(fmt::format("lock of {}", path), errno);
  return lock.l_type != F_UNLCK;
}

base::Result<FileHandle> lock_for_repair(const std::string& path, bool wait) {
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.fd() < 0) return fail_errno(fmt::format("open {}", path), errno);
  struct ::flock lock = byte_lock(kRepairByte);
  while (::fcntl(file.fd(), wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EACCES) return fail(Code::kUnavailable, "{} is locked by another process", path);
    return fail_errno(fmt::format("lock {} (the file system must have POSIX locks)", path), errno);
  }
  return file;
}

base::Result<FileHandle> create_locked(const std::string& path) {
  const std::string temporary = path + ".tmp";
  FileHandle file(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.fd() < 0) return fail_errno(fmt::format("create {}", temporary), errno);
  struct ::flock lock = byte_lock(kLifeByte);
  if (::fcntl(file.fd(), F_OFD_SETLK, &lock) != 0) {
    const int error_number = errno;
    ::unlink(temporary.c_str());
    return fail_errno(fmt::format("lock {} (the file system must have POSIX locks)", path), error_number);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary.c_str());
    return fail_errno(fmt::format("rename {}", temporary), error_number);
  }
  return file;
}

base::Result<std::unique_ptr<MappedFile>> MappedFile::create(const std::string& path, std::size_t size_bytes) {
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.fd() < 0) return fail_errno(fmt::format("create {}", path), errno);
  const auto give_up = [&](std::string_view what, int error_number) {
    ::unlink(path.c_str());
    return fail_errno(fmt::format("{} {} ({} bytes for the run log)", what, path, size_bytes), error_number);
  };
  int failed = 0;
  do failed = ::posix_fallocate(file.fd(), 0, static_cast<off_t>(size_bytes));
  while (failed == EINTR);
  if (failed != 0) return give_up("allocate", failed);
  void* data = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
  if (data == MAP_FAILED) return give_up("map", errno);
  return std::unique_ptr<MappedFile>(new MappedFile(std::move(file), static_cast<char*>(data), size_bytes, path));
}

MappedFile::~MappedFile() {
  ::munmap(data_, size_bytes_);
}

base::Status MappedFile::sync() const {
  if (::fdatasync(file_.fd()) != 0) return fail_errno(fmt::format("sync {}", path_), errno);
  return {};
}

void MappedFile::close_in_child() {
  file_ = FileHandle();
}

std::array<std::uint8_t, 16> boot_id() {
  std::array<std::uint8_t, 16> id{};
  auto text = base::Env::real().read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return id;
  std::string digits;
  for (const char c : *text) {
    if (c != '-' && c != '\n') digits += c;
  }
  if (digits.size() != 32 || !crypto::from_hex(digits, id)) id = {};
  return id;
}

std::string host_name() {
  char name[64] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return {};
  return name;
}

}  // namespace daybreak::track
