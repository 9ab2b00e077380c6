#include "daybreak/store/format.h"

#include <xxhash.h>

#include <cstring>

namespace daybreak::store {

using base::Code;
using base::Error;
using base::fail;
using base::Result;

namespace {

class StoreWriter {
 public:
  template <typename T>
  void fixed(T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);  // little-endian machines only, as the containers
  }
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      out.push_back(static_cast<char>(value | 0x80));
      value >>= 7;
    }
    out.push_back(static_cast<char>(value));
  }
  void text(std::string_view value) {
    varint(value.size());
    out.append(value);
  }
  template <std::size_t n>
  void id(const std::array<std::uint8_t, n>& value) {
    out.append(reinterpret_cast<const char*>(value.data()), n);
  }
  std::string out;
};

// Reads within bounds; after the first failure everything is zero and ok() is false.
class StoreReader {
 public:
  explicit StoreReader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }
  std::size_t left() const { return rest_.size(); }

  template <typename T>
  T fixed() {
    T value{};
    const std::string_view bytes = take(sizeof value);
    if (ok_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::uint64_t varint(std::uint64_t limit) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = fixed<std::uint8_t>();
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        const bool minimal = shift == 0 || byte != 0;
        const bool fits = shift < 63 || byte == 1;
        if (!minimal || !fits || value > limit) ok_ = false;
        return ok_ ? value : 0;
      }
    }
    ok_ = false;
    return 0;
  }
  // A count of things that take at least `least` bytes each.
  std::size_t count(std::size_t limit, std::size_t least) {
    const std::size_t n = varint(limit);
    if (n * least > rest_.size()) ok_ = false;
    return ok_ ? n : 0;
  }
  std::string text(std::size_t limit) { return std::string(take(varint(limit))); }
  template <std::size_t n>
  std::array<std::uint8_t, n> id() {
    return fixed<std::array<std::uint8_t, n>>();
  }

 private:
  std::string_view take(std::size_t n) {
    if (!ok_ || n > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return bytes;
  }

  std::string_view rest_;
  bool ok_ = true;
};

std::unexpected<Error> broken(std::string_view what) {
  return fail(Code::kDataLoss, "{}: truncated, altered or beyond a limit", what);
}

bool element_ok(std::uint8_t element_bytes) {
  const int size = element_bytes & 0x7f;
  return size == 1 || size == 2 || size == 4 || size == 8;
}

bool head_ok(Codec codec, std::uint8_t element_bytes, std::uint8_t depth, std::size_t raw, std::size_t bases) {
  if (codec > Codec::kPatch || !element_ok(element_bytes) || depth > kMaxDepth) return false;
  if (raw == 0 || raw > kMaxBlockBytes || bases > kMaxBases) return false;
  const bool needs = codec == Codec::kDelta || codec == Codec::kPatch;
  if (codec == Codec::kDelta && bases != 1) return false;
  return needs ? bases > 0 && depth > 0 : bases == 0 && depth == 0;
}

HeadBytes head_bytes(const BlockHead& head) {
  StoreWriter w;
  w.fixed(kBlockMagic);
  w.fixed(head.type);
  w.fixed(head.codec);
  w.fixed(head.element_bytes);
  w.fixed(head.depth);
  w.fixed(head.raw_size);
  w.fixed(head.stored_size);
  w.fixed(head.meta_size);
  w.fixed(std::uint32_t{0});
  w.id(head.id);
  w.fixed(head.checksum);
  HeadBytes bytes;
  DAYBREAK_CHECK(w.out.size() == bytes.size());
  std::memcpy(bytes.data(), w.out.data(), bytes.size());
  return bytes;
}

std::uint64_t block_checksum(BlockHead head, std::string_view meta, std::string_view stored) {
  head.checksum = 0;
  const HeadBytes bytes = head_bytes(head);
  XXH64_hash_t hash = XXH3_64bits(bytes.data(), bytes.size());
  hash = XXH3_64bits_withSeed(meta.data(), meta.size(), hash);
  return XXH3_64bits_withSeed(stored.data(), stored.size(), hash);
}

