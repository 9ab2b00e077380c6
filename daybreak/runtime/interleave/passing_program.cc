// One object that is never held for long: it goes from a holder to a task's arguments to the next holder, again and
// again, while another process drops it and looks twice whether anybody is left.
#include <fmt/format.h>

#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kPassers = 2, kDroppers = 2, kPasses = 4;

class PassingProgram : public RuntimeProgram {
  std::string_view name() const override { return "passing"; }

  void set_up(Engine& engine) override {
    world_.reset(1);
    left_ = kPasses;
    for (std::uint32_t id = 2; id < 2 + kPassers + kDroppers; ++id) world_.start(id, ProcKind::kWorker);
    Process& first = world_.process(2);
    ref_ = first.create(Kind::kValue).value();
    first.publish(ref_.index, false);
    for (std::uint32_t id = 3; id < 2 + kPassers + kDroppers; ++id)
      if (id >= 2 + kPassers) world_.process(id).hold(ref_);
    for (std::uint32_t id = 2; id < 2 + kPassers; ++id)
      engine.fiber(id, fmt::format("passer {}", id),
                   [this, id, &engine] { pass(engine, world_.process(id), id == 2); });
    for (std::uint32_t id = 2 + kPassers; id < 2 + kPassers + kDroppers; ++id)
      engine.fiber(id, fmt::format("dropper {}", id), [this, id] { world_.process(id).release(ref_); });
  }

  std::string at_rest(Engine&) override { return world_.left_over(); }

  void pass(Engine& engine, Process& p, bool has_it) {
    while (has_it || left_ > 0) {
      if (!has_it) {
        std::uint32_t index = p.dequeue();
        if (index == kNone) {
          base::cpu_pause();
          continue;
        }
        p.hold(ref_);
        p.publish(index, false);
        if (p.set_waiter(ref_)) engine.fail("told to wait for an object that is done");
        if (p.entry(ref_.index).load().generation() != ref_.generation)
          engine.fail("the object is gone while it is held");
      }
      has_it = false;
      if (left_ == 0 || --left_ == 0) return p.release(ref_);
      Ref task = p.create(Kind::kTask).value();
      if (!p.set_args(task.index, 8, std::span(&ref_, 1), 0, 0)) engine.fail("no memory");
      p.release(ref_);
      if (!p.enqueue(task.index)) engine.fail("no room");
      p.release(task);
    }
  }

  Ref ref_;
  std::uint32_t left_ = 0;
};

}  // namespace

void add_passing_program(Programs& programs) {
  programs.push_back(std::make_unique<PassingProgram>());
}

}  // namespace daybreak::runtime
