#include "daybreak/grant/proof.h"

#include <algorithm>
#include <map>

namespace daybreak::grant {
namespace {

using base::Code;
using base::fail;

constexpr std::uint8_t kProofVersion = 1;

// One hop's bytes in a proof.
void write_hop(Writer& out, std::size_t attester, std::size_t subject, const Attestation& attestation) {
  out.u8(static_cast<std::uint8_t>(attester)).u8(static_cast<std::uint8_t>(subject));
  attestation.terms.write(out);
  out.raw(attestation.signature);
}

}  // namespace

Hash Proof::hash_of_bytes(std::string_view bytes) {
  return hash_of(tag("daybreak/grant/proof/v1"), {bytes});
}

void Proof::read(Reader& in) {
  read_version(in, kProofVersion);
  entities_.resize(in.varint(2, kMaxEntities, "the number of entities"));
  for (std::size_t i = 0; i < entities_.size() && in.ok(); ++i) {
    entities_[i] = EntityRecord::read(in);
    in.require(i == 0 || entities_[i - 1].id < entities_[i].id, "entities are not sorted by id and unique");
  }
  root_ = in.u8();
  in.require(root_ < entities_.size(), "the namespace is none of its entities");

  hops_.resize(in.varint(1, kMaxAttestations, "the number of attestations"));
  std::string_view last;
  for (std::size_t i = 0; i < hops_.size() && in.ok(); ++i) {
    ProofHop& hop = hops_[i];
    const std::size_t begin = in.offset();
    hop.attester = in.u8();
    hop.subject = in.u8();
    in.require(std::max(hop.attester, hop.subject) < entities_.size(), "an attestation names no entity of it");
    in.require(hop.attester != hop.subject || !in.ok(), "the attester is its own subject");
    hop.terms_begin = static_cast<std::uint32_t>(in.offset());
    hop.terms = Terms::read(in);
    hop.terms_end = static_cast<std::uint32_t>(in.offset());
    hop.signature = in.array<64>();
    const std::string_view mine = in.since(begin);
    in.require(i == 0 || last < mine, "attestations are not sorted and unique");
    last = mine;
  }

  paths_.resize(in.varint(1, kMaxPaths, "the number of paths"));
  for (std::size_t i = 0; i < paths_.size() && in.ok(); ++i) {
    for (const char hop : in.text(1, kMaxHops, "the length of a path"))
      paths_[i].push_back(static_cast<std::uint8_t>(hop));
    in.require(i == 0 || paths_[i - 1] < paths_[i], "paths are not sorted and unique");
  }
}

// Every rule about paths. A path comes to no entity twice: so it is no longer than there are entities, and no cycle can
// pretend a grant.
void Proof::check_paths(Reader& in) const {
  std::vector<bool> hop_used(hops_.size()), entity_used(entities_.size());
  for (const ProofPath& path : paths_) {
    std::size_t at = root_;
    std::vector<bool> seen(entities_.size());
    seen[at] = entity_used[at] = true;
    for (const std::uint8_t index : path) {
      if (index >= hops_.size()) return in.fail("a path names no attestation of it");
      const ProofHop& hop = hops_[index];
      if (hop.attester != at)
        return in.fail("a path is broken: an attester is not the subject before it, or the first not the namespace");
      at = hop.subject;
      if (seen[at]) return in.fail("a path goes in a circle: it comes to the same entity twice");
      seen[at] = entity_used[at] = hop_used[index] = true;
    }
    if (at != hops_[paths_.front().back()].subject) return in.fail("its paths end at different subjects");
  }
  in.require(std::ranges::find(hop_used, false) == hop_used.end(), "an attestation is on none of its paths");
  in.require(std::ranges::find(entity_used, false) == entity_used.end(), "an entity is on none of its paths");
}

base::Result<Proof> Proof::decode(std::string_view bytes) {
  if (bytes.size() > kMaxProofBytes) {
    return fail(Code::kDataLoss, "the proof has {} bytes, the limit is {}", bytes.size(), kMaxProofBytes);
  }
  Proof proof;
  proof.bytes_ = bytes;
  Reader in(proof.bytes_, "the proof");
  proof.read(in);
  DAYBREAK_TRY(in.finish());
  proof.check_paths(in);
  DAYBREAK_TRY(in.status());
  return proof;
}

base::Result<Proof> Proof::make(std::span<const EntityRecord> entities, std::span<const Attestation> attestations,
                                std::span<const std::vector<std::size_t>> paths) {
  if (paths.empty() || paths.size() > kMaxPaths) {
    return fail(Code::kInvalidArgument, "a proof of {} paths: allowed are 1 to {}", paths.size(), kMaxPaths);
  }
  std::map<Hash, const EntityRecord*> known;
  for (const EntityRecord& entity : entities) known[entity.id] = &entity;
  std::map<Hash, std::size_t> places;  // of the entities that are used
  std::vector<std::size_t> used;
  for (const auto& path : paths) {
    for (const std::size_t index : path) {
      if (index >= attestations.size())
        return fail(Code::kInvalidArgument, "a path names attestation {} of {}", index, attestations.size());
      used.push_back(index);
      for (const Hash& id : {attestations[index].attester, attestations[index].subject}) {
        if (!known.contains(id))
          return fail(Code::kInvalidArgument, "the record of entity {} is missing", short_id(id));
        places[id] = 0;
      }
    }
  }
  std::ranges::sort(used);
  used.erase(std::ranges::unique(used).begin(), used.end());
  if (used.empty() || used.size() > kMaxAttestations || places.size() > kMaxEntities) {
    return fail(Code::kInvalidArgument,
                "a proof of {} attestations and {} entities: allowed are 1 to {} and at most {}", used.size(),
                places.size(), kMaxAttestations, kMaxEntities);
  }
  const Hash& namespace_id = attestations[used.front()].namespace_id;
  for (const std::size_t index : used) {
    if (attestations[index].namespace_id != namespace_id) {
      return fail(Code::kInvalidArgument, "its attestations are of two namespaces, {} and {}", short_id(namespace_id),
                  short_id(attestations[index].namespace_id));
    }
  }
  if (!places.contains(namespace_id)) {
    return fail(Code::kInvalidArgument, "no path begins at the namespace {}", short_id(namespace_id));
  }

  Writer out;
  out.u8(kProofVersion).varint(places.size());
  std::size_t count = 0;
  for (auto& [id, place] : places) {
    place = count++;
    known[id]->write(out);
  }
  out.u8(static_cast<std::uint8_t>(places[namespace_id])).varint(used.size());
  std::vector<std::pair<std::string, std::size_t>> encoded;
  for (const std::size_t index : used) {
    Writer hop;
    write_hop(hop, places[attestations[index].attester], places[attestations[index].subject], attestations[index]);
    encoded.emplace_back(hop.take(), index);
  }
  std::ranges::sort(encoded);
  std::map<std::size_t, char> hop_places;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    out.raw(encoded[i].first);
    hop_places[encoded[i].second] = static_cast<char>(i);
  }
  std::vector<std::string> written;
  for (const auto& path : paths) {
    std::string hops;
    for (const std::size_t index : path) hops.push_back(hop_places[index]);
    written.push_back(std::move(hops));
  }
  std::ranges::sort(written);
  out.varint(written.size());
  for (const std::string& path : written) out.text(path);
  auto proof = decode(out.bytes());
  if (!proof) return fail(Code::kInvalidArgument, "{}", proof.error().message());
  return proof;
}

