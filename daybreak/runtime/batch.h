// One function over many inputs: a call set. Its calls are no tasks of their own. Their inputs lie joined in blocks of
// this process's memory, and are cut into chunks, which are ordinary tasks, or calls of actors that serve as workers;
// so what holds for tasks (retries, deaths, cancellation, spilling, who goes first) holds for them.
//
// How many calls a chunk has is found as it goes: one at first, then about as many as take kChunkNs, fewer when the
// inputs run out. Nobody waits for it all the same that a chunk is run to its end: the runner claims its calls one by
// one (or as many together as the caller asks for) on a board in shared memory, and what is not claimed can be taken
// back. That is done when a worker has nothing to do, and when a chunk takes much longer than it should: a call that
// takes long is alone. So each call begins once, whoever runs it, and is begun again only by a retry of its task.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/chunk_board.h"
#include "daybreak/runtime/client.h"

namespace daybreak::runtime {

struct BatchOptions {
  Ref function;            // what the runner calls; held by the batch, too
  std::uint32_t unit = 1;  // calls that one worker runs together
  std::uint32_t flags = 0;
  bool ordered = true;       // results come in the order of the inputs, else as they are ready
  std::uint32_t queued = 2;  // chunks for each worker: one that runs, and one that it goes on with
  bool hurry = false;        // a task waits for them: they come before what was queued earlier
  std::uint32_t most = 0;    // calls of a chunk, in whole units; 0: kMaxChunkCalls
};

// Thread-safe: what one thread submits another may read. The Client is that of the engine that it was made for; when the
// engine ends it is forgotten (and not closed).
class Batch {
 public:
#if defined(DAYBREAK_INTERLEAVE)
  static constexpr std::uint32_t kMaxInFlight = 8;
#else
  static constexpr std::uint32_t kMaxInFlight = 512;  // chunks
#endif
  static constexpr std::uint32_t kMaxChunkCalls = 16384;  // or one unit
  static constexpr std::uint32_t kMaxChunkBytes = 48 << 10;
  static constexpr std::uint32_t kMaxUnit = 1 << 20;
  static constexpr std::uint32_t kMaxItemBytes = 4096;  // of a call's input or result among others; else an object
  static constexpr std::int64_t kChunkNs = 1'000'000;   // what a chunk should take: a thousand times its own cost
  static constexpr std::int64_t kStuckNs = 20'000'000;  // then what has not begun of it goes to others

  // kStarArguments: an input is a tuple, whose items are the arguments. kAnyException: also SystemExit is a result.
  // kInnerFrame: the function calls another, whose exceptions are shown without its own frame.
  static constexpr std::uint32_t kStarArguments = 1, kAnyException = 2, kInnerFrame = 4;

  static base::Result<std::shared_ptr<Batch>> make(Client& client, const BatchOptions& options);

  // Where chunks run: `workers` processes that take tasks of this kind; or an actor, by calls of its run_chunk().
  void add_lane(const TaskSpec& spec, std::uint32_t workers);

  // Inputs, one behind the other; of size 0: the caller encodes it when its chunk is cut, see cut().
  void add(std::string_view bytes, std::span<const std::uint16_t> sizes);
  void end_inputs();

  // Collects what is done, submits what there is room for, takes back what lies idle. True: a chunk with inputs to be
  // encoded comes next, and the caller is to cut() and submit() it. Whatever is done later rings this process's bell.
  bool pump(Client& client);
  struct Cut {
    std::uint64_t id = 0;
    std::vector<std::uint64_t> numbers;  // of the calls to be encoded
  };
  std::optional<Cut> cut();
  // `objects`: their inputs, held by the caller until it returns.
  void submit(Client& client, const Cut& cut, std::span<const Ref> objects);
  // The input of call `numbers[which]` cannot be encoded: this and all behind it are none of the batch's.
  void truncate(const Cut& cut, std::size_t which);
  // Numbers of calls whose input is not needed any more, of those that the caller encodes.
  std::vector<std::uint64_t> take_ended();

  // Results of some calls that follow each other. Of `calls`, each has a byte that is 0 or 1 (it raised) and an item in
  // `blob`; an item may stand in `objects`, by a dependency's number.
  struct Results {
    std::uint64_t first = 0;
    std::uint32_t calls = 0;
    std::string blob;
    std::vector<Ref> objects;            // held
    Ref error = kNoRef;                  // held; what all of the calls end with
    std::optional<base::Error> refusal;  // the chunk could not be submitted
    bool cancelled = false;
  };
  bool readable();
  // Next ones, in order or as they came. Null: there are none now. The caller gives back what they hold by release().
  std::unique_ptr<Results> take();
  // From now on results come as they are ready.
  void unorder();
  // There are no more inputs, and all results were taken.
  bool finished();
  static void release(Client& client, Results& results);

