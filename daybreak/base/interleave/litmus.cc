#include "daybreak/base/interleave/litmus.h"

#include <array>
#include <set>

#include "daybreak/base/interleave/engine.h"

namespace daybreak::base::interleave {

namespace {

using Order = std::memory_order;
constexpr int kRuns = 3000;

// Up to three fibers over three words; what they have read is the outcome.
class Litmus : public Program {
 public:
  using Body = void (*)(Litmus&);
  std::string_view name() const override { return "litmus"; }
  bool is_small() const override { return true; }
  void set_up(Engine& engine) override {
    for (auto& word : words) word.store(0);
    data = 0;
    engine.watch(&data, sizeof data);
    seen = {};
    for (std::uint32_t i = 0; i < bodies.size(); ++i) engine.fiber(i + 1, "fiber", [this, i] { bodies[i](*this); });
  }
  std::string at_rest(Engine&) override {
    outcomes.insert(seen);
    return {};
  }

  std::set<std::array<std::uint32_t, 3>> explore(std::vector<Body> fibers, Memory memory, Strategy strategy) {
    bodies = std::move(fibers);
    outcomes.clear();
    raced = false;
    Engine::get().restart_exhaustive();
    for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
      Outcome outcome = Engine::get().run(*this, {.seed = seed, .strategy = strategy, .memory = memory, .depth = 4});
      raced = !outcome.failure.empty();
      if (outcome.exhausted || raced) break;
    }
    return outcomes;
  }

  Atomic<std::uint32_t> words[3];
  std::uint32_t data = 0;  // plain
  bool raced = false;
  std::array<std::uint32_t, 3> seen{};
  std::vector<Body> bodies;
  std::set<std::array<std::uint32_t, 3>> outcomes;
};

// Store buffering: each writes one word, then reads the other's.
template <Order kStore>
void write_0_read_1(Litmus& l) {
  l.words[0].store(1, kStore);
  l.seen[0] = l.words[1].load();
}
template <Order kStore>
void write_1_read_0(Litmus& l) {
  l.words[1].store(1, kStore);
  l.seen[1] = l.words[0].load();
}

// Message passing: data, then a flag.
template <Order kFlag>
void send(Litmus& l) {
  l.words[0].store(1, Order::relaxed);
  l.words[1].store(1, kFlag);
}
template <Order kFlag>
void receive(Litmus& l) {
  l.seen[0] = l.words[1].load(kFlag);
  l.seen[1] = l.words[0].load(Order::relaxed);
}

// A read-modify-write keeps the release of the store that it continues.
void pass_on(Litmus& l) {
  l.words[1].fetch_add(1, Order::relaxed);
}
void receive_2(Litmus& l) {
  l.seen[0] = l.words[1].load(Order::acquire);
  l.seen[1] = l.words[0].load(Order::relaxed);
}

// Plain data that a flag makes known.
template <Order kFlag>
void send_plain(Litmus& l) {
  Engine::get().plain_access(&l.data, sizeof l.data, true);
  l.data = 1;
  l.words[1].store(1, kFlag);
}
template <Order kFlag>
void receive_plain(Litmus& l) {
  l.seen[0] = l.words[1].load(kFlag);
  if (l.seen[0] == 0) return;
  Engine::get().plain_access(&l.data, sizeof l.data, false);
  l.seen[1] = l.data;
}
void write_relaxed(Litmus& l) {
  AtomicRef(l.data).store(1, Order::relaxed);
}
void write_plain(Litmus& l) {
  Engine::get().plain_access(&l.data, sizeof l.data, true);
  ++l.data;
}

void add_in_two_steps(Litmus& l) {
  l.words[0].store(l.words[0].load() + 1);
  l.seen[0] = l.words[0].load();
}
void add_in_one_step(Litmus& l) {
  l.words[0].fetch_add(1);
  l.seen[0] = l.words[0].load();
}

}  // namespace

