#include "daybreak/track/log/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <tuple>
#include <utility>

#include "daybreak/base/env.h"
#include "daybreak/crypto/hash.h"
#include "daybreak/os/lock.h"

namespace daybreak::track {

namespace {

constexpr std::uint64_t kLifeByte = 0, kRepairByte = 1;

base::Status lock_file(const os::Fd& fd, std::uint64_t byte, bool wait, const std::string& path) {
  auto locked = os::lock_byte(fd.get(), byte, wait);
  if (!locked) return std::unexpected(std::move(locked).error().wrap(path));
  return {};
}

}  // namespace

ReadWork& read_work() {
  static ReadWork work;
  return work;
}

base::Result<FileHandle> FileHandle::open_to_read(const std::string& path) {
  FileHandle handle;
  DAYBREAK_ASSIGN(handle.file_, os::RandomFile::open(path));
  return handle;
}

base::Status FileHandle::read_into(std::span<char> out, std::uint64_t offset) const {
  DAYBREAK_TRY(file_->read_at(offset, out));
  read_work().bytes.fetch_add(out.size(), std::memory_order_relaxed);
  return {};
}

base::Result<std::string> FileHandle::read(std::uint64_t offset, std::size_t size_bytes) const {
  std::string bytes(size_bytes, '\0');
  DAYBREAK_TRY(read_into(bytes, offset));
  return bytes;
}

base::Result<bool> is_locked(const std::string& path) {
  DAYBREAK_ASSIGN(const os::Fd file, os::open_file(path, O_RDONLY));
  return os::byte_is_locked(file.get(), kLifeByte);
}

base::Result<os::Fd> lock_for_repair(const std::string& path, bool wait) {
  DAYBREAK_ASSIGN(os::Fd file, os::open_file(path, O_RDWR | O_CREAT));
  DAYBREAK_TRY(lock_file(file, kRepairByte, wait, path));
  return file;
}

base::Result<os::Fd> create_locked(const std::string& path) {
  const std::string temporary = path + ".tmp";
  DAYBREAK_ASSIGN(os::Fd file, os::open_file(temporary, O_RDWR | O_CREAT | O_EXCL));
  auto made = lock_file(file, kLifeByte, false, path);
  if (made) made = base::Env::real().rename_file(temporary, path);
  if (!made) {
    std::ignore = base::Env::real().remove_file(temporary);
    return std::unexpected(std::move(made).error());
  }
  return file;
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
