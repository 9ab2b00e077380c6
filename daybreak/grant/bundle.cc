#include "daybreak/grant/bundle.h"

#include <algorithm>

#include "daybreak/grant/limits.h"

namespace daybreak::grant {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::uint8_t kBundleVersion = 1;
enum Envelope : std::uint8_t { kClear = 0, kSealed = 1 };
constexpr std::size_t kEnvelopeBytes = 1 + 1 + 32;  // version, envelope, subject

std::string seal_info(const Hash& subject) {
  return std::string(tag("daybreak/grant/bundle/v1")).append(view(subject));
}

const EntityRecord* find_entity(const std::vector<EntityRecord>& sorted, const Hash& id) {
  const auto found = std::ranges::lower_bound(sorted, id, {}, &EntityRecord::id);
  return found != sorted.end() && found->id == id ? &*found : nullptr;
}

}  // namespace

Hash key_bundle_hash(std::string_view sealed) {
  return hash_of(tag("daybreak/grant/key-bundle/v1"), {sealed});
}

base::Status Bundle::normalise() {
  std::ranges::sort(entities, {}, &EntityRecord::id);
  entities.erase(std::ranges::unique(entities, {}, &EntityRecord::id).begin(), entities.end());
  std::ranges::sort(attestations, {}, [](const BundledAttestation& item) { return item.attestation.encode(); });
  attestations.erase(
      std::ranges::unique(attestations, {},
                          [](const BundledAttestation& item) -> const Attestation& { return item.attestation; })
          .begin(),
      attestations.end());
  std::vector<EntityRecord> used;
  for (const auto& [attestation, keys] : attestations) {
    for (const Hash& id : {attestation.attester, attestation.subject}) {
      const EntityRecord* record = find_entity(entities, id);
      if (record == nullptr) return fail(Code::kInvalidArgument, "the record of entity {} is missing", short_id(id));
      used.push_back(*record);
    }
  }
  std::ranges::sort(used, {}, &EntityRecord::id);
  used.erase(std::ranges::unique(used, {}, &EntityRecord::id).begin(), used.end());
  entities = std::move(used);
  if (auto decoded = decode(encode()); !decoded) return fail(Code::kInvalidArgument, "{}", decoded.error().message());
  return {};
}

std::string Bundle::encode() const {
  Writer out;
  out.u8(kBundleVersion).varint(entities.size());
  for (const EntityRecord& entity : entities) entity.write(out);
  out.varint(attestations.size());
  for (const auto& [attestation, keys] : attestations) {
    attestation.write(out);
    out.text(keys);
  }
  return out.take();
}

Result<Bundle> Bundle::decode(std::string_view bytes) {
  if (bytes.size() > kMaxBundleBytes) {
    return fail(Code::kDataLoss, "the bundle has {} bytes, the limit is {}", bytes.size(), kMaxBundleBytes);
  }
  Reader in(bytes, "the bundle");
  Bundle bundle;
  read_version(in, kBundleVersion);
  for (std::size_t left = in.varint(2, kMaxBundleEntities, "the number of entities"); left > 0 && in.ok(); --left) {
    const EntityRecord record = EntityRecord::read(in);
    in.require(bundle.entities.empty() || bundle.entities.back().id < record.id,
               "entities are not sorted by id and unique");
    bundle.entities.push_back(record);
  }
  std::vector<bool> used(bundle.entities.size());
  std::string_view last;
  for (std::size_t left = in.varint(1, kMaxBundleAttestations, "the number of attestations"); left > 0 && in.ok();
       --left) {
    const std::size_t begin = in.offset();
    BundledAttestation item{Attestation::read(in), {}};
    const std::string_view mine = in.since(begin);
    in.require(last < mine || !in.ok(), "attestations are not sorted and unique");
    last = mine;
    for (const Hash& id : {item.attestation.attester, item.attestation.subject}) {
      const EntityRecord* record = find_entity(bundle.entities, id);
      in.require(record != nullptr || !in.ok(), "the record of an entity is missing");
      if (record != nullptr) used[static_cast<std::size_t>(record - bundle.entities.data())] = true;
    }
    item.key_bundle = in.text(0, kMaxKeyBundleBytes, "the length of a key bundle");
    in.require(item.key_bundle.empty() || key_bundle_hash(item.key_bundle) == item.attestation.terms.key_bundle,
               "a key bundle is not the one that its attestation names");
    bundle.attestations.push_back(std::move(item));
  }
  in.require(std::ranges::find(used, false) == used.end() || !in.ok(), "an entity is in none of its attestations");
  DAYBREAK_TRY(in.finish());
  return bundle;
}

base::Status Bundle::check_signatures() const {
  for (const auto& [attestation, keys] : attestations) {
    const EntityRecord* attester = find_entity(entities, attestation.attester);
    if (attester == nullptr || !attestation.is_signed_by(attester->verify_key)) {
      return fail(Code::kDataLoss, "the bundle's grant to {} is not signed by {}", short_id(attestation.subject),
                  short_id(attestation.attester));
    }
  }
  return {};
}

Result<std::string> seal_bundle(const Bundle& bundle, const EntityRecord& subject, base::Env& env) {
  const std::string plain = bundle.encode();
  if (plain.size() > kMaxBundleBytes) {
    return fail(Code::kInvalidArgument, "the bundle has {} bytes, the limit is {}", plain.size(), kMaxBundleBytes);
  }
  Writer out;
  out.u8(kBundleVersion).u8(subject.sealing_key ? kSealed : kClear).raw(subject.id);
  if (!subject.sealing_key) {
    if (std::ranges::any_of(bundle.attestations, [](const auto& item) { return !item.key_bundle.empty(); })) {
      return fail(Code::kInvalidArgument, "entity {} has no key to seal keys to: it was made without one",
                  short_id(subject.id));
    }
    return out.raw(plain).take();
  }
  DAYBREAK_ASSIGN(const std::string sealed, crypto::seal(*subject.sealing_key, crypto::bytes_of(seal_info(subject.id)),
                                                         {}, crypto::bytes_of(plain), env));
  return out.raw(sealed).take();
}

Result<Bundle> open_bundle(std::string_view sealed, const Entity& subject) {
  if (sealed.size() > kMaxBundleBytes + kEnvelopeBytes + crypto::kHpkeOverheadBytes) {
    return fail(Code::kDataLoss, "the bundle has {} bytes, the limit is {}", sealed.size(), kMaxBundleBytes);
  }
  Reader in(sealed, "the bundle");
  read_version(in, kBundleVersion);
  const std::uint8_t envelope = in.u8();
  in.require(envelope <= kSealed, "its envelope is neither clear (0) nor sealed (1)");
  const Hash to = in.array<32>();
  DAYBREAK_TRY(in.status());
  if (to != subject.id()) {
    return fail(Code::kPermissionDenied, "the bundle is for {}, not for {}", short_id(to), short_id(subject.id()));
  }
  const std::string_view rest = in.raw(in.left());
  if ((envelope == kSealed) != subject.record().sealing_key.has_value()) {
    return fail(Code::kDataLoss, "the bundle for {} is {}, which it cannot be", short_id(to),
                envelope == kSealed ? "sealed" : "in the clear");
  }
  if (envelope == kClear) return Bundle::decode(rest);
  DAYBREAK_ASSIGN(const crypto::SecretBytes plain, subject.open(seal_info(to), rest));
  return Bundle::decode(plain.view());
}

}  // namespace daybreak::grant
