#include "daybreak/runtime/history.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
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

#if defined(__x86_64__)
bool counter_runs_evenly() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x8000'0007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
}
#endif

// Of this thread: the numbers of the names that it has met last, by what they were found by.
struct KnownName {
  const Control* control = nullptr;
  std::uint64_t key = 0;
  std::uint16_t number = 0;
};
thread_local std::array<KnownName, 64> known_names;

}  // namespace

std::uint64_t ticks_now() {
#if defined(__x86_64__)
  static const bool evenly = counter_runs_evenly();
  if (evenly) return __builtin_ia32_rdtsc();
#endif
  return static_cast<std::uint64_t>(base::monotonic_ns());
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

// A function is known by its reference, a method by its text.
std::uint16_t Process::name_for_record(const Entry& e) {
  char room[kRecordNameBytes + 1];
  std::string_view name;
  std::uint64_t key = std::bit_cast<std::uint64_t>(e.part.function);
  const bool method = e.kind == Kind::kActorCall;
  if (method) {
    name = name_of_task(segment_, e, e.kind, room);
    key = std::hash<std::string_view>()(name) | 1ull << 63;
  }
  KnownName& known = known_names[key * 0x9e37'79b9'7f4a'7c15 >> 58];
  if (known.control == &control_ && known.key == key) return known.number;
  if (!method) name = name_of_task(segment_, e, e.kind, room);
  if (name.size() > kRecordNameBytes) {
    name = name.substr(0, kRecordNameBytes);
    std::memcpy(room + kRecordNameBytes - 3, "...", 3);  // it is cut
  }
  known = {&control_, key, name.empty() ? std::uint16_t{0} : number_of_name(name)};
  return known.number;
}

// Before the entry says that it is done, as after that it may be another's. Who dies in between leaves a record of a task
// that is run again: readers go by the entry while there is one.
void Process::note_end(std::uint32_t index, bool error) {
  Entry& e = entry(index);
  const bool call = e.kind == Kind::kActorCall;
  const std::uint64_t now = ticks_now();
  std::uint64_t start = 0;  // of who only fails or cancels it: he has not run it
  if (concurrent_.load(std::memory_order_relaxed) != 0) {
    start = started_[index].load(std::memory_order_relaxed);
  } else if (slot().running.load(std::memory_order_relaxed) == index + 1) {
    start = began_.load(std::memory_order_relaxed);
    began_.store(now, std::memory_order_relaxed);
  }
  TaskRecord record{.task = word_of({index, e.load().generation()}),
                    .parent = word_of(call ? e.part.caller_now() : e.part.parent_now()),
                    .actor = call ? word_of(control_.actor[e.part.actor].creation) : 0,
                    .start = start,
                    .end = now,
                    .pid = slot().pid,
                    .thread = this_thread(),
                    .name = name_for_record(e),
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
