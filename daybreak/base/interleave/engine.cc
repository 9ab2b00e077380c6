#include "daybreak/base/interleave/engine.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>

#include "daybreak/base/interleave/state.h"

namespace daybreak::base::interleave {

namespace ctx = boost::context::detail;

namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr std::int64_t kStepNs = 50;          // how far the clock goes when somebody looks at it
constexpr std::size_t kTraceLines = 100'000;  // the last ones are kept

struct Local {
  void* at;
  unsigned size;
};
std::vector<Local>& locals() {
  static std::vector<Local> list;
  return list;
}

void save_locals(std::vector<std::byte>& to) {
  std::size_t total = 0;
  for (const Local& l : locals()) total += l.size;
  to.resize(total);
  std::size_t at = 0;
  for (const Local& l : locals()) {
    std::memcpy(to.data() + at, l.at, l.size);
    at += l.size;
  }
}

void restore_locals(const std::vector<std::byte>& from) {
  std::size_t at = 0;
  for (const Local& l : locals()) {
    if (from.empty())
      std::memset(l.at, 0, l.size);  // a new fiber's
    else
      std::memcpy(l.at, from.data() + at, l.size);
    at += l.size;
  }
}

// What the engine jumps to first: the fiber's whole life.
void enter(ctx::transfer_t transfer) {
  Engine::State& s = Access::state();
  s.main = transfer.fctx;
  Fiber* self = s.current;
  self->body();
  self->status = Fiber::Status::kDone;  // what it has buffered may still be long in coming
  s.leave();
}

void on_abort(int signal) {
  Engine& engine = Engine::get();
  if (engine.running())
    engine.fail(signal == SIGABRT ? "a check failed (its text is above)" : "a memory fault (SIGSEGV)");
  std::_Exit(134);
}

const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

// "Process::requeue" of a whole signature.
std::string short_function(const char* pretty) {
  std::string text = pretty;
  std::size_t open = text.find('(');
  if (open == std::string::npos) return text;
  std::size_t start = text.rfind(' ', open);
  text = text.substr(start == std::string::npos ? 0 : start + 1, open - (start == std::string::npos ? 0 : start + 1));
  std::size_t space = text.rfind("runtime::");
  return space == std::string::npos ? text : text.substr(space + 9);
}

}  // namespace

FiberLocal::FiberLocal(void* at, unsigned size) {
  locals().push_back({at, size});
}

Engine& Engine::get() {
  static Engine engine;
  return engine;
}

Engine::Engine() : state_(std::make_unique<State>()) {}

bool Engine::running() const {
  return state_->current != nullptr;
}
std::uint32_t Engine::current_process() const {
  return state_->current->process;
}
std::uint64_t Engine::steps() const {
  return state_->steps;
}
std::uint64_t Engine::random() {
  return state_->random();
}

void Engine::restart_exhaustive() {
  state_->prefix.clear();
  state_->choices.clear();
}

// ---------------------------------------------------------------------------------------------------------------------
// One run.

