// Writing to a run's log.
//
// One writer is one process's pen in one run; any number of writers may write to a run, none touches another's files.
// A writer's segments are files that are allocated whole and mapped shared. log() stores 32 bytes into that mapping:
// no lock, no system call. The store that makes a point count is its last one, so that a process that is killed at any
// instruction leaves whole points only; and what is in the mapping is the kernel's, not the process's, so they stay.
//
// Blocks of 64 KiB belong to one thread at a time. Each thread that logs has a Cursor into its block; the cursor's
// state word is free, busy (its thread is storing points) or revoked. The owner's exchange to busy and the store back
// to free are all the synchronisation of a log call. Once in 2,047 points the thread takes the mutex and claims
// another block. To move on to a new segment, to fork or to close, the mutex's holder revokes all cursors, waiting for
// the few that are busy at that moment; then nobody writes to the old segment any more and it can be sealed.
//
// The Keeper, one sleeping thread for all writers of a process, syncs every second (that bounds what a loss of power
// takes), seals full blocks, allocates the next segment before it is needed and turns full segments into columns. What
// it cannot do is logged and told to whoever logs next (trouble()), once for each cause, and tried again with pauses
// that double up to a minute; nothing is given up.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/mutex.h"
#include "daybreak/track/log/files.h"
#include "daybreak/track/log/format.h"
#include "daybreak/track/log/segment.h"
#include "daybreak/track/log/trouble.h"

namespace daybreak::track {

struct WriterOptions {
  std::string root;
  RunId run;
  bool owner = false;                   // decides the run's status: running while this writer lives
  std::uint32_t session = 1;            // of owners: one more than the last one's
  base::Env* env = &base::Env::real();  // clock and randomness, and the files of columns
  std::uint32_t first_blocks = kFirstSegmentBlocks;
  std::uint32_t max_blocks = kMaxSegmentBlocks;  // of one segment
  bool keeper = true;                            // tests turn the thread off and call tick()
  std::function<base::Status()> before_sync;     // tests: asked before each sync of the keeper, which fails with it
};

// Not initialised by itself: Python's log() has room for many on its stack and fills one.
struct Value {
  std::uint32_t series;
  double value;
};

// Where one thread writes. `at` and `end` are its thread's while busy, the revoker's after that.
struct alignas(64) Cursor {
  enum State : std::uint32_t { kFree, kBusy, kRevoked };
  std::atomic<std::uint32_t> state{kRevoked};
  char* at = nullptr;
  char* end = nullptr;
  std::uint32_t block = 0;
  std::atomic<bool> thread_ended{false};
};

// Any thread may call any function. Errors of log() are those of the disk (kResourceExhausted: nothing is lost that was
// accepted) and kFailedPrecondition after close().
class Writer : public std::enable_shared_from_this<Writer> {
 public:
  // Creates <root>/runs/<id>/ when it is not there, the mark in <root>/open/<id>/ whose lock says that we live, and the
  // first segment.
  static base::Result<std::shared_ptr<Writer>> open(WriterOptions options);
  ~Writer();

  // The id under which points of a metric are logged; the same for the same name and context. After a fork in the
  // child, too.
  base::Result<std::uint32_t> series(std::string_view name, std::uint32_t context = 0);
  // One turn of a loop within another context (0: none).
  base::Result<std::uint32_t> context(std::uint32_t parent, std::string_view loop, std::int64_t index);

  base::Status log(std::uint32_t series, std::int64_t step, double value) {
    const Value one{series, value};
    return log(std::span(&one, 1), step, now_ns());
  }
  // Values of one moment. Each by itself survives a kill; they are not one transaction.
  base::Status log(std::span<const Value> values, std::int64_t step, std::int64_t time_ns);

  // A record of strings; returns when it is in the mapping (it survives a kill then).
  base::Status event(EventKind kind, std::span<const std::string_view> fields);

  // Time of day as this writer sees it: it never goes back, whatever is done to the clock, and follows it forward.
  std::int64_t now_ns() const { return env_->monotonic_ns() + offset_ns_.load(std::memory_order_relaxed); }

  // What was logged before survives a loss of power.
  base::Status sync();
  // What the keeper could not do, as a sentence for whoever writes to the run, once for each cause; nothing when all is
  // well. One relaxed load when there is nothing.
  std::optional<base::Error> trouble() {
    return has_trouble_.load(std::memory_order_relaxed) ? take_trouble() : std::nullopt;
  }
  // Syncs, turns all segments into columns, gives the mark's lock back. Later log() calls fail. Once; waits for the
  // disk. An error leaves the segments as they are: a reader reads them, and recover() turns them into columns.
  base::Status close();

  const WriterOptions& options() const { return options_; }
  std::uint64_t id() const { return id_; }
  // What the keeper does every second.
  void tick();

