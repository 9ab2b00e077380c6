#include "daybreak/store/internal/impl.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/file.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::fail_errno;
using base::MutexLock;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t kManifestHeaderBytes = 16;

// Where the next record begins behind `from`; npos when there is none.
std::size_t next_record(std::string_view bytes, std::size_t from) {
  const std::string_view magic(reinterpret_cast<const char*>(&kRecordMagic), sizeof kRecordMagic);
  for (std::size_t at = bytes.find(magic, from); at != std::string_view::npos; at = bytes.find(magic, at + 1)) {
    if (parse_record_head(bytes.substr(at))) return at;
  }
  return std::string_view::npos;
}

}  // namespace

Store::Impl::Impl(std::string path, const StoreOptions& options)
    : path_(std::move(path)),
      options_(options),
      env_(*options.env),
      pool_(std::clamp<std::size_t>(options.threads, 1, base::kMaxPoolSize)),
      cache_(options.cache_bytes),
      writer_(path_ + "/packs", env_),
      pins_(path_ + "/pins", env_),
      pid_(::getpid()) {}

Status Store::Impl::open() {
  DAYBREAK_TRY(env_.create_directories(file("packs")));
  DAYBREAK_TRY(env_.create_directories(file("pins")));
  if (::access(file("manifest").c_str(), F_OK) != 0) DAYBREAK_TRY(create_manifest());
  MutexLock lock(mutex_);
  return refresh(false);
}

Status Store::Impl::create_manifest() {
  DAYBREAK_ASSIGN(const auto lock, lock_commit());
  if (::access(file("manifest").c_str(), F_OK) == 0) return {};
  std::string header(kManifestMagic);
  header.append(kManifestHeaderBytes - header.size(), '\0');
  return base::write_file_atomically(file("manifest"), header, env_);
}

Result<FileLock> Store::Impl::lock_store(FileLock::Mode mode) {
  return FileLock::acquire(file("lock"), mode, options_.lock_timeout_ns, base::Env::real());
}

Result<FileLock> Store::Impl::lock_commit() {
  return FileLock::acquire(file("commit.lock"), FileLock::Mode::kExclusive, options_.lock_timeout_ns,
                           base::Env::real());
}

// In a child made by fork(): threads, the open pack and the pins are the parent's.
Status Store::Impl::check_process() {
  if (pid_ == ::getpid()) return {};
  pid_ = ::getpid();
  writer_.abandon();
  pins_.forget();
  return {};
}

Status Store::Impl::refresh(bool locked) {
  DAYBREAK_ASSIGN(RandomFile opened, RandomFile::open(file("manifest")));
  DAYBREAK_ASSIGN(const std::uint64_t identity, opened.identity());
  if (identity != manifest_ || identity == 0) {
    index_.clear();
    bad_.clear();
    healed_.clear();
    found_again_.clear();
    std::string header(kManifestHeaderBytes, '\0');
    DAYBREAK_TRY(opened.read_at(0, header));
    if (!header.starts_with(kManifestMagic)) {
      // Its records may all be well: damage, reported by verify(), and healed by nobody but gc().
      bad_.push_back({0, kManifestHeaderBytes, {}});
    }
    read_to_ = kManifestHeaderBytes;
    manifest_ = identity;
    manifest_file_.emplace(std::move(opened));
    ++generation_;
  }
  const RandomFile& manifest = *manifest_file_;
  DAYBREAK_ASSIGN(const std::uint64_t size, manifest.size());
  if (size <= read_to_) return {};
  std::string bytes(size - read_to_, '\0');
  DAYBREAK_TRY(manifest.read_at(read_to_, bytes));
  const std::size_t bad_before = bad_.size();
  DAYBREAK_TRY(parse_manifest(bytes, locked));
  if (bad_.size() > bad_before) DAYBREAK_TRY(recover());
  return {};
}

Status Store::Impl::parse_manifest(std::string_view bytes, bool locked) {
  const std::uint64_t begin = read_to_;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto head = parse_record_head(bytes.substr(at));
    const std::size_t end = head ? at + kRecordHeaderBytes + head->body_size : 0;
    const bool whole = head && end <= bytes.size();
    auto record = whole ? parse_record_body(*head, bytes.substr(at + kRecordHeaderBytes, head->body_size))
                        : Result<Record>(fail(Code::kDataLoss, "cut off"));
    if (record) {
      for (const BlockEntry& block : record->blocks) index_.add(block);
      if (record->object) index_.add(*std::move(record->object));
      if (record->type == RecordType::kHealed) {
        const auto inside = [&](const BadRegion& r) { return r.from >= record->from && r.to <= record->to; };
        std::ranges::copy_if(bad_, std::back_inserter(healed_), inside);
        std::erase_if(bad_, inside);
      }
      at = end;
    } else {
      std::size_t next = next_record(bytes, at + 1);
      if (whole && (end == bytes.size() || parse_record_head(bytes.substr(end)))) next = end;
      if (!locked && (next == std::string_view::npos || next == bytes.size())) break;  // perhaps being written
      if (next == std::string_view::npos) next = bytes.size();
      bad_.push_back({begin + at, begin + next, head ? head->object : Hash{}});
      at = next;
    }
    read_to_ = begin + at;
  }
  return {};
}

