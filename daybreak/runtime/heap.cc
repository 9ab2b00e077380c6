// The data segment's allocator. Truth is in single words: a run's word (Run) and a block's tag. A tag names the entry
// that the memory belongs to from the store that takes it, so that a sweep finds what a dead process took and did not
// publish; freeing is a compare-and-swap from that tag to 0, which a repetition cannot get wrong.
#include <bit>
#include <mutex>
#include <utility>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/process.h"
#include "daybreak/runtime/robust_guard.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kLargestClass = 18;   // of kLargestBlock
constexpr std::size_t kChunksPerRefill = 16;  // own chunks looked through before a fresh one is taken
constexpr std::uint64_t kNoGranule = UINT64_MAX;
// How long who finds no room waits for others to finish with what they read, and how often he looks. Smaller things are
// allocated by threads that others wait for.
constexpr std::uint64_t kPatientBytes = 256 * 1024;
#if defined(DAYBREAK_INTERLEAVE)
constexpr std::int64_t kRoomPatienceNs = 2'000'000;
constexpr std::int64_t kRoomLookNs = 1'000'000;
#else
constexpr std::int64_t kRoomPatienceNs = 5'000'000'000;
constexpr std::int64_t kRoomLookNs = 2'000'000;
#endif

std::uint32_t chunk_tag(std::uint32_t size_class, std::uint32_t proc_plus_one) {
  return Run::kChunkTag | (size_class << 16) | proc_plus_one;
}

std::uint32_t blocks_of(std::uint32_t size_class) {
  return static_cast<std::uint32_t>(kChunkBytes / size_of_class(size_class));
}

}  // namespace

std::uint64_t size_of_class(std::uint32_t size_class) {
  std::uint64_t base = kMinBlock << (size_class / 2);
  return size_class % 2 == 0 ? base : base + base / 2;
}

std::uint32_t size_class_of(std::uint64_t size) {
  if (size <= kMinBlock) return 0;
  std::uint32_t k = static_cast<std::uint32_t>(std::bit_width((size - 1) / kMinBlock));  // size <= kMinBlock << k
  std::uint32_t size_class = size <= size_of_class(2 * k - 1) ? 2 * k - 1 : 2 * k;
  return size_class <= kLargestClass ? size_class : kNone;
}

// A block is taken by the compare-and-swap of its tag from 0 to the entry, which is also what a sweep finds it by. Only
// the chunk's owner takes blocks of it, so that one can fail only when the chunk is not ours any more: somebody short of
// memory may reclaim it, if it looks empty, at any moment. Hence `taking`, said before and taken back after: a death in
// between leaves a tag in what may be another's chunk by then, and the sweep knows which.
base::Result<std::uint64_t> Process::try_allocate(std::uint32_t index, std::uint64_t size, FreshWriter* fresh) {
  std::uint32_t size_class = size_class_of(size);
  if (size_class == kNone) {
    std::uint64_t granules = (size + kGranule - 1) / kGranule;
    if (granules > segment_.granules())
      return base::fail(
          base::Code::kResourceExhausted,
          "an object of {} bytes is larger than the object store of {} bytes: give init() a larger object_store_memory",
          size, control_.data_capacity);
    DAYBREAK_ASSIGN(std::uint64_t granule, allocate_run(index + 1, static_cast<std::uint32_t>(granules), false, fresh));
    return granule * kGranule;
  }
  std::lock_guard guard(heap_lock_);
  ClassCache& cache = classes_[size_class];
  for (;;) {
    if (cache.free.empty()) forget_reclaimed();
    if (cache.free.empty() && !refill_class(size_class)) {
      DAYBREAK_ASSIGN(std::uint64_t granule, take_chunk(size_class));
      DAYBREAK_FAILPOINT("heap.chunk_taken");
      std::erase(cache.chunks, static_cast<std::uint32_t>(granule));
      cache.chunks.push_back(static_cast<std::uint32_t>(granule));
      for (std::uint32_t i = blocks_of(size_class); i-- > 0;)
        cache.free.push_back(granule * kGranule + i * size_of_class(size_class));
    }
    std::uint64_t offset = cache.free.back();
    cache.free.pop_back();
    std::uint64_t granule = offset / kChunkBytes * kChunkGranules;
    std::uint64_t ours = Run::make(chunk_tag(size_class, id_ + 1), kChunkGranules);
    if (segment_.run(granule).load() != ours) {
      await_reclaimer(granule);
      continue;
    }
    const std::uint64_t place = offset % kChunkBytes / size_of_class(size_class);
    base::Atomic<std::uint32_t>& tag = segment_.tags(granule).tag[place];
    std::uint32_t none = 0;
    slot().taking.store(granule / kChunkGranules * kBlocksPerChunk + place + 1, std::memory_order_release);
    const bool set = tag.compare_exchange_strong(none, index + 1);
    DAYBREAK_FAILPOINT("heap.block_taken");
    // A reclaimer closes a chunk, then looks at its tags; we set the tag, then look whether it is closed.
    bool mine = set && segment_.run(granule).load() == ours;
    if (set && !mine) {
      await_reclaimer(granule);
      mine = segment_.run(granule).load() == ours;
      none = index + 1;
      if (!mine) tag.compare_exchange_strong(none, 0);
    }
    slot().taking.store(0, std::memory_order_release);
    if (mine) return offset;
  }
}

