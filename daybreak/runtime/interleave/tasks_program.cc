// The runtime whole, but for Python and the operating system: a driver that submits, awaits, cancels and drops, the
// scheduler, workers in their loop, actors; processes are fibers that the scheduler launches and that may be killed.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "daybreak/runtime/interleave/programs.h"
#include "daybreak/runtime/interleave/scheduled.h"
#include "daybreak/runtime/stream.h"

namespace daybreak::runtime {

namespace {

// What a task does: the first byte of its arguments; the second is its number n.
enum class Do : std::uint8_t {
  kNothing,  // gives n
  kNest,     // submits n tasks and awaits them
  kDeep,     // submits one that submits n - 1 ...
  kPut,      // gives a list of n objects that it puts
  kFail,     // fails
  kStream,   // gives n objects that it puts, one by one
  kMeet,     // ends when n of its kind run at the same time: they must all be given a CPU
};

struct Shape {
  std::string name;
  std::uint32_t cpus = 2;
  std::uint32_t tasks = 6;
  unsigned kills = 0;
  std::uint32_t guests = 0;  // further drivers, which come and go
  bool meet = false, nested = false, cancels = false, resources = false, actors = false, together = false,
       replaced = false, streams = false;
};

class TasksProgram : public ScheduledProgram {
 public:
  explicit TasksProgram(Shape shape) : ScheduledProgram(shape.name), shape_(std::move(shape)) {}

  void set_up(Engine& engine) override {
    reset(engine, shape_.cpus);
    ran_.clear();
    awaited_.clear();
    calls_.clear();
    killed_.clear();
    kills_.clear();
    lives_.clear();
    last_call_.clear();
    here_.store(0);
    round_.store(0);
    begin(shape_.kills);
  }

  std::string asleep(Engine& engine) override {
    if (!awaited_.empty() &&
        std::all_of(awaited_.begin(), awaited_.end(), [&](Ref r) { return client_->process().done(r); }))
      return "the driver sleeps, and what it waits for is done" + world_.situation();
    return ScheduledProgram::asleep(engine);
  }

 private:
  // -- Launcher --
  bool launch(std::uint32_t proc, ProcKind kind, std::uint32_t actor) override {
    if (kind == ProcKind::kActor) ++lives_[actor];
    return ScheduledProgram::launch(proc, kind, actor);
  }
  void signal(std::uint32_t proc, int signo) override {
    if (signo == SIGKILL && engine_->has_fibers(proc) && shape_.actors &&
        world_.control().proc[proc].kind != ProcKind::kActor)
      engine_->fail(fmt::format("worker {} is killed in the place of an actor", proc));
    ScheduledProgram::signal(proc, signo);
  }
  bool admitted(std::uint32_t guest, std::uint32_t proc) override {
    if (proc == kNone) engine_->fail("there is no slot for a driver that attaches");
    Process& p = start(proc, ProcKind::kDriver);
    be(p, fmt::format("guest {}", guest), [this, &p] { be_guest(p); });
    return true;
  }

  // What it has not awaited when it leaves ends with it, and so do its actor and what it holds.
  void be_guest(Process& p) {
    Client client(p);
    const std::uint16_t environment = client.environment(fmt::format("guest {}", p.id())).value();
    p.slot().environment = environment;
    const std::uint16_t set = client.resource_set({.environment = environment}).value();
    std::vector<Ref> refs;
    for (std::uint32_t i = 0; i < 3; ++i) {
      std::vector<Ref> deps;
      if (!refs.empty() && engine_->below(3) == 0) deps.push_back(one_of(refs));
      submit(client, static_cast<Do>(engine_->below(5)), 1 + engine_->below(2), std::move(deps), set, refs);
    }
    if (engine_->below(2) == 0) {
      const TaskSpec spec{.kind = Kind::kActorCreate,
                          .resources = client.resource_set({.cpu = 0, .environment = environment}).value()};
      const Client::Actor actor = client.create_actor(spec, payload(Do::kNothing, 0, {}), {}).value();
      const TaskSpec call{.kind = Kind::kActorCall, .actor = actor.slot, .max_retries = 0};
      (void)client.submit(call, payload(Do::kNothing, 0, {}), refs);
      if (engine_->below(2) == 0) p.release(actor.creation);
    }
    std::ignore = client.put(payload(Do::kNothing, 0, {}));
    if (engine_->below(2) == 0) return;
    while (client.wait(refs, refs.size(), -1) == WaitResult::kInterrupted) {
    }
    for (Ref ref : refs) {
      if (!p.settled(ref.index).done()) engine_->fail("a guest's task is awaited and not done");
      p.release(ref);
    }
  }

