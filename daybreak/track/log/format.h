// The bytes of a run log segment (docs/formats/track-run-log.md): its header, its blocks, its records.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/track/run_id.h"

namespace daybreak::track {

static_assert(std::endian::native == std::endian::little, "the log is little-endian and is written as memory lies");

inline constexpr std::uint32_t kLogVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 4096;
inline constexpr std::size_t kBlockBytes = 64 * 1024;
inline constexpr std::size_t kLogBlockHeaderBytes = 32;
inline constexpr std::size_t kPointBytes = 32;
inline constexpr std::size_t kPointsPerBlock = (kBlockBytes - kLogBlockHeaderBytes) / kPointBytes;
inline constexpr std::size_t kEventHeaderBytes = 24;
inline constexpr std::uint32_t kFirstSegmentBlocks = 4;
inline constexpr std::uint32_t kMaxSegmentBlocks = 1024;  // 64 MiB
inline constexpr std::size_t kMaxSegmentBytes = kSegmentHeaderBytes + std::size_t{kMaxSegmentBlocks} * kBlockBytes;

inline constexpr std::size_t kMaxNameBytes = 250;         // of a metric, parameter, tag, artifact or loop
inline constexpr std::size_t kMaxFieldBytes = 32 * 1024;  // of any other string
inline constexpr std::size_t kMaxFields = 8;
inline constexpr std::uint32_t kMaxSeries = 65'536;  // of one writer; names and contexts have the same limit
inline constexpr std::size_t kMaxContextDepth = 16;
inline constexpr std::size_t kMaxContextBytes = 1024;  // of the text "epoch=3/batch=17"
inline constexpr std::size_t kMaxEventBytes = kBlockBytes - kLogBlockHeaderBytes;

// What an event says. Every value has at least two bits set, so that no single flipped bit makes "nothing" of one. The
// fields are strings; a reader passes kinds that it does not know on.
enum class EventKind : std::uint8_t {
  kName = 0x11,      // id: a metric's or loop's name
  kContext = 0x12,   // id: (parent context, loop's name, index)
  kSeries = 0x14,    // id: (name, context); points carry this id
  kGoal = 0x17,      // [metric, "min" | "max"]: which value is best; "max" when nothing is said
  kStart = 0x21,     // [run name, parent run id or ""]
  kStatus = 0x22,    // ["running" | "finished" | "failed" | "killed", reason]
  kParam = 0x24,     // [name, value as JSON]
  kTag = 0x27,       // [name, value]
  kArtifact = 0x28,  // [name, object id, size in bytes, kind, JSON]
  kChild = 0x2b,     // [run id, name]
  kDeleted = 0x2d,   // ["1" | "0"]
  kCapture = 0x41,   // [topic, JSON]: where the run came from (git, python, host, command)
  kText = 0x42,      // ["stdout" | "stderr", text]: what it printed
  kNotice = 0x44,    // [text]: what happened to the record itself, such as a torn end
};
inline constexpr std::uint8_t kPointKind = 0xa5;

// One value of one metric. 32 bytes in the log.
struct Point {
  std::uint32_t series = 0;
  std::int64_t step = 0;
  std::int64_t time_ns = 0;  // since 1970
  double value = 0;          // every bit is kept, also of NaN
};

// The first word of a point: kind, 24 check bits, series. It is stored last (release), and makes the point count. A sum
// of products with odd constants, whose windows of 24 bits are never all equal, so that each single flipped bit of a
// point is found (log_format_test.cc flips them all), and any other damage with probability 1 - 2^-24; no instruction
// that an old processor lacks.
inline std::uint64_t point_word(std::uint32_t series, std::uint64_t step, std::uint64_t time, std::uint64_t bits) {
  const std::uint64_t sum = (std::uint64_t{kPointKind} << 32 | series) * 0x9e3779b97f4a7c15u +
                            step * 0xbf58476d1ce4e5b9u + time * 0x94d049bb133111ebu + bits * 0xd6e8feb86659fd93u;
  return std::uint64_t{kPointKind} << 56 | sum >> 40 << 32 | series;
}

struct SegmentHeader {
  std::uint32_t blocks = 0;
  bool owner = false;  // of the writer that decides the run's status
  RunId run;
  std::uint64_t writer = 0;    // random
  std::uint32_t sequence = 0;  // of this writer's segments, from 0
  std::uint32_t session = 0;   // 1 for the first owner, one more for each that resumes the run
  std::int64_t created_ns = 0;
  std::array<std::uint8_t, 16> boot_id{};
  std::uint32_t pid = 0;
  std::string host;  // at most 63 bytes

  std::size_t segment_bytes() const { return kSegmentHeaderBytes + std::size_t{blocks} * kBlockBytes; }
};

// Exactly kSegmentHeaderBytes.
std::string encode_header(const SegmentHeader& header);
base::Result<SegmentHeader> decode_header(std::string_view bytes);

enum class BlockKind : std::uint16_t { kPoints = 0x4e50, kEvents = 0x4d45 };

// The first 16 bytes of a block's header. The next 8 are its seal: zero while it is written, then used bytes (low) and
// CRC-32C (high) of these 16 bytes and the used bytes behind the header. The last 8 are zero.
std::string encode_block_start(BlockKind kind, std::uint32_t index, std::uint32_t sequence);
std::uint64_t block_seal(std::span<const std::byte> block, std::uint32_t used_bytes);

// -- events
// ------------------------------------------------------------------------------------------------------------
struct Event {
  EventKind kind{};
  std::uint64_t writer = 0;
  std::uint32_t session = 0;
  std::uint64_t sequence = 0;  // of this writer's events
  std::int64_t time_ns = 0;
  std::vector<std::string> fields;

  bool operator==(const Event&) const = default;
};

// The record: header, payload, zeros up to a multiple of 8.
std::string encode_event(EventKind kind, std::uint64_t sequence, std::int64_t time_ns, std::string_view payload);
std::string encode_fields(std::span<const std::string_view> fields);
base::Result<std::vector<std::string>> decode_fields(std::string_view payload);

struct RawEvent {
  EventKind kind{};
  std::uint64_t sequence = 0;
  std::int64_t time_ns = 0;
  std::string_view payload;
  std::size_t record_bytes = 0;
};
// The record at the start of `bytes`; nothing when its length or its checksum is wrong.
std::optional<RawEvent> decode_event(std::string_view bytes);

// The store that makes a record count: whoever sees the word sees what was stored before it. `at` is a multiple of 8.
inline void store_word(char* at, std::uint64_t word) {
  std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at)).store(word, std::memory_order_release);
}

template <typename T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <typename T>
void append_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// "<16 hex digits>.<6 digits>" of a segment, without ".log" or ".col".
std::string segment_stem(std::uint64_t writer, std::uint32_t sequence);
// The writer and sequence of "<stem><suffix>"; nothing when the name is anything else.
std::optional<std::pair<std::uint64_t, std::uint32_t>> parse_segment_name(std::string_view name,
                                                                          std::string_view suffix);

}  // namespace daybreak::track
