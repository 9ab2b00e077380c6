// A proof: chains of attestations from a namespace to one subject, with the records of all entities on them.
//
// Format: docs/formats/grant-proof.md. On the wire an attestation names its entities by their place in the proof and
// the namespace not at all, which makes 263 bytes a hop of what would be 390.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/grant/entity.h"
#include "daybreak/grant/reason.h"

namespace daybreak::grant {

struct ProofHop {
  std::uint8_t attester = 0;  // places in Proof::entities()
  std::uint8_t subject = 0;
  Terms terms;
  crypto::Signature signature{};
  std::uint32_t terms_begin = 0;  // where the bytes of the terms lie in the proof
  std::uint32_t terms_end = 0;
  bool operator==(const ProofHop&) const = default;
};

using ProofPath = std::vector<std::uint8_t>;  // places in Proof::hops(), from the namespace on

// Immutable. What decode() accepts is well formed: every path begins at the namespace, is linked, comes to no entity
// twice and ends at the same subject; there are no duplicates and nothing is unused. Nothing is said yet about
// signatures, times or what is granted.
class Proof {
 public:
  // kDataLoss says what is malformed.
  static base::Result<Proof> decode(std::string_view bytes);
  // From whole objects: paths are lists of places in `attestations`. The records must be those of all entities named
  // there; more may be given. kInvalidArgument when the result would break a rule of decode().
  static base::Result<Proof> make(std::span<const EntityRecord> entities, std::span<const Attestation> attestations,
                                  std::span<const std::vector<std::size_t>> paths);

  const std::string& bytes() const { return bytes_; }
  Hash hash() const { return hash_of_bytes(bytes_); }
  static Hash hash_of_bytes(std::string_view bytes);

  const std::vector<EntityRecord>& entities() const { return entities_; }
  const std::vector<ProofHop>& hops() const { return hops_; }
  const std::vector<ProofPath>& paths() const { return paths_; }
  const EntityRecord& root() const { return entities_[root_]; }
  const EntityRecord& subject() const { return entities_[hops_[paths_.front().back()].subject]; }
  // The attestation as a whole object.
  Attestation attestation(std::size_t hop) const;
  std::string signed_message(const ProofHop& hop) const;

  // Whether the pair lies within some statement of every hop of one path. Allocates nothing.
  bool covers(std::string_view permission, const PatternView& resource) const;
  // The sentence for a pair that is not covered: which hop ends the path that comes furthest.
  std::string missing_link(std::string_view permission, const PatternView& resource) const;

 private:
  void read(Reader& in);
  void check_paths(Reader& in) const;

  std::string bytes_;
  std::vector<EntityRecord> entities_;
  std::vector<ProofHop> hops_;
  std::vector<ProofPath> paths_;
  std::uint8_t root_ = 0;
};

struct HashHasher {
  std::size_t operator()(const Hash& hash) const {  // a hash is as good as random already
    std::size_t out;
    __builtin_memcpy(&out, hash.data(), sizeof out);
    return out;
  }
};
using RevokedSet = std::unordered_set<Hash, HashHasher>;  // commitments

// Whether the proof is genuine, by itself: it begins at the namespace that the verifier expects, no hop goes further
// than those before it allow, all is in time at `now_s` and not revoked, and every signature holds. Work: one Ed25519
// verification for each attestation, at most kMaxAttestations. Returns when it ends: the first second at which
// something in it has expired. `revoked` = nullptr: revocation is not looked at.
Checked<std::int64_t> authenticate(const Proof& proof, const Hash& namespace_id, std::int64_t now_s,
                                   const RevokedSet* revoked);

// That the proof covers all pairs of the policy.
Checked<void> check_policy(const Proof& proof, const Policy& policy);

// That nothing in the proof is expired, not yet valid or revoked: what changes with time.
Checked<std::int64_t> check_times(const Proof& proof, std::int64_t now_s);
Checked<void> check_revocations(const Proof& proof, const RevokedSet& revoked);

}  // namespace daybreak::grant
