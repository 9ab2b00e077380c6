// What the verifier costs without Python: five hops anew, remembered, and by session.
#include <benchmark/benchmark.h>

#include "daybreak/grant/tests/world.h"
#include "daybreak/grant/verifier.h"

namespace daybreak::grant {
namespace {

constexpr Need kAsked{"predict", "models/pong/rl"};

struct Five {
  Five() {
    proof = world.prove(world.chain(5))->bytes();
    VerifierOptions options;
    options.namespace_id = world["lab"].id();
    options.server_id = "server";
    verifier = *Verifier::create(options, world.env);
  }
  World world;
  std::string proof;
  std::shared_ptr<Verifier> verifier;
};

void verify_5_hops_cold(benchmark::State& state) {
  Five five;
  std::uint64_t app = 0;
  for (auto _ : state) {
    if (!five.verifier->verify(five.proof, {&kAsked, 1}, nullptr, "", std::to_string(++app)).allowed())
      state.SkipWithError("denied");
  }
}
BENCHMARK(verify_5_hops_cold);

void decode_5_hops(benchmark::State& state) {
  Five five;
  for (auto _ : state) benchmark::DoNotOptimize(Proof::decode(five.proof));
}
BENCHMARK(decode_5_hops);

void verify_5_hops_remembered(benchmark::State& state) {
  Five five;
  five.verifier->verify(five.proof, {&kAsked, 1});
  for (auto _ : state) benchmark::DoNotOptimize(five.verifier->verify(five.proof, {&kAsked, 1}));
}
BENCHMARK(verify_5_hops_remembered);

void check_session_of_5_hops(benchmark::State& state) {
  Five five;
  const Challenge challenge = five.verifier->challenge("", "");
  SessionToken token;
  five.verifier->open_session(challenge, five.proof,
                              *sign_session(five.world["p5"], {"server", "", ""}, challenge, five.proof), {&kAsked, 1},
                              "", "", token);
  for (auto _ : state)
    benchmark::DoNotOptimize(five.verifier->check_session(view(token.bytes()), {&kAsked, 1}, "", ""));
}
BENCHMARK(check_session_of_5_hops);

}  // namespace
}  // namespace daybreak::grant
