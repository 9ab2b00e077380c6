// The one canonical binary form of everything that this room stores, sends, hashes or signs: fixed order of fields,
// minimal varints, sorted unique sets, no unknown fields, no trailing bytes. So decode(x) = y implies encode(y) = x,
// and a hash names one meaning.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/crypto/hash.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::grant {

using crypto::Hash;

// tag("daybreak/grant/x/v1"): with its closing zero byte, so that no tag is the beginning of another. Everything that
// is hashed or signed begins with one.
template <std::size_t N>
consteval std::string_view tag(const char (&text)[N]) {
  return {text, N};
}

// SHA-256 of the parts, one after the other. The parts frame themselves, or are of fixed size.
Hash hash_of(std::string_view tag, std::initializer_list<std::string_view> parts);

inline std::string_view view(std::span<const std::uint8_t> bytes) {
  return crypto::view_of(bytes);
}
inline bool is_zero(const Hash& hash) {
  return hash == Hash{};
}

class Writer {
 public:
  Writer& u8(std::uint8_t value);
  Writer& varint(std::uint64_t value);  // LEB128, shortest form
  Writer& raw(std::string_view bytes);
  Writer& raw(std::span<const std::uint8_t> bytes) { return raw(view(bytes)); }
  Writer& text(std::string_view bytes) { return varint(bytes.size()).raw(bytes); }
  // A zero hash takes one byte, any other 33.
  Writer& optional_hash(const Hash& hash);

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what a Writer wrote. The first thing that is wrong is kept, what follows reads as zeros: check ok() in loops,
// and finish() at the end. Borrows the bytes; `what` ("a proof") begins its errors.
class Reader {
 public:
  Reader(std::string_view bytes, const char* what) : bytes_(bytes), what_(what) {}

  std::uint8_t u8();
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
  std::string_view text(std::size_t min, std::size_t max, const char* field);
  Hash optional_hash(const char* field);
  // The version byte that every object begins with.
  void version(std::uint8_t known);

  bool ok() const { return problem_.empty(); }
  void fail(std::string problem);
  // Fails unless the condition holds; for rules that cost nothing to say.
  void require(bool condition, const char* rule) {
    if (!condition) fail(rule);
  }
  std::size_t offset() const { return offset_; }
  std::size_t left() const { return bytes_.size() - offset_; }
  std::string_view since(std::size_t offset) const { return bytes_.substr(offset, offset_ - offset); }
  base::Status status() const;
  // status(), and nothing is left.
  base::Status finish();

 private:
  std::string_view bytes_;
  const char* what_;
  std::size_t offset_ = 0;
  std::string problem_;
};

}  // namespace daybreak::grant