// What does not fit has room made for it (spill.cc), with no lock held: that takes as long as the disk does.
base::Result<std::uint64_t> Process::allocate(std::uint32_t index, std::uint64_t size, FreshWriter* fresh,
                                              bool patient) {
  std::int64_t until = 0;
  bool is_last = false;
  for (;;) {
    auto offset = try_allocate(index, size, fresh);
    if (offset) {
      if (size > kLargestBlock) spill_above_threshold(size);
      return offset;
    }
    if (offset.error().code() != base::Code::kResourceExhausted || size > control_.data_capacity) return offset;
    auto room = make_room(std::max(size, kChunkBytes));
    if (!room) return std::unexpected(std::move(room).error().wrap(offset.error().to_string()));
    if (*room) continue;
    if (!patient || size < kPatientBytes || id_ == kSchedulerProc || !others_use_store()) {
      // What somebody was about to free when we looked for room is free by now, if he is not there any more.
      if (std::exchange(is_last, true)) return offset;
      continue;
    }
    is_last = false;
    const std::int64_t now = base::monotonic_ns();
    if (until == 0) until = now + kRoomPatienceNs;
    if (now >= until || control_.stopping.load() != 0) return offset;
    sleep(bell(), kRoomLookNs);
  }
}

void Process::await_reclaimer(std::uint64_t granule) {
  for (int i = 0; (Run::tag(segment_.run(granule).load()) & Run::kClosing) != 0; ++i) {
    if (i < 64)
      base::cpu_pause();
    else
      base::yield_cpu();
  }
}

// Forgets blocks of chunks that a reclaimer has taken from us.
void Process::forget_reclaimed() {
  std::uint32_t now = control_.reclaims.load();
  if (now == reclaims_seen_) return;
  reclaims_seen_ = now;
  for (std::uint32_t size_class = 0; size_class <= kLargestClass; ++size_class) {
    ClassCache& cache = classes_[size_class];
    std::uint64_t ours = Run::make(chunk_tag(size_class, id_ + 1), kChunkGranules);
    std::erase_if(cache.chunks, [&](std::uint32_t granule) { return segment_.run(granule).load() != ours; });
    std::erase_if(cache.free, [&](std::uint64_t offset) {
      return segment_.run(offset / kChunkBytes * kChunkGranules).load() != ours;
    });
  }
}

// A fresh chunk. Blocks that an earlier life of it left on our lists are forgotten first.
base::Result<std::uint64_t> Process::take_chunk(std::uint32_t size_class) {
  forget_reclaimed();
  auto granule = allocate_run(chunk_tag(size_class, id_ + 1), kChunkGranules, true);
  if (granule && control_.reclaims.load() != reclaims_seen_) {
    reclaims_seen_ = control_.reclaims.load();
    for (ClassCache& cache : classes_) {
      std::erase(cache.chunks, static_cast<std::uint32_t>(*granule));
      std::erase_if(cache.free,
                    [&](std::uint64_t offset) { return offset / kChunkBytes * kChunkGranules == *granule; });
    }
    --reclaims_seen_;  // other chunks may be stale still
  }
  return granule;
}

// Our own chunks again, some at a time: others free blocks in them by their tags alone.
bool Process::refill_class(std::uint32_t size_class) {
  ClassCache& cache = classes_[size_class];
  std::uint64_t ours = Run::make(chunk_tag(size_class, id_ + 1), kChunkGranules);
  std::size_t count = std::min(cache.chunks.size(), kChunksPerRefill);
  for (std::size_t n = 0; n < count && cache.free.empty(); ++n) {
    if (cache.cursor >= cache.chunks.size()) cache.cursor = 0;
    std::uint64_t granule = cache.chunks[cache.cursor++];
    if (segment_.run(granule).load() != ours) continue;  // reclaimed, or being looked at: allocate() tidies up
    ChunkTags& tags = segment_.tags(granule);
    for (std::uint32_t i = blocks_of(size_class); i-- > 0;)
      if (tags.tag[i].load() == 0) cache.free.push_back(granule * kGranule + i * size_of_class(size_class));
  }
  return !cache.free.empty();
}

// From this entry's tag to 0, and nothing if it is another's by now: who repeats it after a death does no harm.
void Process::free_block(std::uint32_t index, std::uint64_t offset) {
  std::uint64_t chunk = offset / kChunkBytes * kChunkGranules;
  std::uint64_t word = segment_.run(chunk).load();
  if (!Run::is_chunk(word)) {
    base::Atomic<std::uint64_t>& run = segment_.run(offset / kGranule);
    std::uint64_t taken = run.load();
    if (Run::tag(taken) == index + 1) run.compare_exchange_strong(taken, 0);
    return;
  }
  std::uint32_t size_class = Run::size_class(word);
  base::Atomic<std::uint32_t>& tag = segment_.tags(chunk).tag[offset % kChunkBytes / size_of_class(size_class)];
  std::uint32_t taken = index + 1;
  if (Run::owner(word) != id_ + 1) {
    tag.compare_exchange_strong(taken, 0);
    return;
  }
  std::lock_guard guard(heap_lock_);  // so that a refill does not find it before it is on the list
  if (tag.compare_exchange_strong(taken, 0)) classes_[size_class].free.push_back(offset);
}

