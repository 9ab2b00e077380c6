// What a verifier has decided and may say again without looking at signatures.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "daybreak/grant/encoding.h"
#include "daybreak/grant/proof.h"

namespace daybreak::grant {

struct Decision {
  std::shared_ptr<const Proof> proof;
  std::int64_t expires_s = 0;  // of the first of its parts
};

// At most `capacity` decisions. When it is full, what has expired goes first, then what was not asked for for the
// longest time: so newcomers, which anyone with a valid proof can make, do not push out what is in use. One thread at a
// time.
class DecisionCache {
 public:
  explicit DecisionCache(std::size_t capacity) : capacity_(capacity) { places_.reserve(capacity); }

  // The decision, unless it has expired; it counts as asked for now. Owned by the cache. O(1), allocates nothing.
  const Decision* find(const Hash& key, std::int64_t now_s);
  // O(log n).
  void put(const Hash& key, Decision decision, std::int64_t now_s);
  template <typename Predicate>
  void erase_if(Predicate predicate) {
    for (auto at = entries_.begin(); at != entries_.end();) {
      const auto entry = at++;
      if (predicate(entry->decision)) erase(entry);
    }
  }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Hash key;
    Decision decision;
  };
  using Entries = std::list<Entry>;  // asked for last: first
  void erase(Entries::iterator entry);
  std::pair<std::int64_t, Hash> end_of(const Entry& entry) const { return {entry.decision.expires_s, entry.key}; }

  const std::size_t capacity_;
  Entries entries_;
  std::unordered_map<Hash, Entries::iterator, HashHasher> places_;
  std::set<std::pair<std::int64_t, Hash>> ends_;  // (expires, key): which ends first
};

}  // namespace daybreak::grant
