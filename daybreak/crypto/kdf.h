// HMAC-SHA256 and HKDF-SHA256 (RFC 5869).
#pragma once

#include "daybreak/crypto/hash.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

inline constexpr std::size_t kMaxHkdfBytes = 255 * 32;

Hash hmac_sha256(std::span<const std::uint8_t> key, std::span<const std::uint8_t> message);

// A pseudorandom key of input that need not be uniform. An empty salt is 32 zeros, as RFC 5869 says.
Secret<32> hkdf_extract(std::span<const std::uint8_t> salt, std::span<const std::uint8_t> input);

// Fills `out` (at most kMaxHkdfBytes) from a pseudorandom key and what the bytes are for.
void hkdf_expand(std::span<const std::uint8_t> key, std::span<const std::uint8_t> info, std::span<std::uint8_t> out);

// Both, for 32 bytes: hkdf_expand(hkdf_extract({}, input), info).
Secret<32> hkdf_sha256(std::span<const std::uint8_t> input, std::span<const std::uint8_t> info);

}  // namespace daybreak::crypto
