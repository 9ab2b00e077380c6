#include "daybreak/grant/encryption/ciphertext.h"

#include <algorithm>

#include "daybreak/crypto/stream.h"

namespace daybreak::grant {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint8_t kCiphertextVersion = 1;
constexpr std::string_view kCiphertextTag = tag("daybreak/grant/ciphertext/v1");
constexpr std::string_view kBodyTag = tag("daybreak/grant/ciphertext-body/v1");
constexpr std::string_view kContentKeyTag = tag("daybreak/grant/content-key/v1");

std::string ciphertext_message(std::string_view header) {
  return std::string(kCiphertextTag).append(header);
}

// That the proof is this author's, and for this.
base::Status check_author(const Entity& author, std::string_view proof_bytes, const Hash& namespace_id,
                          const Pattern& resource, std::int64_t now_s) {
  DAYBREAK_ASSIGN(const Proof proof, Proof::decode(proof_bytes));
  if (proof.subject().id != author.id()) {
    return fail(Code::kPermissionDenied, "the proof of 'publish' is that of {}, the author is {}",
                short_id(proof.subject().id), short_id(author.id()));
  }
  DAYBREAK_ASSIGN(Pair asked, Pair::make(kPublish, resource.text()));
  DAYBREAK_ASSIGN(const Policy policy, Policy::make({std::move(asked)}));
  const auto genuine = authenticate(proof, namespace_id, now_s, nullptr);
  if (!genuine) return fail(Code::kPermissionDenied, "{}", genuine.error().sentence);
  const auto granted = check_policy(proof, policy);
  if (!granted) return fail(Code::kPermissionDenied, "{}", granted.error().sentence);
  return {};
}

}  // namespace

// What the content key and the body are bound to.
std::string Ciphertext::info() const {
  Writer out;
  out.raw(kContentKeyTag).u8(kCiphertextVersion).raw(namespace_id_).text(resource_.text());
  epochs_.write(out);
  return out.varint(epoch_).take();
}

std::string Ciphertext::encode_header() const {
  Writer out;
  out.u8(kCiphertextVersion).raw(namespace_id_).text(resource_.text());
  epochs_.write(out);
  out.varint(epoch_).raw(sealed_key_).varint(body_bytes_).raw(body_hash_);
  out.text(author_proof_);
  if (author_proof_.empty()) owner_.write(out);
  return out.take();
}

void Ciphertext::read_header(Reader& in) {
  read_version(in, kCiphertextVersion);
  namespace_id_ = in.array<32>();
  const std::string_view resource = in.text(1, kMaxPatternBytes, "the length of the resource");
  epochs_ = Epochs::read(in);
  epoch_ = in.varint(0, epochs_.last(), "the epoch");
  sealed_key_ = in.array<32 + crypto::kHpkeOverheadBytes>();
  body_bytes_ = in.varint(0, crypto::encrypted_stream_bytes(kMaxBodyBytes), "the length of the body");
  body_hash_ = in.array<32>();
  author_proof_ = in.text(0, kMaxProofBytes, "the length of the author's proof");
  if (in.ok() && author_proof_.empty()) {
    owner_ = EntityRecord::read(in);
    in.require(!in.ok() || owner_.id == namespace_id_, "its author has no proof and is not the namespace itself");
  }
  in.require(crypto::decrypted_stream_bytes(body_bytes_).has_value(), "no body has this length");
  if (!in.ok()) return;
  auto parsed = Pattern::parse(resource);
  if (!parsed || !parsed->is_literal()) {
    in.fail("the resource is not a literal one");
    return;
  }
  resource_ = std::move(*parsed);
}

Result<Ciphertext> Ciphertext::decode(std::string_view bytes) {
  Reader in(bytes, "the ciphertext");
  Ciphertext ciphertext;
  ciphertext.read_header(in);
  ciphertext.header_ = in.since(0);
  ciphertext.signature_ = in.array<64>();
  ciphertext.body_ = in.raw(ciphertext.body_bytes_);
  DAYBREAK_TRY(in.finish());
  return ciphertext;
}

base::Status Ciphertext::check_signature(const crypto::VerifyKey& key) const {
  if (!crypto::verify(key, crypto::bytes_of(ciphertext_message(header_)), signature_))
    return fail(Code::kDataLoss, "the ciphertext for '{}' is not signed by its author: it was altered",
                resource_.text());
  return {};
}

std::size_t Ciphertext::text_bytes() const {
  return *crypto::decrypted_stream_bytes(body_.size());
}

