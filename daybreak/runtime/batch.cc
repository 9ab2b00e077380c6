#include "daybreak/runtime/batch.h"

#include <algorithm>
#include <utility>

#include "daybreak/runtime/update.h"
#include "daybreak/runtime/value_format.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kBlockBytes = 64 << 10;
constexpr std::uint64_t kGrowth = 4;                                  // from a chunk to the next, at most
constexpr const char* kRunner = "run_chunk";                          // an actor's method
constexpr std::int64_t kOfFunction = 0, kOfBoard = 1, kOfInputs = 2;  // places among a chunk's references

// What the runner made of a chunk: bytes, or references of which the first is to the bytes.
struct ChunkValue {
  std::span<const std::byte> blob;
  std::span<const Ref> refs;
  bool whole = false;

  bool none() { return false; }
  bool boolean(bool) { return false; }
  bool integer(std::int64_t) { return false; }
  bool real(double) { return false; }
  bool text(std::string_view) { return false; }
  bool bytes(std::span<const std::byte> found) { return blob = found, whole = true; }
  bool container(Tag, std::uint32_t) { return false; }
  bool references(Tag, std::span<const Ref> found) { return refs = found, whole = true; }
  bool tensor(char, std::span<const std::int64_t>, std::span<const std::byte>) { return false; }
  bool pickle(std::span<const std::byte>, std::span<const std::span<const std::byte>>, std::span<const Ref>) {
    return false;
  }
  bool damaged() { return false; }
};

ChunkValue chunk_value(Process& p, Ref ref) {
  ChunkValue value;
  ValueReader(p.value(ref.index), p.value_refs(ref.index)).item(value);
  return value;
}

// The process of the chunk has died, or was ended: what had not begun of it can be run elsewhere.
bool is_death(ErrorKind kind) {
  return kind == ErrorKind::kWorkerCrashed || kind == ErrorKind::kActorDied || kind == ErrorKind::kOutOfMemory;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

base::Result<std::shared_ptr<Batch>> Batch::make(Client& client, const BatchOptions& options) {
  static const std::vector<std::byte> empty(kMaxInFlight * sizeof(ChunkBoard));
  Payload payload;
  payload.pieces.push_back({empty.data(), empty.size(), alignof(ChunkBoard)});
  payload.codec = kCodecItem;
  Process& p = client.process();
  DAYBREAK_ASSIGN(const Ref board, client.put(payload));
  std::shared_ptr<Batch> batch(new Batch(options));
  batch->board_ = board;
  // Small enough never to be moved; its words are the chunks' alone.
  batch->board_at_ = reinterpret_cast<ChunkBoard*>(const_cast<std::byte*>(p.value(board.index).data()));
  p.hold(options.function);
  base::MutexLock lock(batch->mutex_);
  for (std::uint32_t slot = kMaxInFlight; slot-- > 0;) batch->free_slots_.push_back(static_cast<std::uint16_t>(slot));
  return batch;
}

void Batch::add_lane(const TaskSpec& spec, std::uint32_t workers) {
  base::MutexLock lock(mutex_);
  lanes_.push_back({.spec = spec, .workers = std::max(workers, 1u)});
  lanes_.back().spec.options |= kNeverAgain;
}

void Batch::add(std::string_view bytes, std::span<const std::uint16_t> sizes) {
  base::MutexLock lock(mutex_);
  for (const std::uint16_t size : sizes) {
    std::shared_ptr<Block> block = pending_.empty() ? nullptr : pending_.back().block;
    const bool fits = block && pending_.back().item + pending_.back().calls == block->sizes.size() &&
                      pending_.back().first + pending_.back().calls == added_ &&
                      block->bytes.size() + size <= kBlockBytes && block->sizes.size() < kBlockBytes;
    if (!fits) {
      block = std::make_shared<Block>();
      pending_.push_back({.block = block, .first = added_});
    }
    block->bytes.append(bytes.substr(0, size));
    block->sizes.push_back(size);
    bytes.remove_prefix(size);
    bytes_ += size;
    ++pending_.back().calls;
    ++pending_calls_;
    ++added_;
  }
}

void Batch::end_inputs() {
  base::MutexLock lock(mutex_);
  ended_ = true;
}

// The first calls of a range, which begins behind them then.
Batch::Range Batch::take_front(Range& range, std::uint32_t calls) {
  Range front = range;
  front.calls = calls;
  for (std::uint32_t i = 0; i < calls; ++i) range.byte += range.block->sizes[range.item + i];
  range.item += calls;
  range.first += calls;
  range.calls -= calls;
  return front;
}

bool Batch::any_deferred(const Range& range, std::uint32_t calls) {
  const std::uint16_t* sizes = range.block->sizes.data() + range.item;
  return std::find(sizes, sizes + calls, 0) != sizes + calls;
}

// What lies behind the first `keep` calls of a chunk, which has no others then.
std::vector<Batch::Range> Batch::cut_tail(Chunk& chunk, std::uint32_t keep) {
  std::vector<Range> kept, tail;
  std::uint32_t left = keep;
  for (Range& range : chunk.ranges) {
    const std::uint32_t here = std::min(left, range.calls);
    if (here > 0) kept.push_back(take_front(range, here));
    if (range.calls > 0) tail.push_back(std::move(range));
    left -= here;
  }
  chunk.ranges = std::move(kept);
  chunk.calls = keep;
  return tail;
}

// To the front: they are older than what waits.
void Batch::put_back(std::vector<Range> ranges) {
  if (cancelled_) return finish_cancelled(ranges);
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    pending_calls_ += range->calls;
    pending_.push_front(std::move(*range));
  }
}

