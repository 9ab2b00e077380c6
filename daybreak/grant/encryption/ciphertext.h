// Bytes encrypted to a place in a namespace rather than to a person: they open for whoever holds `decrypt` on that
// resource, also when it is granted later.
//
// Encrypting needs public data only, so anyone can do it. Therefore a ciphertext says who made it: its author's
// signature over everything, and the author's proof of `publish` on the resource. open() refuses it otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/grant/encryption/key_ring.h"
#include "daybreak/grant/encryption/manifest.h"
#include "daybreak/grant/entity.h"
#include "daybreak/grant/proof.h"
#include "daybreak/grant/reason.h"

namespace daybreak::grant {

inline constexpr std::string_view kPublish = "publish";  // the permission that an author needs
inline constexpr std::uint64_t kMaxBodyBytes = std::uint64_t{4} << 30;

// Room for exactly so many bytes, from whoever wants them; less when there is not so much memory. Does not throw.
using Allocate = std::function<std::span<std::uint8_t>(std::size_t)>;

// A parsed ciphertext. Borrows the bytes that it was decoded from, which nobody may change meanwhile: what was verified
// would not be what is opened (copy shared memory first). Decoding checks form and limits alone.
class Ciphertext {
 public:
  static base::Result<Ciphertext> decode(std::string_view bytes);

  const Hash& namespace_id() const { return namespace_id_; }
  const Pattern& resource() const { return resource_; }
  Epochs epochs() const { return epochs_; }
  std::uint64_t epoch() const { return epoch_; }
  std::string_view body() const { return body_; }
  // The author's proof; empty when the namespace's own entity is the author.
  std::string_view author_proof() const { return author_proof_; }

  // Whether the header was signed by this key.
  base::Status check_signature(const crypto::VerifyKey& key) const;
  // How long the plaintext is.
  std::size_t text_bytes() const;
  // The plaintext, into `out` of text_bytes(). kDataLoss, and nothing of the text in `out`, when it does not open with
  // this key, or the body is not the one that the header names. Beyond 256 KiB it is hashed by a second thread
  // meanwhile.
  base::Status open(const crypto::Secret<32>& secret_key, std::span<std::uint8_t> out) const;
  // What is signed, written anew: equal to what was decoded.
  std::string encode_header() const;
  // The record of the namespace's entity, when that is the author.
  const EntityRecord& owner() const { return owner_; }

 private:
  friend base::Status encrypt(const Manifest& manifest, std::string_view resource, std::string_view text,
                              const Entity& author, std::string_view author_proof, const Allocate& allocate,
                              base::Env& env);
  void read_header(Reader& in);
  std::string info() const;

  Hash namespace_id_{};
  Pattern resource_;
  Epochs epochs_;
  std::uint64_t epoch_ = 0;
  std::array<std::uint8_t, 32 + crypto::kHpkeOverheadBytes> sealed_key_{};
  std::uint64_t body_bytes_ = 0;
  Hash body_hash_{};
  EntityRecord owner_;
  std::string_view author_proof_;
  crypto::Signature signature_{};
  std::string_view header_;  // what is signed
  std::string_view body_;
};

// Encrypts to `resource` under its key of the present epoch. `author_proof`: proves `publish` on the resource for
// `author`; empty when the author is the namespace's own entity. kFailedPrecondition when the manifest is not in time,
// kNotFound when it has no such key, kPermissionDenied when the proof is not the author's or not for this: what nobody
// could open is not made. kResourceExhausted when there is no memory for it.
// The ciphertext is written into what `allocate` gives, which is asked once, when nothing can fail any more.
base::Status encrypt(const Manifest& manifest, std::string_view resource, std::string_view text, const Entity& author,
                     std::string_view author_proof, const Allocate& allocate, base::Env& env = base::Env::real());
base::Result<std::string> encrypt(const Manifest& manifest, std::string_view resource, std::string_view text,
                                  const Entity& author, std::string_view author_proof,
                                  base::Env& env = base::Env::real());

}  // namespace daybreak::grant
