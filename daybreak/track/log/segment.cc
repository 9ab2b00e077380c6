#include "daybreak/track/log/segment.h"

#include <algorithm>

namespace daybreak::track {

using base::Code;
using base::fail;

std::string Problem::to_string() const {
  return block < 0 ? fmt::format("{}: {}", file, reason) : fmt::format("{}, block {}: {}", file, block, reason);
}

namespace {

bool all_zero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

class SegmentParser {
 public:
  SegmentParser(std::uint64_t size_bytes, const SegmentSource& source, std::string_view file, Tail tail,
                const PointSink& sink)
      : size_bytes_(size_bytes), source_(source), file_(file), tail_(tail), sink_(sink) {}

  base::Result<SegmentData> parse() {
    DAYBREAK_ASSIGN(const std::string_view head, source_(0, std::min<std::uint64_t>(size_bytes_, kSegmentHeaderBytes)));
    auto header = decode_header(head);
    if (!header) return std::unexpected(std::move(header).error().wrap(file_));
    data_.header = *header;
    const std::size_t expected = header->segment_bytes();
    if (size_bytes_ != expected) problem(-1, fmt::format("{} bytes long, {} expected", size_bytes_, expected));
    // Points when all names are known: a name may stand in a block behind theirs.
    for (std::uint32_t index = 0; index < header->blocks; ++index) DAYBREAK_TRY(names_and_events(index));
    for (const std::uint32_t index : point_blocks_) DAYBREAK_TRY(points(index));
    return std::move(data_);
  }

 private:
  void problem(std::int64_t block, std::string reason, bool torn = false) {
    data_.problems.push_back({std::string(file_), block, std::move(reason), torn});
  }
  static std::uint64_t place_of(std::uint32_t index) {
    return kSegmentHeaderBytes + std::uint64_t{index} * kBlockBytes;
  }

  // Of a block of points the header alone.
  base::Status names_and_events(std::uint32_t index) {
    if (place_of(index) + kBlockBytes > size_bytes_) {
      problem(index, "cut off");
      return {};
    }
    DAYBREAK_ASSIGN(const std::string_view head, source_(place_of(index), kLogBlockHeaderBytes));
    if (head.substr(0, 16) == encode_block_start(BlockKind::kPoints, index, data_.header.sequence)) {
      point_blocks_.push_back(index);
      return {};
    }
    DAYBREAK_ASSIGN(const std::string_view block, source_(place_of(index), kBlockBytes));
    if (load<std::uint64_t>(block.data()) == 0 && load<std::uint64_t>(block.data() + 16) == 0) {
      // Who was killed while he began the block has stored its index and the sequence, and not the word before them.
      const bool begun =
          block.substr(8, 8) ==
          std::string_view(encode_block_start(BlockKind::kPoints, index, data_.header.sequence)).substr(8, 8);
      if (!all_zero(block.substr(begun ? 16 : 0)))
        problem(index, "bytes without a block header", tail_ == Tail::kPowerLost);
    } else if (block.substr(0, 16) == encode_block_start(BlockKind::kPoints, index, data_.header.sequence)) {
      point_blocks_.push_back(index);  // begun meanwhile
    } else if (block.substr(0, 16) != encode_block_start(BlockKind::kEvents, index, data_.header.sequence)) {
      problem(index, "the block header is damaged");
    } else if (const auto used = used_bytes(index, block)) {
      events(index, block.substr(kLogBlockHeaderBytes, *used), is_sealed(block));
    }
    return {};
  }

  static bool is_sealed(std::string_view block) { return load<std::uint64_t>(block.data() + 16) != 0; }

  // How much of it may hold records; nothing, and a problem, when the rest of the header or the seal is wrong.
  std::optional<std::uint32_t> used_bytes(std::uint32_t index, std::string_view block) {
    constexpr auto kAll = static_cast<std::uint32_t>(kBlockBytes - kLogBlockHeaderBytes);
    const auto seal = load<std::uint64_t>(block.data() + 16);
    if (load<std::uint64_t>(block.data() + 24) != 0) {
      problem(index, "the block header is damaged");
      return std::nullopt;
    }
    if (seal == 0) return kAll;
    const auto used = static_cast<std::uint32_t>(seal);
    if (used > kAll || used % 8 != 0 || block_seal(std::as_bytes(std::span(block)), used) != seal ||
        !all_zero(block.substr(kLogBlockHeaderBytes + used))) {
      problem(index, "the checksum is wrong");
      return std::nullopt;
    }
    return used;
  }

  // The end of an open block is reached at `offset`, where there is no whole record: is it an end or damage?
  // `rest` begins behind the record that may have been in the making.
  void tail(std::uint32_t index, std::size_t offset, bool record_begun, std::string_view rest) {
    if (tail_ == Tail::kLive && !record_begun) return;
    const bool clean = !record_begun && all_zero(rest);
    if (clean) return;
    problem(index, fmt::format("no whole record at byte {}", kLogBlockHeaderBytes + offset), tail_ == Tail::kPowerLost);
  }

  void events(std::uint32_t index, std::string_view bytes, bool sealed) {
    std::size_t offset = 0;
    while (offset < bytes.size()) {
      const auto event = decode_event(bytes.substr(offset));
      if (!event) {
        if (sealed) return problem(index, fmt::format("no whole record at byte {}", kLogBlockHeaderBytes + offset));
        // The words of the record that is in the making may be there, its first word (stored last) is not.
        const bool begun = bytes.size() - offset >= 8 && load<std::uint64_t>(bytes.data() + offset) != 0;
        const std::size_t making = std::min(bytes.size(), offset + kMaxEventBytes);
        return tail(index, offset, begun, bytes.substr(making));
      }
      if (auto taken = event_record(*event); !taken) problem(index, taken.error().message());
      offset += event->record_bytes;
    }
  }