void Batch::finish_cancelled(const std::vector<Range>& ranges) {
  note_ended(ranges);
  for (const Range& range : ranges) {
    auto results = std::make_unique<Results>();
    results->first = range.first;
    results->calls = range.calls;
    results->cancelled = true;
    failed_ += range.calls;
    finish(std::move(results));
  }
}

void Batch::note_ended(const std::vector<Range>& ranges) {
  for (const Range& range : ranges)
    for (std::uint32_t i = 0; i < range.calls; ++i) {
      const std::uint16_t size = range.block->sizes[range.item + i];
      bytes_ -= size;
      if (size == 0) ended_deferred_.push_back(range.first + i);
    }
}

void Batch::finish(std::unique_ptr<Results> results) {
  if (results->calls == 0) return;
  done_calls_ += results->calls;
  const std::uint64_t key = ordered_ ? results->first : sequence_++;
  done_.emplace(key, std::move(results));
}

// ---------------------------------------------------------------------------------------------------------------------

bool Batch::pump(Client& client) {
  base::MutexLock lock(mutex_);
  if (closed_) return false;
  for (;;) {
    reap(client);
    bool deferred = refill(client);
    if (!deferred && rebalance()) deferred = refill(client);
    bool none_done = true;
    for (const auto& chunk : in_flight_) none_done = client.process().set_waiter(chunk->ref) && none_done;
    if (none_done) return deferred;
  }
}

bool Batch::reap(Client& client) {
  bool any = false;
  std::vector<std::unique_ptr<Chunk>> left;
  left.reserve(in_flight_.size());
  std::vector<std::unique_ptr<Chunk>> now = std::exchange(in_flight_, {});
  for (auto& chunk : now) {
    if (!client.process().done(chunk->ref)) {
      left.push_back(std::move(chunk));
      continue;
    }
    any = true;
    settle(client, std::move(chunk));
  }
  in_flight_ = std::move(left);
  return any;
}

void Batch::settle(Client& client, std::unique_ptr<Chunk> chunk) {
  Process& p = client.process();
  --lanes_[chunk->lane].in_flight;
  ++settled_;
  ChunkProgress of = progress(*chunk);
  auto results = std::make_unique<Results>();
  results->first = chunk->first;
  const Ref ref = chunk->ref;
  if (p.settled(ref.index).phase() == Phase::kError) {
    lose(client, *chunk, *results);
  } else {
    ChunkValue value = chunk_value(p, ref);
    results->objects.assign(value.refs.begin(), value.refs.end());
    for (const Ref object : results->objects) p.hold(object);
    if (!value.refs.empty()) value = chunk_value(p, value.refs[0]);
    results->blob.assign(reinterpret_cast<const char*>(value.blob.data()), value.blob.size());
    if (!value.whole)
      results->refusal = base::Error(base::Code::kDataLoss, "the results of some calls are damaged in the store");
    failed_ += of.failed();
    if (const std::uint64_t took = of.elapsed_ns(); chunk->calls > 0 && took > 0) {
      const double each = static_cast<double>(took) / chunk->calls;
      call_ns_ = call_ns_ == 0 ? each : (3 * call_ns_ + each) / 4;
    }
  }
  results->calls = chunk->calls;
  note_ended(chunk->ranges);
  free_slots_.push_back(static_cast<std::uint16_t>(chunk->slot));
  if (results->calls == 0 || !(results->error == ref)) p.release(ref);
  if (results->calls == 0) release(client, *results);
  finish(std::move(results));
}

