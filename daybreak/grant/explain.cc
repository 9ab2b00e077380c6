#include "daybreak/grant/explain.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace daybreak::grant {
namespace {

// A search that passes over what is revoked, and over what would be.
SearchOptions unrevoked(std::int64_t now_s, const RevokedSet* revoked, const Hash* also = nullptr) {
  SearchOptions options{.now_s = now_s};
  if (revoked == nullptr && also == nullptr) return options;
  options.without = [revoked, also](const Hash& commitment) {
    return (also != nullptr && commitment == *also) || (revoked != nullptr && revoked->contains(commitment));
  };
  return options;
}

}  // namespace

Checked<std::vector<Holder>> who_has(const Graph& graph, const Hash& namespace_id, const Pair& pair, std::int64_t now_s,
                                     const RevokedSet* revoked) {
  const auto reaches = search(graph, namespace_id, {&pair, 1}, unrevoked(now_s, revoked));
  if (!reaches) return std::unexpected(reaches.error());
  std::vector<Holder> out;
  std::set<Hash> seen;
  for (const Reach& reach : *reaches) {  // shorter ones first
    if (!seen.insert(reach.subject).second) continue;
    Holder holder{reach.subject, {}};
    for (const std::size_t index : reach.path) holder.through.push_back(graph.attestations[index].attester);
    out.push_back(std::move(holder));
  }
  return out;
}

Checked<std::vector<Loss>> what_breaks(const Graph& graph, const Hash& namespace_id, const Hash& commitment,
                                       std::int64_t now_s, const RevokedSet* revoked) {
  std::set<Pair> asked;
  for (const Attestation& attestation : graph.attestations) {
    if (attestation.namespace_id != namespace_id) continue;
    for (const Statement& statement : attestation.terms.statements) {
      for (const std::string& permission : statement.permissions) asked.insert({permission, statement.resource});
    }
  }
  const std::vector<Pair> pairs(asked.begin(), asked.end());
  std::vector<Loss> out;
  for (std::size_t begin = 0; begin < pairs.size(); begin += kMaxPairs) {
    const auto part = std::span(pairs).subspan(begin, std::min(kMaxPairs, pairs.size() - begin));
    const auto have = [&](const SearchOptions& options) -> Checked<std::set<std::tuple<Hash, std::size_t>>> {
      const auto reaches = search(graph, namespace_id, part, options);
      if (!reaches) return std::unexpected(reaches.error());
      std::set<std::tuple<Hash, std::size_t>> reached;
      for (const Reach& reach : *reaches) {
        for (std::size_t i = 0; i < part.size(); ++i) {
          if (reach.pairs >> i & 1) reached.emplace(reach.subject, i);
        }
      }
      return reached;
    };
    const auto before = have(unrevoked(now_s, revoked));
    if (!before) return std::unexpected(before.error());
    const auto after = have(unrevoked(now_s, revoked, &commitment));
    if (!after) return std::unexpected(after.error());
    for (const auto& [subject, i] : *before) {
      if (!after->contains({subject, i})) out.push_back({subject, part[i].permission, part[i].resource.text()});
    }
  }
  return out;
}

std::string explain(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Policy& policy,
                    std::int64_t now_s, const RevokedSet* revoked) {
  std::string out;
  for (const Pair& pair : policy.pairs()) {
    if (!out.empty()) out += '\n';
    const auto reaches = search(graph, namespace_id, {&pair, 1}, unrevoked(now_s, revoked), &subject);
    if (!reaches || reaches->empty()) {
      const auto single = Policy::make({pair});
      const auto proof = build_proof(graph, namespace_id, subject, *single, now_s, revoked);  // says why there is none
      const Denial denial = proof ? why_not(graph, namespace_id, subject, pair, now_s) : proof.error();
      out += fmt::format("{}: {}", reason_name(denial.reason), denial.sentence);
      continue;
    }
    out += fmt::format("granted: '{}' on '{}' to {}", pair.permission, pair.resource.text(), short_id(subject));
    for (const std::size_t index : reaches->front().path) {
      const Attestation& attestation = graph.attestations[index];
      out += fmt::format("{} {} -> {}", index == reaches->front().path.front() ? " by" : ",",
                         short_id(attestation.attester), short_id(attestation.subject));
    }
  }
  return out;
}

}  // namespace daybreak::grant
