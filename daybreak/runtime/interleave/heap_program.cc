// The store when it is short: processes with blocks of many sizes in few chunks, so that whoever finds no room reclaims
// the chunks of others while they take blocks from them. Nobody may ever be in another's block, and no chunk may be
// lost.
#include <fmt/format.h>

#include <cstring>

#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kBlockSizes[] = {100, 200, 400, 900, 1800, 3500, 7000, 15'000, 30'000, 60'000};

class HeapProgram : public RuntimeProgram {
 public:
  HeapProgram(std::string name, unsigned kills) : name_(std::move(name)), kills_(kills) {}
  std::string_view name() const override { return name_; }

  void set_up(Engine& engine) override {
    world_.reset(1);
    Process& first = world_.start(kFirstProc, ProcKind::kWorker);
    // Outside of fibers: five of eight chunks are one object's.
    large_ = first.create(Kind::kValue).value();
    if (!first.set_value(large_.index, 5 * kChunkBytes - 100, {}, 0)) engine.fail("no room for the first object");
    first.publish(large_.index, false);
    for (std::uint32_t i = 1; i < 3; ++i) {
      Process& other = world_.start(kFirstProc + i, ProcKind::kWorker);
      engine.fiber(other.id(), fmt::format("process {}", other.id()), [this, &engine, &other] { walk(engine, other); });
    }
    engine.fiber(first.id(), "process 2", [this, &engine, &first] {
      walk(engine, first);
      first.release(large_);
      walk(engine, first);  // with room for more chunks
    });
    if (kills_ > 0)
      engine.may_kill(kFirstProc + 1, kFirstProc + 2, kills_, kSchedulerProc, [this](std::uint32_t dead) {
        Engine::get().joined(dead);
        Process p(world_.segment(), kSchedulerProc);
        (void)p.sweep(dead);
      });
  }

  std::string at_rest(Engine&) override { return world_.left_over(); }

 private:
  static void walk(Engine& engine, Process& p) {
    struct Block {
      Ref ref;
      std::uint64_t size;
    };
    std::vector<Block> held;
    auto drop = [&](std::uint32_t at) {
      std::span<const std::byte> bytes = p.value(held[at].ref.index);
      const auto mine = static_cast<std::byte>(p.id());
      if (bytes.size() != held[at].size || bytes.front() != mine || bytes.back() != mine)
        engine.fail(fmt::format("a block of process {} has somebody else's bytes", p.id()));
      p.release(held[at].ref);
      held.erase(held.begin() + at);
    };
    for (std::uint32_t i = 0; i < 10; ++i) {
      if (!held.empty() && engine.below(3) == 0) {
        drop(engine.below(static_cast<std::uint32_t>(held.size())));
        continue;
      }
      std::uint64_t size = kBlockSizes[engine.below(std::size(kBlockSizes))];
      auto ref = p.create(Kind::kValue);
      if (!ref) continue;
      auto at = p.set_value(ref->index, size, {}, 0);
      if (!at) {
        p.abandon(ref->index);
        continue;
      }
      std::memset(*at, static_cast<int>(p.id()), size);
      p.publish(ref->index, false);
      held.push_back({*ref, size});
    }
    while (!held.empty()) drop(0);
  }

  std::string name_;
  unsigned kills_;
  Ref large_;
};

}  // namespace

void add_heap_programs(Programs& programs) {
  programs.push_back(std::make_unique<HeapProgram>("heap", 0));
  programs.push_back(std::make_unique<HeapProgram>("heap-killed", 2));
}

}  // namespace daybreak::runtime
