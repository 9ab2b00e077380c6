// Everything is read, unpacked and hashed.
#include <algorithm>
#include <tuple>

#include "daybreak/track/store/internal/impl.h"

namespace daybreak::track {

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

}  // namespace

Result<VerifyReport> Store::Impl::verify() {
  MutexLock one(put_mutex_);
  DAYBREAK_TRY(check_process());
  DAYBREAK_ASSIGN(const auto lock, lock_store(FileLock::Mode::kShared));  // no gc meanwhile
  VerifyReport report;
  std::vector<IndexedBlock> blocks;
  std::vector<Hash> objects;
  {
    DAYBREAK_ASSIGN(const auto commit, lock_commit());
    MutexLock guard(mutex_);
    manifest_ = 0;  // anew, from the disk
    DAYBREAK_TRY(refresh(true));
    blocks.assign(index_.blocks().begin(), index_.blocks().end());
    for (const auto& [id, object] : index_.objects()) objects.push_back(id);
    for (const BadRegion& region : bad_) {
      Damage damage{
          "manifest",
          region.from,
          fmt::format("{} bytes cannot be read{}", region.to - region.from, region.from == 0 ? ": the header" : ""),
          {}};
      if (region.object != Hash{} && index_.find_object(region.object) == nullptr) {
        damage.objects.push_back(region.object);  // not found again in the packs
      }
      report.damage.push_back(std::move(damage));
    }
  }
  cache_.clear();
  // What lies in the packs, whether or not anybody needs it.
  std::map<std::uint64_t, std::set<std::uint64_t>> whole;  // by pack: offsets of blocks whose checksum matches
  std::set<BlockId> broken;
  std::map<BlockId, std::pair<const IndexedBlock*, std::string>> why;
  std::ranges::sort(blocks, {}, [](const IndexedBlock& b) { return std::pair(b.pack, b.offset); });
  std::vector<std::optional<Error>> errors(blocks.size());
  constexpr std::size_t kBatch = 64;
  for (std::size_t from = 0; from < blocks.size(); from += kBatch) {
    const std::size_t count = std::min(kBatch, blocks.size() - from);
    pool().for_each(count, [&](std::size_t i) {
      const IndexedBlock& block = blocks[from + i];
      const auto raw = block_bytes(block.id);
      if (!raw) {
        errors[from + i] = raw.error();
        return;
      }
      std::vector<std::pair<Hash, std::pair<std::uint32_t, std::uint32_t>>> pieces;
      {
        MutexLock guard(mutex_);
        for (std::size_t p = 0; p < block.pieces; ++p) {
          const IndexedPiece& piece = index_.piece(block.first_piece + p);
          pieces.push_back({piece.hash, {piece.offset, piece.size}});
        }
      }
      for (const auto& [hash, place] : pieces) {
        if (crypto::sha256(std::string_view(**raw).substr(place.first, place.second)) != hash) {
          errors[from + i] = Error(base::Code::kDataLoss, "a piece has another hash than the manifest says");
        }
      }
    });
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    ++report.blocks;
    report.bytes += blocks[i].raw_size;
    if (errors[i]) broken.insert(blocks[i].id);
  }
  std::map<BlockId, std::vector<Hash>> users;
  {
    MutexLock guard(mutex_);
    users = users_of_blocks(index_, broken);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (!errors[i]) continue;
    report.damage.push_back(
        {"packs/" + pack_name(blocks[i].pack), blocks[i].offset, errors[i]->to_string(), users[blocks[i].id]});
  }
  // Artifacts as wholes: their pieces in order have the hash that is their name.
  for (const Hash& id : objects) {
    ++report.objects;
    crypto::Sha256 hash;
    const auto object = info(id);
    if (!object) continue;
    const bool known = std::ranges::any_of(report.damage, [&](const Damage& d) {
      return std::ranges::find(d.objects, id) != d.objects.end() && d.file != "manifest";
    });
    if (known) continue;
    const Status done = read_object(*object, [&](std::span<const std::byte> part) -> Status {
      hash.update(part);
      return {};
    });
    if (!done) {
      report.damage.push_back({"manifest", 0, done.error().to_string(), {id}});
    } else if (hash.finish() != id) {
      report.damage.push_back({"manifest", 0, "the artifact's bytes have another hash than its name", {id}});
    }
  }
  // Copies of artifacts' entries, and what was left by puts that were cut off, are not needed by anybody now.
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(file("packs")));
  for (const std::string& name : names) {
    if (!parse_pack_name(name)) continue;
    const Status walked = walk_pack(
        file("packs/" + name), [](std::uint64_t, std::string_view) -> Status { return {}; },
        [&](std::uint64_t from, std::uint64_t to) {
          const bool told = std::ranges::any_of(report.damage, [&](const Damage& d) {
            return d.file == "packs/" + name && d.offset >= from && d.offset < to;
          });
          if (!told) {
            report.damage.push_back(
                {"packs/" + name,
                 from,
                 fmt::format("{} bytes that no artifact needs cannot be read: gc removes them", to - from),
                 {}});
          }
        });
    if (!walked) report.damage.push_back({"packs/" + name, 0, walked.error().to_string(), {}});
  }
  return report;
}

}  // namespace daybreak::track
