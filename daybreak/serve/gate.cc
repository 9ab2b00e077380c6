#include "daybreak/serve/gate.h"

#include <fmt/format.h>

#include <charconv>
#include <vector>

#include "daybreak/crypto/hash.h"

namespace daybreak::serve {

using base::Code;
using base::fail;

namespace {

constexpr std::size_t kSessionBytes = 32;
constexpr std::string_view kTokenProtocol = "daybreak.token.";

daybreak_bytes bytes_of(const std::string& text) {
  return {text.data(), text.size()};
}

// Whose page asks: a part of what a session was opened for. Browsers leave Origin out of a GET to the page's own
// origin, and say so in Sec-Fetch-Site, which no page can set.
std::string origin_of(const net::Request& request) {
  const std::string_view origin = request.headers.get("Origin");
  if (!origin.empty() || request.headers.get("Sec-Fetch-Site") != "same-origin") return std::string(origin);
  return fmt::format("{}://{}", request.tls ? "https" : "http", request.headers.get("Host"));
}

// The token that a browser's WebSocket carries among its protocols, since it can set no header.
std::string_view token_in_protocols(std::string_view protocols) {
  while (!protocols.empty()) {
    const std::size_t comma = protocols.find(',');
    std::string_view word = protocols.substr(0, comma);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    if (word.starts_with(kTokenProtocol)) return word.substr(kTokenProtocol.size());
    if (comma == std::string_view::npos) break;
    protocols.remove_prefix(comma + 1);
  }
  return {};
}

}  // namespace

base::Result<std::shared_ptr<Gate>> Gate::hold(const daybreak_gate_v1* gate) {
  if (gate == nullptr || gate->size_bytes < sizeof(daybreak_gate_v1))
    return fail(Code::kInvalidArgument, "the gate is of an older {}: build both sides again", DAYBREAK_GATE_V1);
  return std::shared_ptr<Gate>(new Gate(gate));
}

std::string_view gate_word(int code) {
  switch (code) {
    case DAYBREAK_GATE_ALLOWED: return "allowed";
    case DAYBREAK_GATE_NO_PROOF: return "no_proof";
    case DAYBREAK_GATE_EXPIRED: return "expired";
    case DAYBREAK_GATE_NOT_YET: return "not_yet";
    case DAYBREAK_GATE_REVOKED: return "revoked";
    case DAYBREAK_GATE_REVOCATION_STALE: return "revocation_stale";
    case DAYBREAK_GATE_REPLAYED: return "replayed";
    case DAYBREAK_GATE_MALFORMED: return "malformed";
    default: return "not_granted";
  }
}

int gate_status(int code) {
  return code == DAYBREAK_GATE_NO_PROOF ? 401 : 403;
}

daybreak_gate_request_v1 Claim::view() const {
  daybreak_gate_request_v1 request{};
  request.permission = bytes_of(permission);
  request.resource = bytes_of(resource);
  request.origin = bytes_of(origin);
  request.app = bytes_of(app);
  request.session = bytes_of(session);
  request.method = bytes_of(method);
  request.path_and_query = bytes_of(target);
  request.body_sha256 = bytes_of(body_sha256);
  request.proof = bytes_of(proof);
  request.issued_at_ns = issued_at_ns;
  request.nonce = bytes_of(nonce);
  request.signature = bytes_of(signature);
  return request;
}

Claim claim_of(const net::Request& request, std::string permission, std::string resource, std::string app) {
  Claim claim;
  claim.permission = std::move(permission);
  claim.resource = std::move(resource);
  claim.app = std::move(app);
  claim.origin = origin_of(request);
  std::string_view token = request.headers.get("Authorization");
  if (token.size() > 7 && net::equal_ignoring_case(token.substr(0, 7), "Bearer ")) {
    token.remove_prefix(7);
  } else {
    token = token_in_protocols(request.headers.get("Sec-WebSocket-Protocol"));
  }
  if (!token.empty()) {
    if (!decode_base64url(token, claim.session) || claim.session.size() != kSessionBytes) claim.malformed = true;
    return claim;
  }
  const std::string_view proof = request.headers.get("Daybreak-Proof");
  if (proof.empty()) return claim;
  const std::string_view issued = request.headers.get("Daybreak-Issued-At");
  const auto parsed = std::from_chars(issued.data(), issued.data() + issued.size(), claim.issued_at_ns);
  claim.malformed = !decode_base64url(proof, claim.proof) ||
                    !decode_base64url(request.headers.get("Daybreak-Nonce"), claim.nonce) ||
                    !decode_base64url(request.headers.get("Daybreak-Signature"), claim.signature) ||
                    parsed.ec != std::errc() || parsed.ptr != issued.data() + issued.size();
  claim.method = request.method;
  claim.target = request.target;
  const crypto::Hash hash = crypto::sha256(std::string_view(request.body));
  claim.body_sha256.assign(reinterpret_cast<const char*>(hash.data()), hash.size());
  return claim;
}

Decision ask(const Gate& gate, const Claim& claim) {
  Decision decision;
  if (claim.malformed) {
    decision.code = DAYBREAK_GATE_MALFORMED;
    return decision;
  }
  if (!claim.has_session() && !claim.has_proof()) return decision;
  const daybreak_gate_request_v1 request = claim.view();
  daybreak_gate_decision_v1 answer{};
  answer.code = DAYBREAK_GATE_NOT_GRANTED;
  gate.raw().check(gate.raw().context, &request, &answer);
  decision.code = answer.code;
  std::copy(std::begin(answer.subject), std::end(answer.subject), decision.subject.begin());
  decision.expires_at_ns = answer.expires_at_ns;
  return decision;
}

GateWorker::GateWorker() : thread_([this] { run(); }) {}

GateWorker::~GateWorker() {
  stop();
}

void GateWorker::stop() {
  {
    const base::MutexLock lock(mutex_);
    stopped_ = true;
    waiting_.clear();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

base::Status GateWorker::post(const std::string& connection, std::function<void()> what) {
  const base::MutexLock lock(mutex_);
  if (stopped_) return fail(Code::kUnavailable, "the server is stopping");
  if (waiting_.size() >= kMaxWaiting)
    return fail(Code::kResourceExhausted, "{} proofs wait to be checked", kMaxWaiting);
  std::size_t& mine = of_connection_[connection];
  if (mine >= kMaxOfConnection)
    return fail(Code::kResourceExhausted, "{} proofs of this connection wait to be checked", kMaxOfConnection);
  ++mine;
  waiting_.emplace_back(connection, std::move(what));
  changed_.notify_one();
  return {};
}

void GateWorker::run() {
  for (;;) {
    std::pair<std::string, std::function<void()>> next;
    {
      const base::MutexLock lock(mutex_);
      while (waiting_.empty() && !stopped_) changed_.wait(mutex_);
      if (stopped_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next.second();
    const base::MutexLock lock(mutex_);
    const auto mine = of_connection_.find(next.first);
    if (mine != of_connection_.end() && --mine->second == 0) of_connection_.erase(mine);
  }
}

bool decode_base64url(std::string_view text, std::string& out) {
  out.clear();
  if (text.size() % 4 == 1) return false;
  std::uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    std::uint32_t value;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<std::uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<std::uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      value = static_cast<std::uint32_t>(c - '0' + 52);
    } else if (c == '-') {
      value = 62;
    } else if (c == '_') {
      value = 63;
    } else {
      return false;
    }
    bits = bits << 6 | value;
    have += 6;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<char>(bits >> have & 0xff));
    }
  }
  return (bits & ((1u << have) - 1)) == 0;  // one text for one value
}

bool decode_base64(std::string_view text, std::string& out) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string url(text);
  for (char& c : url) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return decode_base64url(url, out);
}

std::string encode_base64url(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  std::uint32_t bits = 0;
  int have = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    have += 8;
    while (have >= 6) {
      have -= 6;
      out.push_back(kAlphabet[bits >> have & 63]);
    }
  }
  if (have > 0) out.push_back(kAlphabet[bits << (6 - have) & 63]);
  return out;
}

}  // namespace daybreak::serve