Outcome Engine::run(Program& program, const Options& options) {
  State& s = *state_;
  static bool handled = [] {
    struct sigaction action{};
    action.sa_handler = on_abort;
    action.sa_flags = SA_NODEFER | SA_ONSTACK;
    stack_t alternate{};
    alternate.ss_size = 64 * 1024;
    alternate.ss_sp = std::malloc(alternate.ss_size);
    sigaltstack(&alternate, nullptr);
    sigaction(SIGSEGV, &action, nullptr);
    action.sa_flags = SA_NODEFER;
    sigaction(SIGABRT, &action, nullptr);
    return true;
  }();
  (void)handled;

  s.options = options;
  s.program = &program;
  s.random_state = options.seed * 0x9e3779b97f4a7c15ull + 1;
  s.steps = 0;
  ++s.run;
  s.now_ns = 1'000'000'000;
  s.failure.clear();
  s.race.clear();
  s.watch_nothing();
  s.fibers.clear();
  s.trace.clear();
  s.locations.clear();
  s.sc_view.clear();
  s.kill_steps.clear();
  s.decision = 0;
  s.preemptions = 0;
  s.next = nullptr;
  s.lowest_priority = 0;
  s.one_in = 2u << s.below(5);
  // Where something happens is drawn over a length that is itself drawn: runs of all lengths get their share.
  const std::uint64_t length = 64ull << s.below(10);
  s.change_points.clear();
  if (options.strategy == Strategy::kPct)
    for (unsigned i = 1; i < options.depth; ++i) s.change_points.push_back(1 + s.below(length));

  std::vector<std::byte> ours;
  save_locals(ours);
  program.set_up(*this);
  for (;;) {
    Fiber* next = s.next != nullptr ? s.next : s.choose(true);
    s.next = nullptr;
    if (next == nullptr) {
      for (auto& fiber : s.fibers) s.drain(*fiber);
      bool timed = std::any_of(s.fibers.begin(), s.fibers.end(),
                               [](auto& f) { return f->status == Fiber::Status::kBlocked && f->until_ns >= 0; });
      if (timed) {
        if (s.wake_earliest()) continue;
        break;
      }
      s.failure = program.at_rest(*this);
      break;
    }
    s.current = next;
    restore_locals(next->locals);
    ctx::transfer_t back = ctx::jump_fcontext(next->context, nullptr);
    if (s.current != nullptr) {
      save_locals(s.current->locals);
      s.current->context = back.fctx;
    }
    s.current = nullptr;
    if (!s.failure.empty()) break;
  }
  s.current = nullptr;
  for (auto& fiber : s.fibers)
    if (fiber->stack != nullptr) s.spare_stacks.push_back(fiber->stack);
  restore_locals(ours);
  if (!s.race.empty()) s.failure = s.describe_race();
  if (options.trace && !s.failure.empty())
    for (const std::string& line : s.trace) std::printf("%s\n", line.c_str());

  Outcome outcome{s.failure, s.steps, false};
  if (options.strategy == Strategy::kExhaustive) {
    // The next schedule: the last decision that has another option takes it.
    s.prefix.resize(s.decision);
    s.choices.resize(s.decision);
    while (!s.prefix.empty() && s.prefix.back() + 1 >= s.choices.back()) {
      s.prefix.pop_back();
      s.choices.pop_back();
    }
    if (s.prefix.empty())
      outcome.exhausted = true;
    else
      ++s.prefix.back();
  }
  s.fibers.clear();
  return outcome;
}

void Engine::fiber(std::uint32_t process, std::string name, std::function<void()> body) {
  State& s = *state_;
  auto fiber = std::make_unique<Fiber>();
  fiber->id = static_cast<std::uint32_t>(s.fibers.size());
  fiber->process = process;
  fiber->name = std::move(name);
  fiber->body = std::move(body);
  if (s.spare_stacks.empty()) {
    // A guard page below: an overflow is a fault with a name, not a riddle.
    void* stack =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) std::abort();
    mprotect(stack, 4096, PROT_NONE);
    fiber->stack = static_cast<char*>(stack);
  } else {
    fiber->stack = s.spare_stacks.back();
    s.spare_stacks.pop_back();
  }
  fiber->context = ctx::make_fcontext(fiber->stack + kStackBytes, kStackBytes - 4096, enter);
  fiber->priority = static_cast<std::int64_t>(1 + s.random() % 1'000'000);
  if (s.current != nullptr) fiber->view = *s.released();
  slot(fiber->view.clock, fiber->id) = 1;
  s.fibers.push_back(std::move(fiber));
}

void Engine::State::abandon(std::uint32_t process) {
  for (auto& fiber : fibers) {
    if (fiber->process != process || fiber.get() == current) continue;
    if (fiber->status == Fiber::Status::kRunnable || fiber->status == Fiber::Status::kBlocked) {
      drain(*fiber);
      fiber->status = Fiber::Status::kDead;
    }
  }
}

void Engine::kill(std::uint32_t process) {
  state_->abandon(process);
}

bool Engine::has_fibers(std::uint32_t process) const {
  return std::any_of(state_->fibers.begin(), state_->fibers.end(), [&](auto& f) {
    return f->process == process && (f->status == Fiber::Status::kRunnable || f->status == Fiber::Status::kBlocked);
  });
}

void Engine::may_kill(std::uint32_t first, std::uint32_t last, unsigned count, std::uint32_t reaper,
                      std::function<void(std::uint32_t)> on_death) {
  State& s = *state_;
  s.kill_first = first;
  s.kill_last = last;
  s.reaper = reaper;
  s.on_death = std::move(on_death);
  const std::uint64_t length = 64ull << s.below(10);
  for (unsigned i = 0; i < count; ++i) s.kill_steps.push_back(1 + s.below(length));
}

void Engine::joined(std::uint32_t process) {
  State& s = *state_;
  for (auto& fiber : s.fibers) {
    if (fiber->process != process) continue;
    s.drain(*fiber);
    if (s.current != nullptr) join(s.current->view, fiber->view);
  }
}

void Engine::fail(std::string what) {
  State& s = *state_;
  s.failure = std::move(what);
  if (s.current == nullptr) {
    std::fprintf(stderr, "interleaver: outside of a run: %s\n", s.failure.c_str());
    std::_Exit(1);
  }
  s.current->status = Fiber::Status::kDead;
  s.leave();
  std::_Exit(1);  // nobody comes back here
}

