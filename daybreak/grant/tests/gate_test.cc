// Drives a verifier through the C struct alone, as another room does.
#include "daybreak/grant/gate.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "daybreak/grant/tests/allocations.h"
#include "daybreak/grant/tests/world.h"

namespace daybreak::grant {
namespace {

daybreak_bytes borrowed(std::string_view text) {
  return {text.data(), text.size()};
}

class GateTest : public testing::Test {
 protected:
  GateTest() {
    proof = world.prove(world.chain(5))->bytes();
    VerifierOptions options;
    options.namespace_id = world["lab"].id();
    options.server_id = "server";
    options.revocations = store = *DirectoryStore::create("revoked", world.env);
    options.max_staleness_s = 20;
    gate = make_gate(*Verifier::create(std::move(options), world.env));
  }
  ~GateTest() override { gate->release(gate->context); }

  daybreak_gate_request_v1 request() {
    const auto body = crypto::sha256("body");
    signed_request =
        *sign_request(world["p5"], {"server", "https://pong", "pong"}, "POST", "/pong/predict", body, proof, world.env);
    body_hash = body;
    daybreak_gate_request_v1 asked{};
    asked.permission = borrowed("predict");
    asked.resource = borrowed("models/pong/rl");
    asked.origin = borrowed("https://pong");
    asked.app = borrowed("pong");
    asked.method = borrowed("POST");
    asked.path_and_query = borrowed("/pong/predict");
    asked.body_sha256 = {body_hash.data(), body_hash.size()};
    asked.proof = borrowed(proof);
    asked.issued_at_ns = signed_request.issued_at_ns;
    asked.nonce = {signed_request.nonce.data(), signed_request.nonce.size()};
    asked.signature = {signed_request.signature.data(), signed_request.signature.size()};
    return asked;
  }
  int check(const daybreak_gate_request_v1& asked) {
    daybreak_gate_decision_v1 decision{};
    gate->check(gate->context, &asked, &decision);
    last = decision;
    return decision.code;
  }
  std::string why(std::size_t size = 200) {
    std::string out(size, '?');
    gate->explain(gate->context, out.data(), out.size());
    return out.substr(0, std::strlen(out.c_str()));
  }

  World world;
  std::string proof;
  std::shared_ptr<DirectoryStore> store;
  daybreak_gate_v1* gate;
  daybreak_gate_decision_v1 last{};
  SignedRequest signed_request{};
  Hash body_hash{};
};

TEST_F(GateTest, checks_signed_requests) {
  EXPECT_EQ(gate->size_bytes, sizeof(daybreak_gate_v1));
  EXPECT_EQ(gate->staleness_bound_ns, 20'000'000'000);
  const auto asked = request();
  EXPECT_EQ(check(asked), DAYBREAK_GATE_ALLOWED) << why();
  EXPECT_EQ(std::memcmp(last.subject, world["p5"].id().data(), 32), 0);
  EXPECT_EQ(last.expires_at_ns, (world.now_s() + 30 * kDay) * 1'000'000'000);
  EXPECT_EQ(check(asked), DAYBREAK_GATE_REPLAYED);
  EXPECT_EQ(last.expires_at_ns, 0);
  EXPECT_EQ(why(), "the request was used before");
  EXPECT_EQ(why(5), "the ");
  auto other = request();
  other.resource = borrowed("models/other");
  EXPECT_EQ(check(other), DAYBREAK_GATE_NOT_GRANTED);
  EXPECT_EQ(check({}), DAYBREAK_GATE_NO_PROOF);
  for (auto part : {&daybreak_gate_request_v1::nonce, &daybreak_gate_request_v1::signature,
                    &daybreak_gate_request_v1::body_sha256}) {
    auto shorter = request();
    (shorter.*part).size_bytes -= 1;
    EXPECT_EQ(check(shorter), DAYBREAK_GATE_MALFORMED);
    (shorter.*part) = {};
    EXPECT_EQ(check(shorter), DAYBREAK_GATE_MALFORMED);
  }
}

TEST_F(GateTest, opens_sessions_and_checks_them_without_allocating) {
  std::uint8_t challenge[32], token[32];
  ASSERT_EQ(gate->challenge(gate->context, borrowed("https://pong"), borrowed("pong"), challenge), 0);
  Challenge copy;
  std::ranges::copy(challenge, copy.begin());
  const auto signature = *sign_session(world["p5"], {"server", "https://pong", "pong"}, copy, proof);
  auto asked = request();
  asked.nonce = {challenge, sizeof challenge};
  asked.signature = {signature.data(), signature.size()};
  daybreak_gate_decision_v1 decision{};
  gate->open_session(gate->context, &asked, token, &decision);
  ASSERT_EQ(decision.code, DAYBREAK_GATE_ALLOWED) << why();
  EXPECT_EQ(decision.expires_at_ns, (world.now_s() + 300) * 1'000'000'000);
  gate->open_session(gate->context, &asked, token, &decision);
  EXPECT_EQ(decision.code, DAYBREAK_GATE_REPLAYED);

  daybreak_gate_request_v1 session{};
  session.permission = asked.permission;
  session.resource = asked.resource;
  session.origin = asked.origin;
  session.app = asked.app;
  session.session = {token, sizeof token};
  EXPECT_EQ(check(session), DAYBREAK_GATE_ALLOWED) << why();
  const std::size_t before = allocations_of_this_thread();
  EXPECT_EQ(check(session), DAYBREAK_GATE_ALLOWED);
  EXPECT_EQ(allocations_of_this_thread(), before);
  ASSERT_TRUE(store->publish(world["p2"].revocation_secret()));
  world.env.advance_ns(11'000'000'000);
  EXPECT_EQ(check(session), DAYBREAK_GATE_REVOKED);
  gate->close_session(gate->context, session.session);
  EXPECT_EQ(check(session), DAYBREAK_GATE_NO_PROOF);
}

TEST_F(GateTest, a_signed_request_with_a_proof_seen_before_allocates_nothing) {
  ASSERT_EQ(check(request()), DAYBREAK_GATE_ALLOWED);
  const auto asked = request();
  const std::size_t before = allocations_of_this_thread();
  EXPECT_EQ(check(asked), DAYBREAK_GATE_ALLOWED);
  EXPECT_EQ(allocations_of_this_thread(), before);
}

TEST_F(GateTest, lives_until_its_last_reference_and_is_for_all_threads) {
  const auto asked = request();
  std::vector<std::jthread> threads;  // they end before what they ask does
  for (int i = 0; i < 4; ++i) {
    gate->retain(gate->context);
    threads.emplace_back([this, &asked] {
      for (int round = 0; round < 20; ++round) {
        daybreak_gate_decision_v1 decision{};
        gate->check(gate->context, &asked, &decision);
        char text[64];
        gate->explain(gate->context, text, sizeof text);
      }
      gate->release(gate->context);
    });
  }
}

}  // namespace
}  // namespace daybreak::grant
