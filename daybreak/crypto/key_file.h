// A file that holds a secret, readable by its owner alone, optionally under a passphrase. Format:
// docs/formats/crypto-key-file.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

inline constexpr std::size_t kMaxKeyFileSecretBytes = 1 << 20;
// What a reader is willing to spend on one guess: a file from elsewhere cannot ask for all memory.
inline constexpr std::uint32_t kMaxPassphrasePasses = 16;
inline constexpr std::uint32_t kMaxPassphraseMemoryKib = 1 << 20;

// The cost of argon2id. The default is RFC 9106's second recommendation.
struct PassphraseCost {
  std::uint32_t passes = 3;
  std::uint32_t memory_kib = 64 * 1024;
};

// Writes the file whole or not at all, mode 0600. With a passphrase the secret is under argon2id and
// XChaCha20-Poly1305; an empty passphrase is kInvalidArgument, not "none".
base::Status write_key_file(const std::string& path, const SecretBytes& secret,
                            std::optional<std::string_view> passphrase, base::Env& env = base::Env::real(),
                            PassphraseCost cost = {});

// kUnauthenticated when a passphrase is needed and none was given, or a wrong one; kDataLoss when it is no such file.
base::Result<SecretBytes> read_key_file(const std::string& path, std::optional<std::string_view> passphrase,
                                        base::Env& env = base::Env::real());

// The bytes of such a file, and back.
base::Result<SecretBytes> encode_key_file(const SecretBytes& secret, std::optional<std::string_view> passphrase,
                                          base::Env& env = base::Env::real(), PassphraseCost cost = {});
base::Result<SecretBytes> decode_key_file(std::string_view bytes, std::optional<std::string_view> passphrase);

}  // namespace daybreak::crypto
