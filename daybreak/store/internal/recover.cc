// Packs as they lie: walked over damage, and what a part of the manifest that cannot be read said, found again in them.
#include <algorithm>
#include <cstring>
#include <tuple>

#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t kWalkBytes = 8u << 20;

// The block in `bytes` with its pieces named, given the bytes of its bases.
Result<BlockEntry> name_pieces(std::string_view bytes, const BlockMeta& meta, std::string_view bases) {
  DAYBREAK_ASSIGN(const BlockView view, parse_block(bytes));
  std::string raw(view.head.raw_size, '\0');
  const ElementType type{static_cast<std::uint8_t>(view.head.element_bytes & 0x7f),
                         (view.head.element_bytes & 0x80) != 0};
  DAYBREAK_TRY(decode(view.head.codec, type, view.stored, bases, std::as_writable_bytes(std::span(raw))));
  BlockEntry entry;
  entry.id = view.head.id;
  entry.codec = view.head.codec;
  entry.element_bytes = view.head.element_bytes;
  entry.depth = view.head.depth;
  entry.raw_size = view.head.raw_size;
  entry.total_size = static_cast<std::uint32_t>(bytes.size());
  entry.bases = meta.bases;
  std::size_t at = 0;
  for (const std::uint32_t size : meta.sizes) {
    entry.pieces.emplace_back(crypto::sha256(std::string_view(raw).substr(at, size)), size);
    at += size;
  }
  return entry;
}

// Adds to an index what only the packs know. Blocks say the sizes of their pieces, and there is a copy of every
// artifact's entry. Whoever made it holds the lock of the index all the while.
class Recovery {
 public:
  Recovery(Store::Impl& store, Index& index) : store_(store), index_(index) {}
  Result<std::vector<Record>> run();

 private:
  struct Place {
    std::uint64_t pack = 0, offset = 0;
    std::uint32_t size = 0;
  };
  void visit(const Place& place, std::string_view block);
  // False: a base of it has not been found yet.
  Result<bool> take(const Place& place, std::string_view block);
  void take_waiting();

  Store::Impl& store_;
  Index& index_;
  std::vector<ObjectEntry> objects_;
  std::vector<Place> waiting_;
  Record found_;
};

Result<bool> Recovery::take(const Place& place, std::string_view block) {
  DAYBREAK_ASSIGN(const BlockView view, parse_block(block));
  DAYBREAK_ASSIGN(const BlockMeta meta, parse_block_meta(view.head, view.meta));
  std::string bases;
  for (const BlockId& id : meta.bases) {
    if (index_.find_block(id) == nullptr) return false;
    std::map<BlockId, BlockBytes> seen;
    DAYBREAK_ASSIGN(const BlockBytes base,
                    store_.block_bytes(id, [&](const BlockId& b) { return find_in(index_, b); }, 0, seen));
    bases += *base;
  }
  DAYBREAK_ASSIGN(BlockEntry entry, name_pieces(block, meta, bases));
  std::vector<Hash> hashes;
  hashes.reserve(entry.pieces.size());
  for (const auto& [hash, size] : entry.pieces) hashes.push_back(hash);
  if (block_id(hashes) != entry.id) return fail(Code::kDataLoss, "the block holds other pieces than its name says");
  entry.pack = place.pack;
  entry.offset = place.offset;
  index_.add(entry);
  found_.blocks.push_back(std::move(entry));
  return true;
}

void Recovery::visit(const Place& place, std::string_view block) {
  const auto head = parse_block_head(block);
  if (!head) return;
  if (head->type == BlockType::kObject) {
    if (auto object = unpack_object(block)) objects_.push_back(*std::move(object));
  } else if (index_.find_block(head->id) == nullptr) {
    const auto taken = take(place, block);
    if (taken && !*taken) waiting_.push_back(place);
  }
}

// Until no base is found any more. What is damaged waits no longer.
void Recovery::take_waiting() {
  const auto settled = [&](const Place& place) {
    const auto block = store_.stored_block(place.pack, place.offset, place.size);
    const auto taken = block ? take(place, *block) : Result<bool>(true);
    return !taken || *taken;
  };
  while (std::erase_if(waiting_, settled) > 0) {
  }
}

