// Mark and sweep. Whoever holds the store's lock exclusively knows that no put is under way: every pack that the
// manifest does not name is rubbish, and nothing is looked up that could be swept away.
#include <sys/stat.h>

#include <algorithm>
#include <tuple>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/file.h"
#include "daybreak/store/internal/impl.h"

namespace daybreak::store {

using base::MutexLock;
using base::Result;
using base::Status;

namespace {

constexpr double kLeastLive = 0.5;                    // a pack with a smaller part alive is rewritten
constexpr std::uint64_t kSmallPackBytes = 16u << 20;  // packs smaller than this are put together

struct PackUse {
  std::uint64_t size = 0;
  std::uint64_t live = 0;
  std::vector<std::size_t> blocks;  // live ones, as numbers in Sweep::blocks
  bool rewrite = false;
};

// One collection.
class Sweep {
 public:
  explicit Sweep(Store::Impl& store) : store_(store) {}
  // From the index, which the caller has locked.
  void mark(const Index& index, const std::set<Hash>& keep, GcReport& report);
  Status look_at_packs(GcReport& report);
  bool nothing_to_do() const;
  Status rewrite(GcReport& report);
  Result<std::string> manifest() const;
  Status remove_packs(GcReport& report);

 private:
  Store::Impl& store_;
  std::vector<ObjectEntry> objects_;
  std::vector<BlockEntry> blocks_;  // live
  std::size_t dead_blocks_ = 0, dead_objects_ = 0;
  std::map<std::uint64_t, PackUse> packs_;
  std::set<std::uint64_t> named_;  // packs that the new manifest names
};

void Sweep::mark(const Index& index, const std::set<Hash>& keep, GcReport& report) {
  std::set<BlockId> live;
  std::vector<BlockId> todo;
  const auto reach = [&](const BlockId& id) {
    if (live.insert(id).second) todo.push_back(id);
  };
  for (const auto& [id, object] : index.objects()) {
    if (!keep.contains(id)) continue;
    objects_.push_back(object);
    for (const PieceRun& run : object.runs) reach(run.block);
  }
  while (!todo.empty()) {
    const IndexedBlock* block = index.find_block(todo.back());
    todo.pop_back();
    if (block == nullptr) continue;  // damaged already
    for (std::size_t i = 0; i < block->bases; ++i) reach(index.base(block->first_base + i));
  }
  for (const IndexedBlock& block : index.blocks()) {
    if (live.contains(block.id)) blocks_.push_back(index.entry(block));
  }
  dead_blocks_ = index.blocks().size() - blocks_.size();
  dead_objects_ = index.objects().size() - objects_.size();
  report.objects_kept = objects_.size();
  report.objects_removed = dead_objects_;
}

Status Sweep::look_at_packs(GcReport& report) {
  DAYBREAK_ASSIGN(const auto names, store_.env_.list_directory(store_.file("packs")));
  for (const std::string& name : names) {
    struct stat s;
    const auto pack = parse_pack_name(name);
    if (!pack || ::stat(store_.file("packs/" + name).c_str(), &s) != 0) continue;
    packs_[*pack].size = static_cast<std::uint64_t>(s.st_size);
    report.bytes_before += packs_[*pack].size;
  }
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    PackUse& use = packs_[blocks_[i].pack];
    use.live += blocks_[i].total_size;
    use.blocks.push_back(i);
  }
  std::size_t small = 0;
  for (auto& [pack, use] : packs_) {
    if (use.blocks.empty()) continue;
    use.rewrite = static_cast<double>(use.live) < kLeastLive * static_cast<double>(use.size);
    small += use.size < kSmallPackBytes ? 1 : 0;
  }
  if (small >= 2) {
    for (auto& [pack, use] : packs_) use.rewrite |= !use.blocks.empty() && use.size < kSmallPackBytes;
  }
  return {};
}

bool Sweep::nothing_to_do() const {
  return dead_objects_ == 0 && dead_blocks_ == 0 && std::ranges::none_of(packs_, [](const auto& entry) {
           return entry.second.blocks.empty() || entry.second.rewrite;
         });
}

// Copies what lives in packs that are worth it. A pack with damage in a live block stays as it is.
Status Sweep::rewrite(GcReport& report) {
  PackWriter writer(store_.file("packs"), store_.env_);
  writer.only_new_packs();
  for (auto& [pack, use] : packs_) {
    if (!use.rewrite) continue;
    std::vector<PackWriter::Place> places;
    bool whole = true;
    for (const std::size_t i : use.blocks) {
      const auto bytes = store_.stored_block(pack, blocks_[i].offset, blocks_[i].total_size);
      whole = bytes && parse_block(*bytes);
      if (!whole) break;
      DAYBREAK_ASSIGN(const PackWriter::Place place, writer.append(*bytes));
      places.push_back(place);
      DAYBREAK_FAILPOINT("store.gc_copied");
    }
    if (!whole) {
      use.rewrite = false;
      continue;
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      blocks_[use.blocks[i]].pack = places[i].pack;
      blocks_[use.blocks[i]].offset = places[i].offset;
    }
    ++report.packs_rewritten;
  }
  for (const BlockEntry& block : blocks_) named_.insert(block.pack);
  for (ObjectEntry& object : objects_) {
    if (named_.contains(object.copy_pack)) continue;
    DAYBREAK_ASSIGN(const PackWriter::Place place, writer.append(pack_object(object)));
    object.copy_pack = place.pack;
    named_.insert(place.pack);
  }
  return writer.sync();
}

Result<std::string> Sweep::manifest() const {
  std::string bytes(kManifestMagic);
  bytes.append(16 - bytes.size(), '\0');
  Record blocks;
  blocks.blocks = blocks_;
  constexpr std::size_t kBlocksInRecord = 4096;
  for (std::size_t i = 0; i < blocks_.size(); i += kBlocksInRecord) {
    Record record;
    const auto end = std::min(i + kBlocksInRecord, blocks_.size());
    record.blocks.assign(blocks_.begin() + static_cast<std::ptrdiff_t>(i),
                         blocks_.begin() + static_cast<std::ptrdiff_t>(end));
    DAYBREAK_ASSIGN(const std::string text, write_record(record));
    bytes += text;
  }
  for (const ObjectEntry& object : objects_) {
    Record record;
    record.object = object;
    DAYBREAK_ASSIGN(const std::string text, write_record(record));
    bytes += text;
  }
  return bytes;
}

Status Sweep::remove_packs(GcReport& report) {
  for (const auto& [pack, use] : packs_) {
    if (named_.contains(pack)) {
      report.bytes_after += use.size;
      continue;
    }
    DAYBREAK_TRY(store_.env_.remove_file(store_.file("packs/" + pack_name(pack))));
    ++report.packs_removed;
    DAYBREAK_FAILPOINT("store.gc_removed");
  }
  for (const std::uint64_t pack : named_) {
    struct stat s;
    if (packs_.contains(pack) || ::stat(store_.file("packs/" + pack_name(pack)).c_str(), &s) != 0) continue;
    report.bytes_after += static_cast<std::uint64_t>(s.st_size);
  }
  return store_.env_.sync_directory(store_.file("packs"));
}

}  // namespace

