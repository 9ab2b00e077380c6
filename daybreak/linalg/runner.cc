#include "daybreak/linalg/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <queue>
#include <system_error>
#include <thread>

#include "daybreak/base/mutex.h"
#include "daybreak/linalg/internal/tile_cache.h"

namespace daybreak::linalg {

namespace {

constexpr std::int64_t kAskNs = 50'000'000;  // how often the caller is asked whether to go on
// Tasks in flight beyond which nothing is admitted: what is read ahead is bounded by bytes, this bounds what is held of
// it.
constexpr std::size_t kMaxAdmitted = 4096;
constexpr std::uint64_t kAheadPart = 8;  // of the budget: what may be read before it is used

struct Transfer {
  std::uint32_t tile;
  bool write;
  bool spill;
};

class Runner {
 public:
  Runner(const Blas& blas, const Schedule& schedule, const RunOptions& options)
      : blas_(blas),
        schedule_(schedule),
        options_(options),
        cache_(schedule, tile_budget(schedule, options)),
        missing_(schedule.tasks().size()),
        admitted_(schedule.tasks().size()),
        ended_(schedule.tasks().size()),
        loads_(schedule.tasks().size()),
        checked_(schedule.tiles().size()) {}

  base::Result<RunReport> run() {
    {
      base::MutexLock lock(mutex_);
      for (std::size_t t = 0; t < missing_.size(); ++t) missing_[t] = schedule_.tasks()[t].waits;
    }
    std::vector<std::thread> threads;
    const int readers = options_.budget_bytes == 0 ? 0 : kReaders;
    try {
      for (int n = 0; n < options_.threads; ++n) threads.emplace_back([this] { work(); });
      for (int n = 0; n < readers; ++n) threads.emplace_back([this] { transfer(); });
    } catch (const std::system_error& error) {
      fail(base::Error(base::Code::kResourceExhausted, fmt::format("no more threads: {}", error.what())));
    }
    coordinate();
    for (std::thread& thread : threads) thread.join();
    base::MutexLock lock(mutex_);
    if (error_) return std::unexpected(*std::move(error_));
    report_.held_bytes =
        cache_.most_held_bytes() + schedule_.workspace_bytes() * static_cast<std::uint64_t>(options_.threads);
    return report_;
  }

 private:
  // What the workspaces leave; one byte, so that nothing fits, where they leave nothing.
  static std::uint64_t tile_budget(const Schedule& schedule, const RunOptions& options) {
    if (options.budget_bytes == 0) return 0;
    const std::uint64_t aside = schedule.workspace_bytes() * static_cast<std::uint64_t>(options.threads);
    return options.budget_bytes > aside ? options.budget_bytes - aside : 1;
  }

  // -- the calling thread: admits in order, ends the run

  void coordinate() {
    base::MutexLock lock(mutex_);
    while (!stop_) {
      while (!stop_ && failed_at_ == kNever && next_ < ended_.size() && admit(next_)) ++next_;
      if (finished()) break;
      if (stop_) break;
      if (!coordinator_.wait_for(mutex_, kAskNs) && options_.interrupted) {
        mutex_.unlock();
        const bool interrupted = options_.interrupted();
        mutex_.lock();
        if (interrupted) fail_locked(base::Error(base::Code::kCancelled, "interrupted"));
      }
    }
    stop_ = true;
    workers_.notify_all();
    transfers_ready_.notify_all();
  }

  bool finished() const DAYBREAK_REQUIRES(mutex_) {
    if (failed_at_ != kNever) return before_failure_ == 0 && in_transfer_ == 0;
    return ended_count_ == ended_.size() && in_transfer_ == 0;
  }

