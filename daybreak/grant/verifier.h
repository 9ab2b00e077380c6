// The verifier: what a server asks before it does something. It knows one namespace and its own name; it remembers what
// it has verified, whom it knows by session, which nonces it has seen and what is revoked.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/grant/decision_cache.h"
#include "daybreak/grant/nonce_cache.h"
#include "daybreak/grant/possession.h"
#include "daybreak/grant/proof.h"
#include "daybreak/grant/revocation.h"

namespace daybreak::grant {

struct VerifierOptions {
  Hash namespace_id{};    // every proof must begin here
  std::string server_id;  // this server's own name, which requests are signed for
  // nullptr: revocation is not looked at. Say so on purpose.
  std::shared_ptr<RevocationStore> revocations;
  std::int64_t max_staleness_s = 60;  // since the last complete read of the store; then everything is refused
  std::size_t max_decisions = 4096;
  std::size_t max_sessions = 4096;
  std::size_t max_nonces = 65536;  // in 30 s
};

// What is asked for, borrowed.
struct Need {
  std::string_view permission;
  std::string_view resource;
};

struct Verdict {
  Reason reason = Reason::kNoProof;
  Hash subject{};                 // who proved it; zeros when denied
  std::int64_t expires_at_s = 0;  // allowed until then, unless something is revoked
  std::string sentence;           // why it is denied; empty when it is not
  bool allowed() const { return reason == Reason::kAllowed; }
  bool operator==(const Verdict&) const = default;
};

// Any thread may call any function at any time.
//
// Time is the Env's time of day, held so that it never goes back: when the clock is set back, what had expired stays
// expired, and requests are refused (`replayed`) until the clock has caught up or the verifier is made anew.
class Verifier {
 public:
  static base::Result<std::shared_ptr<Verifier>> create(VerifierOptions options, base::Env& env = base::Env::real());

  const VerifierOptions& options() const { return options_; }
  Audience audience(std::string_view origin, std::string_view app) const { return {options_.server_id, origin, app}; }

  // Whether the proof gives all of `needs` to its subject (to this one, when it is given). Says nothing about who
  // presents it: for a request use check_request() or a session. A decision is remembered under the hash of (proof,
  // needs, subject, audience) until the first of its parts expires or max_decisions others were asked for since;
  // denials are not remembered. Remembered: 2 us, no allocation. Else an Ed25519 verification for each attestation.
  Verdict verify(std::string_view proof, std::span<const Need> needs, const Hash* subject = nullptr,
                 std::string_view origin = {}, std::string_view app = {});

  // The same for the subject that signed this very request, which must be new (30 s either way, nonce not seen, issued
  // after this verifier was made). One Ed25519 verification more.
  Verdict check_request(const RequestView& request, std::span<const Need> needs, std::string_view origin,
                        std::string_view app);

  // A challenge for (origin, app), good once and for 30 s. Nothing is kept for it: it carries its own authentication.
  Challenge challenge(std::string_view origin, std::string_view app);
  // A session for the subject of the proof, if it signed the challenge (sign_session) and the proof gives it `needs`.
  // Ends after at most 5 minutes, with the proof, or when something in the proof is revoked. `no_proof` when
  // max_sessions are open.
  Verdict open_session(const Challenge& challenge, std::string_view proof, const crypto::Signature& signature,
                       std::span<const Need> needs, std::string_view origin, std::string_view app, SessionToken& token);
  // Whether the session may do all of `needs` here: any that its proof gives. 1 us, no allocation.
  Verdict check_session(std::string_view token, std::span<const Need> needs, std::string_view origin,
                        std::string_view app);
  // Nothing when there is no such session.
  void close_session(std::string_view token);

  // What is revoked, as this verifier knows it: nullptr when it does not look, denied when it has not been told for too
  // long.
  Checked<std::shared_ptr<const RevokedSet>> revocations() DAYBREAK_EXCLUDES(refresh_mutex_, mutex_);
  // Reads the store now. It is also read by itself when half of max_staleness_s is over, by the caller of the moment.
  base::Status refresh();

 private:
  struct Session {
    std::shared_ptr<const Proof> proof;
    Hash audience;
    std::int64_t expires_ns;
    bool revoked = false;
  };
  // Decision, or why not; never both.
  using Found = Checked<Decision>;

  Verifier(VerifierOptions options, base::Env& env);

  std::int64_t now_ns();
  base::Status read_store() DAYBREAK_REQUIRES(refresh_mutex_) DAYBREAK_EXCLUDES(mutex_);
  void end_revoked(const RevokedSet& revoked) DAYBREAK_REQUIRES(mutex_);
  Found decide(std::string_view proof, std::span<const Need> needs, const Hash* subject, std::string_view origin,
               std::string_view app) DAYBREAK_EXCLUDES(mutex_);
  Found decide_anew(std::string_view proof, std::span<const Need> needs, const Hash* subject, std::int64_t now_s,
                    const RevokedSet* revoked);
  void remember(const Hash& key, const Decision& decision, std::int64_t now_s) DAYBREAK_EXCLUDES(mutex_);
  Checked<void> use_once(const Hash& key, const char* what) DAYBREAK_EXCLUDES(mutex_);
  bool is_ours(const Challenge& challenge, const Audience& audience, std::int64_t now_ns) const;
  std::array<std::uint8_t, 16> authentication(const Challenge& challenge, const Audience& audience) const;

  const VerifierOptions options_;
  base::Env& env_;
  const std::int64_t started_ns_;
  const crypto::Secret<32> challenge_key_;
  std::atomic<std::int64_t> latest_ns_;
  std::atomic<std::uint64_t> challenges_ = 0;

  base::Mutex refresh_mutex_;  // taken before mutex_; held while the store is read
  base::Mutex mutex_;
  DecisionCache decisions_ DAYBREAK_GUARDED_BY(mutex_);
  std::unordered_map<Hash, Session, HashHasher> sessions_ DAYBREAK_GUARDED_BY(mutex_);  // by the hash of the token
  NonceCache nonces_ DAYBREAK_GUARDED_BY(mutex_);
  std::shared_ptr<const RevokedSet> revoked_ DAYBREAK_GUARDED_BY(mutex_);
  std::int64_t read_at_ns_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // monotonic; of the last complete read's beginning
};

}  // namespace daybreak::grant
