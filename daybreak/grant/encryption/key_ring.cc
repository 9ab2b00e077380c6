#include "daybreak/grant/encryption/key_ring.h"

#include <algorithm>

namespace daybreak::grant {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint8_t kKeyBundleVersion = 1;
constexpr std::string_view kKeyBundleTag = tag("daybreak/grant/key-bundle/v1");

// What the sealed bundle is bound to, beside its hash in the attestation: it opens for this grant's three parties only.
std::string bundle_info(const Hash& attester, const Hash& subject, const Hash& namespace_id) {
  std::string info(kKeyBundleTag);
  info.append(view(attester)).append(view(subject)).append(view(namespace_id));
  return info;
}

std::vector<const Pattern*> decrypt_patterns(std::span<const Statement> statements) {
  std::vector<const Pattern*> patterns;
  for (const Statement& statement : statements) {
    if (std::ranges::find(statement.permissions, kDecrypt) != statement.permissions.end())
      patterns.push_back(&statement.resource);
  }
  return patterns;
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

void add_unequal(std::vector<crypto::Secret<32>>& held, crypto::Secret<32> one) {
  const bool there = std::ranges::any_of(
      held, [&](const crypto::Secret<32>& other) { return crypto::constant_time_equal(other.bytes(), one.bytes()); });
  if (!there) held.push_back(std::move(one));
}

void add_rival(std::vector<crypto::Secret<32>>& held, crypto::Secret<32> one) {
  if (held.size() < kMaxRivalKeys) add_unequal(held, std::move(one));
}

std::unexpected<base::Error> no_key(const KeyNode& node, std::uint64_t epoch) {
  const char* const below = !node.subtree ? "" : node.path.empty() ? "*" : "/*";
  return fail(Code::kPermissionDenied,
              "no key for '{}{}' in epoch {} is held: ask for a grant of 'decrypt' that covers it", node.path, below,
              epoch);
}

}  // namespace

EpochRange EpochRange::covering(Epochs epochs, Validity validity) {
  return {epochs.at(validity.from_s), epochs.at(validity.until_s - 1)};
}

EpochRange EpochRange::read(Reader& in, Epochs epochs) {
  const std::uint64_t first = in.varint(0, epochs.last(), "the first epoch");
  const std::uint64_t count = in.varint(1, kMaxEpochsOfGrant, "the number of epochs");
  in.require(!in.ok() || count - 1 <= epochs.last() - first, "its last epoch begins after the year 2255");
  if (!in.ok()) return {};
  return {first, first + count - 1};
}

Result<KeyNode> KeyNode::of(const Pattern& pattern) {
  const std::string& text = pattern.text();
  if (pattern.is_literal()) return KeyNode{text, false};
  if (text == "*") return KeyNode{"", true};
  if (text.ends_with("/*")) {
    std::string path = text.substr(0, text.size() - 2);
    if (const auto parsed = Pattern::parse(path); parsed && parsed->is_literal()) return KeyNode{std::move(path), true};
  }
  return fail(Code::kInvalidArgument,
              "'decrypt' on '{}' has no key: grant it on one resource ('models/a'), or on all below one ('models/*')",
              text);
}

KeyRing KeyRing::of_namespace(const Entity& owner, Epochs epochs) {
  KeyRing ring;
  ring.epochs_ = epochs;
  ring.master_ = namespace_master(owner);
  return ring;
}

base::Status KeyRing::merge(KeyRing other) {
  if (epochs_ && other.epochs_ && *epochs_ != *other.epochs_) {
    return fail(Code::kFailedPrecondition, "keys for epochs of {} s do not go with keys for epochs of {} s",
                other.epochs_->seconds(), epochs_->seconds());
  }
  if (!epochs_) epochs_ = other.epochs_;
  if (other.master_) master_ = std::move(other.master_);
  for (auto& [place, seeds] : other.seeds_) {
    for (Seed& seed : seeds) add_rival(seeds_[place], std::move(seed));
  }
  for (auto& [place, keys] : other.keys_) {
    for (crypto::Secret<32>& key : keys) add_rival(keys_[place], std::move(key));
  }
  return {};
}

void KeyRing::add_seed(std::string_view path, std::uint64_t epoch, Seed seed) {
  add_rival(seeds_[Place(path, epoch)], std::move(seed));
}

void KeyRing::add_key(std::string_view path, std::uint64_t epoch, crypto::Secret<32> secret_key) {
  add_rival(keys_[Place(path, epoch)], std::move(secret_key));
}

// The seeds of a node: held, or derived from those of an ancestor; of the nearest place first.
std::vector<Seed> KeyRing::seeds(std::string_view path, std::uint64_t epoch) const {
  std::vector<Seed> out;
  if (master_) out.push_back(descend(epoch_seed(*master_, *epochs_, epoch), path));
  for (std::string_view at = path;; at = parent_of(at)) {
    if (const auto found = seeds_.find(Place(at, epoch)); found != seeds_.end()) {
      const std::string_view rest = path.substr(at.empty() || at.size() == path.size() ? at.size() : at.size() + 1);
      for (const Seed& held : found->second) out.push_back(descend(held, rest));
    }
    if (at.empty()) return out;
  }
}

Result<crypto::Secret<32>> KeyRing::secret(const KeyNode& node, std::uint64_t epoch) const {
  if (std::vector<Seed> held = seeds(node.path, epoch); !held.empty()) {
    if (node.subtree) return std::move(held.front());
    return node_key(held.front()).secret_key;
  }
  if (!node.subtree) {
    if (const auto found = keys_.find(Place(node.path, epoch)); found != keys_.end())
      return found->second.front().clone();
  }
  return no_key(node, epoch);
}

Result<crypto::KeyPair> KeyRing::key(std::string_view resource, std::uint64_t epoch) const {
  DAYBREAK_ASSIGN(crypto::Secret<32> held, secret({std::string(resource), false}, epoch));
  const crypto::PublicKey public_key = crypto::x25519_public(held);
  return crypto::KeyPair{std::move(held), public_key};
}

Result<std::vector<crypto::Secret<32>>> KeyRing::rivals(std::string_view resource, std::uint64_t epoch) const {
  std::vector<crypto::Secret<32>> out;
  for (const Seed& held : seeds(resource, epoch)) add_unequal(out, node_key(held).secret_key);
  if (const auto found = keys_.find(Place(resource, epoch)); found != keys_.end()) {
    for (const crypto::Secret<32>& held : found->second) add_unequal(out, held.clone());
  }
  if (out.empty()) return no_key({std::string(resource), false}, epoch);
  return out;
}

Result<crypto::SecretBytes> encode_keys(const KeyRing& ring, std::span<const Statement> statements, EpochRange range) {
  const std::vector<const Pattern*> patterns = decrypt_patterns(statements);
  if (!ring.epochs()) {
    return fail(Code::kPermissionDenied, "no keys are held in this namespace: only who holds 'decrypt' can grant it");
  }
  if (range.last < range.first || range.count() > kMaxEpochsOfGrant ||
      range.count() * patterns.size() > kMaxKeysOfGrant) {
    return fail(Code::kInvalidArgument,
                "keys of {} epochs for {} resources: at most {} epochs and {} keys go with a grant; grant a shorter "
                "time or fewer resources",
                range.last < range.first ? 0 : range.count(), patterns.size(), kMaxEpochsOfGrant, kMaxKeysOfGrant);
  }
  Writer head;
  head.u8(kKeyBundleVersion);
  ring.epochs()->write(head);
  range.write(head);
  head.varint(patterns.size());
  std::size_t size = head.bytes().size();
  for (const Pattern* pattern : patterns) size += 2 + pattern->text().size() + 32 * range.count();
  crypto::SecretBytes bundle(size);  // of its final size: growing would leave copies of keys behind
  auto at = std::ranges::copy(head.bytes(), bundle.writable().begin()).out;
  for (const Pattern* pattern : patterns) {
    DAYBREAK_ASSIGN(const KeyNode node, KeyNode::of(*pattern));
    Writer name;
    name.text(pattern->text());
    at = std::ranges::copy(name.bytes(), at).out;
    for (std::uint64_t epoch = range.first; epoch <= range.last; ++epoch) {
      DAYBREAK_ASSIGN(const crypto::Secret<32> held, ring.secret(node, epoch));
      at = std::ranges::copy(held.bytes(), at).out;
    }
  }
  bundle.shorten(static_cast<std::size_t>(at - bundle.writable().begin()));
  return bundle;
}

Result<EpochRange> read_keys(std::string_view plain, std::span<const Statement> statements, KeyRing& ring) {
  const std::vector<const Pattern*> granted = decrypt_patterns(statements);
  Reader in(plain, "the key bundle");
  read_version(in, kKeyBundleVersion);
  const Epochs epochs = Epochs::read(in);
  const EpochRange range = EpochRange::read(in, epochs);
  in.require(in.varint(1, kMaxStatements, "the number of resources") == granted.size(),
             "it has keys for more or fewer resources than were granted");
  in.require(range.count() * granted.size() <= kMaxKeysOfGrant, "it has more than 4,096 keys");
  DAYBREAK_TRY(in.status());
  KeyRing opened;
  opened.set_epochs(epochs);
  for (const Pattern* pattern : granted) {
    in.require(in.text(1, kMaxPatternBytes, "the length of a resource") == pattern->text(),
               "it has keys for another resource than was granted");
    const auto node = KeyNode::of(*pattern);
    in.require(node.has_value(), "it has keys for a pattern that no key is of");
    const std::string_view keys = in.raw(32 * range.count());
    DAYBREAK_TRY(in.status());
    for (std::size_t i = 0; i < range.count(); ++i) {
      const auto bytes = crypto::bytes_of(keys.substr(32 * i, 32)).first<32>();
      if (node->subtree) {
        opened.add_seed(node->path, range.first + i, Seed::copy_of(bytes));
      } else {
        opened.add_key(node->path, range.first + i, crypto::Secret<32>::copy_of(bytes));
      }
    }
  }
  DAYBREAK_TRY(in.finish());
  DAYBREAK_TRY(ring.merge(std::move(opened)));
  return range;
}

Result<std::string> seal_keys(const KeyRing& ring, const Entity& attester, const EntityRecord& subject,
                              const Hash& namespace_id, std::span<const Statement> statements, EpochRange range,
                              base::Env& env) {
  if (decrypt_patterns(statements).empty()) return std::string();
  if (!subject.sealing_key) {
    return fail(Code::kInvalidArgument, "entity {} has no key to seal to: it was made without one",
                short_id(subject.id));
  }
  DAYBREAK_ASSIGN(const crypto::SecretBytes bundle, encode_keys(ring, statements, range));
  return crypto::seal(*subject.sealing_key, crypto::bytes_of(bundle_info(attester.id(), subject.id, namespace_id)), {},
                      bundle.bytes(), env);
}

Result<EpochRange> open_keys(const Entity& subject, const Attestation& attestation, std::string_view sealed,
                             KeyRing& ring) {
  if (key_bundle_hash(sealed) != attestation.terms.key_bundle) {
    return fail(Code::kDataLoss, "the key bundle is not the one that the attestation by {} names: take the bundle anew",
                short_id(attestation.attester));
  }
  const auto plain =
      subject.open(bundle_info(attestation.attester, attestation.subject, attestation.namespace_id), sealed);
  if (!plain) return fail(Code::kDataLoss, "the key bundle: {}", plain.error().message());
  return read_keys(plain->view(), attestation.terms.statements, ring);
}

}  // namespace daybreak::grant
