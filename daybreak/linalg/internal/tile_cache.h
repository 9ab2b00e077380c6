// The tiles of a run that are in memory: buffers, pins, who waits for a tile that is being read, what may go next. Its
// owner's lock guards all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/linalg/schedule.h"
#include "daybreak/os/memory.h"

namespace daybreak::linalg {

struct CachedTile {
  std::byte* data = nullptr;           // nullptr: absent
  std::uint32_t pins = 0;              // tasks that are admitted and not ended, and the writing of it
  std::uint32_t use = 0;               // of its uses: the next one that is not admitted
  std::uint32_t writes = 0;            // that have ended
  std::vector<std::uint32_t> waiting;  // tasks that need it, while it is being read
  bool loading = false;
  bool dirty = false;     // the memory is newer than what is on disk
  bool leaving = false;   // being spilled: to be dropped then
  bool spilled = false;   // the newest value on disk is in the spill folder
  bool in_store = false;  // its final value is in the store
};

class TileCache {
 public:
  TileCache(const Schedule& schedule, std::uint64_t budget_bytes);

  CachedTile& operator[](std::uint32_t tile) { return tiles_[tile]; }
  std::size_t size() const { return tiles_.size(); }
  // Memory of the matrix's own, which is neither counted nor dropped.
  bool fixed(std::uint32_t tile) const { return fixed_[tile]; }
  std::size_t bytes(std::uint32_t tile) const;
  bool fits(std::uint64_t more_bytes) const { return budget_bytes_ == 0 || held_bytes_ + more_bytes <= budget_bytes_; }
  std::uint64_t held_bytes() const { return held_bytes_; }
  std::uint64_t most_held_bytes() const { return most_held_bytes_; }

  // Memory for an absent tile, of a buffer that was dropped where one fits; contents are whatever they are.
  base::Status allocate(std::uint32_t tile);
  void drop(std::uint32_t tile);
  // The resident tile without pins whose next use is farthest from now; kNever when there is none. `now`: the first task
  // that is not admitted.
  std::uint32_t victim(std::uint32_t now);
  // The next use at or after `now`, kNever when there is none.
  std::uint32_t next_use(std::uint32_t tile, std::uint32_t now);
  // A fixed tile's memory.
  base::Status fix(std::uint32_t tile);

 private:
  const Schedule& schedule_;
  const std::uint64_t budget_bytes_;
  std::vector<CachedTile> tiles_;
  std::vector<bool> fixed_;
  std::vector<std::uint32_t> resident_;
  std::vector<std::uint32_t> place_;  // of each tile in resident_
  std::map<std::byte*, os::Mapping> buffers_;
  std::map<std::size_t, std::vector<std::byte*>> free_;  // by size
  std::uint64_t held_bytes_ = 0;                         // by tiles
  std::uint64_t free_bytes_ = 0;                         // by buffers without one
  std::uint64_t most_held_bytes_ = 0;
};

}  // namespace daybreak::linalg
