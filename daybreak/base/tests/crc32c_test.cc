#include "daybreak/base/crc32c.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace daybreak::base {
namespace {

TEST(Crc32c, gives_the_values_of_rfc_3720) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc32c, the_instruction_and_the_table_agree_at_every_length_alignment_and_start) {
  std::mt19937_64 random(20261124);
  std::string bytes(4200, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  for (std::size_t size = 0; size < 4100; size = size < 70 ? size + 1 : size * 2 + 3) {
    for (std::size_t offset = 0; offset < 9; ++offset) {
      const auto part = std::as_bytes(std::span(bytes).subspan(offset, size));
      const auto before = static_cast<std::uint32_t>(random());
      EXPECT_EQ(crc32c(part, before), crc32c_portable(part, before)) << size << " at " << offset;
    }
  }
}

TEST(Crc32c, parts_give_the_same_as_the_whole) {
  const std::string text = "The caller pays stores into a mapping, and nothing else.";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    EXPECT_EQ(crc32c(std::string_view(text).substr(at), crc32c(std::string_view(text).substr(0, at))), crc32c(text));
  }
}

}  // namespace
}  // namespace daybreak::base
