#include "daybreak/grant/verifier.h"

#include <gtest/gtest.h>

#include <thread>

#include "daybreak/grant/tests/allocations.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr Need kPredict{"predict", "models/pong/rl"};
constexpr std::span<const Need> kNeeds(&kPredict, 1);

class VerifierTest : public testing::Test {
 protected:
  VerifierTest() : store(*DirectoryStore::create("revoked", world.env)) {
    chain = world.chain(3);  // lab -> p1 -> p2 -> p3
    proof = world.prove(chain)->bytes();
    verifier = make();
  }
  std::shared_ptr<Verifier> make(VerifierOptions options = {}) {
    options.namespace_id = world["lab"].id();
    options.server_id = "server";
    if (!options.revocations) options.revocations = store;
    return Verifier::create(std::move(options), world.env).value();
  }
  Reason verify(std::string_view bytes) { return verifier->verify(bytes, kNeeds).reason; }
  RequestView request(const std::string& who, const Audience& to = {"server", "", ""}) {
    signed_proof = proof;
    const auto made =
        *sign_request(world[who], to, "POST", "/predict", crypto::sha256("body"), signed_proof, world.env);
    return {"POST", "/predict", crypto::sha256("body"), signed_proof, made.issued_at_ns, made.nonce, made.signature};
  }
  Reason check(const RequestView& asked) { return verifier->check_request(asked, kNeeds, "", "").reason; }
  Verdict open(const std::string& who, SessionToken& token, const std::string& origin = "") {
    const Challenge challenge = verifier->challenge(origin, "");
    return verifier->open_session(challenge, proof, *sign_session(world[who], {"server", origin, ""}, challenge, proof),
                                  kNeeds, origin, "", token);
  }
  void revoke(std::size_t hop) {
    const std::string attester = hop == 0 ? "lab" : "p" + std::to_string(hop);
    ASSERT_TRUE(store->publish(*world[attester].revocation_secret(chain[hop])));
  }

  World world;
  std::shared_ptr<DirectoryStore> store;
  std::vector<Attestation> chain;
  std::string proof, signed_proof;
  std::shared_ptr<Verifier> verifier;
};

TEST_F(VerifierTest, allows_what_is_proved_and_names_subject_and_end) {
  const Verdict verdict = verifier->verify(proof, kNeeds);
  EXPECT_EQ(verdict.reason, Reason::kAllowed) << verdict.sentence;
  EXPECT_EQ(verdict.subject, world["p3"].id());
  EXPECT_EQ(verdict.expires_at_s, world.now_s() + 30 * kDay);
  EXPECT_EQ(verifier->verify(proof, kNeeds), verdict);
}

TEST_F(VerifierTest, gives_each_code_its_case) {
  EXPECT_EQ(verify(""), Reason::kNoProof);
  EXPECT_EQ(verify("nonsense"), Reason::kMalformed);
  EXPECT_EQ(verify(std::string(kMaxProofBytes + 1, 'x')), Reason::kMalformed);
  const Need other{"predict", "models/other"}, bad{"predict", "a//b"};
  EXPECT_EQ(verifier->verify(proof, {&other, 1}).reason, Reason::kNotGranted);
  EXPECT_EQ(verifier->verify(proof, {&bad, 1}).reason, Reason::kMalformed);
  EXPECT_EQ(verifier->verify(proof, {}).reason, Reason::kMalformed);
  const std::vector<Need> many(kMaxPairs + 1, kPredict);
  EXPECT_EQ(verifier->verify(proof, many).reason, Reason::kMalformed);
  EXPECT_EQ(verifier->verify(proof, std::span(many).first(kMaxPairs)).reason, Reason::kAllowed);
  world.env.advance_ns(31 * kDay * kSecond);
  EXPECT_EQ(verify(proof), Reason::kExpired);
  world.env.jump_ns(-40 * kDay * kSecond);
  verifier = make();  // one that never saw the later time
  EXPECT_EQ(verify(proof), Reason::kNotYet);
}

