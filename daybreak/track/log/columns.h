// A sealed segment: its points by metric, context and step, with what is asked most often beside them
// (docs/formats/track-columns.md).
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/track/log/preview.h"
#include "daybreak/track/log/segment.h"

namespace daybreak::track {

inline constexpr std::size_t kPageRows = 8192;
inline constexpr std::size_t kPreviewPoints = 256;

// What is known of a series without reading it. NaN counts, but is neither least nor greatest; `last` is the one of the
// greatest step, of equal steps the one of the latest time, of equal times the one written later.
struct Summary {
  std::uint64_t count = 0;
  std::uint64_t nan_count = 0;
  double min = std::numeric_limits<double>::quiet_NaN();
  double max = std::numeric_limits<double>::quiet_NaN();
  std::int64_t min_step = 0;
  std::int64_t max_step = 0;
  std::int64_t first_step = 0;
  Sample last;

  // Of the samples before and this one, in the order of writing or of steps.
  void add(const Sample& sample);
  // Of two parts of a series; `later` wins ties.
  void merge(const Summary& later);
};

struct Page {
  std::uint64_t offset = 0;
  std::uint32_t rows = 0;
  std::uint32_t crc = 0;
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;
  std::int64_t stride = 0;  // of evenly spaced steps, which are not stored; kNoStride when they are

  static constexpr std::int64_t kNoStride = std::numeric_limits<std::int64_t>::min();
  std::size_t size_bytes() const { return std::size_t{rows} * (stride == kNoStride ? 24 : 16); }
};

struct ColumnSeries {
  SeriesKey key;
  Summary summary;
  std::vector<Sample> preview;  // at most kPreviewPoints
  std::vector<Page> pages;
};

// The points of a parsed segment, grouped by series in the order of their keys and sorted by (step, time) within one;
// equal ones keep their order. Consumes data.points.
std::vector<std::pair<SeriesKey, std::vector<Sample>>> sorted_series(SegmentData& data);

// Writes <directory>/<stem>.col so that after a kill or a loss of power at any moment the log or the columns, or both
// with the same content, are there; then removes <stem>.log. Consumes data.points.
base::Status seal_segment(const std::string& directory, SegmentData& data, base::Env& env);

// Immutable; any thread. Keeps the index in memory (48 bytes for 8,192 points), reads pages when asked.
class ColumnFile {
 public:
  static base::Result<ColumnFile> open(const std::string& directory, const std::string& file);

  const SegmentHeader& header() const { return header_; }  // `blocks`, `boot_id`, `pid` and `host` are not kept
  const std::vector<ColumnSeries>& series() const { return series_; }  // by key
  const ColumnSeries* find(const SeriesKey& key) const;
  const std::vector<Event>& events() const { return events_; }
  // Events that are damaged; each page's own damage is an error of read_page().
  const std::vector<Problem>& problems() const { return problems_; }
  // Appends the rows of one page.
  base::Status read_page(const Page& page, std::vector<Sample>& out) const;

 private:
  std::string path_, file_;
  SegmentHeader header_;
  std::vector<ColumnSeries> series_;
  std::vector<Event> events_;
  std::vector<Problem> problems_;
};

// For the fuzz target and the golden bytes: the file as bytes, and the index out of bytes.
std::string encode_columns(SegmentData& data);

}  // namespace daybreak::track
