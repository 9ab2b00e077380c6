#include "daybreak/crypto/hash.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace daybreak::crypto {
namespace {

// FIPS 180-4 examples.
TEST(Hash, gives_the_published_values) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, of_pieces_is_that_of_the_whole) {
  std::string text(100000, 'a');
  Sha256 pieces;
  for (std::size_t at = 0, step = 1; at < text.size(); at += step, step = step * 3 % 4093)
    pieces.update(std::string_view(text).substr(at, step));
  EXPECT_EQ(pieces.finish(), sha256(text));
  EXPECT_EQ(pieces.update("abc").finish(), sha256("abc"));
}

TEST(Hash, computed_behind_the_writer_is_the_same) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1000}, std::size_t{1} << 20}) {
    std::string text(size, '\0');
    HashBehind behind("prefix", std::as_bytes(std::span(text)));
    for (std::size_t at = 0; at < size; at += 50'000) {
      const std::size_t end = std::min(size, at + 50'000);
      for (std::size_t i = at; i < end; ++i) text[i] = static_cast<char>(i * 7 >> 2);
      behind.advance(end);
    }
    EXPECT_EQ(behind.finish(), sha256("prefix" + text));
  }
  std::string text(1 << 20, 'x');
  HashBehind abandoned("", std::as_bytes(std::span(text)));  // its thread ends with it
}

TEST(Hash, hex_goes_both_ways_and_refuses_the_rest) {
  Hash back;
  EXPECT_TRUE(from_hex(to_hex(sha256("x")), back));
  EXPECT_EQ(back, sha256("x"));
  std::string text = to_hex(back);
  EXPECT_FALSE(from_hex(text.substr(1), back));
  text[5] = 'G';
  EXPECT_FALSE(from_hex(text, back));
  text[5] = 'A';
  EXPECT_FALSE(from_hex(text, back));
}

}  // namespace
}  // namespace daybreak::crypto
