#include "daybreak/crypto/hpke.h"

#include <sodium.h>

#include <algorithm>

#include "daybreak/crypto/internal/sodium.h"
#include "daybreak/crypto/kdf.h"

namespace daybreak::crypto {
namespace {

using base::Code;
using base::fail;
using base::Result;
using Bytes = std::span<const std::uint8_t>;

constexpr std::string_view kKemSuite("KEM\x00\x20", 5);
constexpr std::string_view kHpkeSuite("HPKE\x00\x20\x00\x01\x00\x03", 10);
constexpr std::string_view kHpkeVersion = "HPKE-v1";

// What is hashed may hold a secret: it is built in memory that is wiped.
class Joined {
 public:
  template <typename... Parts>
  explicit Joined(Parts... parts) : bytes_((parts.size() + ... + 0)) {
    auto* at = bytes_.writable().data();
    ((at = std::copy(parts.begin(), parts.end(), at)), ...);
  }
  Bytes bytes() const { return bytes_.bytes(); }

 private:
  SecretBytes bytes_;
};

Secret<32> labeled_extract(std::string_view suite, Bytes salt, std::string_view label, Bytes input) {
  return hkdf_extract(salt, Joined(kHpkeVersion, suite, label, input).bytes());
}

void labeled_expand(std::string_view suite, const Secret<32>& key, std::string_view label, Bytes info,
                    std::span<std::uint8_t> out) {
  const std::uint8_t length[] = {static_cast<std::uint8_t>(out.size() >> 8), static_cast<std::uint8_t>(out.size())};
  hkdf_expand(key.bytes(), Joined(Bytes(length), kHpkeVersion, suite, label, info).bytes(), out);
}

struct Cipher {
  Secret<32> key;
  std::array<std::uint8_t, 12> nonce;
};

// ExtractAndExpand of the KEM and KeySchedule of the base mode.
Cipher key_schedule(const Secret<32>& dh, const PublicKey& enc, const PublicKey& to, Bytes info) {
  const Secret<32> eae_prk = labeled_extract(kKemSuite, {}, "eae_prk", dh.bytes());
  Secret<32> shared;
  labeled_expand(kKemSuite, eae_prk, "shared_secret", Joined(Bytes(enc), Bytes(to)).bytes(), shared.writable());

  const Secret<32> psk_id_hash = labeled_extract(kHpkeSuite, {}, "psk_id_hash", {});
  const Secret<32> info_hash = labeled_extract(kHpkeSuite, {}, "info_hash", info);
  const std::uint8_t base_mode[] = {0};
  const Joined context(Bytes(base_mode), Bytes(psk_id_hash.bytes()), Bytes(info_hash.bytes()));
  const Secret<32> secret = labeled_extract(kHpkeSuite, shared.bytes(), "secret", {});
  Cipher cipher;
  labeled_expand(kHpkeSuite, secret, "key", context.bytes(), cipher.key.writable());
  labeled_expand(kHpkeSuite, secret, "base_nonce", context.bytes(), cipher.nonce);
  return cipher;
}

}  // namespace

KeyPair derive_key_pair(Bytes seed) {
  const Secret<32> prk = labeled_extract(kKemSuite, {}, "dkp_prk", seed);
  KeyPair pair;
  labeled_expand(kKemSuite, prk, "sk", {}, pair.secret_key.writable());
  pair.public_key = x25519_public(pair.secret_key);
  return pair;
}

Result<std::string> seal(const PublicKey& to, Bytes info, Bytes aad, Bytes text, base::Env& env) {
  internal::ensure_sodium();
  const KeyPair once = derive_key_pair(Secret<32>::random(env).bytes());
  const auto dh = x25519(once.secret_key, to);
  if (!dh) {
    return fail(Code::kInvalidArgument,
                "the public key {} has low order: anyone could open what is sealed to it; take another key",
                to_hex(to));
  }
  const Cipher cipher = key_schedule(*dh, once.public_key, to, info);
  std::string out(view_of(once.public_key));
  out.resize(text.size() + kHpkeOverheadBytes);
  auto* const bytes = reinterpret_cast<std::uint8_t*>(out.data());
  crypto_aead_chacha20poly1305_ietf_encrypt(bytes + once.public_key.size(), nullptr, internal::data_of(text),
                                            text.size(), internal::data_of(aad), aad.size(), nullptr,
                                            cipher.nonce.data(), cipher.key.bytes().data());
  return out;
}

Result<SecretBytes> open(const Secret<32>& secret_key, Bytes info, Bytes aad, Bytes sealed) {
  internal::ensure_sodium();
  if (sealed.size() < kHpkeOverheadBytes) {
    return fail(Code::kDataLoss, "a sealed message has at least {} bytes, this one has {}: it is truncated",
                kHpkeOverheadBytes, sealed.size());
  }
  PublicKey enc;
  std::copy_n(sealed.begin(), enc.size(), enc.begin());
  const auto dh = x25519(secret_key, enc);
  if (!dh) return fail(Code::kDataLoss, "the message's public key has low order: it was not made by an honest sender");
  const Cipher cipher = key_schedule(*dh, enc, x25519_public(secret_key), info);
  const Bytes ciphertext = sealed.subspan(enc.size());
  SecretBytes text(sealed.size() - kHpkeOverheadBytes);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(text.writable().data(), nullptr, nullptr, internal::data_of(ciphertext),
                                                ciphertext.size(), internal::data_of(aad), aad.size(),
                                                cipher.nonce.data(), cipher.key.bytes().data()) != 0) {
    return fail(Code::kDataLoss,
                "the message does not open: it was altered, or sealed to another key or for another purpose");
  }
  return text;
}

}  // namespace daybreak::crypto