  // -- a worker or an actor --
  void run(Client& client, std::uint32_t index) override {
    Process& p = client.process();
    Ref self{index, p.entry(index).load().generation()};
    Client::current_task = index + 1;
    p.slot().running.store(index + 1, std::memory_order_relaxed);
    ++ran_[{self.index, self.generation}];
    std::span<const std::byte> args = p.args(index);
    Do what = static_cast<Do>(args[0]);
    std::uint32_t n = static_cast<std::uint32_t>(args[1]);
    if (Entry& e = p.entry(index); e.kind == Kind::kActorCall) {
      // Of one caller: in order. A task's number is that of its submission.
      std::uint32_t& last = last_call_[{e.part.actor, p.id()}];
      if (n < last) engine_->fail(fmt::format("call {} of actor {} runs after call {}", n, e.part.actor, last));
      last = n;
    }
    bool ok = true;
    std::vector<Ref> inside;
    if (what == Do::kNest || (what == Do::kDeep && n > 0)) {
      std::vector<Ref> children;
      for (std::uint32_t i = 0; i < (what == Do::kNest ? n : 1); ++i)
        ok &= submit(client, what == Do::kNest ? Do::kNothing : Do::kDeep, what == Do::kNest ? i : n - 1, {}, 0,
                     children);
      while (ok && client.wait(children, children.size(), -1) == WaitResult::kInterrupted) {
      }
      for (Ref child : children) p.release(child);
    }
    if (what == Do::kMeet) meet(n);
    if (what == Do::kStream) stream(client, index, n);
    for (std::uint32_t i = 0; what == Do::kPut && i < n; ++i)
      if (auto ref = client.put(payload(Do::kNothing, i, {}))) inside.push_back(*ref);
    if (what == Do::kFail || !ok || !client.set_value(index, payload(what, n, inside)))
      client.fail(index, ErrorKind::kUser, "it fails");
    else
      p.publish(index, false);
    for (Ref ref : inside) p.release(ref);
    p.slot().running.store(0, std::memory_order_relaxed);
    Client::current_task = 0;
  }

  // What an attempt before has written is passed over.
  void stream(Client& client, std::uint32_t index, std::uint32_t n) {
    Stream stream(client, index);
    for (std::uint32_t i = stream.items(); !stream.ended() && i < n && !stream.abandoned(); ++i) {
      auto item = client.put(payload(Do::kNothing, i, {}));
      if (!item) break;
      const base::Status written = stream.write(*item);
      client.process().release(*item);
      if (!written) break;
      auto on = [&] { return stream.has_room() || stream.abandoned(); };
      while (client.wait_until(on) == WaitResult::kInterrupted && !on()) {
      }
    }
    for (std::uint32_t cell : stream.claim_rest()) {
      (void)client.set_value(cell, payload(Do::kNothing, 0, {}));  // it fits the entry
      client.process().publish(cell, false);
    }
  }

  void meet(std::uint32_t n) {
    const std::uint32_t round = round_.load();
    if (here_.fetch_add(1) + 1 == n) {
      here_.store(0);
      round_.fetch_add(1);
      base::futex_wake_all(round_);
      return;
    }
    while (round_.load() == round) base::futex_wait(round_, round, -1);
  }

  static Payload payload(Do what, std::uint32_t n, std::vector<Ref> refs, std::uint16_t deps = 0) {
    static thread_local std::uint8_t bytes[256][8];
    static thread_local std::uint8_t next = 0;
    std::uint8_t* at = bytes[next++];
    at[0] = static_cast<std::uint8_t>(what);
    at[1] = static_cast<std::uint8_t>(n);
    Payload payload;
    payload.pieces.push_back({at, 8, 1});
    payload.refs = std::move(refs);
    payload.deps = deps;
    return payload;
  }

