// What programs share in which the whole runtime runs, but for Python and the operating system: a driver, the scheduler, and
// processes that the scheduler launches, which are fibers and may be killed.
#pragma once

#include <fmt/format.h>
#include <signal.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "daybreak/runtime/interleave/world.h"
#include "daybreak/runtime/scheduler.h"

namespace daybreak::runtime {

class ScheduledProgram : public RuntimeProgram, public Launcher {
 public:
  std::string_view name() const override { return name_; }

  std::string asleep(Engine&) override { return world_.idle_beside_work(); }

  std::string at_rest(Engine& engine) override {
    if (std::string wrong = asleep(engine); !wrong.empty()) return wrong;
    if (!driver_done_) return "everybody sleeps for ever" + world_.situation();
    return world_.left_over();
  }

 protected:
  explicit ScheduledProgram(std::string name) : name_(std::move(name)) {}

  // In set_up(), first.
  void reset(Engine& engine, std::uint32_t cpus) {
    engine_ = &engine;
    world_.reset(cpus);
    driver_done_ = false;
  }
  // And then: at most so many processes are killed.
  void begin(unsigned kills) {
    Process& driver = start(kDriverProc, ProcKind::kDriver);
    Process& self = start(kSchedulerProc, ProcKind::kDriver);
    client_ = std::make_unique<Client>(driver);
    scheduler_ = std::make_unique<Scheduler>(self, driver, SchedulerOptions{}, *this);
    engine_->fiber(kSchedulerProc, "scheduler", [this] { scheduler_->run(); });
    engine_->fiber(kDriverProc, "driver", [this] {
      drive();
      driver_done_ = true;
    });
    if (kills == 0) return;
    engine_->may_kill(kFirstProc, kMaxProcs - 1, kills, kReaper, [this](std::uint32_t dead) {
      was_killed(dead);
      reap(dead, SIGKILL);
    });
  }

  // A fiber of a process that ends as processes do.
  void be(Process& p, std::string name, std::function<void()> what) {
    engine_->fiber(p.id(), std::move(name), [this, id = p.id(), what = std::move(what)] {
      what();
      engine_->fiber(kReaper, "reaper", [this, id] { reap(id, 0); });
    });
  }

  virtual Process& start(std::uint32_t id, ProcKind kind) { return world_.start(id, kind); }
  virtual void drive() = 0;
  // One task or call, in a worker.
  virtual void run(Client& client, std::uint32_t index) = 0;
  virtual void was_killed(std::uint32_t) {}

  // -- Launcher --
  bool launch(std::uint32_t proc, ProcKind kind, std::uint32_t actor) override {
    Process& p = start(proc, kind);
    world_.control().proc[proc].status.store(ProcStatus::kStarting);
    const bool is_actor = kind == ProcKind::kActor;
    be(p, fmt::format("{} {}", is_actor ? "actor" : "worker", proc),
       [this, &p, of = is_actor ? actor : kNone] { live(p, of); });
    return true;
  }
  void signal(std::uint32_t proc, int signo) override {
    if (signo != SIGKILL || !engine_->has_fibers(proc)) return;
    engine_->kill(proc);
    engine_->fiber(kReaper, "reaper", [this, proc] { reap(proc, SIGKILL); });
  }
  void buried(std::uint32_t) override {}

  std::string name_;
  Engine* engine_ = nullptr;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Scheduler> scheduler_;
  bool driver_done_ = false;

 private:
  static constexpr std::uint32_t kReaper = kMaxProcs;  // no process: cannot be killed

  void reap(std::uint32_t proc, int status) {
    engine_->joined(proc);
    scheduler_->exited({.proc = proc, .status = status});
  }

  void live(Process& p, std::uint32_t actor) {
    Client client(p);
    WorkerLoop loop(client, actor);
    p.slot().status.store(ProcStatus::kAlive);
    if (actor != kNone) p.control().actor[actor].status.store(ActorStatus::kAlive);
    for (;;) {
      std::uint32_t index = 0;
      WorkerLoop::Next next = loop.poll(index);
      if (next == WorkerLoop::Next::kIdle) next = loop.wait(index, -1);
      if (next == WorkerLoop::Next::kExit) return;
      if (next != WorkerLoop::Next::kTask) continue;
      run(client, index);
      loop.finished();
    }
  }
};

}  // namespace daybreak::runtime
