// Steps a second of each environment, stepped in C++ with actions drawn beforehand.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "daybreak/rl/envs/vec_env.h"

namespace daybreak::rl {
namespace {

constexpr int kDrawn = 256;  // different action vectors, used in turn

void step_batch(benchmark::State& state, const char* id, Autoreset autoreset) {
  const std::int64_t num_envs = state.range(0);
  auto made = make_vec_env(id, {.num_envs = num_envs, .autoreset = autoreset});
  if (!made) return state.SkipWithError(made.error().message().c_str());
  VecEnv& env = **made;
  const std::int64_t width = env.observation_space().n;
  std::vector<float> observations(num_envs * width), rewards(num_envs), finals(num_envs * width), floats;
  std::vector<std::uint8_t> terminated(num_envs), truncated(num_envs);
  std::mt19937_64 random(1);
  std::vector<std::int32_t> integers(num_envs * kDrawn);
  for (auto& action : integers) action = static_cast<std::int32_t>(random() % 2);
  for (const std::int32_t action : integers) floats.push_back(static_cast<float>(4 * action - 2));
  const bool discrete = env.action_space().kind == Space::Kind::kDiscrete;
  const StepBuffers out{observations.data(), rewards.data(), terminated.data(), truncated.data(), finals.data()};
  if (!env.reset(1, observations.data())) return state.SkipWithError("reset failed");
  std::int64_t turn = 0;
  for (auto _ : state) {
    const std::int64_t at = num_envs * (turn++ % kDrawn);
    const void* actions = discrete ? static_cast<const void*>(integers.data() + at) : floats.data() + at;
    if (!env.step(actions, out)) return state.SkipWithError("step failed");
    benchmark::DoNotOptimize(observations.data());
  }
  state.SetItemsProcessed(state.iterations() * num_envs);
}

BENCHMARK_CAPTURE(step_batch, cartpole_next_step, "CartPole-v1", Autoreset::kNextStep)->Arg(64)->Arg(1024);
BENCHMARK_CAPTURE(step_batch, cartpole_same_step, "CartPole-v1", Autoreset::kSameStep)->Arg(8)->Arg(64)->Arg(1024);
BENCHMARK_CAPTURE(step_batch, pendulum, "Pendulum-v1", Autoreset::kSameStep)->Arg(64);
BENCHMARK_CAPTURE(step_batch, pong, "daybreak/Pong-v0", Autoreset::kSameStep)->Arg(64)->Arg(1024);

}  // namespace
}  // namespace daybreak::rl
