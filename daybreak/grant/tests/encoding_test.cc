#include "daybreak/grant/encoding.h"

#include <gtest/gtest.h>

namespace daybreak::grant {
namespace {

TEST(Encoding, an_optional_hash_has_one_form) {
  Hash hash{};
  hash[3] = 7;
  Writer with, without;
  write_optional_hash(with, hash);
  write_optional_hash(without, {});
  const std::string there = with.take(), absent = without.take();
  EXPECT_EQ(there.size(), 33u);
  EXPECT_EQ(absent.size(), 1u);
  Reader a(there, "it"), b(absent, "it");
  EXPECT_EQ(read_optional_hash(a, "h"), hash);
  EXPECT_EQ(read_optional_hash(b, "h"), Hash{});
  const std::string zero = "\x01" + std::string(32, '\0');
  for (const std::string& bad : {zero, std::string("\x02"), there.substr(0, 32)}) {
    Reader in(bad, "it");
    read_optional_hash(in, "h");
    EXPECT_FALSE(in.ok());
  }
}

TEST(Encoding, left_over_bytes_and_unknown_versions_are_refused) {
  Reader in("\x01\x02", "it");
  read_version(in, 1);
  EXPECT_TRUE(in.ok());
  EXPECT_FALSE(in.finish());
  Reader other("\x02", "it");
  read_version(other, 1);
  EXPECT_FALSE(other.finish());
}

TEST(Encoding, no_tag_is_the_beginning_of_another) {
  EXPECT_EQ(tag("a").size(), 2u);
  EXPECT_NE(hash_of(tag("a"), {"b"}), hash_of(tag("ab"), {""}));
}

}  // namespace
}  // namespace daybreak::grant
