#include "daybreak/runtime/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "daybreak/runtime/door.h"
#include "daybreak/runtime/task_names.h"
#include "daybreak/runtime/value_format.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint64_t kLongestName = 512;    // bytes
constexpr std::uint64_t kShownArguments = 64;  // of one task, those that it waits for

// Of characters that may change while we read, and end with a NUL if they end.
template <std::size_t N>
std::string bounded_text(const char (&from)[N]) {
  char copy[N];
  std::memcpy(copy, from, N);
  return {copy, strnlen(copy, N)};
}

std::uint32_t procs_used(const Control& control) {
  return std::min(control.procs_used.load(), kMaxProcs);
}

// Those of a task; others, too, have the fields.
bool is_call(Kind kind) {
  return kind == Kind::kTask || kind == Kind::kActorCreate || kind == Kind::kActorCall;
}

}  // namespace

base::Result<View> View::of(const std::string& path) {
  View view;
  DAYBREAK_ASSIGN(EngineDescriptors descriptors, knock(path));
  view.control_fd_ = std::move(descriptors.control);
  view.data_fd_ = std::move(descriptors.data);
  DAYBREAK_ASSIGN(view.own_, Segment::attach(view.control_fd_.get(), view.data_fd_.get()));
  view.segment_ = view.own_.get();
  return view;
}

std::string View::session() const {
  return fmt::format("{:016x}", segment_->control().session);
}

// Calls visit(index, state, entry) for each entry in use. What it makes of one that has changed meanwhile is not kept:
// visit() gives a function that is called when it has not.
template <typename F>
void View::for_each(F&& visit) const {
  Control& control = segment_->control();
  const std::uint32_t blocks = std::min(control.entry_blocks_used.load(), kEntryBlocks);
  for (std::uint32_t index = 0; index < blocks * kEntriesPerBlock; ++index) {
    Entry& entry = control.entry[index];
    const State before = entry.load();
    if (before.phase() == Phase::kFree || before.phase() == Phase::kDying) continue;
    auto keep = visit(index, before, entry);
    const State after = entry.load();
    if (after.generation() == before.generation() && after.phase() != Phase::kFree) keep();
  }
}

std::int32_t View::pid_of(State state) const {
  const std::uint32_t proc = state.proc_plus_one();
  return proc == 0 || proc > kMaxProcs ? 0 : segment_->control().proc[proc - 1].pid;
}

std::string View::name_of_task(const Entry& entry, Kind kind) const {
  char room[kLongestName];
  return std::string(runtime::name_of_task(*segment_, entry, kind, room));
}

std::string View::task_name(Ref task) const {
  Entry& entry = segment_->entry(task.index);
  const Kind kind = entry.kind_now();
  if (!is_call(kind)) return {};
  std::string name = name_of_task(entry, kind);
  return entry.load().generation() == task.generation ? name : std::string();
}

// The dependencies come first among the Refs behind the arguments.
std::vector<Ref> View::missing_arguments(const Entry& entry) const {
  const Blob args = entry.args;
  const std::uint64_t count = std::min<std::uint64_t>(args.deps, kShownArguments);
  std::string bytes(count * sizeof(Ref), '\0');
  if (!read_blob(*segment_, args, (args.size + 7) / 8 * 8, bytes)) return {};
  std::vector<Ref> missing;
  for (std::size_t at = 0; at + sizeof(Ref) <= bytes.size(); at += sizeof(Ref)) {
    Ref ref;
    std::memcpy(&ref, bytes.data() + at, sizeof ref);
    if (ref.index < kMaxObjects && !segment_->entry(ref.index).load().done()) missing.push_back(ref);
  }
  return missing;
}

