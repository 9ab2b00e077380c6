// Reading a log that is not columns yet.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/mutex.h"
#include "daybreak/track/log/columns.h"
#include "daybreak/track/log/files.h"

namespace daybreak::track {

// A log as it was when it was opened, though its writer may go on, and though it may become columns and go. Opening
// reads it block by block and keeps a summary of each series; the points (24 bytes each, so 48 MiB at most) are kept
// from when somebody first asks for a series. Any thread.
class TailFile {
 public:
  struct Series {
    SeriesKey key;
    Summary summary;
  };

  // `lives`: its writer may be writing. `keep_open`: holds the file's descriptor until the points are read, or else
  // reads them now. kNotFound when it has gone.
  static base::Result<std::shared_ptr<TailFile>> open(const std::string& directory, const std::string& name, bool lives,
                                                      bool keep_open);

  const SegmentHeader& header() const { return header_; }
  const std::vector<Event>& events() const { return events_; }
  const std::vector<Problem>& problems() const { return problems_; }
  // Those that have points, by key.
  const std::vector<Series>& series() const { return series_; }
  const Series* find(const SeriesKey& key) const;
  // All points of one, by (step, time), equal ones in the order of blocks. Good as long as this lives.
  base::Result<std::span<const Sample>> samples(const Series& series) const DAYBREAK_EXCLUDES(mutex_);

 private:
  explicit TailFile(std::string name) : name_(std::move(name)) {}
  base::Status scan(std::uint64_t size_bytes, Tail tail) DAYBREAK_REQUIRES(mutex_);
  base::Status group() const DAYBREAK_REQUIRES(mutex_);

  const std::string name_;
  SegmentHeader header_;
  std::vector<Event> events_;
  std::vector<Problem> problems_;
  std::vector<Series> series_;
  std::vector<std::uint32_t> series_of_id_;  // places in series_; kNoSeries
  std::vector<std::size_t> first_sample_;    // of each series among the samples, and their number behind the last
  std::vector<std::uint32_t> points_of_block_;
  mutable base::Mutex mutex_;
  mutable FileHandle file_ DAYBREAK_GUARDED_BY(mutex_);
  mutable std::optional<std::vector<Sample>> samples_ DAYBREAK_GUARDED_BY(mutex_);
};

}  // namespace daybreak::track