// The chunk ended with an error. What had not begun when its process died is for others; of a chunk none of whose calls
// had, the first is taken to be the reason, unless it was waiting behind another at an actor.
void Batch::lose(Client& client, Chunk& chunk, Results& results) {
  const ErrorKind kind = client.process().entry(chunk.ref.index).error;
  results.error = chunk.ref;
  Lane& lane = lanes_[chunk.lane];
  const bool waited = lane.spec.kind == Kind::kActorCall && lane.lost;
  if (is_death(kind)) {
    const auto [begun, limit] = progress(chunk).now();
    const std::uint32_t keep = begun > 0 || waited ? begun : std::min(options_.unit, limit);
    put_back(cut_tail(chunk, std::min(keep, limit)));
    lane.lost = lane.spec.kind == Kind::kActorCall;
  }
  failed_ += chunk.calls;
}

// ---------------------------------------------------------------------------------------------------------------------

std::optional<std::uint32_t> Batch::free_lane() {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    if (!lane.open() || lane.in_flight >= std::min(options_.queued * lane.workers, kMaxInFlight)) continue;
    if (!best || lane.in_flight * lanes_[*best].workers < lanes_[*best].in_flight * lane.workers) best = i;
  }
  return free_slots_.empty() ? std::nullopt : best;
}

// Of a chunk that takes about kChunkNs, by what the last ones took.
std::uint64_t Batch::fitting_units() {
  const std::uint64_t unit = options_.unit;
  std::uint64_t units = 1;
  if (call_ns_ > 0)
    units = static_cast<std::uint64_t>(std::min(1e6, kChunkNs / (call_ns_ * static_cast<double>(unit))));
  const std::uint64_t most = options_.most > 0 ? options_.most : kMaxChunkCalls;
  units = std::clamp<std::uint64_t>(units, 1, std::max<std::uint64_t>(most / unit, 1));
  return std::min<std::uint64_t>(units, kGrowth * last_units_);
}

// As many as take about kChunkNs, by what the last ones took; but not more than everybody's share of what is left.
std::uint32_t Batch::next_calls() {
  const std::uint64_t unit = options_.unit;
  std::uint64_t units = fitting_units();
  last_units_ = static_cast<std::uint32_t>(units);
  if (options_.queued > 1) {  // else the caller shares out what he hands on
    std::uint64_t workers = 0;
    for (const Lane& lane : lanes_) workers += lane.open() ? lane.workers : 0;
    const std::uint64_t share = pending_calls_ / unit / (options_.queued * std::max<std::uint64_t>(workers, 1));
    units = std::max<std::uint64_t>(std::min(units, share), 1);
  }

  // Those that follow each other, and do not take too much room together; of a unit all.
  std::uint32_t calls = 0;
  std::uint64_t bytes = 0;
  std::uint64_t next = pending_.front().first;
  for (const Range& range : pending_) {
    if (range.first != next) break;
    for (std::uint32_t i = 0; i < range.calls; ++i) {
      if (calls == units * unit) return calls;
      bytes += range.block->sizes[range.item + i];
      if (bytes > kMaxChunkBytes && calls >= unit) return calls - calls % static_cast<std::uint32_t>(unit);
      ++calls;
    }
    next += range.calls;
  }
  return calls;
}

std::unique_ptr<Batch::Chunk> Batch::cut_locked(std::uint32_t lane, std::uint32_t calls) {
  auto chunk = std::make_unique<Chunk>();
  chunk->id = sequence_++;
  chunk->first = pending_.front().first;
  chunk->calls = calls;
  chunk->lane = lane;
  chunk->slot = free_slots_.back();
  free_slots_.pop_back();
  ++lanes_[lane].in_flight;
  pending_calls_ -= calls;
  while (calls > 0) {
    Range& front = pending_.front();
    const std::uint32_t here = std::min(calls, front.calls);
    chunk->deferred = any_deferred(front, here) || chunk->deferred;
    chunk->ranges.push_back(take_front(front, here));
    if (front.calls == 0) pending_.pop_front();
    calls -= here;
  }
  return chunk;
}

bool Batch::next_is_deferred() {
  std::uint32_t left = next_calls();
  for (const Range& range : pending_) {
    const std::uint32_t here = std::min(left, range.calls);
    if (any_deferred(range, here)) return true;
    left -= here;
    if (left == 0) break;
  }
  return false;
}

bool Batch::refill(Client& client) {
  while (!pending_.empty()) {
    const auto lane = free_lane();
    if (!lane) return false;
    if (next_is_deferred()) return true;
    submit_locked(client, cut_locked(*lane, next_calls()), {});
  }
  return false;
}