TEST_F(VerifierTest, refuses_a_proof_for_another_subject_or_namespace) {
  const Hash p3 = world["p3"].id(), p2 = world["p2"].id();
  EXPECT_EQ(verifier->verify(proof, kNeeds, &p3).reason, Reason::kAllowed);
  EXPECT_EQ(verifier->verify(proof, kNeeds, &p2).reason, Reason::kNotGranted);
  VerifierOptions options;
  options.namespace_id = world["mallory"].id();
  options.server_id = "server";
  const auto elsewhere = *Verifier::create(options, world.env);
  EXPECT_EQ(elsewhere->verify(proof, kNeeds).reason, Reason::kNotGranted);
}

TEST_F(VerifierTest, a_remembered_decision_allocates_nothing_and_ends_with_the_first_part_that_expires) {
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  const std::size_t before = allocations_of_this_thread();
  EXPECT_EQ(verifier->verify(proof, kNeeds).reason, Reason::kAllowed);
  EXPECT_EQ(allocations_of_this_thread(), before);
  world.env.advance_ns(30 * kDay * kSecond - kSecond);
  EXPECT_EQ(verify(proof), Reason::kAllowed);
  world.env.advance_ns(kSecond);
  EXPECT_EQ(verify(proof), Reason::kExpired);
}

TEST_F(VerifierTest, remembers_decisions_for_one_proof_policy_subject_and_audience_each) {
  if (!kCountsAllocations) GTEST_SKIP() << "what is not remembered is seen by what it allocates";
  const Hash p3 = world["p3"].id();
  const Need other{"predict", "models/other"};
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  const auto allocates = [&](auto&& call) {
    const std::size_t before = allocations_of_this_thread();
    call();
    return allocations_of_this_thread() != before;
  };
  EXPECT_FALSE(allocates([&] { verifier->verify(proof, kNeeds); }));
  EXPECT_TRUE(allocates([&] { verifier->verify(proof, kNeeds, &p3); }));
  EXPECT_TRUE(allocates([&] { verifier->verify(proof, kNeeds, nullptr, "origin"); }));
  EXPECT_TRUE(allocates([&] { verifier->verify(proof, kNeeds, nullptr, "", "app"); }));
  EXPECT_TRUE(allocates([&] { verifier->verify(proof, {&other, 1}); }));
  EXPECT_TRUE(allocates([&] { verifier->verify(proof, {&other, 1}); }));  // denials are not remembered
}

TEST_F(VerifierTest, remembers_no_more_decisions_than_it_may) {
  verifier = make({.max_decisions = 2});
  for (const char* app : {"a", "b", "c", "a", "b", "c"}) {
    EXPECT_EQ(verifier->verify(proof, kNeeds, nullptr, "", app).reason, Reason::kAllowed);
  }
}

TEST_F(VerifierTest, a_decision_in_use_is_still_remembered_after_4096_others_were_made) {
  if (!kCountsAllocations) GTEST_SKIP() << "what is not remembered is seen by what it allocates";
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  for (int i = 0; i < 4096 + 8; ++i) {
    const std::string app = fmt::format("app-{}", i);  // each a decision of its own
    ASSERT_EQ(verifier->verify(proof, kNeeds, nullptr, "", app).reason, Reason::kAllowed);
    const std::size_t before = allocations_of_this_thread();
    ASSERT_EQ(verify(proof), Reason::kAllowed);
    ASSERT_EQ(allocations_of_this_thread(), before) << "decided anew after " << i << " others";
  }
}

TEST_F(VerifierTest, limits_that_no_memory_holds_are_refused) {
  for (const VerifierOptions& options : {VerifierOptions{.max_decisions = 0},
                                         {.max_decisions = kMaxRemembered + 1},
                                         {.max_sessions = SIZE_MAX},
                                         {.max_nonces = kMaxRemembered + 1}}) {
    VerifierOptions full = options;
    full.namespace_id = world["lab"].id();
    full.server_id = "server";
    EXPECT_EQ(Verifier::create(full, world.env).error().code(), base::Code::kInvalidArgument);
  }
}

