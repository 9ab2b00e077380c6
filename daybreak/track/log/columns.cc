#include "daybreak/track/log/columns.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "daybreak/base/bytes.h"
#include "daybreak/base/crc32c.h"
#include "daybreak/base/failpoint.h"
#include "daybreak/track/log/files.h"

namespace daybreak::track {

using base::Code;
using base::fail;

namespace {

constexpr std::string_view kColumnMagic = "DBTRKCOL";
constexpr std::string_view kColumnEnd = "DBTRKEND";
constexpr std::uint32_t kColumnVersion = 1;
constexpr std::size_t kColumnHeaderBytes = 64, kTrailerBytes = 48, kPageEntryBytes = 48;
constexpr std::size_t kMaxIndexBytes = std::size_t{1} << 30;
constexpr std::size_t kWriteBytes = std::size_t{1} << 20;

std::string encode_column_header(const SegmentHeader& header) {
  std::string out(kColumnMagic);
  append_raw(out, kColumnVersion);
  append_raw(out, static_cast<std::uint32_t>(header.owner ? 1 : 0));
  out.append(reinterpret_cast<const char*>(header.run.bytes.data()), 16);
  append_raw(out, header.writer);
  append_raw(out, header.sequence);
  append_raw(out, header.session);
  append_raw(out, header.created_ns);
  append_raw(out, std::uint32_t{0});
  append_raw(out, base::crc32c(out));
  return out;
}

base::Result<SegmentHeader> decode_column_header(std::string_view bytes) {
  if (bytes.size() < kColumnHeaderBytes || bytes.substr(0, 8) != kColumnMagic) {
    return fail(Code::kDataLoss, "not a column file (magic)");
  }
  const char* at = bytes.data();
  if (base::crc32c(bytes.substr(0, kColumnHeaderBytes - 4)) != load<std::uint32_t>(at + kColumnHeaderBytes - 4)) {
    return fail(Code::kDataLoss, "the checksum of the header is wrong");
  }
  if (const auto version = load<std::uint32_t>(at + 8); version != kColumnVersion) {
    return fail(Code::kUnimplemented, "column file version {}: this program reads version {}", version, kColumnVersion);
  }
  SegmentHeader header;
  header.owner = (load<std::uint32_t>(at + 12) & 1) != 0;
  std::memcpy(header.run.bytes.data(), at + 16, 16);
  header.writer = load<std::uint64_t>(at + 32);
  header.sequence = load<std::uint32_t>(at + 40);
  header.session = load<std::uint32_t>(at + 44);
  header.created_ns = load<std::int64_t>(at + 48);
  return header;
}

void append_sample(std::string& out, const Sample& sample) {
  append_raw(out, sample.step);
  append_raw(out, sample.time_ns);
  append_raw(out, sample.value);
}

// Lays out the file piece by piece; `sink` takes bytes in order.
template <typename Sink>
base::Status lay_out_columns(SegmentData& data, Sink sink) {
  std::uint64_t offset = 0;
  std::string buffer = encode_column_header(data.header);
  const auto flush = [&](std::size_t at_least) -> base::Status {
    if (buffer.size() < at_least) return {};
    offset += buffer.size();
    DAYBREAK_TRY(sink(buffer));
    buffer.clear();
    return {};
  };
  std::string index;
  const auto all = sorted_series(data);
  append_raw(index, static_cast<std::uint32_t>(all.size()));
  for (const auto& [key, samples] : all) {
    Summary summary;
    for (const Sample& sample : samples) summary.add(sample);
    for (const std::string* text : {&key.name, &key.context}) {
      append_raw(index, static_cast<std::uint32_t>(text->size()));
      index += *text;
    }
    append_raw(index, summary.count);
    append_raw(index, summary.nan_count);
    append_raw(index, summary.min);
    append_raw(index, summary.max);
    append_raw(index, summary.min_step);
    append_raw(index, summary.max_step);
    append_raw(index, summary.first_step);
    append_sample(index, summary.last);
    const auto preview = downsample(samples, kPreviewPoints);
    append_raw(index, static_cast<std::uint32_t>(preview.size()));
    for (const Sample& sample : preview) append_sample(index, sample);
    append_raw(index, static_cast<std::uint32_t>((samples.size() + kPageRows - 1) / kPageRows));
    for (std::size_t begin = 0; begin < samples.size(); begin += kPageRows) {
      const auto page = std::span(samples).subspan(begin, std::min(kPageRows, samples.size() - begin));
      std::int64_t stride = page.size() == 1 ? 0
                                             : static_cast<std::int64_t>(static_cast<std::uint64_t>(page[1].step) -
                                                                         static_cast<std::uint64_t>(page[0].step));
      for (std::size_t i = 2; i < page.size(); ++i) {
        if (static_cast<std::uint64_t>(page[i].step) - static_cast<std::uint64_t>(page[i - 1].step) !=
            static_cast<std::uint64_t>(stride)) {
          stride = Page::kNoStride;
          break;
        }
      }
      std::string bytes;
      bytes.reserve(page.size() * 24);
      if (stride == Page::kNoStride) {
        for (const Sample& sample : page) append_raw(bytes, sample.step);
      }
      for (const Sample& sample : page) append_raw(bytes, sample.time_ns);
      for (const Sample& sample : page) append_raw(bytes, sample.value);
      append_raw(index, offset + buffer.size());
      append_raw(index, static_cast<std::uint32_t>(page.size()));
      append_raw(index, base::crc32c(bytes));
      append_raw(index, page.front().step);
      append_raw(index, page.back().step);
      append_raw(index, stride);
      append_raw(index, std::uint64_t{0});
      buffer += bytes;
      DAYBREAK_TRY(flush(kWriteBytes));
    }
  }
  const std::uint64_t events_offset = offset + buffer.size();
  for (const Event& event : data.events) {
    std::vector<std::string_view> fields(event.fields.begin(), event.fields.end());
    buffer += encode_event(event.kind, event.sequence, event.time_ns, encode_fields(fields));
  }
  const std::uint64_t index_offset = offset + buffer.size();
  std::string trailer;
  append_raw(trailer, events_offset);
  append_raw(trailer, index_offset - events_offset);
  append_raw(trailer, index_offset);
  append_raw(trailer, static_cast<std::uint64_t>(index.size()));
  append_raw(trailer, base::crc32c(index));
  append_raw(trailer, base::crc32c(trailer));
  buffer += index;
  buffer += trailer;
  buffer += kColumnEnd;
  return flush(0);
}

Sample take_sample(base::ByteReader& in) {
  const auto step = in.fixed<std::int64_t>();
  const auto time = in.fixed<std::int64_t>();
  return {step, time, in.fixed<double>()};
}

base::Result<ColumnSeries> take_series(base::ByteReader& in, std::uint64_t pages_end) {
  ColumnSeries series;
  series.key.name = in.fixed_text<std::uint32_t>(kMaxNameBytes, "the length of a name");
  series.key.context = in.fixed_text<std::uint32_t>(kMaxContextBytes, "the length of a context");
  Summary& summary = series.summary;
  summary.count = in.fixed<std::uint64_t>();
  summary.nan_count = in.fixed<std::uint64_t>();
  summary.min = in.fixed<double>();
  summary.max = in.fixed<double>();
  summary.min_step = in.fixed<std::int64_t>();
  summary.max_step = in.fixed<std::int64_t>();
  summary.first_step = in.fixed<std::int64_t>();
  summary.last = take_sample(in);
  const auto preview = in.fixed<std::uint32_t>();
  if (preview > kPreviewPoints) return fail(Code::kDataLoss, "a preview of {} points", preview);
  for (std::uint32_t i = 0; i < preview; ++i) series.preview.push_back(take_sample(in));
  const auto pages = in.fixed<std::uint32_t>();
  if (std::size_t{pages} * kPageEntryBytes > in.left()) return fail(Code::kDataLoss, "{} pages", pages);
  std::uint64_t rows = 0;
  for (std::uint32_t i = 0; i < pages; ++i) {
    Page page;
    page.offset = in.fixed<std::uint64_t>();
    page.rows = in.fixed<std::uint32_t>();
    page.crc = in.fixed<std::uint32_t>();
    page.first_step = in.fixed<std::int64_t>();
    page.last_step = in.fixed<std::int64_t>();
    page.stride = in.fixed<std::int64_t>();
    if (in.fixed<std::uint64_t>() != 0 || page.rows == 0 || page.rows > kPageRows || page.offset < kColumnHeaderBytes ||
        page.offset > pages_end || page.size_bytes() > pages_end - page.offset) {
      return fail(Code::kDataLoss, "page {} of '{}' lies outside of the file", i, series.key.name);
    }
    rows += page.rows;
    series.pages.push_back(page);
  }
  if (!in.ok() || rows != summary.count || rows == 0) {
    return fail(Code::kDataLoss, "the pages of '{}' do not hold its {} points", series.key.name, summary.count);
  }
  return series;
}

}  // namespace

void Summary::add(const Sample& sample) {
  if (count == 0) first_step = sample.step;
  first_step = std::min(first_step, sample.step);
  if (count == 0 || std::pair(sample.step, sample.time_ns) >= std::pair(last.step, last.time_ns)) last = sample;
  ++count;
  if (std::isnan(sample.value)) {
    ++nan_count;
    return;
  }
  // Of equal values the one of the least step, in whatever order they come.
  if (!(min <= sample.value) || (min == sample.value && sample.step < min_step))
    min = sample.value, min_step = sample.step;
  if (!(max >= sample.value) || (max == sample.value && sample.step < max_step))
    max = sample.value, max_step = sample.step;
}

void Summary::merge(const Summary& later) {
  if (later.count == 0) return;
  if (count == 0) {
    *this = later;
    return;
  }
  first_step = std::min(first_step, later.first_step);
  if (std::pair(later.last.step, later.last.time_ns) >= std::pair(last.step, last.time_ns)) last = later.last;
  count += later.count;
  nan_count += later.nan_count;
  if (!(min <= later.min) && !std::isnan(later.min)) min = later.min, min_step = later.min_step;
  if (!(max >= later.max) && !std::isnan(later.max)) max = later.max, max_step = later.max_step;
}

std::vector<std::pair<SeriesKey, std::vector<Sample>>> sorted_series(SegmentData& data) {
  // Two ids may have the same key only in a log that nobody of ours wrote; their points are one series all the same.
  std::map<SeriesKey, std::vector<Sample>> by_key;
  std::vector<std::vector<Sample>*> by_id(data.series.empty() ? 0 : data.series.rbegin()->first + 1);
  for (const auto& [id, key] : data.series) by_id[id] = &by_key[key];
  std::vector<std::size_t> counts(by_id.size());
  for (const Point& point : data.points) ++counts[point.series];
  for (const auto& [id, key] : data.series) by_id[id]->reserve(by_id[id]->capacity() + counts[id]);
  for (const Point& point : data.points) by_id[point.series]->push_back({point.step, point.time_ns, point.value});
  data.points = {};
  std::vector<std::pair<SeriesKey, std::vector<Sample>>> sorted;
  const auto earlier = [](const Sample& a, const Sample& b) {
    return std::pair(a.step, a.time_ns) < std::pair(b.step, b.time_ns);
  };
  for (auto& [key, samples] : by_key) {
    if (samples.empty()) continue;
    if (!std::is_sorted(samples.begin(), samples.end(), earlier)) {
      std::stable_sort(samples.begin(), samples.end(), earlier);
    }
    sorted.emplace_back(key, std::move(samples));
  }
  return sorted;
}

std::string encode_columns(SegmentData& data) {
  std::string bytes;
  DAYBREAK_CHECK(lay_out_columns(data, [&](const std::string& part) -> base::Status {
    bytes += part;
    return {};
  }));
  return bytes;
}

base::Status seal_segment(const std::string& directory, SegmentData& data, base::Env& env) {
  const std::string stem = directory + "/" + segment_stem(data.header.writer, data.header.sequence);
  const std::string temporary = stem + ".col.tmp";
  (void)env.remove_file(temporary);  // of one who died here
  DAYBREAK_ASSIGN(auto file, env.create_file(temporary));
  const auto write = [&]() -> base::Status {
    DAYBREAK_TRY(lay_out_columns(data, [&](const std::string& part) { return file->append(part); }));
    DAYBREAK_FAILPOINT("seal_written");
    DAYBREAK_TRY(file->sync());
    DAYBREAK_FAILPOINT("seal_synced");
    return file->close();
  };
  if (auto written = write(); !written) {
    (void)env.remove_file(temporary);
    return std::unexpected(std::move(written).error());
  }
  DAYBREAK_TRY(env.rename_file(temporary, stem + ".col"));
  DAYBREAK_FAILPOINT("seal_renamed");
  DAYBREAK_TRY(env.sync_directory(directory));
  DAYBREAK_FAILPOINT("seal_directory_synced");
  DAYBREAK_TRY(env.remove_file(stem + ".log"));
  DAYBREAK_FAILPOINT("seal_log_removed");
  return {};
}

base::Result<ColumnFile> ColumnFile::open(const std::string& directory, const std::string& file) {
  const auto read = [&]() -> base::Result<ColumnFile> {
    ColumnFile self;
    self.path_ = directory + "/" + file;
    self.file_ = file;
    DAYBREAK_ASSIGN(const FileHandle handle, FileHandle::open_to_read(self.path_));
    DAYBREAK_ASSIGN(const std::uint64_t size, handle.size());
    if (size < kColumnHeaderBytes + kTrailerBytes) return fail(Code::kDataLoss, "{} bytes: cut off", size);
    DAYBREAK_ASSIGN(const std::string head, handle.read(0, kColumnHeaderBytes));
    DAYBREAK_ASSIGN(self.header_, decode_column_header(head));
    DAYBREAK_ASSIGN(const std::string trailer, handle.read(size - kTrailerBytes, kTrailerBytes));
    const std::string_view end = trailer;
    if (end.substr(40) != kColumnEnd || base::crc32c(end.substr(0, 36)) != load<std::uint32_t>(end.data() + 36)) {
      return fail(Code::kDataLoss, "the trailer is damaged or cut off");
    }
    const auto events_at = load<std::uint64_t>(end.data()), events_bytes = load<std::uint64_t>(end.data() + 8);
    const auto index_at = load<std::uint64_t>(end.data() + 16), index_bytes = load<std::uint64_t>(end.data() + 24);
    if (events_at < kColumnHeaderBytes || events_at > size || events_bytes > size - events_at ||
        index_at != events_at + events_bytes || index_bytes != size - kTrailerBytes - index_at ||
        index_at > size - kTrailerBytes || index_bytes > kMaxIndexBytes || events_bytes > kMaxSegmentBytes) {
      return fail(Code::kDataLoss, "the trailer points outside of the file");
    }
    DAYBREAK_ASSIGN(const std::string index, handle.read(index_at, index_bytes));
    if (base::crc32c(index) != load<std::uint32_t>(end.data() + 32)) {
      return fail(Code::kDataLoss, "the checksum of the index is wrong");
    }
    base::ByteReader in(index, "the index");
    const auto count = in.fixed<std::uint32_t>();
    for (std::uint32_t i = 0; i < count; ++i) {
      DAYBREAK_ASSIGN(auto series, take_series(in, events_at));
      self.series_.push_back(std::move(series));
    }
    if (!in.finish()) return fail(Code::kDataLoss, "the index does not end where it should");
    DAYBREAK_ASSIGN(const std::string events, handle.read(events_at, events_bytes));
    for (std::size_t at = 0; at < events.size();) {
      const auto event = decode_event(std::string_view(events).substr(at));
      auto fields = event ? decode_fields(event->payload) : fail(Code::kDataLoss, "no whole record");
      if (!event || !fields) {
        self.problems_.push_back({file, -1, fmt::format("the event at byte {} is damaged", events_at + at), false});
        break;
      }
      self.events_.push_back({event->kind, self.header_.writer, self.header_.session, event->sequence, event->time_ns,
                              std::move(*fields)});
      at += event->record_bytes;
    }
    return self;
  };
  auto opened = read();
  if (!opened) return std::unexpected(std::move(opened).error().wrap(file));
  return opened;
}

const ColumnSeries* ColumnFile::find(const SeriesKey& key) const {
  const auto found =
      std::lower_bound(series_.begin(), series_.end(), key,
                       [](const ColumnSeries& series, const SeriesKey& wanted) { return series.key < wanted; });
  return found == series_.end() || found->key != key ? nullptr : &*found;
}

base::Status ColumnFile::read_page(const Page& page, std::vector<Sample>& out) const {
  DAYBREAK_ASSIGN(const FileHandle handle, FileHandle::open_to_read(path_));
  DAYBREAK_ASSIGN(const std::string bytes, handle.read(page.offset, page.size_bytes()));
  if (base::crc32c(bytes) != page.crc) {
    return fail(Code::kDataLoss, "{}, page at byte {}: the checksum is wrong", file_, page.offset);
  }
  const char* at = bytes.data();
  const bool stored = page.stride == Page::kNoStride;
  const char* times = at + (stored ? std::size_t{page.rows} * 8 : 0);
  const char* values = times + std::size_t{page.rows} * 8;
  for (std::uint32_t i = 0; i < page.rows; ++i) {
    const std::int64_t step = stored ? load<std::int64_t>(at + std::size_t{i} * 8)
                                     : static_cast<std::int64_t>(static_cast<std::uint64_t>(page.first_step) +
                                                                 static_cast<std::uint64_t>(page.stride) * i);
    out.push_back({step, load<std::int64_t>(times + std::size_t{i} * 8), load<double>(values + std::size_t{i} * 8)});
  }
  return {};
}

}  // namespace daybreak::track
