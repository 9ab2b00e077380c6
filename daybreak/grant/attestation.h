// Attestations: one entity signs that another may do something in a namespace.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/crypto/sign.h"
#include "daybreak/grant/encoding.h"
#include "daybreak/grant/pattern.h"

namespace daybreak::grant {

// Unix seconds; from is in it, until is not.
struct Validity {
  std::int64_t from_s = 0;
  std::int64_t until_s = 0;

  static base::Result<Validity> make(std::int64_t from_s, std::int64_t for_s);
  void write(Writer& out) const;
  static Validity read(Reader& in);
  bool operator==(const Validity&) const = default;
};

// What is signed, without the three ids: the part that a proof carries as it is, since ids are elsewhere in it.
struct Terms {
  std::vector<Statement> statements;  // canonical
  std::uint8_t hops = 0;              // how many further hops may follow on a path
  Validity validity;
  Hash revocation{};
  Hash key_bundle{};  // of the sealed key bundle beside it, or zero
  std::array<std::uint8_t, 16> nonce{};

  void write(Writer& out) const;
  static Terms read(Reader& in);
  bool operator==(const Terms&) const = default;
};

struct Attestation {
  Hash attester{};
  Hash subject{};
  Hash namespace_id{};
  Terms terms;
  crypto::Signature signature{};

  std::string encode() const;
  static base::Result<Attestation> decode(std::string_view bytes);
  void write(Writer& out) const;
  static Attestation read(Reader& in);
  // Whether the attester's key signed it. One Ed25519 verification.
  bool is_signed_by(const crypto::VerifyKey& key) const;
  // Names these very bytes.
  Hash id() const;
  bool operator==(const Attestation&) const = default;
};

// What is signed: the tag, then the attestation's bytes without the signature. `terms` are the bytes of the terms.
std::string attestation_message(const Hash& attester, const Hash& subject, const Hash& namespace_id,
                                std::string_view terms);

}  // namespace daybreak::grant