// Defect 4: once seen unrevoked, never looked at again. Defect 5: the cache was asked before the times.
TEST_F(VerifierTest, a_revocation_in_the_middle_ends_remembered_decisions_within_the_bound) {
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  revoke(1);
  EXPECT_EQ(verify(proof), Reason::kAllowed);  // read less than half a bound ago
  world.env.advance_ns(31 * kSecond);
  EXPECT_EQ(verify(proof), Reason::kRevoked);
  EXPECT_EQ(verify(proof), Reason::kRevoked);
}

TEST_F(VerifierTest, a_bound_of_nothing_reads_the_store_each_time) {
  verifier = make({.max_staleness_s = 0});
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  revoke(2);
  EXPECT_EQ(verify(proof), Reason::kRevoked);
}

TEST_F(VerifierTest, a_revoked_entity_ends_what_rests_on_it) {
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  ASSERT_TRUE(store->publish(world["p2"].revocation_secret()));
  ASSERT_TRUE(verifier->refresh());
  EXPECT_EQ(verify(proof), Reason::kRevoked);
}

TEST_F(VerifierTest, denies_all_when_the_store_cannot_be_read_within_the_bound) {
  ASSERT_EQ(verify(proof), Reason::kAllowed);
  SessionToken token;
  ASSERT_TRUE(open("p3", token).allowed());
  ASSERT_TRUE(world.env.remove_file("revoked/daybreak-revocations-v1"));
  world.env.advance_ns(59 * kSecond);
  EXPECT_EQ(verify(proof), Reason::kAllowed);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kAllowed);
  world.env.advance_ns(2 * kSecond);
  EXPECT_EQ(verify(proof), Reason::kRevocationStale);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kRevocationStale);
  EXPECT_EQ(check(request("p3")), Reason::kRevocationStale);
  EXPECT_EQ(open("p3", token).reason, Reason::kRevocationStale);
  store = *DirectoryStore::create("revoked", world.env);
  EXPECT_EQ(verify(proof), Reason::kAllowed);
}

TEST_F(VerifierTest, that_never_could_read_the_store_denies) {
  ASSERT_TRUE(world.env.remove_file("revoked/daybreak-revocations-v1"));
  verifier = make();
  EXPECT_EQ(verify(proof), Reason::kRevocationStale);
}

TEST_F(VerifierTest, accepts_a_signed_request_once) {
  const RequestView asked = request("p3");
  EXPECT_EQ(check(asked), Reason::kAllowed);
  EXPECT_EQ(check(asked), Reason::kReplayed);
  EXPECT_EQ(check(request("p3")), Reason::kAllowed);
}

// Defect 8: a proof on the wire was all that one needed.
TEST_F(VerifierTest, a_stolen_proof_is_useless) {
  EXPECT_EQ(check(request("mallory")), Reason::kMalformed);
  EXPECT_EQ(check(request("p2")), Reason::kMalformed);  // on the path, but not its subject
  RequestView unsigned_request = request("p3");
  unsigned_request.signature = {};
  EXPECT_EQ(check(unsigned_request), Reason::kMalformed);
  SessionToken token;
  EXPECT_EQ(open("mallory", token).reason, Reason::kMalformed);
}

TEST_F(VerifierTest, a_request_is_bound_to_all_of_its_parts) {
  const std::string other_proof = world.prove({world.grant("lab", "p3", {"predict"}, "models/pong/*")})->bytes();
  const auto altered = [&](auto&& change) {
    RequestView asked = request("p3");
    change(asked);
    return check(asked);
  };
  EXPECT_EQ(altered([](RequestView&) {}), Reason::kAllowed);
  EXPECT_EQ(altered([](RequestView& r) { r.method = "PUT"; }), Reason::kMalformed);
  EXPECT_EQ(altered([](RequestView& r) { r.path_and_query = "/predict?x"; }), Reason::kMalformed);
  EXPECT_EQ(altered([](RequestView& r) { r.body_sha256[0] ^= 1; }), Reason::kMalformed);
  EXPECT_EQ(altered([](RequestView& r) { r.nonce[0] ^= 1; }), Reason::kMalformed);
  EXPECT_EQ(altered([](RequestView& r) { r.issued_at_ns += 1; }), Reason::kMalformed);
  EXPECT_EQ(altered([&](RequestView& r) { r.proof = other_proof; }), Reason::kMalformed);
  EXPECT_EQ(altered([](RequestView& r) { r.method = "POST/", r.path_and_query = "predict"; }),
            Reason::kMalformed);  // framing
  EXPECT_EQ(check(request("p3", {"other-server", "", ""})), Reason::kMalformed);
  EXPECT_EQ(check(request("p3", {"server", "origin", ""})), Reason::kMalformed);
  EXPECT_EQ(check(request("p3", {"server", "", "app"})), Reason::kMalformed);
}