std::string Proof::signed_message(const ProofHop& hop) const {
  return attestation_message(entities_[hop.attester].id, entities_[hop.subject].id, root().id,
                             std::string_view(bytes_).substr(hop.terms_begin, hop.terms_end - hop.terms_begin));
}

Attestation Proof::attestation(std::size_t index) const {
  const ProofHop& hop = hops_[index];
  return {entities_[hop.attester].id, entities_[hop.subject].id, root().id, hop.terms, hop.signature};
}

bool Proof::covers(std::string_view permission, const PatternView& resource) const {
  return std::ranges::any_of(paths_, [&](const ProofPath& path) {
    return std::ranges::all_of(
        path, [&](std::uint8_t hop) { return any_allows(hops_[hop].terms.statements, permission, resource); });
  });
}

std::string Proof::missing_link(std::string_view permission, const PatternView& resource) const {
  std::size_t furthest = 0;
  const ProofHop* missing = nullptr;
  for (const ProofPath& path : paths_) {
    for (std::size_t i = 0; i < path.size(); ++i) {
      if (any_allows(hops_[path[i]].terms.statements, permission, resource)) continue;
      if (missing == nullptr || i > furthest) furthest = i, missing = &hops_[path[i]];
      break;
    }
  }
  if (missing == nullptr) return {};
  return fmt::format("'{}' on '{}' is not granted: {} does not give it to {} (hop {})", permission, resource.text(),
                     short_id(entities_[missing->attester].id), short_id(entities_[missing->subject].id), furthest + 1);
}

