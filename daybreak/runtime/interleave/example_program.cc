// The smallest program: two processes hold and drop one object at once; in the end nothing is left. Begin yours from
// here.
#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

class ExampleProgram : public RuntimeProgram {
  std::string_view name() const override { return "example"; }
  bool is_small() const override { return true; }  // every schedule with two preemptions is tried

  void set_up(Engine& engine) override {
    world_.reset(1);
    Process& maker = world_.start(2, ProcKind::kWorker);
    Process& other = world_.start(3, ProcKind::kWorker);
    Ref ref = maker.create(Kind::kValue).value();
    maker.publish(ref.index, false);
    other.hold(ref);
    for (Process* p : {&maker, &other}) engine.fiber(p->id(), "process", [p, ref] { p->release(ref); });
  }

  std::string at_rest(Engine&) override { return world_.left_over(); }
};

}  // namespace

void add_example_program(Programs& programs) {
  programs.push_back(std::make_unique<ExampleProgram>());
}

}  // namespace daybreak::runtime
