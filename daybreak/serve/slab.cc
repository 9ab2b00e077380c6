#include "daybreak/serve/slab.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>

namespace daybreak::serve {

using base::Code;
using base::fail;

base::Result<std::shared_ptr<Slab>> Slab::create(std::size_t size_bytes) {
  const int fd = memfd_create("daybreak-serve-inputs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return base::fail_errno("cannot make shared memory for a model's inputs", errno);
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) {
    const int error = errno;
    close(fd);
    return base::fail_errno("cannot size shared memory for a model's inputs", error);
  }
  void* data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  // The size is fixed, so that no replica can take the ground from under us, and what replicas get can only be read.
  const int readable = open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_RDONLY | O_CLOEXEC);
  if (data == MAP_FAILED || readable < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const int error = errno;
    if (data != MAP_FAILED) munmap(data, size_bytes);
    if (readable >= 0) close(readable);
    close(fd);
    return base::fail_errno("cannot map shared memory for a model's inputs", error);
  }
  return std::shared_ptr<Slab>(new Slab(fd, readable, static_cast<std::byte*>(data), size_bytes));
}

Slab::~Slab() {
  munmap(data_, size_bytes_);
  close(fd_);
  close(readable_fd_);
}

int Slab::class_of(std::size_t size_bytes) {
  return size_bytes <= kSlabAlign ? 0 : std::bit_width((size_bytes - 1) / kSlabAlign);
}

base::Result<Slab::Block> Slab::allocate(std::size_t size_bytes) {
  const int size_class = class_of(size_bytes);
  if (size_class >= kClasses || kSlabAlign << size_class > size_bytes_)
    return fail(Code::kResourceExhausted, "an input of {} bytes; at most {} fit", size_bytes, size_bytes_);
  const std::size_t full = kSlabAlign << size_class;
  const base::MutexLock lock(mutex_);
  auto& freed = free_[static_cast<std::size_t>(size_class)];
  std::uint64_t offset = top_;
  if (!freed.empty()) {
    offset = freed.front();
    freed.pop_front();
  } else if (top_ + full <= size_bytes_) {
    top_ += full;
  } else {
    return fail(Code::kResourceExhausted, "the inputs that wait take {} of {} bytes", used_, size_bytes_);
  }
  used_ += full;
  return Block(shared_from_this(), offset, full);
}

void Slab::free(std::uint64_t offset, std::size_t size_bytes) {
  if (size_bytes > kSlabKeepBytes)
    (void)fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(size_bytes));
  const base::MutexLock lock(mutex_);
  free_[static_cast<std::size_t>(class_of(size_bytes))].push_back(offset);
  used_ -= size_bytes;
}

std::size_t Slab::used_bytes() const {
  const base::MutexLock lock(mutex_);
  return used_;
}

Slab::Block& Slab::Block::operator=(Block&& other) noexcept {
  if (this != &other) {
    reset();
    slab_ = std::move(other.slab_);
    other.slab_ = nullptr;
    offset_ = other.offset_;
    size_bytes_ = other.size_bytes_;
  }
  return *this;
}

std::byte* Slab::Block::data() const {
  return slab_->data_ + offset_;
}

void Slab::Block::reset() {
  if (!slab_) return;
  slab_->free(offset_, size_bytes_);
  slab_ = nullptr;
}

}  // namespace daybreak::serve
