#include "daybreak/grant/encryption/manifest.h"

#include <algorithm>

#include "daybreak/base/file.h"

namespace daybreak::grant {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint8_t kManifestVersion = 1;
constexpr std::string_view kManifestTag = tag("daybreak/grant/manifest/v1");
constexpr std::int64_t kNsOfSecond = 1'000'000'000;

constexpr std::string_view kManifestSuffix = ".manifest";
constexpr std::size_t kSequenceDigits = 20;  // of 2^64 - 1
constexpr int kMaxListings = 16;

std::string file_name(const Manifest& manifest) {
  return fmt::format("{}.{:020}.{}{}", crypto::to_hex(manifest.namespace_id()), manifest.sequence(),
                     crypto::to_hex(crypto::sha256(manifest.encode())), kManifestSuffix);
}

template <typename Which>
std::unexpected<base::Error> fork(const Hash& namespace_id, const Which& which) {
  return fail(Code::kDataLoss, "two manifests of namespace {} have the sequence number {}: do not trust either",
              short_id(namespace_id), which);
}

std::string manifest_message(std::string_view unsigned_bytes) {
  return std::string(kManifestTag).append(unsigned_bytes);
}

}  // namespace

void Manifest::write(Writer& out) const {
  out.u8(kManifestVersion);
  owner_.write(out);
  out.varint(sequence_);
  validity_.write(out);
  epochs_.write(out);
  out.varint(keys_.size());
  for (const Keys& entry : keys_) {
    out.text(entry.path);
    EpochRange{entry.first_epoch, entry.first_epoch + entry.keys.size() - 1}.write(out);
    for (const crypto::PublicKey& key : entry.keys) out.raw(key);
  }
}

Manifest Manifest::read(Reader& in) {
  Manifest manifest;
  read_version(in, kManifestVersion);
  manifest.owner_ = EntityRecord::read(in);
  manifest.sequence_ = in.varint(0, UINT64_MAX, "the sequence number");
  manifest.validity_ = Validity::read(in);
  manifest.epochs_ = Epochs::read(in);
  const std::uint64_t paths = in.varint(0, kMaxManifestPaths, "the number of resources");
  std::size_t keys = 0;
  for (std::uint64_t i = 0; i < paths && in.ok(); ++i) {
    Keys entry;
    entry.path = in.text(1, kMaxPatternBytes, "the length of a resource");
    const EpochRange range = EpochRange::read(in, manifest.epochs_);
    entry.first_epoch = range.first;
    const std::size_t count = range.count();
    keys += count;
    in.require(keys <= kMaxManifestKeys, "it has more than 131,072 keys");
    in.require(count * 32 <= in.left(), "it ends too early");
    if (!in.ok()) break;
    const auto pattern = Pattern::parse(entry.path);
    in.require(pattern.has_value() && pattern->is_literal(), "a resource is not a literal one");
    in.require(manifest.keys_.empty() || manifest.keys_.back().path < entry.path,
               "resources are not sorted and unique");
    for (std::size_t k = 0; k < count; ++k) entry.keys.push_back(in.array<32>());
    manifest.keys_.push_back(std::move(entry));
  }
  return manifest;
}

Result<Manifest> Manifest::decode(std::string_view bytes) {
  if (bytes.size() > kMaxManifestBytes)
    return fail(Code::kDataLoss, "a manifest of {} bytes: at most {} are allowed", bytes.size(), kMaxManifestBytes);
  Reader in(bytes, "the manifest");
  Manifest manifest = read(in);
  const std::string_view body = in.since(0);
  const auto signature = in.array<64>();
  DAYBREAK_TRY(in.finish());
  if (!crypto::verify(manifest.owner_.verify_key, crypto::bytes_of(manifest_message(body)), signature)) {
    return fail(Code::kDataLoss, "the manifest is not signed by the namespace that it names, {}: it was altered",
                short_id(manifest.owner_.id));
  }
  manifest.bytes_ = bytes;
  return manifest;
}