void write_entry(StoreWriter& w, const BlockEntry& block) {
  w.id(block.id);
  w.fixed(block.pack);
  w.varint(block.offset);
  w.fixed(block.codec);
  w.fixed(block.element_bytes);
  w.fixed(block.depth);
  w.varint(block.total_size);
  w.varint(block.bases.size());
  for (const BlockId& base : block.bases) w.id(base);
  w.varint(block.pieces.size());
  for (const auto& [hash, size] : block.pieces) {
    w.id(hash);
    w.varint(size);
  }
}

bool read_entry(StoreReader& r, BlockEntry& block) {
  block.id = r.id<16>();
  block.pack = r.fixed<std::uint64_t>();
  block.offset = r.varint(std::uint64_t{1} << 40);
  block.codec = r.fixed<Codec>();
  block.element_bytes = r.fixed<std::uint8_t>();
  block.depth = r.fixed<std::uint8_t>();
  block.total_size = static_cast<std::uint32_t>(r.varint(2 * kMaxStoredBytes));
  for (std::size_t n = r.count(kMaxBases, 16); n > 0 && r.ok(); --n) block.bases.push_back(r.id<16>());
  const std::size_t pieces = r.count(kMaxPiecesInBlock, 33);
  block.pieces.reserve(pieces);
  std::uint64_t raw = 0;
  std::vector<Hash> hashes;
  for (std::size_t i = 0; i < pieces && r.ok(); ++i) {
    const Hash hash = r.id<32>();
    const auto size = static_cast<std::uint32_t>(r.varint(kMaxBlockBytes));
    if (size == 0) return false;
    block.pieces.emplace_back(hash, size);
    hashes.push_back(hash);
    raw += size;
  }
  if (!r.ok() || raw > kMaxBlockBytes || block.total_size < kBlockHeaderBytes) return false;
  block.raw_size = static_cast<std::uint32_t>(raw);
  return head_ok(block.codec, block.element_bytes, block.depth, raw, block.bases.size()) &&
         block_id(hashes) == block.id && block.offset >= kPackHeaderBytes;
}

void write_tensor(StoreWriter& w, const StoredTensor& tensor) {
  w.text(tensor.name);
  w.text(tensor.dtype);
  w.fixed(static_cast<std::uint8_t>(tensor.element_bytes | (tensor.is_float ? 0x80 : 0)));
  w.varint(tensor.shape.size());
  for (const std::int64_t n : tensor.shape) w.varint(static_cast<std::uint64_t>(n));
  w.varint(tensor.offset);
  w.varint(tensor.size);
}

bool read_tensor(StoreReader& r, std::uint64_t object_size, StoredTensor& tensor) {
  tensor.name = r.text(kMaxNameBytesInObject);
  tensor.dtype = r.text(64);
  const auto element = r.fixed<std::uint8_t>();
  tensor.element_bytes = element & 0x7f;
  tensor.is_float = (element & 0x80) != 0;
  for (std::size_t n = r.count(64, 1); n > 0 && r.ok(); --n) {
    tensor.shape.push_back(static_cast<std::int64_t>(r.varint(INT64_MAX)));
  }
  tensor.offset = r.varint(object_size);
  tensor.size = r.varint(object_size);
  return r.ok() && element_ok(element) && tensor.size <= object_size - tensor.offset;
}

void write_object_into(StoreWriter& w, const ObjectEntry& object) {
  w.id(object.id);
  w.text(object.kind);
  w.text(object.name);
  w.text(object.meta);
  w.varint(object.size);
  w.varint(object.stored_bytes);
  w.fixed(object.copy_pack);
  w.varint(object.parent ? 1 : 0);
  if (object.parent) w.id(*object.parent);
  w.varint(object.tensors.size());
  for (const StoredTensor& tensor : object.tensors) write_tensor(w, tensor);
  w.varint(object.runs.size());
  for (const PieceRun& run : object.runs) {
    w.id(run.block);
    w.varint(run.first);
    w.varint(run.count);
  }
}

