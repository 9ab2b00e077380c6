// What view.h sees of an engine, as dicts: the names and values are those of Ray's state API where it has them.
#include "daybreak/runtime/view.h"

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <bit>

#include "daybreak/runtime/door.h"
#include "daybreak/runtime/python/common.h"

namespace nb = nanobind;

namespace daybreak::runtime::python {

namespace {

[[noreturn]] void throw_view_error(const base::Error& error) {
  raise(error);
  throw nb::python_error();
}

std::string object_id(Ref ref) {
  return fmt::format("{:08x}{:08x}", ref.generation, ref.index);
}

const char* type_of(Kind kind) {
  switch (kind) {
    case Kind::kTask: return "NORMAL_TASK";
    case Kind::kActorCreate: return "ACTOR_CREATION_TASK";
    case Kind::kActorCall: return "ACTOR_TASK";
    case Kind::kReturn: return "RETURN";
    case Kind::kGroup: return "PLACEMENT_GROUP";
    case Kind::kValue: return "PUT";
  }
  return "UNKNOWN";
}

const char* state_of(const TaskView& task) {
  switch (task.phase) {
    case Phase::kCreated:
    case Phase::kPending: return task.waits_for.empty() ? "PENDING_NODE_ASSIGNMENT" : "PENDING_ARGS_AVAIL";
    case Phase::kQueued: return task.kind == Kind::kActorCall ? "SUBMITTED_TO_WORKER" : "PENDING_NODE_ASSIGNMENT";
    case Phase::kRunning: return "RUNNING";
    case Phase::kReady:
    case Phase::kSpilling:
    case Phase::kSpilled:
    case Phase::kRestoring: return "FINISHED";
    default: return "FAILED";
  }
}

const char* state_of(ActorStatus status) {
  switch (status) {
    case ActorStatus::kAlive: return "ALIVE";
    case ActorStatus::kRestarting: return "RESTARTING";
    case ActorStatus::kDead: return "DEAD";
    default: return "PENDING_CREATION";
  }
}

const char* kind_of(ProcKind kind) {
  return kind == ProcKind::kDriver ? "DRIVER" : kind == ProcKind::kActor ? "ACTOR" : "WORKER";
}

nb::object or_none(std::int32_t pid) {
  return pid == 0 ? nb::none() : nb::object(nb::int_(pid));
}

nb::dict amounts_of(const View& view, std::uint16_t set) {
  nb::dict amounts;
  for (const auto& [name, amount] : view.amounts(set)) amounts[name.c_str()] = amount;
  return amounts;
}

// An actor's calls name its slot; the id that people see is that of its creation.
std::string actor_id(const std::vector<ActorView>& actors, std::uint32_t slot) {
  for (const ActorView& actor : actors)
    if (actor.slot == slot) return object_id(actor.ref);
  return {};
}

nb::object text_of(std::string_view text) {
  return nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

nb::tuple tasks(const View& view, std::size_t limit) {
  std::size_t left_out = 0;
  const std::string session = view.session();
  const std::vector<ActorView> actors = view.actors();
  nb::list found;
  for (const TaskView& task : view.tasks(limit, left_out)) {
    nb::dict row;
    row["task_id"] = session + object_id(task.ref);
    row["name"] = text_of(task.name);
    row["type"] = type_of(task.kind);
    row["state"] = state_of(task);
    row["attempt_number"] = task.attempt;
    row["actor_id"] = task.actor ? nb::object(nb::str(actor_id(actors, *task.actor).c_str())) : nb::none();
    row["parent_task_id"] = task.parent ? nb::object(nb::str((session + object_id(*task.parent)).c_str())) : nb::none();
    row["worker_pid"] = or_none(task.pid);
    row["error_kind"] = static_cast<int>(task.error);
    row["cancelled"] = task.cancelled;
    nb::list missing;
    for (Ref ref : task.waits_for) missing.append(object_id(ref));
    row["waits_for"] = missing;
    row["required_resources"] = task.kind == Kind::kActorCall ? nb::dict() : amounts_of(view, task.resources);
    found.append(row);
  }
  return nb::make_tuple(found, left_out);
}

nb::object id_or_none(std::uint64_t word, const std::string& before = "") {
  if (word == 0) return nb::none();
  return nb::str((before + object_id(std::bit_cast<Ref>(word))).c_str());
}

// As tasks() gives those that are there, with times: CLOCK_MONOTONIC in ns, start 0 of one that never began.
nb::list ended(const View& view) {
  const std::string session = view.session();
  nb::list found;
  for (const auto& [record, name, start_ns, end_ns] : view.ended()) {
    const bool span = record.kind == TaskRecord::kSpan;
    nb::dict row;
    row["task_id"] = span ? nb::object(nb::none()) : id_or_none(record.task, session);
    row["name"] = text_of(name);
    row["type"] = span ? "SPAN" : type_of(static_cast<Kind>(record.kind));
    row["state"] = record.error == 0 ? "FINISHED" : "FAILED";
    row["attempt_number"] = record.attempt;
    row["actor_id"] = id_or_none(record.actor);
    row["parent_task_id"] = id_or_none(record.parent, session);
    row["worker_pid"] = start_ns == 0 ? nb::object(nb::none()) : or_none(record.pid);
    row["error_kind"] = static_cast<int>(record.error);
    row["cancelled"] = record.error == static_cast<std::uint8_t>(ErrorKind::kCancelled);
    row["start_ns"] = start_ns;
    row["end_ns"] = end_ns;
    row["thread"] = record.thread;
    found.append(row);
  }
  return found;
}

nb::list dead_actors(const View& view) {
  nb::list found;
  for (const DeadActorRecord& record : view.dead_actors()) {
    nb::dict row;
    row["actor_id"] = id_or_none(record.actor);
    row["class_name"] = std::string(record.class_name);
    row["state"] = "DEAD";
    row["full_name"] = std::string(record.name);
    row["pid"] = nb::none();
    row["num_restarts"] = record.restarts;
    row["is_detached"] = record.detached != 0;
    row["death_cause"] = text_of(record.death);
    row["required_resources"] = amounts_of(view, static_cast<std::uint16_t>(record.resources));
    found.append(row);
  }
  return found;
}

nb::tuple objects(const View& view, std::size_t limit) {
  std::size_t left_out = 0;
  nb::list found;
  for (const ObjectView& object : view.objects(limit, left_out)) {
    nb::dict row;
    row["object_id"] = object_id(object.ref);
    row["type"] = object.function ? "FUNCTION" : type_of(object.kind);
    row["object_size"] = object.size_bytes;
    row["in_entry"] = object.in_entry;
    row["state"] = object.phase == Phase::kError ? "ERROR" : object.done ? "READY" : "PENDING";
    row["spilled"] = object.spilled;
    row["pins"] = object.pins;
    nb::list pids;
    for (std::int32_t pid : object.pids) pids.append(pid);
    row["pids"] = pids;
    found.append(row);
  }
  return nb::make_tuple(found, left_out);
}

nb::list actors(const View& view) {
  nb::list found;
  for (const ActorView& actor : view.actors()) {
    nb::dict row;
    row["actor_id"] = object_id(actor.ref);
    row["class_name"] = actor.class_name;
    row["state"] = state_of(actor.status);
    row["full_name"] = actor.name;
    row["pid"] = or_none(actor.pid);
    row["num_restarts"] = actor.restarts;
    row["is_detached"] = actor.detached;
    row["death_cause"] = actor.death.empty() ? nb::none() : nb::object(nb::str(actor.death.c_str()));
    row["required_resources"] = amounts_of(view, actor.resources);
    found.append(row);
  }
  return found;
}

nb::list workers(const View& view) {
  const std::string session = view.session();
  const std::vector<ActorView> actors = view.actors();
  nb::list found;
  for (const WorkerView& worker : view.workers()) {
    nb::dict row;
    row["worker_id"] = fmt::format("{}{:08x}", session, worker.slot);
    row["worker_type"] = kind_of(worker.kind);
    row["is_alive"] = worker.status == ProcStatus::kAlive;
    row["pid"] = or_none(worker.pid);
    row["blocked"] = worker.blocked;
    row["actor_id"] = worker.actor ? nb::object(nb::str(actor_id(actors, *worker.actor).c_str())) : nb::none();
    row["task_id"] = worker.task ? nb::object(nb::str((session + object_id(*worker.task)).c_str())) : nb::none();
    found.append(row);
  }
  return found;
}

nb::dict resources(const View& view) {
  nb::dict found;
  for (const AmountView& amount : view.resources())
    found[amount.name.c_str()] = nb::make_tuple(amount.total, amount.available);
  return found;
}

View* view_of(const std::optional<std::string>& path) {
  if (!path) {
    if (state().client == nullptr)
      throw_view_error(base::Error(base::Code::kFailedPrecondition, "no runtime is running in this process"));
    return new View(state().client->process().segment());
  }
  auto view = [&] {
    nb::gil_scoped_release released;
    return View::of(*path);
  }();
  if (!view) throw_view_error(view.error());
  return new View(std::move(*view));
}

nb::list engines() {
  auto found = running_engines();
  if (!found) throw_view_error(found.error());
  nb::list rows;
  for (const EngineAddress& engine : *found) {
    nb::dict row;
    row["path"] = engine.path;
    row["pid"] = engine.pid;
    row["session"] = engine.session;
    rows.append(row);
  }
  return rows;
}

}  // namespace

void bind_view(nb::module_& m) {
  nb::class_<View>(m, "_View")
      .def("session", &View::session)
      .def("tasks", tasks, nb::arg("limit"))
      .def("objects", objects, nb::arg("limit"))
      .def("actors", actors)
      .def("ended", ended)
      .def("dead_actors", dead_actors)
      .def("workers", workers)
      .def("resources", resources)
      .def("store", [](const View& view) { return nb::make_tuple(view.store_bytes_used(), view.store_bytes()); })
      .def("spilled", [](const View& view) {
        const SpilledView spilled = view.spilled();
        nb::dict found;
        found["folder"] = spilled.folder;
        found["objects"] = spilled.objects;
        found["bytes"] = spilled.bytes;
        found["spilled_objects_total"] = spilled.spilled_objects_total;
        found["spilled_bytes_total"] = spilled.spilled_bytes_total;
        found["restored_objects_total"] = spilled.restored_objects_total;
        found["restored_bytes_total"] = spilled.restored_bytes_total;
        return found;
      });
  m.def("_view", view_of, nb::arg("path").none(), nb::rv_policy::take_ownership);
  m.def("_engines", engines);
}

}  // namespace daybreak::runtime::python
