// The runtime from C++ in one program: tasks, an actor, a tensor, an error, a function of Python.
#include <fmt/core.h>

#include <numeric>
#include <vector>

#include "sampling.h"

static daybreak::Status tour() {
  DAYBREAK_TRY(daybreak::init({.num_cpus = 2, .object_store_memory = 256u << 20}));

  // Tasks. remote() gives a reference at once, get() waits for the value.
  constexpr std::int64_t kSamples = 200'000, kTasks = 8;
  std::vector<daybreak::ObjectRef<std::int64_t>> refs;
  for (std::int64_t i = 0; i < kTasks; ++i) refs.push_back(daybreak::task(hits).remote(kSamples, i));
  DAYBREAK_ASSIGN(const std::vector<std::int64_t> counts, daybreak::get(refs));
  const auto inside = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  fmt::print("pi is about {:.2f}\n", 4.0 * static_cast<double>(inside) / (kSamples * kTasks));

  // An actor. Its calls run in their order.
  const auto counter = daybreak::actor<Counter>(10).remote();
  for (int i = 0; i < 5; ++i) counter.task(&Counter::add).remote(i);
  DAYBREAK_ASSIGN(const auto totals, daybreak::get(counter.task(&Counter::counts).remote()));
  fmt::print("the counter says {}\n", totals.at("total"));

  // A tensor, copied into shared memory once: tasks read it where it lies.
  const auto data = daybreak::put(daybreak::Tensor<double>(std::vector<double>(1'000'000, 0.5)));
  DAYBREAK_ASSIGN(const double average, daybreak::get(daybreak::task(mean).remote(data)));
  fmt::print("the mean is {}\n", average);

  // A struct, and references to values that are not there yet as arguments.
  const auto part = daybreak::task([](std::int64_t n) { return Summary{n, 1.5, {"a"}}; });
  const auto both = daybreak::task([](const Summary& a, const Summary& b) { return merge({a, b}); });
  DAYBREAK_ASSIGN(const Summary merged, daybreak::get(both.remote(part.remote(2), part.remote(3))));
  fmt::print("{} in all, {} labels\n", merged.count, merged.labels.size());

  // An exception of a task is an error where its result is asked for.
  const auto failed = daybreak::get(daybreak::task(root).remote(-1.0));
  fmt::print("{}\n", failed ? "?" : failed.error().message());

  // A function of Python, in a worker that is an interpreter.
  DAYBREAK_ASSIGN(const double gcd,
                  daybreak::get(daybreak::py_function<double>("math", "fsum").remote(std::vector{0.5, 0.25})));
  fmt::print("Python says {}\n", gcd);

  daybreak::shutdown();
  return {};
}

int main() {
  if (auto done = tour(); !done) {
    fmt::print(stderr, "{}\n", done.error().to_string());
    return 1;
  }
}
