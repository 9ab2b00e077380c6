#include "daybreak/grant/prover.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

namespace daybreak::grant {
namespace {

constexpr std::size_t kNone = SIZE_MAX;

// A way to an entity: the pairs that come along it, its length, and how many hops may follow.
struct Way {
  std::uint64_t pairs;
  std::size_t hops;
  std::size_t further;
  std::size_t before;       // the way that this one extends
  std::size_t attestation;  // by this one
  std::size_t entity;
};

bool in_time(const Validity& validity, std::int64_t now_s) {
  return validity.from_s <= now_s && now_s < validity.until_s;
}

// Ways in order of their length. One that comes back to an entity is never kept: the way that it extends was there
// before it with at least its pairs, fewer hops and as many further ones.
class Searcher {
 public:
  Searcher(const Graph& graph, const Hash& namespace_id, std::span<const Pair> pairs, const SearchOptions& options)
      : graph_(graph), options_(options) {
    for (std::size_t i = 0; i < graph.entities.size(); ++i) places_.try_emplace(graph.entities[i].id, i);
    root_ = place_of(namespace_id);
    edges_.resize(graph.entities.size());
    ways_at_.resize(graph.entities.size());
    for (std::size_t i = 0; i < graph.attestations.size(); ++i) add_edge(i, namespace_id, pairs);
    all_pairs_ = pairs.size() >= 64 ? ~0ull : (1ull << pairs.size()) - 1;
  }

  // False when the limit was reached.
  bool run() {
    if (root_ == kNone || !usable(root_)) return true;
    add({all_pairs_, 0, kMaxHops, kNone, kNone, root_});
    for (std::size_t i = 0; i < ways_.size(); ++i) {
      const Way way = ways_[i];
      if (way.hops == kMaxHops || (way.hops > 0 && way.further == 0)) continue;
      for (const Edge& edge : edges_[way.entity]) {
        steps_ += 1 + ways_at_[edge.to].size();  // what add() may compare with
        if (steps_ > kMaxSearchSteps) return false;
        const std::uint64_t pairs = way.pairs & edge.pairs;
        if (pairs == 0) continue;
        const std::size_t further = std::min<std::size_t>(way.hops == 0 ? kMaxHops : way.further - 1,
                                                          graph_.attestations[edge.attestation].terms.hops);
        add({pairs, way.hops + 1, further, i, edge.attestation, edge.to});
      }
    }
    return true;
  }

  std::vector<Reach> reaches(const Hash* subject) const {
    std::vector<Reach> out;
    for (const Way& way : ways_) {
      if (way.hops == 0 || (subject != nullptr && graph_.entities[way.entity].id != *subject)) continue;
      Reach reach{graph_.entities[way.entity].id, way.pairs, {}};
      for (const Way* at = &way; at->before != kNone; at = &ways_[at->before]) reach.path.push_back(at->attestation);
      std::ranges::reverse(reach.path);
      out.push_back(std::move(reach));
    }
    return out;
  }

 private:
  struct Edge {
    std::uint64_t pairs;
    std::size_t attestation;
    std::size_t to;
  };

  std::size_t place_of(const Hash& id) const {
    const auto found = places_.find(id);
    return found == places_.end() ? kNone : found->second;
  }

  bool usable(std::size_t entity) const {
    const EntityRecord& record = graph_.entities[entity];
    return (options_.ignore_times || in_time(record.validity, options_.now_s)) &&
           !(options_.without && options_.without(record.revocation));
  }

  void add_edge(std::size_t index, const Hash& namespace_id, std::span<const Pair> pairs) {
    const Attestation& attestation = graph_.attestations[index];
    const std::size_t from = place_of(attestation.attester), to = place_of(attestation.subject);
    if (attestation.namespace_id != namespace_id || from == kNone || to == kNone || !usable(from) || !usable(to))
      return;
    if (!options_.ignore_times && !in_time(attestation.terms.validity, options_.now_s)) return;
    if (options_.without && options_.without(attestation.terms.revocation)) return;
    std::uint64_t covered = 0;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (any_allows(attestation.terms.statements, pairs[i].permission, pairs[i].resource.view())) covered |= 1ull << i;
    }
    if (covered != 0) edges_[from].push_back({covered, index, to});
  }

