// From bytes to blocks. The artifact goes through in windows: cut into pieces, pieces hashed side by side, those that
// nobody has gathered into blocks, blocks encoded side by side, then appended to a pack in order.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "daybreak/base/failpoint.h"
#include "daybreak/track/store/chunker.h"
#include "daybreak/track/store/internal/impl.h"
#include "daybreak/track/store/sniff.h"

namespace daybreak::track {

using base::Code;
using base::Error;
using base::fail;
using base::MutexLock;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t kWindowBytes = 8u << 20;
constexpr std::size_t kSmallTensorBytes = 4096;  // shares a block with others
constexpr int kTableLevel = 9;                   // tables are read more often than they are written
constexpr int kOtherLevel = 3;
constexpr std::size_t kPrefixBefore = 256u << 10, kPrefixAfter = 512u << 10;  // of the parent, around the same place

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
  std::vector<BlockId> bases;  // candidates
  std::uint8_t depth = 0;      // when the bases are used
  int level = kOtherLevel;
  bool of_tensor = false;    // chunks of one, not headers and small ones
  std::uint32_t number = 0;  // in Putting::numbers
  Encoded encoded;
  std::optional<Error> error;
};

class MemorySource : public Source {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes), left_(bytes) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t n = std::min(out.size(), left_.size());
    std::memcpy(out.data(), left_.data(), n);
    left_ = left_.subspan(n);
    return n;
  }
  std::optional<std::uint64_t> size() const override { return bytes_.size(); }
  std::optional<std::span<const std::byte>> memory() const override { return bytes_; }

 private:
  std::span<const std::byte> bytes_, left_;
};

class FileSource : public Source {
 public:
  FileSource(RandomFile file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const auto part = out.first(std::min<std::uint64_t>(out.size(), size_ - at_));
    DAYBREAK_TRY(file_.read_at(at_, std::span(reinterpret_cast<char*>(part.data()), part.size())));
    at_ += part.size();
    return part.size();
  }
  std::optional<std::uint64_t> size() const override { return size_; }

 private:
  RandomFile file_;
  std::uint64_t size_, at_ = 0;
};

// The part of the source that is being worked on, copied only when the source is not in memory.
class Window {
 public:
  explicit Window(Source& source) : source_(source), memory_(source.memory()) {}
  // At least `wanted` bytes from the position on, or all that there are.
  Status fill(std::size_t wanted) {
    if (memory_ || ended_ || end_ - begin_ >= wanted) return {};
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    while (end_ < buffer_.size()) {
      DAYBREAK_ASSIGN(const std::size_t n, source_.read(std::span(buffer_).subspan(end_)));
      if (n == 0) {
        ended_ = true;
        break;
      }
      end_ += n;
    }
    return {};
  }
  std::span<const std::byte> bytes(std::size_t most) const {
    if (memory_) return memory_->subspan(at_, std::min<std::uint64_t>(most, memory_->size() - at_));
    return std::span(buffer_).subspan(begin_, std::min(most, end_ - begin_));
  }
  // Nothing follows the first `n` bytes.
  bool is_last(std::size_t n) const { return memory_ ? at_ + n == memory_->size() : ended_ && begin_ + n == end_; }
  void take(std::size_t n) {
    at_ += n;
    if (!memory_) begin_ += n;
  }
  std::uint64_t position() const { return at_; }

 private:
  Source& source_;
  const std::optional<std::span<const std::byte>> memory_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t at_ = 0;
  bool ended_ = false;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Where in the parent the bytes of a place in the artifact probably are: behind the last piece that both have, and from
// there in the proportion of what is left of each.
class ParentCursor {
 public:
  ParentCursor(std::uint64_t parent_size, std::optional<std::uint64_t> size) : parent_size_(parent_size), size_(size) {}
  void met(std::uint64_t at, std::uint64_t parent_at) {
    at_ = at;
    parent_at_ = parent_at;
  }
  std::uint64_t guess(std::uint64_t at) const {
    double slope = 1;
    if (size_ && *size_ > at_)
      slope = static_cast<double>(parent_size_ - parent_at_) / static_cast<double>(*size_ - at_);
    // Near a common piece what follows was inserted, removed or changed in place; further on the proportion is better.
    const auto ahead = static_cast<double>(at - at_);
    return std::min(parent_size_, parent_at_ + static_cast<std::uint64_t>(ahead * slope));
  }

