// Values that move to disk and back: processes that put, read, spill, restore and drop the same large objects in a store
// that has room for few of them, on a disk that may be full and may lose a file. Whoever reads a value must find its
// bytes for as long as he keeps it in place, or the error of one that was lost; in the end neither memory nor a file may
// be left.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "daybreak/runtime/interleave/disk.h"
#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kSpillSizes[] = {70'000, 140'000, 400'000, 900'000};
constexpr std::uint32_t kSpillShared = 3;  // objects that all processes hold in the beginning

class SpillProgram : public RuntimeProgram {
 public:
  SpillProgram(std::string name, std::uint32_t processes, std::uint32_t steps, unsigned kills, bool faulty)
      : name_(std::move(name)), processes_(processes), steps_(steps), kills_(kills), faulty_(faulty) {}
  std::string_view name() const override { return name_; }

  void set_up(Engine& engine) override {
    world_.reset(1);
    disk_ = {};
    world_.control().spill_above = 1'300'000;  // of 2 MB
    std::vector<Process*> processes;
    for (std::uint32_t i = 0; i < processes_; ++i) {
      processes.push_back(&world_.start(kFirstProc + i, ProcKind::kWorker));
      processes.back()->keep_spilled_in(std::make_unique<DiskFiles>(engine, disk_, faulty_));
    }
    std::vector<Ref> shared;
    for (std::uint32_t i = 0; i < kSpillShared; ++i) {
      shared.push_back(put(*processes[0], kSpillSizes[i]).value());
      for (std::uint32_t other = 1; other < processes_; ++other) processes[other]->hold(shared.back());
    }
    for (Process* p : processes)
      engine.fiber(p->id(), fmt::format("process {}", p->id()),
                   [this, &engine, p, shared] { walk(engine, *p, shared); });
    if (kills_ > 0)
      engine.may_kill(kFirstProc, kFirstProc + processes_ - 1, kills_, kSchedulerProc, [this](std::uint32_t dead) {
        Engine& now = Engine::get();
        now.joined(dead);
        world_.control().proc[dead].status.store(ProcStatus::kDead);
        Process p(world_.segment(), kSchedulerProc);
        p.keep_spilled_in(std::make_unique<DiskFiles>(now, disk_, false));
        std::ignore = p.sweep(dead);
      });
  }

  std::string at_rest(Engine& engine) override {
    for (std::uint32_t id = kFirstProc; id < kFirstProc + processes_; ++id)
      if (engine.has_fibers(id)) return fmt::format("process {} sleeps for ever", id) + world_.situation();
    std::string left = world_.left_over();
    if (!disk_.files.empty()) left += fmt::format("; {} files are left", disk_.files.size());
    Control& c = world_.control();
    for (std::uint32_t i = 0; i < kMaxObjects; ++i)
      for (const auto& word : c.readers[i].word)
        if (word.load() != 0) left += fmt::format("; entry {} has readers {:x}", i, word.load());
    return left;
  }

 private:
  static std::byte bytes_of(Ref ref) { return static_cast<std::byte>(ref.index * 31 + ref.generation * 7 + 1); }

  static std::optional<Ref> put(Process& p, std::uint64_t size) {
    const Ref ref = p.create(Kind::kValue).value();
    auto at = p.set_value(ref.index, size, {}, 0);
    if (!at) {
      p.abandon(ref.index);
      return std::nullopt;
    }
    for (std::uint64_t i : looked_at(size)) (*at)[i] = bytes_of(ref);
    p.publish(ref.index, false);
    return ref;
  }

  void check(Engine& engine, Process& p, Ref ref) {
    if (p.settled(ref.index).phase() == Phase::kError) {
      if (disk_.lost == 0) engine.fail(fmt::format("entry {} is lost", ref.index));
      return;
    }
    const std::span<const std::byte> bytes = p.value(ref.index);
    bool mine = !bytes.empty();
    for (std::size_t i = 0; mine && i < 3; ++i) mine = bytes[looked_at(bytes.size())[i]] == bytes_of(ref);
    if (!mine) engine.fail(fmt::format("process {} reads other bytes of entry {}", p.id(), ref.index));
  }

  void read(Engine& engine, Process& p, Ref ref) {
    os::Mapping elsewhere;
    p.keep_in_place(ref);
    if (p.bring_back(ref, engine.below(2) == 0 ? &elsewhere : nullptr) && !elsewhere) {
      check(engine, p, ref);
      if (engine.below(3) == 0) std::ignore = p.spill(1);  // not this one
      check(engine, p, ref);
    }
    p.let_move(ref);
  }

  void walk(Engine& engine, Process& p, std::vector<Ref> held) {
    for (std::uint32_t i = 0; i < steps_; ++i) {
      const Ref some = held.empty() ? kNoRef : held[engine.below(static_cast<std::uint32_t>(held.size()))];
      switch (engine.below(5)) {
        case 0: std::ignore = p.spill(1 + engine.below(500'000)); break;
        case 1:
          if (auto ref = put(p, kSpillSizes[engine.below(std::size(kSpillSizes))])) held.push_back(*ref);
          break;
        case 2:
          if (held.empty()) break;
          p.release(some);
          std::erase(held, some);
          break;
        default:
          if (!held.empty()) read(engine, p, some);
      }
    }
    for (Ref ref : held) p.release(ref);
  }

  std::string name_;
  std::uint32_t processes_, steps_;
  unsigned kills_;
  bool faulty_;
  Disk disk_;
};

}  // namespace

void add_spill_programs(Programs& programs) {
  programs.push_back(std::make_unique<SpillProgram>("spill", 3, 6, 0, false));
  programs.push_back(std::make_unique<SpillProgram>("spill-faulty", 3, 6, 0, true));
  programs.push_back(std::make_unique<SpillProgram>("spill-killed", 3, 6, 2, false));
}

}  // namespace daybreak::runtime
