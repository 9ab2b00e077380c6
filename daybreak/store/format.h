// The bytes of packs and of the manifest (docs/formats/content-store.md). Everything here is pure: bytes in, structs
// out. What the parsers accept lies within the limits below; anything else is kDataLoss.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/crypto/hash.h"

namespace daybreak::store {

using crypto::Hash;

inline constexpr std::size_t kMaxBlockBytes = 1u << 20;     // raw bytes of a block: what one random read unpacks
inline constexpr std::size_t kMaxStoredBytes = 5u << 18;    // stored bytes of one; an encoder may not expand by more
inline constexpr std::size_t kMaxPiecesInBlock = 4096;      // pieces have 256 bytes on average or more
inline constexpr std::size_t kMaxBases = 3;                 // blocks that one block is a difference to
inline constexpr std::size_t kMaxDepth = 8;                 // links from a block to one that needs no other
inline constexpr std::size_t kPackTargetBytes = 64u << 20;  // a pack that has grown to this gets no more blocks
inline constexpr std::size_t kMaxRecordBytes = 256u << 20;  // one manifest record: the index of one artifact
inline constexpr std::size_t kMaxTensorsInObject = 1u << 20;
inline constexpr std::size_t kMaxNameBytesInObject = 4096;
inline constexpr std::size_t kMaxMetaBytes = 16u << 20;

inline constexpr std::size_t kPackHeaderBytes = 16;
inline constexpr std::size_t kBlockHeaderBytes = 48;
inline constexpr std::size_t kRecordHeaderBytes = 64;
inline constexpr std::string_view kPackMagic = "DBTRPK1\n";
inline constexpr std::string_view kManifestMagic = "DBTRMF1\n";
inline constexpr std::uint32_t kBlockMagic = 0x4b4c4244;   // "DBLK"
inline constexpr std::uint32_t kRecordMagic = 0x43524244;  // "DBRC"

// The first 16 bytes of SHA-256 over the hashes of a block's pieces: it names the content, wherever the block lies.
using BlockId = std::array<std::uint8_t, 16>;
BlockId block_id(std::span<const Hash> pieces);

enum class Codec : std::uint8_t {
  kRaw = 0,     // as it is
  kZstd = 1,    // one zstd frame
  kPlanes = 2,  // byte planes of the elements, each compressed by itself (codec.h)
  kDelta = 3,   // the same of the differences to the one base, as ordered integers
  kPatch = 4,   // copies from the bases, one after the other, and what is new (patch.h)
};
std::string_view name_of(Codec codec);

enum class BlockType : std::uint8_t { kData = 1, kObject = 2 };

// The head of a block in a pack: 48 bytes, then `meta_size` bytes of bases and piece sizes, then `stored_size` bytes.
struct BlockHead {
  BlockType type = BlockType::kData;
  Codec codec = Codec::kRaw;
  std::uint8_t element_bytes = 1;  // 1, 2, 4 or 8: of kPlanes and kDelta; bit 7: the elements are floating point
  std::uint8_t depth = 0;
  std::uint32_t raw_size = 0;
  std::uint32_t stored_size = 0;
  std::uint32_t meta_size = 0;
  BlockId id{};
  std::uint64_t checksum = 0;  // XXH3-64 of the 48 bytes with these as zero, of meta and of the stored bytes
};
using HeadBytes = std::array<char, kBlockHeaderBytes>;
base::Result<BlockHead> parse_block_head(std::string_view bytes);

struct BlockMeta {
  std::vector<BlockId> bases;
  std::vector<std::uint32_t> sizes;  // of the pieces, in order; their sum is raw_size
};
base::Result<BlockMeta> parse_block_meta(const BlockHead& head, std::string_view bytes);
std::string write_block_meta(const BlockMeta& meta);

// The whole block as it lies in a pack, with its checksum.
std::string write_block(BlockHead head, std::string_view meta, std::string_view stored);
// Head, meta and stored bytes of `bytes`, which are exactly one block; kDataLoss when the checksum does not match.
struct BlockView {
  BlockHead head;
  std::string_view meta, stored;
};
base::Result<BlockView> parse_block(std::string_view bytes);

// -- the manifest

// A block as the index knows it.
struct BlockEntry {
  BlockId id{};
  std::uint64_t pack = 0;
  std::uint64_t offset = 0;  // of its head
  Codec codec = Codec::kRaw;
  std::uint8_t element_bytes = 1;
  std::uint8_t depth = 0;
  std::uint32_t raw_size = 0;
  std::uint32_t total_size = 0;  // head, meta and stored bytes
  std::vector<BlockId> bases;
  std::vector<std::pair<Hash, std::uint32_t>> pieces;  // hash, size
};

// `count` pieces of a block, from the `first`-th on.
struct PieceRun {
  BlockId block{};
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

struct StoredTensor {
  std::string name;
  std::string dtype;  // safetensors' name, or numpy's for what safetensors does not have
  std::uint8_t element_bytes = 1;
  bool is_float = false;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // in the artifact
  std::uint64_t size = 0;
  bool operator==(const StoredTensor&) const = default;
};

struct ObjectEntry {
  Hash id{};
  std::string kind;  // "bytes", "array", "dict", "table", "file"
  std::string name;
  std::string meta;  // of the caller; opaque here
  std::uint64_t size = 0;
  std::uint64_t stored_bytes = 0;  // that this put added to the packs
  std::uint64_t copy_pack = 0;     // the pack that holds write_object() of this
  std::optional<Hash> parent;
  std::vector<StoredTensor> tensors;  // by offset
  std::vector<PieceRun> runs;         // their pieces, one after the other, are the artifact
};

enum class RecordType : std::uint8_t {
  kPut = 1,     // the new blocks of an object, and the object
  kHealed = 2,  // what could not be read in [from, to) has been found again in the packs and follows
};

struct Record {
  RecordType type = RecordType::kPut;
  std::vector<BlockEntry> blocks;
  std::optional<ObjectEntry> object;
  std::uint64_t from = 0, to = 0;  // kHealed
};

struct RecordHead {
  RecordType type = RecordType::kPut;
  std::uint64_t body_size = 0;
  std::uint64_t body_checksum = 0;
  Hash object{};  // zero when there is none: an unreadable body still says whose it was
};
base::Result<RecordHead> parse_record_head(std::string_view bytes);
// `body` has been checked against the head here.
base::Result<Record> parse_record_body(const RecordHead& head, std::string_view body);
// kResourceExhausted when the body would be larger than kMaxRecordBytes.
base::Result<std::string> write_record(const Record& record);

// The object alone, as it is kept in the packs a second time, so that a damaged manifest loses nothing.
std::string write_object(const ObjectEntry& object);
base::Result<ObjectEntry> parse_object(std::string_view bytes);

}  // namespace daybreak::store