void Engine::step(const char* what, const Site& site) {
  if (state_->current == nullptr) return;
  state_->note(what, nullptr, 0, site);
  state_->point(nullptr);
}

// ---------------------------------------------------------------------------------------------------------------------
// Who goes next.

void Engine::State::leave() {
  main = ctx::jump_fcontext(main, nullptr).fctx;
}

Fiber* Engine::State::choose_exhaustive(const std::vector<Fiber*>& others, bool may_stay) {
  // Option 0 is the one without a preemption: to stay, or else the first of the others.
  std::uint32_t count = static_cast<std::uint32_t>(others.size()) + (may_stay ? 1 : 0);
  if (may_stay && preemptions >= options.depth) return current;
  if (count == 1) return may_stay ? current : others[0];
  if (decision == prefix.size()) {
    prefix.push_back(0);
    choices.push_back(count);
  }
  std::uint32_t option = prefix[decision];
  choices[decision] = count;
  ++decision;
  if (!may_stay) return others[option % others.size()];
  if (option == 0) return current;
  ++preemptions;
  return others[(option - 1) % others.size()];
}

Fiber* Engine::State::choose(bool must_leave) {
  static std::vector<Fiber*> others;
  others.clear();
  bool any_paused = false;
  for (auto& fiber : fibers) {
    if (fiber.get() == current || fiber->status != Fiber::Status::kRunnable) continue;
    if (fiber->paused)
      any_paused = true;
    else
      others.push_back(fiber.get());
  }
  if (others.empty() && must_leave && any_paused) {
    now_ns += 1000;
    for (auto& fiber : fibers) {
      fiber->paused = false;
      if (fiber.get() != current && fiber->status == Fiber::Status::kRunnable) others.push_back(fiber.get());
    }
  }
  const bool may_stay = !must_leave && current != nullptr;
  if (others.empty()) return may_stay ? current : nullptr;
  if (options.strategy == Strategy::kExhaustive) return choose_exhaustive(others, may_stay);
  if (options.strategy == Strategy::kPct) {
    Fiber* best = may_stay ? current : others[0];
    for (Fiber* fiber : others)
      if (fiber->priority > best->priority) best = fiber;
    return best;
  }
  if (may_stay && below(one_in) != 0) return current;
  return others[below(others.size())];
}

void Engine::State::point(PlaceState* place) {
  if (place != nullptr) ++place->times;
  if (++steps > options.max_steps) Engine::get().fail("no progress: " + std::to_string(steps) + " steps");
  for (auto& fiber : fibers)
    if (fiber.get() != current) fiber->paused = false;  // this step may be what they wait for
  drain_one();
  if (std::erase(change_points, steps) > 0) current->priority = --lowest_priority;
  if (std::erase(kill_steps, steps) > 0) kill_one();
  Fiber* chosen = choose(false);
  if (chosen == current) return;
  next = chosen;
  leave();
}

// The process whose turn it is dies here, or another if that one may not.
void Engine::State::kill_one() {
  std::uint32_t victim = current->process;
  if (victim < kill_first || victim > kill_last) {
    std::vector<std::uint32_t> alive;
    for (std::uint32_t p = kill_first; p <= kill_last; ++p)
      if (Engine::get().has_fibers(p)) alive.push_back(p);
    if (alive.empty()) return;
    victim = alive[below(alive.size())];
  }
  if (options.trace) trace.push_back("------  process " + std::to_string(victim) + " is killed");
  abandon(victim);
  Engine::get().fiber(reaper, "reaper", [this, victim] { on_death(victim); });
  Fiber& last = *fibers.back();
  last.view = {};  // it knows nothing of whoever ran when the process died
  slot(last.view.clock, last.id) = 1;
  if (victim != current->process) return;
  drain(*current);
  current->status = Fiber::Status::kDead;
  leave();
}

void Engine::State::pause() {
  if (++steps > options.max_steps) Engine::get().fail("no progress: " + std::to_string(steps) + " steps");
  now_ns += kStepNs;
  current->paused = true;
  if (options.strategy == Strategy::kPct) current->priority = --lowest_priority;
  leave();
}

void Engine::State::linger() {
  for (std::uint64_t n = 1 + below(8); n > 0; --n) {
    if (++steps > options.max_steps) Engine::get().fail("no progress: " + std::to_string(steps) + " steps");
    if (Fiber* chosen = choose(true); chosen != nullptr) {
      next = chosen;
      leave();
    }
  }
}

