// Reading a run: what all of its writers' files say together.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "daybreak/track/log/columns.h"
#include "daybreak/track/log/tail.h"

namespace daybreak::track {

enum class RunStatus { kRunning, kFinished, kFailed, kKilled };
std::string_view status_name(RunStatus status);

struct ArtifactRecord {
  std::string name, object, kind, meta;  // meta: JSON
  std::uint64_t size_bytes = 0;
  std::int64_t time_ns = 0;
};

// What a session of the run wrote down about where it came from (kCapture).
struct CaptureRecord {
  std::uint32_t session = 0;
  std::string topic, text;  // text: JSON
};

struct Metric {
  SeriesKey key;
  Summary summary;
  bool lower_is_better = false;
  double best() const { return lower_is_better ? summary.min : summary.max; }
};

struct RunState {
  RunId id;
  std::string name, parent;  // parent: run id or ""
  RunStatus status = RunStatus::kKilled;
  std::string reason;                     // of a failure
  std::int64_t start_ns = 0, end_ns = 0;  // end: 0 while it runs
  std::uint32_t session = 0;
  bool deleted = false;
  std::int64_t deleted_ns = 0;                                // when it was last deleted or restored
  bool open = false;                                          // somebody may still write, or a log is not yet columns
  std::map<std::string, std::string> params, tags;            // params: JSON values
  std::vector<ArtifactRecord> artifacts;                      // in the order of time
  std::vector<std::pair<std::string, std::string>> children;  // (run id, name)
  std::vector<Metric> metrics;                                // by key
  std::vector<CaptureRecord> captures;                        // in the order of sessions and time
  std::vector<std::pair<std::string, std::string>> output;    // (stream, text), in the order of time
  std::vector<std::string> notices;
  std::vector<Problem> problems;
};

// What verify() of a run looked at, and what it found: problems of state(), and pages whose bytes are damaged.
struct RunVerified {
  std::uint64_t files = 0, points = 0;
  std::vector<Problem> problems;
};

class SeriesReader;

// A snapshot; immutable, any thread. Holds summaries alone until a series is asked for; then the points of logs that
// are not columns yet (at most 48 MiB each), and of columns the index. Opening reads each log once, block by block.
class RunReader {
 public:
  // kNotFound when there is no such run, or not one whole file of it yet.
  static base::Result<RunReader> open(const std::string& root, const RunId& id);

  const RunState& state() const { return state_; }
  // Reads the series in the order of (step, time), from first_step to last_step, in bounded memory.
  SeriesReader read(const SeriesKey& key, std::int64_t first_step = INT64_MIN,
                    std::int64_t last_step = INT64_MAX) const;
  // At most `points` of it, without reading it where it is long.
  base::Result<std::vector<Sample>> preview(const SeriesKey& key, std::size_t points) const;
  // Reads every page of every series, in bounded memory. An error of the disk ends it.
  base::Result<RunVerified> verify() const;

 private:
  friend class SeriesReader;
  base::Result<bool> load_all(const std::string& root);  // false: files went away meanwhile, look again
  void fold(std::vector<Event> events, const std::vector<std::pair<std::uint64_t, bool>>& writers);

  RunState state_;
  std::vector<std::shared_ptr<ColumnFile>> columns_;
  std::vector<std::shared_ptr<const TailFile>> tails_;
};

// One pass over a series. Memory: the pages that overlap in steps. Keeps its run's files readable.
class SeriesReader {
 public:
  // Appends up to `rows` samples; false when there are no more. kDataLoss names file and page; after it, the next call
  // goes on behind the damaged page.
  base::Result<bool> next(std::size_t rows, std::vector<Sample>& out);

 private:
  friend class RunReader;
  struct Part {  // a page, or a whole log's series; loaded when its turn comes
    std::size_t order = 0;
    std::shared_ptr<ColumnFile> file;
    Page page;
    std::shared_ptr<const TailFile> tail;  // when there is no `file`
    const TailFile::Series* series = nullptr;
    std::vector<Sample> loaded;
    std::span<const Sample> samples;
    std::size_t at = 0;
    bool is_loaded = false;
    std::int64_t first_step = 0;
    base::Status load();
  };
  struct Later {
    const std::vector<Part>* parts;
    bool operator()(std::size_t a, std::size_t b) const;
  };
  static std::tuple<std::int64_t, std::int64_t, std::size_t> key(const Part& part);

  std::shared_ptr<std::vector<Part>> parts_;
  std::vector<std::size_t> heap_;
  std::int64_t first_step_ = 0, last_step_ = 0;
};

// Turns into columns the logs that dead writers left, and removes what they had begun. Any number of processes may do
// so at once. Segments that are damaged stay as they are. Returns how many became columns.
base::Result<std::size_t> recover(const std::string& root, const RunId& id, base::Env& env = base::Env::real());

// Writers of the run that live.
base::Result<std::vector<std::uint64_t>> living_writers(const std::string& root, const RunId& id);

}  // namespace daybreak::track
