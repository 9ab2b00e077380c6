// libsodium, initialised once: every function of it that this room calls goes through here first.
#pragma once

#include <cstdint>
#include <span>

namespace daybreak::crypto::internal {

void ensure_sodium();

// The libraries take no null pointer, not even for no bytes.
inline const std::uint8_t* data_of(std::span<const std::uint8_t> bytes) {
  static constexpr std::uint8_t kNothing = 0;
  return bytes.empty() ? &kNothing : bytes.data();
}

}  // namespace daybreak::crypto::internal
