// Finding a proof among the attestations that one knows.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "daybreak/grant/proof.h"

namespace daybreak::grant {

// All that is known, borrowed. Signatures are taken as checked.
struct Graph {
  std::span<const EntityRecord> entities;
  std::span<const Attestation> attestations;
};

// How one entity is reached: which of the asked pairs come to it together, over which attestations.
struct Reach {
  Hash subject{};
  std::uint64_t pairs = 0;        // bit i: pairs[i] of the question
  std::vector<std::size_t> path;  // places in Graph::attestations, from the namespace on
  bool operator==(const Reach&) const = default;
};

struct SearchOptions {
  std::int64_t now_s = 0;
  bool ignore_times = false;
  // Attestations and entities for which this is true are left out: "what if it were revoked".
  std::function<bool(const Hash& commitment)> without = nullptr;
};

// Every way by which any of at most 64 pairs comes to any entity, or, with `subject`, to that one: for each entity, no
// way is listed that another one makes superfluous (the same pairs or more, no longer, and may be passed on as far).
// Shorter ones first. kNotGranted when it would take more than kMaxSearchSteps.
Checked<std::vector<Reach>> search(const Graph& graph, const Hash& namespace_id, std::span<const Pair> pairs,
                                   const SearchOptions& options, const Hash* subject = nullptr);

// A proof for the subject that covers the whole policy: of all sets of paths that do, one with the fewest hops (or near
// it, when looking for the best would take more than kMaxSearchSteps). What is in `revoked` is not used, so that a new
// grant takes the place of a revoked one. The denial says which link is missing.
Checked<Proof> build_proof(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Policy& policy,
                           std::int64_t now_s, const RevokedSet* revoked = nullptr);

// In words, why the pair does not come to the subject.
Denial why_not(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Pair& pair, std::int64_t now_s);

}  // namespace daybreak::grant
