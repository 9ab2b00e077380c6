// The keys of a namespace: a tree over (epoch, cells of the resource), of which a holder of any node derives all below
// it and nothing beside or above it.
//
//   master                       HKDF of the secret seed of the entity that the namespace is
//   seed(epoch)                  HKDF(master, epoch)
//   seed(epoch, a/b/c)           HKDF(seed(epoch, a/b), "child" || c)
//   key pair(epoch, a/b/c)       DeriveKeyPair of RFC 9180 over HKDF(seed(epoch, a/b/c), "key")
//
// A grant of `a/b/*` hands over seed(epoch, a/b), one of the literal `a/b` that node's private key alone. Public keys
// cannot be derived by the public (no additive scheme: there a child's secret and the parent's public part give the
// parent's secret); the namespace's manifest lists them.
#pragma once

#include <cstdint>
#include <string_view>

#include "daybreak/crypto/hpke.h"
#include "daybreak/crypto/secret.h"
#include "daybreak/grant/entity.h"

namespace daybreak::grant {

using Seed = crypto::Secret<32>;

inline constexpr std::uint32_t kMinEpochSeconds = 60;
inline constexpr std::uint32_t kMaxEpochSeconds = 400 * 86'400;

// Stretches of time with keys of their own: [number * seconds, (number + 1) * seconds) since 1970-01-01 UTC. There is
// none whose length is not within the limits, so that nobody who divides by it has to look.
class Epochs {
 public:
  Epochs() = default;  // a day
  // kInvalidArgument beyond kMinEpochSeconds to kMaxEpochSeconds.
  static base::Result<Epochs> make(std::int64_t seconds);
  // What write() wrote; a day when the reader has failed.
  static Epochs read(Reader& in);
  void write(Writer& out) const { out.varint(seconds_); }

  bool operator==(const Epochs&) const = default;
  std::uint32_t seconds() const { return seconds_; }
  // That a time in seconds since 1970 falls into; times before count as 0.
  std::uint64_t at(std::int64_t unix_s) const { return unix_s < 0 ? 0 : static_cast<std::uint64_t>(unix_s) / seconds_; }
  std::uint64_t last() const { return at(kMaxTimeS); }  // no epoch begins after kMaxTimeS
  std::int64_t begin(std::uint64_t number) const { return static_cast<std::int64_t>(number * seconds_); }

 private:
  std::uint32_t seconds_ = 86'400;
};

// Of the namespace that this entity is.
Seed namespace_master(const Entity& owner);
// The root of an epoch's tree. The length of epochs goes in, so that epochs of two lengths share no key.
Seed epoch_seed(const Seed& master, Epochs epochs, std::uint64_t epoch);
Seed child_seed(const Seed& seed, std::string_view cell);
// child_seed() for each cell of `path` ("models/pong"); the empty path is the seed itself. Cells are not checked here.
Seed descend(const Seed& seed, std::string_view path);
crypto::KeyPair node_key(const Seed& seed);

}  // namespace daybreak::grant