TEST_F(VerifierTest, a_request_is_good_for_thirty_seconds_either_way) {
  world.env.advance_ns(100 * kSecond);
  for (const auto& [off, expected] : {std::pair<std::int64_t, Reason>{-30 * kSecond - 1, Reason::kReplayed},
                                      {-30 * kSecond, Reason::kAllowed},
                                      {30 * kSecond, Reason::kAllowed},
                                      {30 * kSecond + 1, Reason::kReplayed}}) {
    world.env.jump_ns(off);
    const RequestView asked = request("p3");
    world.env.jump_ns(-off);
    EXPECT_EQ(check(asked), expected) << off;
  }
  RequestView extreme = request("p3");
  for (const std::int64_t when : {INT64_MIN, INT64_MAX, std::int64_t{0}, std::int64_t{-1}}) {
    extreme.issued_at_ns = when;
    EXPECT_EQ(check(extreme), Reason::kReplayed);
  }
}

TEST_F(VerifierTest, a_nonce_is_remembered_until_its_request_is_too_old) {
  world.env.advance_ns(100 * kSecond);
  world.env.jump_ns(30 * kSecond);
  const RequestView early = request("p3");  // by a client whose clock is 30 s ahead
  world.env.jump_ns(-30 * kSecond);
  ASSERT_EQ(check(early), Reason::kAllowed);
  for (int second = 0; second < 90; ++second) {
    EXPECT_EQ(check(early), Reason::kReplayed) << second;
    world.env.advance_ns(kSecond);
  }
}

TEST_F(VerifierTest, a_nonce_is_remembered_so_long_whenever_it_comes) {
  // The memory of nonces turns over by the clock: the request comes at every phase of that.
  for (int phase = 0; phase < 64; phase += 3) {
    verifier = make();
    world.env.advance_ns(100 * kSecond);
    ASSERT_EQ(check(request("p3")), Reason::kAllowed);  // the memory turns here
    world.env.advance_ns(phase * kSecond);
    ASSERT_EQ(check(request("p3")), Reason::kAllowed);
    world.env.jump_ns(30 * kSecond);
    const RequestView early = request("p3");  // good for 60 s from now on
    world.env.jump_ns(-30 * kSecond);
    ASSERT_EQ(check(early), Reason::kAllowed);
    for (int second = 0; second < 62; ++second) {
      ASSERT_EQ(check(early), Reason::kReplayed) << phase << " " << second;
      world.env.advance_ns(kSecond);
    }
  }
}

TEST_F(VerifierTest, nobody_uses_up_the_nonce_of_another_subject) {
  const std::string other = world.prove({world.grant("lab", "other", {"predict"}, "models/pong/*")})->bytes();
  const auto with_nonce = [&](const std::string& who, std::string_view proof_of_who, std::uint64_t seed) {
    base::TestEnv same(seed);  // the same nonce from the same seed, at the world's time
    same.jump_ns(world.env.unix_ns() - same.unix_ns());
    const auto made =
        *sign_request(world[who], {"server", "", ""}, "POST", "/predict", crypto::sha256("body"), proof_of_who, same);
    return RequestView{"POST",     "/predict",    crypto::sha256("body"), proof_of_who, made.issued_at_ns,
                       made.nonce, made.signature};
  };
  const RequestView first = with_nonce("other", other, 5), second = with_nonce("p3", proof, 5);
  ASSERT_EQ(first.nonce, second.nonce);
  EXPECT_EQ(check(first), Reason::kAllowed);
  EXPECT_EQ(check(second), Reason::kAllowed);
  EXPECT_EQ(check(second), Reason::kReplayed);
}