  void add(const Way& way) {
    auto& here = ways_at_[way.entity];
    for (const std::size_t other : here) {
      const Way& old = ways_[other];
      if ((old.pairs & way.pairs) == way.pairs && old.hops <= way.hops && old.further >= way.further) return;
    }
    here.push_back(ways_.size());
    ways_.push_back(way);
  }

  const Graph& graph_;
  const SearchOptions& options_;
  std::unordered_map<Hash, std::size_t, HashHasher> places_;
  std::size_t root_ = kNone;
  std::uint64_t all_pairs_ = 0;
  std::vector<std::vector<Edge>> edges_;
  std::vector<std::vector<std::size_t>> ways_at_;
  std::vector<Way> ways_;
  std::size_t steps_ = 0;
};

// The fewest hops over sets of paths that together cover all pairs: branch on the pair that the fewest paths cover,
// give up a branch that cannot be better than the best. The first answer is found by going down greedily, so that there
// is one when the steps are used up.
class Cover {
 public:
  Cover(const std::vector<Reach>& reaches, std::uint64_t wanted) : reaches_(reaches), wanted_(wanted) {
    order_.resize(reaches.size());
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
  }

  std::vector<std::size_t> best() {
    std::vector<std::size_t> chosen;
    go(wanted_, 0, chosen);
    return best_;
  }

 private:
  void go(std::uint64_t missing, std::size_t hops, std::vector<std::size_t>& chosen) {
    if (missing == 0) {
      if (best_.empty() || hops < best_hops_) best_ = chosen, best_hops_ = hops;
      return;
    }
    steps_ += reaches_.size();
    // The way straight down to a first answer is allowed on top of the limit.
    if (steps_ > kMaxSearchSteps + (best_.empty() ? kMaxPairs * reaches_.size() : 0)) return;
    if (chosen.size() == kMaxPaths || (!best_.empty() && hops + 1 >= best_hops_)) return;
    std::vector<std::size_t> candidates = candidates_for(rarest(missing), missing);
    for (const std::size_t index : candidates) {
      chosen.push_back(index);
      go(missing & ~reaches_[index].pairs, hops + reaches_[index].path.size(), chosen);
      chosen.pop_back();
    }
  }

  std::uint64_t rarest(std::uint64_t missing) const {
    std::uint64_t best = 0;
    std::size_t fewest = kNone;
    for (std::uint64_t left = missing; left != 0; left &= left - 1) {
      const std::uint64_t pair = left & ~(left - 1);
      const auto count = static_cast<std::size_t>(std::count_if(
          reaches_.begin(), reaches_.end(), [&](const Reach& reach) { return (reach.pairs & pair) != 0; }));
      if (count < fewest) fewest = count, best = pair;
    }
    return best;
  }

  std::vector<std::size_t> candidates_for(std::uint64_t pair, std::uint64_t missing) const {
    std::vector<std::size_t> out;
    std::ranges::copy_if(order_, std::back_inserter(out),
                         [&](std::size_t i) { return (reaches_[i].pairs & pair) != 0; });
    std::ranges::stable_sort(out, std::greater(),
                             [&](std::size_t i) { return std::popcount(reaches_[i].pairs & missing); });
    return out;
  }

  const std::vector<Reach>& reaches_;
  const std::uint64_t wanted_;
  std::vector<std::size_t> order_;
  std::vector<std::size_t> best_;
  std::size_t best_hops_ = 0;
  std::size_t steps_ = 0;
};

Checked<Proof> build(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Policy& policy,
                     const SearchOptions& options) {
  const auto reaches = search(graph, namespace_id, policy.pairs(), options, &subject);
  if (!reaches) return std::unexpected(reaches.error());
  const std::size_t count = policy.pairs().size();
  const std::uint64_t wanted = count >= 64 ? ~0ull : (1ull << count) - 1;
  std::uint64_t reached = 0;
  for (const Reach& reach : *reaches) reached |= reach.pairs;
  if (reached != wanted) {
    const auto missing = static_cast<std::size_t>(std::countr_one(reached));
    return std::unexpected(why_not(graph, namespace_id, subject, policy.pairs()[missing], options.now_s));
  }
  const std::vector<std::size_t> cover = Cover(*reaches, wanted).best();
  if (cover.empty()) {
    return deny(Reason::kNotGranted,
                "the request needs more than {} paths, or more than {} steps to find them: ask for less at once",
                kMaxPaths, kMaxSearchSteps);
  }
  std::vector<std::vector<std::size_t>> paths;
  paths.reserve(cover.size());
  for (const std::size_t index : cover) paths.push_back((*reaches)[index].path);
  auto proof = Proof::make(graph.entities, graph.attestations, paths);
  if (!proof) return deny(Reason::kNotGranted, "{}: ask for less at once", proof.error().message());
  return std::move(*proof);
}

}  // namespace

