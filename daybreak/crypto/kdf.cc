#include "daybreak/crypto/kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sodium.h>

#include "daybreak/base/error.h"
#include "daybreak/crypto/internal/sodium.h"

namespace daybreak::crypto {
namespace {

OSSL_PARAM octets(const char* name, std::span<const std::uint8_t> bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(internal::data_of(bytes)), bytes.size());
}

void derive(int mode, std::span<const std::uint8_t> key, const char* second_name, std::span<const std::uint8_t> second,
            std::span<std::uint8_t> out) {
  static EVP_KDF* const algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  DAYBREAK_CHECK(algorithm != nullptr);
  const std::unique_ptr<EVP_KDF_CTX, void (*)(EVP_KDF_CTX*)> context(EVP_KDF_CTX_new(algorithm), EVP_KDF_CTX_free);
  DAYBREAK_CHECK(context != nullptr);
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, key),
      octets(second_name, second),
      OSSL_PARAM_construct_end(),
  };
  DAYBREAK_CHECK(EVP_KDF_derive(context.get(), out.data(), out.size(), params) == 1);
}

}  // namespace

Hash hmac_sha256(std::span<const std::uint8_t> key, std::span<const std::uint8_t> message) {
  internal::ensure_sodium();
  crypto_auth_hmacsha256_state state;
  Hash out;
  crypto_auth_hmacsha256_init(&state, internal::data_of(key), key.size());
  crypto_auth_hmacsha256_update(&state, internal::data_of(message), message.size());
  crypto_auth_hmacsha256_final(&state, out.data());
  sodium_memzero(&state, sizeof state);
  return out;
}

Secret<32> hkdf_extract(std::span<const std::uint8_t> salt, std::span<const std::uint8_t> input) {
  // HMAC(salt, input) is all that it is; OpenSSL's HKDF refuses an empty input, which HPKE's base mode extracts from.
  Hash prk = hmac_sha256(salt, input);
  Secret<32> out = Secret<32>::copy_of(prk);
  wipe(prk);
  return out;
}

void hkdf_expand(std::span<const std::uint8_t> key, std::span<const std::uint8_t> info, std::span<std::uint8_t> out) {
  DAYBREAK_CHECK(!out.empty() && out.size() <= kMaxHkdfBytes);
  derive(EVP_KDF_HKDF_MODE_EXPAND_ONLY, key, OSSL_KDF_PARAM_INFO, info, out);
}

Secret<32> hkdf_sha256(std::span<const std::uint8_t> input, std::span<const std::uint8_t> info) {
  Secret<32> out;
  hkdf_expand(hkdf_extract({}, input).bytes(), info, out.writable());
  return out;
}

}  // namespace daybreak::crypto