TEST_F(VerifierTest, that_began_anew_refuses_requests_from_before) {
  world.env.advance_ns(10 * kSecond);
  const RequestView used = request("p3");
  ASSERT_EQ(check(used), Reason::kAllowed);
  world.env.advance_ns(kSecond);
  verifier = make();
  EXPECT_EQ(check(used), Reason::kReplayed);
  EXPECT_EQ(check(request("p3")), Reason::kAllowed);
}

TEST_F(VerifierTest, refuses_when_it_cannot_remember_more_nonces) {
  verifier = make({.max_nonces = 3});
  std::vector<RequestView> used;
  for (int i = 0; i < 3; ++i) {
    used.push_back(request("p3"));
    used.back().proof = proof;
    ASSERT_EQ(check(used.back()), Reason::kAllowed);
  }
  const Verdict full = verifier->check_request(request("p3"), kNeeds, "", "");
  EXPECT_EQ(full.reason, Reason::kReplayed);
  EXPECT_NE(full.sentence.find("no more can be"), std::string::npos);
  for (const RequestView& asked : used) EXPECT_EQ(check(asked), Reason::kReplayed);
  world.env.advance_ns(61 * kSecond);
  EXPECT_EQ(check(request("p3")), Reason::kAllowed);
}

TEST_F(VerifierTest, a_clock_that_goes_back_revives_nothing) {
  const RequestView used = request("p3");
  ASSERT_EQ(check(used), Reason::kAllowed);
  world.env.advance_ns(200 * kSecond);
  ASSERT_EQ(verify(proof), Reason::kAllowed);  // it has seen the later time
  world.env.jump_ns(-200 * kSecond);
  EXPECT_EQ(check(used), Reason::kReplayed);
  world.env.advance_ns(31 * kDay * kSecond);
  ASSERT_EQ(verify(proof), Reason::kExpired);
  world.env.jump_ns(-31 * kDay * kSecond);
  EXPECT_EQ(verify(proof), Reason::kExpired);
}

TEST_F(VerifierTest, a_session_stands_for_what_its_proof_gives_without_allocating) {
  SessionToken token;
  const Verdict opened = open("p3", token);
  ASSERT_TRUE(opened.allowed()) << opened.sentence;
  EXPECT_EQ(opened.subject, world["p3"].id());
  EXPECT_EQ(opened.expires_at_s, world.now_s() + 300);
  std::size_t before = allocations_of_this_thread();
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kAllowed);
  EXPECT_EQ(allocations_of_this_thread(), before);
  const Need another{"predict", "models/pong/imitation-of-somebody"}, other{"predict", "models/other"};
  before = allocations_of_this_thread();
  EXPECT_EQ(verifier->check_session(view(token.bytes()), {&another, 1}, "", "").reason, Reason::kAllowed);
  EXPECT_EQ(allocations_of_this_thread(), before);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), {&other, 1}, "", "").reason, Reason::kNotGranted);
  EXPECT_EQ(verifier->check_session("", kNeeds, "", "").reason, Reason::kNoProof);
  EXPECT_EQ(verifier->check_session(std::string(32, 'x'), kNeeds, "", "").reason, Reason::kNoProof);
  EXPECT_EQ(verifier->check_session(view(token.bytes()).substr(0, 31), kNeeds, "", "").reason, Reason::kNoProof);
  verifier->close_session(view(token.bytes()));
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kNoProof);
}

TEST_F(VerifierTest, a_session_ends_after_five_minutes_or_with_its_proof) {
  SessionToken token;
  ASSERT_TRUE(open("p3", token).allowed());
  world.env.advance_ns(300 * kSecond - 1);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kAllowed);
  world.env.advance_ns(1);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kExpired);
  world.env.advance_ns(30 * kDay * kSecond - 400 * kSecond);  // the proof has 100 s left
  const Verdict opened = open("p3", token);
  ASSERT_TRUE(opened.allowed()) << opened.sentence;
  EXPECT_EQ(opened.expires_at_s, world.now_s() + 100);
  world.env.advance_ns(100 * kSecond);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "", "").reason, Reason::kExpired);
}

