// What a call costs a C++ program: one after the other, and many in flight. The table of docs/cpp.md.
#include <benchmark/benchmark.h>

#include <vector>

#include "daybreak/runtime/cpp/remote.h"

namespace daybreak::runtime::cpp {
namespace {

constexpr std::int64_t kInFlight = 1'000;

std::int64_t next(std::int64_t x) {
  return x + 1;
}

class BenchCounter {
 public:
  std::int64_t add(std::int64_t amount) { return total_ += amount; }

 private:
  std::int64_t total_ = 0;
};

void start(benchmark::State& state) {
  if (auto started = init({.num_cpus = 2, .object_store_memory = 256u << 20}); !started && !is_initialized())
    state.SkipWithError(started.error().to_string().c_str());
}

template <typename Submit>
void one_by_one(benchmark::State& state, Submit&& submit) {
  for (auto _ : state) benchmark::DoNotOptimize(get(submit(std::int64_t{1})).value());
  state.SetItemsProcessed(state.iterations());
}

template <typename Submit>
void in_flight(benchmark::State& state, Submit&& submit) {
  std::vector<ObjectRef<std::int64_t>> refs;
  for (auto _ : state) {
    refs.clear();
    for (std::int64_t i = 0; i < kInFlight; ++i) refs.push_back(submit(i));
    benchmark::DoNotOptimize(get(refs).value());
  }
  state.SetItemsProcessed(state.iterations() * kInFlight);
}

void tasks_sync(benchmark::State& state) {
  start(state);
  const auto f = task(next);
  one_by_one(state, [&](std::int64_t x) { return f.remote(x); });
}
BENCHMARK(tasks_sync)->UseRealTime();

void tasks_pipelined(benchmark::State& state) {
  start(state);
  const auto f = task(next);
  in_flight(state, [&](std::int64_t x) { return f.remote(x); });
}
BENCHMARK(tasks_pipelined)->UseRealTime();

void actor_sync(benchmark::State& state) {
  start(state);
  const auto counter = actor<BenchCounter>().remote();
  one_by_one(state, [&](std::int64_t x) { return counter.task(&BenchCounter::add).remote(x); });
}
BENCHMARK(actor_sync)->UseRealTime();

void actor_pipelined(benchmark::State& state) {
  start(state);
  const auto counter = actor<BenchCounter>().remote();
  in_flight(state, [&](std::int64_t x) { return counter.task(&BenchCounter::add).remote(x); });
}
BENCHMARK(actor_pipelined)->UseRealTime();

void put_and_get_small(benchmark::State& state) {
  start(state);
  for (auto _ : state) benchmark::DoNotOptimize(get(put(std::int64_t{1})).value());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(put_and_get_small);

}  // namespace
}  // namespace daybreak::runtime::cpp