bool read_object(StoreReader& r, ObjectEntry& object) {
  object.id = r.id<32>();
  object.kind = r.text(32);
  object.name = r.text(kMaxNameBytesInObject);
  object.meta = r.text(kMaxMetaBytes);
  object.size = r.varint(INT64_MAX);
  object.stored_bytes = r.varint(INT64_MAX);
  object.copy_pack = r.fixed<std::uint64_t>();
  if (r.varint(1) == 1) object.parent = r.id<32>();
  const std::size_t tensors = r.count(kMaxTensorsInObject, 6);
  for (std::size_t i = 0; i < tensors && r.ok(); ++i) {
    if (!read_tensor(r, object.size, object.tensors.emplace_back())) return false;
  }
  const std::size_t runs = r.count(kMaxRecordBytes, 18);
  object.runs.reserve(runs);
  for (std::size_t i = 0; i < runs && r.ok(); ++i) {
    PieceRun run{r.id<16>(), static_cast<std::uint32_t>(r.varint(kMaxPiecesInBlock)),
                 static_cast<std::uint32_t>(r.varint(kMaxPiecesInBlock))};
    if (run.count == 0) return false;
    object.runs.push_back(run);
  }
  return r.ok();
}

}  // namespace

std::string_view name_of(Codec codec) {
  constexpr std::string_view kNames[] = {"raw", "zstd", "planes", "delta", "patch"};
  return codec <= Codec::kPatch ? kNames[static_cast<int>(codec)] : "unknown";
}

BlockId block_id(std::span<const Hash> pieces) {
  const Hash hash = crypto::sha256(std::as_bytes(pieces));
  BlockId id;
  std::memcpy(id.data(), hash.data(), id.size());
  return id;
}

Result<BlockHead> parse_block_head(std::string_view bytes) {
  StoreReader r(bytes.substr(0, kBlockHeaderBytes));
  if (r.fixed<std::uint32_t>() != kBlockMagic) return broken("block");
  BlockHead head;
  head.type = r.fixed<BlockType>();
  head.codec = r.fixed<Codec>();
  head.element_bytes = r.fixed<std::uint8_t>();
  head.depth = r.fixed<std::uint8_t>();
  head.raw_size = r.fixed<std::uint32_t>();
  head.stored_size = r.fixed<std::uint32_t>();
  head.meta_size = r.fixed<std::uint32_t>();
  const auto reserved = r.fixed<std::uint32_t>();
  head.id = r.id<16>();
  head.checksum = r.fixed<std::uint64_t>();
  if (!r.ok() || reserved != 0 || head.raw_size == 0 || head.meta_size > 64 + 3 * kMaxPiecesInBlock) {
    return broken("block head");
  }
  if (head.type == BlockType::kData && (head.raw_size > kMaxBlockBytes || head.stored_size > kMaxStoredBytes)) {
    return broken("block head");
  }
  const bool object = head.type == BlockType::kObject && head.raw_size <= kMaxRecordBytes &&
                      head.stored_size <= kMaxRecordBytes && head.codec <= Codec::kZstd;
  if (head.type != BlockType::kData && !object) return broken("block head");
  return head;
}

Result<BlockMeta> parse_block_meta(const BlockHead& head, std::string_view bytes) {
  StoreReader r(bytes);
  BlockMeta meta;
  for (std::size_t n = r.count(kMaxBases, 16); n > 0 && r.ok(); --n) meta.bases.push_back(r.id<16>());
  std::uint64_t sum = 0;
  for (std::size_t n = r.count(kMaxPiecesInBlock, 1); n > 0 && r.ok(); --n) {
    meta.sizes.push_back(static_cast<std::uint32_t>(r.varint(kMaxBlockBytes)));
    if (meta.sizes.back() == 0) return broken("block meta");
    sum += meta.sizes.back();
  }
  if (!r.at_end() || (head.type == BlockType::kData && sum != head.raw_size)) return broken("block meta");
  if (head.type == BlockType::kData &&
      !head_ok(head.codec, head.element_bytes, head.depth, head.raw_size, meta.bases.size())) {
    return broken("block meta");
  }
  return meta;
}

std::string write_block_meta(const BlockMeta& meta) {
  StoreWriter w;
  w.varint(meta.bases.size());
  for (const BlockId& base : meta.bases) w.id(base);
  w.varint(meta.sizes.size());
  for (const std::uint32_t size : meta.sizes) w.varint(size);
  return std::move(w.out);
}

std::string write_block(BlockHead head, std::string_view meta, std::string_view stored) {
  head.meta_size = static_cast<std::uint32_t>(meta.size());
  head.stored_size = static_cast<std::uint32_t>(stored.size());
  head.checksum = block_checksum(head, meta, stored);
  const HeadBytes bytes = head_bytes(head);
  std::string out;
  out.reserve(bytes.size() + meta.size() + stored.size());
  out.append(bytes.data(), bytes.size()).append(meta).append(stored);
  return out;
}

