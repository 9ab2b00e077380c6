// From bytes to blocks. The artifact goes through in windows: cut into pieces, pieces hashed side by side, those that
// nobody has gathered into blocks, blocks encoded side by side, then appended to a pack in order.
#include <algorithm>
#include <tuple>

#include "daybreak/base/failpoint.h"
#include "daybreak/store/chunker.h"
#include "daybreak/store/internal/impl.h"
#include "daybreak/store/internal/parent.h"
#include "daybreak/store/internal/window.h"
#include "daybreak/store/sniff.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::MutexLock;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t kWindowBytes = 8u << 20;
constexpr std::size_t kSmallTensorBytes = 4096;  // shares a block with others
constexpr int kTableLevel = 8;  // tables are read more often than they are written; 9 costs 14% more for as many bytes
constexpr int kOtherLevel = 3;

// A part of the artifact that is cut in one way.
struct Segment {
  std::uint64_t begin = 0, end = 0;
  const StoredTensor* tensor = nullptr;
  bool chunked = false;                  // else a tensor's slices
  std::uint64_t parent_at = UINT64_MAX;  // where the parent has the tensor, when it is chunked
};

// A block on its way.
struct NewBlock {
  std::vector<Hash> hashes;
  std::vector<std::uint32_t> sizes;
  std::string gathered;            // the bytes, when they are of several pieces
  std::span<const std::byte> raw;  // else the window's
  ElementType type;
  Bases bases;  // candidates
  int level = kOtherLevel;
  bool of_tensor = false;    // chunks of one, not headers and small ones
  std::uint32_t number = 0;  // in Putting::numbers
  Encoded encoded;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One put.
class Putting {
 public:
  Putting(Store::Impl& store, Source& source, const PutOptions& options)
      : store_(store), options_(options), window_(source), size_(source.size()) {}

  Status run();
  ObjectEntry object;
  std::vector<BlockEntry> blocks;

 private:
  struct Cut {
    std::span<const std::byte> bytes;
    std::uint64_t at = 0;
    const Segment* segment = nullptr;
    Hash hash{};
  };

  void find_parent();
  Status look();
  std::vector<Cut> cut(std::span<const std::byte> bytes, bool last);
  void place(const Cut& piece);
  void gather(const Cut& piece);
  void close_gathered();
  void start_block(const Cut& piece);
  void encode(NewBlock& block);
  Status write_ready();
  void add_run(std::uint32_t number, std::uint32_t piece);
  std::uint32_t number_of(const BlockId& id);

