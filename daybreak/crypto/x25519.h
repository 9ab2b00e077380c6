// X25519 (RFC 7748), by libsodium.
#pragma once

#include <array>
#include <optional>

#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

using PublicKey = std::array<std::uint8_t, 32>;

PublicKey x25519_public(const Secret<32>& secret_key);

// The shared secret, or nothing when the other side's point has low order: the result would be zeros whatever our key
// is.
std::optional<Secret<32>> x25519(const Secret<32>& secret_key, const PublicKey& public_key);

}  // namespace daybreak::crypto
