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
  SegmentParser(std::string_view bytes, std::string_view file, Tail tail) : bytes_(bytes), file_(file), tail_(tail) {}

  base::Result<SegmentData> parse() {
    auto header = decode_header(bytes_);
    if (!header) return std::unexpected(std::move(header).error().wrap(file_));
    data_.header = *header;
    const std::size_t expected = header->segment_bytes();
    if (bytes_.size() != expected) {
      problem(-1, fmt::format("{} bytes long, {} expected", bytes_.size(), expected));
    }
    for (std::uint32_t index = 0; index < header->blocks; ++index) block(index);
    data_.points.reserve(point_blocks_.size() * kPointsPerBlock);
    for (const auto& [index, used, sealed] : point_blocks_) points(index, used, sealed);
    return std::move(data_);
  }

 private:
  struct PointBlock {
    std::uint32_t index, used;
    bool sealed;
  };

  void problem(std::int64_t block, std::string reason, bool torn = false) {
    data_.problems.push_back({std::string(file_), block, std::move(reason), torn});
  }
  std::string_view block_bytes(std::uint32_t index) const {
    const std::size_t at = kSegmentHeaderBytes + std::size_t{index} * kBlockBytes;
    return at + kBlockBytes <= bytes_.size() ? bytes_.substr(at, kBlockBytes) : std::string_view();
  }

  // Checks header and seal. Events are read at once, points when all names are known.
  void block(std::uint32_t index) {
    const std::string_view block = block_bytes(index);
    if (block.empty()) return problem(index, "cut off");
    const std::string_view start = block.substr(0, 16);
    const auto seal = load<std::uint64_t>(block.data() + 16);
    if (load<std::uint64_t>(block.data()) == 0 && seal == 0) {
      if (!all_zero(block)) problem(index, "bytes without a block header", tail_ == Tail::kPowerLost);
      return;
    }
    const bool points = start == encode_block_start(BlockKind::kPoints, index, data_.header.sequence);
    if (!points && start != encode_block_start(BlockKind::kEvents, index, data_.header.sequence)) {
      return problem(index, "the block header is damaged", false);
    }
    if (load<std::uint64_t>(block.data() + 24) != 0) return problem(index, "the block header is damaged");
    auto used = static_cast<std::uint32_t>(kBlockBytes - kLogBlockHeaderBytes);
    if (seal != 0) {
      used = static_cast<std::uint32_t>(seal);
      if (used > kBlockBytes - kLogBlockHeaderBytes || used % 8 != 0 ||
          block_seal(std::as_bytes(std::span(block)), used) != seal ||
          !all_zero(block.substr(kLogBlockHeaderBytes + used))) {
        return problem(index, "the checksum is wrong");
      }
    }
    if (points) {
      point_blocks_.push_back({index, used, seal != 0});
    } else {
      events(index, block.substr(kLogBlockHeaderBytes, used), seal != 0);
    }
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

  void points(std::uint32_t index, std::uint32_t used, bool sealed) {
    const std::string_view bytes = block_bytes(index).substr(kLogBlockHeaderBytes, used);
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
        data_.points.push_back(point);
      } else {
        ++unknown;
      }
    }
    if (unknown != 0) {
      problem(index, fmt::format("{} points of a metric whose name was lost", unknown), tail_ == Tail::kPowerLost);
    }
  }

  std::string_view bytes_;
  std::string_view file_;
  Tail tail_;
  SegmentData data_;
  std::vector<PointBlock> point_blocks_;
  std::map<std::uint32_t, std::string_view> names_;
  std::map<std::uint32_t, std::string> contexts_;
  std::vector<bool> known_;  // by series id
};

}  // namespace

base::Result<SegmentData> parse_segment(std::string_view bytes, std::string_view file, Tail tail) {
  return SegmentParser(bytes, file, tail).parse();
}

}  // namespace daybreak::track
