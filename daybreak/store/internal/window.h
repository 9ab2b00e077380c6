// The part of a source that is being worked on.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "daybreak/store/store.h"

namespace daybreak::store {

// Copied only when the source is not in memory.
class Window {
 public:
  explicit Window(Source& source) : source_(source), memory_(source.memory()) {}
  // At least `wanted` bytes from the position on, or all that there are.
  base::Status fill(std::size_t wanted) {
    if (memory_ || ended_ || end_ - begin_ >= wanted) return {};
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    while (end_ < buffer_.size()) {
      DAYBREAK_ASSIGN(const std::size_t n, source_.read(std::span(buffer_).subspan(end_)));
      if (n == 0) {
        ended_ = true;
        break;
      }
      end_ += n;
    }
    return {};
  }
  std::span<const std::byte> bytes(std::size_t most) const {
    if (memory_) return memory_->subspan(at_, std::min<std::uint64_t>(most, memory_->size() - at_));
    return std::span(buffer_).subspan(begin_, std::min(most, end_ - begin_));
  }
  // Nothing follows the first `n` bytes.
  bool is_last(std::size_t n) const { return memory_ ? at_ + n == memory_->size() : ended_ && begin_ + n == end_; }
  void take(std::size_t n) {
    at_ += n;
    if (!memory_) begin_ += n;
  }
  std::uint64_t position() const { return at_; }

 private:
  Source& source_;
  const std::optional<std::span<const std::byte>> memory_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t at_ = 0;
  bool ended_ = false;
};

}  // namespace daybreak::store