Checked<void> check_policy(const Proof& proof, const Policy& policy) {
  for (const Pair& pair : policy.pairs()) {
    if (!proof.covers(pair.permission, pair.resource.view())) {
      return deny(Reason::kNotGranted, "{}", proof.missing_link(pair.permission, pair.resource.view()));
    }
  }
  return {};
}

Checked<std::int64_t> check_times(const Proof& proof, std::int64_t now_s) {
  std::int64_t ends_s = kMaxTimeS;
  const auto check = [&](const Validity& validity, const char* what, const Hash& id) -> Checked<void> {
    if (now_s < validity.from_s) {
      return deny(Reason::kNotYet, "{} {} is not valid yet, only in {} s", what, short_id(id), validity.from_s - now_s);
    }
    if (now_s >= validity.until_s) {
      return deny(Reason::kExpired, "{} {} expired {} s ago", what, short_id(id), now_s - validity.until_s);
    }
    ends_s = std::min(ends_s, validity.until_s);
    return {};
  };
  for (const EntityRecord& entity : proof.entities()) {
    if (auto valid = check(entity.validity, "entity", entity.id); !valid)
      return std::unexpected(std::move(valid).error());
  }
  for (const ProofHop& hop : proof.hops()) {
    if (auto valid = check(hop.terms.validity, "the grant to", proof.entities()[hop.subject].id); !valid) {
      return std::unexpected(std::move(valid).error());
    }
  }
  return ends_s;
}

Checked<void> check_revocations(const Proof& proof, const RevokedSet& revoked) {
  if (revoked.empty()) return {};
  for (const EntityRecord& entity : proof.entities()) {
    if (revoked.contains(entity.revocation)) return deny(Reason::kRevoked, "entity {} is revoked", short_id(entity.id));
  }
  for (const ProofHop& hop : proof.hops()) {
    if (revoked.contains(hop.terms.revocation)) {
      return deny(Reason::kRevoked, "the grant by {} to {} is revoked", short_id(proof.entities()[hop.attester].id),
                  short_id(proof.entities()[hop.subject].id));
    }
  }
  return {};
}

// Cheap checks first; signatures, nearly all of the cost, last.
Checked<std::int64_t> authenticate(const Proof& proof, const Hash& namespace_id, std::int64_t now_s,
                                   const RevokedSet* revoked) {
  if (proof.root().id != namespace_id) {
    return deny(Reason::kNotGranted, "the proof begins at {}, not at the namespace {}", short_id(proof.root().id),
                short_id(namespace_id));
  }
  for (const ProofPath& path : proof.paths()) {
    for (std::size_t i = 0; i < path.size(); ++i) {
      const ProofHop& hop = proof.hops()[path[i]];
      if (path.size() - 1 - i > hop.terms.hops) {
        return deny(Reason::kNotGranted, "{} allows {} further hops after {}, the path has {}",
                    short_id(proof.entities()[hop.attester].id), int{hop.terms.hops},
                    short_id(proof.entities()[hop.subject].id), path.size() - 1 - i);
      }
    }
  }
  auto ends_s = check_times(proof, now_s);
  if (!ends_s) return ends_s;
  if (revoked != nullptr) {
    if (auto checked = check_revocations(proof, *revoked); !checked) return std::unexpected(std::move(checked).error());
  }
  for (const ProofHop& hop : proof.hops()) {
    const EntityRecord& attester = proof.entities()[hop.attester];
    if (!crypto::verify(attester.verify_key, crypto::bytes_of(proof.signed_message(hop)), hop.signature)) {
      return deny(Reason::kMalformed, "the grant to {} is not signed by {}", short_id(proof.entities()[hop.subject].id),
                  short_id(attester.id));
    }
  }
  return ends_s;
}

}  // namespace daybreak::grant
