#include "daybreak/runtime/history.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <unistd.h>

#include <cstdio>
#include <span>
#include <string_view>

#include "daybreak/runtime/process.h"
#include "daybreak/runtime/robust_guard.h"
#include "daybreak/runtime/task_names.h"

namespace daybreak::runtime {

namespace {

std::uint64_t word_of(Ref ref) {
  return ref == kNoRef ? 0 : std::bit_cast<std::uint64_t>(ref);
}

std::int32_t this_thread() {
  static thread_local const std::int32_t id = gettid();
  return id;
}

// Of a name: which cell of known_names_, and what is compared there.
std::uint64_t mixed(std::uint64_t key) {
  return (key ^ key >> 29) * 0x9e37'79b9'7f4a'7c15;
}

std::uint64_t key_of(std::string_view text) {
  std::uint64_t key = text.size() + 1;
  while (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    key = mixed(key ^ word);
    text.remove_prefix(8);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, text.data(), text.size());
  return mixed(key ^ rest);
}

}  // namespace

bool counter_runs_evenly() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x8000'0007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
#else
  return false;
#endif
}

Moment moment_now() {
  return {ticks_now(), base::monotonic_ns()};
}

// The text is written before the count says that it is there.
std::uint16_t Process::number_of_name(std::string_view name) {
  RecordNames& names = control_.record_names;
  RobustGuard guard(*this, control_.names_lock);
  const std::uint32_t count = names.count.load();
  for (std::uint32_t i = 0; i < count; ++i)
    if (name == std::string_view(names.name[i].text, names.name[i].size)) return static_cast<std::uint16_t>(i + 1);
  if (count == RecordNames::kMax) return RecordNames::kMany;
  names.name[count].size = static_cast<std::uint8_t>(name.size());
  std::memcpy(names.name[count].text, name.data(), name.size());
  names.count.store(count + 1);
  return static_cast<std::uint16_t>(count + 1);
}

// A function is known by its reference, a method by its text, which lies in the arguments of the call: they are ours.
std::uint16_t Process::name_for_record(std::uint32_t index) {
  const Entry& e = entry(index);
  std::uint64_t key = mixed(std::bit_cast<std::uint64_t>(e.part.function) ^ 1ull << 63);
  if (e.kind == Kind::kActorCall) {
    const std::span<const std::byte> bytes = args(index);
    constexpr std::size_t kBefore = 3 * sizeof(std::uint16_t);
    std::uint16_t size = 0;
    if (bytes.size() >= kBefore) std::memcpy(&size, bytes.data() + kBefore - sizeof size, sizeof size);
    if (bytes.size() < kBefore + size) return 0;
    key = key_of({reinterpret_cast<const char*>(bytes.data()) + kBefore, size});
  }
  base::Atomic<std::uint64_t>& known = known_names_[key >> 58];
  const std::uint64_t seen = known.load(std::memory_order_relaxed);
  if (seen >> 16 == (key & 0xffff'ffff'ffff)) return static_cast<std::uint16_t>(seen);
  char room[kRecordNameBytes + 1];
  std::string_view name = name_of_task(segment_, e, e.kind, room);
  if (name.size() > kRecordNameBytes) {
    name = name.substr(0, kRecordNameBytes);
    std::memcpy(room + kRecordNameBytes - 3, "...", 3);  // it is cut
  }
  const std::uint16_t number = name.empty() ? std::uint16_t{0} : number_of_name(name);
  known.store(key << 16 | number, std::memory_order_relaxed);
  return number;
}

// The slot is a line that callers write all the time, and our own actor stays the same.
std::uint64_t Process::actor_for_record(std::uint32_t actor) {
  const bool ours = slot().kind == ProcKind::kActor && slot().actor == actor;
  if (const std::uint64_t known = ours ? own_actor_.load(std::memory_order_relaxed) : 0; known != 0) return known;
  const std::uint64_t found = word_of(control_.actor[actor].creation);
  if (ours) own_actor_.store(found, std::memory_order_relaxed);
  return found;
}

// Before the entry says that it is done, as after that it may be another's. Who dies in between leaves a record of a task
// that is run again: readers go by the entry while there is one.
void Process::note_end(std::uint32_t index, bool error) {
  Entry& e = entry(index);
  const bool call = e.kind == Kind::kActorCall;
  const bool alone = concurrent_.load(std::memory_order_relaxed) == 0;
  const std::uint64_t now = ticks_now();
  std::uint64_t start = 0;  // of who only fails or cancels it: he has not run it
  if (!alone) {
    start = started_[index].load(std::memory_order_relaxed);
  } else if (slot().running.load(std::memory_order_relaxed) == index + 1) {
    start = began_.load(std::memory_order_relaxed);
    began_.store(now, std::memory_order_relaxed);
  }
  TaskRecord record{.task = word_of({index, e.load().generation()}),
                    .parent = word_of(call ? e.part.caller_now() : e.part.parent_now()),
                    .actor = call ? actor_for_record(e.part.actor) : 0,
                    .start = start,
                    .end = now,
                    .pid = slot().pid,
                    .thread = start != 0 && alone ? slot().pid : this_thread(),
                    .name = name_for_record(index),
                    .kind = static_cast<std::uint8_t>(e.kind),
                    .error = error ? static_cast<std::uint8_t>(e.error) : std::uint8_t{0},
                    .attempt = e.part.attempt_now()};
  control_.ended[id_].write(record);
}

void Process::note_span(std::string_view name, std::uint64_t start, std::uint64_t end) {
  if (control_.history == 0) return;
  const std::uint16_t number = number_of_name(name.substr(0, kRecordNameBytes));
  control_.ended[id_].write({.start = start,
                             .end = end,
                             .pid = slot().pid,
                             .thread = this_thread(),
                             .name = number,
                             .kind = TaskRecord::kSpan});
}

void note_dead_actor(Control& control, const ActorSlot& actor, std::uint32_t resources) {
  DeadActorRecord record{.actor = word_of(actor.creation), .end_ns = base::monotonic_ns()};
  record.restarts = actor.restarts;
  record.detached = actor.detached;
  record.resources = resources;
  std::snprintf(record.name, sizeof record.name, "%s", actor.name);
  std::snprintf(record.class_name, sizeof record.class_name, "%s", actor.class_name);
  std::snprintf(record.death, sizeof record.death, "%.*s", static_cast<int>(sizeof record.death - 1), actor.death);
  control.dead_actors.write(record);
}

}  // namespace daybreak::runtime
