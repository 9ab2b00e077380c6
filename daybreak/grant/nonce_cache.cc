#include "daybreak/grant/nonce_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace daybreak::grant {

NonceCache::NonceCache(std::size_t capacity, std::int64_t lifetime_ns, std::int64_t now_ns)
    : capacity_(std::max<std::size_t>(capacity, 1)), lifetime_ns_(lifetime_ns), turned_ns_(now_ns) {
  for (Table& table : tables_) table.slots.resize(std::bit_ceil(2 * capacity_));
}

Hash* NonceCache::find(Table& table, const Hash& key) {
  std::size_t at;
  std::memcpy(&at, key.data(), sizeof at);
  for (;; ++at) {  // ends: at most half of the slots are taken
    Hash& slot = table.slots[at & (table.slots.size() - 1)];
    if (slot == key || is_zero(slot)) return &slot;
  }
}

// Whatever is in the older table was put in before the last turn, a lifetime ago.
void NonceCache::turn(std::int64_t now_ns) {
  if (now_ns - turned_ns_ < lifetime_ns_) return;
  turned_ns_ = now_ns;
  current_ = 1 - current_;
  Table& table = tables_[current_];
  if (table.used > 0) std::ranges::fill(table.slots, Hash{});
  table.used = 0;
}

NonceCache::Put NonceCache::put(const Hash& key, std::int64_t now_ns) {
  turn(now_ns);
  if (!is_zero(*find(tables_[1 - current_], key))) return Put::kSeen;
  Hash* const slot = find(tables_[current_], key);
  if (!is_zero(*slot)) return Put::kSeen;
  if (tables_[current_].used == capacity_) return Put::kFull;
  *slot = key;
  ++tables_[current_].used;
  return Put::kNew;
}

}  // namespace daybreak::grant
