// What is behind Store. impl.cc: opening, the manifest; recover.cc: packs over damage; writer.cc: packs and pins;
// put.cc; parent.cc: the version before; read.cc; gc.cc; verify.cc; diff.cc.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daybreak/base/mutex.h"
#include "daybreak/base/pool.h"
#include "daybreak/store/codec.h"
#include "daybreak/store/files.h"
#include "daybreak/store/index.h"
#include "daybreak/store/store.h"

namespace daybreak::store {

using BlockBytes = std::shared_ptr<const std::string>;

// A piece of an artifact, where it lies in the artifact and in its block.
struct PlacedPiece {
  std::uint64_t at = 0;  // in the artifact
  Hash hash{};
  std::uint32_t block = 0;   // index into Layout::blocks
  std::uint32_t offset = 0;  // in the block
  std::uint32_t size = 0;
};

struct LayoutBlock {
  BlockId id{};
  std::uint32_t raw_size = 0;
  std::uint32_t pieces = 0;
  std::uint8_t depth = 0;
};

// An artifact's pieces in order. It stays valid when the index is read anew.
struct Layout {
  std::vector<LayoutBlock> blocks;
  std::vector<PlacedPiece> pieces;
  // Of the piece that holds byte `at`; pieces.size() when there is none.
  std::size_t piece_at(std::uint64_t at) const;
};

// A block of the index and its bases, by value: it stays valid when the index changes.
struct FoundBlock {
  IndexedBlock block;
  std::vector<BlockId> bases;
};
using FindBlock = std::function<base::Result<FoundBlock>(const BlockId&)>;
// kDataLoss when there is none.
base::Result<FoundBlock> find_in(const Index& index, const BlockId& id);

// Recently unpacked blocks. Any thread.
class BlockCache {
 public:
  explicit BlockCache(std::size_t limit) : limit_(limit) {}
  BlockBytes find(const BlockId& id);
  void insert(const BlockId& id, BlockBytes bytes);
  void clear();

 private:
  using Entry = std::pair<BlockId, BlockBytes>;
  base::Mutex mutex_;
  const std::size_t limit_;
  std::size_t size_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::list<Entry> entries_ DAYBREAK_GUARDED_BY(mutex_);  // latest first
  std::unordered_map<BlockId, std::list<Entry>::iterator, FirstBytes> by_id_ DAYBREAK_GUARDED_BY(mutex_);
};

// Appends blocks to packs. One thread at a time.
class PackWriter {
 public:
  PackWriter(std::string directory, base::Env& env) : directory_(std::move(directory)), env_(env) {}
  struct Place {
    std::uint64_t pack = 0, offset = 0;
  };
  // Not durable before sync(). After an error call abandon().
  base::Result<Place> append(std::string_view block);
  base::Status sync();
  // Lets go of the pack; what was appended since the last sync() may be there or not.
  void abandon();
  void only_new_packs() { adopt_ = false; }
  std::uint64_t written() const { return written_; }  // bytes, since the beginning

 private:
  base::Status begin();
  std::string directory_;
  base::Env& env_;
  std::unique_ptr<base::WritableFile> file_;
  std::optional<FileLock> lock_;
  std::uint64_t pack_ = 0, offset_ = 0, written_ = 0;
  bool directory_changed_ = false;
  bool adopt_ = true;
};

std::string pack_name(std::uint64_t pack);  // "0123456789abcdef.pack"
std::optional<std::uint64_t> parse_pack_name(std::string_view name);

// The artifacts that live processes hold: a file for each process, locked while it lives. One thread at a time.
class Pins {
 public:
  Pins(std::string directory, base::Env& env) : directory_(std::move(directory)), env_(env) {}
  base::Status add(const Hash& id);
  base::Status remove(const Hash& id);
  // Of all processes; pins of the dead that are older than grace_ns are removed. With the store locked.
  base::Result<std::set<Hash>> collect(std::int64_t grace_ns);
  void forget();  // after fork(): the file is the parent's

 private:
  base::Status write(char sign, const Hash& id);
  std::string directory_;
  base::Env& env_;
  std::unique_ptr<base::WritableFile> file_;
  std::optional<FileLock> lock_;
  std::string path_;
};

class Store::Impl {
 public:
  Impl(std::string path, const StoreOptions& options);

