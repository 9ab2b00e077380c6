// What the manifest says, in memory: where blocks lie, which pieces they hold, which artifacts there are.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "daybreak/store/format.h"

namespace daybreak::store {

struct FirstBytes {  // of a cryptographic hash: already spread
  template <typename Id>
  std::size_t operator()(const Id& id) const {
    std::size_t value;
    std::memcpy(&value, id.data(), sizeof value);
    return value;
  }
};

// Where a block lies; its pieces and bases are in the index's own arrays. About 100 bytes, and 100 for each piece.
struct IndexedBlock {
  BlockId id{};
  std::uint64_t pack = 0;
  std::uint64_t offset = 0;
  std::uint32_t raw_size = 0;
  std::uint32_t total_size = 0;
  std::uint32_t first_piece = 0, pieces = 0;
  std::uint32_t first_base = 0;
  std::uint8_t bases = 0;
  Codec codec = Codec::kRaw;
  std::uint8_t element_bytes = 1;
  std::uint8_t depth = 0;
};

struct IndexedPiece {
  Hash hash{};
  std::uint32_t block = 0;   // index into blocks
  std::uint32_t offset = 0;  // in the block's raw bytes
  std::uint32_t size = 0;
};

// One thread at a time (Store holds its mutex).
class Index {
 public:
  // A block that is there already is passed over: equal ids mean equal pieces.
  void add(const BlockEntry& block);
  // The first artifact of an id stays.
  void add(const ObjectEntry& object);
  void clear() { *this = Index(); }

  const IndexedBlock* find_block(const BlockId& id) const;
  const IndexedPiece* find_piece(const Hash& hash) const;
  const ObjectEntry* find_object(const Hash& id) const;

  const std::deque<IndexedBlock>& blocks() const { return blocks_; }
  const IndexedPiece& piece(std::size_t i) const { return pieces_[i]; }
  const BlockId& base(std::size_t i) const { return bases_[i]; }
  const std::map<Hash, ObjectEntry>& objects() const { return objects_; }
  BlockEntry entry(const IndexedBlock& block) const;
  std::set<std::uint64_t> packs() const;

 private:
  std::deque<IndexedBlock> blocks_;
  std::deque<IndexedPiece> pieces_;
  std::vector<BlockId> bases_;
  std::unordered_map<BlockId, std::uint32_t, FirstBytes> by_block_;
  std::unordered_map<Hash, std::uint32_t, FirstBytes> by_piece_;
  std::map<Hash, ObjectEntry> objects_;
};

}  // namespace daybreak::store
