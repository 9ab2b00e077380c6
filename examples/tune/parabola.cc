// A study from C++ alone: no Python, no runtime. Run it twice with a file's name: the second run goes on where the first ended, and a
// trial of one that was killed is run once more.
#include <daybreak/tune/study.h>
#include <fmt/core.h>

#include <cstdlib>

namespace base = daybreak::base;
namespace tune = daybreak::tune;

static base::Status search(const char* path, int trials) {
  DAYBREAK_ASSIGN(const auto storage, tune::Storage::open(path));
  DAYBREAK_ASSIGN(const auto study,
                  tune::Study::create(storage, {.name = "parabola", .load_if_exists = true, .seed = 1}));
  DAYBREAK_ASSIGN(const auto reals, tune::Distribution::real(-10, 10));
  DAYBREAK_ASSIGN(const auto depths, tune::Distribution::whole(1, 8));
  for (int i = 0; i < trials; ++i) {
    DAYBREAK_ASSIGN(const tune::Asked trial, study->ask());
    DAYBREAK_ASSIGN(const double x, study->suggest(trial, "x", reals));
    DAYBREAK_ASSIGN(const double depth, study->suggest(trial, "depth", depths));
    DAYBREAK_TRY(study->tell(trial, (x - 2) * (x - 2) + depth));
  }
  DAYBREAK_ASSIGN(const std::uint32_t best, study->best());
  return study->read([&](const tune::StudyState& state) {
    fmt::print("{} trials; the best is {}: {:.3f}\n", state.trials.size(), best, state.trials.values(best)[0]);
    for (const tune::Given& given : state.trials.given(best)) {
      fmt::print("  {} = {:.3f}\n", state.trials.name(given.column), given.value);
    }
  });
}

int main(int count, char** words) {
  if (count != 3) {
    fmt::print(stderr, "parabola FILE TRIALS\n");
    return 2;
  }
  if (const auto done = search(words[1], std::atoi(words[2])); !done) {
    fmt::print(stderr, "{}\n", done.error().to_string());
    return 1;
  }
}
