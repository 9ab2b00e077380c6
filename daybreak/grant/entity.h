// Entities: whoever grants, holds or proves. An entity is a key pair with a validity; its public record is anyone's to
// pass on.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/crypto/hpke.h"
#include "daybreak/crypto/sign.h"
#include "daybreak/grant/attestation.h"
#include "daybreak/grant/encoding.h"

namespace daybreak::grant {

// The public half. Its id is the hash of its bytes, so whoever knows the id can check the record: it needs no signature
// of its own. (A record made with somebody else's key has another id; nobody has granted anything to that id who did
// not mean to, and only the owner of the key can use it.)
struct EntityRecord {
  crypto::VerifyKey verify_key{};
  std::optional<crypto::PublicKey> sealing_key;  // X25519; an entity to which nothing is sealed needs none
  Validity validity;
  Hash revocation{};  // commitment
  Hash id{};          // follows from all of the above

  std::string encode() const;
  static base::Result<EntityRecord> decode(std::string_view bytes);
  void write(Writer& out) const;
  static EntityRecord read(Reader& in);  // computes the id
  bool operator==(const EntityRecord&) const = default;
};

struct EntityOptions {
  std::optional<std::int64_t> valid_from_s;      // now
  std::int64_t valid_for_s = 365 * 24 * 3600LL;  // ends with the last second that version 1 knows
  bool sealing = true;                           // with an X25519 key
};

struct GrantOptions {
  Hash namespace_id{};
  std::vector<Statement> statements;
  std::uint8_t hops = 0;                     // how often the subject may pass it on: 0 = not at all
  std::optional<std::int64_t> valid_from_s;  // now
  std::int64_t valid_for_s = 30 * 24 * 3600LL;
  Hash key_bundle{};  // key_bundle_hash() of the sealed key bundle that travels with the attestation, or zero
};

// With the secret half: one seed of 32 bytes, from which the X25519 key and all revocation secrets follow. Moved, not
// copied. Any thread may call the const functions.
class Entity {
 public:
  static base::Result<Entity> create(const EntityOptions& options = {}, base::Env& env = base::Env::real());

  const EntityRecord& record() const { return record_; }
  const Hash& id() const { return record_.id; }

  // Signs that the subject may do something. kInvalidArgument when the options break a limit or name the entity itself
  // as subject.
  base::Result<Attestation> attest(const EntityRecord& subject, const GrantOptions& options,
                                   base::Env& env = base::Env::real()) const;

  // The secret whose publication revokes an attestation of ours (kInvalidArgument: somebody else's), or this entity.
  base::Result<crypto::Secret<32>> revocation_secret(const Attestation& attestation) const;
  crypto::Secret<32> revocation_secret() const;

  crypto::Signature sign(std::string_view message) const { return signing_.sign(crypto::bytes_of(message)); }
  // Opens what was sealed to the record's key; kFailedPrecondition when it has none.
  base::Result<crypto::SecretBytes> open(std::string_view info, std::string_view sealed) const;

  // A secret of this entity's for one purpose: HKDF(seed, info). `info` begins with a tag of its own.
  crypto::Secret<32> derive_secret(std::string_view info) const;

  // A file 0600, under a passphrase if one is given (crypto/key_file.h). kAlreadyExists when the file holds anything
  // but this entity's own key, as far as can be seen without another passphrase: a key that is written over is lost for
  // ever. `replace` does it nevertheless. kFailedPrecondition when an open key of this entity's would stay behind under
  // another name of the file (a hard link).
  base::Status save(const std::string& path, std::optional<std::string_view> passphrase = std::nullopt,
                    base::Env& env = base::Env::real(), bool replace = false) const;
  static base::Result<Entity> load(const std::string& path, std::optional<std::string_view> passphrase = std::nullopt,
                                   base::Env& env = base::Env::real());

 private:
  base::Status check_may_replace(const std::string& path, std::optional<std::string_view> passphrase,
                                 base::Env& env) const;

  Entity(crypto::Secret<32> seed, bool sealing);

  crypto::Secret<32> seed_;
  crypto::SigningKey signing_;
  std::optional<crypto::KeyPair> sealing_;
  EntityRecord record_;
};

// What publishing a secret revokes: SHA-256(tag || secret).
Hash revocation_commitment(std::span<const std::uint8_t, 32> secret);

// The first 12 digits of an id, for sentences.
std::string short_id(const Hash& id);

}  // namespace daybreak::grant
