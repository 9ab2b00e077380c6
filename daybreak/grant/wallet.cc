#include "daybreak/grant/wallet.h"

#include <algorithm>
#include <set>

#include "daybreak/base/file.h"
#include "daybreak/grant/encryption/key_ring.h"

namespace daybreak::grant {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::string_view kBundleSuffix = ".bundle";
constexpr std::int64_t kNsInSecond = 1'000'000'000;

}  // namespace

Wallet::Wallet(std::shared_ptr<const Entity> owner, std::string directory, base::Env& env)
    : owner_(std::move(owner)), directory_(std::move(directory)), env_(env) {
  entities_.emplace(owner_->id(), owner_->record());
}

Result<std::shared_ptr<Wallet>> Wallet::open(std::shared_ptr<const Entity> owner, std::string directory,
                                             base::Env& env) {
  std::shared_ptr<Wallet> wallet(new Wallet(std::move(owner), std::move(directory), env));
  if (!wallet->directory_.empty()) DAYBREAK_TRY(wallet->load());
  return wallet;
}

base::Status Wallet::load() {
  DAYBREAK_TRY(env_.create_directories(directory_));
  DAYBREAK_ASSIGN(const auto names, env_.list_directory(directory_));
  const base::MutexLock lock(mutex_);
  for (const std::string& name : names) {
    if (!name.ends_with(kBundleSuffix)) continue;
    const std::string path = fmt::format("{}/{}", directory_, name);
    DAYBREAK_ASSIGN(const std::string bytes, env_.read_file(path, kMaxBundleBytes));
    const Hash hash = crypto::sha256(bytes);
    if (crypto::to_hex(hash) + std::string(kBundleSuffix) != name) {
      return fail(Code::kDataLoss, "'{}' is damaged: take it away and add its bundle again", path);
    }
    // Signatures were checked when it was added, and the hash says that it is the same.
    auto bundle = Bundle::decode(bytes);
    if (!bundle) return std::unexpected(std::move(bundle).error().wrap(path));
    DAYBREAK_TRY(learn(*bundle));
    bundles_.insert(hash);
  }
  return {};
}

base::Status Wallet::check_room(const Bundle& bundle) const {
  if (attestations_.size() + bundle.attestations.size() > kMaxWalletAttestations) {
    return fail(Code::kResourceExhausted, "the wallet knows {} attestations, the limit is {}", attestations_.size(),
                kMaxWalletAttestations);
  }
  return {};
}

Result<std::size_t> Wallet::learn(const Bundle& bundle) {
  DAYBREAK_TRY(check_room(bundle));
  std::size_t added = 0;
  for (const EntityRecord& entity : bundle.entities) entities_.emplace(entity.id, entity);
  for (const BundledAttestation& item : bundle.attestations) {
    const auto [place, is_new] = attestations_.emplace(item.attestation.id(), item);
    added += is_new;
    if (place->second.key_bundle.empty()) place->second.key_bundle = item.key_bundle;  // it came without before
  }
  return added;
}

base::Status Wallet::keep(const Bundle& bundle) {
  DAYBREAK_TRY(check_room(bundle));  // or it could not be learned, now and whenever the wallet is opened
  if (directory_.empty()) return {};
  const std::string bytes = bundle.encode();
  const Hash hash = crypto::sha256(bytes);
  if (bundles_.contains(hash)) return {};
  if (bundles_.size() >= kMaxWalletBundles) {
    return fail(Code::kResourceExhausted, "the wallet '{}' has {} bundles, the limit", directory_, bundles_.size());
  }
  DAYBREAK_TRY(base::write_file_atomically(fmt::format("{}/{}{}", directory_, crypto::to_hex(hash), kBundleSuffix),
                                           bytes, env_));
  bundles_.insert(hash);
  return {};
}

base::Status Wallet::add_upstream(Bundle& bundle) const {
  std::set<Hash> namespaces, above = {owner_->id()};
  for (const auto& item : bundle.attestations) namespaces.insert(item.attestation.namespace_id);
  const std::int64_t now_s = env_.unix_ns() / kNsInSecond;
  // Backwards from the owner, until nothing is added.
  std::set<Hash> taken;
  for (bool more = true; more;) {
    more = false;
    for (const auto& [id, item] : attestations_) {
      if (!namespaces.contains(item.attestation.namespace_id) || !above.contains(item.attestation.subject)) continue;
      if (item.attestation.terms.validity.until_s <= now_s) continue;  // of no more use to anyone
      if (!taken.insert(id).second) continue;
      // Keys above are sealed to the owner, not to the one below: they stay here.
      bundle.attestations.push_back({item.attestation, {}});
      above.insert(item.attestation.attester);
      more = true;
    }
  }
  for (const auto& item : bundle.attestations) {
    for (const Hash& id : {item.attestation.attester, item.attestation.subject}) {
      const auto found = entities_.find(id);
      if (found != entities_.end()) bundle.entities.push_back(found->second);
    }
  }
  return bundle.normalise();
}