std::optional<Batch::Cut> Batch::cut() {
  base::MutexLock lock(mutex_);
  if (pending_.empty() || closed_) return std::nullopt;
  const auto lane = free_lane();
  if (!lane) return std::nullopt;
  auto chunk = cut_locked(*lane, next_calls());
  Cut cut{.id = chunk->id, .numbers = {}};
  for (const Range& range : chunk->ranges)
    for (std::uint32_t i = 0; i < range.calls; ++i)
      if (range.block->sizes[range.item + i] == 0) cut.numbers.push_back(range.first + i);
  being_encoded_.push_back(std::move(chunk));
  return cut;
}

void Batch::submit(Client& client, const Cut& cut, std::span<const Ref> objects) {
  base::MutexLock lock(mutex_);
  auto found = std::find_if(being_encoded_.begin(), being_encoded_.end(),
                            [&](const std::unique_ptr<Chunk>& chunk) { return chunk->id == cut.id; });
  if (found == being_encoded_.end()) return;  // closed meanwhile
  std::unique_ptr<Chunk> chunk = std::move(*found);
  being_encoded_.erase(found);
  if (cancelled_ || chunk->calls == 0) {
    --lanes_[chunk->lane].in_flight;
    free_slots_.push_back(static_cast<std::uint16_t>(chunk->slot));
    return finish_cancelled(chunk->ranges);
  }
  submit_locked(client, std::move(chunk), objects);
}

void Batch::truncate(const Cut& cut, std::size_t which) {
  base::MutexLock lock(mutex_);
  const std::uint64_t end = cut.numbers[which];
  for (auto& chunk : being_encoded_) {
    if (chunk->first + chunk->calls <= end) continue;
    const std::vector<Range> tail =
        cut_tail(*chunk, static_cast<std::uint32_t>(end > chunk->first ? end - chunk->first : 0));
    note_ended(tail);
  }
  while (!pending_.empty()) {
    std::vector<Range> all;
    Range& back = pending_.back();
    if (back.first + back.calls <= end) break;  // taken back, and before it
    pending_calls_ -= back.calls;
    all.push_back(std::move(back));
    pending_.pop_back();
    note_ended(all);
  }
  added_ = std::min(added_, end);
  ended_ = true;
}

std::vector<std::uint64_t> Batch::take_ended() {
  base::MutexLock lock(mutex_);
  return std::exchange(ended_deferred_, {});
}

void Batch::submit_locked(Client& client, std::unique_ptr<Chunk> chunk, std::span<const Ref> objects) {
  Lane& lane = lanes_[chunk->lane];
  std::string blob;
  std::uint32_t number = kOfInputs;
  for (const Range& range : chunk->ranges) {
    std::uint32_t byte = range.byte;
    for (std::uint32_t i = 0; i < range.calls; ++i) {
      const std::uint16_t size = range.block->sizes[range.item + i];
      if (size > 0) {
        blob.append(range.block->bytes, byte, size);
      } else {
        blob.push_back(static_cast<char>(Tag::kDependency));
        blob.append(reinterpret_cast<const char*>(&number), sizeof number);
        ++number;
      }
      byte += size;
    }
  }
  ValueWriter writer;
  writer.call(5, 0, lane.spec.kind == Kind::kActorCall ? kRunner : "");
  writer.references(Tag::kRefTuple, 0, number);
  writer.integer(chunk->slot);
  writer.integer(options_.unit);
  writer.integer(options_.flags);
  writer.bytes(blob.data(), blob.size());
  Payload payload;
  writer.add_pieces(payload);
  payload.refs = {options_.function, board_};
  payload.refs.insert(payload.refs.end(), objects.begin(), objects.end());
  payload.codec = kCodecArgs;
  progress(*chunk).open(chunk->calls);
  std::vector<Ref> made;
  if (const base::Status submitted = client.submit(lane.spec, payload, made); !submitted) {
    --lane.in_flight;
    free_slots_.push_back(static_cast<std::uint16_t>(chunk->slot));
    auto results = std::make_unique<Results>();
    results->first = chunk->first;
    results->calls = chunk->calls;
    results->refusal = submitted.error();
    failed_ += chunk->calls;
    note_ended(chunk->ranges);
    return finish(std::move(results));
  }
  chunk->ref = made[0];
  if (options_.hurry) client.process().hurry(chunk->ref);
  in_flight_.push_back(std::move(chunk));
}

// ---------------------------------------------------------------------------------------------------------------------

bool Batch::readable() {
  base::MutexLock lock(mutex_);
  return !done_.empty() && (!ordered_ || done_.begin()->first == taken_);
}

