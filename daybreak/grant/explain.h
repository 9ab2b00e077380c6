// Answers for people: why, who, and what if. All over what one wallet knows; a grant that it has not seen is not in the
// answer, and what is in `revoked` (nullptr: nothing) counts as revoked.
#pragma once

#include <string>
#include <vector>

#include "daybreak/grant/prover.h"

namespace daybreak::grant {

// One entity that has the pair, and through whom.
struct Holder {
  Hash subject{};
  std::vector<Hash> through;  // attesters, the namespace first
};

// Everyone who has the pair, each by its shortest chain. kNotGranted at the limit of the search.
Checked<std::vector<Holder>> who_has(const Graph& graph, const Hash& namespace_id, const Pair& pair, std::int64_t now_s,
                                     const RevokedSet* revoked = nullptr);

// What one entity would lose.
struct Loss {
  Hash subject{};
  std::string permission;
  std::string resource;
};

// What would no longer be provable if what stands behind the commitment (an attestation or an entity) were revoked:
// over all statements of all known grants in the namespace.
Checked<std::vector<Loss>> what_breaks(const Graph& graph, const Hash& namespace_id, const Hash& commitment,
                                       std::int64_t now_s, const RevokedSet* revoked = nullptr);

// One sentence for each pair: the chain that gives it, or the link that is missing.
std::string explain(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Policy& policy,
                    std::int64_t now_s, const RevokedSet* revoked = nullptr);

}  // namespace daybreak::grant
