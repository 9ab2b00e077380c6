#include "daybreak/store/index.h"

namespace daybreak::store {

void Index::add(const BlockEntry& block) {
  const auto number = static_cast<std::uint32_t>(blocks_.size());
  if (!by_block_.try_emplace(block.id, number).second) return;
  IndexedBlock indexed{block.id,
                       block.pack,
                       block.offset,
                       block.raw_size,
                       block.total_size,
                       static_cast<std::uint32_t>(pieces_.size()),
                       static_cast<std::uint32_t>(block.pieces.size()),
                       static_cast<std::uint32_t>(bases_.size()),
                       static_cast<std::uint8_t>(block.bases.size()),
                       block.codec,
                       block.element_bytes,
                       block.depth};
  std::uint32_t offset = 0;
  for (const auto& [hash, size] : block.pieces) {
    by_piece_.try_emplace(hash, static_cast<std::uint32_t>(pieces_.size()));
    pieces_.push_back({hash, number, offset, size});
    offset += size;
  }
  bases_.insert(bases_.end(), block.bases.begin(), block.bases.end());
  blocks_.push_back(indexed);
}

void Index::add(const ObjectEntry& object) {
  objects_.try_emplace(object.id, object);
}

const IndexedBlock* Index::find_block(const BlockId& id) const {
  const auto found = by_block_.find(id);
  return found == by_block_.end() ? nullptr : &blocks_[found->second];
}

const IndexedPiece* Index::find_piece(const Hash& hash) const {
  const auto found = by_piece_.find(hash);
  return found == by_piece_.end() ? nullptr : &pieces_[found->second];
}

const ObjectEntry* Index::find_object(const Hash& id) const {
  const auto found = objects_.find(id);
  return found == objects_.end() ? nullptr : &found->second;
}

BlockEntry Index::entry(const IndexedBlock& block) const {
  BlockEntry entry{block.id,    block.pack,     block.offset,     block.codec, block.element_bytes,
                   block.depth, block.raw_size, block.total_size, {},          {}};
  for (std::size_t i = 0; i < block.bases; ++i) entry.bases.push_back(bases_[block.first_base + i]);
  for (std::size_t i = 0; i < block.pieces; ++i) {
    const IndexedPiece& piece = pieces_[block.first_piece + i];
    entry.pieces.emplace_back(piece.hash, piece.size);
  }
  return entry;
}

std::set<std::uint64_t> Index::packs() const {
  std::set<std::uint64_t> packs;
  for (const IndexedBlock& block : blocks_) packs.insert(block.pack);
  return packs;
}

}  // namespace daybreak::store