bool Engine::State::wake_earliest() {
  Fiber* earliest = nullptr;
  for (auto& fiber : fibers)
    if (fiber->status == Fiber::Status::kBlocked && fiber->until_ns >= 0 &&
        (earliest == nullptr || fiber->until_ns < earliest->until_ns))
      earliest = fiber.get();
  if (earliest == nullptr) return false;
  // Time passes only when nobody can go on: what needs it to pass is suspicious, the program judges.
  std::string wrong = program->asleep(Engine::get());
  if (!wrong.empty()) {
    failure = wrong;
    return false;
  }
  now_ns = std::max(now_ns, earliest->until_ns);
  earliest->status = Fiber::Status::kRunnable;
  earliest->timed_out = true;
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------

PlaceState& Engine::State::place(const Site& site, const char* kinds) {
  auto [found, added] = places.try_emplace(PlaceKey{site.file_name(), site.line(), site.column()});
  PlaceState& place = found->second;
  if (added) {
    place.function = short_function(site.function_name());
    if (mutation.kind != Mutation::kNone && mutation.line == site.line() &&
        (mutation.column == 0 || mutation.column == site.column()) && mutation.file == base_name(site.file_name()))
      place.mutation = mutation.kind;
  }
  if (place.times == 0)
    for (const char* k = kinds; *k != 0; ++k) place.kinds.insert(*k);
  return place;
}

void Engine::State::note(const char* what, const void* at, std::uint64_t value, const Site& site, const char* more) {
  if (!options.trace) return;
  char line[512];
  std::string where = at == nullptr ? std::string() : program->describe(at);
  std::snprintf(line, sizeof line, "%6llu  %-12s %-26s %s:%-4u %-16s %s = %llx%s",
                static_cast<unsigned long long>(steps), current == nullptr ? "-" : current->name.c_str(),
                short_function(site.function_name()).c_str(), base_name(site.file_name()), site.line(), what,
                where.c_str(), static_cast<unsigned long long>(value), more);
  // The same place again and again (a scan, a spin) is one line, the last of them.
  const bool again = !trace.empty() && site.line() == last_line && current == last_fiber;
  if (again) trace.pop_back();
  last_line = site.line();
  last_fiber = current;
  trace.emplace_back(line);
  if (trace.size() > kTraceLines) trace.pop_front();
}

void Engine::set_mutation(Mutation mutation) {
  state_->mutation = std::move(mutation);
  state_->places.clear();
}

std::vector<Engine::Place> Engine::places() const {
  std::vector<Place> list;
  for (const auto& [key, place] : state_->places)
    list.push_back({base_name(key.file), place.function, std::string(place.kinds.begin(), place.kinds.end()), key.line,
                    key.column, place.times});
  std::sort(list.begin(), list.end(), [](const Place& a, const Place& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
  return list;
}

// ---------------------------------------------------------------------------------------------------------------------

void pause(const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) return;
  s.note("pause", nullptr, 0, site);
  s.pause();
}

std::int64_t now_ns() {
  Engine::State& s = Access::state();
  return s.now_ns += kStepNs;
}

void failpoint(const char* name, const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) return;
  s.note(name, nullptr, 0, site);
  s.point(nullptr);
}

int futex_wait(void* word, std::uint32_t value, std::int64_t timeout_ns, const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) return 0;
  Fiber& self = *s.current;
  s.point(&s.place(site, ""));
  s.drain(self);
  if (static_cast<std::uint32_t>(raw_read(word, 4)) != value) {
    s.note("futex wait", word, value, site, " (not so: goes on)");
    return 0;
  }
  if (timeout_ns == 0) return ETIMEDOUT;
  s.note("futex wait", word, value, site, " (sleeps)");
  self.status = Fiber::Status::kBlocked;
  self.waits_for = word;
  self.until_ns = timeout_ns < 0 ? -1 : s.now_ns + timeout_ns;
  self.timed_out = false;
  s.leave();
  s.note("futex wait", word, value, site, self.timed_out ? " (time is up)" : " (woken)");
  return self.timed_out ? ETIMEDOUT : 0;
}

void futex_wake_all(void* word, const Site& site) {
  Engine::State& s = Access::state();
  if (s.current == nullptr) return;
  PlaceState& place = s.place(site, "d");
  s.point(&place);
  s.drain(*s.current);
  if (place.mutation == Mutation::kDrop) return s.note("futex wake", word, 0, site, " (dropped)");
  for (auto& fiber : s.fibers) {
    if (fiber->status != Fiber::Status::kBlocked || fiber->waits_for != word) continue;
    fiber->status = Fiber::Status::kRunnable;
    fiber->waits_for = nullptr;
  }
  s.note("futex wake", word, 0, site);
}

}  // namespace daybreak::base::interleave