Result<std::vector<Record>> Recovery::run() {
  DAYBREAK_ASSIGN(const auto names, store_.env_.list_directory(store_.file("packs")));
  for (const std::string& name : names) {
    const auto pack = parse_pack_name(name);
    if (!pack) continue;
    std::ignore = walk_pack(
        store_.file("packs/" + name),
        [&](std::uint64_t offset, std::string_view block) -> Status {
          visit({*pack, offset, static_cast<std::uint32_t>(block.size())}, block);
          return {};
        },
        [](std::uint64_t, std::uint64_t) {});
  }
  take_waiting();
  std::vector<Record> records;
  if (!found_.blocks.empty()) records.push_back(std::move(found_));
  for (ObjectEntry& object : objects_) {
    const bool whole =
        std::ranges::all_of(object.runs, [&](const PieceRun& run) { return index_.find_block(run.block) != nullptr; });
    if (!whole || index_.find_object(object.id) != nullptr) continue;
    records.emplace_back().object = object;
    index_.add(object);
  }
  return records;
}

// Where the next block may begin, from `from` on; `size` when there is none.
Result<std::uint64_t> next_block(const RandomFile& pack, std::uint64_t from, std::uint64_t size) {
  const std::string_view magic(reinterpret_cast<const char*>(&kBlockMagic), sizeof kBlockMagic);
  std::string buffer;
  while (from < size) {
    buffer.resize(std::min<std::uint64_t>(kWalkBytes, size - from));
    DAYBREAK_TRY(pack.read_at(from, buffer));
    if (const std::size_t found = buffer.find(magic); found != std::string::npos) return from + found;
    if (buffer.size() < kWalkBytes) break;
    from += buffer.size() - (magic.size() - 1);
  }
  return size;
}

// The whole block at `at` into `block`; false when there is none that is whole.
Result<bool> read_block(const RandomFile& pack, std::uint64_t at, std::uint64_t size, std::string& block) {
  block.resize(std::min<std::uint64_t>(kBlockHeaderBytes, size - at));
  DAYBREAK_TRY(pack.read_at(at, block));
  const auto head = parse_block_head(block);
  if (!head) return false;
  const std::uint64_t length = kBlockHeaderBytes + std::uint64_t{head->meta_size} + head->stored_size;
  if (length > size - at) return false;
  block.resize(length);
  DAYBREAK_TRY(pack.read_at(at, block));
  return parse_block(block).has_value();
}

}  // namespace

Status Store::Impl::recover() {
  Recovery recovery(*this, index_);
  DAYBREAK_ASSIGN(std::vector<Record> found, recovery.run());
  std::ranges::move(found, std::back_inserter(found_again_));
  return {};
}

Status walk_pack(const std::string& path, const std::function<Status(std::uint64_t, std::string_view)>& visit,
                 const std::function<void(std::uint64_t, std::uint64_t)>& bad) {
  DAYBREAK_ASSIGN(const RandomFile pack, RandomFile::open(path));
  DAYBREAK_ASSIGN(const std::uint64_t size, pack.size());
  std::string block(std::min<std::uint64_t>(kPackHeaderBytes, size), '\0');
  DAYBREAK_TRY(pack.read_at(0, block));
  if (block.size() < kPackHeaderBytes || !block.starts_with(kPackMagic)) bad(0, block.size());
  std::uint64_t at = block.size(), bad_from = UINT64_MAX;
  while (at < size) {
    DAYBREAK_ASSIGN(const bool whole, read_block(pack, at, size, block));
    if (whole) {
      if (bad_from != UINT64_MAX) bad(bad_from, at);
      bad_from = UINT64_MAX;
      DAYBREAK_TRY(visit(at, block));
      at += block.size();
    } else {
      if (bad_from == UINT64_MAX) bad_from = at;
      DAYBREAK_ASSIGN(at, next_block(pack, at + 1, size));
    }
  }
  if (bad_from != UINT64_MAX) bad(bad_from, size);
  return {};
}

std::string pack_object(const ObjectEntry& object) {
  const std::string bytes = write_object(object);
  const Encoded encoded = encode_bytes(std::as_bytes(std::span(bytes)), {}, 3);
  BlockHead head;
  head.type = BlockType::kObject;
  head.codec = encoded.codec;
  head.raw_size = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(head.id.data(), object.id.data(), head.id.size());
  return write_block(head, write_block_meta({}), encoded.stored);
}

Result<ObjectEntry> unpack_object(std::string_view block) {
  DAYBREAK_ASSIGN(const BlockView view, parse_block(block));
  if (view.head.type != BlockType::kObject) return fail(Code::kDataLoss, "the block is no artifact's entry");
  std::string bytes(view.head.raw_size, '\0');
  DAYBREAK_TRY(decode(view.head.codec, {}, view.stored, {}, std::as_writable_bytes(std::span(bytes))));
  return parse_object(bytes);
}

}  // namespace daybreak::store