  // True when the task's tiles are there or on their way. Tasks are admitted in order and hold their tiles until they
  // have ended, so those admitted never wait for memory, and nothing is read while an earlier task may still change it.
  bool admit(std::uint32_t t) DAYBREAK_REQUIRES(mutex_) {
    const Task& task = schedule_.tasks()[t];
    if (options_.budget_bytes == 0) return admitted(t);
    if (in_flight_ >= kMaxAdmitted) return false;
    const auto operands = schedule_.operands(task);
    for (const Operand& o : operands) ++cache_[o.tile].pins;
    const auto let_go = [&]() DAYBREAK_REQUIRES(mutex_) {
      for (const Operand& o : operands) --cache_[o.tile].pins;
      return false;
    };
    std::uint64_t more = 0;
    for (std::size_t n = 0; n < operands.size(); ++n) {
      const std::uint32_t tile = operands[n].tile;
      if (cache_[tile].leaving) return let_go();
      if (cache_.fixed(tile) || cache_[tile].data != nullptr) continue;
      const bool twice = std::any_of(operands.begin(), operands.begin() + static_cast<std::ptrdiff_t>(n),
                                     [&](const Operand& other) { return other.tile == tile; });
      if (!twice) more += cache_.bytes(tile);
    }
    if (more != 0 && ahead_bytes_ != 0 && ahead_bytes_ + more > options_.budget_bytes / kAheadPart) return let_go();
    while (!cache_.fits(more)) {
      const std::uint32_t victim = cache_.victim(t);
      if (victim == kNever) {
        if (in_flight_ == 0 && in_transfer_ == 0) {
          fail_locked(base::Error(
              base::Code::kResourceExhausted,
              fmt::format("a budget of {} bytes has no room for one task: plan() names a tile size that fits",
                          options_.budget_bytes)));
        }
        return let_go();
      }
      if (cache_[victim].dirty) {
        CachedTile& going = cache_[victim];
        going.leaving = true;
        ++going.pins;
        send({victim, true, true});
        return let_go();
      }
      cache_.drop(victim);
    }
    if (!bring(t, operands)) return let_go();
    loads_[t] = more;
    ahead_bytes_ += more;
    ++in_flight_;
    return admitted(t);
  }

  // Memory for the absent tiles of a task; those that have a value are read.
  bool bring(std::uint32_t t, std::span<const Operand> operands) DAYBREAK_REQUIRES(mutex_) {
    for (const Operand& o : operands) {
      CachedTile& tile = cache_[o.tile];
      if (tile.data == nullptr) {
        const base::Status made = cache_.fixed(o.tile) ? cache_.fix(o.tile) : cache_.allocate(o.tile);
        if (!made) {
          fail_locked(made.error());
          return false;
        }
        const bool has_value = schedule_.tiles()[o.tile].stored || tile.in_store || tile.spilled;
        if (!cache_.fixed(o.tile) && o.mode != Mode::kWrite && has_value) {
          tile.loading = true;
          send({o.tile, false, tile.spilled});
        }
      }
      if (tile.loading && std::find(tile.waiting.begin(), tile.waiting.end(), t) == tile.waiting.end()) {
        tile.waiting.push_back(t);
        ++missing_[t];
      }
    }
    return true;
  }

  bool admitted(std::uint32_t t) DAYBREAK_REQUIRES(mutex_) {
    admitted_[t] = true;
    if (missing_[t] == 0) make_ready(t);
    return true;
  }

  void make_ready(std::uint32_t t) DAYBREAK_REQUIRES(mutex_) {
    // In memory the longest way first; under a budget in order, so that tiles are let go soon.
    const double key = options_.budget_bytes == 0 ? schedule_.tasks()[t].rank : -static_cast<double>(t);
    ready_.emplace(key, -static_cast<std::int64_t>(t));
    workers_.notify_one();
  }

  void send(Transfer transfer) DAYBREAK_REQUIRES(mutex_) {
    transfers_.push_back(transfer);
    ++in_transfer_;
    transfers_ready_.notify_one();
  }

  // -- threads that compute

  void work() {
    auto workspace = os::map_zeros(std::max(schedule_.workspace_bytes(), kAlignBytes));
    if (!workspace) return fail(std::move(workspace).error());
    base::MutexLock lock(mutex_);
    while (true) {
      while (ready_.empty() && !stop_) workers_.wait(mutex_);
      if (stop_) return;
      const auto t = static_cast<std::uint32_t>(-ready_.top().second);
      ready_.pop();
      if (t > failed_at_) continue;
      std::vector<Block> blocks;
      if (!prepare(t, blocks)) return;
      mutex_.unlock();
      int slot = 0;
      auto result = compute(t, blocks, workspace->bytes(), slot);
      mutex_.lock();
      end(t, result, slot);
    }
  }

  bool prepare(std::uint32_t t, std::vector<Block>& blocks) DAYBREAK_REQUIRES(mutex_) {
    const auto operands = schedule_.operands(schedule_.tasks()[t]);
    for (const Operand& o : operands) {
      if (cache_[o.tile].data == nullptr) {
        const base::Status made = cache_.fixed(o.tile) ? cache_.fix(o.tile) : cache_.allocate(o.tile);
        if (!made) {
          fail_locked(made.error());
          return false;
        }
      }
      blocks.push_back(schedule_.block(o, cache_[o.tile].data));
    }
    return true;
  }