void Batch::unorder() {
  base::MutexLock lock(mutex_);
  if (!std::exchange(ordered_, false)) return;
  for (auto& [first, results] : std::exchange(done_, {})) done_.emplace(sequence_++, std::move(results));
}

bool Batch::finished() {
  base::MutexLock lock(mutex_);
  return ended_ && taken_ == added_;
}

std::unique_ptr<Batch::Results> Batch::take() {
  base::MutexLock lock(mutex_);
  if (done_.empty() || (ordered_ && done_.begin()->first != taken_)) return nullptr;
  std::unique_ptr<Results> results = std::move(done_.begin()->second);
  done_.erase(done_.begin());
  taken_ += results->calls;
  return results;
}

void Batch::release(Client& client, Results& results) {
  for (const Ref object : results.objects) client.process().release(object);
  if (!(results.error == kNoRef)) client.process().release(results.error);
  results.objects.clear();
  results.error = kNoRef;
}

Batch::Counts Batch::counts() {
  base::MutexLock lock(mutex_);
  Counts counts{
      .done = done_calls_, .failed = failed_, .unread = done_calls_ - taken_, .ended = ended_, .bytes = bytes_};
  counts.queued = counts.uncut = pending_calls_;
  counts.chunks = in_flight_.size() + being_encoded_.size();
  counts.changes = done_calls_ + settled_;
  for (const auto& chunk : being_encoded_) counts.queued += chunk->calls;
  for (const auto& chunk : in_flight_) {
    const std::uint32_t begun = std::min(progress(*chunk).now().begun, chunk->calls);
    counts.running += begun;
    counts.queued += chunk->calls - begun;
  }
  return counts;
}

std::vector<Ref> Batch::in_flight() {
  base::MutexLock lock(mutex_);
  std::vector<Ref> refs;
  refs.reserve(in_flight_.size());
  for (const auto& chunk : in_flight_) refs.push_back(chunk->ref);
  return refs;
}

void Batch::reopen(std::size_t lane) {
  base::MutexLock lock(mutex_);
  lanes_.at(lane).retired = false;
}

std::uint64_t Batch::room() {
  base::MutexLock lock(mutex_);
  std::uint64_t free = 0;
  for (const Lane& lane : lanes_) free += lane.open() && lane.in_flight == 0 ? lane.workers : 0;
  const std::uint64_t calls = free * fitting_units() * options_.unit;
  return calls - std::min(calls, pending_calls_);
}

std::vector<Batch::LaneNow> Batch::lanes() {
  base::MutexLock lock(mutex_);
  std::vector<LaneNow> now;
  now.reserve(lanes_.size());
  for (const Lane& lane : lanes_) now.push_back({lane.in_flight, lane.lost});
  return now;
}

bool Batch::retire(std::size_t lane) {
  base::MutexLock lock(mutex_);
  if (lanes_.at(lane).in_flight > 0) return false;
  lanes_[lane].retired = true;
  return true;
}

void Batch::cancel(Client& client, bool force) {
  base::MutexLock lock(mutex_);
  if (closed_) return;
  cancelled_ = ended_ = true;
  std::vector<Range> waiting(std::make_move_iterator(pending_.begin()), std::make_move_iterator(pending_.end()));
  pending_.clear();
  pending_calls_ = 0;
  finish_cancelled(waiting);
  for (const auto& chunk : in_flight_) {
    give_back(*chunk, true, true);
    if (force && chunk->calls > 0) client.cancel(chunk->ref, lanes_[chunk->lane].spec.kind == Kind::kTask, true);
  }
}

bool Batch::cancel_one(Client& client, std::uint64_t number, bool force) {
  base::MutexLock lock(mutex_);
  if (closed_) return false;
  for (const auto& chunk : in_flight_) {
    if (chunk->first != number || chunk->calls != 1) continue;
    client.cancel(chunk->ref, force && lanes_[chunk->lane].spec.kind == Kind::kTask, true);
    return true;
  }
  return false;
}

void Batch::close(Client& client) {
  cancel(client, false);
  base::MutexLock lock(mutex_);
  if (std::exchange(closed_, true)) return;
  Process& p = client.process();
  for (const auto& chunk : in_flight_) {
    note_ended(chunk->ranges);
    p.release(chunk->ref);
  }
  for (const auto& chunk : being_encoded_) note_ended(chunk->ranges);
  in_flight_.clear();
  being_encoded_.clear();
  for (auto& [key, results] : done_) release(client, *results);
  done_.clear();
  p.release(board_);
  p.release(options_.function);
}

}  // namespace daybreak::runtime