std::string self_test() {
  static Litmus litmus;
  std::string wrong;
  auto check = [&](const char* what, bool expected, bool seen) {
    if (expected != seen) wrong += std::string("; ") + what + (expected ? ": never seen" : ": seen, and forbidden");
  };
  constexpr std::array<std::uint32_t, 3> kBothZero{0, 0, 0}, kFlagOnly{1, 0, 0};
  auto has = [](const auto& outcomes, const std::array<std::uint32_t, 3>& o) { return outcomes.contains(o); };

  using enum Order;
  const auto sb = [&](Memory memory, auto strong) {
    if constexpr (decltype(strong)::value)
      return litmus.explore({write_0_read_1<seq_cst>, write_1_read_0<seq_cst>}, memory, Strategy::kRandom);
    else
      return litmus.explore({write_0_read_1<release>, write_1_read_0<release>}, memory, Strategy::kRandom);
  };
  check("store buffering of release stores, sequential", false,
        has(sb(Memory::kSequential, std::false_type{}), kBothZero));
  check("store buffering of release stores, x86", true, has(sb(Memory::kStoreBuffer, std::false_type{}), kBothZero));
  check("store buffering of release stores, C11", true, has(sb(Memory::kC11, std::false_type{}), kBothZero));
  check("store buffering of seq_cst stores, x86", false, has(sb(Memory::kStoreBuffer, std::true_type{}), kBothZero));
  check("store buffering of seq_cst stores, C11", false, has(sb(Memory::kC11, std::true_type{}), kBothZero));

  const auto mp = [&](Memory memory, Litmus::Body sender, Litmus::Body receiver) {
    return litmus.explore({sender, receiver}, memory, Strategy::kRandom);
  };
  check("a relaxed flag before its data, x86", false,
        has(mp(Memory::kStoreBuffer, send<relaxed>, receive<acquire>), kFlagOnly));
  check("a relaxed flag before its data, C11", true, has(mp(Memory::kC11, send<relaxed>, receive<acquire>), kFlagOnly));
  check("a flag read relaxed before its data, C11", true,
        has(mp(Memory::kC11, send<release>, receive<relaxed>), kFlagOnly));
  check("a released flag before its data, C11", false,
        has(mp(Memory::kC11, send<release>, receive<acquire>), kFlagOnly));
  check("a release sequence is broken, C11", false,
        has(litmus.explore({send<release>, pass_on, receive_2}, Memory::kC11, Strategy::kRandom), {2, 0, 0}));

  const auto races = [&](std::vector<Litmus::Body> fibers) {
    litmus.explore(std::move(fibers), Memory::kC11, Strategy::kRandom);
    return litmus.raced;
  };
  check("a race on data that a released flag makes known", false, races({send_plain<release>, receive_plain<acquire>}));
  check("a race on data behind a relaxed flag", true, races({send_plain<relaxed>, receive_plain<acquire>}));
  check("a race on data behind a flag that is read relaxed", true,
        races({send_plain<release>, receive_plain<relaxed>}));
  check("a race of two writers", true, races({write_plain, write_plain}));
  check("a race of a writer with a reader who may come first", true,
        races({receive_plain<acquire>, send_plain<release>, write_plain}));

  check("a race of an atomic with a plain writer", true, races({write_relaxed, write_plain}));
  check("a race of two atomic writers", false, races({write_relaxed, write_relaxed}));

  // Every schedule, in order: an increment in two steps can be lost, one in one step cannot.
  const auto last = [&](Litmus::Body body) {
    auto outcomes = litmus.explore({body, body}, Memory::kSequential, Strategy::kExhaustive);
    bool lost = true;
    std::set<std::uint32_t> ends;
    for (auto& o : outcomes) ends.insert(o[0]);
    lost = ends.contains(1);
    return lost;
  };
  check("an increment in two steps is lost", true, last(add_in_two_steps));
  check("an increment in one step is seen", true,
        !litmus.explore({add_in_one_step, add_in_one_step}, Memory::kSequential, Strategy::kExhaustive).empty());
  return wrong.empty() ? wrong : wrong.substr(2);
}

}  // namespace daybreak::base::interleave
