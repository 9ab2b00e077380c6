#include "daybreak/store/journal_format.h"

#include <gtest/gtest.h>

namespace daybreak::store {
namespace {

std::string hex_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

const JournalHeader kHeader{0x01020304, 0x1122334455667788, 7, "tune.trials"};

// docs/formats/journal.md. When these bytes change, so must the version.
TEST(JournalFormat, golden_bytes_do_not_change) {
  EXPECT_EQ(hex_of_bytes(encode_journal_header(kHeader)),
            "44424a4f55524e0a"                                          // "DBJOURN\n"
            "01000000"                                                  // version
            "04030201"                                                  // boot
            "8877665544332211"                                          // life
            "0700000000000000"                                          // number of the first record
            "74756e652e747269616c730000000000000000000000000000000000"  // "tune.trials"
            "df8f5aeb");
  std::string record;
  append_journal_record(record, {.number = 7, .synced = 64, .boot = 0x01020304, .kind = 5}, "abc", kHeader.life, 64);
  EXPECT_EQ(hex_of_bytes(record),
            "44424a52"            // "DBJR"
            "03000000"            // size
            "0700000000000000"    // number
            "4000000000000000"    // on the disk up to here
            "04030201"            // boot
            "05000000"            // kind
            "ed3ab2fa"            // of the body and the padding
            "29ba55e8"            // of the 36 bytes before, the life and the place
            "6162630000000000");  // the body, padded
}

TEST(JournalFormat, headers_and_heads_come_back_as_they_were) {
  const auto header = parse_journal_header(encode_journal_header(kHeader));
  ASSERT_TRUE(header) << header.error().to_string();
  EXPECT_EQ(header->boot, kHeader.boot);
  EXPECT_EQ(header->life, kHeader.life);
  EXPECT_EQ(header->first, 7u);
  EXPECT_EQ(header->application, "tune.trials");
  const std::string longest(kMaxApplicationBytes, 'a');
  EXPECT_EQ(parse_journal_header(encode_journal_header({1, 2, 3, longest}))->application, longest);

  const JournalHead head{static_cast<std::uint32_t>(kMaxJournalRecordBytes), 9, 64, 1, 5, 0xdeadbeef};
  const JournalHeadBytes bytes = encode_journal_head(head, 11, 128);
  const auto parsed = parse_journal_head({bytes.data(), bytes.size()}, 11, 128);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->size, kMaxJournalRecordBytes);
  EXPECT_EQ(parsed->number, 9u);
  EXPECT_EQ(parsed->synced, 64u);
  EXPECT_EQ(parsed->boot, 1u);
  EXPECT_EQ(parsed->kind, 5u);
  EXPECT_EQ(parsed->body_checksum, 0xdeadbeefu);
}

TEST(JournalFormat, a_head_is_one_only_where_and_in_the_life_in_which_it_was_written) {
  const JournalHeadBytes bytes = encode_journal_head({.size = 3, .number = 1}, 11, 128);
  const std::string_view view(bytes.data(), bytes.size());
  EXPECT_TRUE(parse_journal_head(view, 11, 128));
  EXPECT_FALSE(parse_journal_head(view, 11, 136));
  EXPECT_FALSE(parse_journal_head(view, 12, 128));
}

TEST(JournalFormat, a_bit_that_is_another_is_seen) {
  const std::string header = encode_journal_header(kHeader);
  const JournalHeadBytes head =
      encode_journal_head({.size = 3, .number = 1, .synced = 64, .boot = 2, .kind = 3}, 11, 128);
  for (std::size_t bit = 0; bit < 8 * header.size(); ++bit) {
    std::string other = header;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(parse_journal_header(other)) << bit;
  }
  for (std::size_t bit = 0; bit < 8 * head.size(); ++bit) {
    JournalHeadBytes other = head;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(parse_journal_head({other.data(), other.size()}, 11, 128)) << bit;
  }
}

TEST(JournalFormat, a_size_above_the_limit_is_no_head) {
  const auto one = encode_journal_head({.size = static_cast<std::uint32_t>(kMaxJournalRecordBytes) + 1}, 11, 128);
  EXPECT_FALSE(parse_journal_head({one.data(), one.size()}, 11, 128));
}

TEST(JournalFormat, another_version_says_so) {
  std::string bytes = encode_journal_header(kHeader);
  bytes[8] = 2;
  const auto header = parse_journal_header(bytes);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code(), base::Code::kFailedPrecondition);
  EXPECT_NE(header.error().message().find("version 2"), std::string::npos);
}

}  // namespace
}  // namespace daybreak::store
