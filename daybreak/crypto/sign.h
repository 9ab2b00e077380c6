// Ed25519 signatures (RFC 8032), by libsodium.
#pragma once

#include <array>

#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

using VerifyKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

// A seed and the key pair that follows from it. Any thread may sign with one that nobody moves.
class SigningKey {
 public:
  static SigningKey from_seed(const Secret<32>& seed);

  const VerifyKey& verify_key() const { return verify_key_; }
  // Deterministic; 15 us.
  Signature sign(std::span<const std::uint8_t> message) const;

 private:
  SigningKey() = default;
  Secret<64> key_;
  VerifyKey verify_key_{};
};

// False for whatever is no valid signature: also for keys and points of small order and for numbers that are not
// reduced, so that a signature has one form only. About 40 to 60 us, nearly all of what a proof costs.
bool verify(const VerifyKey& key, std::span<const std::uint8_t> message, const Signature& signature);

}  // namespace daybreak::crypto
