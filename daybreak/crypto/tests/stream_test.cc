#include "daybreak/crypto/stream.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace daybreak::crypto
