#include "daybreak/crypto/secret.h"

#include <sodium.h>

#include <algorithm>

#include "daybreak/base/error.h"
#include "daybreak/crypto/internal/sodium.h"

namespace daybreak::crypto {

namespace internal {

void ensure_sodium() {
  static const bool ready = sodium_init() >= 0;
  DAYBREAK_CHECK(ready);
}

}  // namespace internal

void wipe(std::span<std::uint8_t> bytes) {
  if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
}

bool constant_time_equal(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && sodium_memcmp(internal::data_of(a), internal::data_of(b), a.size()) == 0;
}

SecretBytes SecretBytes::copy_of(std::span<const std::uint8_t> bytes) {
  SecretBytes secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
  return secret;
}

void SecretBytes::shorten(std::size_t size_bytes) {
  DAYBREAK_CHECK(size_bytes <= bytes_.size());
  wipe(std::span(bytes_).subspan(size_bytes));
  bytes_.resize(size_bytes);
}

}  // namespace daybreak::crypto
