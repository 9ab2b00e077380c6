// How grants travel: an attestation, the chains above it, the records of all entities in them, and sealed key bundles,
// sealed to the subject. Format: docs/formats/grant-bundle.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daybreak/grant/entity.h"

namespace daybreak::grant {

struct BundledAttestation {
  Attestation attestation;
  // Keys sealed to the attestation's subject (encryption/key_ring.h). Empty, or what the attestation's key_bundle is
  // the key_bundle_hash() of.
  std::string key_bundle;
  bool operator==(const BundledAttestation&) const = default;
};

// How an attestation names the sealed keys that go with it.
Hash key_bundle_hash(std::string_view sealed);

// What is in a bundle. Every attestation's two entities are there, and nothing else.
struct Bundle {
  std::vector<EntityRecord> entities;            // by id, unique
  std::vector<BundledAttestation> attestations;  // by their bytes, unique

  // Sorts, drops duplicates and entities that nothing names. kInvalidArgument when a record is missing or a limit
  // broken.
  base::Status normalise();
  std::string encode() const;
  static base::Result<Bundle> decode(std::string_view bytes);
  // kDataLoss names the attestation that its attester did not sign. One Ed25519 verification each.
  base::Status check_signatures() const;
  bool operator==(const Bundle&) const = default;
};

// Sealed to the subject's X25519 key. A subject without one gets it in the clear (attestations are no secrets), unless
// key bundles are in it: then kInvalidArgument.
base::Result<std::string> seal_bundle(const Bundle& bundle, const EntityRecord& subject,
                                      base::Env& env = base::Env::real());
// kPermissionDenied when it is for somebody else; kDataLoss when it was altered.
base::Result<Bundle> open_bundle(std::string_view sealed, const Entity& subject);

}  // namespace daybreak::grant