std::vector<TaskView> View::tasks(std::size_t limit, std::size_t& left_out) const {
  std::vector<TaskView> found;
  left_out = 0;
  for_each([&](std::uint32_t index, State state, Entry& entry) {
    TaskView task{.ref = {index, state.generation()},
                  .kind = entry.kind_now(),
                  .phase = state.phase(),
                  .error = ErrorKind::kNone,
                  .cancelled = state.has(State::kCancelled),
                  .attempt = entry.part.attempt_now(),
                  .resources = entry.part.resources};
    const bool wanted = is_call(task.kind) && found.size() < limit;
    if (wanted) {
      if (state.phase() == Phase::kError) task.error = entry.error;
      if (state.phase() == Phase::kRunning) task.pid = pid_of(state);
      if (state.phase() == Phase::kPending) task.waits_for = missing_arguments(entry);
      if (task.kind == Kind::kTask) {
        if (const Ref parent = entry.part.parent_now(); parent != kNoRef) task.parent = parent;
      } else {
        task.actor = base::AtomicRef(entry.part.actor).load();
      }
      task.name = name_of_task(entry, task.kind);
    }
    return [&found, &left_out, wanted, task = std::move(task)]() mutable {
      if (wanted)
        found.push_back(std::move(task));
      else
        left_out += is_call(task.kind);
    };
  });
  return found;
}

std::vector<ObjectView> View::objects(std::size_t limit, std::size_t& left_out) const {
  std::vector<ObjectView> found;
  left_out = 0;
  Control& control = segment_->control();
  const std::uint32_t procs = procs_used(control);
  for_each([&](std::uint32_t index, State state, Entry& entry) {
    const Blob value = entry.value;
    ObjectView object{.ref = {index, state.generation()},
                      .kind = entry.kind_now(),
                      .phase = state.phase(),
                      .size_bytes = value.where == kNowhere || !state.done() ? 0 : value.size,
                      .done = state.done(),
                      .in_entry = value.where == kInline,
                      .spilled = state.phase() == Phase::kSpilled && value.has_file(),
                      .function = entry.kind_now() == Kind::kValue && value.where != kNowhere && state.done() &&
                                  (value.codec == kCodecArgs || value.codec == kCodecNative),
                      .pins = entry.pins.load()};
    for (std::uint32_t proc = 0; proc < procs; ++proc)
      if (is_holder(control, index, proc)) object.pids.push_back(control.proc[proc].pid);
    return [&found, &left_out, limit, object = std::move(object)]() mutable {
      if (found.size() < limit)
        found.push_back(std::move(object));
      else
        ++left_out;
    };
  });
  return found;
}

std::vector<ActorView> View::actors() const {
  std::vector<ActorView> found;
  Control& control = segment_->control();
  for (std::uint32_t slot = 0; slot < std::min(control.actors_used.load(), kMaxActors); ++slot) {
    ActorSlot& actor = control.actor[slot];
    const ActorStatus status = actor.status.load();
    if (status == ActorStatus::kFree) continue;
    const std::uint32_t proc = actor.proc.load();
    ActorView view{.ref = actor.creation,
                   .slot = slot,
                   .status = status,
                   .name = bounded_text(actor.name),
                   .class_name = bounded_text(actor.class_name),
                   .death = status == ActorStatus::kDead ? bounded_text(actor.death) : "",
                   .pid = proc == 0 || proc > kMaxProcs ? 0 : control.proc[proc - 1].pid,
                   .restarts = actor.restarts,
                   .detached = actor.detached != 0};
    if (view.ref.index < kMaxObjects) view.resources = segment_->entry(view.ref.index).part.resources;
    found.push_back(std::move(view));
  }
  return found;
}

std::vector<WorkerView> View::workers() const {
  std::vector<WorkerView> found;
  Control& control = segment_->control();
  for (std::uint32_t slot = 0; slot < procs_used(control); ++slot) {
    ProcSlot& proc = control.proc[slot];
    const ProcStatus status = proc.status.load();
    if (status == ProcStatus::kFree || slot == kSchedulerProc) continue;
    WorkerView view{
        .slot = slot, .kind = proc.kind, .status = status, .pid = proc.pid, .blocked = proc.blocked.load() > 0};
    if (proc.kind == ProcKind::kActor) view.actor = proc.actor;
    const std::uint32_t running = proc.running.load(std::memory_order_relaxed);
    if (running != 0 && running <= kMaxObjects)
      view.task = Ref{running - 1, segment_->entry(running - 1).load().generation()};
    found.push_back(view);
  }
  return found;
}