  bool submit(Client& client, Do what, std::uint32_t n, std::vector<Ref> deps, std::uint16_t resources,
              std::vector<Ref>& results) {
    TaskSpec spec;
    spec.resources = resources;
    spec.max_retries = 3;
    auto count = static_cast<std::uint16_t>(deps.size());
    return client.submit(spec, payload(what, n, std::move(deps), count), results).has_value();
  }

  // -- the driver --
  void drive() override {
    std::vector<Ref> refs;
    for (std::uint32_t guest = 0; guest < shape_.guests; ++guest) scheduler_->admit(guest, 1);
    std::vector<Client::Actor> actors;
    if (shape_.resources) {
      two_cpus_ = client_->resource_set({.cpu = 2, .gpu = 0, .custom = {}}).value();
      no_cpu_ = client_->resource_set({.cpu = 0, .gpu = 0, .custom = {}}).value();
    }
    if (shape_.actors)
      for (int i = 0; i < 2; ++i) actors.push_back(create_actor(engine_->below(2) == 0 ? -1 : i));
    for (std::uint32_t i = 0; i < shape_.tasks; ++i) {
      if (shape_.meet)
        let_meet(refs);
      else if (shape_.streams && engine_->below(3) != 0)
        follow_stream(refs);
      else
        submit_one(i, refs, actors);
    }
    await(refs);
    for (Ref ref : refs) check_result(ref);
    for (Ref ref : refs) client_->process().release(ref);
    for (const Client::Actor& actor : actors) let_go(actor);
  }

  void let_meet(std::vector<Ref>& refs) {
    for (std::uint32_t n = 0; n < shape_.cpus; ++n) submit(*client_, Do::kMeet, shape_.cpus, {}, 0, refs);
    await(refs);
  }

  // Submits a stream and follows it to its end, or drops it on the way.
  void follow_stream(std::vector<Ref>& refs) {
    Engine& e = *engine_;
    Process& p = client_->process();
    const std::uint32_t n = e.below(4);
    TaskSpec spec;
    spec.max_retries = 3;
    spec.options = kStreaming;
    spec.window = static_cast<std::uint16_t>(e.below(3));
    std::vector<Ref> results;
    if (!client_->submit(spec, payload(Do::kStream, n, {}), results)) return;
    const Ref task = results[0];
    refs.push_back(task);
    const bool cancelled = shape_.cancels && e.below(3) == 0;
    Ref cell = results[1];
    for (std::uint32_t i = 0;; ++i) {
      if (cancelled && e.below(2) == 0) client_->cancel(task, false, false);
      if (e.below(8) == 0) break;
      await({cell});
      const State s = p.settled(cell.index);
      const std::span<const Ref> there = p.value_refs(cell.index);
      if (s.phase() == Phase::kError && shape_.kills == 0 && !cancelled) e.fail("a stream failed without a reason");
      if (there.empty()) {
        if (s.phase() == Phase::kReady && i != n) e.fail(fmt::format("a stream of {} items has {}", n, i));
        break;
      }
      const Ref item = there[0], next = there[1];
      if (static_cast<std::uint32_t>(p.value(item.index)[1]) != i)
        e.fail("a stream gives an item twice, or not at all");
      p.hold(next);
      p.release(std::exchange(cell, next));
      ring_runner(task);
    }
    p.release(cell);
    ring_runner(task);
  }

  // Who waits for room in its stream looks again.
  void ring_runner(Ref task) {
    const State runs = client_->process().entry(task.index).load();
    if (runs.phase() == Phase::kRunning && runs.proc_plus_one() != 0) client_->process().ring(runs.proc_plus_one() - 1);
  }