// First fit from the lowest address: what was used before is warm.
std::uint64_t Process::find_run(std::uint32_t granules, bool aligned, std::uint64_t limit) {
  std::uint64_t start = 0;
  for (std::uint64_t at = 0; at < limit;) {
    std::uint64_t word = segment_.run(at).load(std::memory_order_acquire);
    if (word != 0) {
      at += Run::granules(word);
      start = aligned ? (at + kChunkGranules - 1) / kChunkGranules * kChunkGranules : at;
      continue;
    }
    ++at;
    if (at >= start + granules) return start;
  }
  return kNoGranule;
}

// kNoGranule: no room. The run's one word commits, tag and length in one store; what it covers was backed with real
// memory before, so that who writes there cannot fail. The lock makes finding and taking one step.
base::Result<std::uint64_t> Process::take_run(std::uint32_t tag, std::uint32_t granules, bool aligned,
                                              FreshWriter* fresh) {
  RobustGuard guard(*this, control_.heap_lock);
  DAYBREAK_FAILPOINT("heap.locked");
  std::uint64_t granule = find_run(granules, aligned, control_.committed.load() / kGranule);
  if (granule == kNoGranule) {
    granule = find_run(granules, aligned, segment_.granules());
    if (granule == kNoGranule) return kNoGranule;
    const std::uint64_t from = granule * kGranule, to = from + granules * kGranule, have = control_.committed.load();
    const bool mostly_fresh = have <= from + (to - from) / 2;
    DAYBREAK_TRY(fresh != nullptr && mostly_fresh ? segment_.commit_by_writing(from, to, *fresh) : segment_.commit(to));
  }
  segment_.run(granule).store(Run::make(tag, granules));
  DAYBREAK_FAILPOINT("heap.run_taken");
  return granule;
}

base::Result<std::uint64_t> Process::allocate_run(std::uint32_t tag, std::uint32_t granules, bool aligned,
                                                  FreshWriter* fresh) {
  for (bool reclaimed = false;; reclaimed = true) {
    DAYBREAK_ASSIGN(const std::uint64_t granule, take_run(tag, granules, aligned, fresh));
    if (granule != kNoGranule) return granule;
    if (reclaimed || reclaim_chunks() == 0)
      return base::fail(base::Code::kResourceExhausted,
                        "{} bytes do not fit into the object store: {} of {} bytes are taken", granules * kGranule,
                        bytes_used(), control_.data_capacity);
  }
}

std::uint64_t Process::bytes_used() {
  std::uint64_t used = 0;
  segment_.for_each_run([&](std::uint64_t, std::uint64_t word) { used += Run::granules(word); });
  return used * kGranule;
}

// Closes each chunk, then looks at its tags: its owner sets a tag, then looks whether it is closed (allocate). Both are
// sequentially consistent, so one of the two sees the other, and a chunk that is taken from its owner has no block that he
// takes for his. Under the heap lock, so that a chunk that a dead reclaimer left closed is known to be his.
std::uint64_t Process::reclaim_chunks() {
  std::uint64_t won = 0;
  RobustGuard guard(*this, control_.heap_lock);
  segment_.for_each_run([&](std::uint64_t granule, std::uint64_t word) {
    if (!Run::is_chunk(word)) return;
    std::uint64_t closing = word | (std::uint64_t{Run::kClosing} << 32);
    if (!segment_.run(granule).compare_exchange_strong(word, closing)) return;
    DAYBREAK_FAILPOINT("heap.closing");
    bool empty = true;
    ChunkTags& tags = segment_.tags(granule);
    for (std::uint32_t i = 0; i < blocks_of(Run::size_class(word)) && empty; ++i) empty = tags.tag[i].load() == 0;
    // Its former owner is told to look through his lists before the chunk can be another's.
    if (empty) control_.reclaims.fetch_add(1);
    segment_.run(granule).store(empty ? 0 : word);
    if (empty) won += kChunkBytes;
  });
  return won;
}

// Opens what the dead had closed, while the lock is his still and nobody else closes anything; then gives it back.
void Process::break_lock(RobustLock& lock, std::uint32_t dead) {
  if (lock.holder.load() != dead + 1) return;
  constexpr std::uint32_t kClosingChunk = Run::kChunkTag | Run::kClosing;
  if (&lock == &control_.heap_lock)
    segment_.for_each_run([&](std::uint64_t granule, std::uint64_t word) {
      if ((Run::tag(word) & kClosingChunk) == kClosingChunk)
        segment_.run(granule).store(word & ~(std::uint64_t{Run::kClosing} << 32));
    });
  lock.holder.store(0);
}

}  // namespace daybreak::runtime
