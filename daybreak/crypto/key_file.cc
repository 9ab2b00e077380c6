#include "daybreak/crypto/key_file.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "daybreak/base/file.h"
#include "daybreak/crypto/internal/sodium.h"

namespace daybreak::crypto {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::string_view kMagic("daybreak-key\0\1", 14);  // the last byte is the version
enum Kind : std::uint8_t { kPlain = 0, kPassphrase = 1 };
constexpr std::size_t kPlainHeaderBytes = kMagic.size() + 1;
constexpr std::size_t kSaltBytes = crypto_pwhash_argon2id_SALTBYTES;
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kSealedHeaderBytes = kPlainHeaderBytes + 4 + 4 + kSaltBytes + kNonceBytes;
static_assert(kSaltBytes == 16 && kNonceBytes == 24 && kTagBytes == 16);

void put_u32(std::uint8_t* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}
std::uint32_t get_u32(const std::uint8_t* at) {
  return at[0] | at[1] << 8 | at[2] << 16 | static_cast<std::uint32_t>(at[3]) << 24;
}

base::Status check_cost(PassphraseCost cost) {
  if (cost.passes < 1 || cost.passes > kMaxPassphrasePasses || cost.memory_kib < 8 ||
      cost.memory_kib > kMaxPassphraseMemoryKib) {
    return fail(Code::kInvalidArgument,
                "argon2id with {} passes over {} KiB: allowed are 1 to {} passes over 8 to {} KiB", cost.passes,
                cost.memory_kib, kMaxPassphrasePasses, kMaxPassphraseMemoryKib);
  }
  return {};
}

Result<Secret<32>> key_of(std::string_view passphrase, const std::uint8_t* salt, PassphraseCost cost) {
  internal::ensure_sodium();
  Secret<32> key;
  if (crypto_pwhash(key.writable().data(), key.size(), passphrase.data(), passphrase.size(), salt, cost.passes,
                    static_cast<std::size_t>(cost.memory_kib) * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(Code::kResourceExhausted, "argon2id needs {} KiB of memory, which there are not", cost.memory_kib);
  }
  return key;
}

}  // namespace

Result<SecretBytes> encode_key_file(const SecretBytes& secret, std::optional<std::string_view> passphrase,
                                    base::Env& env, PassphraseCost cost) {
  if (secret.size() > kMaxKeyFileSecretBytes) {
    return fail(Code::kInvalidArgument, "a key file holds at most {} bytes, not {}", kMaxKeyFileSecretBytes,
                secret.size());
  }
  const std::size_t header_bytes = passphrase ? kSealedHeaderBytes : kPlainHeaderBytes;
  SecretBytes out(header_bytes + secret.size() + (passphrase ? kTagBytes : 0));
  std::uint8_t* const bytes = out.writable().data();
  std::copy(kMagic.begin(), kMagic.end(), bytes);
  bytes[kMagic.size()] = passphrase ? kPassphrase : kPlain;
  if (!passphrase) {
    std::copy(secret.bytes().begin(), secret.bytes().end(), bytes + header_bytes);
    return out;
  }
  if (passphrase->empty()) {
    return fail(Code::kInvalidArgument,
                "the passphrase is empty: give one, or none at all for a file that only its mode protects");
  }
  DAYBREAK_TRY(check_cost(cost));
  put_u32(bytes + kPlainHeaderBytes, cost.passes);
  put_u32(bytes + kPlainHeaderBytes + 4, cost.memory_kib);
  std::uint8_t* const salt = bytes + kPlainHeaderBytes + 8;
  env.fill_random(std::as_writable_bytes(std::span(salt, kSaltBytes + kNonceBytes)));
  DAYBREAK_ASSIGN(const Secret<32> key, key_of(*passphrase, salt, cost));
  crypto_aead_xchacha20poly1305_ietf_encrypt(bytes + header_bytes, nullptr, internal::data_of(secret.bytes()),
                                             secret.size(), bytes, header_bytes, nullptr, salt + kSaltBytes,
                                             key.bytes().data());
  return out;
}

Result<SecretBytes> decode_key_file(std::string_view file, std::optional<std::string_view> passphrase) {
  const auto bytes = bytes_of(file);
  if (bytes.size() < kPlainHeaderBytes || !file.starts_with(kMagic) || bytes[kMagic.size()] > kPassphrase) {
    return fail(Code::kDataLoss, "this is no key file of version {}: is it the right file?", int{kMagic.back()});
  }
  if (bytes[kMagic.size()] == kPlain) {
    if (passphrase) return fail(Code::kInvalidArgument, "the file is not under a passphrase: give none");
    return SecretBytes::copy_of(bytes.subspan(kPlainHeaderBytes));
  }
  if (bytes.size() < kSealedHeaderBytes + kTagBytes) {
    return fail(Code::kDataLoss, "the key file ends after {} bytes: it is truncated", bytes.size());
  }
  if (!passphrase) return fail(Code::kUnauthenticated, "the file is under a passphrase: give it");
  const PassphraseCost cost{get_u32(&bytes[kPlainHeaderBytes]), get_u32(&bytes[kPlainHeaderBytes + 4])};
  DAYBREAK_TRY(check_cost(cost));
  const std::uint8_t* const salt = &bytes[kPlainHeaderBytes + 8];
  DAYBREAK_ASSIGN(const Secret<32> key, key_of(*passphrase, salt, cost));
  SecretBytes secret(bytes.size() - kSealedHeaderBytes - kTagBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret.writable().data(), nullptr, nullptr,
                                                 bytes.data() + kSealedHeaderBytes, bytes.size() - kSealedHeaderBytes,
                                                 bytes.data(), kSealedHeaderBytes, salt + kSaltBytes,
                                                 key.bytes().data()) != 0) {
    return fail(Code::kUnauthenticated,
                "the key file does not open: the passphrase is another one, or the file was altered");
  }
  return secret;
}

base::Status write_key_file(const std::string& path, const SecretBytes& secret,
                            std::optional<std::string_view> passphrase, base::Env& env, PassphraseCost cost) {
  DAYBREAK_ASSIGN(const SecretBytes bytes, encode_key_file(secret, passphrase, env, cost));
  return base::write_file_atomically(path, bytes.view(), env);
}

Result<SecretBytes> read_key_file(const std::string& path, std::optional<std::string_view> passphrase, base::Env& env) {
  auto read = env.read_file(path, kMaxKeyFileSecretBytes + kSealedHeaderBytes + kTagBytes);
  DAYBREAK_ASSIGN(std::string bytes, std::move(read));
  auto secret = decode_key_file(bytes, passphrase);
  sodium_memzero(bytes.data(), bytes.size());
  if (!secret) return std::unexpected(std::move(secret).error().wrap(fmt::format("'{}'", path)));
  return secret;
}

}  // namespace daybreak::crypto