  base::Status open();
  base::Result<Stored> put(Source& source, const PutOptions& options);
  base::Status release(const Hash& id);
  base::Result<ObjectEntry> info(const Hash& id);
  base::Result<std::vector<Hash>> objects();
  base::Status read(const Hash& id, std::uint64_t offset, std::span<std::byte> out);
  base::Status read_all(const Hash& id, const Sink& sink);
  base::Result<ObjectDiff> diff(const Hash& a, const Hash& b);
  base::Result<VerifyReport> verify();
  base::Result<GcReport> gc(const std::function<base::Result<std::vector<Hash>>()>& keep);
  base::Result<StoreStats> stats();

  // -- the manifest (impl.cc)
  // Reads what is new. With the commit lock held (`locked`) a bad tail is known to be bad; else it may be on its way.
  base::Status refresh(bool locked) DAYBREAK_REQUIRES(mutex_);
  base::Status commit(const Record& record);
  base::Result<FileLock> lock_store(FileLock::Mode mode);
  base::Result<FileLock> lock_commit();
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  base::Status check_process();
  base::Pool& pool() { return pool_; }

  // -- blocks (read.cc)
  base::Result<BlockBytes> block_bytes(const BlockId& id);
  // With `find` instead of the index, for whoever holds mutex_ already; `seen`: what this call has unpacked.
  base::Result<BlockBytes> block_bytes(const BlockId& id, const FindBlock& find, std::size_t depth,
                                       std::map<BlockId, BlockBytes>& seen);
  base::Result<BlockBytes> unpack(const FoundBlock& found, const FindBlock& find, std::size_t depth,
                                  std::map<BlockId, BlockBytes>& seen);
  base::Result<std::string> stored_block(std::uint64_t pack, std::uint64_t offset, std::size_t size);
  base::Result<Layout> layout_of(const ObjectEntry& object);
  base::Status read_pieces(const Layout& layout, std::uint64_t offset, std::span<std::byte> out);
  base::Status read_object(const ObjectEntry& object, const Sink& sink);

  struct BadRegion {
    std::uint64_t from = 0, to = 0;
    Hash object{};  // whose record it was, when that can be read
  };

  const std::string path_;
  const StoreOptions options_;
  base::Env& env_;
  base::Pool pool_;
  BlockCache cache_;
  std::atomic<std::uint64_t> bytes_read_{0}, bytes_unpacked_{0};

  base::Mutex put_mutex_;                // one put, gc or verify of this Store at a time; taken before mutex_
  PackWriter writer_;                    // of whoever holds put_mutex_
  std::uint64_t writer_generation_ = 0;  // of the manifest that the writer's pack belongs to
  Pins pins_;
  int pid_ = 0;

  base::Mutex mutex_;
  Index index_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint64_t manifest_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // identity of the file that was read
  // It is kept open, so that no later manifest is given its inode.
  std::optional<RandomFile> manifest_file_ DAYBREAK_GUARDED_BY(mutex_);
  std::uint64_t generation_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // one more for each manifest that was read anew
  std::uint64_t read_to_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::vector<BadRegion> bad_ DAYBREAK_GUARDED_BY(mutex_);  // not healed
  std::vector<BadRegion> healed_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<Record> found_again_ DAYBREAK_GUARDED_BY(mutex_);  // by recover(), not yet in the manifest

 private:
  base::Status parse_manifest(std::string_view bytes, bool locked) DAYBREAK_REQUIRES(mutex_);
  base::Status recover() DAYBREAK_REQUIRES(mutex_);
  base::Status append_to_manifest(std::string_view bytes);
  base::Status create_manifest();
};

// -- walking a pack block by block, over damage (recover.cc)
// Calls `visit(offset, whole block)` for every block whose checksum matches, and `bad(from, to)` for what lies between.
base::Status walk_pack(const std::string& path,
                       const std::function<base::Status(std::uint64_t, std::string_view)>& visit,
                       const std::function<void(std::uint64_t, std::uint64_t)>& bad);
// Copies of artifacts in packs.
std::string pack_object(const ObjectEntry& object);
base::Result<ObjectEntry> unpack_object(std::string_view block);

}  // namespace daybreak::store
