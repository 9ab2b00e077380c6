#include "daybreak/serve/channel.h"

#include <algorithm>

#include "daybreak/base/atomic.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

constexpr int kYields = 4;
constexpr std::int64_t kNsPerMs = 1'000'000;

}  // namespace

base::Result<std::shared_ptr<ChannelMapping>> ChannelMapping::create() {
  DAYBREAK_ASSIGN(os::Fd fd, os::create_memory("daybreak-serve-channel", sizeof(ChannelMemory), {.fixed_size = true}));
  return open(std::move(fd));
}

base::Result<std::shared_ptr<ChannelMapping>> ChannelMapping::open(os::Fd fd) {
  DAYBREAK_ASSIGN(os::Mapping mapping, os::map_shared(fd.get(), sizeof(ChannelMemory)));
  return std::shared_ptr<ChannelMapping>(new ChannelMapping(std::move(fd), std::move(mapping)));
}

void ChannelMapping::give_back_results(std::size_t slot) const {
  const auto from =
      static_cast<std::size_t>(reinterpret_cast<std::byte*>(memory().results[slot].data()) - mapping_.data());
  mapping_.give_back(from + kKeptResultBytes, kResultBytes - kKeptResultBytes);
}

// ---- the server's side

std::optional<ServerChannel::Place> ServerChannel::append(std::uint64_t offset, std::uint32_t size_bytes,
                                                          std::uint32_t limit) {
  ChannelMemory& memory = mapping_->memory();
  const auto put = [&](std::uint64_t number) -> std::optional<Place> {
    BatchMemory& batch = memory.batches[number % kBatchSlots];
    std::uint32_t& count = counts_[number % kBatchSlots];
    InputRef& input = batch.inputs[count];
    input.offset = offset;
    input.size_bytes = size_bytes;
    input.cancelled.store(0, std::memory_order_relaxed);
    std::uint32_t expected = count;
    // Fails when the replica has just taken the batch.
    if (!batch.state.compare_exchange_strong(expected, count + 1, std::memory_order_seq_cst)) return std::nullopt;
    return Place{number, count++};
  };
  std::optional<Place> place;
  if (under_way() > 0 && !open_taken() && counts_[(opened_ - 1) % kBatchSlots] < limit_) place = put(opened_ - 1);
  if (!place) {
    if (under_way() >= kBatchesUnderWay) return std::nullopt;
    const std::size_t slot = opened_ % kBatchSlots;
    counts_[slot] = 0;
    limit_ = std::clamp<std::uint32_t>(limit, 1, kMaxBatch);
    memory.batches[slot].state.store(0, std::memory_order_seq_cst);
    place = put(opened_);
    if (!place) return std::nullopt;  // a replica that takes empty batches: next_completed() will find out
    ++opened_;
  }
  if (memory.sleeping.load(std::memory_order_seq_cst) != 0) wake();
  return place;
}

void ServerChannel::wake() {
  ChannelMemory& memory = mapping_->memory();
  memory.sleeping.store(0, std::memory_order_seq_cst);
  memory.bell.fetch_add(1, std::memory_order_seq_cst);
  base::futex_wake_all(memory.bell);  // of whom there is one
}

void ServerChannel::cancel(Place place) {
  mapping_->memory().batches[place.batch % kBatchSlots].inputs[place.index].cancelled.store(1,
                                                                                            std::memory_order_relaxed);
}

bool ServerChannel::has_room() const {
  if (under_way() == 0) return true;
  return under_way() < kBatchesUnderWay || (!open_taken() && counts_[(opened_ - 1) % kBatchSlots] < limit_);
}

std::uint32_t ServerChannel::open_count() const {
  return under_way() > 0 && !open_taken() ? counts_[(opened_ - 1) % kBatchSlots] : 0;
}

bool ServerChannel::open_taken() const {
  if (under_way() == 0) return true;
  return (mapping_->memory().batches[(opened_ - 1) % kBatchSlots].state.load(std::memory_order_seq_cst) &
          BatchMemory::kTaken) != 0;
}

base::Result<bool> ServerChannel::next_completed(std::int64_t& took_ns, std::vector<Result>& results) {
  ChannelMemory& memory = mapping_->memory();
  const std::uint64_t completed = memory.completed.load(std::memory_order_acquire);
  if (completed < completed_ || completed > opened_)
    return fail(Code::kDataLoss, "the replica says that {} batches are done, of {}", completed, opened_);
  if (completed == completed_) return false;
  const std::size_t slot = completed_ % kBatchSlots;
  BatchMemory& batch = memory.batches[slot];
  took_ns = batch.took_ns.load(std::memory_order_relaxed);
  results.resize(counts_[slot]);
  std::size_t used = 0;
  for (std::uint32_t i = 0; i < counts_[slot]; ++i) {
    const ResultRef ref = batch.results[i];  // a copy: what is checked is what is used
    if (ref.offset > kResultBytes || ref.size_bytes > kResultBytes - ref.offset || ref.size_bytes > kMaxResultBytes)
      return fail(Code::kDataLoss, "a result of {} bytes at {} lies outside of its memory", ref.size_bytes, ref.offset);
    used = std::max<std::size_t>(used, ref.offset + ref.size_bytes);
    results[i].status = ref.status;
    results[i].kept = ref.kept != 0;
    results[i].text.assign(memory.results[slot].data() + ref.offset, ref.size_bytes);
  }
  if (used > kKeptResultBytes) mapping_->give_back_results(slot);
  ++completed_;
  return true;
}

