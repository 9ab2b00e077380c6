// The bytes of a journal (docs/formats/journal.md). Everything here is pure: bytes in, structs out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::store {

inline constexpr std::size_t kMaxJournalRecordBytes = 64u << 20;  // of a record's body
inline constexpr std::size_t kMaxApplicationBytes = 28;

inline constexpr std::size_t kJournalHeaderBytes = 64;
inline constexpr std::size_t kJournalHeadBytes = 40;
inline constexpr std::size_t kJournalAlignment = 8;  // each head begins at a multiple of it
inline constexpr std::uint32_t kJournalVersion = 1;
inline constexpr std::string_view kJournalMagic = "DBJOURN\n";
inline constexpr std::string_view kJournalRecordMagic = "DBJR";

// The beginning of the file.
struct JournalHeader {
  std::uint32_t boot = 0;        // boot_number() of the machine when the file was made
  std::uint64_t life = 0;        // drawn when the file was made; a rewritten journal has another
  std::uint64_t first = 0;       // number of the first record
  std::string application = {};  // what the records are, at most kMaxApplicationBytes without a zero byte
};
std::string encode_journal_header(const JournalHeader& header);
// kDataLoss when the bytes are no header, kFailedPrecondition when they are one of another version.
base::Result<JournalHeader> parse_journal_header(std::string_view bytes);

// What stands before a record's body.
struct JournalHead {
  std::uint32_t size = 0;           // of the body
  std::uint64_t number = 0;         // one more than that of the record before
  std::uint64_t synced = 0;         // the file was on the disk up to here, as far as the writer knew
  std::uint32_t boot = 0;           // boot_number() when it was written
  std::uint32_t kind = 0;           // the application's
  std::uint32_t body_checksum = 0;  // of the body and the zeros behind it

  // Head, body, and zeros up to the next head.
  std::uint64_t whole_size() const {
    return (kJournalHeadBytes + std::uint64_t{size} + kJournalAlignment - 1) & ~std::uint64_t{kJournalAlignment - 1};
  }
};
using JournalHeadBytes = std::array<char, kJournalHeadBytes>;
// Its checksum covers the file's life and the place as well: the bytes are a head nowhere else and in no other file.
JournalHeadBytes encode_journal_head(const JournalHead& head, std::uint64_t life, std::uint64_t offset);
// Nothing when the bytes are no head that was written there.
std::optional<JournalHead> parse_journal_head(std::string_view bytes, std::uint64_t life, std::uint64_t offset);

// The whole record, behind what `out` holds.
void append_journal_record(std::string& out, JournalHead head, std::string_view body, std::uint64_t life,
                           std::uint64_t offset);

// A number for the time since the machine was started, 0 where the kernel does not say: two of one value lie between
// the same two losses of power.
std::uint32_t boot_number();

}  // namespace daybreak::store