  struct Counts {
    // running: have begun, and their chunk is not done; failed: of those done.
    std::uint64_t queued = 0, running = 0, done = 0, failed = 0;
    std::uint64_t unread = 0;   // done, and not taken yet
    bool ended = false;         // there are no more inputs
    std::uint64_t bytes = 0;    // of inputs that wait
    std::uint64_t uncut = 0;    // of those queued, in no chunk
    std::uint64_t chunks = 0;   // in flight, also those whose calls were taken back
    std::uint64_t changes = 0;  // grows when calls or chunks are done
    bool busy() const { return queued + running + chunks > 0; }
  };
  Counts counts();
  std::vector<Ref> in_flight();
  struct LaneNow {
    std::uint32_t in_flight = 0;  // chunks
    bool lost = false;            // an actor that has died
  };
  std::vector<LaneNow> lanes();
  // The lane gets no more chunks. False: it has some.
  bool retire(std::size_t lane);
  void reopen(std::size_t lane);
  // How many calls the lanes that have none would take at once.
  std::uint64_t room();

  // What has not begun never does: its results say so. force: what runs is interrupted, and a task's worker killed.
  void cancel(Client& client, bool force);
  // One call, if it runs or waits in a chunk of its own: as cancel() does. False: it does not.
  bool cancel_one(Client& client, std::uint64_t number, bool force);
  // As cancel() without force, and what it holds is let go.
  void close(Client& client);

 private:
  struct Block {
    std::string bytes;
    std::vector<std::uint16_t> sizes;
  };
  struct Range {  // calls that follow each other, in one block
    std::shared_ptr<Block> block;
    std::uint32_t byte = 0, item = 0, calls = 0;
    std::uint64_t first = 0;
  };
  struct Chunk {
    std::uint64_t id = 0, first = 0;
    std::uint32_t calls = 0, lane = 0, slot = 0;
    bool deferred = false;
    Ref ref = kNoRef;
    std::vector<Range> ranges;
  };
  struct Lane {
    TaskSpec spec;
    std::uint32_t workers = 1, in_flight = 0;
    bool lost = false, retired = false;
    bool open() const { return !lost && !retired; }
  };

  explicit Batch(const BatchOptions& options) : options_(options), ordered_(options.ordered) {}
  ChunkProgress progress(const Chunk& chunk) { return ChunkProgress(board_at_[chunk.slot]); }
  static Range take_front(Range& range, std::uint32_t calls);
  static std::vector<Range> cut_tail(Chunk& chunk, std::uint32_t keep);
  static bool any_deferred(const Range& range, std::uint32_t calls);
  void put_back(std::vector<Range> ranges) DAYBREAK_REQUIRES(mutex_);
  bool reap(Client& client) DAYBREAK_REQUIRES(mutex_);
  void settle(Client& client, std::unique_ptr<Chunk> chunk) DAYBREAK_REQUIRES(mutex_);
  void lose(Client& client, Chunk& chunk, Results& results) DAYBREAK_REQUIRES(mutex_);
  void finish(std::unique_ptr<Results> results) DAYBREAK_REQUIRES(mutex_);
  void finish_cancelled(const std::vector<Range>& ranges) DAYBREAK_REQUIRES(mutex_);
  void note_ended(const std::vector<Range>& ranges) DAYBREAK_REQUIRES(mutex_);
  bool refill(Client& client) DAYBREAK_REQUIRES(mutex_);
  bool next_is_deferred() DAYBREAK_REQUIRES(mutex_);
  std::optional<std::uint32_t> free_lane() DAYBREAK_REQUIRES(mutex_);
  std::uint64_t fitting_units() DAYBREAK_REQUIRES(mutex_);
  std::uint32_t next_calls() DAYBREAK_REQUIRES(mutex_);
  std::unique_ptr<Chunk> cut_locked(std::uint32_t lane, std::uint32_t calls) DAYBREAK_REQUIRES(mutex_);
  void submit_locked(Client& client, std::unique_ptr<Chunk> chunk, std::span<const Ref> objects)
      DAYBREAK_REQUIRES(mutex_);
  bool rebalance() DAYBREAK_REQUIRES(mutex_);
  std::uint32_t give_back(Chunk& chunk, bool all, bool started) DAYBREAK_REQUIRES(mutex_);

  const BatchOptions options_;
  bool ordered_ DAYBREAK_GUARDED_BY(mutex_);
  Ref board_ = kNoRef;
  ChunkBoard* board_at_ = nullptr;

  base::Mutex mutex_;
  std::vector<Lane> lanes_ DAYBREAK_GUARDED_BY(mutex_);
  std::deque<Range> pending_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Chunk>> in_flight_ DAYBREAK_GUARDED_BY(mutex_);  // oldest first
  std::vector<std::unique_ptr<Chunk>> being_encoded_ DAYBREAK_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::unique_ptr<Results>> done_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::uint64_t> ended_deferred_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::uint16_t> free_slots_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint64_t added_ DAYBREAK_GUARDED_BY(mutex_) = 0, taken_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint64_t done_calls_ DAYBREAK_GUARDED_BY(mutex_) = 0, failed_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint64_t pending_calls_ DAYBREAK_GUARDED_BY(mutex_) = 0, sequence_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint64_t bytes_ DAYBREAK_GUARDED_BY(mutex_) = 0, settled_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint32_t last_units_ DAYBREAK_GUARDED_BY(mutex_) = 1;
  double call_ns_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // what one takes, by the last ones; 0: none is known
  bool ended_ DAYBREAK_GUARDED_BY(mutex_) = false, cancelled_ DAYBREAK_GUARDED_BY(mutex_) = false;
  bool closed_ DAYBREAK_GUARDED_BY(mutex_) = false;
};

}  // namespace daybreak::runtime
