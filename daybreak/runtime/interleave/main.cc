// daybreak_runtime_interleave: explores the programs for a while; a failure is replayed with a trace.
//   --seconds=N             how long, in CPU time (default 10)
//   --program=NAME          only this one (a prefix)
//   --replay=NAME:STRATEGY:MEMORY:DEPTH:SEED    one run, traced
//   --mutate=KIND:FILE:LINE:COLUMN        with one operation made wrong; exit 3 when that is noticed
//   --places                afterwards lists every atomic operation that was reached, for --mutate
//   --memory=MODEL          only this one: sequential, store-buffer, c11
//   --seed=N                where to begin
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sstream>

#include "daybreak/base/interleave/litmus.h"
#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

std::vector<std::unique_ptr<base::interleave::Program>> all_programs() {
  Programs programs;
  add_example_program(programs);
  add_queue_programs(programs);
  add_object_programs(programs);
  add_heap_programs(programs);
  add_passing_program(programs);
  add_sharing_program(programs);
  add_task_programs(programs);
  add_spill_programs(programs);
  add_lineage_programs(programs);
  add_batch_programs(programs);
  return programs;
}

namespace {

using base::interleave::Memory;
using base::interleave::Mutation;
using base::interleave::Options;
using base::interleave::Outcome;
using base::interleave::Program;
using base::interleave::Strategy;

constexpr const char* kStrategies[] = {"random", "pct", "exhaustive"};
constexpr const char* kMemories[] = {"sequential", "store-buffer", "c11"};
constexpr std::size_t kTail = 120;  // lines of a trace that are shown

struct Arguments {
  double seconds = 10;
  std::string program, replay, mutate;
  bool places = false;
  std::string memory;
  std::uint64_t seed = static_cast<std::uint64_t>(time(nullptr)) * 1'000'003;
};

// Seconds of this process's CPU: a busy machine takes longer and explores as much.
double now_s() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, by);) parts.push_back(part);
  return parts;
}

template <std::size_t N>
std::size_t index_of(const char* const (&names)[N], const std::string& name) {
  for (std::size_t i = 0; i < N; ++i)
    if (name == names[i]) return i;
  std::fprintf(stderr, "unknown: %s\n", name.c_str());
  std::exit(2);
}

std::string replay_of(const Program& program, const Options& options) {
  return fmt::format("{}:{}:{}:{}:{}", program.name(), kStrategies[static_cast<std::size_t>(options.strategy)],
                     kMemories[static_cast<std::size_t>(options.memory)], options.depth, options.seed);
}

int replay(const std::string& text, Programs& programs) {
  std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 5) {
    std::fprintf(stderr, "--replay=NAME:STRATEGY:MEMORY:DEPTH:SEED\n");
    return 2;
  }
  for (auto& program : programs) {
    if (program->name() != parts[0]) continue;
    Options options;
    options.strategy = static_cast<Strategy>(index_of(kStrategies, parts[1]));
    options.memory = static_cast<Memory>(index_of(kMemories, parts[2]));
    options.depth = static_cast<unsigned>(std::atoi(parts[3].c_str()));
    options.seed = std::strtoull(parts[4].c_str(), nullptr, 10);
    options.trace = true;
    Outcome outcome;
    if (options.strategy == Strategy::kExhaustive) {  // the seed counts the schedules
      options.trace = false;
      for (std::uint64_t i = 0; i < options.seed; ++i) Engine::get().run(*program, options);
      options.trace = true;
    }
    outcome = Engine::get().run(*program, options);
    std::printf("%s after %llu steps: %s\n", text.c_str(), static_cast<unsigned long long>(outcome.steps),
                outcome.failure.empty() ? "nothing wrong" : outcome.failure.c_str());
    return outcome.failure.empty() ? 0 : 1;
  }
  std::fprintf(stderr, "no program %s\n", parts[0].c_str());
  return 2;
}

struct Tally {
  std::uint64_t runs = 0, steps = 0;
  bool exhausted = false;
};

// Prints what failed and how to see it again; the trace comes from a process of its own, so that it is that of a run
// which begins with nothing behind it.
int report(const Program& program, const Options& options, const Outcome& outcome, const Arguments& arguments) {
  std::string again = replay_of(program, options);
  std::printf("FAILED %s: %s\n", again.c_str(), outcome.failure.c_str());
  if (!arguments.mutate.empty()) return 3;
  std::printf("replay: --replay=%s\n", again.c_str());
  std::fflush(stdout);
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) > 0) {
    std::string command = fmt::format("'{}' --replay={} 2>&1 | tail -n {}", self, again, kTail);
    if (std::system(command.c_str()) < 0) std::printf("(the replay could not be started)\n");
  }
  return 1;
}

