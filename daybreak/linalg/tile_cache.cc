#include "daybreak/linalg/internal/tile_cache.h"

#include <algorithm>

namespace daybreak::linalg {

TileCache::TileCache(const Schedule& schedule, std::uint64_t budget_bytes)
    : schedule_(schedule),
      budget_bytes_(budget_bytes),
      tiles_(schedule.tiles().size()),
      fixed_(schedule.tiles().size()),
      place_(schedule.tiles().size(), kNever) {
  for (std::size_t t = 0; t < tiles_.size(); ++t) {
    const Slot& slot = schedule.slots()[schedule.tiles()[t].slot];
    fixed_[t] = slot.store != nullptr && slot.store->in_memory();
  }
}

std::size_t TileCache::bytes(std::uint32_t tile) const {
  return std::max(aligned(schedule_.tiles()[tile].shape.bytes()), kAlignBytes);
}

base::Status TileCache::fix(std::uint32_t tile) {
  const Tile& known = schedule_.tiles()[tile];
  DAYBREAK_ASSIGN(tiles_[tile].data, schedule_.slots()[known.slot].store->resident(known.i, known.j));
  return {};
}

base::Status TileCache::allocate(std::uint32_t tile) {
  const std::size_t size = bytes(tile);
  auto& same = free_[size];
  std::byte* data = nullptr;
  if (!same.empty()) {
    data = same.back();
    same.pop_back();
    free_bytes_ -= size;
  } else {
    // Buffers of other sizes go before the budget is passed.
    for (auto other = free_.begin();
         budget_bytes_ != 0 && held_bytes_ + free_bytes_ + size > budget_bytes_ && other != free_.end();) {
      if (other->second.empty()) {
        ++other;
        continue;
      }
      free_bytes_ -= other->first;
      buffers_.erase(other->second.back());
      other->second.pop_back();
    }
    DAYBREAK_ASSIGN(os::Mapping made, os::map_zeros(size));
    data = made.data();
    buffers_.emplace(data, std::move(made));
  }
  tiles_[tile].data = data;
  place_[tile] = static_cast<std::uint32_t>(resident_.size());
  resident_.push_back(tile);
  held_bytes_ += size;
  most_held_bytes_ = std::max(most_held_bytes_, held_bytes_ + free_bytes_);
  return {};
}

void TileCache::drop(std::uint32_t tile) {
  const std::size_t size = bytes(tile);
  free_[size].push_back(tiles_[tile].data);
  free_bytes_ += size;
  held_bytes_ -= size;
  tiles_[tile].data = nullptr;
  const std::uint32_t last = resident_.back();
  resident_[place_[tile]] = last;
  place_[last] = place_[tile];
  resident_.pop_back();
}

std::uint32_t TileCache::next_use(std::uint32_t tile, std::uint32_t now) {
  const auto uses = schedule_.uses(schedule_.tiles()[tile]);
  std::uint32_t& use = tiles_[tile].use;
  while (use < uses.size() && uses[use] < now) ++use;
  return use < uses.size() ? uses[use] : kNever;
}

std::uint32_t TileCache::victim(std::uint32_t now) {
  std::uint32_t found = kNever;
  std::uint32_t farthest = 0;
  for (const std::uint32_t tile : resident_) {
    if (tiles_[tile].pins != 0 || tiles_[tile].loading) continue;
    const std::uint32_t next = next_use(tile, now);
    if (found == kNever || next > farthest) {
      found = tile;
      farthest = next;
    }
  }
  return found;
}

}  // namespace daybreak::linalg
