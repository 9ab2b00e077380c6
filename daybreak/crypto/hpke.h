// HPKE (RFC 9180), base mode, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//
// Anyone can seal to a public key, so what opens says nothing about who sealed it. `info` and `aad` are bound: open()
// needs the same.
#pragma once

#include <string>

#include "daybreak/base/error.h"
#include "daybreak/crypto/x25519.h"

namespace daybreak::crypto {

inline constexpr std::size_t kHpkeOverheadBytes = 32 + 16;  // the sender's one-time public key before, the tag behind

struct KeyPair {
  Secret<32> secret_key;
  PublicKey public_key;
};

// DeriveKeyPair of the RFC. The seed should have 32 bytes of entropy.
KeyPair derive_key_pair(std::span<const std::uint8_t> seed);

// The one-time public key followed by the ciphertext: kHpkeOverheadBytes longer than the text. kInvalidArgument when
// the public key has low order. 80 us, and 2 ms for a MiB: large bodies belong in a stream (stream.h) under a
// key sealed here.
base::Result<std::string> seal(const PublicKey& to, std::span<const std::uint8_t> info,
                               std::span<const std::uint8_t> aad, std::span<const std::uint8_t> text,
                               base::Env& env = base::Env::real());

// kDataLoss when it was sealed to another key, with other info or aad, or was altered: which of them cannot be told.
base::Result<SecretBytes> open(const Secret<32>& secret_key, std::span<const std::uint8_t> info,
                               std::span<const std::uint8_t> aad, std::span<const std::uint8_t> sealed);

}  // namespace daybreak::crypto