std::vector<AmountView> View::resources() const {
  std::vector<AmountView> found;
  Control& control = segment_->control();
  ResourceTable& table = control.resources;
  const std::uint32_t names = std::min(table.names.load(), kMaxResourceNames);
  for (std::uint32_t i = 0; i < names; ++i) {
    const std::int64_t total = table.total[i].load();
    std::int64_t available = table.available[i].load();
    for (std::uint32_t token = 0; i == 0 && token < std::min(control.num_cpus, kMaxCpuTokens); ++token)
      available += control.token[token].holder.load() == 0 ? kResourceUnit : 0;
    if (total > 0)
      found.push_back({bounded_text(table.name[i]), static_cast<double>(total) / kResourceUnit,
                       static_cast<double>(std::min(available, total)) / kResourceUnit});
  }
  return found;
}

std::vector<std::pair<std::string, double>> View::amounts(std::uint16_t set) const {
  std::vector<std::pair<std::string, double>> found;
  const ResourceTable& table = segment_->control().resources;
  if (set >= kMaxResourceSets) return found;
  const ResourceSet& asked = table.set[set];
  if (asked.cpu > 0) found.emplace_back("CPU", static_cast<double>(asked.cpu) / kResourceUnit);
  if (asked.gpu > 0) found.emplace_back("GPU", static_cast<double>(asked.gpu) / kResourceUnit);
  if (asked.first > kMaxAmounts || asked.count > kMaxAmounts - asked.first) return found;
  for (const auto [name, units] : table.custom(asked))
    if (name < kMaxResourceNames)
      found.emplace_back(bounded_text(table.name[name]), static_cast<double>(units) / kResourceUnit);
  return found;
}

std::vector<View::Ended> View::ended() const {
  std::vector<Ended> found;
  const Control& control = segment_->control();
  const RecordNames& names = control.record_names;
  const Moment from = control.begun, now = moment_now();
  const double ns_a_tick =
      now.ticks > from.ticks ? static_cast<double>(now.ns - from.ns) / static_cast<double>(now.ticks - from.ticks) : 1;
  auto time_of = [&](std::uint64_t ticks) {
    const auto since = static_cast<double>(static_cast<std::int64_t>(ticks - from.ticks));
    return ticks == 0 ? 0 : from.ns + static_cast<std::int64_t>(since * ns_a_tick);
  };
  auto name_of = [&](std::uint16_t number) -> std::string {
    if (number == RecordNames::kMany) return fmt::format("(one of more than {} names)", RecordNames::kMax);
    if (number == 0 || number > names.count.load()) return {};
    const auto& name = names.name[number - 1];
    return {name.text, std::min<std::size_t>(name.size, kRecordNameBytes)};
  };
  for (std::uint32_t proc = 0; proc < procs_used(control); ++proc) {
    const auto& ring = control.ended[proc];
    for (std::uint32_t i = 0; ring.written.load() > 0 && i < kEndedTasks; ++i)
      if (const auto record = ring.read(i))
        found.push_back({*record, name_of(record->name), time_of(record->start), time_of(record->end)});
  }
  std::ranges::sort(found, {}, &Ended::end_ns);
  return found;
}

std::vector<DeadActorRecord> View::dead_actors() const {
  std::vector<DeadActorRecord> found;
  for (std::uint32_t i = 0; i < kDeadActors; ++i)
    if (const auto record = segment_->control().dead_actors.read(i)) found.push_back(*record);
  std::ranges::sort(found, {}, &DeadActorRecord::end_ns);
  return found;
}

SpilledView View::spilled() const {
  const Control& control = segment_->control();
  SpilledView found{.folder = bounded_text(control.spill_folder),
                    .spilled_objects_total = control.spilled_objects.load(),
                    .spilled_bytes_total = control.spilled_bytes.load(),
                    .restored_objects_total = control.restored_objects.load(),
                    .restored_bytes_total = control.restored_bytes.load()};
  for_each([&](std::uint32_t, State state, Entry& entry) {
    const Blob value = entry.value;
    const std::uint64_t size = state.phase() == Phase::kSpilled && value.has_file() ? value.size : 0;
    return [&found, size] {
      found.objects += size > 0;
      found.bytes += size;
    };
  });
  return found;
}

std::uint64_t View::store_bytes_used() const {
  std::uint64_t granules = 0;
  segment_->for_each_run([&](std::uint64_t, std::uint64_t word) { granules += Run::granules(word); });
  return granules * kGranule;
}

}  // namespace daybreak::runtime
