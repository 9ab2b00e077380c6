#include "daybreak/grant/encryption/wallet_keys.h"

#include <algorithm>
#include <map>

namespace daybreak::grant {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::int64_t kNsASecond = 1'000'000'000;

bool says_decrypt(std::span<const Statement> statements) {
  return std::ranges::any_of(statements, [](const Statement& statement) {
    return std::ranges::find(statement.permissions, kDecrypt) != statement.permissions.end();
  });
}

Checked<Proof> prove_one(const Wallet& wallet, const Hash& namespace_id, std::string_view permission,
                         std::string_view resource, const RevokedSet* revoked = nullptr) {
  auto pair = Pair::make(permission, resource);
  if (!pair) return deny(Reason::kMalformed, "{}", pair.error().message());
  const auto policy = Policy::make({std::move(*pair)});
  if (!policy) return deny(Reason::kMalformed, "{}", policy.error().message());
  return wallet.prove(namespace_id, *policy, nullptr, revoked);
}

// The grants to the owner that may bring keys: by entities that a chain of grants from the namespace comes to, those
// nearest to it first. Anyone can send a bundle; keys from somebody whom the namespace never reached are not looked at.
std::vector<const Attestation*> grants_from_namespace(const Wallet& wallet, const Wallet::Known& known,
                                                      const Hash& namespace_id) {
  std::map<Hash, std::size_t> distance = {{namespace_id, 0}};
  std::vector<Hash> edge = {namespace_id};
  for (std::size_t steps = 1; !edge.empty(); ++steps) {
    std::vector<Hash> next;
    for (const Attestation& attestation : known.attestations) {
      if (attestation.namespace_id != namespace_id || std::ranges::find(edge, attestation.attester) == edge.end())
        continue;
      if (distance.emplace(attestation.subject, steps).second) next.push_back(attestation.subject);
    }
    edge = std::move(next);
  }
  std::vector<const Attestation*> out;
  for (const Attestation& attestation : known.attestations) {
    if (attestation.subject == wallet.owner().id() && attestation.namespace_id == namespace_id &&
        distance.contains(attestation.attester))
      out.push_back(&attestation);
  }
  std::ranges::stable_sort(out, {}, [&](const Attestation* one) { return distance[one->attester]; });
  return out;
}

// One ring for each grant whose keys open.
std::vector<KeyRing> rings_of(const Wallet& wallet, const Hash& namespace_id) {
  const Wallet::Known known = wallet.known();
  std::vector<KeyRing> rings;
  for (const Attestation* attestation : grants_from_namespace(wallet, known, namespace_id)) {
    const std::string sealed = wallet.key_bundle(*attestation);
    KeyRing ring;
    if (!sealed.empty() && open_keys(wallet.owner(), *attestation, sealed, ring)) rings.push_back(std::move(ring));
  }
  return rings;
}

KeyRing merged(std::vector<KeyRing> rings, Epochs epochs) {
  KeyRing all;
  all.set_epochs(epochs);
  for (KeyRing& ring : rings) {
    if (ring.epochs() == epochs) std::ignore = all.merge(std::move(ring));  // cannot fail: the same epochs
  }
  return all;
}

}  // namespace

KeyRing keys_of(const Wallet& wallet, const Hash& namespace_id, Epochs epochs) {
  if (wallet.owner().id() == namespace_id) return KeyRing::of_namespace(wallet.owner(), epochs);
  return merged(rings_of(wallet, namespace_id), epochs);
}

Result<GrantedKeys> grant_with_keys(Wallet& wallet, const EntityRecord& subject, const GrantOptions& options,
                                    const KeyOptions& keys, base::Env& env) {
  GrantOptions full = options;
  DAYBREAK_ASSIGN(full.statements, canonical(options.statements));
  full.valid_from_s = options.valid_from_s.value_or(env.unix_ns() / kNsASecond);
  if (!says_decrypt(full.statements)) {
    if (keys.from_s) {
      return fail(Code::kInvalidArgument,
                  "keys from an earlier time go with 'decrypt' only, which is not granted here");
    }
    DAYBREAK_ASSIGN(Wallet::Granted granted, wallet.grant(subject, full));
    return GrantedKeys{std::move(granted)};
  }
  const bool owner = wallet.owner().id() == full.namespace_id;
  std::vector<KeyRing> held;
  if (!owner) held = rings_of(wallet, full.namespace_id);
  const Epochs epochs = held.empty() ? keys.epochs : held.front().epochs().value_or(keys.epochs);
  const KeyRing ring = owner ? KeyRing::of_namespace(wallet.owner(), epochs) : merged(std::move(held), epochs);
  DAYBREAK_ASSIGN(Validity window, Validity::make(*full.valid_from_s, full.valid_for_s));
  if (keys.from_s) window.from_s = std::min(window.from_s, std::max<std::int64_t>(*keys.from_s, 0));
  const EpochRange range = EpochRange::covering(epochs, window);
  DAYBREAK_ASSIGN(const std::string sealed,
                  seal_keys(ring, wallet.owner(), subject, full.namespace_id, full.statements, range, env));
  DAYBREAK_ASSIGN(Wallet::Granted granted, wallet.grant(subject, full, sealed));
  return GrantedKeys{std::move(granted), epochs.begin(range.first), epochs.begin(range.last + 1)};
}

base::Status encrypt_as(const Wallet& author, const Manifest& manifest, std::string_view resource,
                        std::string_view text, const Allocate& allocate, base::Env& env) {
  if (author.owner().id() == manifest.namespace_id())
    return encrypt(manifest, resource, text, author.owner(), {}, allocate, env);
  const auto proof = prove_one(author, manifest.namespace_id(), kPublish, resource);
  if (!proof) return fail(Code::kPermissionDenied, "{}", proof.error().sentence);
  return encrypt(manifest, resource, text, author.owner(), proof->bytes(), allocate, env);
}

Checked<void> decrypt_as(const Wallet& holder, const Ciphertext& ciphertext, Verifier& verifier,
                         std::span<std::uint8_t> out, base::Env& env) {
  const Hash& namespace_id = verifier.options().namespace_id;
  std::string proof_bytes;
  if (holder.owner().id() != namespace_id && ciphertext.namespace_id() == namespace_id) {
    const auto revoked = verifier.revocations();
    if (!revoked) return std::unexpected(revoked.error());
    auto proof = prove_one(holder, namespace_id, kDecrypt, ciphertext.resource().text(), revoked->get());
    if (!proof) return std::unexpected(proof.error());
    proof_bytes = proof->bytes();
  }
  const KeyRing ring = keys_of(holder, namespace_id, ciphertext.epochs());
  return decrypt(ciphertext, verifier, holder.owner(), proof_bytes, ring, out, env);
}

}  // namespace daybreak::grant