Result<Manifest> Manifest::make(const Entity& owner, const ManifestOptions& options) {
  Manifest manifest;
  manifest.owner_ = owner.record();
  manifest.sequence_ = options.sequence;
  manifest.validity_ = options.validity;
  manifest.epochs_ = options.epochs;
  const EpochRange range = EpochRange::covering(options.epochs, options.validity);
  std::vector<std::string> resources = options.resources;
  std::ranges::sort(resources);
  resources.erase(std::ranges::unique(resources).begin(), resources.end());
  if (range.count() > kMaxEpochsOfGrant || resources.size() > kMaxManifestPaths ||
      range.count() * resources.size() > kMaxManifestKeys) {
    return fail(Code::kInvalidArgument,
                "keys of {} epochs for {} resources: a manifest has at most {} epochs, {} resources and {} keys; make "
                "it valid for a shorter time, or its epochs longer",
                range.count(), resources.size(), kMaxEpochsOfGrant, kMaxManifestPaths, kMaxManifestKeys);
  }
  const KeyRing ring = KeyRing::of_namespace(owner, options.epochs);
  for (std::string& resource : resources) {
    DAYBREAK_ASSIGN(const Pattern pattern, Pattern::parse(resource));
    if (!pattern.is_literal()) {
      return fail(Code::kInvalidArgument, "'{}' is a pattern: a manifest lists literal resources", resource);
    }
    Keys entry{std::move(resource), range.first, {}};
    for (std::uint64_t epoch = range.first; epoch <= range.last; ++epoch) {
      DAYBREAK_ASSIGN(const crypto::KeyPair pair, ring.key(entry.path, epoch));
      entry.keys.push_back(pair.public_key);
    }
    manifest.keys_.push_back(std::move(entry));
  }
  Writer out;
  manifest.write(out);
  out.raw(owner.sign(manifest_message(out.bytes())));
  manifest.bytes_ = out.take();
  return manifest;
}

std::vector<std::string> Manifest::resources() const {
  std::vector<std::string> paths;
  paths.reserve(keys_.size());
  for (const Keys& entry : keys_) paths.push_back(entry.path);
  return paths;
}

base::Status Manifest::check_time(std::int64_t now_s) const {
  for (const auto& [validity, what] :
       {std::pair{validity_, "the manifest"}, std::pair{owner_.validity, "the entity of the namespace"}}) {
    if (now_s < validity.from_s)
      return fail(Code::kFailedPrecondition, "{} {} is valid from second {} on, now it is {}", what, sequence_,
                  validity.from_s, now_s);
    if (now_s >= validity.until_s)
      return fail(Code::kFailedPrecondition,
                  "{} {} was valid until second {}, now it is {}: ask the namespace's owner for a new one", what,
                  sequence_, validity.until_s, now_s);
  }
  return {};
}

Result<crypto::PublicKey> Manifest::key(std::string_view resource, std::uint64_t epoch) const {
  const auto entry = std::ranges::lower_bound(keys_, resource, {}, &Keys::path);
  if (entry == keys_.end() || entry->path != resource) {
    return fail(Code::kNotFound, "manifest {} of namespace {} has no key for '{}': ask its owner to publish one",
                sequence_, short_id(owner_.id), resource);
  }
  if (epoch < entry->first_epoch || epoch - entry->first_epoch >= entry->keys.size()) {
    return fail(Code::kNotFound, "manifest {} of namespace {} has keys for '{}' in epochs {} to {}, not in epoch {}",
                sequence_, short_id(owner_.id), resource, entry->first_epoch,
                entry->first_epoch + entry->keys.size() - 1, epoch);
  }
  return entry->keys[epoch - entry->first_epoch];
}

ManifestMemory::ManifestMemory(std::string directory, base::Env& env) : directory_(std::move(directory)), env_(env) {}

// One file for each manifest, named by namespace, sequence number and hash: two processes that accept at the same time
// write two files, of which the newer one counts and equal numbers show as what they are.
std::string ManifestMemory::prefix(const Hash& namespace_id) const {
  return crypto::to_hex(namespace_id) + '.';
}

