#include "daybreak/grant/possession.h"

namespace daybreak::grant {
namespace {

constexpr std::string_view kRequestTag = tag("daybreak/grant/request/v1");
constexpr std::string_view kSessionTag = tag("daybreak/grant/session/v1");

// A hash over framed fields, which allocates nothing.
class FieldHasher {
 public:
  explicit FieldHasher(std::string_view tag) { sha().update(tag); }
  FieldHasher& u64(std::uint64_t value) {
    char bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
    sha().update(std::string_view(bytes, 8));
    return *this;
  }
  FieldHasher& text(std::string_view bytes) {
    u64(bytes.size());
    sha().update(bytes);
    return *this;
  }
  FieldHasher& audience(const Audience& to) { return text(to.server_id).text(to.origin).text(to.app); }
  Hash finish() { return sha().finish(); }

 private:
  static crypto::Sha256& sha() {
    thread_local crypto::Sha256 sha;
    return sha;
  }
};

SignedBytes tagged(std::string_view tag, const Hash& hash) {
  SignedBytes out;
  static_assert(kRequestTag.size() + 32 <= kMaxSignedBytes && kSessionTag.size() + 32 <= kMaxSignedBytes);
  std::copy(tag.begin(), tag.end(), out.bytes.begin());
  std::copy(hash.begin(), hash.end(), out.bytes.begin() + tag.size());
  out.size = tag.size() + hash.size();
  return out;
}

base::Status check_size(const char* what, std::string_view text, std::size_t limit) {
  if (text.size() > limit) {
    return base::fail(base::Code::kInvalidArgument, "the {} has {} bytes, the limit is {}", what, text.size(), limit);
  }
  return {};
}

}  // namespace

base::Status check_audience(const Audience& audience) {
  DAYBREAK_TRY(check_size("server id", audience.server_id, kMaxAudienceBytes));
  DAYBREAK_TRY(check_size("origin", audience.origin, kMaxAudienceBytes));
  return check_size("app", audience.app, kMaxAudienceBytes);
}

base::Status check_target(std::string_view method, std::string_view path_and_query) {
  DAYBREAK_TRY(check_size("method", method, kMaxMethodBytes));
  return check_size("path and query", path_and_query, kMaxTargetBytes);
}

Hash audience_hash(const Audience& audience) {
  return FieldHasher(tag("daybreak/grant/audience/v1")).audience(audience).finish();
}

SignedBytes request_message(const Audience& audience, const RequestView& request, const Hash& proof_hash) {
  return tagged(kRequestTag, FieldHasher(kRequestTag)
                                 .audience(audience)
                                 .text(request.method)
                                 .text(request.path_and_query)
                                 .text(view(request.body_sha256))
                                 .text(view(proof_hash))
                                 .u64(static_cast<std::uint64_t>(request.issued_at_ns))
                                 .text(view(request.nonce))
                                 .finish());
}

SignedBytes session_message(const Audience& audience, const Challenge& challenge, const Hash& proof_hash) {
  return tagged(kSessionTag,
                FieldHasher(kSessionTag).audience(audience).text(view(challenge)).text(view(proof_hash)).finish());
}

base::Result<SignedRequest> sign_request(const Entity& subject, const Audience& audience, std::string_view method,
                                         std::string_view path_and_query, const Hash& body_sha256,
                                         std::string_view proof, base::Env& env) {
  DAYBREAK_TRY(check_audience(audience));
  DAYBREAK_TRY(check_target(method, path_and_query));
  RequestView request{method, path_and_query, body_sha256, proof, env.unix_ns(), {}, {}};
  env.fill_random(std::as_writable_bytes(std::span(request.nonce)));
  const SignedBytes message = request_message(audience, request, Proof::hash_of_bytes(proof));
  return SignedRequest{request.issued_at_ns, request.nonce, subject.sign(view(message.view()))};
}

base::Result<crypto::Signature> sign_session(const Entity& subject, const Audience& audience,
                                             const Challenge& challenge, std::string_view proof) {
  DAYBREAK_TRY(check_audience(audience));
  return subject.sign(view(session_message(audience, challenge, Proof::hash_of_bytes(proof)).view()));
}

}  // namespace daybreak::grant