  base::Result<Fault> compute(std::uint32_t t, std::span<const Block> blocks, std::span<std::byte> workspace,
                              int& slot) {
    const Task& task = schedule_.tasks()[t];
    const auto operands = schedule_.operands(task);
    for (std::size_t n = 0; n < operands.size(); ++n) {
      const Tile& tile = schedule_.tiles()[operands[n].tile];
      if (!schedule_.slots()[tile.slot].check || operands[n].mode != Mode::kRead) continue;
      if (checked_[operands[n].tile].exchange(true, std::memory_order_relaxed)) continue;
      slot = tile.slot;
      const Fault fault = find_not_finite(schedule_.scalar(), blocks[n]);
      if (fault.kind != Fault::kNone) return fault;
    }
    slot = schedule_.tiles()[operands[0].tile].slot;
    return run_kernel(blas_, task.kernel, schedule_.scalar(), task.flags, task.alpha, blocks, workspace);
  }

  void end(std::uint32_t t, const base::Result<Fault>& result, int slot) DAYBREAK_REQUIRES(mutex_) {
    if (!result) return fail_locked(result.error());
    const Task& task = schedule_.tasks()[t];
    ended_[t] = true;
    ++ended_count_;
    ++report_.tasks;
    if (t < failed_at_ && failed_at_ != kNever) --before_failure_;
    // Of two that ran side by side the earlier one counts.
    if (result->kind != Fault::kNone && t < failed_at_) {
      failed_at_ = t;
      report_.fault = *result;
      report_.fault_slot = slot;
      before_failure_ = static_cast<std::size_t>(std::count(ended_.begin(), ended_.begin() + t, false));
    }
    if (options_.budget_bytes != 0) {
      --in_flight_;
      ahead_bytes_ -= loads_[t];
    }
    const auto operands = schedule_.operands(task);
    for (const Operand& o : operands) {
      CachedTile& tile = cache_[o.tile];
      if (options_.budget_bytes != 0) --tile.pins;
      if (o.mode != Mode::kRead && result->kind == Fault::kNone) {
        ++tile.writes;
        tile.dirty = true;
      }
    }
    for (std::size_t n = 0; n < operands.size(); ++n) {
      const bool twice = std::any_of(operands.begin(), operands.begin() + static_cast<std::ptrdiff_t>(n),
                                     [&](const Operand& other) { return other.tile == operands[n].tile; });
      if (!twice) settle(operands[n].tile, t);
    }
    if (failed_at_ == kNever || t < failed_at_) {
      for (const std::uint32_t s : schedule_.successors(task)) {
        if (--missing_[s] == 0 && admitted_[s]) make_ready(s);
      }
    }
    coordinator_.notify_one();
  }

  // What becomes of a tile that a task, or its writing, has let go.
  void settle(std::uint32_t number, std::uint32_t after) DAYBREAK_REQUIRES(mutex_) {
    if (cache_.fixed(number)) return;
    CachedTile& tile = cache_[number];
    const Tile& known = schedule_.tiles()[number];
    const Slot& slot = schedule_.slots()[known.slot];
    if (tile.data == nullptr) return;
    if (slot.role == Slot::kOutput && tile.dirty && tile.writes == known.writes && !tile.leaving) {
      tile.dirty = false;
      ++tile.pins;
      send({number, true, false});
      return;
    }
    if (options_.budget_bytes == 0) {
      // The tasks of a tile end in their order, but for its readers.
      if (++tile.use == known.use_count) cache_.drop(number);
      return;
    }
    if (tile.pins == 0 && !tile.loading && cache_.next_use(number, std::max(after + 1, next_)) == kNever &&
        (!tile.dirty || slot.role == Slot::kScratch)) {
      cache_.drop(number);
    }
  }

  // -- threads that read and write

  std::string spill_path(std::uint32_t tile) const { return fmt::format("{}/{}.tile", options_.spill_folder, tile); }