Result<std::vector<std::string>> ManifestMemory::names(const Hash& namespace_id) const {
  DAYBREAK_TRY(env_.create_directories(directory_));
  DAYBREAK_ASSIGN(std::vector<std::string> names, env_.list_directory(directory_));
  std::erase_if(names, [&](const std::string& name) {
    return !name.starts_with(prefix(namespace_id)) || !name.ends_with(kManifestSuffix);
  });
  std::ranges::sort(names);
  return names;
}

Result<Manifest> ManifestMemory::newest(const Hash& namespace_id) const {
  if (directory_.empty()) {
    if (const auto found = seen_.find(namespace_id); found != seen_.end()) return Manifest::decode(found->second);
    return fail(Code::kNotFound, "no manifest of namespace {} has been seen", short_id(namespace_id));
  }
  // Another process may replace what was listed by a newer one.
  for (int attempt = 0; attempt < kMaxListings; ++attempt) {
    DAYBREAK_ASSIGN(const std::vector<std::string> found, names(namespace_id));
    if (found.empty())
      return fail(Code::kNotFound, "no manifest of namespace {} has been seen", short_id(namespace_id));
    const std::size_t same = prefix(namespace_id).size() + kSequenceDigits;
    if (found.size() > 1 && found.back().substr(0, same) == found[found.size() - 2].substr(0, same))
      return fork(namespace_id, found.back().substr(prefix(namespace_id).size(), kSequenceDigits));
    auto bytes = base::read_file(fmt::format("{}/{}", directory_, found.back()), kMaxManifestBytes, env_);
    if (!bytes && bytes.error().code() == Code::kNotFound) continue;
    if (!bytes) return std::unexpected(std::move(bytes).error());
    DAYBREAK_ASSIGN(Manifest manifest, Manifest::decode(*bytes));
    if (file_name(manifest) != found.back()) {
      return fail(Code::kDataLoss, "'{}/{}' is not the manifest that its name says: take it away", directory_,
                  found.back());
    }
    return manifest;
  }
  return fail(Code::kUnavailable, "the manifests in '{}' change faster than they can be read: try again", directory_);
}

Result<Manifest> ManifestMemory::accept(std::string_view bytes, const Hash& namespace_id) {
  DAYBREAK_ASSIGN(Manifest manifest, Manifest::decode(bytes));
  if (manifest.namespace_id() != namespace_id) {
    return fail(Code::kFailedPrecondition, "the manifest is of namespace {}, expected is {}",
                short_id(manifest.namespace_id()), short_id(namespace_id));
  }
  DAYBREAK_TRY(manifest.check_time(env_.unix_ns() / kNsOfSecond));
  DAYBREAK_ASSIGN(const bool known, compare(manifest));
  if (known) return manifest;
  if (directory_.empty()) {
    seen_.insert_or_assign(namespace_id, std::string(bytes));
    return manifest;
  }
  DAYBREAK_TRY(base::write_file_atomically(fmt::format("{}/{}", directory_, file_name(manifest)), bytes, env_));
  DAYBREAK_TRY(compare(manifest));  // with what another process wrote meanwhile
  DAYBREAK_ASSIGN(const std::vector<std::string> found, names(namespace_id));
  for (const std::string& name : found) {
    // One that cannot be removed does no harm: the newest counts.
    if (name < file_name(manifest)) std::ignore = env_.remove_file(fmt::format("{}/{}", directory_, name));
  }
  return manifest;
}

// Whether this very manifest is the newest one seen; false when it is newer, an error when it is neither.
Result<bool> ManifestMemory::compare(const Manifest& manifest) const {
  auto before = newest(manifest.namespace_id());
  if (!before && before.error().code() == Code::kNotFound) return false;
  if (!before) return std::unexpected(std::move(before).error());
  if (before->encode() == manifest.encode()) return true;
  if (manifest.sequence() < before->sequence()) {
    return fail(Code::kFailedPrecondition,
                "the manifest has sequence number {}, one with {} was seen before: it was rolled back",
                manifest.sequence(), before->sequence());
  }
  if (manifest.sequence() == before->sequence()) return fork(manifest.namespace_id(), manifest.sequence());
  return false;
}

}  // namespace daybreak::grant
