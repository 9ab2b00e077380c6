#include "daybreak/track/log/format.h"

#include <charconv>

#include "daybreak/base/crc32c.h"

namespace daybreak::track {

using base::Code;
using base::fail;

namespace {

constexpr std::string_view kLogMagic = "DBTRKLOG";
constexpr std::uint32_t kLogBlockMagic = 0x4b424244;  // "DBBK"
constexpr std::size_t kMaxHostBytes = 63;
constexpr std::size_t kMaxWriterDigits = 16, kSequenceDigits = 6;

}  // namespace

std::string encode_header(const SegmentHeader& header) {
  std::string out(kLogMagic);
  append_raw(out, kLogVersion);
  append_raw(out, static_cast<std::uint32_t>(kBlockBytes));
  append_raw(out, header.blocks);
  append_raw(out, static_cast<std::uint32_t>(header.owner ? 1 : 0));
  out.append(reinterpret_cast<const char*>(header.run.bytes.data()), 16);
  append_raw(out, header.writer);
  append_raw(out, header.sequence);
  append_raw(out, header.session);
  append_raw(out, header.created_ns);
  out.append(reinterpret_cast<const char*>(header.boot_id.data()), 16);
  append_raw(out, header.pid);
  const std::string_view host = std::string_view(header.host).substr(0, kMaxHostBytes);
  out += static_cast<char>(host.size());
  out += host;
  out.resize(kSegmentHeaderBytes - 4);
  append_raw(out, base::crc32c(out));
  return out;
}

base::Result<SegmentHeader> decode_header(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return fail(Code::kDataLoss, "{} bytes, less than a segment header", bytes.size());
  }
  bytes = bytes.substr(0, kSegmentHeaderBytes);
  const char* at = bytes.data();
  if (bytes.substr(0, 8) != kLogMagic) return fail(Code::kDataLoss, "not a run log segment (magic)");
  if (base::crc32c(bytes.substr(0, kSegmentHeaderBytes - 4)) != load<std::uint32_t>(at + kSegmentHeaderBytes - 4)) {
    return fail(Code::kDataLoss, "the checksum of the segment header is wrong");
  }
  if (const auto version = load<std::uint32_t>(at + 8); version != kLogVersion) {
    return fail(Code::kUnimplemented, "run log version {}: this program reads version {}", version, kLogVersion);
  }
  SegmentHeader header;
  header.blocks = load<std::uint32_t>(at + 16);
  if (load<std::uint32_t>(at + 12) != kBlockBytes || header.blocks == 0 || header.blocks > kMaxSegmentBlocks) {
    return fail(Code::kDataLoss, "{} blocks of {} bytes: the limits are {} and {}", header.blocks,
                load<std::uint32_t>(at + 12), kMaxSegmentBlocks, kBlockBytes);
  }
  header.owner = (load<std::uint32_t>(at + 20) & 1) != 0;
  std::memcpy(header.run.bytes.data(), at + 24, 16);
  header.writer = load<std::uint64_t>(at + 40);
  header.sequence = load<std::uint32_t>(at + 48);
  header.session = load<std::uint32_t>(at + 52);
  header.created_ns = load<std::int64_t>(at + 56);
  std::memcpy(header.boot_id.data(), at + 64, 16);
  header.pid = load<std::uint32_t>(at + 80);
  const auto host_bytes = static_cast<std::uint8_t>(at[84]);
  if (host_bytes > kMaxHostBytes) return fail(Code::kDataLoss, "a host name of {} bytes", host_bytes);
  header.host = bytes.substr(85, host_bytes);
  return header;
}

std::string encode_block_start(BlockKind kind, std::uint32_t index, std::uint32_t sequence) {
  std::string out;
  append_raw(out, kLogBlockMagic);
  append_raw(out, static_cast<std::uint16_t>(kind));
  append_raw(out, std::uint16_t{0});
  append_raw(out, index);
  append_raw(out, sequence);
  return out;
}

std::uint64_t block_seal(std::span<const std::byte> block, std::uint32_t used_bytes) {
  const std::uint32_t crc =
      base::crc32c(block.subspan(kLogBlockHeaderBytes, used_bytes), base::crc32c(block.first(16)));
  return std::uint64_t{crc} << 32 | used_bytes;
}

std::string encode_event(EventKind kind, std::uint64_t sequence, std::int64_t time_ns, std::string_view payload) {
  std::string out(4, '\0');
  append_raw(out, static_cast<std::uint32_t>(payload.size()) | static_cast<std::uint32_t>(kind) << 24);
  append_raw(out, sequence);
  append_raw(out, time_ns);
  out += payload;
  out.resize((out.size() + 7) & ~std::size_t{7});
  const std::uint32_t crc = base::crc32c(std::string_view(out).substr(4));
  std::memcpy(out.data(), &crc, 4);
  return out;
}

std::optional<RawEvent> decode_event(std::string_view bytes) {
  if (bytes.size() < kEventHeaderBytes) return std::nullopt;
  RawEvent event;
  const auto word = load<std::uint32_t>(bytes.data() + 4);
  const std::size_t payload_bytes = word & 0xffffff;
  event.record_bytes = (kEventHeaderBytes + payload_bytes + 7) & ~std::size_t{7};
  if (event.record_bytes > bytes.size()) return std::nullopt;
  if (base::crc32c(bytes.substr(4, event.record_bytes - 4)) != load<std::uint32_t>(bytes.data())) return std::nullopt;
  event.kind = static_cast<EventKind>(word >> 24);
  event.sequence = load<std::uint64_t>(bytes.data() + 8);
  event.time_ns = load<std::int64_t>(bytes.data() + 16);
  event.payload = bytes.substr(kEventHeaderBytes, payload_bytes);
  return event;
}

std::string encode_fields(std::span<const std::string_view> fields) {
  std::string out;
  for (const std::string_view field : fields) {
    append_raw(out, static_cast<std::uint32_t>(field.size()));
    out += field;
  }
  return out;
}

base::Result<std::vector<std::string>> decode_fields(std::string_view payload) {
  std::vector<std::string> fields;
  while (!payload.empty()) {
    if (payload.size() < 4 || fields.size() == kMaxFields) {
      return fail(Code::kDataLoss, "an event's fields do not fit its length");
    }
    const std::size_t size = load<std::uint32_t>(payload.data());
    if (size > payload.size() - 4) return fail(Code::kDataLoss, "a field of {} bytes is longer than its event", size);
    fields.emplace_back(payload.substr(4, size));
    payload.remove_prefix(4 + size);
  }
  return fields;
}

std::string segment_stem(std::uint64_t writer, std::uint32_t sequence) {
  return fmt::format("{:016x}.{:06}", writer, sequence);
}

std::optional<std::pair<std::uint64_t, std::uint32_t>> parse_segment_name(std::string_view name,
                                                                          std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  if (name.size() < kMaxWriterDigits + 1 + kSequenceDigits || name[kMaxWriterDigits] != '.') return std::nullopt;
  std::pair<std::uint64_t, std::uint32_t> parsed;
  const char* dot = name.data() + kMaxWriterDigits;
  const char* end = name.data() + name.size();
  const auto writer = std::from_chars(name.data(), dot, parsed.first, 16);
  const auto sequence = std::from_chars(dot + 1, end, parsed.second, 10);
  if (writer.ec != std::errc() || writer.ptr != dot || sequence.ec != std::errc() || sequence.ptr != end)
    return std::nullopt;
  if (segment_stem(parsed.first, parsed.second) != name) return std::nullopt;
  return parsed;
}

}  // namespace daybreak::track
