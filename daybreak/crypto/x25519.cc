#include "daybreak/crypto/x25519.h"

#include <sodium.h>

#include "daybreak/base/error.h"
#include "daybreak/crypto/internal/sodium.h"

namespace daybreak::crypto {

PublicKey x25519_public(const Secret<32>& secret_key) {
  internal::ensure_sodium();
  PublicKey out;
  DAYBREAK_CHECK(crypto_scalarmult_base(out.data(), secret_key.bytes().data()) == 0);
  return out;
}

std::optional<Secret<32>> x25519(const Secret<32>& secret_key, const PublicKey& public_key) {
  internal::ensure_sodium();
  Secret<32> out;
  // libsodium refuses points of low order and a result of zeros.
  if (crypto_scalarmult(out.writable().data(), secret_key.bytes().data(), public_key.data()) != 0) return std::nullopt;
  return out;
}

}  // namespace daybreak::crypto
