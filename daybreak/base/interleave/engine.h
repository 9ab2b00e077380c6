// The interleaver: runs a concurrent program on fibers of one thread, one step at a time, and decides everything that a
// machine with many cores decides by chance: who goes next at every atomic operation, how late a store becomes visible,
// which old value a load still sees, who dies and when. All of it follows from one seed, so a failure replays exactly.
//
// A program (Program) sets up its shared memory, starts fibers (Engine::fiber) and says afterwards what must hold. Code
// under test is compiled with DAYBREAK_INTERLEAVE, which turns base::Atomic and its kin into steps of the engine.
// Fibers belong to processes: kill() abandons all fibers of one where they stand, without unwinding, as kill -9 does.
//
// One thread; not reentrant; one run at a time in a process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/interleave/atomic.h"

namespace daybreak::base::interleave {

enum class Strategy : std::uint8_t {
  kRandom,      // at each step another fiber with a probability that the seed draws
  kPct,         // Burckhardt et al. 2010: random priorities, changed at depth - 1 random steps
  kExhaustive,  // every schedule with at most `depth` preemptions, one after the other
};

enum class Memory : std::uint8_t {
  kSequential,   // every operation takes effect at once
  kStoreBuffer,  // x86: a store weaker than seq_cst may become visible later, in order, at the latest before the
                 // fiber's next read-modify-write, seq_cst store or system call
  kC11,  // release and acquire: loads that nothing orders may see old values (views on a history of each location)
};

struct Options {
  std::uint64_t seed = 1;
  Strategy strategy = Strategy::kRandom;
  Memory memory = Memory::kSequential;
  unsigned depth = 3;
  std::uint64_t max_steps = 400'000;  // more is "no progress"
  bool trace = false;                 // print each step
};

// An operation at one place of the source that is to be made wrong, to see whether the checks notice.
struct Mutation {
  enum Kind : std::uint8_t {
    kNone,
    kWeaken,  // every order at the place becomes relaxed
    kDrop,    // a store, a read-modify-write, a futex wake does not happen; a pause neither
    kTear,    // a read-modify-write becomes a load and a store
  };
  Kind kind = kNone;
  std::string file;  // its end, as "queue.cc"
  unsigned line = 0, column = 0;
};

class Engine;

// What is run again and again.
class Program {
 public:
  virtual ~Program() = default;
  virtual std::string_view name() const = 0;
  // Makes the world anew and starts its fibers.
  virtual void set_up(Engine& engine) = 0;
  // Nobody can go on. "" when that is right (all is done); else what is wrong. The engine ends the run.
  virtual std::string at_rest(Engine& engine) = 0;
  // Everybody sleeps, some until a time. "" when only time can help; else what somebody should have been woken for.
  virtual std::string asleep(Engine& engine) { return {}; }
  // For traces: what lies at an address, and what a value there means.
  virtual std::string describe(const void* at) { return {}; }
  // For exhaustive exploration: small enough.
  virtual bool is_small() const { return false; }
};

struct Outcome {
  std::string failure;  // empty: none
  std::uint64_t steps = 0;
  bool exhausted = false;  // kExhaustive: there are no more schedules
};

class Engine {
 public:
  static Engine& get();

  // Runs the program once. The same options give the same run. kExhaustive: the next schedule; `restart` begins anew.
  Outcome run(Program& program, const Options& options);
  void restart_exhaustive();

  // -- for programs --
  // A new fiber of a process (any number); runs when the engine picks it. From a fiber too.
  void fiber(std::uint32_t process, std::string name, std::function<void()> body);
  // Abandons all fibers of a process but the calling one where they are. Their buffered stores become visible.
  void kill(std::uint32_t process);
  bool has_fibers(std::uint32_t process) const;
  // At most so many processes of [first, last] die in this run, at steps that the seed chooses; then
  // `on_death(process)` runs in a fiber of its own (process `reaper`).
  void may_kill(std::uint32_t first, std::uint32_t last, unsigned count, std::uint32_t reaper,
                std::function<void(std::uint32_t)> on_death);
  // Everything that the process did happens before what the calling fiber does next (its exit was reaped).
  void joined(std::uint32_t process);
  // To be called in each run's set_up. Plain (not atomic) accesses to this memory are checked for data races, in runs
  // with Memory::kC11: two of which one writes, by fibers that nothing orders. Those of code that is compiled with
  // -fsanitize=thread are seen by themselves (race.cc has the functions that the compiler calls), others when
  // plain_access tells of them.
  void watch(const void* begin, std::size_t size);
  void plain_access(const void* at, std::size_t size, bool writes);
  // Ends the run as failed.
  [[noreturn]] void fail(std::string what);
  // A step of a program's own, or of code under test that has no atomic operation.
  void step(const char* what, const Site& site = Site::current());
  std::uint64_t random();  // of the run's seed
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); }
  bool running() const;  // inside a fiber
  std::uint32_t current_process() const;
  std::uint64_t steps() const;

  // -- around runs --
  void set_mutation(Mutation mutation);
  // Every place with an atomic operation that has been reached, how often, and the kinds of mutation that make sense
  // there: w weaken, c weaken where the machine (x86) has one instruction for all orders, d drop, t tear.
  struct Place {
    std::string file, function, kinds;
    unsigned line, column;
    std::uint64_t times;
  };
  std::vector<Place> places() const;

  struct State;  // interleave/state.h

 private:
  Engine();
  std::unique_ptr<State> state_;
  friend struct Access;
};

}  // namespace daybreak::base::interleave
