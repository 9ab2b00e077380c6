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

std::optional<std::size_t> decrypted_stream_bytes(std::size_t encrypted_bytes) {
  constexpr std::size_t kWhole = kStreamChunkBytes + kStreamChunkOverheadBytes;
  if (encrypted_bytes < kStreamHeaderBytes + kStreamChunkOverheadBytes) return std::nullopt;
  const std::size_t chunks = (encrypted_bytes - kStreamHeaderBytes + kWhole - 1) / kWhole;
  const std::size_t overhead = kStreamHeaderBytes + chunks * kStreamChunkOverheadBytes;
  if (encrypted_bytes < overhead || encrypted_stream_bytes(encrypted_bytes - overhead) != encrypted_bytes)
    return std::nullopt;
  return encrypted_bytes - overhead;
}

// The header is libsodium's own draw: the one place where randomness does not come through the Env, because its
// interface has no other way in.
void encrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad, std::span<const std::uint8_t> text,
                    std::span<std::uint8_t> out, const std::function<void(std::size_t)>& progress) {
  internal::ensure_sodium();
  DAYBREAK_CHECK(out.size() == encrypted_stream_bytes(text.size()));
  auto* at = out.data();
  StreamState stream;
  crypto_secretstream_xchacha20poly1305_init_push(&stream.state, at, key.bytes().data());
  at += kStreamHeaderBytes;
  for (std::size_t left = chunks_of(text.size()); left > 0; --left) {
    const auto chunk = text.subspan(0, std::min(text.size(), kStreamChunkBytes));
    crypto_secretstream_xchacha20poly1305_push(&stream.state, at, nullptr, internal::data_of(chunk), chunk.size(),
                                               internal::data_of(aad), aad.size(),
                                               left == 1 ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                                                         : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    at += chunk.size() + kStreamChunkOverheadBytes;
    text = text.subspan(chunk.size());
    if (progress) progress(static_cast<std::size_t>(at - out.data()));
  }
}

std::string encrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                           std::span<const std::uint8_t> text) {
  std::string out(encrypted_stream_bytes(text.size()), '\0');
  encrypt_stream(key, aad, text, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  return out;
}

base::Status decrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                            std::span<const std::uint8_t> encrypted, std::span<std::uint8_t> out) {
  internal::ensure_sodium();
  if (decrypted_stream_bytes(encrypted.size()) != out.size()) {
    return fail(Code::kDataLoss, "no encrypted body of {} bytes has {} bytes of text: it is truncated",
                encrypted.size(), out.size());
  }
  StreamState stream;
  crypto_secretstream_xchacha20poly1305_init_pull(&stream.state, encrypted.data(), key.bytes().data());
  encrypted = encrypted.subspan(kStreamHeaderBytes);
  std::size_t done = 0;
  // One encoding only: each chunk but the last bears the tag MESSAGE, the last one FINAL. libsodium knows two more,
  // PUSH and REKEY, which open as well and say the same text with other bytes.
  while (!encrypted.empty()) {
    const auto chunk = encrypted.subspan(0, std::min(encrypted.size(), kStreamChunkBytes + kStreamChunkOverheadBytes));
    encrypted = encrypted.subspan(chunk.size());
    unsigned long long got = 0;
    unsigned char tag = 0;
    const bool opens = crypto_secretstream_xchacha20poly1305_pull(&stream.state, out.data() + done, &got, &tag,
                                                                  internal::data_of(chunk), chunk.size(),
                                                                  internal::data_of(aad), aad.size()) == 0;
    const unsigned char expected = encrypted.empty() ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                                                     : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
    if (!opens || tag != expected) {
      wipe(out);
      return fail(Code::kDataLoss,
                  "the encrypted body does not open behind byte {}: it was altered, cut or lengthened, or this is not "
                  "its key",
                  done);
    }
    done += got;
  }
  return {};
}

base::Result<SecretBytes> decrypt_stream(const Secret<32>& key, std::span<const std::uint8_t> aad,
                                         std::span<const std::uint8_t> encrypted) {
  SecretBytes text(decrypted_stream_bytes(encrypted.size()).value_or(0));
  DAYBREAK_TRY(decrypt_stream(key, aad, encrypted, text.writable()));
  return text;
}

}  // namespace daybreak::crypto
