// Reading one segment of a run log: what it holds, and what in it is damaged.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/track/log/format.h"

namespace daybreak::track {

// What names a series of points within a run. The context is text, "" or "epoch=3/batch=17".
struct SeriesKey {
  std::string name;
  std::string context;
  auto operator<=>(const SeriesKey&) const = default;
};

// Bytes that are not what was written. What lies in other blocks was read nevertheless.
struct Problem {
  std::string file;         // its name within the run's directory
  std::int64_t block = -1;  // -1: a header or the index
  std::string reason;
  bool torn = false;  // the end of a log that a loss of power cut; nothing that was synced is missing

  std::string to_string() const;
};

// How the writer of a segment ended, as far as its reader knows: what an unsealed block may look like at its end.
enum class Tail {
  kLive,       // still written
  kKilled,     // the machine went on: every record that was committed is whole
  kPowerLost,  // the machine has started anew since: pages of the last second may be missing
};

struct SegmentData {
  SegmentHeader header;
  std::map<std::uint32_t, SeriesKey> series;  // by id
  std::vector<Point> points;                  // by block, in the order of writing within one
  std::vector<Event> events;                  // without names, contexts and series
  std::vector<Problem> problems;
};

// Where a segment's bytes come from: `size_bytes` of them from `offset` on, good until the next call.
using SegmentSource = std::function<base::Result<std::string_view>(std::uint64_t offset, std::size_t size_bytes)>;
// Takes the points of one block, in the order of writing; called when all names are known.
using PointSink = std::function<void(std::uint32_t block, std::span<const Point> points)>;

// Reads block by block and keeps no point: `points` of what it gives is empty. Whatever the bytes are, it answers; an
// error when not even the header can be read, or of the source.
base::Result<SegmentData> scan_segment(std::uint64_t size_bytes, const SegmentSource& source, std::string_view file,
                                       Tail tail, const PointSink& sink);
// The whole. Memory: about the bytes once more.
base::Result<SegmentData> parse_segment(std::string_view bytes, std::string_view file, Tail tail);

}  // namespace daybreak::track
