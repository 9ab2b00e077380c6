// Walks over the records of a journal's file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daybreak/store/files.h"
#include "daybreak/store/journal_format.h"

namespace daybreak::store {

class JournalCursor {
 public:
  enum class Found : std::uint8_t {
    kRecord,  // one more, which is whole: kind(), body(); offset() and number() are behind it
    kEnd,     // the file ends here
    kBroken,  // the file goes on with what is no whole record: judge() says what that is
  };

  // At the first record. Borrows the file.
  JournalCursor(const RandomFile& file, const JournalHeader& header)
      : file_(&file), life_(header.life), number_(header.first), boot_(header.boot) {}

  // `file_size`: as the caller has just seen it.
  base::Result<Found> next(std::uint64_t file_size);

  enum class Tail : std::uint8_t {
    kCutShort,     // a death, or a full disk, in the middle of a write
    kTornByPower,  // a loss of power, of what had not been synced
  };
  // After kBroken, with no append under way: what the tail is, or kDataLoss with the place when it is damage.
  // `whole`: up to here all was on the disk.
  base::Result<Tail> judge(std::uint64_t file_size, std::uint64_t whole, std::string_view path) const;

  // The caller has appended so many whole records here, which say `synced`.
  void pass(std::uint64_t bytes, std::uint64_t records, std::uint64_t synced);

  std::uint64_t offset() const { return offset_; }  // of what comes next
  std::uint64_t number() const { return number_; }  // that it must have
  std::uint32_t kind() const { return kind_; }
  // Valid until the next call of next().
  std::string_view body() const { return body_; }

 private:
  base::Status fill(std::size_t wanted, std::uint64_t file_size);
  std::string_view window() const { return std::string_view(window_).substr(offset_ - window_at_); }

  const RandomFile* file_;
  std::uint64_t life_;
  std::uint64_t offset_ = kJournalHeaderBytes;
  std::uint64_t number_;
  std::uint32_t boot_;        // of the last record
  std::uint64_t synced_ = 0;  // the furthest that a record has said
  std::uint32_t kind_ = 0;
  std::string_view body_;
  std::string window_;  // the file from window_at_ on
  std::uint64_t window_at_ = kJournalHeaderBytes;
};

}  // namespace daybreak::store
