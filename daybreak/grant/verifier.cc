#include "daybreak/grant/verifier.h"

#include <algorithm>
#include <cstring>

#include "daybreak/crypto/kdf.h"

namespace daybreak::grant {
namespace {

constexpr std::int64_t kNsPerS = 1'000'000'000;
// A nonce can be used until its request leaves the window, which is at most two windows after it was first seen.
constexpr std::int64_t kNonceLifetimeNs = 2 * kRequestWindowNs + 1;
static_assert(kChallengeNs <= kNonceLifetimeNs);

Verdict denied(Denial denial) {
  return {denial.reason, {}, 0, std::move(denial.sentence)};
}

// The cache's key: all that a decision depends on, each part framed.
Hash decision_key(std::string_view proof, std::span<const Need> needs, const Hash* subject, const Audience& audience) {
  thread_local crypto::Sha256 sha;
  const auto framed = [&](std::string_view part) {
    const std::uint64_t size = part.size();
    char bytes[sizeof size];
    std::memcpy(bytes, &size, sizeof size);  // never leaves this process: any byte order
    sha.update(std::string_view(bytes, sizeof bytes)).update(part);
  };
  sha.update(tag("daybreak/grant/decision/v1"));
  framed(proof);
  framed(subject == nullptr ? std::string_view() : view(*subject));
  framed(audience.server_id);
  framed(audience.origin);
  framed(audience.app);
  for (const Need& need : needs) {
    framed(need.permission);
    framed(need.resource);
  }
  return sha.finish();
}

Hash token_hash(std::string_view token) {
  return hash_of(tag("daybreak/grant/session-token/v1"), {token});
}

Checked<void> check_needs(std::span<const Need> needs) {
  if (needs.empty() || needs.size() > kMaxPairs) {
    return deny(Reason::kMalformed, "{} (permission, resource) pairs are asked for, allowed are 1 to {}", needs.size(),
                kMaxPairs);
  }
  return {};
}

Checked<void> covers_all(const Proof& proof, std::span<const Need> needs) {
  for (const Need& need : needs) {
    if (auto permission = check_permission(need.permission); !permission) {
      return deny(Reason::kMalformed, "{}", permission.error().message());
    }
    const auto resource = PatternView::parse(need.resource);
    if (!resource) return deny(Reason::kMalformed, "{}", resource.error().message());
    if (!proof.covers(need.permission, *resource)) {
      return deny(Reason::kNotGranted, "{}", proof.missing_link(need.permission, *resource));
    }
  }
  return {};
}

}  // namespace

base::Result<std::shared_ptr<Verifier>> Verifier::create(VerifierOptions options, base::Env& env) {
  DAYBREAK_TRY(check_audience({options.server_id, {}, {}}));
  if (options.server_id.empty()) {
    return base::fail(base::Code::kInvalidArgument,
                      "server_id is empty: name this server, so that requests for another one are refused");
  }
  const auto counts = [](std::size_t number) { return number >= 1 && number <= kMaxRemembered; };
  if (options.max_staleness_s < 0 || options.max_staleness_s > kMaxTimeS || !counts(options.max_decisions) ||
      !counts(options.max_sessions) || !counts(options.max_nonces)) {
    return base::fail(base::Code::kInvalidArgument,
                      "max_staleness_s={}, max_decisions={}, max_sessions={}, max_nonces={}: not negative, and 1 to {} "
                      "of each",
                      options.max_staleness_s, options.max_decisions, options.max_sessions, options.max_nonces,
                      kMaxRemembered);
  }
  std::shared_ptr<Verifier> verifier(new Verifier(std::move(options), env));
  std::ignore = verifier->refresh();  // a store that cannot be read now makes the first check say so
  return verifier;
}

Verifier::Verifier(VerifierOptions options, base::Env& env)
    : options_(std::move(options)),
      env_(env),
      started_ns_(env.unix_ns()),
      challenge_key_(crypto::Secret<32>::random(env)),
      latest_ns_(started_ns_),
      decisions_(options_.max_decisions),
      nonces_(options_.max_nonces, kNonceLifetimeNs, started_ns_) {
  sessions_.reserve(options_.max_sessions);
}

std::int64_t Verifier::now_ns() {
  const std::int64_t now = env_.unix_ns();
  std::int64_t latest = latest_ns_.load(std::memory_order_relaxed);
  while (now > latest && !latest_ns_.compare_exchange_weak(latest, now, std::memory_order_relaxed)) {
  }
  return std::max(now, latest);
}

// ---- revocations

base::Status Verifier::refresh() {
  if (!options_.revocations) return {};
  const base::MutexLock lock(refresh_mutex_);
  return read_store();
}

base::Status Verifier::read_store() {
  const std::int64_t began_ns = env_.monotonic_ns();
  DAYBREAK_ASSIGN(auto revoked, options_.revocations->read_all());
  const base::MutexLock lock(mutex_);
  const bool grew = !revoked_ || revoked_->size() != revoked->size();
  revoked_ = std::move(revoked);
  read_at_ns_ = began_ns;
  if (grew) end_revoked(*revoked_);
  return {};
}

void Verifier::end_revoked(const RevokedSet& revoked) {
  decisions_.erase_if([&](const Decision& decision) { return !check_revocations(*decision.proof, revoked); });
  for (auto& [token, session] : sessions_)
    session.revoked = session.revoked || !check_revocations(*session.proof, revoked);
}

Checked<std::shared_ptr<const RevokedSet>> Verifier::revocations() {
  if (!options_.revocations) return nullptr;
  const std::int64_t limit_ns = std::min(options_.max_staleness_s, INT64_MAX / kNsPerS) * kNsPerS;
  const auto fresh = [&](std::int64_t within_ns) -> std::shared_ptr<const RevokedSet> {
    const base::MutexLock lock(mutex_);
    return revoked_ && env_.monotonic_ns() - read_at_ns_ <= within_ns ? revoked_ : nullptr;
  };
  if (auto set = fresh(limit_ns / 2); set && limit_ns > 0) return set;
  const base::MutexLock lock(refresh_mutex_);
  if (auto set = fresh(limit_ns / 2); set && limit_ns > 0) return set;  // another thread has just read it
  const base::Status read = read_store();
  if (read) {
    const base::MutexLock state(mutex_);
    return revoked_;
  }
  if (auto set = fresh(limit_ns)) {
    if (limit_ns > 0) return set;
  }
  return deny(Reason::kRevocationStale, "the revocations could not be read within the last {} s: {}",
              options_.max_staleness_s, read.error().to_string());
}

// ---- decisions

Verifier::Found Verifier::decide_anew(std::string_view bytes, std::span<const Need> needs, const Hash* subject,
                                      std::int64_t now_s, const RevokedSet* revoked) {
  auto proof = Proof::decode(bytes);
  if (!proof) return deny(Reason::kMalformed, "{}", proof.error().to_string());
  if (subject != nullptr && proof->subject().id != *subject) {
    return deny(Reason::kNotGranted, "the proof is for {}, not for {}", short_id(proof->subject().id),
                short_id(*subject));
  }
  // What is asked for before what it costs 50 us a hop to know; but who presents another namespace's proof is told
  // that.
  if (proof->root().id == options_.namespace_id) {
    if (auto covered = covers_all(*proof, needs); !covered) return std::unexpected(std::move(covered).error());
  }
  const auto ends_s = authenticate(*proof, options_.namespace_id, now_s, revoked);
  if (!ends_s) return std::unexpected(ends_s.error());
  return Decision{std::make_shared<const Proof>(std::move(*proof)), *ends_s};
}

Verifier::Found Verifier::decide(std::string_view proof, std::span<const Need> needs, const Hash* subject,
                                 std::string_view origin, std::string_view app) {
  if (proof.empty()) return deny(Reason::kNoProof, "no proof was presented");
  if (proof.size() > kMaxProofBytes) {
    return deny(Reason::kMalformed, "the proof has {} bytes, the limit is {}", proof.size(), kMaxProofBytes);
  }
  const Audience to = audience(origin, app);
  if (auto checked = check_audience(to); !checked) return deny(Reason::kMalformed, "{}", checked.error().message());
  if (auto checked = check_needs(needs); !checked) return std::unexpected(std::move(checked).error());
  auto revoked = revocations();
  if (!revoked) return std::unexpected(std::move(revoked).error());
  const std::int64_t now_s = now_ns() / kNsPerS;
  const Hash key = decision_key(proof, needs, subject, to);
  {
    const base::MutexLock lock(mutex_);
    if (const Decision* found = decisions_.find(key, now_s)) return *found;
  }
  Found decision = decide_anew(proof, needs, subject, now_s, revoked->get());
  if (decision) remember(key, *decision, now_s);
  return decision;
}

void Verifier::remember(const Hash& key, const Decision& decision, std::int64_t now_s) {
  const base::MutexLock lock(mutex_);
  // While it was made another thread may have read more revocations.
  if (revoked_ && !check_revocations(*decision.proof, *revoked_)) return;
  decisions_.put(key, decision, now_s);
}

Verdict Verifier::verify(std::string_view proof, std::span<const Need> needs, const Hash* subject,
                         std::string_view origin, std::string_view app) {
  Found decision = decide(proof, needs, subject, origin, app);
  if (!decision) return denied(std::move(decision).error());
  return {Reason::kAllowed, decision->proof->subject().id, decision->expires_s, {}};
}

// ---- requests

Checked<void> Verifier::use_once(const Hash& key, const char* what) {
  const std::int64_t now = now_ns();
  const base::MutexLock lock(mutex_);
  switch (nonces_.put(key, now)) {
    case NonceCache::Put::kNew: return {};
    case NonceCache::Put::kSeen: return deny(Reason::kReplayed, "the {} was used before", what);
    case NonceCache::Put::kFull: break;
  }
  return deny(
      Reason::kReplayed,
      "{} nonces of the last minute are remembered and no more can be: try again in a minute, or open a session",
      nonces_.capacity());
}

Verdict Verifier::check_request(const RequestView& request, std::span<const Need> needs, std::string_view origin,
                                std::string_view app) {
  if (request.proof.empty()) return denied({Reason::kNoProof, "no proof was presented"});
  const Audience to = audience(origin, app);
  if (auto checked = check_target(request.method, request.path_and_query); !checked) {
    return denied({Reason::kMalformed, checked.error().message()});
  }
  const std::int64_t now = now_ns();
  if (request.issued_at_ns < started_ns_) {
    return denied(
        {Reason::kReplayed,
         "the request was issued before this verifier began, which does not know what was used then: send a new one"});
  }
  if (request.issued_at_ns < now - kRequestWindowNs || request.issued_at_ns - kRequestWindowNs > now) {
    return denied({Reason::kReplayed,
                   fmt::format("the request was issued {} ms {} the verifier's time, the window is {} ms either way",
                               request.issued_at_ns < now ? (now - request.issued_at_ns) / 1'000'000
                                                          : (request.issued_at_ns - now) / 1'000'000,
                               request.issued_at_ns < now ? "before" : "after", kRequestWindowNs / 1'000'000)});
  }
  Found decision = decide(request.proof, needs, nullptr, origin, app);
  if (!decision) return denied(std::move(decision).error());
  const EntityRecord& subject = decision->proof->subject();
  const SignedBytes message = request_message(to, request, decision->proof->hash());
  if (!crypto::verify(subject.verify_key, message.view(), request.signature)) {
    return denied(
        {Reason::kMalformed,
         fmt::format("the request is not signed by the proof's subject {}, for this server and these contents",
                     short_id(subject.id))});
  }
  const Hash nonce = hash_of(tag("daybreak/grant/nonce/v1"), {view(subject.id), view(request.nonce)});
  if (auto fresh = use_once(nonce, "request"); !fresh) return denied(std::move(fresh).error());
  return {Reason::kAllowed, subject.id, decision->expires_s, {}};
}

// ---- sessions

// A challenge: when it ends (8 bytes), its number (8), and 16 bytes of HMAC-SHA256 over these and the audience under a
// key of this verifier.
std::array<std::uint8_t, 16> Verifier::authentication(const Challenge& challenge, const Audience& audience) const {
  constexpr std::string_view kTag = tag("daybreak/grant/challenge/v1");
  std::array<std::uint8_t, kTag.size() + 16 + 32> message;
  auto* at = std::copy(kTag.begin(), kTag.end(), message.begin());
  at = std::copy_n(challenge.begin(), 16, at);
  const Hash to = audience_hash(audience);
  std::copy(to.begin(), to.end(), at);
  const Hash mac = crypto::hmac_sha256(challenge_key_.bytes(), message);
  std::array<std::uint8_t, 16> out;
  std::copy_n(mac.begin(), out.size(), out.begin());
  return out;
}

Challenge Verifier::challenge(std::string_view origin, std::string_view app) {
  Challenge challenge{};
  const std::int64_t ends_ns = now_ns() + kChallengeNs;
  const std::uint64_t number = challenges_.fetch_add(1, std::memory_order_relaxed);
  std::memcpy(challenge.data(), &ends_ns, 8);
  std::memcpy(challenge.data() + 8, &number, 8);
  const auto mac = authentication(challenge, audience(origin, app));
  std::ranges::copy(mac, challenge.begin() + 16);
  return challenge;
}

bool Verifier::is_ours(const Challenge& challenge, const Audience& audience, std::int64_t now_ns) const {
  if (!crypto::constant_time_equal(authentication(challenge, audience), std::span(challenge).subspan<16, 16>()))
    return false;
  std::int64_t ends_ns;
  std::memcpy(&ends_ns, challenge.data(), 8);
  return now_ns < ends_ns;
}

Verdict Verifier::open_session(const Challenge& challenge, std::string_view proof, const crypto::Signature& signature,
                               std::span<const Need> needs, std::string_view origin, std::string_view app,
                               SessionToken& token) {
  if (proof.empty()) return denied({Reason::kNoProof, "no proof was presented"});
  const Audience to = audience(origin, app);
  if (auto checked = check_audience(to); !checked) return denied({Reason::kMalformed, checked.error().message()});
  const std::int64_t now = now_ns();
  if (!is_ours(challenge, to, now)) {
    return denied(
        {Reason::kReplayed,
         "the challenge is not one that this verifier gave for this audience within the last 30 s: ask for a new one"});
  }
  Found decision = decide(proof, needs, nullptr, origin, app);
  if (!decision) return denied(std::move(decision).error());
  const EntityRecord& subject = decision->proof->subject();
  if (!crypto::verify(subject.verify_key, session_message(to, challenge, decision->proof->hash()).view(), signature)) {
    return denied({Reason::kMalformed,
                   fmt::format("the challenge is not signed by the proof's subject {}, for this server and this proof",
                               short_id(subject.id))});
  }
  if (auto fresh = use_once(hash_of(tag("daybreak/grant/challenge-used/v1"), {view(challenge)}), "challenge"); !fresh) {
    return denied(std::move(fresh).error());
  }
  token = SessionToken::random(env_);
  const std::int64_t expires_ns = std::min(now + kMaxSessionNs, decision->expires_s * kNsPerS);
  const base::MutexLock lock(mutex_);
  if (sessions_.size() >= options_.max_sessions) {
    std::erase_if(sessions_, [now](const auto& entry) { return entry.second.expires_ns <= now; });
  }
  if (sessions_.size() >= options_.max_sessions) {
    return denied({Reason::kNoProof, fmt::format("{} sessions are open, the limit: sign requests, or try again later",
                                                 sessions_.size())});
  }
  const bool revoked = revoked_ && !check_revocations(*decision->proof, *revoked_);
  sessions_.emplace(token_hash(view(token.bytes())), Session{decision->proof, audience_hash(to), expires_ns, revoked});
  return {Reason::kAllowed, subject.id, expires_ns / kNsPerS, {}};
}

Verdict Verifier::check_session(std::string_view token, std::span<const Need> needs, std::string_view origin,
                                std::string_view app) {
  if (token.empty()) return denied({Reason::kNoProof, "no session was presented"});
  if (auto checked = check_needs(needs); !checked) return denied(std::move(checked).error());
  if (auto revoked = revocations(); !revoked) return denied(std::move(revoked).error());
  const Hash key = token_hash(token);
  const Hash to = audience_hash(audience(origin, app));
  const std::int64_t now = now_ns();
  std::shared_ptr<const Proof> proof;
  std::int64_t expires_ns = 0;
  {
    const base::MutexLock lock(mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end() || !crypto::constant_time_equal(found->first, key)) {
      return denied({Reason::kNoProof, "there is no such session: open one"});
    }
    const Session& session = found->second;
    if (now >= session.expires_ns) {
      sessions_.erase(found);
      return denied({Reason::kExpired, "the session has ended: open a new one"});
    }
    if (session.revoked) return denied({Reason::kRevoked, "something that the session's proof rests on was revoked"});
    if (!crypto::constant_time_equal(session.audience, to)) {
      return denied({Reason::kMalformed, "the session was opened for another origin or app"});
    }
    proof = session.proof;
    expires_ns = session.expires_ns;
  }
  if (auto covered = covers_all(*proof, needs); !covered) return denied(std::move(covered).error());
  return {Reason::kAllowed, proof->subject().id, expires_ns / kNsPerS, {}};
}

void Verifier::close_session(std::string_view token) {
  const Hash key = token_hash(token);
  const base::MutexLock lock(mutex_);
  sessions_.erase(key);
}

}  // namespace daybreak::grant
