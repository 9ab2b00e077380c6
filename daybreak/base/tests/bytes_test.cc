#include "daybreak/base/bytes.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace daybreak::base {
namespace {

TEST(Bytes, golden_ones_of_every_kind) {
  const std::vector<std::int16_t> numbers = {1, -2};
  ByteWriter out;
  out.u8(7).fixed<std::uint32_t>(0x01020304).varint(300).raw("ab").text("cd");
  out.fixed_text<std::uint16_t>("e").array(std::span(numbers)).fixed<double>(1);
  EXPECT_EQ(out.bytes(), std::string("\x07\x04\x03\x02\x01\xac\x02"
                                     "ab\x02"
                                     "cd\x01\0e\x04\0\0\0\0\0\0\0\x01\0\xfe\xff\0\0\0\0\0\0\xf0\x3f",
                                     35));
  ByteReader in(out.bytes(), "it");
  EXPECT_EQ(in.u8(), 7);
  EXPECT_EQ(in.fixed<std::uint32_t>(), 0x01020304u);
  EXPECT_EQ(in.varint(0, 300, "n"), 300u);
  EXPECT_EQ(in.raw(2), "ab");
  EXPECT_EQ(in.text(0, 2, "t"), "cd");
  EXPECT_EQ(in.fixed_text<std::uint16_t>(1, "t"), "e");
  std::vector<std::int16_t> back(2);
  in.array(std::span(back), "numbers");
  EXPECT_EQ(back, numbers);
  EXPECT_EQ(in.fixed<double>(), 1);
  EXPECT_TRUE(in.finish());
}

TEST(Bytes, cut_off_anywhere_are_refused_and_read_as_zeros) {
  const std::vector<float> numbers = {1, 2, 3};
  const std::string bytes =
      ByteWriter().fixed<std::int64_t>(-1).fixed_text<std::uint32_t>("text").array(std::span(numbers)).take();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ByteReader in(std::string_view(bytes).substr(0, size), "it");
    std::vector<float> back = {7, 7, 7};
    EXPECT_EQ(in.fixed<std::int64_t>(), size < 8 ? 0 : -1);
    EXPECT_EQ(in.fixed_text<std::uint32_t>(4, "t"), size < 16 ? "" : "text");
    in.array(std::span(back), "numbers");
    EXPECT_EQ(back, (std::vector<float>{7, 7, 7})) << "not a part of it";
    EXPECT_EQ(in.fixed<double>(), 0);
    EXPECT_EQ(in.finish().error().code(), Code::kDataLoss);
  }
}

TEST(Bytes, sizes_beyond_their_limit_are_refused_whatever_follows) {
  for (const std::uint64_t size : {std::uint64_t{5}, std::numeric_limits<std::uint64_t>::max()}) {
    ByteWriter out;
    out.fixed<std::uint64_t>(size).raw("123456789");
    const std::string& bytes = out.bytes();
    ByteReader text(bytes, "it");
    EXPECT_EQ(text.fixed_text<std::uint64_t>(4, "the name"), "");
    EXPECT_NE(text.status().error().message().find("the name is " + std::to_string(size)), std::string::npos);
    ByteReader array(bytes, "it");
    std::vector<std::uint32_t> numbers(1);
    array.array(std::span(numbers), "the array");
    EXPECT_FALSE(array.ok());
  }
}

TEST(Bytes, varints_come_back_and_have_one_form) {
  for (const std::uint64_t value : {0ull, 1ull, 127ull, 128ull, 300ull, 16383ull, 16384ull, 1ull << 35, ~0ull}) {
    const std::string bytes = ByteWriter().varint(value).take();
    ByteReader in(bytes, "it");
    EXPECT_EQ(in.varint(0, ~0ull, "n"), value);
    EXPECT_TRUE(in.finish());
  }
  for (const std::string_view bad :
       {std::string_view("\x80\x00", 2), std::string_view("\xff\x80\x00", 3), std::string_view("\x80", 1),
        std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10),
        std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11), std::string_view()}) {
    ByteReader in(bad, "it");
    in.varint(0, ~0ull, "n");
    EXPECT_FALSE(in.ok());
  }
}

TEST(Bytes, limits_are_named_in_the_error) {
  ByteReader in("\x05", "the thing");
  in.varint(1, 4, "the number of parts");
  EXPECT_EQ(in.status().error().message(),
            "the thing is malformed at byte 1: the number of parts is 5, allowed are 1 to 4");
}

TEST(Bytes, the_first_problem_is_kept_and_nothing_is_read_behind_it) {
  ByteReader in("\x01\x02\x03", "it");
  EXPECT_EQ(in.raw(4), "");
  EXPECT_EQ(in.u8(), 0);
  EXPECT_EQ(in.array<2>(), (std::array<std::uint8_t, 2>{}));
  EXPECT_NE(in.status().error().message().find("ends too early"), std::string::npos);
}

}  // namespace
}  // namespace daybreak::base