 private:
  std::uint64_t parent_size_;
  std::optional<std::uint64_t> size_;
  std::uint64_t at_ = 0, parent_at_ = 0;
};

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

  Status find_parent();
  Status look();
  std::vector<Cut> cut(std::span<const std::byte> bytes, bool last);
  void place(const Cut& piece);
  void gather(const Cut& piece);
  void close_gathered();
  void start_block(const Cut& piece);
  void find_tensor_base(const Cut& piece, NewBlock& block) const;
  void find_prefix(NewBlock& block, std::uint64_t at, std::uint64_t end) const;
  bool in_parent_tensor(std::uint64_t at) const;
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
  std::optional<ObjectEntry> parent_;
  Layout parent_layout_;
  std::map<std::string, const StoredTensor*, std::less<>> parent_tensors_;
  std::unordered_map<Hash, std::uint64_t, FirstBytes> parent_at_;  // of pieces
  std::optional<ParentCursor> cursor_;
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

Status Putting::find_parent() {
  if (!options_.parent) return {};
  {
    MutexLock lock(store_.mutex_);
    if (const ObjectEntry* found = store_.index_.find_object(*options_.parent)) parent_ = *found;
  }
  if (!parent_) return {};
  auto layout = store_.layout_of(*parent_);
  if (!layout) {  // damaged: it cannot be leaned on
    parent_.reset();
    return {};
  }
  parent_layout_ = *std::move(layout);
  for (const StoredTensor& tensor : parent_->tensors) parent_tensors_.emplace(tensor.name, &tensor);
  for (const PlacedPiece& piece : parent_layout_.pieces) parent_at_.try_emplace(piece.hash, piece.at);
  cursor_.emplace(parent_->size, size_);
  return {};
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
    const auto before = parent_tensors_.find(tensor.name);
    const bool there = before != parent_tensors_.end() && before->second->dtype == tensor.dtype;
    segment.chunked = tensor.size >= kSmallTensorBytes &&
                      (tensor.element_bytes == 1 || (there && before->second->shape != tensor.shape));
    if (there) segment.parent_at = before->second->offset;
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
  if (cursor_) {
    if (piece.at == piece.segment->begin && piece.segment->parent_at != UINT64_MAX) {
      cursor_->met(piece.at, piece.segment->parent_at);
    }
    if (const auto met = parent_at_.find(piece.hash); met != parent_at_.end()) {
      cursor_->met(piece.at + piece.bytes.size(), met->second + piece.bytes.size());
    }
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
  find_tensor_base(piece, block);
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
    if (cursor_) find_prefix(*gathering_, piece.at, piece.at + kMaxBlockBytes);
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

// The same slice of the tensor of that name, dtype and shape in the parent, when it is a block of its own.
void Putting::find_tensor_base(const Cut& piece, NewBlock& block) const {
  const StoredTensor& tensor = *piece.segment->tensor;
  const auto found = parent_tensors_.find(tensor.name);
  if (found == parent_tensors_.end()) return;
  const StoredTensor& before = *found->second;
  if (before.dtype != tensor.dtype || before.shape != tensor.shape) return;
  const std::uint64_t at = before.offset + (piece.at - tensor.offset);
  const std::size_t i = parent_layout_.piece_at(at);
  if (i == parent_layout_.pieces.size()) return;
  const PlacedPiece& base = parent_layout_.pieces[i];
  const LayoutBlock& base_block = parent_layout_.blocks[base.block];
  if (base.at != at || base.size != piece.bytes.size() || base_block.pieces != 1 || base_block.depth >= kMaxDepth)
    return;
  block.bases = {base_block.id};
  block.depth = static_cast<std::uint8_t>(base_block.depth + 1);
}

bool Putting::in_parent_tensor(std::uint64_t at) const {
  const auto after = std::ranges::upper_bound(parent_->tensors, at, {}, &StoredTensor::offset);
  return after != parent_->tensors.begin() && at < (after - 1)->offset + (after - 1)->size;
}

// The parent's blocks around the place that [at, end) comes from.
void Putting::find_prefix(NewBlock& block, std::uint64_t at, std::uint64_t end) const {
  const std::uint64_t guess = cursor_->guess(at);
  const std::uint64_t from = guess > kPrefixBefore ? guess - kPrefixBefore : 0;
  const std::uint64_t to = std::min(parent_->size, cursor_->guess(end) + kPrefixAfter);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> weights;  // bytes in the range, block
  std::vector<std::uint32_t> order;
  for (std::size_t i = parent_layout_.piece_at(from); i < parent_layout_.pieces.size(); ++i) {
    const PlacedPiece& piece = parent_layout_.pieces[i];
    if (piece.at >= to) break;
    // Headers and small tensors are read often: they shall not need a megabyte of something else.
    if (!block.of_tensor && parent_layout_.blocks[piece.block].pieces == 1 && in_parent_tensor(piece.at)) continue;
    const auto known = std::ranges::find(order, piece.block);
    if (known == order.end()) {
      order.push_back(piece.block);
      weights.emplace_back(piece.size, piece.block);
    } else {
      weights[static_cast<std::size_t>(known - order.begin())].first += piece.size;
    }
  }
  std::erase_if(weights, [&](const auto& w) { return parent_layout_.blocks[w.second].depth >= kMaxDepth; });
  std::ranges::stable_sort(weights, std::ranges::greater(), &std::pair<std::uint64_t, std::uint32_t>::first);
  if (weights.size() > kMaxBases) weights.resize(kMaxBases);
  for (const std::uint32_t number : order) {  // in the artifact's order: what is near is near
    if (std::ranges::none_of(weights, [&](const auto& w) { return w.second == number; })) continue;
    const LayoutBlock& base = parent_layout_.blocks[number];
    block.bases.push_back(base.id);
    block.depth = std::max(block.depth, static_cast<std::uint8_t>(base.depth + 1));
  }
}

void Putting::encode(NewBlock& block) {
  const bool gathered = !block.gathered.empty();
  if (gathered) block.raw = std::as_bytes(std::span(block.gathered));
  std::string joined;
  BlockBytes one;
  for (const BlockId& id : block.bases) {
    auto base = store_.block_bytes(id);
    if (!base) {  // damaged: it cannot be leaned on
      block.bases.clear();
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
    block.bases.clear();
    block.depth = 0;
  }
}

Status Putting::write_ready() {
  for (NewBlock& block : ready_) {
    BlockHead head;
    head.codec = block.encoded.codec;
    head.element_bytes = static_cast<std::uint8_t>(block.type.bytes | (block.type.is_float ? 0x80 : 0));
    head.depth = block.depth;
    head.raw_size = static_cast<std::uint32_t>(block.raw.size());
    head.id = numbers_[block.number];
    const std::string bytes = write_block(head, write_block_meta({block.bases, block.sizes}), block.encoded.stored);
    DAYBREAK_ASSIGN(const PackWriter::Place place, store_.writer_.append(bytes));
    BlockEntry entry{head.id,
                     place.pack,
                     place.offset,
                     head.codec,
                     head.element_bytes,
                     head.depth,
                     head.raw_size,
                     static_cast<std::uint32_t>(bytes.size()),
                     std::move(block.bases),
                     {}};
    for (std::size_t i = 0; i < block.hashes.size(); ++i) entry.pieces.emplace_back(block.hashes[i], block.sizes[i]);
    blocks.push_back(std::move(entry));
  }
  ready_.clear();
  return {};
}

Status Putting::run() {
  DAYBREAK_TRY(find_parent());
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

std::unique_ptr<Source> memory_source(std::span<const std::byte> bytes) {
  return std::make_unique<MemorySource>(bytes);
}

Result<std::unique_ptr<Source>> file_source(const std::string& path) {
  DAYBREAK_ASSIGN(RandomFile file, RandomFile::open(path));
  DAYBREAK_ASSIGN(const std::uint64_t size, file.size());
  return std::make_unique<FileSource>(std::move(file), size);
}

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
    DAYBREAK_TRY(commit(std::move(record)));
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

}  // namespace daybreak::track
