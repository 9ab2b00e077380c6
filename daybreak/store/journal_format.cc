#include "daybreak/store/journal_format.h"

#include <cstring>
#include <span>

#include "daybreak/base/crc32c.h"
#include "daybreak/base/env.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::Result;

namespace {

template <typename T>
void put_fixed(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T fixed_at(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t head_checksum(std::string_view fields, std::uint64_t life, std::uint64_t offset) {
  const std::array<std::uint64_t, 2> where = {life, offset};
  return base::crc32c(fields, base::crc32c(std::as_bytes(std::span(where))));
}

}  // namespace

std::string encode_journal_header(const JournalHeader& header) {
  std::string bytes(kJournalMagic);
  put_fixed(bytes, kJournalVersion);
  put_fixed(bytes, header.boot);
  put_fixed(bytes, header.life);
  put_fixed(bytes, header.first);
  bytes += header.application;
  bytes.resize(kJournalHeaderBytes - 4);
  put_fixed(bytes, base::crc32c(bytes));
  return bytes;
}

Result<JournalHeader> parse_journal_header(std::string_view bytes) {
  if (bytes.size() < kJournalHeaderBytes || !bytes.starts_with(kJournalMagic)) {
    return fail(Code::kDataLoss, "it does not begin as a journal does");
  }
  // Before the checksum: another version may have it elsewhere.
  if (const auto version = fixed_at<std::uint32_t>(bytes, 8); version != kJournalVersion) {
    return fail(Code::kFailedPrecondition,
                "it is a journal of version {}, and this program knows version {}: use a newer one", version,
                kJournalVersion);
  }
  if (fixed_at<std::uint32_t>(bytes, 60) != base::crc32c(bytes.substr(0, kJournalHeaderBytes - 4))) {
    return fail(Code::kDataLoss, "the header (bytes 0 to {}) is damaged", kJournalHeaderBytes - 1);
  }
  JournalHeader header;
  header.boot = fixed_at<std::uint32_t>(bytes, 12);
  header.life = fixed_at<std::uint64_t>(bytes, 16);
  header.first = fixed_at<std::uint64_t>(bytes, 24);
  const std::string_view name = bytes.substr(32, kMaxApplicationBytes);
  header.application = name.substr(0, name.find('\0'));
  return header;
}

JournalHeadBytes encode_journal_head(const JournalHead& head, std::uint64_t life, std::uint64_t offset) {
  std::string bytes(kJournalRecordMagic);
  put_fixed(bytes, head.size);
  put_fixed(bytes, head.number);
  put_fixed(bytes, head.synced);
  put_fixed(bytes, head.boot);
  put_fixed(bytes, head.kind);
  put_fixed(bytes, head.body_checksum);
  put_fixed(bytes, head_checksum(bytes, life, offset));
  JournalHeadBytes out;
  std::memcpy(out.data(), bytes.data(), out.size());
  return out;
}

std::optional<JournalHead> parse_journal_head(std::string_view bytes, std::uint64_t life, std::uint64_t offset) {
  if (bytes.size() < kJournalHeadBytes || !bytes.starts_with(kJournalRecordMagic)) return std::nullopt;
  const std::uint32_t checksum = head_checksum(bytes.substr(0, kJournalHeadBytes - 4), life, offset);
  if (fixed_at<std::uint32_t>(bytes, kJournalHeadBytes - 4) != checksum) return std::nullopt;
  JournalHead head;
  head.size = fixed_at<std::uint32_t>(bytes, 4);
  head.number = fixed_at<std::uint64_t>(bytes, 8);
  head.synced = fixed_at<std::uint64_t>(bytes, 16);
  head.boot = fixed_at<std::uint32_t>(bytes, 24);
  head.kind = fixed_at<std::uint32_t>(bytes, 28);
  head.body_checksum = fixed_at<std::uint32_t>(bytes, 32);
  if (head.size > kMaxJournalRecordBytes) return std::nullopt;
  return head;
}

void append_journal_record(std::string& out, JournalHead head, std::string_view body, std::uint64_t life,
                           std::uint64_t offset) {
  head.size = static_cast<std::uint32_t>(body.size());
  const std::string padding(head.whole_size() - kJournalHeadBytes - body.size(), '\0');
  head.body_checksum = base::crc32c(padding, base::crc32c(body));
  const JournalHeadBytes bytes = encode_journal_head(head, life, offset);
  out.append(bytes.data(), bytes.size());
  out.append(body);
  out.append(padding);
}

std::uint32_t boot_number() {
  static const std::uint32_t number = [] {
    const auto id = base::Env::real().read_file("/proc/sys/kernel/random/boot_id", 64);
    return id ? base::crc32c(*id) : 0;
  }();
  return number;
}

}  // namespace daybreak::store
