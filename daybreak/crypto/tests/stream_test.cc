#include "daybreak/crypto/stream.h"

#include <gtest/gtest.h>
#include <sodium.h>

namespace daybreak::crypto {
namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 3);
  return text;
}

TEST(Stream, gives_back_bodies_of_every_size_around_a_chunk) {
  const auto key = Secret<32>::random();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kStreamChunkBytes - 1, kStreamChunkBytes,
                                 kStreamChunkBytes + 1, 2 * kStreamChunkBytes, 3 * kStreamChunkBytes + 5}) {
    const std::string text = pattern(size);
    const std::string encrypted = encrypt_stream(key, bytes_of("aad"), bytes_of(text));
    EXPECT_EQ(encrypted.size(), encrypted_stream_bytes(size));
    const auto decrypted = decrypt_stream(key, bytes_of("aad"), bytes_of(encrypted));
    ASSERT_TRUE(decrypted) << decrypted.error().to_string();
    EXPECT_TRUE(decrypted->view() == text);
  }
}

TEST(Stream, refuses_flipped_bits_other_keys_and_other_aad) {
  const auto key = Secret<32>::random();
  std::string encrypted = encrypt_stream(key, bytes_of("aad"), bytes_of("some text"));
  for (std::size_t bit = 0; bit < 8 * encrypted.size(); ++bit) {
    encrypted[bit / 8] = static_cast<char>(encrypted[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(decrypt_stream(key, bytes_of("aad"), bytes_of(encrypted))) << bit;
    encrypted[bit / 8] = static_cast<char>(encrypted[bit / 8] ^ 1 << bit % 8);
  }
  EXPECT_TRUE(decrypt_stream(key, bytes_of("aad"), bytes_of(encrypted)));
  EXPECT_FALSE(decrypt_stream(key, bytes_of("other"), bytes_of(encrypted)));
  EXPECT_FALSE(decrypt_stream(Secret<32>::random(), bytes_of("aad"), bytes_of(encrypted)));
}

TEST(Stream, finds_missing_repeated_reordered_and_added_chunks) {
  const auto key = Secret<32>::random();
  const std::string whole = encrypt_stream(key, {}, bytes_of(pattern(3 * kStreamChunkBytes)));
  const std::size_t chunk = kStreamChunkBytes + kStreamChunkOverheadBytes;
  const std::string header = whole.substr(0, kStreamHeaderBytes);
  const auto part = [&](std::size_t i) { return whole.substr(kStreamHeaderBytes + i * chunk, chunk); };
  ASSERT_TRUE(decrypt_stream(key, {}, bytes_of(header + part(0) + part(1) + part(2))));
  for (const std::string& bad : {header + part(0) + part(1), header + part(0), header, header + part(1) + part(2),
                                 header + part(0) + part(0) + part(1) + part(2), header + part(1) + part(0) + part(2),
                                 whole + "x", whole + part(2), std::string()}) {
    const auto decrypted = decrypt_stream(key, {}, bytes_of(bad));
    ASSERT_FALSE(decrypted);
    EXPECT_EQ(decrypted.error().code(), base::Code::kDataLoss);
  }
}

// With any other tag on any chunk it is the same text in other bytes, made by one who has the key.
TEST(Stream, has_one_encoding_a_chunk_with_another_tag_is_refused) {
  const auto key = Secret<32>::random();
  const std::string text = pattern(2 * kStreamChunkBytes + 3);
  const auto encoded = [&](std::array<unsigned char, 3> tags) {
    std::string out(encrypted_stream_bytes(text.size()), '\0');
    auto* at = reinterpret_cast<unsigned char*>(out.data());
    crypto_secretstream_xchacha20poly1305_state state;
    crypto_secretstream_xchacha20poly1305_init_push(&state, at, key.bytes().data());
    at += kStreamHeaderBytes;
    for (std::size_t i = 0; i < 3; ++i) {
      const auto chunk = bytes_of(text).subspan(i * kStreamChunkBytes, i == 2 ? 3 : kStreamChunkBytes);
      crypto_secretstream_xchacha20poly1305_push(&state, at, nullptr, chunk.data(), chunk.size(), nullptr, 0, tags[i]);
      at += chunk.size() + kStreamChunkOverheadBytes;
    }
    return out;
  };
  int accepted = 0;
  for (unsigned char a = 0; a < 5; ++a) {  // MESSAGE, PUSH, REKEY, FINAL, and one that nobody defined
    for (unsigned char b = 0; b < 5; ++b) {
      for (unsigned char c = 0; c < 5; ++c) {
        const auto decrypted = decrypt_stream(key, {}, bytes_of(encoded({a, b, c})));
        const bool ours = a == crypto_secretstream_xchacha20poly1305_TAG_MESSAGE && b == a &&
                          c == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
        EXPECT_EQ(decrypted.has_value(), ours) << int{a} << int{b} << int{c};
        EXPECT_TRUE(decrypted || decrypted.error().code() == base::Code::kDataLoss);
        accepted += decrypted.has_value();
      }
    }
  }
  EXPECT_EQ(accepted, 1);
}

TEST(Stream, has_one_length_a_whole_chunk_is_final_itself_and_no_empty_one_follows) {
  for (const std::size_t chunks : {1, 2, 3}) {
    const std::size_t size = encrypted_stream_bytes(chunks * kStreamChunkBytes);
    EXPECT_EQ(size, kStreamHeaderBytes + chunks * (kStreamChunkBytes + kStreamChunkOverheadBytes));
    EXPECT_EQ(decrypted_stream_bytes(size), chunks * kStreamChunkBytes);
    EXPECT_FALSE(decrypted_stream_bytes(size + kStreamChunkOverheadBytes));
  }
}

}  // namespace
}  // namespace daybreak::crypto
