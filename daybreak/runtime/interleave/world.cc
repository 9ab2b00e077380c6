#include "daybreak/runtime/interleave/world.h"

#include <fmt/format.h>

#include <cstring>

namespace daybreak::runtime {

namespace {
const char* phase_name(Phase phase) {
  static const char* names[] = {"free",  "created", "pending",  "queued",  "running",  "ready",
                                "error", "dying",   "spilling", "spilled", "restoring"};
  return names[static_cast<std::size_t>(phase)];
}
// The field of an entry at that place.
std::string describe_entry(Control& control, const char* byte) {
  const std::size_t i = static_cast<std::size_t>(byte - reinterpret_cast<const char*>(&control.entry)) / sizeof(Entry);
  Entry& e = control.entry[i];
  auto inside = [&](const void* begin, std::size_t size) {
    return byte >= static_cast<const char*>(begin) && byte < static_cast<const char*>(begin) + size;
  };
  const char* field = inside(&e.state, 8)                ? "state"
                      : inside(&e.pins, 8)               ? "pins"
                      : inside(&e.next, 4)               ? "next"
                      : inside(&e.holders, 8)            ? "holders"
                      : inside(&e.far_groups, 4)         ? "far_groups"
                      : inside(&e.kind, 1)               ? "kind"
                      : inside(&e.value, sizeof e.value) ? "value"
                                                         : "part";
  return fmt::format("entry[{}].{}", i, field);
}

}  // namespace

World::World() : segment_(Segment::create({.data_capacity = 2u << 20, .num_cpus = 1}).value()), processes_(kMaxProcs) {}

void World::reset(std::uint32_t num_cpus) {
  processes_.clear();
  processes_.resize(kMaxProcs);
  graveyard_.clear();
  Control& c = control();
  Engine::get().watch(&c, sizeof c);
  Engine::get().watch(segment_->data(0), c.data_capacity);
  const std::uint64_t magic = c.magic, capacity = c.data_capacity, session = c.session;
  std::memset(static_cast<void*>(&c), 0, sizeof c);
  c.magic = magic;
  c.data_capacity = capacity;
  c.session = session;
  c.num_cpus = num_cpus;
  c.cores = 1;
  c.committed = capacity;
  for (std::uint64_t i = 0; i < segment_->granules(); ++i) segment_->run(i).store(0);
  for (std::uint64_t i = 0; i < segment_->granules(); i += kChunkGranules)
    std::memset(static_cast<void*>(&segment_->tags(i)), 0, sizeof(ChunkTags));
  ResourceTable& table = c.resources;
  std::strcpy(table.name[0], "CPU");
  std::strcpy(table.name[1], "GPU");
  table.names = 2;
  table.total[0] = num_cpus * kResourceUnit;
  table.set[0].cpu = kResourceUnit;
  table.sets = 1;
}

Process& World::start(std::uint32_t id, ProcKind kind) {
  if (processes_[id] != nullptr) graveyard_.push_back(std::move(processes_[id]));
  processes_[id] = std::make_unique<Process>(*segment_, id);
  ProcSlot& slot = control().proc[id];
  slot.kind = kind;
  slot.pid = static_cast<std::int32_t>(id);
  slot.status.store(ProcStatus::kAlive);
  return *processes_[id];
}

std::string World::left_over() {
  std::string text;
  Process p(*segment_, kSchedulerProc);
  p.for_each_entry([&](std::uint32_t i) {
    Entry& e = p.entry(i);
    State s = e.load();
    text += fmt::format("; entry {} is left: {}, kind {}, holders {:x}, pins {}, process {}", i, phase_name(s.phase()),
                        static_cast<int>(e.kind), e.holders.load(), e.pins.load(), s.proc_plus_one());
  });
  for (std::uint32_t i = 0; i < control().entry_blocks_used.load() * kEntriesPerBlock; ++i)
    for (std::uint32_t proc = 0; proc < p.procs_used(); ++proc) {
      const base::Atomic<std::uint64_t>& word =
          proc < kProcsPerWord ? p.entry(i).holders : control().far_holders[holder_group(proc)][i];
      if ((word.load() & holder_bit(proc)) != 0) text += fmt::format("; process {} is a holder of entry {}", proc, i);
    }
  p.reclaim_chunks();
  if (p.bytes_used() != 0) text += fmt::format("; {} bytes of the store are taken", p.bytes_used());
  for (std::uint32_t i = 0; i < control().num_cpus; ++i)
    if (std::uint32_t holder = control().token[i].holder.load())
      text += fmt::format("; token {} is held by {}", i, holder - 1);
  if (p.dequeue() != kNone) text += "; a task is queued";
  if (!p.list_empty(Process::kSchedulerList)) text += "; the scheduler's inbox is not empty";
  if (std::uint32_t holder = control().heap_lock.holder.load())
    text += fmt::format("; process {} has the heap lock", holder - 1);
  if (std::uint32_t holder = control().names_lock.holder.load())
    text += fmt::format("; process {} has the lock of names", holder - 1);
  return text.empty() ? text : "something is left" + text;
}

std::string World::situation() {
  std::string text;
  Process p(*segment_, kSchedulerProc);
  p.for_each_entry([&](std::uint32_t i) {
    State s = p.entry(i).load();
    if (s.done()) return;
    text += fmt::format("; entry {} {}", i, phase_name(s.phase()));
    if (s.proc_plus_one() != 0) text += fmt::format(" by {}", s.proc_plus_one() - 1);
    if (s.waiter() != 0) text += fmt::format(", {:x} waits", s.waiter() - 1);
  });
  for (std::uint32_t i = 0; i < kRings; ++i) {
    const Ring& ring = control().ring[i];
    if (ring.head.load() != ring.tail.load() || (ring.cell[ring.head.load() % kRingCells].load() & 1) != 0)
      text += fmt::format("; ring {} from {} to {}", i, ring.head.load(), ring.tail.load());
  }
  text += fmt::format("; rest {:x}", control().rest[0].load());
  for (std::uint32_t i = 0; i < control().num_cpus; ++i)
    text += fmt::format("{}{}", i == 0 ? "; tokens " : ",", control().token[i].holder.load());
  return text;
}

std::string World::idle_beside_work() {
  Process p(*segment_, kSchedulerProc);
  bool queued = false;
  p.for_each_entry([&](std::uint32_t i) {
    queued |=
        p.entry(i).load().phase() == Phase::kQueued && p.entry(i).kind == Kind::kTask && p.entry(i).part.target == 0;
  });
  bool token = false;
  for (std::uint32_t i = 0; i < control().num_cpus; ++i) token |= control().token[i].holder.load() == 0;
  std::string idle;
  for (std::uint32_t proc = kFirstProc; proc < kMaxProcs; ++proc)
    if (p.is_idle(proc) && control().proc[proc].status.load() == ProcStatus::kAlive) idle += fmt::format(" {}", proc);
  if (!queued || !token || idle.empty()) return {};
  return "a task is queued, a CPU is free, and workers sleep:" + idle + situation();
}

std::string World::describe(const void* at) {
  const auto* byte = static_cast<const char*>(at);
  auto inside = [&](const void* begin, std::size_t size) {
    return byte >= static_cast<const char*>(begin) && byte < static_cast<const char*>(begin) + size;
  };
  Control& c = control();
  if (inside(&c.entry, sizeof c.entry)) return describe_entry(c, byte);
  for (std::uint32_t i = 0; i < kRings; ++i) {
    Ring& ring = c.ring[i];
    if (inside(&ring.head, 8)) return fmt::format("ring[{}].head", i);
    if (inside(&ring.tail, 8)) return fmt::format("ring[{}].tail", i);
    if (inside(&ring.cell, sizeof ring.cell))
      return fmt::format("ring[{}].cell[{}]", i, (byte - reinterpret_cast<const char*>(&ring.cell)) / 8);
  }
  if (inside(&c.token, sizeof c.token))
    return fmt::format("token[{}]", (byte - reinterpret_cast<const char*>(&c.token)) / 64);
  for (std::uint32_t i = 0; i < kMaxProcs; ++i) {
    ProcSlot& slot = c.proc[i];
    if (!inside(&slot, sizeof slot)) continue;
    const char* field = inside(&slot.bell, 4)                            ? "bell"
                        : inside(&slot.status, 4)                        ? "status"
                        : inside(&slot.blocked, 4)                       ? "blocked"
                        : inside(&slot.running, 4)                       ? "running"
                        : inside(&slot.cancel, 4)                        ? "cancel"
                        : inside(&slot.inbox, 8)                         ? "inbox"
                        : inside(&slot.acknowledged, 4)                  ? "acknowledged"
                        : inside(&slot.operation, sizeof slot.operation) ? "operation"
                                                                         : "counter";
    return fmt::format("proc[{}].{}", i, field);
  }
  for (std::uint32_t i = 0; i < kMaxActors; ++i) {
    ActorSlot& actor = c.actor[i];
    if (!inside(&actor, sizeof actor)) continue;
    const char* field = inside(&actor.status, 4)      ? "status"
                        : inside(&actor.proc, 4)      ? "proc"
                        : inside(&actor.terminate, 4) ? "terminate"
                        : inside(&actor.inbox, 8)     ? "inbox"
                                                      : "calls";
    return fmt::format("actor[{}].{}", i, field);
  }
  if (inside(&c.readers, sizeof c.readers))
    return fmt::format("readers[{}]", (byte - reinterpret_cast<const char*>(&c.readers)) / sizeof c.readers[0]);
  if (inside(&c.far_holders, sizeof c.far_holders)) {
    const auto word = static_cast<std::size_t>(byte - reinterpret_cast<const char*>(&c.far_holders)) / 8;
    return fmt::format("far_holders[{}][{}]", word / kMaxObjects, word % kMaxObjects);
  }
  if (inside(&c.made, sizeof c.made))
    return fmt::format("made[{}]", (byte - reinterpret_cast<const char*>(&c.made)) / 4);
  if (inside(&c.rest, sizeof c.rest)) return "rest";
  if (inside(&c.workers, 8)) return "workers";
  if (inside(&c.rings, 4)) return "rings";
  if (inside(&c.scheduler_inbox, 8)) return "scheduler inbox";
  if (inside(&c.heap_lock, 4)) return "heap lock";
  if (inside(&c.names_lock, 4)) return "names lock";
  if (inside(&c, sizeof c)) return fmt::format("control+{}", byte - reinterpret_cast<const char*>(&c));
  if (inside(&segment_->run(0), segment_->granules() * 8))
    return fmt::format("run[{}]", (byte - reinterpret_cast<const char*>(&segment_->run(0))) / 8);
  if (inside(&segment_->tags(0), segment_->granules() / kChunkGranules * sizeof(ChunkTags)))
    return fmt::format("tag[{}]", (byte - reinterpret_cast<const char*>(&segment_->tags(0))) / 4);
  return "private";
}

}  // namespace daybreak::runtime
