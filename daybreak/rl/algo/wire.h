// Small helpers of this room's own state: length-prefixed little-endian bytes inside the checkpoint's container, which
// carries version and checksum.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace daybreak::rl {

inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Writer {
 public:
  void number(std::uint64_t x) { raw(&x, sizeof x); }
  void real(double x) { raw(&x, sizeof x); }
  template <typename T>
  void array(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    number(values.size_bytes());
    raw(values.data(), values.size_bytes());
  }
  template <typename T>
  void array(std::span<T> values) {
    array(std::span<const T>(values));
  }
  void text(std::string_view s) {
    number(s.size());
    raw(s.data(), s.size());
  }
  std::string bytes() && { return std::move(bytes_); }

 private:
  void raw(const void* data, std::size_t size) {
    if (size > 0) bytes_.append(static_cast<const char*>(data), size);
  }
  std::string bytes_;
};

// Reads what Writer wrote. Never reads past the end: after a short or ill-fitting read, everything reads as zero or
// empty and complete() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number() {
    std::uint64_t x = 0;
    raw(&x, sizeof x);
    return x;
  }
  double real() {
    double x = 0;
    raw(&x, sizeof x);
    return x;
  }
  // Exactly as many elements as `values` has.
  template <typename T>
  void array(std::span<T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (number() != values.size_bytes()) {
      failed_ = true;
      return;
    }
    raw(values.data(), values.size_bytes());
  }
  std::string_view text() {
    const std::uint64_t size = number();
    if (failed_ || size > rest_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view s = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return s;
  }
  bool complete() const { return !failed_ && rest_.empty(); }
  bool failed() const { return failed_; }

 private:
  void raw(void* data, std::size_t size) {
    if (failed_ || size > rest_.size()) {
      failed_ = true;
      return;
    }
    if (size > 0) std::memcpy(data, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace daybreak::rl