  base::Status move_tile(const Transfer& transfer, std::byte* data) {
    const Tile& tile = schedule_.tiles()[transfer.tile];
    TileStore* store = schedule_.slots()[tile.slot].store.get();
    const std::span bytes(data, aligned(tile.shape.bytes()));
    if (transfer.spill) {
      return transfer.write ? write_tile(spill_path(transfer.tile), tile.shape, bytes, spill_direct_)
                            : read_tile(spill_path(transfer.tile), tile.shape, bytes, spill_direct_);
    }
    return transfer.write ? store->write(tile.i, tile.j, bytes) : store->read(tile.i, tile.j, bytes);
  }

  void transfer() {
    base::MutexLock lock(mutex_);
    while (true) {
      while (transfers_.empty() && !stop_) transfers_ready_.wait(mutex_);
      if (stop_) return;
      const Transfer job = transfers_.front();
      transfers_.pop_front();
      std::byte* data = cache_[job.tile].data;
      mutex_.unlock();
      base::Status moved = move_tile(job, data);
      mutex_.lock();
      --in_transfer_;
      if (!moved) {
        fail_locked(moved.error());
        continue;
      }
      moved_tile(job);
      coordinator_.notify_one();
    }
  }

  void moved_tile(const Transfer& job) DAYBREAK_REQUIRES(mutex_) {
    CachedTile& tile = cache_[job.tile];
    const std::uint64_t bytes = kAlignBytes + aligned(schedule_.tiles()[job.tile].shape.bytes());
    if (!job.write) {
      report_.read_bytes += bytes;
      tile.loading = false;
      for (const std::uint32_t t : tile.waiting) {
        if (--missing_[t] == 0 && admitted_[t]) make_ready(t);
      }
      tile.waiting.clear();
      return;
    }
    report_.written_bytes += bytes;
    report_.spilled_bytes += job.spill ? bytes : 0;
    --tile.pins;
    tile.dirty = false;
    tile.spilled = job.spill;
    tile.in_store = tile.in_store || !job.spill;
    if (job.spill) {
      tile.leaving = false;
      if (tile.pins == 0) cache_.drop(job.tile);
    } else {
      settle(job.tile, 0);
    }
  }

  void fail(base::Error error) DAYBREAK_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    fail_locked(std::move(error));
  }

  void fail_locked(base::Error error) DAYBREAK_REQUIRES(mutex_) {
    if (!error_) error_ = std::move(error);
    stop_ = true;
    workers_.notify_all();
    transfers_ready_.notify_all();
    coordinator_.notify_all();
  }

  const Blas& blas_;
  const Schedule& schedule_;
  const RunOptions& options_;
  const bool spill_direct_ = options_.spill_folder.empty() ? false : direct_io_works(options_.spill_folder);

  base::Mutex mutex_;
  base::CondVar coordinator_;
  base::CondVar workers_;
  base::CondVar transfers_ready_;
  TileCache cache_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> missing_ DAYBREAK_GUARDED_BY(mutex_);  // tasks and reads that a task waits for
  std::vector<bool> admitted_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<bool> ended_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<std::uint64_t> loads_ DAYBREAK_GUARDED_BY(mutex_);  // bytes that a task has had brought in
  std::vector<std::atomic<bool>> checked_;
  std::priority_queue<std::pair<double, std::int64_t>> ready_ DAYBREAK_GUARDED_BY(mutex_);
  std::deque<Transfer> transfers_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint32_t next_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // the first task that is not admitted
  std::size_t ended_count_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::size_t in_flight_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::size_t in_transfer_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint64_t ahead_bytes_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint32_t failed_at_ DAYBREAK_GUARDED_BY(mutex_) = kNever;
  std::size_t before_failure_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // tasks that have not ended and come before it
  bool stop_ DAYBREAK_GUARDED_BY(mutex_) = false;
  std::optional<base::Error> error_ DAYBREAK_GUARDED_BY(mutex_);
  RunReport report_ DAYBREAK_GUARDED_BY(mutex_);
};

}  // namespace

base::Result<RunReport> run(const Blas& blas, const Schedule& schedule, const RunOptions& options) {
  if (options.threads < 1 || options.threads > kMaxThreads) {
    return base::fail(base::Code::kInvalidArgument, "threads={}: 1 to {}", options.threads, kMaxThreads);
  }
  if (options.budget_bytes == 0) {
    for (const Slot& slot : schedule.slots()) {
      if (slot.store != nullptr && !slot.store->in_memory()) {
        return base::fail(base::Code::kInvalidArgument, "{} is in a folder: a run with it needs a budget", slot.name);
      }
    }
  }
  return Runner(blas, schedule, options).run();
}

}  // namespace daybreak::linalg
