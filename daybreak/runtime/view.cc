#include "daybreak/runtime/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "daybreak/runtime/door.h"
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

// [from, from + size) of a blob and the Refs behind it, empty where that cannot be.
std::string View::bytes_of(const Blob& blob, const std::uint8_t* in_place, std::uint64_t from,
                           std::uint64_t size) const {
  const Blob read = blob;
  std::string bytes(size, '\0');
  if (read.where == kInline) {
    if (from > kInlineBytes || size > kInlineBytes - from) return {};
    std::memcpy(bytes.data(), in_place + from, size);
  } else if (read.has_block()) {
    const std::uint64_t end = segment_->control().committed.load();
    if (read.offset > end || from > end - read.offset || size > end - read.offset - from) return {};
    std::memcpy(bytes.data(), segment_->data(read.offset + from), size);
  } else {
    return {};
  }
  return bytes;
}

// A function's value and the arguments of an actor's call both begin with a name.
std::string View::name_of(const Entry& entry) const {
  const bool of_call = entry.kind == Kind::kActorCall;
  const std::uint8_t codec = of_call ? entry.args.codec : entry.value.codec;
  const Blob blob = of_call ? entry.args : entry.value;
  const std::string text = bytes_of(blob, of_call ? entry.args_inline : entry.value_inline, 0,
                                    std::min<std::uint64_t>(blob.size, kLongestName));
  if (codec == kCodecNative || codec == kCodecPython) return text.substr(0, text.find('\n'));
  constexpr std::size_t kBefore = 3 * sizeof(std::uint16_t);
  if (codec != kCodecArgs || text.size() < kBefore) return {};
  std::uint16_t size = 0;
  std::memcpy(&size, text.data() + kBefore - sizeof size, sizeof size);
  return text.substr(kBefore, size);
}

std::string View::name_of_task(const Entry& entry, Kind kind) const {
  if (kind == Kind::kActorCall) return name_of(entry);
  const Ref function = entry.part.function;
  if (function.index >= kMaxObjects) return {};
  Entry& of_function = segment_->entry(function.index);
  std::string name = name_of(of_function);
  return of_function.load().generation() == function.generation ? name : std::string();
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
  const std::string bytes = bytes_of(args, entry.args_inline, (args.size + 7) / 8 * 8, count * sizeof(Ref));
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
  for_each([&](std::uint32_t index, State state, Entry& entry) {
    const Blob value = entry.value;
    ObjectView object{.ref = {index, state.generation()},
                      .kind = entry.kind_now(),
                      .phase = state.phase(),
                      .size_bytes = value.where == kNowhere || !state.done() ? 0 : value.size,
                      .done = state.done(),
                      .in_entry = value.where == kInline,
                      .spilled = state.phase() == Phase::kSpilled,
                      .function = entry.kind_now() == Kind::kValue && value.where != kNowhere && state.done() &&
                                  (value.codec == kCodecArgs || value.codec == kCodecNative),
                      .pins = entry.pins.load()};
    for (std::uint32_t proc = 0; proc < kMaxProcs; ++proc)
      if ((entry.holders[proc / 64].load(std::memory_order_relaxed) >> (proc % 64) & 1) != 0)
        object.pids.push_back(control.proc[proc].pid);
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
  for (std::uint32_t slot = 0; slot < kMaxActors; ++slot) {
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
  for (std::uint32_t slot = 0; slot < kMaxProcs; ++slot) {
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
  for (std::uint32_t i = 0; i < std::min(asked.count, kMaxSetResources); ++i)
    if (asked.custom[i].name < kMaxResourceNames)
      found.emplace_back(bounded_text(table.name[asked.custom[i].name]),
                         static_cast<double>(asked.custom[i].amount) / kResourceUnit);
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
    const std::uint64_t size = state.phase() == Phase::kSpilled ? entry.value.size : 0;
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