Checked<std::vector<Reach>> search(const Graph& graph, const Hash& namespace_id, std::span<const Pair> pairs,
                                   const SearchOptions& options, const Hash* subject) {
  Searcher searcher(graph, namespace_id, pairs.first(std::min(pairs.size(), kMaxPairs)), options);
  if (!searcher.run()) {
    return deny(Reason::kNotGranted,
                "the search over {} attestations ended at its limit of {} steps: ask for less at once",
                graph.attestations.size(), kMaxSearchSteps);
  }
  return searcher.reaches(subject);
}

Checked<Proof> build_proof(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Policy& policy,
                           std::int64_t now_s, const RevokedSet* revoked) {
  SearchOptions options{.now_s = now_s};
  if (revoked != nullptr) options.without = [revoked](const Hash& commitment) { return revoked->contains(commitment); };
  auto proof = build(graph, namespace_id, subject, policy, options);
  if (proof || proof.error().reason != Reason::kNotGranted) return proof;
  if (revoked != nullptr) {  // would there be one if nothing were revoked? Then that is the reason
    const auto unrevoked = build(graph, namespace_id, subject, policy, {.now_s = now_s});
    if (unrevoked) {
      if (auto kept = check_revocations(*unrevoked, *revoked); !kept) return std::unexpected(std::move(kept).error());
    }
  }
  // Would there be one if nothing ever expired? Then time is the reason.
  const auto timeless = build(graph, namespace_id, subject, policy, {.now_s = now_s, .ignore_times = true});
  if (timeless) {
    if (auto times = check_times(*timeless, now_s); !times) return std::unexpected(std::move(times).error());
  }
  return proof;
}

Denial why_not(const Graph& graph, const Hash& namespace_id, const Hash& subject, const Pair& pair,
               std::int64_t now_s) {
  const auto about =
      fmt::format("'{}' on '{}' in namespace {}", pair.permission, pair.resource.text(), short_id(namespace_id));
  const auto reaches = search(graph, namespace_id, {&pair, 1}, {.now_s = now_s});
  if (!reaches) return reaches.error();
  const auto reached = [&](const Hash& id) {
    return id == namespace_id || std::ranges::any_of(*reaches, [&](const Reach& reach) { return reach.subject == id; });
  };
  std::size_t to_subject = 0;
  for (const Attestation& attestation : graph.attestations) {
    if (attestation.namespace_id != namespace_id || attestation.subject != subject) continue;
    ++to_subject;
    if (!any_allows(attestation.terms.statements, pair.permission, pair.resource.view())) continue;
    if (!in_time(attestation.terms.validity, now_s)) {
      const bool over = now_s >= attestation.terms.validity.until_s;
      return {over ? Reason::kExpired : Reason::kNotYet,
              fmt::format("{}: the grant by {} {}", about, short_id(attestation.attester),
                          over ? "has expired" : "is not valid yet")};
    }
    if (reached(attestation.attester)) {
      return {Reason::kNotGranted, fmt::format("{}: {} grants it to {} but may not pass it on any further", about,
                                               short_id(attestation.attester), short_id(subject))};
    }
    return {Reason::kNotGranted,
            fmt::format("{}: {} grants it to {}, but no known grant gives it to {}: ask it for its bundle again", about,
                        short_id(attestation.attester), short_id(subject), short_id(attestation.attester))};
  }
  if (to_subject == 0)
    return {Reason::kNotGranted, fmt::format("{}: nothing there is granted to {}", about, short_id(subject))};
  return {Reason::kNotGranted,
          fmt::format("{}: none of the {} grants to {} gives it", about, to_subject, short_id(subject))};
}

}  // namespace daybreak::grant
