// A wallet's keys: what its owner can open, hand on and publish.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daybreak/grant/encryption/decrypt.h"
#include "daybreak/grant/encryption/manifest.h"
#include "daybreak/grant/wallet.h"

namespace daybreak::grant {

// All keys for epochs of this length that the wallet's owner holds in a namespace: of every grant to it, or, when the
// owner is the namespace's own entity, all. Passed over are bundles that do not open, and those of granters whom no
// known chain of grants from the namespace comes to, at whatever time.
KeyRing keys_of(const Wallet& wallet, const Hash& namespace_id, Epochs epochs);

struct KeyOptions {
  // Of the namespace's keys; a holder who hands on takes that of his own keys instead.
  Epochs epochs;
  // The keys begin with the epoch of this unix second, so that what was encrypted before opens too. Nothing: with the
  // grant itself.
  std::optional<std::int64_t> from_s;
};

struct GrantedKeys {
  Wallet::Granted granted;
  // The whole epochs for which keys were handed over, in unix seconds; zeros when no statement says `decrypt`.
  std::int64_t keys_from_s = 0;
  std::int64_t keys_until_s = 0;
};

// Wallet::grant(), with the keys of the statements that say `decrypt`, for every epoch that the grant's validity
// touches. kPermissionDenied when the owner does not hold them all: nothing is granted then.
base::Result<GrantedKeys> grant_with_keys(Wallet& wallet, const EntityRecord& subject, const GrantOptions& options,
                                          const KeyOptions& keys, base::Env& env = base::Env::real());

// encrypt() by the wallet's owner, with the proof of `publish` that the wallet finds.
base::Status encrypt_as(const Wallet& author, const Manifest& manifest, std::string_view resource,
                        std::string_view text, const Allocate& allocate, base::Env& env = base::Env::real());

// decrypt() by the wallet's owner, with the proof of `decrypt` and the keys that the wallet has.
Checked<void> decrypt_as(const Wallet& holder, const Ciphertext& ciphertext, Verifier& verifier,
                         std::span<std::uint8_t> out, base::Env& env = base::Env::real());

}  // namespace daybreak::grant
