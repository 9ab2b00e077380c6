#include "daybreak/grant/encryption/key_tree.h"

#include <string>

#include "daybreak/crypto/kdf.h"

namespace daybreak::grant {

namespace {

constexpr std::string_view kEpochTag = tag("daybreak/grant/key-epoch/v1");
constexpr std::string_view kChildTag = tag("daybreak/grant/key-child/v1");
constexpr std::string_view kNodeTag = tag("daybreak/grant/key-node/v1");

Seed derive(const Seed& from, std::string_view purpose, std::string_view what) {
  const std::string info = std::string(purpose).append(what);  // public: an epoch or a cell
  return crypto::hkdf_sha256(from.bytes(), crypto::bytes_of(info));
}

}  // namespace

base::Result<Epochs> Epochs::make(std::int64_t seconds) {
  if (seconds < kMinEpochSeconds || seconds > kMaxEpochSeconds) {
    return base::fail(base::Code::kInvalidArgument,
                      "epochs of {} s: allowed are {} to {} s, that is a minute to 400 days; a day is 86400", seconds,
                      kMinEpochSeconds, kMaxEpochSeconds);
  }
  Epochs epochs;
  epochs.seconds_ = static_cast<std::uint32_t>(seconds);
  return epochs;
}

Epochs Epochs::read(Reader& in) {
  Epochs epochs;
  const std::uint64_t seconds = in.varint(kMinEpochSeconds, kMaxEpochSeconds, "the length of an epoch");
  if (in.ok()) epochs.seconds_ = static_cast<std::uint32_t>(seconds);
  return epochs;
}

Seed namespace_master(const Entity& owner) {
  return owner.derive_secret(tag("daybreak/grant/key-master/v1"));
}

Seed epoch_seed(const Seed& master, Epochs epochs, std::uint64_t epoch) {
  return derive(master, kEpochTag, fmt::format("{}/{}", epochs.seconds(), epoch));
}

Seed child_seed(const Seed& seed, std::string_view cell) {
  return derive(seed, kChildTag, cell);
}

Seed descend(const Seed& seed, std::string_view path) {
  Seed at = seed.clone();
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    at = child_seed(at, path.substr(0, slash));
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return at;
}

crypto::KeyPair node_key(const Seed& seed) {
  return crypto::derive_key_pair(derive(seed, kNodeTag, {}).bytes());
}

}  // namespace daybreak::grant
