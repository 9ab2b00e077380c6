// One ring, several processes that push and take: linearizable? Checked by the four conditions of Henzinger, Sezgin and
// Vafeiadis (CONCUR 2013), and "full" by the same kind of argument.
#include <fmt/format.h>

#include <algorithm>

#include "daybreak/runtime/interleave/programs.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kNever = UINT64_MAX;

struct Event {
  bool push;
  bool ok;  // push: it went in; take: it came out
  std::uint32_t item;
  std::uint64_t begin, end;  // steps; end == kNever: killed in the middle
};

class QueueProgram : public RuntimeProgram {
 public:
  QueueProgram(std::string name, std::uint32_t processes, std::uint32_t operations, bool kills)
      : name_(std::move(name)), processes_(processes), operations_(operations), kills_(kills) {}
  std::string_view name() const override { return name_; }
  bool is_small() const override { return processes_ * operations_ <= 6; }

  void set_up(Engine& engine) override {
    world_.reset(processes_);
    events_.clear();
    for (std::uint32_t n = 0; n < processes_; ++n) {
      const std::uint32_t id = kFirstProc + n;
      Process& p = world_.start(id, ProcKind::kWorker);
      std::vector<std::uint32_t> items;
      for (std::uint32_t i = 0; i < operations_; ++i) {
        items.push_back(p.create(Kind::kTask)->index);
        Entry& e = p.entry(items.back());
        e.state.store(e.load().with_phase(Phase::kQueued).without_proc().word);
      }
      engine.fiber(id, fmt::format("process {}", id), [this, id, items, &engine] { work(engine, id, items); });
    }
    if (kills_) engine.may_kill(kFirstProc, kFirstProc + processes_ - 1, 2, kSchedulerProc, [](std::uint32_t) {});
  }

  std::string at_rest(Engine&) override {
    // What is still inside comes out now, in order; then it is empty for certain.
    Process last(world_.segment(), kFirstProc);
    for (;;) {
      std::uint32_t index = ProtocolInspector::take(last, 0);
      if (index == kNone) break;
      events_.push_back({false, true, index, kNever - 1, kNever});
    }
    return kills_ ? check_items(true) : check_items(false) + check_order();
  }

 private:
  void work(Engine& engine, std::uint32_t id, std::vector<std::uint32_t> items) {
    Process& p = world_.process(id);
    std::size_t next = 0;
    for (std::uint32_t i = 0; i < 2 * operations_; ++i) {
      bool push = next < items.size() && (i % 2 == 0 || engine.below(2) == 0);
      std::size_t at = events_.size();
      events_.push_back({push, false, push ? items[next] : 0, engine.steps(), kNever});
      if (push) {
        bool ok = ProtocolInspector::push(p, 0, items[next]);
        events_[at].ok = ok;
        next += ok;
      } else {
        std::uint32_t index = ProtocolInspector::take(p, 0);
        events_[at].ok = index != kNone;
        events_[at].item = index;
      }
      events_[at].end = engine.steps();
    }
  }

  std::string check_items(bool killed) const {
    std::vector<int> in(kMaxObjects), maybe(kMaxObjects), out(kMaxObjects);
    int lost = 0;  // a take that was killed may have taken one
    for (const Event& e : events_) {
      if (e.push && e.ok) ++in[e.item];
      if (e.push && e.end == kNever) ++maybe[e.item];
      if (!e.push && e.ok) ++out[e.item];
      lost += !e.push && e.end == kNever && !e.ok;
    }
    std::string wrong;
    for (std::uint32_t i = 0; i < kMaxObjects; ++i) {
      if (out[i] > 1) wrong += fmt::format("; item {} came out {} times", i, out[i]);
      if (out[i] > in[i] + maybe[i]) wrong += fmt::format("; item {} came out and never went in", i);
      if (in[i] > out[i] && !(killed && lost-- > 0)) wrong += fmt::format("; item {} went in and never came out", i);
    }
    return wrong;
  }

  std::string check_order() const {
    std::string wrong;
    std::vector<const Event*> in(kMaxObjects), out(kMaxObjects);
    for (const Event& e : events_)
      if (e.ok) (e.push ? in : out)[e.item] = &e;
    for (std::uint32_t a = 0; a < kMaxObjects; ++a)
      for (std::uint32_t b = 0; b < kMaxObjects; ++b) {
        if (!in[a] || !in[b] || !out[a] || !out[b] || in[a]->end >= in[b]->begin) continue;
        if (out[b]->end < out[a]->begin) wrong += fmt::format("; {} went in before {} and came out after it", a, b);
      }
    for (const Event& e : events_) {
      if (e.ok || e.end == kNever) continue;
      if (!e.push && never_empty(e.begin, e.end, in, out))
        wrong += fmt::format("; it said 'empty' (steps {} to {}) and never was", e.begin, e.end);
      if (e.push && never_full(e.begin, e.end, in, out))
        wrong += fmt::format("; it said 'full' (steps {} to {}) and never was", e.begin, e.end);
    }
    return wrong;
  }

  // Whether at each moment of [begin, end] some item was certainly inside.
  static bool never_empty(std::uint64_t begin, std::uint64_t end, const std::vector<const Event*>& in,
                          const std::vector<const Event*>& out) {
    std::uint64_t covered = begin;
    for (bool more = true; more && covered <= end;) {
      more = false;
      for (std::uint32_t i = 0; i < in.size(); ++i)
        if (in[i] && out[i] && in[i]->end < covered && out[i]->begin > covered) {
          covered = out[i]->begin;
          more = true;
        }
    }
    return covered > end;
  }

  // Whether at no moment of [begin, end] as many items as there are cells may have been inside.
  static bool never_full(std::uint64_t begin, std::uint64_t end, const std::vector<const Event*>& in,
                         const std::vector<const Event*>& out) {
    for (std::uint64_t t = begin; t <= end; ++t) {
      std::uint32_t most = 0;
      for (std::uint32_t i = 0; i < in.size(); ++i) most += in[i] && in[i]->begin <= t && (!out[i] || out[i]->end >= t);
      if (most >= kRingCells) return false;
    }
    return true;
  }

  std::string name_;
  std::uint32_t processes_, operations_;
  bool kills_;
  std::vector<Event> events_;
};

}  // namespace

void add_queue_programs(Programs& programs) {
  programs.push_back(std::make_unique<QueueProgram>("queue-2", 2, 3, false));
  programs.push_back(std::make_unique<QueueProgram>("queue-4", 4, 8, false));
  programs.push_back(std::make_unique<QueueProgram>("queue-killed", 3, 6, true));
}

}  // namespace daybreak::runtime
