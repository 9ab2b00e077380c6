#include "daybreak/crypto/stream.h"

#include <sodium.h>

#include <algorithm>

#include "daybreak/crypto/internal/sodium.h"

namespace daybreak::crypto {
namespace {

using base::Code;
using base::fail;

static_assert(kStreamHeaderBytes == crypto_secretstream_xchacha20poly1305_HEADERBYTES);
static_assert(kStreamChunkOverheadBytes == crypto_secretstream_xchacha20poly1305_ABYTES);

struct StreamState {
  crypto_secretstream_xchacha20poly1305_state state;
  ~StreamState() { sodium_memzero(&state, sizeof state); }
};

// No text is one empty final chunk.
std::size_t chunks_of(std::size_t text_bytes) {
  return text_bytes == 0 ? 1 : (text_bytes + kStreamChunkBytes - 1) / kStreamChunkBytes;
}

}  // namespace

std::size_t encrypted_stream_bytes(std::size_t text_bytes) {
  return kStreamHeaderBytes + text_bytes + chunks_of(text_bytes) * kStreamChunkOverheadBytes;
}

// The header is libsodium's own draw: the one place where randomness does not come through the Env, because its
// interface has no other way in.
std::string encrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                           std::span<const std::uint8_t> text) {
  internal::ensure_sodium();
  std::string out(encrypted_stream_bytes(text.size()), '\0');
  auto* at = reinterpret_cast<std::uint8_t*>(out.data());
  StreamState stream;
  crypto_secretstream_xchacha20poly1305_init_push(&stream.state, at, key.bytes().data());
  at += kStreamHeaderBytes;
  for (std::size_t left = chunks_of(text.size()); left > 0; --left) {
    const auto chunk = text.subspan(0, std::min(text.size(), kStreamChunkBytes));
    crypto_secretstream_xchacha20poly1305_push(&stream.state, at, nullptr, internal::data_of(chunk), chunk.size(),
                                               internal::data_of(aad), aad.size(),
                                               left == 1 ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
    at += chunk.size() + kStreamChunkOverheadBytes;
    text = text.subspan(chunk.size());
  }
  return out;
}

base::Result<SecretBytes> decrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                                         std::span<const std::uint8_t> encrypted) {
  internal::ensure_sodium();
  if (encrypted.size() < kStreamHeaderBytes + kStreamChunkOverheadBytes) {
    return fail(Code::kDataLoss, "an encrypted body has at least {} bytes, this one has {}: it is truncated",
                kStreamHeaderBytes + kStreamChunkOverheadBytes, encrypted.size());
  }
  StreamState stream;
  crypto_secretstream_xchacha20poly1305_init_pull(&stream.state, encrypted.data(), key.bytes().data());
  encrypted = encrypted.subspan(kStreamHeaderBytes);
  SecretBytes text(encrypted.size());  // more than enough
  std::size_t done = 0;
  bool last = false;
  while (!encrypted.empty() && !last) {
    const auto chunk = encrypted.subspan(0, std::min(encrypted.size(), kStreamChunkBytes + kStreamChunkOverheadBytes));
    unsigned long long got = 0;
    unsigned char tag = 0;
    if (crypto_secretstream_xchacha20poly1305_pull(&stream.state, text.writable().data() + done, &got, &tag,
                                                   internal::data_of(chunk), chunk.size(), internal::data_of(aad),
                                                   aad.size()) != 0) {
      return fail(
          Code::kDataLoss,
          "the encrypted body does not open behind byte {}: it was altered or truncated, or this is not its key", done);
    }
    done += got;
    last = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    encrypted = encrypted.subspan(chunk.size());
  }
  if (!last)
    return fail(Code::kDataLoss, "the encrypted body ends after {} bytes without its last chunk: it is truncated",
                done);
  if (!encrypted.empty())
    return fail(Code::kDataLoss, "{} bytes follow the last chunk of the encrypted body", encrypted.size());
  text.shorten(done);
  return text;
}

}  // namespace daybreak::crypto