int explore(const Arguments& arguments, Programs& programs) {
  Engine& engine = Engine::get();
  std::vector<Program*> chosen;
  for (auto& program : programs)
    if (program->name().starts_with(arguments.program)) chosen.push_back(program.get());
  std::vector<Tally> tallies(chosen.size());
  const double end = now_s() + arguments.seconds;
  std::uint64_t seed = arguments.seed;

  // The smallest programs whole: every schedule with few preemptions, as far as a fifth of the time goes.
  const double exhaustive_end = now_s() + (arguments.memory.empty() ? arguments.seconds / 5 : 0);  // sequential memory
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (!chosen[i]->is_small()) continue;
    engine.restart_exhaustive();
    Options options{.seed = 0, .strategy = Strategy::kExhaustive, .depth = 2};
    for (; !tallies[i].exhausted && now_s() < exhaustive_end; ++options.seed) {
      Outcome outcome = engine.run(*chosen[i], options);
      if (!outcome.failure.empty()) return report(*chosen[i], options, outcome, arguments);
      tallies[i].runs += 1;
      tallies[i].steps += outcome.steps;
      tallies[i].exhausted = outcome.exhausted;
    }
  }
  while (now_s() < end) {
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const double turn_end = std::min(end, now_s() + 0.05);
      while (now_s() < turn_end) {
        ++seed;
        Options options;
        options.seed = seed;
        options.strategy = seed % 2 == 0 ? Strategy::kRandom : Strategy::kPct;
        options.memory = arguments.memory.empty() ? static_cast<Memory>(seed / 2 % 3)
                                                  : static_cast<Memory>(index_of(kMemories, arguments.memory));
        options.depth = 3 + static_cast<unsigned>(seed / 6 % 3);
        Outcome outcome = engine.run(*chosen[i], options);
        if (!outcome.failure.empty()) return report(*chosen[i], options, outcome, arguments);
        tallies[i].runs += 1;
        tallies[i].steps += outcome.steps;
      }
    }
  }
  for (std::size_t i = 0; i < chosen.size(); ++i)
    std::printf("%-20s %9llu runs, %11llu steps%s\n", std::string(chosen[i]->name()).c_str(),
                static_cast<unsigned long long>(tallies[i].runs), static_cast<unsigned long long>(tallies[i].steps),
                tallies[i].exhausted ? ", all schedules with 2 preemptions" : "");
  return 0;
}

int main(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    std::string text = argv[i];
    std::string value = text.substr(std::min(text.size(), text.find('=') + 1));
    if (text.starts_with("--seconds="))
      arguments.seconds = std::atof(value.c_str());
    else if (text.starts_with("--program="))
      arguments.program = value;
    else if (text.starts_with("--memory="))
      arguments.memory = value;
    else if (text.starts_with("--replay="))
      arguments.replay = value;
    else if (text.starts_with("--mutate="))
      arguments.mutate = value;
    else if (text.starts_with("--seed="))
      arguments.seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (text == "--places")
      arguments.places = true;
    else {
      std::fprintf(stderr, "unknown: %s\n", text.c_str());
      return 2;
    }
  }
  Programs programs = all_programs();
  if (!arguments.mutate.empty()) {
    std::vector<std::string> parts = split(arguments.mutate, ':');
    static constexpr const char* kKinds[] = {"none", "weaken", "drop", "tear"};
    if (parts.size() != 4) return 2;
    Engine::get().set_mutation({static_cast<Mutation::Kind>(index_of(kKinds, parts[0])), parts[1],
                                static_cast<unsigned>(std::atoi(parts[2].c_str())),
                                static_cast<unsigned>(std::atoi(parts[3].c_str()))});
  }
  if (!arguments.replay.empty()) return replay(arguments.replay, programs);
  if (std::string wrong = arguments.mutate.empty() ? base::interleave::self_test() : std::string(); !wrong.empty()) {
    std::printf("FAILED self test: %s\n", wrong.c_str());
    return 1;
  }
  int result = explore(arguments, programs);
  if (arguments.places)
    for (const Engine::Place& place : Engine::get().places())
      std::printf("place %s:%u:%u %s %s %llu\n", place.file.c_str(), place.line, place.column, place.kinds.c_str(),
                  place.function.c_str(), static_cast<unsigned long long>(place.times));
  return result;
}

}  // namespace
}  // namespace daybreak::runtime

int main(int argc, char** argv) {
  return daybreak::runtime::main(argc, argv);
}
