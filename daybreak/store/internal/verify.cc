// Everything is read, unpacked and hashed.
#include <algorithm>

#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

using base::Error;
using base::MutexLock;
using base::Result;
using base::Status;

namespace {

// The artifacts that need a block, themselves or through a base.
std::map<BlockId, std::vector<Hash>> users_of_blocks(const Index& index, const std::set<BlockId>& wanted) {
  std::map<BlockId, std::vector<Hash>> users;
  for (const auto& [id, object] : index.objects()) {
    std::set<BlockId> reached;
    std::vector<BlockId> todo;
    for (const PieceRun& run : object.runs) {
      if (reached.insert(run.block).second) todo.push_back(run.block);
    }
    while (!todo.empty()) {
      const BlockId at = todo.back();
      todo.pop_back();
      if (wanted.contains(at)) users[at].push_back(id);
      const IndexedBlock* block = index.find_block(at);
      for (std::size_t i = 0; block != nullptr && i < block->bases; ++i) {
        if (reached.insert(index.base(block->first_base + i)).second) todo.push_back(index.base(block->first_base + i));
      }
    }
  }
  return users;
}

// One look at everything.
class Verification {
 public:
  explicit Verification(Store::Impl& store) : store_(store) {}
  Status read_manifest();
  void check_blocks();
  void check_objects();
  Status walk_packs();
  VerifyReport report;

 private:
  std::optional<Error> error_in(const IndexedBlock& block) const;
  void check_object(const Hash& id);
  bool told_of(const Hash& object) const;
  void add(std::string file, std::uint64_t offset, std::string what, std::vector<Hash> objects = {}) {
    report.damage.push_back({std::move(file), offset, std::move(what), std::move(objects)});
  }

  Store::Impl& store_;
  std::vector<IndexedBlock> blocks_;  // as they lie
  std::vector<Hash> objects_;
};

Status Verification::read_manifest() {
  DAYBREAK_ASSIGN(const auto commit, store_.lock_commit());
  MutexLock guard(store_.mutex_);
  store_.manifest_ = 0;  // anew, from the disk
  DAYBREAK_TRY(store_.refresh(true));
  blocks_.assign(store_.index_.blocks().begin(), store_.index_.blocks().end());
  std::ranges::sort(blocks_, {}, [](const IndexedBlock& b) { return std::pair(b.pack, b.offset); });
  for (const auto& [id, object] : store_.index_.objects()) objects_.push_back(id);
  for (const auto& region : store_.bad_) {
    // An artifact that was not found again in the packs.
    const bool lost = region.object != Hash{} && store_.index_.find_object(region.object) == nullptr;
    add("manifest", region.from,
        fmt::format("{} bytes cannot be read{}", region.to - region.from, region.from == 0 ? ": the header" : ""),
        lost ? std::vector{region.object} : std::vector<Hash>{});
  }
  return {};
}

// What keeps the block from being read, or its pieces from being what the manifest says.
std::optional<Error> Verification::error_in(const IndexedBlock& block) const {
  const auto raw = store_.block_bytes(block.id);
  if (!raw) return raw.error();
  std::vector<IndexedPiece> pieces;
  {
    MutexLock guard(store_.mutex_);
    for (std::size_t p = 0; p < block.pieces; ++p) pieces.push_back(store_.index_.piece(block.first_piece + p));
  }
  for (const IndexedPiece& piece : pieces) {
    if (crypto::sha256(std::string_view(**raw).substr(piece.offset, piece.size)) != piece.hash) {
      return Error(base::Code::kDataLoss, "a piece has another hash than the manifest says");
    }
  }
  return std::nullopt;
}

// Every block, whether or not anybody needs it.
void Verification::check_blocks() {
  std::vector<std::optional<Error>> errors(blocks_.size());
  store_.pool().for_each(blocks_.size(), [&](std::size_t i) { errors[i] = error_in(blocks_[i]); });
  std::set<BlockId> broken;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    ++report.blocks;
    report.bytes += blocks_[i].raw_size;
    if (errors[i]) broken.insert(blocks_[i].id);
  }
  if (broken.empty()) return;
  std::map<BlockId, std::vector<Hash>> users;
  {
    MutexLock guard(store_.mutex_);
    users = users_of_blocks(store_.index_, broken);
  }
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (!errors[i]) continue;
    add("packs/" + pack_name(blocks_[i].pack), blocks_[i].offset, errors[i]->to_string(), users[blocks_[i].id]);
  }
}

bool Verification::told_of(const Hash& object) const {
  return std::ranges::any_of(report.damage, [&](const Damage& d) {
    return d.file != "manifest" && std::ranges::find(d.objects, object) != d.objects.end();
  });
}

// Artifacts as wholes: their pieces in order have the hash that is their name.
void Verification::check_objects() {
  for (const Hash& id : objects_) {
    ++report.objects;
    if (!told_of(id)) check_object(id);
  }
}

void Verification::check_object(const Hash& id) {
  crypto::Sha256 hash;
  const auto object = store_.info(id);
  const Status done = object ? store_.read_object(*object,
                                                  [&](std::span<const std::byte> part) -> Status {
                                                    hash.update(part);
                                                    return {};
                                                  })
                             : std::unexpected(object.error());
  if (!done) {
    add("manifest", 0, done.error().to_string(), {id});
  } else if (hash.finish() != id) {
    add("manifest", 0, "the artifact's bytes have another hash than its name", {id});
  }
}

// Copies of artifacts' entries, and what was left by puts that were cut off, are not needed by anybody now.
Status Verification::walk_packs() {
  DAYBREAK_ASSIGN(const auto names, store_.env_.list_directory(store_.file("packs")));
  for (const std::string& name : names) {
    if (!parse_pack_name(name)) continue;
    const std::string file = "packs/" + name;
    const auto nothing = [](std::uint64_t, std::string_view) -> Status { return {}; };
    const Status walked = walk_pack(store_.file(file), nothing, [&](std::uint64_t from, std::uint64_t to) {
      const bool told = std::ranges::any_of(
          report.damage, [&](const Damage& d) { return d.file == file && d.offset >= from && d.offset < to; });
      if (!told)
        add(file, from, fmt::format("{} bytes that no artifact needs cannot be read: gc removes them", to - from));
    });
    if (!walked) add(file, 0, walked.error().to_string());
  }
  return {};
}

}  // namespace

Result<VerifyReport> Store::Impl::verify() {
  MutexLock one(put_mutex_);
  DAYBREAK_TRY(check_process());
  DAYBREAK_ASSIGN(const auto lock, lock_store(FileLock::Mode::kShared));  // no gc meanwhile
  Verification verification(*this);
  DAYBREAK_TRY(verification.read_manifest());
  cache_.clear();
  verification.check_blocks();
  verification.check_objects();
  DAYBREAK_TRY(verification.walk_packs());
  return std::move(verification.report);
}

}  // namespace daybreak::store
