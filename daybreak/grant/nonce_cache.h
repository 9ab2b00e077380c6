// What has been used once and may not be used again.
#pragma once

#include <cstdint>
#include <vector>

#include "daybreak/grant/encoding.h"

namespace daybreak::grant {

// Remembers each key for at least `lifetime_ns` after it was put in and never forgets one before; when full it refuses.
// All memory is taken at construction: two tables of `capacity` keys in turns, the older of which is emptied when all
// in it have outlived their time. One thread at a time. Times come from one clock that never goes back.
class NonceCache {
 public:
  enum class Put { kNew, kSeen, kFull };

  NonceCache(std::size_t capacity, std::int64_t lifetime_ns, std::int64_t now_ns);
  // O(1); allocates nothing.
  Put put(const Hash& key, std::int64_t now_ns);
  std::size_t capacity() const { return capacity_; }

 private:
  struct Table {
    std::vector<Hash> slots;  // zero = free: no SHA-256 is
    std::size_t used = 0;
  };
  static Hash* find(Table& table, const Hash& key);  // its slot, or the free one where it belongs
  void turn(std::int64_t now_ns);

  const std::size_t capacity_;
  const std::int64_t lifetime_ns_;
  Table tables_[2];
  int current_ = 0;
  std::int64_t turned_ns_;
};

}  // namespace daybreak::grant
