// SHA-256, by OpenSSL (it uses the processor's SHA instructions; libsodium's does not).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>

namespace daybreak::crypto {

using Hash = std::array<std::uint8_t, 32>;

// Of all bytes given to update(). One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view bytes) { return update(std::as_bytes(std::span(bytes))); }
  // The hash so far; begins anew.
  Hash finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Hash sha256(std::span<const std::byte> bytes);
inline Hash sha256(std::string_view bytes) {
  return sha256(std::as_bytes(std::span(bytes)));
}

// The hash of a prefix and of bytes that are still being written while it is computed: beyond 256 KiB on a thread of
// its own, so that who encrypts or copies them need not wait. One thread at a time; the bytes must stay until finish()
// or the destructor.
class HashBehind {
 public:
  HashBehind(std::string_view prefix, std::span<const std::byte> bytes);
  ~HashBehind();
  HashBehind(const HashBehind&) = delete;
  HashBehind& operator=(const HashBehind&) = delete;

  // The first `size_bytes` are written. Not less than at the last call.
  void advance(std::size_t size_bytes);
  // All of them are. Waits; call it once.
  Hash finish();

 private:
  void work();

  const std::span<const std::byte> bytes_;
  Sha256 sha_;
  std::size_t hashed_ = 0;
  std::atomic<std::size_t> written_{0};
  std::thread thread_;
};

// "9f86d081...": 64 lower-case hexadecimal digits.
std::string to_hex(std::span<const std::uint8_t> bytes);
inline std::string to_hex(const Hash& hash) {
  return to_hex(std::span<const std::uint8_t>(hash));
}
// False, and `out` undefined, when `text` is anything but 2 * out.size() lower-case hexadecimal digits.
bool from_hex(std::string_view text, std::span<std::uint8_t> out);

}  // namespace daybreak::crypto
