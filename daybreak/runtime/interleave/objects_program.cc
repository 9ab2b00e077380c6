// The ownership protocol: processes that create, pass, pin, await and drop objects, some of which are killed, and a
// scheduler that takes what is pending and buries the dead. In the end nothing may be left.
#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

std::byte pattern(Ref ref) {
  return static_cast<std::byte>(ref.index * 31 + ref.generation * 7 + 1);
}

// One process's random walk over the protocol.
class Walker {
 public:
  // `awaits`: where it says what it sleeps for.
  Walker(Engine& engine, Process& p, std::optional<Ref>& awaits) : engine_(engine), p_(p), awaits_(awaits) {}

  void walk(std::uint32_t steps) {
    for (std::uint32_t i = 0; i < steps; ++i) step();
    while (!held_.empty()) drop();
    if (token_ != kNone) p_.release_token(token_, p_.id());
  }

 private:
  void step() {
    switch (engine_.below(9)) {
      case 0: put(); break;
      case 1: submit(true); break;
      case 2:
      case 3: work(); break;
      case 4:
      case 5: drop(); break;
      case 6: look(); break;
      case 7: submit(false); break;
      case 8: token(); break;
    }
    while (held_.size() > 6) drop();
  }

  std::uint64_t some_size() {
    static constexpr std::uint64_t kSizes[] = {8, 64, 65, 200, 1000, 70'000, 140'000};
    return kSizes[engine_.below(7)];
  }

  // A value contains only what is done already, so that no cycle can come to be: reference counts would never free one.
  std::vector<Ref> some_refs(bool only_done) {
    std::vector<Ref> refs;
    for (std::uint32_t n = engine_.below(3); n > 0 && !held_.empty(); --n) {
      Ref ref = held_[engine_.below(static_cast<std::uint32_t>(held_.size()))];
      if (!only_done || p_.done(ref)) refs.push_back(ref);
    }
    return refs;
  }

  bool fill(std::uint32_t index) {
    Ref self{index, p_.entry(index).load().generation()};
    std::uint64_t size = some_size();
    auto at = p_.set_value(index, size, some_refs(true), 0);
    if (at) std::memset(*at, static_cast<int>(pattern(self)), size);
    return at.has_value();
  }

  void put() {
    auto ref = p_.create(Kind::kValue);
    if (!ref) return;
    if (!fill(ref->index)) return p_.abandon(ref->index);
    p_.publish(ref->index, false);
    held_.push_back(*ref);
  }

  void submit(bool now) {
    auto ref = p_.create(Kind::kTask);
    if (!ref) return;
    if (!p_.set_args(ref->index, engine_.below(2) ? 20 : 900, some_refs(false), 0, 0)) return p_.abandon(ref->index);
    p_.entry(ref->index).part.retries_left = 2;
    held_.push_back(*ref);
    if (now && p_.enqueue(ref->index)) {
      p_.task_queued();
      return;
    }
    if (now && !p_.claim(ref->index, ref->generation)) return;
    p_.push(Process::kSchedulerList, ref->index, Phase::kPending);
    p_.ring(kSchedulerProc);
  }

  void work() {
    std::uint32_t index = p_.dequeue();
    if (index == kNone) return;
    std::vector<Ref> refs(p_.args_refs(index).begin(), p_.args_refs(index).end());
    for (Ref ref : refs) p_.hold(ref);
    for (Ref ref : refs) check(ref);
    if (fill(index))
      p_.publish(index, false);
    else
      p_.publish_error(index, ErrorKind::kStoreFull, "full");
    for (Ref ref : refs) {
      if (engine_.below(3) == 0)
        held_.push_back(ref);
      else
        p_.release(ref);
    }
  }

  void check(Ref ref) {
    State s = p_.settled(ref.index);
    if (s.generation() != ref.generation) engine_.fail(fmt::format("entry {} is another object", ref.index));
    if (s.phase() != Phase::kReady) return;
    for (std::byte byte : p_.value(ref.index))
      if (byte != pattern(ref)) engine_.fail(fmt::format("entry {} holds another object's bytes", ref.index));
  }

  void look() {
    if (held_.empty()) return;
    Ref ref = held_[engine_.below(static_cast<std::uint32_t>(held_.size()))];
    if (!p_.done(ref)) {
      std::uint32_t seen = p_.bell();
      if (p_.set_waiter(ref)) {
        awaits_ = ref;
        p_.sleep(seen, 200'000);  // it may be a task that nobody will run
        awaits_.reset();
      }
    }
    check(ref);
    if (!p_.settled(ref.index).done()) return;
    for (Ref inner : p_.value_refs(ref.index)) {
      p_.hold(inner);
      check(inner);
      held_.push_back(inner);
    }
  }

  void token() {
    if (token_ == kNone) {
      token_ = p_.acquire_token(p_.id());
    } else {
      p_.release_token(token_, p_.id());
      token_ = kNone;
    }
  }

  void drop() {
    if (held_.empty()) return;
    std::size_t i = engine_.below(static_cast<std::uint32_t>(held_.size()));
    Ref ref = held_[i];
    held_[i] = held_.back();
    held_.pop_back();
    p_.release(ref);
  }

  Engine& engine_;
  Process& p_;
  std::optional<Ref>& awaits_;
  std::vector<Ref> held_;
  std::uint32_t token_ = kNone;
};

class ObjectsProgram : public RuntimeProgram {
 public:
  ObjectsProgram(std::string name, std::uint32_t processes, std::uint32_t steps, unsigned kills)
      : name_(std::move(name)), processes_(processes), steps_(steps), kills_(kills) {}
  std::string_view name() const override { return name_; }