TEST_F(VerifierTest, a_session_is_bound_to_its_audience_and_ends_by_revocation) {
  SessionToken token;
  ASSERT_TRUE(open("p3", token, "https://pong").allowed());
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "https://pong", "").reason, Reason::kAllowed);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "https://other", "").reason, Reason::kMalformed);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "https://pong", "app").reason, Reason::kMalformed);
  revoke(0);
  world.env.advance_ns(31 * kSecond);
  EXPECT_EQ(verifier->check_session(view(token.bytes()), kNeeds, "https://pong", "").reason, Reason::kRevoked);
}

TEST_F(VerifierTest, a_challenge_is_good_once_for_thirty_seconds_and_one_audience) {
  const auto answer = [&](const Challenge& challenge, const char* origin = "") {
    SessionToken token;
    return verifier
        ->open_session(challenge, proof, *sign_session(world["p3"], {"server", origin, ""}, challenge, proof), kNeeds,
                       origin, "", token)
        .reason;
  };
  const Challenge challenge = verifier->challenge("", "");
  EXPECT_EQ(answer(challenge, "https://other"), Reason::kReplayed);
  EXPECT_EQ(answer(challenge), Reason::kAllowed);
  EXPECT_EQ(answer(challenge), Reason::kReplayed);
  Challenge made_up = verifier->challenge("", "");
  for (std::size_t bit = 0; bit < 256; ++bit) {
    made_up[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_EQ(answer(made_up), Reason::kReplayed) << bit;
    made_up[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  const Challenge old = verifier->challenge("", "");
  world.env.advance_ns(30 * kSecond);
  EXPECT_EQ(answer(old), Reason::kReplayed);
  const Challenge of_another = make()->challenge("", "");
  EXPECT_EQ(answer(of_another), Reason::kReplayed);
}

TEST_F(VerifierTest, opens_no_more_sessions_than_it_may) {
  verifier = make({.max_sessions = 2});
  SessionToken first, second, third;
  ASSERT_TRUE(open("p3", first).allowed());
  ASSERT_TRUE(open("p3", second).allowed());
  EXPECT_EQ(open("p3", third).reason, Reason::kNoProof);
  EXPECT_EQ(verifier->check_session(view(first.bytes()), kNeeds, "", "").reason, Reason::kAllowed);
  world.env.advance_ns(300 * kSecond);
  EXPECT_TRUE(open("p3", third).allowed());
}

TEST_F(VerifierTest, needs_a_name_and_sane_bounds) {
  VerifierOptions options;
  EXPECT_FALSE(Verifier::create(options, world.env));
  options.server_id = "server";
  EXPECT_TRUE(Verifier::create(options, world.env));
  options.max_staleness_s = -1;
  EXPECT_FALSE(Verifier::create(options, world.env));
  options.max_staleness_s = 1;
  options.max_sessions = 0;
  EXPECT_FALSE(Verifier::create(options, world.env));
}

TEST_F(VerifierTest, sentences_hold_no_secrets) {
  SessionToken token;
  ASSERT_TRUE(open("p3", token).allowed());
  const Verdict verdict = verifier->check_session(view(token.bytes()), kNeeds, "https://other", "");
  EXPECT_EQ(verdict.sentence.find(crypto::to_hex(token.bytes())), std::string::npos);
  EXPECT_EQ(verdict.sentence.find(view(token.bytes())), std::string::npos);
}

TEST_F(VerifierTest, many_threads_use_one_nonce_once) {
  const RequestView asked = request("p3");
  std::atomic<int> allowed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 20; ++round) {
          if (verifier->check_request(asked, kNeeds, "", "").allowed()) ++allowed;
          verifier->verify(proof, kNeeds);
          verifier->challenge("", "");
          if (round == 10) std::ignore = verifier->refresh();
        }
      });
    }
  }
  EXPECT_EQ(allowed, 1);
}

}  // namespace
}  // namespace daybreak::grant
