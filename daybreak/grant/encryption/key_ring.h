// Keys that somebody holds: what was handed down in key bundles, or all of a namespace that is one's own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/grant/attestation.h"
#include "daybreak/grant/bundle.h"
#include "daybreak/grant/encryption/key_tree.h"
#include "daybreak/grant/entity.h"
#include "daybreak/grant/pattern.h"

namespace daybreak::grant {

inline constexpr std::string_view kDecrypt = "decrypt";  // the permission that comes with keys
inline constexpr std::size_t kMaxEpochsOfGrant = 1024;
inline constexpr std::size_t kMaxKeysOfGrant = 4096;  // over all of a grant's patterns: 128 KiB
// That a ring keeps for one place, or tries for one resource, when granters handed over different ones.
inline constexpr std::size_t kMaxRivalKeys = 16;

// First and last epoch, both in it.
struct EpochRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  // All that a validity touches: a window is whole epochs, so it begins before and ends after what was asked.
  static EpochRange covering(Epochs epochs, Validity validity);
  // Its first epoch and how many there are, at most kMaxEpochsOfGrant, none of them after epochs.last(). What is read
  // is one epoch when the reader has failed.
  static EpochRange read(Reader& in, Epochs epochs);
  void write(Writer& out) const { out.varint(first).varint(count()); }
  std::size_t count() const { return static_cast<std::size_t>(last - first + 1); }
  bool operator==(const EpochRange&) const = default;
};

// The node of the tree that a pattern stands for, and whether with all below it. kInvalidArgument for a pattern that no
// node stands for: version 1 has keys for literal resources and for a '*' at the end.
struct KeyNode {
  std::string path;  // empty: the root
  bool subtree = false;
  static base::Result<KeyNode> of(const Pattern& pattern);
};

// What a granter hands over cannot be checked without the namespace's manifest: a dishonest one can send bytes that are
// no key. So a ring keeps rivals for one place side by side, in the order in which they came, and whoever opens
// something tries them all: a wrong key never displaces a right one.
//
// One thread at a time.
class KeyRing {
 public:
  KeyRing() = default;
  // All keys of the owner's namespace.
  static KeyRing of_namespace(const Entity& owner, Epochs epochs);

  // The length of the epochs that its keys are of; nothing when it is empty.
  std::optional<Epochs> epochs() const { return epochs_; }
  void add_seed(std::string_view path, std::uint64_t epoch, Seed seed);
  void add_key(std::string_view path, std::uint64_t epoch, crypto::Secret<32> secret_key);
  // Takes over all keys of the other ring. kFailedPrecondition, and nothing changes, when they are for epochs of
  // another length.
  base::Status merge(KeyRing other);
  void set_epochs(Epochs epochs) { epochs_ = epochs; }

  // What a grant of `node` hands over: the seed of a subtree, the private key of a single node. kPermissionDenied names
  // the resource and the epoch that are not held.
  base::Result<crypto::Secret<32>> secret(const KeyNode& node, std::uint64_t epoch) const;
  // The key pair of one resource; the first of the rivals.
  base::Result<crypto::KeyPair> key(std::string_view resource, std::uint64_t epoch) const;
  // All private keys that may be the resource's, at most kMaxRivalKeys of each place above it; kPermissionDenied when
  // there is none.
  base::Result<std::vector<crypto::Secret<32>>> rivals(std::string_view resource, std::uint64_t epoch) const;

 private:
  std::vector<Seed> seeds(std::string_view path, std::uint64_t epoch) const;

  std::optional<Epochs> epochs_;
  std::optional<Seed> master_;
  using Place = std::pair<std::string, std::uint64_t>;
  std::map<Place, std::vector<Seed>> seeds_;
  std::map<Place, std::vector<crypto::Secret<32>>> keys_;
};

// Seals what `statements` hand over with the permission `decrypt` for the epochs in `range` to the subject, for an
// attestation by `attester`; empty when none of them says `decrypt`. kPermissionDenied when the ring holds less,
// kInvalidArgument for a pattern without a node, more than kMaxKeysOfGrant keys, or a subject without a sealing key.
// Put key_bundle_hash() (bundle.h) of it into the attestation.
base::Result<std::string> seal_keys(const KeyRing& ring, const Entity& attester, const EntityRecord& subject,
                                    const Hash& namespace_id, std::span<const Statement> statements, EpochRange range,
                                    base::Env& env = base::Env::real());

// The plaintext of such a bundle, which is not empty, and the way back: whoever could seal wrote the bytes that
// read_keys() reads. It adds the keys to the ring and gives the epochs that they are for; kDataLoss, and the ring as it
// was, when they are anything but what encode_keys() makes for these statements.
base::Result<crypto::SecretBytes> encode_keys(const KeyRing& ring, std::span<const Statement> statements,
                                              EpochRange range);
base::Result<EpochRange> read_keys(std::string_view plain, std::span<const Statement> statements, KeyRing& ring);

// Opens a bundle that came with `attestation` and reads its keys. kDataLoss also when it is not the one that the
// attestation names, or does not open.
base::Result<EpochRange> open_keys(const Entity& subject, const Attestation& attestation, std::string_view sealed,
                                   KeyRing& ring);

}  // namespace daybreak::grant