base::Status Ciphertext::open(const crypto::Secret<32>& secret_key, std::span<std::uint8_t> out) const {
  const std::string bound = info();
  auto content_key = crypto::open(secret_key, crypto::bytes_of(bound), {}, sealed_key_);
  if (!content_key) {
    return fail(Code::kDataLoss,
                "the key that is held for '{}' in epoch {} does not open the ciphertext: it is not the key that the "
                "namespace published",
                resource_.text(), epoch_);
  }
  const auto key = crypto::Secret<32>::copy_of(content_key->bytes().first<32>());
  crypto::HashBehind hash(kBodyTag, std::as_bytes(std::span(body_)));
  hash.advance(body_.size());
  DAYBREAK_TRY(crypto::decrypt_stream(key, crypto::bytes_of(bound), crypto::bytes_of(body_), out));
  if (hash.finish() != body_hash_) {
    crypto::wipe(out);
    return fail(Code::kDataLoss, "the body of the ciphertext for '{}' is not the one that its author signed",
                resource_.text());
  }
  return {};
}

base::Status encrypt(const Manifest& manifest, std::string_view resource, std::string_view text, const Entity& author,
                     std::string_view author_proof, const Allocate& allocate, base::Env& env) {
  constexpr std::int64_t kNsPerS = 1'000'000'000;
  const std::int64_t now_s = env.unix_ns() / kNsPerS;
  if (text.size() > kMaxBodyBytes)
    return fail(Code::kInvalidArgument, "{} bytes to encrypt: at most {} are possible", text.size(), kMaxBodyBytes);
  DAYBREAK_TRY(manifest.check_time(now_s));
  Ciphertext made;
  made.namespace_id_ = manifest.namespace_id();
  DAYBREAK_ASSIGN(made.resource_, Pattern::parse(resource));
  if (!made.resource_.is_literal())
    return fail(Code::kInvalidArgument, "'{}' is a pattern: encrypt to one resource", resource);
  made.epochs_ = manifest.epochs();
  made.epoch_ = made.epochs_.at(now_s);
  DAYBREAK_ASSIGN(const crypto::PublicKey to, manifest.key(resource, made.epoch_));
  if (!author_proof.empty()) {
    DAYBREAK_TRY(check_author(author, author_proof, made.namespace_id_, made.resource_, now_s));
  } else if (author.id() != made.namespace_id_) {
    return fail(Code::kPermissionDenied, "author {} gave no proof of 'publish' on '{}'", short_id(author.id()),
                resource);
  } else {
    made.owner_ = author.record();
  }
  made.author_proof_ = author_proof;

  const std::string bound = made.info();
  const auto content_key = crypto::Secret<32>::random(env);
  DAYBREAK_ASSIGN(const std::string sealed, crypto::seal(to, crypto::bytes_of(bound), {}, content_key.bytes(), env));
  std::ranges::copy(crypto::bytes_of(sealed), made.sealed_key_.begin());
  // The header's size does not depend on the hash that it will hold: the body is written behind it, and hashed, first.
  made.body_bytes_ = crypto::encrypted_stream_bytes(text.size());
  const std::size_t header_bytes = made.encode_header().size();
  const std::span<std::uint8_t> out =
      allocate(header_bytes + made.signature_.size() + static_cast<std::size_t>(made.body_bytes_));
  if (out.size() != header_bytes + made.signature_.size() + made.body_bytes_) {
    return fail(Code::kResourceExhausted,
                "there is no memory for the ciphertext of {} bytes of text: encrypt it in parts", text.size());
  }
  const auto body = out.subspan(header_bytes + made.signature_.size());
  crypto::HashBehind hash(kBodyTag, std::as_bytes(body));
  crypto::encrypt_stream(content_key, crypto::bytes_of(bound), crypto::bytes_of(text), body,
                         [&](std::size_t written) { hash.advance(written); });
  made.body_hash_ = hash.finish();
  const std::string header = made.encode_header();
  const crypto::Signature signature = author.sign(ciphertext_message(header));
  std::ranges::copy(signature, std::ranges::copy(crypto::bytes_of(header), out.begin()).out);
  return {};
}

Result<std::string> encrypt(const Manifest& manifest, std::string_view resource, std::string_view text,
                            const Entity& author, std::string_view author_proof, base::Env& env) {
  std::string out;
  DAYBREAK_TRY(encrypt(
      manifest, resource, text, author, author_proof,
      [&](std::size_t size) -> std::span<std::uint8_t> {
        try {
          out.resize_and_overwrite(size, [](char*, std::size_t n) { return n; });
        } catch (const std::exception&) {  // bad_alloc, length_error
          return {};
        }
        return {reinterpret_cast<std::uint8_t*>(out.data()), size};
      },
      env));
  return out;
}

}  // namespace daybreak::grant