  // A task or a call, and then perhaps something else that happens.
  void submit_one(std::uint32_t i, std::vector<Ref>& refs, std::vector<Client::Actor>& actors) {
    Engine& e = *engine_;
    Do what = shape_.nested ? static_cast<Do>(e.below(5)) : e.below(6) == 0 ? Do::kPut : Do::kNothing;
    std::vector<Ref> deps;
    if (!refs.empty() && e.below(3) == 0) deps.push_back(one_of(refs));
    if (!actors.empty() && e.below(2) == 0) {
      call(actors[e.below(2)], i, std::move(deps), refs);
    } else {
      std::uint16_t set = !shape_.resources || e.below(2) == 0 ? 0 : e.below(2) == 0 ? two_cpus_ : no_cpu_;
      submit(*client_, what, shape_.nested ? 1 + e.below(3) : i, std::move(deps), set, refs);
    }
    if (!shape_.together && e.below(4) == 0) await({one_of(refs)});
    if (shape_.cancels && e.below(3) == 0) client_->cancel(one_of(refs), e.below(4) == 0, true);
    if (shape_.kills > 0 && !actors.empty() && e.below(6) == 0) kill(actors[e.below(2)], e.below(2) == 0);
    if (shape_.replaced && e.below(3) == 0) replace(actors[e.below(2)]);
  }

  Ref one_of(const std::vector<Ref>& refs) { return refs[engine_->below(static_cast<std::uint32_t>(refs.size()))]; }

  void call(const Client::Actor& callee, std::uint32_t i, std::vector<Ref> deps, std::vector<Ref>& refs) {
    const std::size_t before = refs.size();
    TaskSpec spec;
    spec.kind = Kind::kActorCall;
    spec.actor = callee.slot;
    spec.max_retries = static_cast<std::int16_t>(engine_->below(3));
    auto count = static_cast<std::uint16_t>(deps.size());
    (void)client_->submit(spec, payload(Do::kNothing, i, std::move(deps), count), refs);
    if (refs.size() > before)
      calls_[key(refs.back())] = {i, key(callee.creation), static_cast<std::uint32_t>(spec.max_retries)};
  }

  // It is done with, or killed for good; another comes, perhaps into its slot.
  void replace(Client::Actor& gone) {
    if (engine_->below(2) == 0) {
      kill(gone, true);
      await_death(gone.slot);
    }
    client_->process().release(gone.creation);
    gone = create_actor(-1);
  }

  void check_result(Ref ref) {
    Engine& e = *engine_;
    Process& p = client_->process();
    State s = p.settled(ref.index);
    if (s.generation() != ref.generation || !s.done())
      e.fail(fmt::format("entry {} is awaited and not done", ref.index));
    std::uint32_t times = ran_[{ref.index, ref.generation}];
    auto call = calls_.find(key(ref));
    const bool of_the_dead = call != calls_.end() && killed_.contains(call->second.actor) && s.phase() == Phase::kError;
    if (shape_.kills == 0 && !shape_.cancels && times != 1 && !(of_the_dead && times == 0))
      e.fail(fmt::format("entry {} ran {} times", ref.index, times));
    if (call != calls_.end() && times > call->second.retries + 1)
      e.fail(fmt::format("call {} ran {} times, and may be retried {} times", call->second.n, times,
                         call->second.retries));
    if (call != calls_.end() && s.phase() == Phase::kReady &&
        static_cast<std::uint32_t>(p.value(ref.index)[1]) != call->second.n)
      e.fail(fmt::format("entry {} has another's value", ref.index));
    for (Ref inner : p.value_refs(ref.index))
      if (s.phase() == Phase::kReady && !p.settled(inner.index).done()) e.fail("an object inside another is gone");
  }

  void let_go(const Client::Actor& actor) {
    if (killed_.contains(key(actor.creation))) await_death(actor.slot);
    // One kill is one restart.
    std::uint32_t ends = kills_[key(actor.creation)] + shape_.kills;
    if (!shape_.replaced && lives_[actor.slot] > ends + 1)
      engine_->fail(fmt::format("actor {} has begun again more often than it has ended", actor.slot));
    client_->process().release(actor.creation);
  }

