#include "daybreak/frame/kernel/sort.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

namespace daybreak::frame {
namespace {

struct Entry {
  std::uint64_t key;
  std::uint64_t row;
  auto operator<=>(const Entry&) const = default;
};

constexpr std::size_t kBuckets = 512;        // a power of two
constexpr std::size_t kSamplesOfBucket = 8;  // values looked at to choose where buckets end
constexpr std::size_t kFewRows = 1u << 12;   // fewer are sorted at once

// Keys are ordered as values are.
template <typename T>
std::uint64_t sort_key(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    const double wide = static_cast<double>(value) + 0.0;  // -0.0 becomes 0.0
    const auto bits = std::bit_cast<std::uint64_t>(wide);
    return (bits >> 63) != 0 ? ~bits : bits | (1ull << 63);
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value)) ^ (1ull << 63);
  } else {
    return value;
  }
}

// Where a key belongs among kBuckets - 1 limits: how many are not above it.
std::size_t bucket_of(const std::vector<std::uint64_t>& limits, std::uint64_t key) {
  std::size_t at = 0;
  for (std::size_t step = kBuckets / 2; step > 0; step /= 2) at += limits[at + step - 1] <= key ? step : 0;
  return at;
}

std::vector<std::uint64_t> limits_of(const std::vector<Entry>& entries) {
  std::vector<std::uint64_t> samples;
  const std::size_t wanted = kBuckets * kSamplesOfBucket;
  samples.reserve(wanted);
  for (std::size_t k = 0; k < wanted; ++k) samples.push_back(entries[k * entries.size() / wanted].key);
  std::ranges::sort(samples);
  std::vector<std::uint64_t> limits;
  limits.reserve(kBuckets - 1);
  for (std::size_t k = 1; k < kBuckets; ++k) limits.push_back(samples[k * kSamplesOfBucket]);
  return limits;
}

// Buckets of keys, each sorted by itself. Rows make every entry a different one, so that order is total.
void sort_entries(base::Pool& pool, std::vector<Entry>& entries, std::span<std::int64_t> rows, const Chunks& chunks) {
  const std::size_t n = entries.size();
  if (n < kFewRows) {
    std::ranges::sort(entries);
    for (std::size_t i = 0; i < n; ++i) rows[i] = static_cast<std::int64_t>(entries[i].row);
    return;
  }
  const std::vector<std::uint64_t> limits = limits_of(entries);
  const std::size_t parts = chunks.count(n);
  std::vector<std::uint16_t> buckets(n);
  std::vector<std::vector<std::size_t>> places(parts, std::vector<std::size_t>(kBuckets));
  pool.for_each(parts, [&](std::size_t part) {
    const std::size_t end = std::min(n, (part + 1) * chunks.rows);
    for (std::size_t i = part * chunks.rows; i < end; ++i) {
      buckets[i] = static_cast<std::uint16_t>(bucket_of(limits, entries[i].key));
      ++places[part][buckets[i]];
    }
  });
  std::vector<std::size_t> begins(kBuckets + 1);
  std::size_t at = 0;
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    begins[bucket] = at;
    for (std::vector<std::size_t>& of_part : places) at += std::exchange(of_part[bucket], at);
  }
  begins[kBuckets] = at;
  std::vector<Entry> scattered(n);
  pool.for_each(parts, [&](std::size_t part) {
    const std::size_t end = std::min(n, (part + 1) * chunks.rows);
    for (std::size_t i = part * chunks.rows; i < end; ++i) scattered[places[part][buckets[i]]++] = entries[i];
  });
  pool.for_each(kBuckets, [&](std::size_t bucket) {
    const auto begin = scattered.begin() + static_cast<std::ptrdiff_t>(begins[bucket]);
    const auto end = scattered.begin() + static_cast<std::ptrdiff_t>(begins[bucket + 1]);
    // One value many times is in order as it is.
    if (!std::is_sorted(begin, end)) std::sort(begin, end);
    for (std::size_t i = begins[bucket]; i < begins[bucket + 1]; ++i) {
      rows[i] = static_cast<std::int64_t>(scattered[i].row);
    }
  });
}

}  // namespace

template <typename T>
void argsort(base::Pool& pool, const Column<T>& column, bool descending, bool nan_first, std::span<std::int64_t> rows,
             const Chunks& chunks) {
  const std::size_t n = column.size;
  DAYBREAK_CHECK(rows.size() == n);
  std::vector<std::int64_t> nans;
  std::vector<Entry> entries;
  entries.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    const T value = column[i];
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) {
        nans.push_back(static_cast<std::int64_t>(i));
        continue;
      }
    }
    entries.push_back({descending ? ~sort_key(value) : sort_key(value), i});
  }
  const std::size_t first = nan_first ? nans.size() : 0;
  sort_entries(pool, entries, rows.subspan(first, entries.size()), chunks);
  std::ranges::copy(nans, rows.begin() + (nan_first ? 0 : static_cast<std::ptrdiff_t>(entries.size())));
}

#define DAYBREAK_ARGSORT(T) \
  template void argsort(base::Pool&, const Column<T>&, bool, bool, std::span<std::int64_t>, const Chunks&)
DAYBREAK_ARGSORT(std::int8_t);
DAYBREAK_ARGSORT(std::int16_t);
DAYBREAK_ARGSORT(std::int32_t);
DAYBREAK_ARGSORT(std::int64_t);
DAYBREAK_ARGSORT(std::uint8_t);
DAYBREAK_ARGSORT(std::uint16_t);
DAYBREAK_ARGSORT(std::uint32_t);
DAYBREAK_ARGSORT(std::uint64_t);
DAYBREAK_ARGSORT(float);
DAYBREAK_ARGSORT(double);
#undef DAYBREAK_ARGSORT

}  // namespace daybreak::frame
