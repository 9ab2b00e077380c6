// From blocks back to bytes.
#include <algorithm>
#include <cstring>

#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

using base::Code;
using base::Error;
using base::fail;
using base::MutexLock;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t kReadWindowBytes = 16u << 20;

std::span<std::byte> bytes_of(std::string& text) {
  return std::as_writable_bytes(std::span(text));
}

}  // namespace

std::size_t Layout::piece_at(std::uint64_t at) const {
  const auto after = std::ranges::upper_bound(pieces, at, {}, &PlacedPiece::at);
  if (after == pieces.begin()) return pieces.size();
  const auto found = after - 1;
  return at < found->at + found->size ? static_cast<std::size_t>(found - pieces.begin()) : pieces.size();
}

BlockBytes BlockCache::find(const BlockId& id) {
  MutexLock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void BlockCache::insert(const BlockId& id, BlockBytes bytes) {
  MutexLock lock(mutex_);
  if (by_id_.contains(id)) return;
  size_ += bytes->size();
  entries_.emplace_front(id, std::move(bytes));
  by_id_[id] = entries_.begin();
  while (size_ > limit_ && !entries_.empty()) {
    size_ -= entries_.back().second->size();
    by_id_.erase(entries_.back().first);
    entries_.pop_back();
  }
}

void BlockCache::clear() {
  MutexLock lock(mutex_);
  entries_.clear();
  by_id_.clear();
  size_ = 0;
}

Result<std::string> Store::Impl::stored_block(std::uint64_t pack, std::uint64_t offset, std::size_t size) {
  const std::string name = "packs/" + pack_name(pack);
  DAYBREAK_ASSIGN(const RandomFile file_in, RandomFile::open(file(name)));
  std::string bytes(size, '\0');
  DAYBREAK_TRY(file_in.read_at(offset, bytes));
  bytes_read_ += size;
  return bytes;
}

Result<FoundBlock> find_in(const Index& index, const BlockId& id) {
  const IndexedBlock* block = index.find_block(id);
  if (block == nullptr) return fail(Code::kDataLoss, "block {} is in no pack", crypto::to_hex(id));
  FoundBlock found{*block, {}};
  for (std::size_t i = 0; i < block->bases; ++i) found.bases.push_back(index.base(block->first_base + i));
  return found;
}

Result<BlockBytes> Store::Impl::unpack(const FoundBlock& found, const FindBlock& find, std::size_t depth,
                                       std::map<BlockId, BlockBytes>& seen) {
  const IndexedBlock& block = found.block;
  const std::vector<BlockId>& bases = found.bases;
  const auto where = [&] { return fmt::format("packs/{} at byte {}", pack_name(block.pack), block.offset); };
  DAYBREAK_ASSIGN(const std::string bytes, stored_block(block.pack, block.offset, block.total_size));
  auto view = parse_block(bytes);
  if (!view) return std::unexpected(std::move(view).error().wrap(where()));
  if (view->head.id != block.id || view->head.raw_size != block.raw_size || view->head.codec != block.codec) {
    return fail(Code::kDataLoss, "{}: another block than the manifest says", where());
  }
  std::string joined;
  BlockBytes one;
  std::string_view base;
  for (const BlockId& id : bases) {
    DAYBREAK_ASSIGN(BlockBytes raw, block_bytes(id, find, depth + 1, seen));
    if (bases.size() == 1) {
      one = std::move(raw);
      base = *one;
    } else {
      joined += *raw;
      base = joined;
    }
  }
  auto out = std::make_shared<std::string>(block.raw_size, '\0');
  const ElementType type{static_cast<std::uint8_t>(block.element_bytes & 0x7f), (block.element_bytes & 0x80) != 0};
  Status decoded = decode(block.codec, type, view->stored, base, bytes_of(*out));
  if (!decoded) return std::unexpected(std::move(decoded).error().wrap(where()));
  bytes_unpacked_ += block.raw_size;
  return out;
}

Result<BlockBytes> Store::Impl::block_bytes(const BlockId& id, const FindBlock& find, std::size_t depth,
                                            std::map<BlockId, BlockBytes>& seen) {
  if (const auto found = seen.find(id); found != seen.end()) return found->second;
  if (BlockBytes cached = cache_.find(id)) return cached;
  if (depth > kMaxDepth) return fail(Code::kDataLoss, "a chain of differences is longer than {}", kMaxDepth);
  DAYBREAK_ASSIGN(const FoundBlock found, find(id));
  DAYBREAK_ASSIGN(BlockBytes bytes, unpack(found, find, depth, seen));
  seen[id] = bytes;
  cache_.insert(id, bytes);
  return bytes;
}

Result<BlockBytes> Store::Impl::block_bytes(const BlockId& id) {
  std::map<BlockId, BlockBytes> seen;
  const FindBlock find = [this](const BlockId& wanted) {
    MutexLock lock(mutex_);
    return find_in(index_, wanted);
  };
  return block_bytes(id, find, 0, seen);
}

Result<Layout> Store::Impl::layout_of(const ObjectEntry& object) {
  MutexLock lock(mutex_);
  Layout layout;
  std::unordered_map<BlockId, std::uint32_t, FirstBytes> numbers;
  std::uint64_t at = 0;
  for (const PieceRun& run : object.runs) {
    const IndexedBlock* block = index_.find_block(run.block);
    if (block == nullptr || std::uint64_t{run.first} + run.count > block->pieces) {
      return fail(Code::kDataLoss, "block {}, which it needs, is in no pack", crypto::to_hex(run.block));
    }
    const auto number = static_cast<std::uint32_t>(layout.blocks.size());
    const auto [known, fresh] = numbers.try_emplace(run.block, number);
    if (fresh) layout.blocks.push_back({run.block, block->raw_size, block->pieces, block->depth});
    for (std::uint32_t i = run.first; i < run.first + run.count; ++i) {
      const IndexedPiece& piece = index_.piece(block->first_piece + i);
      layout.pieces.push_back({at, piece.hash, known->second, piece.offset, piece.size});
      at += piece.size;
    }
  }
  if (at != object.size) {
    return fail(Code::kDataLoss, "its pieces have {} bytes together, {} are expected", at, object.size);
  }
  return layout;
}

// Pieces of one block, next to each other in the artifact, are one step; steps run side by side.
Status Store::Impl::read_pieces(const Layout& layout, std::uint64_t offset, std::span<std::byte> out) {
  if (out.empty()) return {};
  const std::uint64_t end = offset + out.size();
  struct Step {
    std::size_t first = 0, last = 0;
  };
  std::vector<Step> steps;
  for (std::size_t i = layout.piece_at(offset); i < layout.pieces.size() && layout.pieces[i].at < end; ++i) {
    if (steps.empty() || layout.pieces[i].block != layout.pieces[steps.back().first].block) steps.push_back({i, i});
    steps.back().last = i;
  }
  return pool().for_each(steps.size(), [&](std::size_t s) -> Status {
    const PlacedPiece& first = layout.pieces[steps[s].first];
    DAYBREAK_ASSIGN(const auto raw, block_bytes(layout.blocks[first.block].id));
    for (std::size_t i = steps[s].first; i <= steps[s].last; ++i) {
      const PlacedPiece& piece = layout.pieces[i];
      const auto bytes = std::as_bytes(std::span(*raw)).subspan(piece.offset, piece.size);
      if (crypto::sha256(bytes) != piece.hash)
        return fail(Code::kDataLoss, "a piece at byte {} has another hash than the manifest says", piece.at);
      const std::uint64_t from = std::max(offset, piece.at), to = std::min(end, piece.at + piece.size);
      std::memcpy(out.data() + (from - offset), bytes.data() + (from - piece.at), to - from);
    }
    return {};
  });
}

Status Store::Impl::read_object(const ObjectEntry& object, const Sink& sink) {
  DAYBREAK_ASSIGN(const Layout layout, layout_of(object));
  std::vector<std::byte> window(std::min<std::uint64_t>(kReadWindowBytes, object.size));
  for (std::uint64_t at = 0; at < object.size; at += window.size()) {
    const auto part = std::span(window).first(std::min<std::uint64_t>(window.size(), object.size - at));
    DAYBREAK_TRY(read_pieces(layout, at, part));
    DAYBREAK_TRY(sink(part));
  }
  return {};
}

namespace {

// "artifact 9f86... ('policy'): ..." before the message of an error.
template <typename T>
Result<T> of_artifact(const ObjectEntry& object, Result<T> result) {
  if (result) return result;
  return std::unexpected(
      std::move(result).error().wrap(fmt::format("artifact {} ('{}')", crypto::to_hex(object.id), object.name)));
}

}  // namespace

Status Store::Impl::read(const Hash& id, std::uint64_t offset, std::span<std::byte> out) {
  constexpr int kAttempts = 4;
  for (int attempt = 1;; ++attempt) {
    const std::uint64_t before = [&] {
      MutexLock lock(mutex_);
      return generation_;
    }();
    DAYBREAK_ASSIGN(const ObjectEntry object, info(id));
    if (offset > object.size || out.size() > object.size - offset) {
      return fail(Code::kOutOfRange, "bytes {} to {} of artifact {} were asked for: it has {}", offset,
                  offset + out.size(), crypto::to_hex(id), object.size);
    }
    const auto layout = of_artifact(object, layout_of(object));
    Status done = layout ? of_artifact(object, read_pieces(*layout, offset, out)) : std::unexpected(layout.error());
    if (done || attempt == kAttempts) return done;
    // A gc may have moved what it needs while we read: look at the new manifest.
    MutexLock lock(mutex_);
    DAYBREAK_TRY(refresh(false));
    if (generation_ == before) return done;
  }
}

Status Store::Impl::read_all(const Hash& id, const Sink& sink) {
  DAYBREAK_ASSIGN(const ObjectEntry object, info(id));
  std::vector<std::byte> window(std::min<std::uint64_t>(kReadWindowBytes, object.size));
  auto layout = of_artifact(object, layout_of(object));
  for (std::uint64_t at = 0; at < object.size; at += window.size()) {
    const auto part = std::span(window).first(std::min<std::uint64_t>(window.size(), object.size - at));
    if (!layout || !read_pieces(*layout, at, part)) {
      DAYBREAK_TRY(read(id, at, part));  // tells what is wrong, or finds it where a gc has put it
      layout = layout_of(object);
    }
    DAYBREAK_TRY(sink(part));
  }
  return {};
}

}  // namespace daybreak::store
