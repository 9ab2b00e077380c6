#include "daybreak/grant/attestation.h"

namespace daybreak::grant {
namespace {

constexpr std::uint8_t kAttestationVersion = 1;
constexpr std::string_view kAttestationTag = tag("daybreak/grant/attestation/v1");

std::string encode_terms(const Terms& terms) {
  Writer out;
  terms.write(out);
  return out.take();
}

}  // namespace

base::Result<Validity> Validity::make(std::int64_t from_s, std::int64_t for_s) {
  if (from_s < 0 || from_s >= kMaxTimeS || for_s <= 0) {
    return base::fail(base::Code::kInvalidArgument,
                      "valid from second {} for {} s: it must begin at 0 to {} and last at least a second", from_s,
                      for_s, kMaxTimeS - 1);
  }
  return Validity{from_s, for_s > kMaxTimeS - from_s ? kMaxTimeS : from_s + for_s};
}

void Validity::write(Writer& out) const {
  out.varint(static_cast<std::uint64_t>(from_s)).varint(static_cast<std::uint64_t>(until_s));
}

Validity Validity::read(Reader& in) {
  Validity validity;
  validity.from_s = static_cast<std::int64_t>(in.varint(0, kMaxTimeS, "the beginning of the validity"));
  validity.until_s = static_cast<std::int64_t>(in.varint(0, kMaxTimeS, "the end of the validity"));
  in.require(validity.from_s < validity.until_s || !in.ok(), "the validity ends before it begins");
  return validity;
}

void Terms::write(Writer& out) const {
  write_statements(out, statements);
  out.u8(hops);
  validity.write(out);
  out.raw(revocation);
  write_optional_hash(out, key_bundle);
  out.raw(nonce);
}

Terms Terms::read(Reader& in) {
  Terms terms;
  terms.statements = read_statements(in);
  terms.hops = static_cast<std::uint8_t>(in.varint(0, kMaxHops - 1, "the number of further hops"));
  terms.validity = Validity::read(in);
  terms.revocation = in.array<32>();
  terms.key_bundle = read_optional_hash(in, "the hash of the key bundle");
  terms.nonce = in.array<16>();
  return terms;
}

std::string attestation_message(const Hash& attester, const Hash& subject, const Hash& namespace_id,
                                std::string_view terms) {
  std::string out;
  out.reserve(kAttestationTag.size() + 1 + 3 * 32 + terms.size());
  out.append(kAttestationTag).push_back(static_cast<char>(kAttestationVersion));
  out.append(view(attester)).append(view(subject)).append(view(namespace_id)).append(terms);
  return out;
}

void Attestation::write(Writer& out) const {
  out.u8(kAttestationVersion).raw(attester).raw(subject).raw(namespace_id);
  terms.write(out);
  out.raw(signature);
}

Attestation Attestation::read(Reader& in) {
  Attestation attestation;
  read_version(in, kAttestationVersion);
  attestation.attester = in.array<32>();
  attestation.subject = in.array<32>();
  attestation.namespace_id = in.array<32>();
  attestation.terms = Terms::read(in);
  attestation.signature = in.array<64>();
  in.require(attestation.attester != attestation.subject || !in.ok(), "the attester is its own subject");
  return attestation;
}

std::string Attestation::encode() const {
  Writer out;
  write(out);
  return out.take();
}

base::Result<Attestation> Attestation::decode(std::string_view bytes) {
  Reader in(bytes, "the attestation");
  Attestation attestation = read(in);
  DAYBREAK_TRY(in.finish());
  return attestation;
}

bool Attestation::is_signed_by(const crypto::VerifyKey& key) const {
  return crypto::verify(
      key, crypto::bytes_of(attestation_message(attester, subject, namespace_id, encode_terms(terms))), signature);
}

Hash Attestation::id() const {
  return hash_of(tag("daybreak/grant/attestation-id/v1"), {encode()});
}

}  // namespace daybreak::grant
