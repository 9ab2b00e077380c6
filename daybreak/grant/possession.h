// What a subject signs to show that it is the subject: a request, or a session's beginning. A proof alone is public and
// useless to whoever copies it. Format: docs/formats/grant-possession.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daybreak/grant/proof.h"

namespace daybreak::grant {

inline constexpr std::int64_t kRequestWindowNs =
    30'000'000'000;  // a request may be so much older or younger than the verifier's clock
inline constexpr std::int64_t kChallengeNs = 30'000'000'000;    // a challenge is good for so long
inline constexpr std::int64_t kMaxSessionNs = 300'000'000'000;  // a session ends after this at the latest
inline constexpr std::size_t kRequestNonceBytes = 16;

using RequestNonce = std::array<std::uint8_t, kRequestNonceBytes>;
using Challenge = std::array<std::uint8_t, 32>;
using SessionToken = crypto::Secret<32>;

// Who is asked: the server, the web origin of the page that asks (or empty), and the server's name for what is asked.
struct Audience {
  std::string_view server_id;
  std::string_view origin;
  std::string_view app;
};

// Borrowed for the call.
struct RequestView {
  std::string_view method;          // "POST"
  std::string_view path_and_query;  // "/pong/predict?v=1"
  Hash body_sha256{};
  std::string_view proof;  // encoded
  std::int64_t issued_at_ns = 0;
  RequestNonce nonce{};
  crypto::Signature signature{};
};

struct SignedRequest {
  std::int64_t issued_at_ns;
  RequestNonce nonce;
  crypto::Signature signature;
};

// kInvalidArgument when a text is beyond its limit.
base::Result<SignedRequest> sign_request(const Entity& subject, const Audience& audience, std::string_view method,
                                         std::string_view path_and_query, const Hash& body_sha256,
                                         std::string_view proof, base::Env& env = base::Env::real());
base::Result<crypto::Signature> sign_session(const Entity& subject, const Audience& audience,
                                             const Challenge& challenge, std::string_view proof);

// The very bytes that are signed; fixed size, so that checking allocates nothing.
inline constexpr std::size_t kMaxSignedBytes = 64;
struct SignedBytes {
  std::array<std::uint8_t, kMaxSignedBytes> bytes{};
  std::size_t size = 0;
  std::span<const std::uint8_t> view() const { return std::span(bytes).first(size); }
};
SignedBytes request_message(const Audience& audience, const RequestView& request, const Hash& proof_hash);
SignedBytes session_message(const Audience& audience, const Challenge& challenge, const Hash& proof_hash);

// Within the limits of the room.
base::Status check_audience(const Audience& audience);
base::Status check_target(std::string_view method, std::string_view path_and_query);

// Names an audience.
Hash audience_hash(const Audience& audience);

}  // namespace daybreak::grant
