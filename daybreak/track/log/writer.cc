#include "daybreak/track/log/writer.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/log.h"
#include "daybreak/track/log/columns.h"
#include "daybreak/track/log/keeper.h"

namespace daybreak::track {

using base::Code;
using base::fail;

namespace {

constexpr int kMarkAttempts = 100;

std::atomic<std::uint64_t> next_writer_serial{1};

// The cursors of one thread, by writer. Short: one entry for each run that the thread logs to.
struct ThreadCursors {
  struct Entry {
    std::uint64_t serial;
    std::shared_ptr<Cursor> cursor;
  };
  std::vector<Entry> entries;
  std::uint64_t last_serial = 0;
  Cursor* last = nullptr;

  ~ThreadCursors() {
    for (const Entry& entry : entries) entry.cursor->thread_ended.store(true, std::memory_order_release);
  }
};
thread_local ThreadCursors thread_cursors;

}  // namespace

Writer::Writer(WriterOptions options)
    : options_(std::move(options)),
      env_(options_.env),
      serial_(next_writer_serial.fetch_add(1)),
      name_by_id_(1),
      series_by_id_(1) {
  context_by_id_.resize(1);
  context_depth_.resize(1);
  context_bytes_.resize(1);
}

base::Result<std::shared_ptr<Writer>> Writer::open(WriterOptions options) {
  DAYBREAK_CHECK(options.first_blocks >= 2 && options.first_blocks <= options.max_blocks);
  DAYBREAK_CHECK(options.max_blocks <= kMaxSegmentBlocks);
  std::shared_ptr<Writer> writer(new Writer(std::move(options)));
  DAYBREAK_TRY(base::Env::real().create_directories(writer->directory()));
  {
    base::MutexLock lock(writer->mutex_);
    DAYBREAK_TRY(writer->begin());
  }
  Keeper::of_process().add(writer.get());
  return writer;
}

Writer::~Writer() {
  (void)close();
}

// A new identity and the first segment: at open, and in a child after fork.
base::Status Writer::begin() {
  id_ = env_->random_u64();
  offset_ns_ = env_->unix_ns() - env_->monotonic_ns();
  const std::string marks = options_.root + "/open/" + options_.run.to_string();
  for (int attempt = 0; !mark_; ++attempt) {
    DAYBREAK_TRY(base::Env::real().create_directories(marks));
    auto mark = create_locked(fmt::format("{}/{:016x}", marks, id_));
    if (mark) {
      mark_ = std::move(*mark);
    } else if (mark.error().code() != Code::kNotFound || attempt == kMarkAttempts) {
      return std::unexpected(std::move(mark).error());
    }  // else the catalog removed the directory, which was empty
  }
  next_sequence_ = 0;
  auto made = make_segment(next_sequence_, options_.first_blocks);
  if (!made) {
    mark_.reset();
    return std::unexpected(std::move(made).error());
  }
  ++next_sequence_;
  current_ = *made;
  return put_dictionary();
}

base::Result<std::shared_ptr<Writer::Segment>> Writer::make_segment(std::uint32_t sequence,
                                                                    std::uint32_t blocks) const {
  static const auto boot = boot_id();
  static const std::string host = host_name();
  auto segment = std::make_shared<Segment>();
  SegmentHeader& header = segment->header;
  header.blocks = blocks;
  header.owner = options_.owner;
  header.run = options_.run;
  header.writer = id_;
  header.sequence = sequence;
  header.session = options_.session;
  header.created_ns = now_ns();
  header.boot_id = boot;
  header.pid = static_cast<std::uint32_t>(::getpid());
  header.host = host;
  segment->path = directory() + "/" + segment_stem(id_, sequence) + ".log";
  const std::string temporary = segment->path + ".tmp";
  DAYBREAK_ASSIGN(segment->file, os::MappedFile::create(temporary, header.segment_bytes()));
  DAYBREAK_FAILPOINT("segment_allocated");
  const std::string bytes = encode_header(header);
  std::memcpy(segment->file->data(), bytes.data(), bytes.size());
  DAYBREAK_FAILPOINT("segment_headed");
  // Whoever sees the name sees a whole header.
  if (auto renamed = base::Env::real().rename_file(temporary, segment->path); !renamed) {
    (void)base::Env::real().remove_file(temporary);
    return std::unexpected(std::move(renamed).error());
  }
  DAYBREAK_FAILPOINT("segment_named");
  return segment;
}

base::Status Writer::usable() {
  if (closed_) return fail(Code::kFailedPrecondition, "the run is closed in this process: resume it to log more");
  if (!forked_) return {};
  DAYBREAK_TRY(begin());
  forked_ = false;
  if (options_.keeper) Keeper::of_process().ensure_thread();
  return {};
}

// Ends the use of the cursor's block. The cursor is not busy.
void Writer::leave_block(Cursor& cursor) {
  if (cursor.at == nullptr) return;
  const char* begin = current_->block(cursor.block) + kLogBlockHeaderBytes;
  current_->full.push_back(cursor.block);
  current_->used_bytes.push_back(static_cast<std::uint32_t>(cursor.at - begin));
  cursor.at = cursor.end = nullptr;
}

base::Status Writer::claim(Cursor& cursor, BlockKind kind) {
  if (current_->claimed == current_->header.blocks) return fail(Code::kOutOfRange, "the segment is full");
  leave_block(cursor);
  cursor.block = current_->claimed++;
  char* block = current_->block(cursor.block);
  const std::string start = encode_block_start(kind, cursor.block, current_->header.sequence);
  std::memcpy(block + 8, start.data() + 8, 8);
  DAYBREAK_FAILPOINT("block_begun");
  store_word(block, load<std::uint64_t>(start.data()));
  DAYBREAK_FAILPOINT("block_claimed");
  cursor.at = block + kLogBlockHeaderBytes;
  cursor.end = block + kLogBlockHeaderBytes +
               (kind == BlockKind::kPoints ? kPointsPerBlock * kPointBytes : kBlockBytes - kLogBlockHeaderBytes);
  if (options_.keeper && current_->claimed * 2 >= current_->header.blocks && next_ == nullptr) {
    Keeper::of_process().wake();
  }
  return {};
}

base::Status Writer::claim_or_move_on(Cursor& cursor, BlockKind kind) {
  if (current_->claimed == current_->header.blocks) DAYBREAK_TRY(move_on());
  return claim(cursor, kind);
}

// Waits for the cursors that are busy: each for no longer than the stores of one log call.
void Writer::revoke_all() {
  for (const auto& cursor : cursors_) {
    std::uint32_t expected = Cursor::kFree;
    while (!cursor->state.compare_exchange_weak(expected, Cursor::kRevoked, std::memory_order_acq_rel)) {
      if (expected == Cursor::kRevoked) break;
      expected = Cursor::kFree;
      std::this_thread::yield();
    }
    leave_block(*cursor);
  }
  std::erase_if(cursors_, [](const auto& cursor) { return cursor->thread_ended.load(std::memory_order_acquire); });
}

// To the next segment, which is there already or is made now.
base::Status Writer::move_on() {
  std::shared_ptr<Segment> next = std::move(next_);
  if (next == nullptr) {
    const std::uint32_t blocks = std::min(options_.max_blocks, current_->header.blocks * 4);
    DAYBREAK_ASSIGN(next, make_segment(next_sequence_, blocks));
    ++next_sequence_;
  }
  revoke_all();
  leave_block(events_);
  retired_.push_back(std::move(current_));
  current_ = std::move(next);
  if (options_.keeper) Keeper::of_process().wake();
  return put_dictionary();
}

Cursor* Writer::find_cursor() const {
  ThreadCursors& mine = thread_cursors;
  if (mine.last_serial == serial_) return mine.last;
  for (const auto& entry : mine.entries) {
    if (entry.serial != serial_) continue;
    mine.last_serial = serial_;
    return mine.last = entry.cursor.get();
  }
  return nullptr;
}

// This thread's cursor, made when it has none.
Cursor* Writer::my_cursor() {
  if (Cursor* cursor = find_cursor()) return cursor;
  ThreadCursors& mine = thread_cursors;
  // Cursors of writers that are gone: nobody else holds them.
  std::erase_if(mine.entries, [](const auto& entry) { return entry.cursor.use_count() == 1; });
  auto cursor = std::make_shared<Cursor>();
  mine.entries.push_back({serial_, cursor});
  mine.last_serial = serial_;
  mine.last = cursor.get();
  base::MutexLock lock(mutex_);
  cursors_.push_back(cursor);
  return cursor.get();
}

base::Status Writer::log(std::span<const Value> values, std::int64_t step, std::int64_t time_ns) {
  Cursor* cursor = find_cursor();
  if (cursor == nullptr || cursor->state.exchange(Cursor::kBusy, std::memory_order_acq_rel) != Cursor::kFree) {
    if (cursor != nullptr) cursor->state.store(Cursor::kRevoked, std::memory_order_release);
    return log_slowly(values, step, time_ns);
  }
  char* at = cursor->at;
  const std::size_t room = static_cast<std::size_t>(cursor->end - at) / kPointBytes;
  const std::size_t count = std::min(values.size(), room);
  for (std::size_t i = 0; i < count; ++i, at += kPointBytes) {
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(values[i].value);
    std::memcpy(at + 8, &step, 8);
    std::memcpy(at + 16, &time_ns, 8);
    std::memcpy(at + 24, &bits, 8);
    DAYBREAK_FAILPOINT("point_stored");
    store_word(
        at, point_word(values[i].series, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(time_ns), bits));
    DAYBREAK_FAILPOINT("point_committed");
  }
  cursor->at = at;
  cursor->state.store(Cursor::kFree, std::memory_order_release);
  if (count == values.size()) return {};
  return log_slowly(values.subspan(count), step, time_ns);
}

base::Status Writer::log_slowly(std::span<const Value> values, std::int64_t step, std::int64_t time_ns) {
  Cursor* cursor = my_cursor();
  {
    base::MutexLock lock(mutex_);
    DAYBREAK_TRY(usable());
    if (current_->claimed == current_->header.blocks) DAYBREAK_TRY(move_on());
    std::uint32_t expected = Cursor::kFree;  // ours, and we are not storing: free or revoked
    cursor->state.compare_exchange_strong(expected, Cursor::kRevoked, std::memory_order_acq_rel);
    DAYBREAK_TRY(claim(*cursor, BlockKind::kPoints));
    cursor->state.store(Cursor::kFree, std::memory_order_release);
  }
  return log(values, step, time_ns);
}

base::Status Writer::sync() {
  std::vector<std::shared_ptr<Segment>> segments;
  {
    base::MutexLock lock(mutex_);
    DAYBREAK_TRY(usable());
    segments = retired_;
    segments.push_back(current_);
  }
  for (const auto& segment : segments) DAYBREAK_TRY(segment->file->sync());
  return base::Env::real().sync_directory(directory());
}

void Writer::follow_clock() {
  const std::int64_t offset = env_->unix_ns() - env_->monotonic_ns();
  if (offset > offset_ns_.load(std::memory_order_relaxed)) offset_ns_.store(offset, std::memory_order_relaxed);
}

base::Status Writer::turn_into_columns(const Segment& segment) const {
  DAYBREAK_ASSIGN(SegmentData data,
                  parse_segment({segment.file->data(), segment.file->size_bytes()}, segment.path, Tail::kKilled));
  if (!data.problems.empty()) return fail(Code::kDataLoss, "{}", data.problems.front().to_string());
  return seal_segment(directory(), data, *env_);
}

// ---- the keeper's work

void Writer::failed(Trouble& work, const char* what, base::Error error, std::int64_t now_ns) {
  if (!work.failed(error, now_ns)) return;
  base::log_warn(what, {{"run", options_.run.to_string()},
                        {"writer", id_},
                        {"error", error.to_string()},
                        {"again_in_s", work.pause_ns() / 1'000'000'000}});
  base::MutexLock lock(mutex_);
  trouble_ = std::move(error).wrap(fmt::format("run {}: {}", options_.run.to_string(), what));
  has_trouble_ = true;
}

void Writer::worked(Trouble& work, const char* what) {
  if (work.worked()) base::log_warn(what, {{"run", options_.run.to_string()}, {"writer", id_}});
}

std::optional<base::Error> Writer::take_trouble() {
  base::MutexLock lock(mutex_);
  has_trouble_ = false;
  return std::exchange(trouble_, std::nullopt);
}

void Writer::tick() {
  follow_clock();
  const std::int64_t now_ns = env_->monotonic_ns();
  std::shared_ptr<Segment> current;
  std::vector<std::shared_ptr<Segment>> retired;
  std::vector<std::uint32_t> full, used;
  std::uint32_t next_blocks = 0, sequence = 0;
  {
    base::MutexLock lock(mutex_);
    if (closed_ || forked_) return;
    current = current_;
    retired = retired_;
    full.swap(current->full);
    used.swap(current->used_bytes);
    if (current->claimed * 2 >= current->header.blocks && next_ == nullptr && preparing_.is_due(now_ns)) {
      next_blocks = std::min(options_.max_blocks, current->header.blocks * 4);
      sequence = next_sequence_++;
    }
  }
  if (next_blocks != 0) prepare_next(sequence, next_blocks, now_ns);
  if (!syncing_.is_due(now_ns) || !sync_and_seal(current, full, used, now_ns)) {
    base::MutexLock lock(mutex_);  // still full, and not sealed
    current->full.insert(current->full.end(), full.begin(), full.end());
    current->used_bytes.insert(current->used_bytes.end(), used.begin(), used.end());
  }
  if (sealing_.is_due(now_ns)) turn_retired_into_columns(retired, now_ns);
}

void Writer::prepare_next(std::uint32_t sequence, std::uint32_t blocks, std::int64_t now_ns) {
  auto made = make_segment(sequence, blocks);
  if (!made) {
    return failed(preparing_, "the next segment of the log cannot be allocated: when this one is full, log() will fail",
                  std::move(made).error(), now_ns);
  }
  worked(preparing_, "the next segment of the log is allocated");
  base::MutexLock lock(mutex_);
  if (next_ == nullptr && !closed_) {
    next_ = *made;
  } else {
    (void)base::Env::real().remove_file((*made)->path);
  }
}

// First the points, then the seals over them: after a loss of power no seal is there without what it covers.
bool Writer::sync_and_seal(const std::shared_ptr<Segment>& segment, std::span<const std::uint32_t> full,
                           std::span<const std::uint32_t> used, std::int64_t now_ns) {
  base::Status synced;
  if (options_.before_sync) synced = options_.before_sync();
  if (synced) synced = segment->file->sync();
  if (!synced) {
    failed(syncing_, "what is logged cannot be synced: it survives a kill, and perhaps no loss of power",
           std::move(synced).error(), now_ns);
    return false;
  }
  worked(syncing_, "what is logged is synced again");
  for (std::size_t i = 0; i < full.size(); ++i) {
    char* block = segment->block(full[i]);
    store_word(block + 16, block_seal(std::as_bytes(std::span(block, kBlockBytes)), used[i]));
  }
  return true;
}

// One that cannot become columns stays a log, which readers read; close() and recover() try again, too.
void Writer::turn_retired_into_columns(std::span<const std::shared_ptr<Segment>> retired, std::int64_t now_ns) {
  for (const auto& segment : retired) {
    if (segment->damaged) continue;
    if (auto done = turn_into_columns(*segment); !done) {
      // The bytes will not be others the next time.
      segment->damaged = done.error().code() == Code::kDataLoss;
      failed(sealing_, "a full segment cannot be turned into columns and stays a log", std::move(done).error(), now_ns);
      if (segment->damaged) continue;
      return;  // the others would meet the same
    }
    worked(sealing_, "full segments are turned into columns again");
    base::MutexLock lock(mutex_);
    std::erase(retired_, segment);
  }
}

base::Status Writer::close() {
  Keeper::of_process().remove(this);
  std::vector<std::shared_ptr<Segment>> segments;
  os::Fd mark;
  {
    base::MutexLock lock(mutex_);
    if (closed_) return {};
    closed_ = true;
    if (forked_) return {};  // nothing was written in this process
    revoke_all();
    cursors_.clear();
    leave_block(events_);
    segments.swap(retired_);
    segments.push_back(std::move(current_));
    if (next_ != nullptr) (void)base::Env::real().remove_file(next_->path);
    next_ = nullptr;
    mark = std::move(mark_);
  }
  base::Status result;
  for (const auto& segment : segments) {
    auto sealed = turn_into_columns(*segment);  // which are synced; the log is then not needed
    if (sealed) continue;
    if (result) result = std::move(sealed);
    (void)segment->file->sync();
  }
  return result;
}

void Writer::before_fork() {
  mutex_.lock();
}
void Writer::after_fork_in_parent() {
  mutex_.unlock();
}
// The parent's segments are the parent's: the child begins its own when it logs. Its threads' cursors are void, also
// those that were busy in threads that are not here.
void Writer::after_fork_in_child() {
  for (const auto& cursor : cursors_) {
    cursor->state.store(Cursor::kRevoked);
    cursor->at = cursor->end = nullptr;
  }
  events_.at = events_.end = nullptr;
  for (const auto& segment : retired_) segment->file->close_in_child();
  if (current_ != nullptr) current_->file->close_in_child();
  if (next_ != nullptr) next_->file->close_in_child();
  retired_.clear();
  mark_.reset();
  syncing_ = sealing_ = preparing_ = Trouble();
  trouble_.reset();
  has_trouble_ = false;
  next_ = nullptr;
  current_ = nullptr;
  forked_ = true;
  options_.owner = false;
  mutex_.unlock();
}

}  // namespace daybreak::track