  Store::Impl& store_;
  const PutOptions& options_;
  Window window_;
  const std::optional<std::uint64_t> size_;
  bool is_table_ = false;
  std::vector<Segment> segments_;
  std::size_t segment_ = 0;
  std::optional<ParentVersion> parent_;
  crypto::Sha256 whole_;
  std::vector<NewBlock> ready_;  // to be encoded at the end of the window
  std::optional<NewBlock> gathering_;
  const Segment* gathered_from_ = nullptr;
  std::vector<BlockId> numbers_;
  std::unordered_map<BlockId, std::uint32_t, FirstBytes> by_id_;
  std::unordered_map<Hash, std::pair<std::uint32_t, std::uint32_t>, FirstBytes> fresh_;  // pieces of this put
  struct NumberedRun {
    std::uint32_t block, first, count;
  };
  std::vector<NumberedRun> runs_;
};

void Putting::find_parent() {
  if (!options_.parent) return;
  std::optional<ObjectEntry> object;
  {
    MutexLock lock(store_.mutex_);
    if (const ObjectEntry* found = store_.index_.find_object(*options_.parent)) object = *found;
  }
  if (!object) return;
  auto layout = store_.layout_of(*object);
  if (layout) parent_.emplace(*std::move(object), *std::move(layout), size_);  // else damaged: not to be leaned on
}

// Sniffs, and divides the artifact into segments.
Status Putting::look() {
  DAYBREAK_TRY(window_.fill(kWindowBytes));
  if (options_.sniff) {
    const std::size_t wanted = bytes_to_sniff(text_of(window_.bytes(kSniffBytes)));
    if (wanted > kWindowBytes) DAYBREAK_TRY(window_.fill(wanted));
    Sniffed sniffed = sniff(text_of(window_.bytes(wanted)), size_);
    is_table_ = sniffed.content == Content::kTable || options_.kind == "table";
    object.tensors = std::move(sniffed.tensors);
  }
  std::uint64_t at = 0;
  for (const StoredTensor& tensor : object.tensors) {
    if (tensor.size == 0) continue;
    if (tensor.offset > at) segments_.push_back({at, tensor.offset, nullptr, true});
    Segment segment{tensor.offset, tensor.offset + tensor.size, &tensor};
    // Bytes, and a tensor that grew or shrank: elements have moved, so that slices would share nothing.
    const StoredTensor* before = parent_ ? parent_->tensor(tensor.name) : nullptr;
    const bool there = before != nullptr && before->dtype == tensor.dtype;
    segment.chunked =
        tensor.size >= kSmallTensorBytes && (tensor.element_bytes == 1 || (there && before->shape != tensor.shape));
    if (there) segment.parent_at = before->offset;
    segments_.push_back(segment);
    at = tensor.offset + tensor.size;
  }
  segments_.push_back({at, UINT64_MAX, nullptr, true});
  return {};
}

// Pieces from the front of `bytes`, as far as they are certain.
std::vector<Putting::Cut> Putting::cut(std::span<const std::byte> bytes, bool last) {
  std::vector<Cut> cuts;
  std::uint64_t at = window_.position();
  while (!bytes.empty()) {
    while (at == segments_[segment_].end) ++segment_;
    const Segment& segment = segments_[segment_];
    const std::uint64_t left = segment.end - at;
    const auto part = bytes.first(std::min<std::uint64_t>(bytes.size(), left));
    const bool ends = part.size() == left || (last && part.size() == bytes.size());
    std::size_t length = 0;
    if (!segment.chunked) {
      const std::uint64_t slice_left = kMaxBlockBytes - (at - segment.begin) % kMaxBlockBytes;
      if (part.size() >= std::min(slice_left, left) || ends) length = std::min<std::uint64_t>(part.size(), slice_left);
    } else {
      length = first_chunk(part, is_table_ ? kTableChunkBytes : kOtherChunkBytes, ends);
    }
    if (length == 0) break;
    cuts.push_back({bytes.first(length), at, &segment, {}});
    bytes = bytes.subspan(length);
    at += length;
  }
  return cuts;
}

std::uint32_t Putting::number_of(const BlockId& id) {
  const auto [found, fresh] = by_id_.try_emplace(id, static_cast<std::uint32_t>(numbers_.size()));
  if (fresh) numbers_.push_back(id);
  return found->second;
}

void Putting::add_run(std::uint32_t number, std::uint32_t piece) {
  if (!runs_.empty() && runs_.back().block == number && runs_.back().first + runs_.back().count == piece) {
    ++runs_.back().count;
  } else {
    runs_.push_back({number, piece, 1});
  }
}

// Decides where the piece will be found: in a block that is there, or in a new one.
void Putting::place(const Cut& piece) {
  if (const auto again = fresh_.find(piece.hash); again != fresh_.end()) {
    return add_run(again->second.first, again->second.second);
  }
  if (parent_) {
    if (piece.at == piece.segment->begin && piece.segment->parent_at != UINT64_MAX) {
      parent_->meet(piece.at, piece.segment->parent_at);
    }
    parent_->meet(piece.hash, piece.at + piece.bytes.size(), piece.bytes.size());
  }
  {
    MutexLock lock(store_.mutex_);
    if (const IndexedPiece* known = store_.index_.find_piece(piece.hash)) {
      const IndexedBlock& block = store_.index_.blocks()[known->block];
      std::uint32_t i = 0;
      while (store_.index_.piece(block.first_piece + i).offset != known->offset) ++i;
      return add_run(number_of(block.id), i);
    }
  }
  if (!piece.segment->chunked && piece.bytes.size() >= kSmallTensorBytes) {
    start_block(piece);
  } else {
    gather(piece);
  }
}

void Putting::start_block(const Cut& piece) {
  NewBlock& block = ready_.emplace_back();
  block.hashes = {piece.hash};
  block.sizes = {static_cast<std::uint32_t>(piece.bytes.size())};
  block.raw = piece.bytes;
  block.type = {piece.segment->tensor->element_bytes, piece.segment->tensor->is_float};
  block.number = number_of(block_id(block.hashes));
  const StoredTensor& tensor = *piece.segment->tensor;
  if (parent_) block.bases = parent_->for_slice(tensor, piece.at - tensor.offset, piece.bytes.size());
  fresh_[piece.hash] = {block.number, 0};
  add_run(block.number, 0);
}

void Putting::gather(const Cut& piece) {
  const bool of_tensor = piece.segment->tensor != nullptr && piece.segment->chunked;
  if (gathering_ && (gathering_->gathered.size() + piece.bytes.size() > kMaxBlockBytes ||
                     gathering_->hashes.size() == kMaxPiecesInBlock || gathering_->of_tensor != of_tensor ||
                     (of_tensor && gathered_from_ != piece.segment))) {
    close_gathered();
  }
  if (!gathering_) {
    gathering_.emplace();
    gathering_->level = is_table_ ? kTableLevel : kOtherLevel;
    gathering_->of_tensor = of_tensor;
    gathering_->number = static_cast<std::uint32_t>(numbers_.size());
    numbers_.push_back({});  // named when it is closed
    gathering_->gathered.reserve(kMaxBlockBytes);
    gathered_from_ = piece.segment;
    if (parent_) gathering_->bases = parent_->for_range(piece.at, piece.at + kMaxBlockBytes, of_tensor);
  }
  const auto i = static_cast<std::uint32_t>(gathering_->hashes.size());
  gathering_->hashes.push_back(piece.hash);
  gathering_->sizes.push_back(static_cast<std::uint32_t>(piece.bytes.size()));
  gathering_->gathered.append(text_of(piece.bytes));
  fresh_[piece.hash] = {gathering_->number, i};
  add_run(gathering_->number, i);
}

void Putting::close_gathered() {
  if (!gathering_) return;
  const BlockId id = block_id(gathering_->hashes);
  numbers_[gathering_->number] = id;
  by_id_.try_emplace(id, gathering_->number);
  ready_.push_back(*std::move(gathering_));
  gathering_.reset();
}

void Putting::encode(NewBlock& block) {
  const bool gathered = !block.gathered.empty();
  if (gathered) block.raw = std::as_bytes(std::span(block.gathered));
  std::string joined;
  BlockBytes one;
  for (const BlockId& id : block.bases.blocks) {
    auto base = store_.block_bytes(id);
    if (!base) {  // damaged: it cannot be leaned on
      block.bases = {};
      joined.clear();
      one.reset();
      break;
    }
    if (gathered) {
      joined += **base;
    } else {
      one = *std::move(base);
    }
  }
  if (gathered) {
    block.encoded = encode_bytes(block.raw, joined, block.level);
  } else {
    block.encoded = encode_elements(
        block.raw, one != nullptr ? std::as_bytes(std::span(*one)) : std::span<const std::byte>{}, block.type);
  }
  if (block.encoded.codec != Codec::kDelta && block.encoded.codec != Codec::kPatch) {
    block.bases = {};
  }
}

Status Putting::write_ready() {
  for (NewBlock& block : ready_) {
    BlockHead head;
    head.codec = block.encoded.codec;
    head.element_bytes = static_cast<std::uint8_t>(block.type.bytes | (block.type.is_float ? 0x80 : 0));
    head.depth = block.bases.depth;
    head.raw_size = static_cast<std::uint32_t>(block.raw.size());
    head.id = numbers_[block.number];
    const std::string bytes =
        write_block(head, write_block_meta({block.bases.blocks, block.sizes}), block.encoded.stored);
    DAYBREAK_ASSIGN(const PackWriter::Place place, store_.writer_.append(bytes));
    BlockEntry entry{head.id,
                     place.pack,
                     place.offset,
                     head.codec,
                     head.element_bytes,
                     head.depth,
                     head.raw_size,
                     static_cast<std::uint32_t>(bytes.size()),
                     std::move(block.bases.blocks),
                     {}};
    for (std::size_t i = 0; i < block.hashes.size(); ++i) entry.pieces.emplace_back(block.hashes[i], block.sizes[i]);
    blocks.push_back(std::move(entry));
  }
  ready_.clear();
  return {};
}

Status Putting::run() {
  find_parent();
  DAYBREAK_TRY(look());
  while (true) {
    DAYBREAK_TRY(window_.fill(kWindowBytes));
    const auto bytes = window_.bytes(kWindowBytes);
    if (bytes.empty()) break;
    std::vector<Cut> cuts = cut(bytes, window_.is_last(bytes.size()));
    DAYBREAK_CHECK(!cuts.empty());
    store_.pool().for_each(cuts.size(), [&](std::size_t i) { cuts[i].hash = crypto::sha256(cuts[i].bytes); });
    std::size_t taken = 0;
    for (const Cut& piece : cuts) {
      place(piece);
      taken += piece.bytes.size();
    }
    const bool last = window_.is_last(taken);
    if (last) close_gathered();
    store_.pool().for_each(ready_.size() + 1, [&](std::size_t i) {
      if (i == 0) {
        whole_.update(bytes.first(taken));
      } else {
        encode(ready_[i - 1]);
      }
    });
    DAYBREAK_TRY(write_ready());
    window_.take(taken);
  }
  object.id = whole_.finish();
  object.size = window_.position();
  object.kind = options_.kind;
  object.name = options_.name;
  object.meta = options_.meta;
  object.parent = options_.parent;
  if (!object.tensors.empty()) {
    const StoredTensor& end = object.tensors.back();
    if (end.offset + end.size > object.size) object.tensors.clear();  // cut off: bytes like any other
  }
  for (const NumberedRun& run : runs_) object.runs.push_back({numbers_[run.block], run.first, run.count});
  return {};
}

}  // namespace