 private:
  friend class Keeper;
  struct Segment {
    std::unique_ptr<os::MappedFile> file;
    SegmentHeader header;
    std::string path;
    std::uint32_t claimed = 0;              // blocks given to threads or to events
    std::vector<std::uint32_t> full;        // claimed blocks that nobody writes to any more and that are not sealed
    std::vector<std::uint32_t> used_bytes;  // by block, of those in `full`
    bool damaged = false;                   // it cannot become columns, however often that is tried
    char* block(std::uint32_t index) const {
      return file->data() + kSegmentHeaderBytes + std::size_t{index} * kBlockBytes;
    }
  };
  struct SeriesName {
    std::uint32_t name, context;
    auto operator<=>(const SeriesName&) const = default;
  };
  struct ContextName {
    std::uint32_t parent, loop;
    std::int64_t index;
    auto operator<=>(const ContextName&) const = default;
  };

  explicit Writer(WriterOptions options);
  base::Status begin() DAYBREAK_REQUIRES(mutex_);
  base::Result<std::shared_ptr<Segment>> make_segment(std::uint32_t sequence, std::uint32_t blocks) const;
  base::Status move_on() DAYBREAK_REQUIRES(mutex_);
  base::Status claim(Cursor& cursor, BlockKind kind) DAYBREAK_REQUIRES(mutex_);
  base::Status claim_or_move_on(Cursor& cursor, BlockKind kind) DAYBREAK_REQUIRES(mutex_);
  base::Status usable() DAYBREAK_REQUIRES(mutex_);
  void leave_block(Cursor& cursor) DAYBREAK_REQUIRES(mutex_);
  void revoke_all() DAYBREAK_REQUIRES(mutex_);
  base::Status put_event(EventKind kind, std::string_view payload) DAYBREAK_REQUIRES(mutex_);
  base::Status put_dictionary() DAYBREAK_REQUIRES(mutex_);
  base::Result<std::uint32_t> name(std::string_view text) DAYBREAK_REQUIRES(mutex_);
  base::Status log_slowly(std::span<const Value> values, std::int64_t step, std::int64_t time_ns);
  Cursor* my_cursor();
  Cursor* find_cursor() const;
  base::Status turn_into_columns(const Segment& segment) const;
  void follow_clock();
  void prepare_next(std::uint32_t sequence, std::uint32_t blocks, std::int64_t now_ns);
  bool sync_and_seal(const std::shared_ptr<Segment>& segment, std::span<const std::uint32_t> full,
                     std::span<const std::uint32_t> used, std::int64_t now_ns);
  void turn_retired_into_columns(std::span<const std::shared_ptr<Segment>> retired, std::int64_t now_ns);
  void failed(Trouble& work, const char* what, base::Error error, std::int64_t now_ns);
  void worked(Trouble& work, const char* what);
  std::optional<base::Error> take_trouble() DAYBREAK_EXCLUDES(mutex_);
  void before_fork() DAYBREAK_ACQUIRE(mutex_);
  void after_fork_in_parent() DAYBREAK_RELEASE(mutex_);
  void after_fork_in_child() DAYBREAK_RELEASE(mutex_);
  std::string directory() const { return options_.root + "/runs/" + options_.run.to_string(); }

  WriterOptions options_;
  base::Env* env_;
  const std::uint64_t serial_;  // of writers in this process: what a thread finds its cursor by
  std::uint64_t id_ = 0;
  std::atomic<std::int64_t> offset_ns_{0};

  base::Mutex mutex_;
  os::Fd mark_ DAYBREAK_GUARDED_BY(mutex_);
  std::shared_ptr<Segment> current_ DAYBREAK_GUARDED_BY(mutex_);
  std::shared_ptr<Segment> next_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Segment>> retired_ DAYBREAK_GUARDED_BY(mutex_);  // complete, not yet columns
  std::vector<std::shared_ptr<Cursor>> cursors_ DAYBREAK_GUARDED_BY(mutex_);
  Cursor events_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint64_t event_sequence_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint32_t next_sequence_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::uint32_t, std::less<>> names_ DAYBREAK_GUARDED_BY(mutex_);
  std::map<ContextName, std::uint32_t> contexts_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<ContextName> context_by_id_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::size_t> context_depth_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::size_t> context_bytes_ DAYBREAK_GUARDED_BY(mutex_);
  std::map<SeriesName, std::uint32_t> series_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::string> name_by_id_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<SeriesName> series_by_id_ DAYBREAK_GUARDED_BY(mutex_);
  bool closed_ DAYBREAK_GUARDED_BY(mutex_) = false;
  bool forked_ DAYBREAK_GUARDED_BY(mutex_) = false;
  std::optional<base::Error> trouble_ DAYBREAK_GUARDED_BY(mutex_);  // not yet told
  std::atomic<bool> has_trouble_{false};
  Trouble syncing_, sealing_, preparing_;  // of the thread that calls tick()
};

}  // namespace daybreak::track
