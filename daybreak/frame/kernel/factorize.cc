#include "daybreak/frame/kernel/factorize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>

namespace daybreak::frame {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kLeastRange = 1u << 16;   // so many slots are always cheaper than a table of hashes
constexpr std::uint64_t kSharedRange = 1u << 20;  // up to so many, each thread has its own slots

struct Bounds {
  std::uint64_t low = 0;
  std::uint64_t range = 0;  // of values from low on: 0 for more than 2^64 - 1
};

// Integers in an order of unsigned ones.
template <typename T>
std::uint64_t ordered(T value) {
  if constexpr (std::is_signed_v<T>) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value)) ^ (1ull << 63);
  } else {
    return value;
  }
}

template <typename T>
Bounds bounds_of(base::Pool& pool, const Column<T>& column, const Chunks& chunks) {
  const std::size_t count = chunks.count(column.size);
  std::vector<T> lows(count);
  std::vector<T> highs(count);
  pool.for_each(count, [&](std::size_t c) {
    const std::size_t end = std::min(column.size, (c + 1) * chunks.rows);
    T low = column[c * chunks.rows];
    T high = low;
    for (std::size_t i = c * chunks.rows; i < end; ++i) {
      low = std::min(low, column[i]);
      high = std::max(high, column[i]);
    }
    lows[c] = low;
    highs[c] = high;
  });
  const std::uint64_t low = ordered(*std::ranges::min_element(lows));
  return {.low = low, .range = ordered(*std::ranges::max_element(highs)) - low + 1};
}

// By code, the first row; by slot, the code.
std::vector<std::int64_t> coded(std::vector<std::uint32_t>& slots, Order order) {
  std::vector<std::int64_t> rows;
  for (const std::uint32_t row : slots) {
    if (row != kNone) rows.push_back(row);
  }
  if (order == Order::kByValue) {
    std::uint32_t code = 0;
    for (std::uint32_t& slot : slots) {
      if (slot != kNone) slot = code++;
    }
    return rows;
  }
  std::vector<std::uint32_t> filled;
  for (std::uint32_t k = 0; k < slots.size(); ++k) {
    if (slots[k] != kNone) filled.push_back(k);
  }
  std::ranges::sort(filled, {}, [&](std::uint32_t k) { return slots[k]; });
  std::ranges::sort(rows);
  for (std::uint32_t code = 0; code < filled.size(); ++code) slots[filled[code]] = code;
  return rows;
}

template <typename T>
std::vector<std::int64_t> by_slots(base::Pool& pool, const Column<T>& column, const Bounds& bounds, Order order,
                                   std::span<std::int64_t> codes, const Chunks& chunks) {
  const std::size_t n = column.size;
  const std::size_t parts = bounds.range <= kSharedRange ? pool.size() : 1;
  std::vector<std::vector<std::uint32_t>> firsts(parts);
  // Parts are runs of rows: what is first in a part that comes before is first.
  pool.for_each(parts, [&](std::size_t part) {
    std::vector<std::uint32_t>& slots = firsts[part];
    slots.assign(bounds.range, kNone);
    const std::size_t end = n * (part + 1) / parts;
    for (std::size_t i = n * part / parts; i < end; ++i) {
      std::uint32_t& slot = slots[ordered(column[i]) - bounds.low];
      if (slot == kNone) slot = static_cast<std::uint32_t>(i);
    }
  });
  std::vector<std::uint32_t>& slots = firsts[0];
  for (std::size_t part = 1; part < parts; ++part) {
    for (std::size_t k = 0; k < slots.size(); ++k) slots[k] = std::min(slots[k], firsts[part][k]);
  }
  std::vector<std::int64_t> rows = coded(slots, order);
  pool.for_each(chunks.count(n), [&](std::size_t c) {
    const std::size_t end = std::min(n, (c + 1) * chunks.rows);
    for (std::size_t i = c * chunks.rows; i < end; ++i) codes[i] = slots[ordered(column[i]) - bounds.low];
  });
  return rows;
}

template <typename T>
std::uint64_t key_of(T value) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<std::uint32_t>(value + 0.0F);  // -0.0 becomes 0.0
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<std::uint64_t>(value + 0.0);
  } else {
    return ordered(value);
  }
}

// Linear probing over a power of two; at most half full.
class Table {
 public:
  Table() : entries_(kFirst, Entry{0, kNone}) {}