  Client::Actor create_actor(int name) {
    ActorOptions options;
    options.max_restarts = shape_.kills == 0 ? 0 : engine_->below(2) == 0 ? 3 : -1;
    if (name >= 0) options.name = fmt::format("test/{}", name);
    TaskSpec spec;
    spec.kind = Kind::kActorCreate;
    spec.resources = client_->resource_set({.cpu = 0, .gpu = 0, .custom = {}}).value();
    Client::Actor made = client_->create_actor(spec, payload(Do::kNothing, 0, {}), options).value();
    if (name < 0) return made;
    auto found = client_->find_actor(options.name);  // at the latest when the scheduler has seen it
    if (!found) engine_->fail("a named actor is not found: " + found.error().message());
    if (!(found->creation == made.creation)) engine_->fail("another actor has the name");
    client_->process().release(found->creation);
    return made;
  }

  void kill(const Client::Actor& actor, bool no_restart) {
    if (no_restart) killed_.insert(key(actor.creation));
    ++kills_[key(actor.creation)];
    client_->kill_actor(actor.slot, no_restart);
  }

  // kill() works: somebody sees to it, however long it takes.
  void await_death(std::uint32_t slot) {
    ActorSlot& actor = world_.control().actor[slot];
    while (actor.status.load() != ActorStatus::kDead) {
      std::uint32_t seen = client_->process().bell();
      client_->process().sleep(seen, 1'000'000);
    }
  }

  void await(std::vector<Ref> refs) {
    awaited_ = refs;
    while (client_->wait(refs, refs.size(), -1) == WaitResult::kInterrupted) {
    }
    awaited_.clear();
  }

  Shape shape_;
  std::uint16_t two_cpus_ = 0, no_cpu_ = 0;  // resource sets
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> ran_;
  using Key = std::pair<std::uint32_t, std::uint32_t>;
  static Key key(Ref ref) { return {ref.index, ref.generation}; }
  struct Call {
    std::uint32_t n;  // which is its value, too
    Key actor;        // its creation
    std::uint32_t retries = 0;
  };
  std::map<Key, Call> calls_;
  std::set<Key> killed_;  // for good
  std::map<Key, std::uint32_t> kills_;
  std::map<std::uint32_t, std::uint32_t> lives_;                                // by actor's slot
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> last_call_;  // by actor and process
  std::vector<Ref> awaited_;
  base::Atomic<std::uint32_t> here_, round_;
};

}  // namespace

void add_task_programs(Programs& programs) {
  auto add = [&](Shape shape) { programs.push_back(std::make_unique<TasksProgram>(std::move(shape))); };
  add({.name = "tasks", .cpus = 2, .tasks = 5});
  add({.name = "tasks-many", .cpus = 12, .tasks = 20, .together = true});
  add({.name = "tasks-meet", .cpus = 3, .tasks = 3, .meet = true});
  add({.name = "tasks-meet-many", .cpus = 8, .tasks = 2, .meet = true});
  add({.name = "tasks-nested", .cpus = 3, .tasks = 3, .nested = true});
  add({.name = "tasks-cancelled", .cpus = 2, .tasks = 5, .nested = true, .cancels = true});
  add({.name = "tasks-resources", .cpus = 3, .tasks = 6, .resources = true});
  add({.name = "tasks-starved", .cpus = 2, .tasks = 3, .resources = true});
  add({.name = "tasks-killed", .cpus = 2, .tasks = 5, .kills = 2, .nested = true});
  add({.name = "guests", .cpus = 2, .tasks = 2, .guests = 2});
  add({.name = "guests-killed", .cpus = 2, .tasks = 2, .kills = 2, .guests = 1});
  add({.name = "streams", .cpus = 2, .tasks = 4, .streams = true});
  add({.name = "streams-cancelled", .cpus = 2, .tasks = 4, .cancels = true, .streams = true});
  add({.name = "streams-killed", .cpus = 2, .tasks = 4, .kills = 2, .streams = true});
  add({.name = "actors", .cpus = 2, .tasks = 6, .actors = true});
  add({.name = "actors-replaced", .cpus = 2, .tasks = 6, .actors = true, .replaced = true});
  add({.name = "actors-killed", .cpus = 2, .tasks = 6, .kills = 2, .actors = true});
}

}  // namespace daybreak::runtime
