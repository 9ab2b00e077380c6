// Bytes that nobody else may see: zeroed when they go, moved but never copied by accident, and without a way to print
// them.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "daybreak/base/env.h"

namespace daybreak::crypto {

// Zeroes in a way that no optimiser removes.
void wipe(std::span<std::uint8_t> bytes);

// Whether the two are equal, in a time that depends on their sizes alone.
bool constant_time_equal(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

// N secret bytes, zeros at first. A copy is asked for by name. One thread at a time, as for any value.
template <std::size_t N>
class Secret {
 public:
  Secret() = default;
  ~Secret() { wipe(bytes_); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }

  static Secret copy_of(std::span<const std::uint8_t, N> bytes) {
    Secret secret;
    std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
    return secret;
  }
  static Secret random(base::Env& env = base::Env::real()) {
    Secret secret;
    env.fill_random(std::as_writable_bytes(std::span(secret.bytes_)));
    return secret;
  }
  Secret clone() const { return copy_of(bytes_); }

  static constexpr std::size_t size() { return N; }
  std::span<const std::uint8_t, N> bytes() const { return bytes_; }
  std::span<std::uint8_t, N> writable() { return bytes_; }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

// The same for a number of bytes that is known at run time only. Its size is fixed when it is made, so that no growing
// leaves a copy behind.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size_bytes) : bytes_(size_bytes) {}
  ~SecretBytes() { wipe(bytes_); }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept = default;
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      wipe(bytes_);
      bytes_ = std::move(other.bytes_);
    }
    return *this;
  }

  static SecretBytes copy_of(std::span<const std::uint8_t> bytes);
  static SecretBytes copy_of(std::string_view bytes) {
    return copy_of({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  }
  SecretBytes clone() const { return copy_of(bytes_); }
  // The first size_bytes remain; the others are zeroed and gone.
  void shorten(std::size_t size_bytes);

  std::size_t size() const { return bytes_.size(); }
  std::span<const std::uint8_t> bytes() const { return bytes_; }
  std::span<std::uint8_t> writable() { return bytes_; }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  std::vector<std::uint8_t> bytes_;
};

// What every function of this room takes for bytes that are no secret.
inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view view_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace daybreak::crypto

// fmt::format("{}", secret) does not compile.
template <std::size_t N>
struct fmt::formatter<daybreak::crypto::Secret<N>> {
  static_assert(N == 0, "a secret is not printed");
};
template <>
struct fmt::formatter<daybreak::crypto::SecretBytes> {
  formatter() = delete;
};
