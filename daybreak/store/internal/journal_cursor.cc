#include "daybreak/store/internal/journal_cursor.h"

#include <algorithm>

#include "daybreak/base/crc32c.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::uint64_t kReadBytes = 256u << 10;
constexpr std::uint64_t kScanBytes = 4u << 20;

}  // namespace

// At least `wanted` bytes from offset_ on, which the file has.
Status JournalCursor::fill(std::size_t wanted, std::uint64_t file_size) {
  if (offset_ - window_at_ + wanted <= window_.size()) return {};
  window_.resize(std::min(std::max<std::uint64_t>(wanted, kReadBytes), file_size - offset_));
  window_at_ = offset_;
  const Status read = file_->read_at(offset_, window_);
  if (!read) window_.clear();
  return read;
}

Result<JournalCursor::Found> JournalCursor::next(std::uint64_t file_size) {
  body_ = {};
  if (file_size <= offset_) return Found::kEnd;
  // What was broken may be whole now: it is read again.
  const auto broken = [&] {
    window_.clear();
    window_at_ = offset_;
    return Found::kBroken;
  };
  const std::uint64_t left = file_size - offset_;
  if (left < kJournalHeadBytes) return broken();
  DAYBREAK_TRY(fill(kJournalHeadBytes, file_size));
  const auto head = parse_journal_head(window(), life_, offset_);
  if (!head || head->number != number_ || head->whole_size() > left) return broken();
  DAYBREAK_TRY(fill(head->whole_size(), file_size));
  const std::string_view padded = window().substr(kJournalHeadBytes, head->whole_size() - kJournalHeadBytes);
  if (base::crc32c(padded) != head->body_checksum) return broken();
  kind_ = head->kind;
  body_ = padded.substr(0, head->size);
  offset_ += head->whole_size();
  ++number_;
  boot_ = head->boot;
  synced_ = std::max(synced_, head->synced);
  return Found::kRecord;
}

void JournalCursor::pass(std::uint64_t bytes, std::uint64_t records, std::uint64_t synced) {
  offset_ += bytes;
  number_ += records;
  boot_ = boot_number();
  synced_ = std::max(synced_, synced);
  body_ = {};
  window_.clear();
  window_at_ = offset_;
}

Result<JournalCursor::Tail> JournalCursor::judge(std::uint64_t file_size, std::uint64_t whole,
                                                 std::string_view path) const {
  const auto damaged = [&](std::string_view why) {
    return fail(Code::kDataLoss,
                "the journal '{}' is damaged at byte {}, in record {}: {}. All before it is whole: bring back a copy, "
                "or give up "
                "what follows with `truncate -s {} FILE`",
                path, offset_, number_, why, offset_);
  };
  if (std::max(synced_, whole) > offset_) return damaged("it was on the disk and is not what was written");
  const std::uint64_t left = file_size - offset_;
  if (left < kJournalHeadBytes) return Tail::kCutShort;
  std::string bytes(kJournalHeadBytes, '\0');
  DAYBREAK_TRY(file_->read_at(offset_, bytes));
  const auto head = parse_journal_head(bytes, life_, offset_);
  // A write that a death or a full disk cut short: its bytes are right as far as they go.
  if (head && head->number == number_ && head->whole_size() > left) return Tail::kCutShort;
  // The rest is what only a loss of power leaves, in what was written since the last sync and before the machine was
  // started again: blocks that came to the disk beside blocks that did not.
  constexpr std::string_view kAltered = "its bytes are not those that were written";
  const auto since_start = [](std::uint32_t boot) { return boot == boot_number() || boot_number() == 0; };
  if (since_start(head ? head->boot : boot_)) return damaged(kAltered);
  for (std::uint64_t at = offset_; at < file_size; at += kScanBytes) {
    bytes.resize(std::min(kScanBytes + kJournalHeadBytes, file_size - at));
    DAYBREAK_TRY(file_->read_at(at, bytes));
    for (std::size_t found = bytes.find(kJournalRecordMagic); found < kScanBytes;
         found = bytes.find(kJournalRecordMagic, found + 1)) {
      const auto later = parse_journal_head(std::string_view(bytes).substr(found), life_, at + found);
      if (!later || later->number <= number_) continue;
      if (later->synced > offset_ || since_start(later->boot)) return damaged(kAltered);
    }
  }
  return Tail::kTornByPower;
}

}  // namespace daybreak::store
