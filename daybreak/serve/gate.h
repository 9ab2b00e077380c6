// May this caller do this? The interface that serve owns, behind the C struct `daybreak.gate.v1` (base/capsule.h);
// `grant` exports one, anybody may.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "daybreak/base/capsule.h"
#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/net/http.h"

namespace daybreak::serve {

// A gate that is held. Any thread may call any function.
class Gate {
 public:
  // kInvalidArgument when the struct is older than this code.
  static base::Result<std::shared_ptr<Gate>> hold(const daybreak_gate_v1* gate);
  ~Gate() { gate_->release(gate_->context); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  const daybreak_gate_v1& raw() const { return *gate_; }
  std::int64_t staleness_bound_ns() const { return gate_->staleness_bound_ns; }

 private:
  explicit Gate(const daybreak_gate_v1* gate) : gate_(gate) { gate_->retain(gate_->context); }
  const daybreak_gate_v1* const gate_;
};

// "no_proof", "not_granted", ...; the word that goes on the wire.
std::string_view gate_word(int code);
// 401 for no_proof, 403 for the others.
int gate_status(int code);

// What a caller asks for, and what it presents, taken from a request. Owns its bytes.
struct Claim {
  std::string permission, resource, origin, app;
  std::string session;  // 32 bytes, or empty
  std::string method, target, body_sha256, proof, nonce, signature;
  std::int64_t issued_at_ns = 0;
  bool malformed = false;

  bool has_session() const { return !session.empty(); }
  bool has_proof() const { return !proof.empty(); }
  daybreak_gate_request_v1 view() const;
};

// Headers and, for a WebSocket, the token in Sec-WebSocket-Protocol. The hash of the body is computed for signed
// requests.
Claim claim_of(const net::Request& request, std::string permission, std::string resource, std::string app);

// Asks; a word for the log when it is denied.
struct Decision {
  int code = DAYBREAK_GATE_NO_PROOF;
  std::array<std::uint8_t, 32> subject{};
  std::int64_t expires_at_ns = 0;
  bool allowed() const { return code == DAYBREAK_GATE_ALLOWED; }
};
Decision ask(const Gate& gate, const Claim& claim);

// Signed requests and new sessions are checked on a thread of their own, since one may cost some milliseconds: so many
// wait at most, and so many of one connection.
class GateWorker {
 public:
  static constexpr std::size_t kMaxWaiting = 256;
  static constexpr std::size_t kMaxOfConnection = 8;

  GateWorker();
  ~GateWorker();
  GateWorker(const GateWorker&) = delete;
  GateWorker& operator=(const GateWorker&) = delete;

  // Runs `what` soon. kResourceExhausted when too much waits.
  base::Status post(const std::string& connection, std::function<void()> what) DAYBREAK_EXCLUDES(mutex_);
  // Nothing runs any more; what waited is dropped.
  void stop() DAYBREAK_EXCLUDES(mutex_);

 private:
  void run() DAYBREAK_EXCLUDES(mutex_);

  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::pair<std::string, std::function<void()>>> waiting_ DAYBREAK_GUARDED_BY(mutex_);
  std::map<std::string, std::size_t> of_connection_ DAYBREAK_GUARDED_BY(mutex_);
  bool stopped_ DAYBREAK_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Base64url without padding; false when it is none.
bool decode_base64url(std::string_view text, std::string& out);
// The same for either alphabet, with padding or without.
bool decode_base64(std::string_view text, std::string& out);
std::string encode_base64url(std::string_view bytes);

}  // namespace daybreak::serve
