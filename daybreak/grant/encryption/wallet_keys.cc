#include "daybreak/grant/encryption/wallet_keys.h"

#include <algorithm>

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

// The length of the epochs that keys handed to the owner are for; that of the first bundle that opens.
std::optional<Epochs> epochs_held(const Wallet& wallet, const Hash& namespace_id) {
  for (const Attestation& attestation : wallet.known().attestations) {
    if (attestation.subject != wallet.owner().id() || attestation.namespace_id != namespace_id) continue;
    const std::string sealed = wallet.key_bundle(attestation);
    KeyRing ring;
    if (!sealed.empty() && open_keys(wallet.owner(), attestation, sealed, ring)) return ring.epochs();
  }
  return std::nullopt;
}

}  // namespace

Result<KeyRing> keys_of(const Wallet& wallet, const Hash& namespace_id, Epochs epochs) {
  if (wallet.owner().id() == namespace_id) return KeyRing::of_namespace(wallet.owner(), epochs);
  KeyRing all;
  all.set_epochs(epochs);
  for (const Attestation& attestation : wallet.known().attestations) {
    if (attestation.subject != wallet.owner().id() || attestation.namespace_id != namespace_id) continue;
    const std::string sealed = wallet.key_bundle(attestation);
    KeyRing ring;
    if (sealed.empty() || !open_keys(wallet.owner(), attestation, sealed, ring)) continue;
    if (ring.epochs() == epochs) DAYBREAK_TRY(all.merge(std::move(ring)));
  }
  return all;
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
  const Epochs epochs = owner ? keys.epochs : epochs_held(wallet, full.namespace_id).value_or(keys.epochs);
  DAYBREAK_ASSIGN(Validity window, Validity::make(*full.valid_from_s, full.valid_for_s));
  if (keys.from_s) window.from_s = std::min(window.from_s, std::max<std::int64_t>(*keys.from_s, 0));
  const EpochRange range = EpochRange::covering(epochs, window);
  DAYBREAK_ASSIGN(const KeyRing ring, keys_of(wallet, full.namespace_id, epochs));
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
  const auto ring = keys_of(holder, namespace_id, ciphertext.epochs());
  if (!ring) return deny(Reason::kMalformed, "{}", ring.error().message());
  return decrypt(ciphertext, verifier, holder.owner(), proof_bytes, *ring, out, env);
}

}  // namespace daybreak::grant
