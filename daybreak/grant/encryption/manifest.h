// The public keys of a namespace: what anyone needs to encrypt to a resource in it.
//
// To everyone but this file a manifest is opaque public bytes, so that another scheme (the parameters of identity-based
// encryption) can take its place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/grant/encryption/key_ring.h"
#include "daybreak/grant/entity.h"

namespace daybreak::grant {

inline constexpr std::size_t kMaxManifestPaths = 4096;
inline constexpr std::size_t kMaxManifestKeys = 1 << 17;
inline constexpr std::size_t kMaxManifestBytes = 8 << 20;

struct ManifestOptions {
  std::vector<std::string> resources;  // literal
  std::uint64_t sequence = 1;          // more than that of every manifest of the namespace before
  Validity validity;                   // of the manifest; its keys are those of the epochs that it touches
  Epochs epochs;
};

// Immutable. Any thread.
class Manifest {
 public:
  // Signed by the entity that the namespace is. kInvalidArgument: a pattern among the resources, or too many keys.
  static base::Result<Manifest> make(const Entity& owner, const ManifestOptions& options);
  // kDataLoss when the bytes are not a manifest in its one form, or not signed by the namespace that they name.
  static base::Result<Manifest> decode(std::string_view bytes);
  const std::string& encode() const { return bytes_; }

  const EntityRecord& owner() const { return owner_; }
  const Hash& namespace_id() const { return owner_.id; }
  std::uint64_t sequence() const { return sequence_; }
  const Validity& validity() const { return validity_; }
  Epochs epochs() const { return epochs_; }
  std::vector<std::string> resources() const;

  // kFailedPrecondition: it, or its namespace's entity, is not in time at unix second `now_s`.
  base::Status check_time(std::int64_t now_s) const;
  // kNotFound names the resource and the epoch that it lacks; a key of an ancestor is never taken instead.
  base::Result<crypto::PublicKey> key(std::string_view resource, std::uint64_t epoch) const;

 private:
  Manifest() = default;
  struct Keys {
    std::string path;
    std::uint64_t first_epoch = 0;
    std::vector<crypto::PublicKey> keys;  // of successive epochs
  };
  static Manifest read(Reader& in);
  void write(Writer& out) const;

  EntityRecord owner_;
  std::uint64_t sequence_ = 0;
  Validity validity_;
  Epochs epochs_;
  std::vector<Keys> keys_;  // by path, unique
  std::string bytes_;
};

// Remembers the newest manifest of every namespace, so that an older one is known for what it is. With a directory the
// memory outlives the process, and processes may share it. One thread at a time.
class ManifestMemory {
 public:
  // An empty directory name: in memory alone.
  explicit ManifestMemory(std::string directory = {}, base::Env& env = base::Env::real());

  // Decodes, checks namespace and time, and compares with the newest one seen. kFailedPrecondition: of another
  // namespace, not in time, or older than one seen; kDataLoss: damaged, or another one of the same sequence number
  // (then the namespace's owner, or someone with its key, tells different people different things).
  base::Result<Manifest> accept(std::string_view bytes, const Hash& namespace_id);
  // The newest one seen; kNotFound when there is none.
  base::Result<Manifest> newest(const Hash& namespace_id) const;

 private:
  std::string prefix(const Hash& namespace_id) const;
  base::Result<std::vector<std::string>> names(const Hash& namespace_id) const;
  base::Result<bool> compare(const Manifest& manifest) const;

  std::string directory_;
  base::Env& env_;
  std::map<Hash, std::string> seen_;
};

}  // namespace daybreak::grant
