#include "daybreak/grant/encoding.h"

#include <gtest/gtest.h>

namespace daybreak::grant {
namespace {

TEST(Encoding, varints_come_back_and_have_one_form) {
  for (const std::uint64_t value : {0ull, 1ull, 127ull, 128ull, 300ull, 16383ull, 16384ull, 1ull << 35, ~0ull}) {
    const std::string bytes = Writer().varint(value).take();
    Reader in(bytes, "it");
    EXPECT_EQ(in.varint(0, ~0ull, "n"), value);
    EXPECT_TRUE(in.finish());
  }
  for (const std::string_view bad :
       {std::string_view("\x80\x00", 2), std::string_view("\xff\x80\x00", 3), std::string_view("\x80", 1),
        std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10),
        std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11), std::string_view()}) {
    Reader in(bad, "it");
    in.varint(0, ~0ull, "n");
    EXPECT_FALSE(in.ok());
  }
}

TEST(Encoding, limits_are_named_in_the_error) {
  Reader in("\x05", "the thing");
  in.varint(1, 4, "the number of parts");
  EXPECT_EQ(in.status().error().message(),
            "the thing is malformed at byte 1: the number of parts is 5, allowed are 1 to 4");
}

TEST(Encoding, an_optional_hash_has_one_form) {
  Hash hash{};
  hash[3] = 7;
  const std::string there = Writer().optional_hash(hash).take(), absent = Writer().optional_hash({}).take();
  EXPECT_EQ(there.size(), 33u);
  EXPECT_EQ(absent.size(), 1u);
  Reader a(there, "it"), b(absent, "it");
  EXPECT_EQ(a.optional_hash("h"), hash);
  EXPECT_EQ(b.optional_hash("h"), Hash{});
  const std::string zero = "\x01" + std::string(32, '\0');
  for (const std::string& bad : {zero, std::string("\x02"), there.substr(0, 32)}) {
    Reader in(bad, "it");
    in.optional_hash("h");
    EXPECT_FALSE(in.ok());
  }
}

TEST(Encoding, left_over_bytes_and_unknown_versions_are_refused) {
  Reader in("\x01\x02", "it");
  in.version(1);
  EXPECT_TRUE(in.ok());
  EXPECT_FALSE(in.finish());
  Reader other("\x02", "it");
  other.version(1);
  EXPECT_FALSE(other.finish());
}

TEST(Encoding, the_first_problem_is_kept_and_nothing_is_read_behind_it) {
  Reader in("\x01\x02\x03", "it");
  EXPECT_EQ(in.raw(4), "");
  EXPECT_EQ(in.u8(), 0);
  EXPECT_EQ(in.array<2>(), (std::array<std::uint8_t, 2>{}));
  EXPECT_NE(in.status().error().message().find("ends too early"), std::string::npos);
}

TEST(Encoding, no_tag_is_the_beginning_of_another) {
  EXPECT_EQ(tag("a").size(), 2u);
  EXPECT_NE(hash_of(tag("a"), {"b"}), hash_of(tag("ab"), {""}));
}

}  // namespace
}  // namespace daybreak::grant
