#include "daybreak/track/log/tail.h"

#include <algorithm>
#include <map>

namespace daybreak::track {

using base::Code;
using base::fail;

namespace {

constexpr std::uint32_t kNoSeries = UINT32_MAX;
constexpr int kTailLooks = 4;  // a copy of what is being written may be of two moments

// Reads parts of the file into `buffer`, which is where they then are.
SegmentSource source_of(const FileHandle& file, std::vector<char>& buffer) {
  return [&file, &buffer](std::uint64_t offset, std::size_t size_bytes) -> base::Result<std::string_view> {
    buffer.resize(std::max(buffer.size(), size_bytes));
    DAYBREAK_TRY(file.read_into(std::span(buffer.data(), size_bytes), offset));
    return std::string_view(buffer.data(), size_bytes);
  };
}

}  // namespace

base::Result<std::shared_ptr<TailFile>> TailFile::open(const std::string& directory, const std::string& name,
                                                       bool lives, bool keep_open) {
  static const auto boot = boot_id();
  for (int look = 1;; ++look) {
    std::shared_ptr<TailFile> made(new TailFile(name));
    base::MutexLock lock(made->mutex_);
    DAYBREAK_ASSIGN(made->file_, FileHandle::open_to_read(directory + "/" + name));
    DAYBREAK_ASSIGN(const std::uint64_t size_bytes, made->file_.size());
    if (size_bytes > kMaxSegmentBytes)
      return fail(Code::kDataLoss, "{}: {} bytes, the limit is {}", name, size_bytes, kMaxSegmentBytes);
    DAYBREAK_ASSIGN(const std::string head,
                    made->file_.read(0, std::min<std::uint64_t>(size_bytes, kSegmentHeaderBytes)));
    const auto header = decode_header(head);
    if (!header) return std::unexpected(base::Error(header.error()).wrap(name));
    const Tail tail = lives ? Tail::kLive : header->boot_id == boot ? Tail::kKilled : Tail::kPowerLost;
    DAYBREAK_TRY(made->scan(size_bytes, tail));
    // Damage is what is still there when one looks again.
    if (lives && !made->problems_.empty() && look < kTailLooks) continue;
    if (!keep_open) DAYBREAK_TRY(made->group());
    return made;
  }
}

base::Status TailFile::scan(std::uint64_t size_bytes, Tail tail) {
  std::vector<char> buffer;
  std::vector<Summary> by_id;
  const auto sink = [&](std::uint32_t block, std::span<const Point> points) {
    points_of_block_.resize(std::max<std::size_t>(points_of_block_.size(), block + 1));
    points_of_block_[block] = static_cast<std::uint32_t>(points.size());
    for (const Point& point : points) {
      if (point.series >= by_id.size()) by_id.resize(point.series + 1);
      by_id[point.series].add({point.step, point.time_ns, point.value});
    }
  };
  DAYBREAK_ASSIGN(SegmentData data, scan_segment(size_bytes, source_of(file_, buffer), name_, tail, sink));
  header_ = std::move(data.header);
  events_ = std::move(data.events);
  problems_ = std::move(data.problems);
  // Two ids may have the same key only in a log that nobody of ours wrote; their points are one series all the same.
  std::map<SeriesKey, std::vector<std::uint32_t>> ids;
  for (auto& [id, key] : data.series) {
    if (id < by_id.size() && by_id[id].count > 0) ids[std::move(key)].push_back(id);
  }
  series_of_id_.assign(by_id.size(), kNoSeries);
  first_sample_ = {0};
  for (auto& [key, held] : ids) {
    Summary summary;
    for (const std::uint32_t id : held) {
      summary.merge(by_id[id]);
      series_of_id_[id] = static_cast<std::uint32_t>(series_.size());
    }
    first_sample_.push_back(first_sample_.back() + summary.count);
    series_.push_back({key, summary});
  }
  return {};
}

const TailFile::Series* TailFile::find(const SeriesKey& key) const {
  const auto found = std::ranges::lower_bound(series_, key, {}, &Series::key);
  return found == series_.end() || found->key != key ? nullptr : &*found;
}

// The points once more, each to its series: two passes over the file, whatever the number of series.
base::Status TailFile::group() const {
  std::vector<Sample> samples(first_sample_.back());
  std::vector<std::size_t> at(first_sample_.begin(), first_sample_.end() - 1);
  std::vector<char> block(kBlockBytes);
  for (std::size_t index = 0; index < points_of_block_.size(); ++index) {
    std::uint32_t left = points_of_block_[index];
    if (left == 0) continue;
    DAYBREAK_TRY(file_.read_into(block, kSegmentHeaderBytes + index * kBlockBytes));
    for (std::size_t offset = kLogBlockHeaderBytes; left > 0 && offset < kBlockBytes; offset += kPointBytes) {
      const char* const point = block.data() + offset;
      const auto word = load<std::uint64_t>(point);
      const auto id = static_cast<std::uint32_t>(word);
      const Sample sample{load<std::int64_t>(point + 8), load<std::int64_t>(point + 16), load<double>(point + 24)};
      if (word != point_word(id, static_cast<std::uint64_t>(sample.step), static_cast<std::uint64_t>(sample.time_ns),
                             load<std::uint64_t>(point + 24)))
        break;
      const std::uint32_t series = id < series_of_id_.size() ? series_of_id_[id] : kNoSeries;
      if (series == kNoSeries || at[series] == first_sample_[series + 1]) continue;
      samples[at[series]++] = sample;
      --left;
    }
    if (left != 0)
      return fail(Code::kDataLoss, "{}, block {}: its points have changed since it was opened", name_, index);
  }
  const auto earlier = [](const Sample& a, const Sample& b) {
    return std::pair(a.step, a.time_ns) < std::pair(b.step, b.time_ns);
  };
  for (std::size_t i = 0; i < series_.size(); ++i) {
    const auto mine = std::span(samples).subspan(first_sample_[i], series_[i].summary.count);
    if (!std::ranges::is_sorted(mine, earlier)) std::ranges::stable_sort(mine, earlier);
  }
  samples_ = std::move(samples);
  file_ = FileHandle();
  return {};
}

base::Result<std::span<const Sample>> TailFile::samples(const Series& series) const {
  const base::MutexLock lock(mutex_);
  if (!samples_) DAYBREAK_TRY(group());
  const auto index = static_cast<std::size_t>(&series - series_.data());
  return std::span(*samples_).subspan(first_sample_[index], series.summary.count);
}

}  // namespace daybreak::track