Result<BlockView> parse_block(std::string_view bytes) {
  DAYBREAK_ASSIGN(const BlockHead head, parse_block_head(bytes));
  if (bytes.size() != kBlockHeaderBytes + std::size_t{head.meta_size} + head.stored_size) return broken("block");
  const BlockView view{head, bytes.substr(kBlockHeaderBytes, head.meta_size),
                       bytes.substr(kBlockHeaderBytes + head.meta_size)};
  if (block_checksum(head, view.meta, view.stored) != head.checksum) {
    return fail(Code::kDataLoss, "checksum does not match");
  }
  return view;
}

Result<RecordHead> parse_record_head(std::string_view bytes) {
  StoreReader r(bytes.substr(0, kRecordHeaderBytes));
  if (r.fixed<std::uint32_t>() != kRecordMagic) return broken("record head");
  RecordHead head;
  head.type = r.fixed<RecordType>();
  const auto version = r.fixed<std::uint8_t>();
  const auto reserved = r.fixed<std::uint16_t>();
  head.body_size = r.fixed<std::uint64_t>();
  head.body_checksum = r.fixed<std::uint64_t>();
  head.object = r.id<32>();
  const auto checksum = r.fixed<std::uint64_t>();
  if (!r.ok() || XXH3_64bits(bytes.data(), kRecordHeaderBytes - 8) != checksum) return broken("record head");
  if (version != 1 || reserved != 0 || head.body_size > kMaxRecordBytes) return broken("record head");
  return head;
}

Result<Record> parse_record_body(const RecordHead& head, std::string_view body) {
  if (body.size() != head.body_size || XXH3_64bits(body.data(), body.size()) != head.body_checksum) {
    return fail(Code::kDataLoss, "record: checksum does not match");
  }
  StoreReader r(body);
  Record record;
  record.type = head.type;
  if (head.type == RecordType::kHealed) {
    record.from = r.varint(INT64_MAX);
    record.to = r.varint(INT64_MAX);
    if (!r.at_end() || record.from > record.to) return broken("record");
    return record;
  }
  if (head.type != RecordType::kPut) return broken("record type");
  const std::size_t blocks = r.count(kMaxRecordBytes, 65);
  record.blocks.reserve(blocks);
  for (std::size_t i = 0; i < blocks; ++i) {
    if (!read_entry(r, record.blocks.emplace_back())) return broken("record");
  }
  if (r.varint(1) == 1 && !read_object(r, record.object.emplace())) return broken("record");
  if (!r.at_end() || (record.object ? record.object->id : Hash{}) != head.object) return broken("record");
  return record;
}

Result<std::string> write_record(const Record& record) {
  StoreWriter body;
  if (record.type == RecordType::kHealed) {
    body.varint(record.from);
    body.varint(record.to);
  } else {
    body.varint(record.blocks.size());
    for (const BlockEntry& block : record.blocks) write_entry(body, block);
    body.varint(record.object ? 1 : 0);
    if (record.object) write_object_into(body, *record.object);
  }
  if (body.out.size() > kMaxRecordBytes) {
    return fail(Code::kResourceExhausted, "the index of this artifact has {} bytes, {} are allowed: put it in parts",
                body.out.size(), kMaxRecordBytes);
  }
  StoreWriter w;
  w.fixed(kRecordMagic);
  w.fixed(record.type);
  w.fixed(std::uint8_t{1});
  w.fixed(std::uint16_t{0});
  w.fixed(std::uint64_t{body.out.size()});
  w.fixed(std::uint64_t{XXH3_64bits(body.out.data(), body.out.size())});
  w.id(record.object ? record.object->id : Hash{});
  w.fixed(std::uint64_t{XXH3_64bits(w.out.data(), w.out.size())});
  DAYBREAK_CHECK(w.out.size() == kRecordHeaderBytes);
  return w.out + body.out;
}

std::string write_object(const ObjectEntry& object) {
  StoreWriter w;
  write_object_into(w, object);
  return std::move(w.out);
}

Result<ObjectEntry> parse_object(std::string_view bytes) {
  StoreReader r(bytes);
  ObjectEntry object;
  if (!read_object(r, object) || !r.at_end()) return broken("object");
  return object;
}

}  // namespace daybreak::store
