// Results that are lost and computed again: a driver that makes chains of large values, drops what is in between, and reads
// what it has kept, tasks that read each other's results, on a disk that may lose any file whenever it is read; workers
// may be killed. Each value is a function of its task's number and arguments, so whoever reads one knows whether it is
// true. Nobody may wait for ever, no task may run more often than it was sent to, and in the end nothing may be left.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "daybreak/runtime/interleave/disk.h"
#include "daybreak/runtime/interleave/programs.h"
#include "daybreak/runtime/interleave/scheduled.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kLineageSizes[] = {70'000, 140'000};

struct LineageShape {
  std::string name;
  std::uint32_t steps = 6;
  unsigned kills = 0;
  bool forgetful = true;
};

class LineageProgram : public ScheduledProgram {
 public:
  explicit LineageProgram(LineageShape shape) : ScheduledProgram(shape.name), shape_(std::move(shape)) {}

  void set_up(Engine& engine) override {
    reset(engine, 2);
    disk_ = {};
    awaited_.reset();
    truth_.clear();
    ran_ = submitted_ = died_ = 0;
    world_.control().spill_above = 500'000;  // of 2 MB
    begin(shape_.kills);
  }

  std::string asleep(Engine& engine) override {
    if (awaited_ && client_->process().done(*awaited_))
      return "the driver sleeps, and what it waits for is done" + world_.situation();
    return ScheduledProgram::asleep(engine);
  }

  std::string at_rest(Engine& engine) override {
    std::string left = ScheduledProgram::at_rest(engine);
    if (!left.empty()) return left;
    Control& c = world_.control();
    if (const std::uint64_t most = submitted_ + c.computed_again.load() + died_; ran_ > most)
      return fmt::format("{} tasks have run {} times, and were sent to {} times", submitted_, ran_, most);
    if (!disk_.files.empty()) left += fmt::format("; {} files are left", disk_.files.size());
    for (std::uint32_t i = 0; i < kMaxObjects; ++i) {
      if (c.lineage_pins[i].load() != 0) left += fmt::format("; entry {} is in somebody's lineage", i);
      for (const auto& word : c.readers[i].word)
        if (word.load() != 0) left += fmt::format("; entry {} has readers {:x}", i, word.load());
    }
    return left;
  }

 private:
  Process& start(std::uint32_t id, ProcKind kind) override {
    Process& p = world_.start(id, kind);
    p.keep_spilled_in(std::make_unique<DiskFiles>(*engine_, disk_, false, shape_.forgetful));
    return p;
  }
  void was_killed(std::uint32_t) override { ++died_; }

  // Gives its number and what its arguments are, added up.
  void run(Client& client, std::uint32_t index) override {
    Process& p = client.process();
    Client::current_task = index + 1;
    ++ran_;
    std::uint32_t sum = static_cast<std::uint32_t>(p.args(index)[0]);
    bool ok = true;
    const std::span<const Ref> refs = p.args_refs(index);
    for (const Ref dep : std::vector<Ref>(refs.begin(), refs.end())) {
      const auto value = read(client, dep);
      ok = ok && value.has_value();
      sum += value.value_or(0);
    }
    if (!ok || !write(p, index, sum))
      client.fail(index, ok ? ErrorKind::kStoreFull : ErrorKind::kObjectLost, "an argument is lost");
    else
      p.publish(index, false);
    Client::current_task = 0;
  }

  bool write(Process& p, std::uint32_t index, std::uint32_t sum) {
    const std::uint64_t size = kLineageSizes[sum % 2];
    auto at = p.set_value(index, size, {}, 0);
    if (!at) return false;
    for (std::uint64_t i : looked_at(size)) (*at)[i] = static_cast<std::byte>(sum);
    return true;
  }

