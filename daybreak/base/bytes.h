// Bytes that are stored or sent: one writer, and one reader that trusts nothing. Formats differ in what they write, not
// in how: fixed numbers (little-endian), shortest varints, texts and arrays behind their size.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "daybreak/base/error.h"

namespace daybreak::base {

// What is written as its bytes in memory, which on the machines that we know is little-endian.
template <typename T>
concept FixedBytes = std::is_arithmetic_v<T> && std::endian::native == std::endian::little;

class ByteWriter {
 public:
  ByteWriter& u8(std::uint8_t value) {
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  template <FixedBytes T>
  ByteWriter& fixed(std::type_identity_t<T> value) {
    return memory(&value, sizeof value);
  }
  ByteWriter& varint(std::uint64_t value);  // LEB128, shortest form
  ByteWriter& raw(std::string_view bytes) { return memory(bytes.data(), bytes.size()); }
  ByteWriter& raw(std::span<const std::uint8_t> bytes) { return memory(bytes.data(), bytes.size()); }
  // Behind its size: as a varint, or as a fixed number of type Size.
  ByteWriter& text(std::string_view bytes) { return varint(bytes.size()).raw(bytes); }
  template <FixedBytes Size>
  ByteWriter& fixed_text(std::string_view bytes) {
    return fixed<Size>(static_cast<Size>(bytes.size())).raw(bytes);
  }
  // Behind its size in bytes, 8 of them.
  template <typename T>
    requires FixedBytes<std::remove_const_t<T>>
  ByteWriter& array(std::span<T> values) {
    return fixed<std::uint64_t>(values.size_bytes()).memory(values.data(), values.size_bytes());
  }

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  ByteWriter& memory(const void* data, std::size_t size) {
    if (size > 0) bytes_.append(static_cast<const char*>(data), size);
    return *this;
  }
  std::string bytes_;
};

// Reads what a ByteWriter wrote, never behind the end. The first thing that is wrong is kept, what follows reads as
// zeros and empty texts: check ok() in loops, and finish() at the end. Borrows the bytes; `what` ("a proof") begins its
// errors.
class ByteReader {
 public:
  ByteReader(std::string_view bytes, const char* what) : bytes_(bytes), what_(what) {}

  std::uint8_t u8() {
    const std::string_view byte = raw(1);
    return byte.empty() ? 0 : static_cast<std::uint8_t>(byte[0]);
  }
  template <FixedBytes T>
  T fixed() {
    T value{};
    const std::string_view bytes = raw(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  // At least `min`, at most `max`.
  std::uint64_t varint(std::uint64_t min, std::uint64_t max, const char* field);
  std::string_view raw(std::size_t size);
  template <std::size_t N>
  std::array<std::uint8_t, N> array() {
    std::array<std::uint8_t, N> out{};
    const std::string_view bytes = raw(N);
    std::copy(bytes.begin(), bytes.end(), out.begin());  // nothing when it failed
    return out;
  }
  // At least `min` bytes, at most `max`.
  std::string_view text(std::size_t min, std::size_t max, const char* field) { return raw(varint(min, max, field)); }
  template <FixedBytes Size>
  std::string_view fixed_text(std::size_t max, const char* field) {
    return raw(checked(fixed<Size>(), 0, max, field));
  }
  // As long as it says, if so much is there.
  template <FixedBytes Size>
  std::string_view fixed_text() {
    return raw(static_cast<std::size_t>(fixed<Size>()));
  }
  // Exactly as many as `out` has, which stays as it is otherwise.
  template <FixedBytes T>
  void array(std::span<T> out, const char* field) {
    const std::string_view bytes = raw(checked(fixed<std::uint64_t>(), out.size_bytes(), out.size_bytes(), field));
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  }
  bool ok() const { return problem_.empty(); }
  void fail(std::string problem);
  // Fails unless the condition holds; for rules that cost nothing to say.
  void require(bool condition, const char* rule) {
    if (!condition) fail(rule);
  }
  std::size_t offset() const { return offset_; }
  std::size_t left() const { return bytes_.size() - offset_; }
  std::string_view since(std::size_t offset) const { return bytes_.substr(offset, offset_ - offset); }
  // kDataLoss.
  Status status() const;
  // status(), and nothing is left.
  Status finish();

 private:
  // The value, or 0 and a problem.
  std::uint64_t checked(std::uint64_t value, std::uint64_t min, std::uint64_t max, const char* field);

  std::string_view bytes_;
  const char* what_;
  std::size_t offset_ = 0;
  std::string problem_;
};

}  // namespace daybreak::base