  base::Status event_record(const RawEvent& event) {
    switch (event.kind) {
      case EventKind::kName: return name(event.payload);
      case EventKind::kContext: return context(event.payload);
      case EventKind::kSeries: return series(event.payload);
      default: break;
    }
    DAYBREAK_ASSIGN(auto fields, decode_fields(event.payload));
    data_.events.push_back(
        {event.kind, data_.header.writer, data_.header.session, event.sequence, event.time_ns, std::move(fields)});
    return {};
  }

  base::Status name(std::string_view payload) {
    if (payload.size() < 5 || payload.size() > 4 + kMaxNameBytes || names_.size() >= kMaxSeries) {
      return fail(Code::kDataLoss, "a name of {} bytes, or more than {} of them", payload.size(), kMaxSeries);
    }
    names_[load<std::uint32_t>(payload.data())] = payload.substr(4);
    return {};
  }
  base::Status context(std::string_view payload) {
    if (payload.size() != 20 || contexts_.size() >= kMaxSeries) return fail(Code::kDataLoss, "a bad context");
    const auto parent = load<std::uint32_t>(payload.data() + 4);
    const auto loop = names_.find(load<std::uint32_t>(payload.data() + 8));
    const auto above = contexts_.find(parent);
    if (loop == names_.end() || (parent != 0 && above == contexts_.end())) {
      return fail(Code::kDataLoss, "a context of an unknown loop or parent");
    }
    std::string text = parent == 0 ? "" : above->second + "/";
    text += fmt::format("{}={}", loop->second, load<std::int64_t>(payload.data() + 12));
    if (text.size() > kMaxContextBytes) return fail(Code::kDataLoss, "a context of {} bytes", text.size());
    contexts_[load<std::uint32_t>(payload.data())] = std::move(text);
    return {};
  }
  base::Status series(std::string_view payload) {
    if (payload.size() != 12 || data_.series.size() >= kMaxSeries) return fail(Code::kDataLoss, "a bad series");
    const auto name = names_.find(load<std::uint32_t>(payload.data() + 4));
    const auto context_id = load<std::uint32_t>(payload.data() + 8);
    const auto context = contexts_.find(context_id);
    if (name == names_.end() || (context_id != 0 && context == contexts_.end())) {
      return fail(Code::kDataLoss, "a series of an unknown name or context");
    }
    const auto id = load<std::uint32_t>(payload.data());
    if (id > kMaxSeries) return fail(Code::kDataLoss, "series {}, the limit is {}", id, kMaxSeries);
    if (id >= known_.size()) known_.resize(id + 1);
    known_[id] = true;
    data_.series[id] = {std::string(name->second), context_id == 0 ? std::string() : context->second};
    return {};
  }

  base::Status points(std::uint32_t index) {
    DAYBREAK_ASSIGN(const std::string_view block, source_(place_of(index), kBlockBytes));
    const auto used = used_bytes(index, block);
    if (!used) return {};
    const bool sealed = is_sealed(block);
    const std::string_view bytes = block.substr(kLogBlockHeaderBytes, *used);
    found_.clear();
    std::size_t unknown = 0;
    for (std::size_t offset = 0; offset + kPointBytes <= bytes.size(); offset += kPointBytes) {
      const char* at = bytes.data() + offset;
      const auto word = load<std::uint64_t>(at);
      const Point point{static_cast<std::uint32_t>(word), load<std::int64_t>(at + 8), load<std::int64_t>(at + 16),
                        load<double>(at + 24)};
      if (word != point_word(point.series, static_cast<std::uint64_t>(point.step),
                             static_cast<std::uint64_t>(point.time_ns), load<std::uint64_t>(at + 24))) {
        if (sealed) {
          problem(index, fmt::format("no whole record at byte {}", kLogBlockHeaderBytes + offset));
        } else {
          tail(index, offset, word != 0, bytes.substr(offset + kPointBytes));
        }
        break;
      }
      if (point.series < known_.size() && known_[point.series]) {
        found_.push_back(point);
      } else {
        ++unknown;
      }
    }
    if (unknown != 0) {
      problem(index, fmt::format("{} points of a metric whose name was lost", unknown), tail_ == Tail::kPowerLost);
    }
    if (!found_.empty()) sink_(index, found_);
    return {};
  }

  const std::uint64_t size_bytes_;
  const SegmentSource& source_;
  std::string_view file_;
  Tail tail_;
  const PointSink& sink_;
  SegmentData data_;
  std::vector<std::uint32_t> point_blocks_;
  std::vector<Point> found_;  // in one block
  std::map<std::uint32_t, std::string> names_;
  std::map<std::uint32_t, std::string> contexts_;
  std::vector<bool> known_;  // by series id
};

}  // namespace

base::Result<SegmentData> scan_segment(std::uint64_t size_bytes, const SegmentSource& source, std::string_view file,
                                       Tail tail, const PointSink& sink) {
  return SegmentParser(size_bytes, source, file, tail, sink).parse();
}

base::Result<SegmentData> parse_segment(std::string_view bytes, std::string_view file, Tail tail) {
  std::vector<Point> points;
  DAYBREAK_ASSIGN(SegmentData data,
                  scan_segment(
                      bytes.size(),
                      [bytes](std::uint64_t offset, std::size_t size_bytes) -> base::Result<std::string_view> {
                        return bytes.substr(offset, size_bytes);
                      },
                      file, tail,
                      [&points](std::uint32_t, std::span<const Point> found) {
                        points.insert(points.end(), found.begin(), found.end());
                      }));
  data.points = std::move(points);
  return data;
}

}  // namespace daybreak::track
