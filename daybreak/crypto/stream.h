// Large bodies under one key, in chunks, by libsodium's secretstream (XChaCha20-Poly1305): truncated, reordered,
// repeated or altered chunks are found, and any prefix that was returned is genuine.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::crypto {

inline constexpr std::size_t kStreamChunkBytes = 64 * 1024;  // of plaintext; the last chunk may be shorter
inline constexpr std::size_t kStreamHeaderBytes = 24;
inline constexpr std::size_t kStreamChunkOverheadBytes = 17;

// How long encrypt_stream() makes so many bytes.
std::size_t encrypted_stream_bytes(std::size_t text_bytes);

// How much text a stream of so many bytes holds; nothing when no stream has that length.
std::optional<std::size_t> decrypted_stream_bytes(std::size_t encrypted_bytes);

// header | chunk | chunk | ... | final chunk, into `out` of encrypted_stream_bytes(). `aad` is bound to every chunk.
// `progress` is told how many bytes of `out` are written, after each chunk.
void encrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad, std::span<const std::uint8_t> text,
                    std::span<std::uint8_t> out, const std::function<void(std::size_t)>& progress = {});
std::string encrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                           std::span<const std::uint8_t> text);

// Into `out` of decrypted_stream_bytes(). kDataLoss when a bit of it, the key or the aad is another one, when its end
// is missing, when something follows it, or when it is not as encrypt_stream() writes it; `out` then holds zeros.
base::Status decrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                            std::span<const std::uint8_t> encrypted, std::span<std::uint8_t> out);
base::Result<SecretBytes> decrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                                         std::span<const std::uint8_t> encrypted);

}  // namespace daybreak::crypto
