// Opening a ciphertext the whole way: is its author genuine, may the holder, does the holder's key open it?
#pragma once

#include <string_view>

#include "daybreak/grant/encryption/ciphertext.h"
#include "daybreak/grant/verifier.h"

namespace daybreak::grant {

// The plaintext, into `out` of ciphertext.text_bytes(). Refused, with the code and the sentence of what is missing,
// unless
// - the ciphertext is of the verifier's namespace,
// - its author proves `publish` on the resource now, unrevoked, and signed these bytes (or is the namespace's own
//   entity, in time and unrevoked),
// - `holder` proves `decrypt` on the resource by `holder_proof` now, unrevoked (or is the namespace's own entity),
// - and `ring` has the resource's key of its epoch, and that opens it: `not_granted` where it has none, `malformed`
//   where none of its rivals opens it.
// The second check of the holder is the holder's own honesty: a revoked one who keeps an old key and another program
// can still open what was encrypted in the epochs that the key is for (README, limits).
Checked<void> decrypt(const Ciphertext& ciphertext, Verifier& verifier, const Entity& holder,
                      std::string_view holder_proof, const KeyRing& ring, std::span<std::uint8_t> out,
                      base::Env& env = base::Env::real());

}  // namespace daybreak::grant