Result<GcReport> Store::Impl::gc(const std::function<Result<std::vector<Hash>>()>& keep) {
  MutexLock one(put_mutex_);
  DAYBREAK_TRY(check_process());
  writer_.abandon();
  DAYBREAK_ASSIGN(const auto lock, lock_store(FileLock::Mode::kExclusive));
  DAYBREAK_ASSIGN(const auto commit, lock_commit());
  // Pins first: whoever releases one has written down before that he holds the artifact, so keep() sees it then.
  DAYBREAK_ASSIGN(std::set<Hash> live, pins_.collect(options_.pin_grace_ns));
  DAYBREAK_ASSIGN(const std::vector<Hash> kept, keep());
  live.insert(kept.begin(), kept.end());
  GcReport report;
  Sweep sweep(*this);
  {
    MutexLock guard(mutex_);
    DAYBREAK_TRY(refresh(true));
    if (!bad_.empty() || !healed_.empty()) report.manifest_healed = true;
    sweep.mark(index_, live, report);
  }
  DAYBREAK_TRY(sweep.look_at_packs(report));
  if (sweep.nothing_to_do() && !report.manifest_healed) {
    report.bytes_after = report.bytes_before;
    return report;
  }
  DAYBREAK_TRY(sweep.rewrite(report));
  DAYBREAK_FAILPOINT("store.gc_rewritten");
  DAYBREAK_ASSIGN(const std::string manifest, sweep.manifest());
  DAYBREAK_TRY(base::write_file_atomically(file("manifest"), manifest, env_));
  DAYBREAK_FAILPOINT("store.gc_manifest");
  cache_.clear();
  DAYBREAK_TRY(sweep.remove_packs(report));
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(path_));
  for (const std::string& name : names) {  // of a gc that was killed
    if (name.starts_with("manifest.") && name.ends_with(".tmp")) DAYBREAK_TRY(env_.remove_file(file(name)));
  }
  MutexLock guard(mutex_);
  DAYBREAK_TRY(refresh(true));
  return report;
}

}  // namespace daybreak::store
