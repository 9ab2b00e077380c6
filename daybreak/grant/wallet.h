// What one entity knows: grants to it, the chains above them, and the grants that it made.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/mutex.h"
#include "daybreak/grant/bundle.h"
#include "daybreak/grant/prover.h"

namespace daybreak::grant {

// Holds whole bundles, in memory or, with a directory, each as a file 0600 named by its hash; they can come in any
// order, again, and from several processes (each sees what the others wrote when it is opened). Any thread may call any
// function.
class Wallet {
 public:
  // An empty directory name: in memory only. A file in it that is damaged is an error that names it.
  static base::Result<std::shared_ptr<Wallet>> open(std::shared_ptr<const Entity> owner, std::string directory = {},
                                                    base::Env& env = base::Env::real());

  const Entity& owner() const { return *owner_; }

  // Grants to the subject, keeps the attestation, and gives the bundle to send. `key_bundle`: keys sealed to the
  // subject, or empty; its hash goes into the attestation. That the owner can grant it at all is not checked: the grant
  // above may come later.
  struct Granted {
    Attestation attestation;
    std::string bundle;
  };
  base::Result<Granted> grant(const EntityRecord& subject, GrantOptions options, std::string_view key_bundle = {});
  // All that this wallet has granted to the subject, with the chains above as they are known now: for when they came
  // later. kNotFound when it granted nothing.
  base::Result<std::string> bundle_again(const EntityRecord& subject);
  // Opens and keeps a bundle for the owner, after checking every signature and that the keys in it are what their
  // attestations say; keys for somebody else are dropped. Returns how many attestations in it are new.
  base::Result<std::size_t> add(std::string_view sealed);

  // For the owner, or for an entity whose grants are known here, over nothing that is in `revoked`.
  Checked<Proof> prove(const Hash& namespace_id, const Policy& policy, const Hash* subject = nullptr,
                       const RevokedSet* revoked = nullptr) const;

  // A copy of what is known, for search() and the functions of explain.h.
  struct Known {
    std::vector<EntityRecord> entities;
    std::vector<Attestation> attestations;
    Graph graph() const { return {entities, attestations}; }
  };
  Known known() const;
  // The sealed key bundle of an attestation; empty when there is none here.
  std::string key_bundle(const Attestation& attestation) const;
  std::optional<EntityRecord> find(const Hash& id) const;

 private:
  Wallet(std::shared_ptr<const Entity> owner, std::string directory, base::Env& env);
  base::Status load() DAYBREAK_EXCLUDES(mutex_);
  base::Status check_room(const Bundle& bundle) const DAYBREAK_REQUIRES(mutex_);
  // Adds to memory; returns how many attestations are new.
  base::Result<std::size_t> learn(const Bundle& bundle) DAYBREAK_REQUIRES(mutex_);
  base::Status keep(const Bundle& bundle) DAYBREAK_REQUIRES(mutex_);
  // With all chains in the namespaces of its attestations that end at the owner.
  base::Status add_upstream(Bundle& bundle) const DAYBREAK_REQUIRES(mutex_);

  const std::shared_ptr<const Entity> owner_;
  const std::string directory_;
  base::Env& env_;
  mutable base::Mutex mutex_;
  std::map<Hash, EntityRecord> entities_ DAYBREAK_GUARDED_BY(mutex_);
  std::map<Hash, BundledAttestation> attestations_ DAYBREAK_GUARDED_BY(mutex_);  // by id
  std::set<Hash> bundles_ DAYBREAK_GUARDED_BY(mutex_);  // in the directory, by the hash of their bytes
};

}  // namespace daybreak::grant
