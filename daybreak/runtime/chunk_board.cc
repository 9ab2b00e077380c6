#include "daybreak/runtime/chunk_board.h"

#include <algorithm>

namespace daybreak::runtime {

namespace {

std::uint64_t claim_word(std::uint32_t begun, std::uint32_t limit) {
  return std::uint64_t{limit} << 32 | begun;
}

}  // namespace

void ChunkProgress::open(std::uint32_t calls) {
  board_.began_ns.store(0, std::memory_order_relaxed);
  board_.elapsed_ns.store(0, std::memory_order_relaxed);
  board_.failed.store(0, std::memory_order_relaxed);
  board_.claim.store(claim_word(0, calls));
}

void ChunkProgress::begin() {
  board_.began_ns.store(static_cast<std::uint64_t>(base::monotonic_ns()), std::memory_order_relaxed);
  base::Atomic<std::uint64_t>& claim = board_.claim;
  std::uint64_t seen = claim.load();
  while (!claim.compare_exchange_weak(seen, claim_word(0, static_cast<std::uint32_t>(seen >> 32)))) {
  }
}

std::uint32_t ChunkProgress::take(std::uint32_t n) {
  base::Atomic<std::uint64_t>& claim = board_.claim;
  std::uint64_t seen = claim.load();
  for (;;) {
    const auto begun = static_cast<std::uint32_t>(seen), limit = static_cast<std::uint32_t>(seen >> 32);
    const std::uint32_t won = std::min(n, limit - std::min(begun, limit));
    if (won == 0 || claim.compare_exchange_weak(seen, claim_word(begun + won, limit))) return won;
  }
}

void ChunkProgress::end(std::uint32_t failed) {
  board_.failed.store(failed, std::memory_order_relaxed);
  const std::int64_t took = base::monotonic_ns() - began_ns();
  board_.elapsed_ns.store(static_cast<std::uint64_t>(std::max<std::int64_t>(took, 1)), std::memory_order_relaxed);
}

ChunkProgress::Now ChunkProgress::now() {
  const std::uint64_t seen = board_.claim.load();
  return {static_cast<std::uint32_t>(seen), static_cast<std::uint32_t>(seen >> 32)};
}

std::uint32_t ChunkProgress::take_back(std::uint32_t unit, bool all, std::uint32_t leave) {
  base::Atomic<std::uint64_t>& claim = board_.claim;
  std::uint64_t seen = claim.load();
  for (;;) {
    const auto begun = static_cast<std::uint32_t>(seen), limit = static_cast<std::uint32_t>(seen >> 32);
    const std::uint32_t left = (limit - std::min(begun, limit) + unit - 1) / unit;  // units
    if (left <= leave) return 0;
    const std::uint32_t keep = all ? leave : leave + (left - leave) / 2;
    const std::uint32_t lower = begun + keep * unit;
    if (lower >= limit) return 0;
    if (claim.compare_exchange_weak(seen, claim_word(begun, lower))) return limit - lower;
  }
}

std::int64_t ChunkProgress::began_ns() {
  return static_cast<std::int64_t>(board_.began_ns.load(std::memory_order_relaxed));
}

std::uint64_t ChunkProgress::elapsed_ns() {
  return board_.elapsed_ns.load(std::memory_order_relaxed);
}

std::uint32_t ChunkProgress::failed() {
  return board_.failed.load(std::memory_order_relaxed);
}

}  // namespace daybreak::runtime
