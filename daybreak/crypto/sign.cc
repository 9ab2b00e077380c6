#include "daybreak/crypto/sign.h"

#include <sodium.h>

#include "daybreak/base/error.h"
#include "daybreak/crypto/internal/sodium.h"

namespace daybreak::crypto {

SigningKey SigningKey::from_seed(const Secret<32>& seed) {
  internal::ensure_sodium();
  SigningKey key;
  DAYBREAK_CHECK(crypto_sign_seed_keypair(key.verify_key_.data(), key.key_.writable().data(), seed.bytes().data()) ==
                 0);
  return key;
}

Signature SigningKey::sign(std::span<const std::uint8_t> message) const {
  Signature out;
  DAYBREAK_CHECK(
      crypto_sign_detached(out.data(), nullptr, internal::data_of(message), message.size(), key_.bytes().data()) == 0);
  return out;
}

bool verify(const VerifyKey& key, std::span<const std::uint8_t> message, const Signature& signature) {
  internal::ensure_sodium();
  return crypto_sign_verify_detached(signature.data(), internal::data_of(message), message.size(), key.data()) == 0;
}

}  // namespace daybreak::crypto
