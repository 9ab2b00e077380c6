#include "daybreak/os/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <tuple>

namespace daybreak::os {

using base::Code;
using base::fail;
using base::fail_errno;

namespace {

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::uintptr_t up_to(std::uintptr_t address, std::size_t align_bytes) {
  return (address + align_bytes - 1) & ~(std::uintptr_t{align_bytes} - 1);
}

std::unexpected<base::Error> nothing_asked() {
  return fail(Code::kInvalidArgument, "0 bytes of memory asked: ask for at least 1");
}

// MAP_NORESERVE: what is never touched is not counted against the machine's memory.
base::Result<Mapping> map(void* at, std::size_t size_bytes, int protection, int flags, int fd) {
  void* data = ::mmap(at, size_bytes, protection, flags | MAP_NORESERVE, fd, 0);
  if (data == MAP_FAILED) return fail_errno(fmt::format("map {} bytes", size_bytes), errno);
  return Mapping({static_cast<std::byte*>(data), size_bytes});
}

// Addresses that nobody has, aligned: more are reserved, and what is too much is given back.
base::Result<Mapping> reserve(std::size_t size_bytes, std::size_t align_bytes) {
  DAYBREAK_ASSIGN(Mapping all, map(nullptr, size_bytes + align_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  const std::span<std::byte> bytes = all.release();
  const auto from = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::size_t before = up_to(from, align_bytes) - from;
  const std::size_t end = up_to(before + size_bytes, page_bytes());
  if (before > 0) ::munmap(bytes.data(), before);
  if (end < bytes.size()) ::munmap(bytes.data() + end, bytes.size() - end);
  return Mapping(bytes.subspan(before, size_bytes));
}

}  // namespace

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    const Mapping old(release());
    bytes_ = other.release();
  }
  return *this;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

void Mapping::give_back(std::size_t offset, std::size_t size_bytes) const {
  DAYBREAK_CHECK(offset <= bytes_.size() && size_bytes <= bytes_.size() - offset);
  const auto at = reinterpret_cast<std::uintptr_t>(bytes_.data() + offset);
  const std::uintptr_t from = up_to(at, page_bytes());
  const std::uintptr_t end = (at + size_bytes) & ~(std::uintptr_t{page_bytes()} - 1);
  if (from < end) std::ignore = ::madvise(bytes_.data() + offset + (from - at), end - from, MADV_REMOVE);
}

base::Result<Mapping> map_shared(int fd, std::size_t size_bytes, MapOptions options) {
  if (size_bytes == 0) return nothing_asked();
  DAYBREAK_CHECK(std::has_single_bit(options.align_bytes));
  const int protection = options.writable ? PROT_READ | PROT_WRITE : PROT_READ;
  if (options.align_bytes <= page_bytes()) return map(nullptr, size_bytes, protection, MAP_SHARED, fd);
  DAYBREAK_ASSIGN(Mapping place, reserve(size_bytes, options.align_bytes));
  // Over the reservation, whose addresses are the new mapping's from then on: only one of the two may unmap them.
  auto mapped = map(place.data(), size_bytes, protection, MAP_SHARED | MAP_FIXED, fd);
  if (mapped) std::ignore = place.release();
  return mapped;
}

base::Result<Mapping> map_zeros(std::size_t size_bytes) {
  if (size_bytes == 0) return nothing_asked();
  return map(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

base::Result<Fd> create_memory(const std::string& name, std::size_t size_bytes, MemoryOptions options) {
  if (size_bytes == 0) return nothing_asked();
  const auto failed = [&](int error_number) {
    return fail_errno(fmt::format("make {} bytes of shared memory ({})", size_bytes, name), error_number);
  };
  Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | (options.fixed_size ? MFD_ALLOW_SEALING : 0U)));
  // It begins with mode 0777: others could open it through /proc.
  if (!fd || ::fchmod(fd.get(), 0600) != 0 || ::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0)
    return failed(errno);
  if (options.fixed_size && ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return failed(errno);
  return fd;
}

base::Result<Fd> reopen_read_only(int fd) {
  return open_file(fmt::format("/proc/self/fd/{}", fd), O_RDONLY);
}

base::Status allocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) {
  while (::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(size_bytes)) != 0) {
    if (errno != EINTR) return fail_errno(fmt::format("allocate {} bytes", size_bytes), errno);
  }
  return {};
}

base::Status populate(std::span<std::byte> bytes) {
#ifdef MADV_POPULATE_WRITE
  while (::madvise(bytes.data(), bytes.size(), MADV_POPULATE_WRITE) != 0) {
    // Kernels that do not know it say EINVAL.
    if (errno == EINVAL) return fail(Code::kUnimplemented, "this kernel cannot populate a mapping");
    if (errno != EINTR) return fail_errno(fmt::format("populate {} bytes", bytes.size()), errno);
  }
  return {};
#else
  return fail(Code::kUnimplemented, "this C library cannot populate a mapping");
#endif
}

}  // namespace daybreak::os
