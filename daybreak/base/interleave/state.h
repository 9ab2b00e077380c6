// What the engine's files share: fibers, the choice of who goes next, and the two models of memory.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <deque>
#include <memory>
#include <set>
#include <unordered_map>

#include "daybreak/base/interleave/engine.h"

namespace daybreak::base::interleave {

// What a fiber knows of: for each location the oldest write of its history that it may still read, and for each fiber
// up to where it has seen what that one did (a vector clock, by which races on plain data are found).
struct View {
  std::vector<std::uint32_t> writes;
  std::vector<std::uint32_t> clock;
};
void join(View& into, const View& from);
std::uint32_t& slot(std::vector<std::uint32_t>& list, std::uint32_t id);

struct Fiber {
  enum class Status : std::uint8_t { kRunnable, kBlocked, kDone, kDead };
  std::uint32_t id = 0;
  std::uint32_t process = 0;
  std::string name;
  std::function<void()> body;
  Status status = Status::kRunnable;
  bool paused = false;  // until another fiber has made a step
  std::int64_t priority = 0;
  const void* waits_for = nullptr;  // futex
  std::int64_t until_ns = -1;
  bool timed_out = false;
  boost::context::detail::fcontext_t context = nullptr;
  char* stack = nullptr;
  std::vector<std::byte> locals;  // the registered thread_locals, while it does not run
  // kStoreBuffer
  struct Store {
    void* at;
    unsigned size;
    std::uint64_t value;
  };
  std::deque<Store> buffer;
  // kC11
  View view;
};

struct PlaceKey {
  const char* file;
  unsigned line, column;
  bool operator==(const PlaceKey&) const = default;
};
struct PlaceHash {
  std::size_t operator()(const PlaceKey& k) const {
    return (reinterpret_cast<std::size_t>(k.file) ^ (std::size_t{k.line} << 20) ^ k.column) * 0x9e3779b97f4a7c15ull >>
           7;
  }
};
struct PlaceState {
  std::string function;
  std::set<char>
      kinds;  // w: weaken; c: the same, but it matters to C11 only, x86 has one instruction for it; d: drop; t: tear
  std::uint64_t times = 0;
  Mutation::Kind mutation = Mutation::kNone;
};

struct Write {
  std::uint64_t value;
  std::shared_ptr<const View> view;  // what a reader that acquires learns; null: nothing
};
struct Location {
  std::uint32_t id;
  std::uint32_t first = 0;  // number of history[0]
  std::deque<Write> history;
  std::uint32_t last() const { return first + static_cast<std::uint32_t>(history.size()) - 1; }
};

struct Engine::State {
  Options options;
  Program* program = nullptr;
  std::uint64_t random_state = 0;
  std::uint64_t steps = 0;
  std::uint32_t run = 0;  // counts them
  std::int64_t now_ns = 0;
  std::string failure;
  std::vector<std::unique_ptr<Fiber>> fibers;
  Fiber* current = nullptr;
  Fiber* next = nullptr;  // whom point() chose
  boost::context::detail::fcontext_t main = nullptr;
  std::vector<char*> spare_stacks;
  std::deque<std::string> trace;
  unsigned last_line = 0;  // of the trace, and whose
  Fiber* last_fiber = nullptr;

  // choice
  std::uint32_t one_in = 4;                  // kRandom: a switch at one step in so many
  std::vector<std::uint64_t> change_points;  // kPct
  std::int64_t lowest_priority = 0;
  std::vector<std::uint32_t> prefix, choices;  // kExhaustive: the schedule to follow; options at each decision
  std::size_t decision = 0;
  unsigned preemptions = 0;
  std::vector<std::uint64_t> kill_steps;
  std::uint32_t kill_first = 0, kill_last = 0, reaper = 0;
  std::function<void(std::uint32_t)> on_death;

  // memory
  std::unordered_map<const void*, Location> locations;
  std::vector<std::uint32_t> sc_view;      // for each location its newest seq_cst write
  std::shared_ptr<const View> released();  // what the current fiber knows now, for a write that releases

  std::unordered_map<PlaceKey, PlaceState, PlaceHash> places;
  Mutation mutation;

  std::uint64_t random() {  // splitmix64 (Steele et al. 2014)
    std::uint64_t z = (random_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) { return random() % n; }

  // engine.cc
  void point(PlaceState* place);  // who goes next
  void pause();
  void linger();  // between the halves of what is torn: others make some steps
  void leave();   // the current fiber does not go on for now; returns when it does
  void kill_one();
  Fiber* choose(bool must_leave);
  Fiber* choose_exhaustive(const std::vector<Fiber*>& others, bool may_stay);
  bool wake_earliest();
  void abandon(std::uint32_t process);
  void note(const char* what, const void* at, std::uint64_t value, const Site& site, const char* more = "");
  PlaceState& place(const Site& site, const char* kinds);

  // memory.cc
  void drain(Fiber& fiber);
  void drain_one();
  void see_own_stores(const void* at, std::size_t size);
  Location& location(const void* at, unsigned size);
  std::uint64_t read(const void* at, unsigned size, std::memory_order order);
  void write(void* at, unsigned size, std::uint64_t value, std::memory_order order);
  std::uint64_t read_latest(const void* at, unsigned size, std::memory_order order);
  void write_latest(void* at, unsigned size, std::uint64_t value, std::memory_order order);

  // race.cc
  void access(const void* at, std::size_t size, bool writes, bool atomic, const void* pc);
  void watch_nothing();
  std::string describe_race();
  struct Race {
    const void *at, *first, *second;
  };
  std::vector<Race> race;  // at most one
};

std::uint64_t raw_read(const void* at, unsigned size);
void raw_write(void* at, unsigned size, std::uint64_t value);

// The engine's state for the free functions of atomic.h.
struct Access {
  static Engine::State& state() { return *Engine::get().state_; }
};

}  // namespace daybreak::base::interleave