  // As the language binding does it (read_in_place). Nothing: it is lost.
  std::optional<std::uint32_t> read(Client& client, Ref ref) {
    Process& p = client.process();
    for (;;) {
      if (p.settled(ref.index).phase() == Phase::kError) return std::nullopt;  // and perhaps never had a large value
      p.keep_in_place(ref);
      os::Mapping elsewhere;
      const base::Status back = p.bring_back(ref, engine_->below(2) == 0 ? &elsewhere : nullptr);
      const bool error = !elsewhere && p.settled(ref.index).phase() == Phase::kError;
      if (!back || elsewhere || error) {
        p.let_move(ref);
        if (error) return std::nullopt;
        if (!back) std::ignore = p.spill(1);  // it has found no room
        if (elsewhere) return static_cast<std::uint32_t>(elsewhere.bytes()[0]);
        continue;
      }
      if (p.settled(ref.index).phase() == Phase::kReady) {
        const std::span<const std::byte> bytes = p.value(ref.index);
        bool whole = !bytes.empty();
        for (std::size_t i = 0; whole && i < 3; ++i) whole = bytes[looked_at(bytes.size())[i]] == bytes[0];
        if (!whole) engine_->fail(fmt::format("process {} reads half a value of entry {}", p.id(), ref.index));
        const auto sum = whole ? static_cast<std::uint32_t>(bytes[0]) : 0;
        p.let_move(ref);
        return sum;
      }
      p.let_move(ref);
      await(client, ref);  // it is computed again, or is an error by now
    }
  }

  void await(Client& client, Ref ref) {
    if (&client == client_.get()) awaited_ = ref;
    while (client.wait(ref, -1) == WaitResult::kInterrupted) {
    }
    if (&client == client_.get()) awaited_.reset();
  }

  // -- the driver --
  std::uint32_t below(std::size_t n) { return engine_->below(static_cast<std::uint32_t>(n)); }

  void drive() override {
    Process& p = client_->process();
    function_ = client_->put({}).value();
    std::vector<Ref> held;
    for (std::uint32_t i = 0; i < shape_.steps; ++i) {
      switch (below(6)) {
        case 0:
          if (const Ref ref = p.create(Kind::kValue).value(); write(p, ref.index, i)) {
            p.publish(ref.index, false);
            truth_[disk_key(ref)] = i;
            held.push_back(ref);
          } else {
            p.abandon(ref.index);
          }
          break;
        case 1: std::ignore = p.spill(1 + below(500'000)); break;
        case 2:
          if (!held.empty()) check(held[below(held.size())]);
          break;
        default: submit(i, held);
      }
      if (!held.empty() && below(3) == 0) {
        const std::size_t at = below(held.size());
        p.release(held[at]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
    for (const Ref ref : held) {
      check(ref);
      std::ignore = p.spill(1 + below(300'000));
    }
    for (const Ref ref : held) check(ref);
    for (const Ref ref : held) p.release(ref);
    p.release(function_);
  }

  void submit(std::uint32_t i, std::vector<Ref>& held) {
    std::vector<Ref> deps;
    std::uint32_t sum = i;
    for (std::uint32_t n = held.empty() ? 0 : below(3); n > 0; --n) {
      deps.push_back(held[below(held.size())]);
      sum += truth_[disk_key(deps.back())];
    }
    numbers_[i] = static_cast<std::byte>(i);
    Payload payload;
    payload.pieces.push_back({&numbers_[i], 1, 1});
    payload.deps = static_cast<std::uint16_t>(deps.size());
    payload.refs = std::move(deps);
    const auto retries = static_cast<std::int16_t>(below(4) == 0 ? 0 : below(2) == 0 ? 2 : -1);
    std::vector<Ref> results;
    if (!client_->submit({.function = function_, .max_retries = retries}, payload, results)) return;
    ++submitted_;
    truth_[disk_key(results[0])] = sum;
    held.push_back(results[0]);
  }

  void check(Ref ref) {
    await(*client_, ref);
    const auto value = read(*client_, ref);
    if (!value && disk_.lost == 0 && shape_.kills == 0 &&
        client_->process().entry(ref.index).error == ErrorKind::kObjectLost)
      engine_->fail(fmt::format("entry {} is lost, and the disk has lost nothing", ref.index));
    if (value && *value != (truth_[disk_key(ref)] & 0xff))
      engine_->fail(fmt::format("entry {} is {} instead of {}", ref.index, *value, truth_[disk_key(ref)]));
  }

  LineageShape shape_;
  Disk disk_;
  std::map<std::uint64_t, std::uint32_t> truth_;  // by object
  std::byte numbers_[32] = {};
  Ref function_;
  std::optional<Ref> awaited_;
  std::uint64_t ran_ = 0, submitted_ = 0, died_ = 0;
};

}  // namespace

void add_lineage_programs(Programs& programs) {
  auto add = [&](LineageShape shape) { programs.push_back(std::make_unique<LineageProgram>(std::move(shape))); };
  add({.name = "lineage", .steps = 8});
  add({.name = "lineage-quiet", .steps = 8, .forgetful = false});
  add({.name = "lineage-killed", .steps = 8, .kills = 2});
}

}  // namespace daybreak::runtime
