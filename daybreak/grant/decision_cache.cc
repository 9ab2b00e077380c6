#include "daybreak/grant/decision_cache.h"

#include <iterator>

namespace daybreak::grant {

const Decision* DecisionCache::find(const Hash& key, std::int64_t now_s) {
  const auto found = places_.find(key);
  if (found == places_.end() || now_s >= found->second->decision.expires_s) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->decision;
}

void DecisionCache::put(const Hash& key, Decision decision, std::int64_t now_s) {
  if (const auto held = places_.find(key); held != places_.end()) erase(held->second);
  if (entries_.size() >= capacity_) {
    const auto ends_first = ends_.begin();
    erase(ends_first->first <= now_s ? places_.find(ends_first->second)->second : std::prev(entries_.end()));
  }
  entries_.push_front({key, std::move(decision)});
  places_.emplace(key, entries_.begin());
  ends_.insert(end_of(entries_.front()));
}

void DecisionCache::erase(Entries::iterator entry) {
  ends_.erase(end_of(*entry));
  places_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace daybreak::grant