Result<Stored> Store::Impl::put(Source& source, const PutOptions& options) {
  if (options.name.size() > kMaxNameBytesInObject || options.meta.size() > kMaxMetaBytes || options.kind.size() > 32) {
    return fail(Code::kInvalidArgument, "name, meta and kind have {}, {} and {} bytes: {}, {} and 32 are allowed",
                options.name.size(), options.meta.size(), options.kind.size(), kMaxNameBytesInObject, kMaxMetaBytes);
  }
  MutexLock one(put_mutex_);
  DAYBREAK_TRY(check_process());
  DAYBREAK_ASSIGN(const auto lock, lock_store(FileLock::Mode::kShared));  // until it is pinned
  {
    MutexLock guard(mutex_);
    DAYBREAK_TRY(refresh(false));
    if (writer_generation_ != generation_) writer_.abandon();  // a gc came by: its pack may be gone
    writer_generation_ = generation_;
  }
  const std::uint64_t before = writer_.written();
  Putting putting(*this, source, options);
  const auto store = [&]() -> Result<Stored> {
    DAYBREAK_TRY(putting.run());
    ObjectEntry& object = putting.object;
    {
      MutexLock guard(mutex_);
      if (const ObjectEntry* known = index_.find_object(object.id)) {
        DAYBREAK_TRY(pins_.add(object.id));
        return Stored{object.id, known->kind, known->size, 0};
      }
    }
    object.stored_bytes = writer_.written() - before;
    DAYBREAK_ASSIGN(const PackWriter::Place copy, writer_.append(pack_object(object)));
    object.copy_pack = copy.pack;
    DAYBREAK_TRY(writer_.sync());
    DAYBREAK_TRY(pins_.add(object.id));
    DAYBREAK_FAILPOINT("store.pinned");
    Record record;
    record.blocks = std::move(putting.blocks);
    record.object = object;
    DAYBREAK_TRY(commit(record));
    return Stored{object.id, object.kind, object.size, writer_.written() - before};
  };
  auto stored = store();
  if (!stored) writer_.abandon();
  return stored;
}

Status Store::Impl::release(const Hash& id) {
  MutexLock one(put_mutex_);
  DAYBREAK_TRY(check_process());
  return pins_.remove(id);
}

}  // namespace daybreak::store