Result<Wallet::Granted> Wallet::grant(const EntityRecord& subject, GrantOptions options, std::string_view key_bundle) {
  if (!key_bundle.empty()) options.key_bundle = key_bundle_hash(key_bundle);
  DAYBREAK_ASSIGN(Attestation attestation, owner_->attest(subject, options, env_));
  Bundle bundle;
  bundle.attestations.push_back({attestation, std::string(key_bundle)});
  bundle.entities.push_back(subject);
  const base::MutexLock lock(mutex_);
  DAYBREAK_TRY(add_upstream(bundle));
  DAYBREAK_ASSIGN(std::string sealed, seal_bundle(bundle, subject, env_));
  DAYBREAK_TRY(keep(bundle));
  DAYBREAK_TRY(learn(bundle));
  return Granted{std::move(attestation), std::move(sealed)};
}

Result<std::string> Wallet::bundle_again(const EntityRecord& subject) {
  const base::MutexLock lock(mutex_);
  Bundle bundle;
  for (const auto& [id, item] : attestations_) {
    if (item.attestation.attester == owner_->id() && item.attestation.subject == subject.id)
      bundle.attestations.push_back(item);
  }
  if (bundle.attestations.empty()) {
    return fail(Code::kNotFound, "{} has granted nothing to {}", short_id(owner_->id()), short_id(subject.id));
  }
  bundle.entities.push_back(subject);
  DAYBREAK_TRY(add_upstream(bundle));
  return seal_bundle(bundle, subject, env_);
}

Result<std::size_t> Wallet::add(std::string_view sealed) {
  DAYBREAK_ASSIGN(Bundle bundle, open_bundle(sealed, *owner_));
  if (std::ranges::none_of(bundle.attestations,
                           [&](const auto& item) { return item.attestation.subject == owner_->id(); })) {
    return fail(Code::kInvalidArgument, "the bundle has no grant to {}", short_id(owner_->id()));
  }
  DAYBREAK_TRY(bundle.check_signatures());
  for (BundledAttestation& item : bundle.attestations) {
    // Keys for somebody else are of no use here; ours must be what was granted.
    if (item.attestation.subject != owner_->id()) item.key_bundle.clear();
    if (item.key_bundle.empty()) continue;
    KeyRing ring;
    DAYBREAK_TRY(open_keys(*owner_, item.attestation, item.key_bundle, ring));
  }
  const base::MutexLock lock(mutex_);
  // What is known already is not written again. On the disk first: what could not be kept is not known either, and can
  // be added again.
  bool brings = false;
  for (const BundledAttestation& item : bundle.attestations) {
    const auto known = attestations_.find(item.attestation.id());
    brings = brings || known == attestations_.end() || (known->second.key_bundle.empty() && !item.key_bundle.empty());
  }
  if (brings) DAYBREAK_TRY(keep(bundle));
  return learn(bundle);
}

Checked<Proof> Wallet::prove(const Hash& namespace_id, const Policy& policy, const Hash* subject,
                             const RevokedSet* revoked) const {
  const Known known = this->known();
  return build_proof(known.graph(), namespace_id, subject == nullptr ? owner_->id() : *subject, policy,
                     env_.unix_ns() / kNsInSecond, revoked);
}

Wallet::Known Wallet::known() const {
  const base::MutexLock lock(mutex_);
  Known out;
  for (const auto& [id, entity] : entities_) out.entities.push_back(entity);
  for (const auto& [id, item] : attestations_) out.attestations.push_back(item.attestation);
  return out;
}

std::string Wallet::key_bundle(const Attestation& attestation) const {
  const base::MutexLock lock(mutex_);
  const auto found = attestations_.find(attestation.id());
  return found == attestations_.end() ? std::string() : found->second.key_bundle;
}

std::optional<EntityRecord> Wallet::find(const Hash& id) const {
  const base::MutexLock lock(mutex_);
  const auto found = entities_.find(id);
  if (found == entities_.end()) return std::nullopt;
  return found->second;
}

}  // namespace daybreak::grant
