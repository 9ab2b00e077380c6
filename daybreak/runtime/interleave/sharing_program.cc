// One object that several processes hold at the same time, each from two threads: whoever holds it finds it whole,
// however holds and releases of the others fall together, and the last release frees it.
#include <fmt/format.h>

#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kSharers = 3, kThreads = 2, kTimes = 2;

class SharingProgram : public RuntimeProgram {
  std::string_view name() const override { return "sharing"; }

  void set_up(Engine& engine) override {
    world_.reset(1);
    holds_ = 0;
    Process& maker = world_.start(kFirstProc, ProcKind::kWorker);
    ref_ = maker.create(Kind::kValue).value();
    *maker.set_value(ref_.index, 100, {}, 0).value() = std::byte{42};
    maker.publish(ref_.index, false);
    for (std::uint32_t i = 1; i <= kSharers; ++i) {
      Process& sharer = world_.start(kFirstProc + i, ProcKind::kWorker);
      for (std::uint32_t t = 0; t < kThreads; ++t)
        engine.fiber(sharer.id(), fmt::format("process {}.{}", sharer.id(), t), [this, &engine, &sharer] {
          for (std::uint32_t i = 0; i < kTimes; ++i) {
            sharer.hold(ref_);
            ++holds_;
            look(engine, sharer);
            // The last hold of each waits until nobody will take it from the maker any more.
            while (i + 1 == kTimes && holds_ < kSharers * kThreads * kTimes) base::cpu_pause();
            look(engine, sharer);
            sharer.release(ref_);
          }
        });
    }
    engine.fiber(maker.id(), "maker", [this, &maker] {
      while (holds_ < kSharers * kThreads * kTimes) base::cpu_pause();
      maker.release(ref_);
    });
  }

  std::string at_rest(Engine&) override { return world_.left_over(); }

  void look(Engine& engine, Process& p) {
    if (p.set_waiter(ref_)) engine.fail(fmt::format("process {} is told to wait for what is done", p.id()));
    State s = p.settled(ref_.index);
    if (s.generation() != ref_.generation || s.phase() != Phase::kReady || p.value(ref_.index)[0] != std::byte{42})
      engine.fail(fmt::format("process {} holds an object that is gone", p.id()));
  }

  Ref ref_;
  std::uint32_t holds_ = 0;
};

}  // namespace

void add_sharing_program(Programs& programs) {
  programs.push_back(std::make_unique<SharingProgram>());
}

}  // namespace daybreak::runtime
