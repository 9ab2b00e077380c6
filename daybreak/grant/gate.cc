#include "daybreak/grant/gate.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace daybreak::grant {
namespace {

static_assert(static_cast<int>(Reason::kMalformed) == DAYBREAK_GATE_MALFORMED);
static_assert(static_cast<int>(Reason::kNotGranted) == DAYBREAK_GATE_NOT_GRANTED);
static_assert(static_cast<int>(Reason::kReplayed) == DAYBREAK_GATE_REPLAYED);

constexpr std::int64_t kGateNsPerS = 1'000'000'000;

struct Gate {
  daybreak_gate_v1 face;
  std::shared_ptr<Verifier> verifier;
  std::atomic<std::uint64_t> references = 1;
};

thread_local std::string last_denial;

std::string_view text(const daybreak_bytes& bytes) {
  return {static_cast<const char*>(bytes.data), bytes.size_bytes};
}

Verifier& verifier_of(void* context) {
  return *static_cast<Gate*>(context)->verifier;
}

void tell(Verdict&& verdict, daybreak_gate_decision_v1* decision) {
  decision->code = static_cast<std::int32_t>(verdict.reason);
  std::ranges::copy(verdict.subject, decision->subject);
  decision->expires_at_ns = verdict.expires_at_s * kGateNsPerS;
  if (!verdict.allowed()) last_denial = std::move(verdict.sentence);
}

// False when the bytes are not exactly N.
template <std::size_t N>
bool take(const daybreak_bytes& bytes, std::array<std::uint8_t, N>& out) {
  if (bytes.size_bytes != N || bytes.data == nullptr) return false;
  std::memcpy(out.data(), bytes.data, N);
  return true;
}

Verdict wrong_size(const char* what, std::size_t size, const daybreak_bytes& bytes) {
  return {Reason::kMalformed, {}, 0, fmt::format("the {} has {} bytes, not {}", what, bytes.size_bytes, size)};
}

Verdict check(Verifier& verifier, const daybreak_gate_request_v1& asked) {
  const Need need{text(asked.permission), text(asked.resource)};
  const std::span<const Need> needs(&need, 1);
  if (asked.session.size_bytes > 0)
    return verifier.check_session(text(asked.session), needs, text(asked.origin), text(asked.app));
  RequestView request{
      text(asked.method), text(asked.path_and_query), {}, text(asked.proof), asked.issued_at_ns, {}, {}};
  if (request.proof.empty()) return {Reason::kNoProof, {}, 0, "neither a session nor a proof was presented"};
  if (!take(asked.body_sha256, request.body_sha256)) return wrong_size("body's hash", 32, asked.body_sha256);
  if (!take(asked.nonce, request.nonce)) return wrong_size("nonce", kRequestNonceBytes, asked.nonce);
  if (!take(asked.signature, request.signature)) return wrong_size("signature", 64, asked.signature);
  return verifier.check_request(request, needs, text(asked.origin), text(asked.app));
}

Verdict open_session(Verifier& verifier, const daybreak_gate_request_v1& asked, std::uint8_t token_out[32]) {
  const Need need{text(asked.permission), text(asked.resource)};
  Challenge challenge;
  crypto::Signature signature;
  if (asked.proof.size_bytes == 0) return {Reason::kNoProof, {}, 0, "no proof was presented"};
  if (!take(asked.nonce, challenge)) return wrong_size("challenge", challenge.size(), asked.nonce);
  if (!take(asked.signature, signature)) return wrong_size("signature", signature.size(), asked.signature);
  SessionToken token;
  Verdict verdict = verifier.open_session(challenge, text(asked.proof), signature, {&need, 1}, text(asked.origin),
                                          text(asked.app), token);
  if (verdict.allowed()) std::ranges::copy(token.bytes(), token_out);
  return verdict;
}

void gate_retain(void* context) {
  static_cast<Gate*>(context)->references.fetch_add(1);
}
void gate_release(void* context) {
  auto* gate = static_cast<Gate*>(context);
  if (gate->references.fetch_sub(1) == 1) delete gate;
}
void gate_check(void* context, const daybreak_gate_request_v1* request, daybreak_gate_decision_v1* decision) {
  tell(check(verifier_of(context), *request), decision);
}
std::int32_t gate_challenge(void* context, daybreak_bytes origin, daybreak_bytes app, std::uint8_t out[32]) {
  const Challenge challenge = verifier_of(context).challenge(text(origin), text(app));
  std::ranges::copy(challenge, out);
  return 0;
}
void gate_open_session(void* context, const daybreak_gate_request_v1* request, std::uint8_t token[32],
                       daybreak_gate_decision_v1* decision) {
  tell(open_session(verifier_of(context), *request, token), decision);
}
void gate_close_session(void* context, daybreak_bytes token) {
  verifier_of(context).close_session(text(token));
}
void gate_explain(void*, char* out, std::size_t out_size_bytes) {
  if (out_size_bytes == 0) return;
  const std::size_t size = std::min(last_denial.size(), out_size_bytes - 1);
  std::memcpy(out, last_denial.data(), size);
  out[size] = '\0';
}

}  // namespace

daybreak_gate_v1* make_gate(std::shared_ptr<Verifier> verifier) {
  auto* gate = new Gate;
  const VerifierOptions& options = verifier->options();
  const std::int64_t staleness_ns =
      options.revocations ? std::min(options.max_staleness_s, INT64_MAX / kGateNsPerS) * kGateNsPerS : INT64_MAX;
  gate->face = {sizeof(daybreak_gate_v1),
                gate,
                gate_retain,
                gate_release,
                staleness_ns,
                gate_check,
                gate_challenge,
                gate_open_session,
                gate_close_session,
                gate_explain};
  gate->verifier = std::move(verifier);
  return &gate->face;
}

}  // namespace daybreak::grant