Status Store::Impl::append_to_manifest(std::string_view bytes) {
  struct stat before;
  if (::stat(file("manifest").c_str(), &before) != 0) return fail_errno("cannot look at the manifest", errno);
  DAYBREAK_ASSIGN(const auto out, env_.append_file(file("manifest")));
  Status done = out->append(bytes.substr(0, bytes.size() / 2));
  DAYBREAK_FAILPOINT("store.record_half");
  if (done) done = out->append(bytes.substr(bytes.size() / 2));
  DAYBREAK_FAILPOINT("store.record");
  if (done) done = out->sync();
  if (done) done = out->close();
  // The commit lock is held, so that what lies behind is ours: nobody shall find a part of it.
  if (!done && ::truncate(file("manifest").c_str(), before.st_size) != 0) {
    return std::unexpected(std::move(done).error().wrap("the manifest has a torn end, which the next put cuts off"));
  }
  return done;
}

Status Store::Impl::commit(const Record& record) {
  DAYBREAK_ASSIGN(const std::string bytes, write_record(record));
  DAYBREAK_ASSIGN(const auto lock, lock_commit());
  MutexLock guard(mutex_);
  DAYBREAK_TRY(refresh(true));
  if (!bad_.empty() && !(bad_.size() == 1 && bad_[0].from == 0)) {
    std::string healing;
    for (const Record& found : found_again_) {
      DAYBREAK_ASSIGN(const std::string text, write_record(found));
      healing += text;
    }
    for (const BadRegion& region : bad_) {
      if (region.from == 0) continue;
      Record healed;
      healed.type = RecordType::kHealed;
      healed.from = region.from;
      healed.to = region.to;
      DAYBREAK_ASSIGN(const std::string text, write_record(healed));
      healing += text;
    }
    DAYBREAK_TRY(append_to_manifest(healing));
    found_again_.clear();
  }
  DAYBREAK_TRY(append_to_manifest(bytes));
  DAYBREAK_FAILPOINT("store.committed");
  return refresh(true);
}

Result<ObjectEntry> Store::Impl::info(const Hash& id) {
  {
    MutexLock lock(mutex_);
    if (index_.find_object(id) == nullptr) DAYBREAK_TRY(refresh(false));
    if (const ObjectEntry* object = index_.find_object(id)) return *object;
  }
  DAYBREAK_ASSIGN(const auto commit, lock_commit());  // nobody writes now: a bad end of the manifest is damage
  MutexLock lock(mutex_);
  DAYBREAK_TRY(refresh(true));
  if (const ObjectEntry* object = index_.find_object(id)) return *object;
  if (!bad_.empty()) {
    return fail(Code::kDataLoss, "artifact {}: not found, and {}/manifest cannot be read at byte {}: see verify",
                crypto::to_hex(id), path_, bad_.front().from);
  }
  return fail(Code::kNotFound, "there is no artifact {} in {}", crypto::to_hex(id), path_);
}

Result<std::vector<Hash>> Store::Impl::objects() {
  MutexLock lock(mutex_);
  DAYBREAK_TRY(refresh(false));
  std::vector<Hash> ids;
  for (const auto& [id, object] : index_.objects()) ids.push_back(id);
  return ids;
}

Result<StoreStats> Store::Impl::stats() {
  MutexLock lock(mutex_);
  DAYBREAK_TRY(refresh(false));
  StoreStats stats;
  for (const auto& [id, object] : index_.objects()) {
    ++stats.objects;
    stats.logical_bytes += object.size;
  }
  for (const IndexedBlock& block : index_.blocks()) {
    ++stats.blocks;
    stats.pieces += block.pieces;
    stats.raw_bytes += block.raw_size;
    stats.stored_bytes += block.total_size;
    stats.by_codec[std::string(name_of(block.codec))] += block.total_size;
  }
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(file("packs")));
  for (const std::string& name : names) {
    struct stat s;
    if (!parse_pack_name(name) || ::stat(file("packs/" + name).c_str(), &s) != 0) continue;
    ++stats.packs;
    stats.pack_bytes += static_cast<std::uint64_t>(s.st_size);
  }
  stats.manifest_bytes = read_to_;
  stats.bytes_read = bytes_read_;
  stats.bytes_unpacked = bytes_unpacked_;
  return stats;
}

// -- Store

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path, const StoreOptions& options) {
  auto impl = std::make_unique<Impl>(path, options);
  DAYBREAK_TRY(impl->open());
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Result<Stored> Store::put(Source& source, const PutOptions& options) {
  return impl_->put(source, options);
}
Status Store::release(const Hash& id) {
  return impl_->release(id);
}
Result<ObjectEntry> Store::info(const Hash& id) {
  return impl_->info(id);
}
Result<std::vector<Hash>> Store::objects() {
  return impl_->objects();
}
Status Store::read(const Hash& id, std::uint64_t offset, std::span<std::byte> out) {
  return impl_->read(id, offset, out);
}
Status Store::read_all(const Hash& id, const Sink& sink) {
  return impl_->read_all(id, sink);
}
Status Store::write_to(const Hash& id, const std::string& path) {
  const auto write = [&](base::WritableFile& out) {
    return impl_->read_all(id, [&](std::span<const std::byte> part) {
      return out.append({reinterpret_cast<const char*>(part.data()), part.size()});
    });
  };
  return base::write_output(path, write, impl_->env_);
}
Result<ObjectDiff> Store::diff(const Hash& a, const Hash& b) {
  return impl_->diff(a, b);
}
Result<VerifyReport> Store::verify() {
  return impl_->verify();
}
Result<GcReport> Store::gc(const std::function<Result<std::vector<Hash>>()>& keep) {
  return impl_->gc(keep);
}
Result<StoreStats> Store::stats() {
  return impl_->stats();
}
const std::string& Store::path() const {
  return impl_->path_;
}

}  // namespace daybreak::store
