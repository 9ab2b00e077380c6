#include "daybreak/serve/slab.h"

#include <bit>

namespace daybreak::serve {

using base::Code;
using base::fail;

base::Result<std::shared_ptr<Slab>> Slab::create(std::size_t size_bytes) {
  // The size is fixed, so that no replica can take the ground from under us, and what replicas get can only be read.
  DAYBREAK_ASSIGN(const os::Fd fd, os::create_memory("daybreak-serve-inputs", size_bytes, {.fixed_size = true}));
  DAYBREAK_ASSIGN(os::Mapping mapping, os::map_shared(fd.get(), size_bytes));
  DAYBREAK_ASSIGN(os::Fd readable, os::reopen_read_only(fd.get()));
  return std::shared_ptr<Slab>(new Slab(std::move(readable), std::move(mapping)));
}

int Slab::class_of(std::size_t size_bytes) {
  return size_bytes <= kSlabAlign ? 0 : std::bit_width((size_bytes - 1) / kSlabAlign);
}

base::Result<Slab::Block> Slab::allocate(std::size_t size_bytes) {
  const int size_class = class_of(size_bytes);
  if (size_class >= kClasses || kSlabAlign << size_class > this->size_bytes())
    return fail(Code::kResourceExhausted, "an input of {} bytes; at most {} fit", size_bytes, this->size_bytes());
  const std::size_t full = kSlabAlign << size_class;
  const base::MutexLock lock(mutex_);
  auto& freed = free_[static_cast<std::size_t>(size_class)];
  std::uint64_t offset = top_;
  if (!freed.empty()) {
    offset = freed.front();
    freed.pop_front();
  } else if (top_ + full <= this->size_bytes()) {
    top_ += full;
  } else {
    return fail(Code::kResourceExhausted, "the inputs that wait take {} of {} bytes", used_, this->size_bytes());
  }
  used_ += full;
  return Block(shared_from_this(), offset, full);
}

void Slab::free(std::uint64_t offset, std::size_t size_bytes) {
  if (size_bytes > kSlabKeepBytes) mapping_.give_back(offset, size_bytes);
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
  return slab_->mapping_.data() + offset_;
}

void Slab::Block::reset() {
  if (!slab_) return;
  slab_->free(offset_, size_bytes_);
  slab_ = nullptr;
}

}  // namespace daybreak::serve
