#include "daybreak/grant/encryption/decrypt.h"

namespace daybreak::grant {
namespace {

// Whose signature the ciphertext must bear.
Checked<crypto::VerifyKey> author_key(const Ciphertext& ciphertext, Verifier& verifier, std::int64_t now_s) {
  const std::string& resource = ciphertext.resource().text();
  if (ciphertext.author_proof().empty()) {
    const EntityRecord& owner = ciphertext.owner();  // its id is the namespace's: decode() has seen to it
    if (now_s < owner.validity.from_s)
      return deny(Reason::kNotYet, "the entity of namespace {} is not valid yet", short_id(owner.id));
    if (now_s >= owner.validity.until_s)
      return deny(Reason::kExpired, "the entity of namespace {} has expired", short_id(owner.id));
    const auto revoked = verifier.revocations();
    if (!revoked) return std::unexpected(revoked.error());
    if (*revoked && (*revoked)->contains(owner.revocation))
      return deny(Reason::kRevoked, "the entity of namespace {} is revoked", short_id(owner.id));
    return owner.verify_key;
  }
  const Need needs[] = {{kPublish, resource}};
  const Verdict verdict = verifier.verify(ciphertext.author_proof(), needs);
  if (!verdict.allowed())
    return deny(verdict.reason, "the author may not publish to '{}': {}", resource, verdict.sentence);
  const auto proof = Proof::decode(ciphertext.author_proof());
  if (!proof) return deny(Reason::kMalformed, "{}", proof.error().message());
  return proof->subject().verify_key;
}

}  // namespace

Checked<void> decrypt(const Ciphertext& ciphertext, Verifier& verifier, const Entity& holder,
                      std::string_view holder_proof, const KeyRing& ring, std::span<std::uint8_t> out, base::Env& env) {
  constexpr std::int64_t kNsInSecond = 1'000'000'000;
  const std::string& resource = ciphertext.resource().text();
  const Hash& namespace_id = verifier.options().namespace_id;
  if (ciphertext.namespace_id() != namespace_id) {
    return deny(Reason::kNotGranted, "the ciphertext is of namespace {}, expected is {}",
                short_id(ciphertext.namespace_id()), short_id(namespace_id));
  }
  const auto author = author_key(ciphertext, verifier, env.unix_ns() / kNsInSecond);
  if (!author) return std::unexpected(author.error());
  if (const auto genuine = ciphertext.check_signature(*author); !genuine)
    return deny(Reason::kMalformed, "{}", genuine.error().message());

  if (holder.id() != namespace_id) {
    const Need needs[] = {{kDecrypt, resource}};
    const Verdict verdict = verifier.verify(holder_proof, needs, &holder.id());
    if (!verdict.allowed()) return std::unexpected(Denial{verdict.reason, verdict.sentence});
  }
  const auto keys = ring.rivals(resource, ciphertext.epoch());
  if (!keys) return deny(Reason::kNotGranted, "{}", keys.error().message());
  base::Status opened;
  for (const crypto::Secret<32>& key : *keys) {
    opened = ciphertext.open(key, out);
    if (opened) return {};
  }
  return deny(Reason::kMalformed, "{}", opened.error().message());
}

}  // namespace daybreak::grant