void ServerChannel::close() {
  mapping_->memory().closed.store(1, std::memory_order_seq_cst);
  wake();
}

// ---- the replica's side

ResultWriter::ResultWriter(BatchMemory& batch, std::span<char> memory, std::uint32_t count)
    : batch_(batch), memory_(memory), count_(count) {
  for (std::uint32_t i = 0; i < count; ++i) batch_.results[i] = {ResultStatus::kNone, 0, 0, 0};
}

void ResultWriter::set(std::uint32_t index, ResultStatus status, std::string_view text) {
  if (text.size() > kMaxResultBytes)
    return refuse(index, fmt::format("the result has {} bytes, over the limit of {}: give less, or a file's name",
                                     text.size(), kMaxResultBytes));
  if (text.size() > memory_.size() - used_)
    return refuse(index, fmt::format("the results of this batch of {} are over the limit of {} bytes together: deploy "
                                     "with a smaller batch_size",
                                     count_, memory_.size()));
  if (!text.empty()) std::memcpy(memory_.data() + used_, text.data(), text.size());
  batch_.results[index] = {status, static_cast<std::uint32_t>(used_), static_cast<std::uint32_t>(text.size()),
                           batch_.results[index].kept};
  used_ += text.size();
}

void ResultWriter::end(std::uint32_t index, ResultStatus status, std::string_view text) {
  const std::size_t size = std::min({text.size(), kMaxErrorBytes, memory_.size() - used_});
  set(index, status, text.substr(0, size));
}

void ResultWriter::fail(std::uint32_t index, std::string_view text) {
  end(index, ResultStatus::kError, text);
}

void ResultWriter::refuse(std::uint32_t index, std::string_view text) {
  end(index, ResultStatus::kRefused, text);
}

void ResultWriter::fail_rest(std::string_view text) {
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (batch_.results[i].status == ResultStatus::kNone) fail(i, text);
  }
}

void ResultWriter::refuse_rest(std::string_view text) {
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (batch_.results[i].status == ResultStatus::kNone) refuse(i, text);
  }
}

ReplicaSide::Took ReplicaSide::take(int timeout_ms) {
  ChannelMemory& memory = mapping_->memory();
  const std::size_t slot = next_ % kBatchSlots;
  BatchMemory& batch = memory.batches[slot];
  const auto open = [&] {
    const std::uint32_t state = batch.state.load(std::memory_order_seq_cst);
    return state != 0 && (state & BatchMemory::kTaken) == 0;
  };
  // After a batch of several the next one is near: giving the processor away a few times costs less than to sleep and
  // be woken.
  for (int i = 0; i < kYields && inputs_.size() > 1 && !open(); ++i) base::yield_cpu();
  if (!open()) {
    inputs_.clear();
    const std::uint32_t bell = memory.bell.load(std::memory_order_seq_cst);
    memory.sleeping.store(1, std::memory_order_seq_cst);
    if (!open() && memory.closed.load(std::memory_order_seq_cst) == 0)
      base::futex_wait(memory.bell, bell, std::max(timeout_ms, 0) * kNsPerMs);
    memory.sleeping.store(0, std::memory_order_seq_cst);
    if (!open()) return memory.closed.load(std::memory_order_seq_cst) != 0 ? Took::kClosed : Took::kNothing;
  }
  const std::uint32_t count = std::min(batch.state.fetch_or(BatchMemory::kTaken, std::memory_order_seq_cst), kMaxBatch);
  results_.emplace(batch, std::span(memory.results[slot]), count);
  inputs_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    const InputRef& input = batch.inputs[i];
    if (input.cancelled.load(std::memory_order_relaxed) != 0) {
      results_->set(i, ResultStatus::kSkipped, {});
    } else if (input.offset > slab_.size() || input.size_bytes > slab_.size() - input.offset) {
      results_->fail(i, "an input outside of the shared memory");
    } else {
      inputs_.push_back({i, slab_.subspan(input.offset, input.size_bytes)});
    }
  }
  began_ns_ = env_.monotonic_ns();
  return Took::kBatch;
}

void ReplicaSide::complete() {
  ChannelMemory& memory = mapping_->memory();
  results_->fail_rest("the model gave no result");
  memory.batches[next_ % kBatchSlots].took_ns.store(env_.monotonic_ns() - began_ns_, std::memory_order_relaxed);
  ++next_;
  memory.completed.store(next_, std::memory_order_release);
  if (event_ >= 0) os::ring_event(event_);
}

}  // namespace daybreak::serve