  // The code of the key; `next` when it is new.
  std::uint32_t find_or_add(std::uint64_t key, std::uint32_t next) {
    std::size_t at = place(key);
    while (entries_[at].code != kNone && entries_[at].key != key) at = (at + 1) & (entries_.size() - 1);
    if (entries_[at].code != kNone) return entries_[at].code;
    entries_[at] = {key, next};
    if (++filled_ * 2 > entries_.size()) grow();
    return next;
  }
  void fetch(std::uint64_t key) const { __builtin_prefetch(&entries_[place(key)]); }

 private:
  struct Entry {
    std::uint64_t key;
    std::uint32_t code;
  };
  static constexpr std::size_t kFirst = 1u << 12;

  std::size_t place(std::uint64_t key) const {
    key ^= key >> 32;
    key *= 0x9E3779B97F4A7C15ull;
    key ^= key >> 29;
    key *= 0xBF58476D1CE4E5B9ull;
    return key >> shift_;
  }
  void grow() {
    std::vector<Entry> before(entries_.size() * 4, Entry{0, kNone});
    before.swap(entries_);
    shift_ -= 2;
    for (const Entry& entry : before) {
      if (entry.code == kNone) continue;
      std::size_t at = place(entry.key);
      while (entries_[at].code != kNone) at = (at + 1) & (entries_.size() - 1);
      entries_[at] = entry;
    }
  }

  std::vector<Entry> entries_;
  std::size_t filled_ = 0;
  unsigned shift_ = 64 - 12;
};

template <typename T>
std::vector<std::int64_t> by_hash(base::Pool& pool, const Column<T>& column, Order order, std::span<std::int64_t> codes,
                                  const Chunks& chunks) {
  constexpr std::size_t kAhead = 16;
  const std::size_t n = column.size;
  Table table;
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < n; ++i) {
    if (i + kAhead < n) table.fetch(key_of(column[i + kAhead]));
    const T value = column[i];
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) {
        codes[i] = -1;
        continue;
      }
    }
    const auto next = static_cast<std::uint32_t>(rows.size());
    const std::uint32_t code = table.find_or_add(key_of(value), next);
    if (code == next) rows.push_back(static_cast<std::int64_t>(i));
    codes[i] = code;
  }
  if (order == Order::kFirstSeen) return rows;
  std::vector<std::uint32_t> by_value(rows.size());
  std::iota(by_value.begin(), by_value.end(), 0u);
  std::ranges::sort(by_value, {}, [&](std::uint32_t k) { return column[static_cast<std::size_t>(rows[k])]; });
  std::vector<std::int64_t> sorted(rows.size());
  std::vector<std::int64_t> places(rows.size());
  for (std::size_t k = 0; k < by_value.size(); ++k) {
    sorted[k] = rows[by_value[k]];
    places[by_value[k]] = static_cast<std::int64_t>(k);
  }
  pool.for_each(chunks.count(n), [&](std::size_t c) {
    const std::size_t end = std::min(n, (c + 1) * chunks.rows);
    for (std::size_t i = c * chunks.rows; i < end; ++i) {
      if (codes[i] >= 0) codes[i] = places[static_cast<std::size_t>(codes[i])];
    }
  });
  return sorted;
}

}  // namespace

template <typename T>
std::vector<std::int64_t> factorize(base::Pool& pool, const Column<T>& column, Order order,
                                    std::span<std::int64_t> codes, const Chunks& chunks) {
  if (column.size == 0) return {};
  DAYBREAK_CHECK(column.size < kNone && codes.size() == column.size);
  if constexpr (std::is_integral_v<T>) {
    const Bounds bounds = bounds_of(pool, column, chunks);
    if (bounds.range != 0 && bounds.range <= std::max<std::uint64_t>(kLeastRange, 2 * column.size)) {
      return by_slots(pool, column, bounds, order, codes, chunks);
    }
  }
  return by_hash(pool, column, order, codes, chunks);
}

#define DAYBREAK_FACTORIZE(T)                                                                                 \
  template std::vector<std::int64_t> factorize(base::Pool&, const Column<T>&, Order, std::span<std::int64_t>, \
                                               const Chunks&)
DAYBREAK_FACTORIZE(std::int8_t);
DAYBREAK_FACTORIZE(std::int16_t);
DAYBREAK_FACTORIZE(std::int32_t);
DAYBREAK_FACTORIZE(std::int64_t);
DAYBREAK_FACTORIZE(std::uint8_t);
DAYBREAK_FACTORIZE(std::uint16_t);
DAYBREAK_FACTORIZE(std::uint32_t);
DAYBREAK_FACTORIZE(std::uint64_t);
DAYBREAK_FACTORIZE(float);
DAYBREAK_FACTORIZE(double);
#undef DAYBREAK_FACTORIZE

}  // namespace daybreak::frame