  void set_up(Engine& engine) override {
    world_.reset(2);
    exits_.clear();
    awaits_.assign(kMaxProcs, std::nullopt);
    alive_ = processes_;
    world_.start(kSchedulerProc, ProcKind::kDriver);
    engine.fiber(kSchedulerProc, "scheduler", [this, &engine] { schedule(engine); });
    for (std::uint32_t n = 0; n < processes_; ++n) start(engine, kFirstProc + n);
    if (kills_ > 0)
      engine.may_kill(kFirstProc, kFirstProc + processes_ - 1, kills_, kSchedulerProc,
                      [this](std::uint32_t dead) { exited(dead); });
  }

  std::string asleep(Engine& engine) override {
    for (std::uint32_t id = kFirstProc; id < kFirstProc + processes_; ++id)
      if (awaits_[id] && engine.has_fibers(id) && world_.process(id).done(*awaits_[id]))
        return fmt::format("process {} sleeps, and entry {} is done", id, awaits_[id]->index);
    return {};
  }

  std::string at_rest(Engine& engine) override {
    if (engine.has_fibers(kSchedulerProc)) return "everybody sleeps for ever" + world_.situation();
    return world_.left_over();
  }

 private:
  void start(Engine& engine, std::uint32_t id) {
    Process& p = world_.start(id, ProcKind::kWorker);
    engine.fiber(id, fmt::format("process {}", id), [this, &engine, &p] {
      Walker(engine, p, awaits_[p.id()]).walk(1 + engine.below(steps_));
      engine.fiber(kSchedulerProc, "reaper", [this, id = p.id()] { exited(id); });
    });
  }

  void exited(std::uint32_t id) {
    world_.control().proc[id].status.store(ProcStatus::kDead);
    exits_.push_back(id);
    world_.process(kSchedulerProc).ring_surely(kSchedulerProc);
  }

  void schedule(Engine& engine) {
    Process& p = world_.process(kSchedulerProc);
    std::vector<Ref> waiting;
    auto serve = [&] {
      std::vector<std::uint32_t> taken;
      p.take_all(Process::kSchedulerList, taken);
      for (std::uint32_t i : taken) {
        Ref ref{i, p.entry(i).load().generation()};
        if (!p.enqueue(i)) waiting.push_back(ref);
      }
      while (!waiting.empty()) {
        Ref ref = waiting.back();
        State s = p.entry(ref.index).load();
        if (s.generation() == ref.generation && s.phase() == Phase::kQueued && !p.requeue(ref.index)) break;
        waiting.pop_back();
      }
    };
    while (alive_ > 0) {
      std::uint32_t seen = p.bell();
      serve();
      while (!exits_.empty()) {
        std::uint32_t dead = exits_.back();
        exits_.pop_back();
        engine.joined(dead);
        bury(engine, p, dead, waiting);
        --alive_;
      }
      if (alive_ > 0) p.sleep(seen, waiting.empty() ? -1 : 1'000'000);
    }
    // The rest is failed, as a driver does that ends.
    for (bool idle = false; !idle;) {
      serve();
      std::uint32_t index = p.dequeue();
      idle = index == kNone && waiting.empty();
      if (index != kNone) p.publish_error(index, ErrorKind::kCancelled, "the program is over");
    }
  }

  void bury(Engine&, Process& p, std::uint32_t dead, std::vector<Ref>& waiting) {
    Process::SweepResult swept = p.sweep(dead);
    waiting.insert(waiting.end(), swept.queued.begin(), swept.queued.end());
    for (std::uint32_t i : swept.lost) {
      Entry& e = p.entry(i);
      p.adopt(i);
      if (e.part.retries_left > 0) {
        --e.part.retries_left;
        e.part.set_attempt(static_cast<std::uint8_t>(e.part.attempt + 1));
        p.revert(i, Phase::kPending);
        Ref ref{i, e.load().generation()};
        if (!p.enqueue(i)) waiting.push_back(ref);
      } else {
        p.publish_error(i, ErrorKind::kWorkerCrashed, "its worker was killed three times");
      }
    }
    p.slot(dead).status.store(ProcStatus::kFree);
  }

  std::string name_;
  std::uint32_t processes_, steps_;
  unsigned kills_;
  std::uint32_t alive_ = 0;
  std::vector<std::uint32_t> exits_;
  std::vector<std::optional<Ref>> awaits_;  // by process
};

}  // namespace

void add_object_programs(Programs& programs) {
  programs.push_back(std::make_unique<ObjectsProgram>("objects", 3, 12, 0));
  programs.push_back(std::make_unique<ObjectsProgram>("objects-many", 8, 10, 0));
  programs.push_back(std::make_unique<ObjectsProgram>("objects-killed", 3, 14, 2));
}

}  // namespace daybreak::runtime
