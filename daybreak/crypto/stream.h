// Large bodies under one key, in chunks, by libsodium's secretstream (XChaCha20-Poly1305): truncated, reordered,
// repeated or altered chunks are found, and any prefix that was returned is genuine.
#pragma once

#include <string>

#include "daybreak/base/error.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

inline constexpr std::size_t kStreamChunkBytes = 64 * 1024;  // of plaintext; the last chunk may be shorter
inline constexpr std::size_t kStreamHeaderBytes = 24;
inline constexpr std::size_t kStreamChunkOverheadBytes = 17;

// How long encrypt_stream() makes so many bytes.
std::size_t encrypted_stream_bytes(std::size_t text_bytes);

// header | chunk | chunk | ... | final chunk. `aad` is bound to every chunk.
std::string encrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                           std::span<const std::uint8_t> text);

// kDataLoss when a bit of it, the key or the aad is another one, when its end is missing, or when something follows it.
base::Result<SecretBytes> decrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                                         std::span<const std::uint8_t> encrypted);

}  // namespace daybreak::crypto
