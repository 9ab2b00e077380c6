// runtime's part of daybreak._core: the verbs that are not hot, and the native ones' modules.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <pthread.h>

#include <algorithm>
#include <set>
#include <span>
#include <thread>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/machine.h"
#include "daybreak/runtime/native.h"
#include "daybreak/runtime/python/calls.h"

namespace nb = nanobind;

namespace daybreak::runtime::python {

bool init_worker(PyObject* module);
void bind_view(nb::module_& m);   // view.cc
void bind_batch(nb::module_& m);  // batch.cc
void bind_groups(nb::module_& m);
void bind_attached(nb::module_& m);  // attached.cc
void leave_engine();
std::string identity_with_layout(const std::string& identity);
nb::dict amounts(const ResourceTable& table, const ResourceSet& set);

constexpr std::size_t kLongestFunctionName = 200;    // bytes
constexpr std::size_t kLargestFunction = 95u << 20;  // bytes, with the values that it takes along; as in Ray

[[noreturn]] void throw_error(const base::Error& error) {
  raise(error);
  throw nb::python_error();
}

Client& client_or_throw() {
  Client* client = client_or_init();
  if (client == nullptr) throw nb::python_error();
  return *client;
}

// As that, for what only makes sense in a runtime that runs: it starts none.
Client& running_client() {
  if (state().client == nullptr)
    throw_error(base::Error(base::Code::kFailedPrecondition, "the runtime has been shut down"));
  return *state().client;
}

namespace {

// In the child of a fork, whoever forked: the runtime is the parent's.
void forget_runtime() {
  State& s = state();
  s.client = nullptr;
  s.session = s.binding = 0;
  if (s.node) s.node->disown();
  (void)s.node.release();
  (void)s.attached.release();
  (void)s.own_client.release();
  (void)s.process.release();
  (void)s.loop.release();
  s.is_worker = false;
  s.in_actor = false;
}

void init(std::uint32_t num_cpus, double num_gpus, const std::vector<std::pair<std::string, double>>& resources,
          std::uint64_t object_store_bytes, const std::vector<std::string>& command, bool log_to_driver, bool patient,
          const std::string& spill_directory, bool spill_is_a_must, double spill_threshold, double memory_threshold,
          std::int64_t memory_refresh_ms, const std::string& memory_root, const std::string& identity,
          std::int64_t fold_ns, bool history) {
  State& s = state();
  NodeOptions options{.num_cpus = num_cpus,
                      .num_gpus = num_gpus,
                      .resources = resources,
                      .object_store_bytes = object_store_bytes,
                      .spill_directory = spill_directory,
                      .spill_is_a_must = spill_is_a_must,
                      .spill_threshold = spill_threshold,
                      .command = command,
                      .log_to_driver = log_to_driver,
                      .fold_ns = fold_ns,
                      .patient = patient,
                      .memory_threshold = memory_threshold,
                      .memory_refresh_ns = memory_refresh_ms * 1'000'000,
                      .memory_root = memory_root,
                      .history = history,
                      .identity = identity_with_layout(identity)};
  base::Result<std::unique_ptr<Node>> node = [&] {
    nb::gil_scoped_release released;
    return Node::start(std::move(options));
  }();
  if (!node) throw_error(node.error());
  s.node = std::move(*node);
  s.client = &s.node->client();
  set_current_client(s.client);
  s.session = s.binding = s.node->segment().control().session;
}

void await_workers(std::uint32_t count, double limit_s) {
  State& s = state();
  if (!s.node) return;
  nb::gil_scoped_release released;
  s.node->await_workers(count, std::chrono::milliseconds(static_cast<std::int64_t>(limit_s * 1000)));
}

void shutdown() {
  State& s = state();
  if (s.attached) return leave_engine();
  if (!s.node) return;
  std::unique_ptr<Node> node = std::move(s.node);
  s.client = nullptr;
  set_current_client(nullptr);
  s.session = s.binding = 0;
  wake_pump();
  bool views = s.views > 0;
  {
    nb::gil_scoped_release released;
    node->stop();
    // Threads that wait see that it is stopping; the mappings go when the last has left.
    while (s.waiting.load() > 0) {
      node->process().ring(kDriverProc);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (views) (void)node.release();  // arrays still look at the store: it stays mapped until the process ends
    node.reset();
  }
}

// Writes what nobody reads to disk, oldest first, until so many bytes are free; what became free. For tests and benches:
// it happens by itself.
std::uint64_t spill(std::uint64_t size_bytes) {
  Client& client = running_client();
  auto freed = [&] {
    nb::gil_scoped_release released;
    return client.process().spill(size_bytes);
  }();
  if (!freed) throw_error(freed.error());
  return *freed;
}

std::uint16_t resource_set(double cpu, double gpu, const std::vector<std::pair<std::string, double>>& custom,
                           std::uint16_t environment, std::uint16_t group, std::int32_t bundle, bool capture) {
  auto set = client_or_throw().resource_set({.cpu = cpu,
                                             .gpu = gpu,
                                             .custom = custom,
                                             .environment = environment,
                                             .group = group,
                                             .bundle = bundle,
                                             .capture = capture});
  if (!set) throw_error(set.error());
  return *set;
}

nb::object create_actor(nb::object function, nb::tuple args, nb::dict kwargs, std::uint16_t resources,
                        const std::string& name, const std::string& info_json, nb::dict info, std::int32_t max_restarts,
                        std::int32_t max_task_retries, std::uint32_t max_concurrency, bool detached) {
  Client& client = client_or_throw();
  const Ref* ref = checked_ref(function.ptr(), "an actor");
  if (ref == nullptr) throw nb::python_error();
  std::vector<PyObject*> all;
  for (nb::handle h : args) all.push_back(h.ptr());
  nb::list names;
  for (auto [key, value] : kwargs) {
    names.append(key);
    all.push_back(value.ptr());
  }
  nb::tuple kwnames(names);
  Encoder encoder;
  if (!encoder.call(info_json.data(), static_cast<Py_ssize_t>(info_json.size()), all.data(),
                    static_cast<Py_ssize_t>(nb::len(args)), nb::len(kwnames) > 0 ? kwnames.ptr() : nullptr))
    throw nb::python_error();
  TaskSpec spec{.kind = Kind::kActorCreate, .function = *ref, .resources = resources};
  ActorOptions options{.max_restarts = max_restarts,
                       .max_task_retries = max_task_retries,
                       .max_concurrency = max_concurrency,
                       .detached = detached,
                       .name = name,
                       .class_name = nb::cast<std::string>(info["class_name"])};
  auto actor = client.create_actor(spec, encoder.finish(kCodecArgs), options);
  if (!actor) throw_error(actor.error());
  PyObject* handle = make_actor_handle(actor->creation, actor->slot, info.ptr());
  if (handle == nullptr) throw nb::python_error();
  return nb::steal(handle);
}

// (handle's parts) of a named actor: the JSON of its class, and a maker for the handle.
nb::object find_actor(const std::string& name, nb::callable parse) {
  Client& client = client_or_throw();
  auto actor = [&] {
    nb::gil_scoped_release released;  // it may wait for one that is being made
    return client.find_actor(name);
  }();
  if (!actor) throw_error(actor.error());
  auto bytes = client.process().args(actor->creation.index);
  std::uint16_t size = 0;
  std::memcpy(&size, bytes.data() + 4, sizeof size);
  nb::object info = parse(nb::str(reinterpret_cast<const char*>(bytes.data()) + 6, size));
  PyObject* handle = make_actor_handle(actor->creation, actor->slot, info.ptr());
  if (handle == nullptr) throw nb::python_error();
  return nb::steal(handle);
}

ActorHandleObject* checked_handle(nb::handle handle) {
  if (Py_TYPE(handle.ptr()) != actor_handle_type) throw nb::type_error("an actor handle is needed");
  auto* self = reinterpret_cast<ActorHandleObject*>(handle.ptr());
  if (self->session != state().session)
    throw nb::value_error("this actor handle belongs to a runtime that has been shut down");
  return self;
}

void kill(nb::handle handle, bool no_restart) {
  ActorHandleObject* self = checked_handle(handle);
  client_or_throw().kill_actor(self->slot, no_restart);
}

bool cancel(nb::handle object, bool force, bool recursive) {
  Client& client = client_or_throw();
  const Ref* ref = checked_ref(object.ptr(), "cancel()");
  if (ref == nullptr) throw nb::python_error();
  Process& p = client.process();
  const bool further = p.entry(ref->index).kind == Kind::kReturn;
  if (force && p.entry(further ? p.entry(ref->index).part.task_now().index : ref->index).kind == Kind::kActorCall)
    throw nb::value_error("force=True is not supported for actor tasks. It would end the actor: use kill()");
  const bool cancelled = client.cancel(*ref, force, recursive);
  // A call in the inbox of an actor that has no process yet: its reader is the scheduler.
  if (p.entry(ref->index).kind_now() == Kind::kActorCall && p.entry(ref->index).load().phase() == Phase::kQueued) {
    p.control().scheduler_looks.add(ref->index);
    p.ring(kSchedulerProc);
  }
  return cancelled;
}

nb::dict resources(bool available) {
  ResourceTable& table = client_or_throw().process().control().resources;
  Control& control = client_or_throw().process().control();
  nb::dict result;
  std::uint32_t names = table.names.load();
  for (std::uint32_t i = 0; i < names; ++i) {
    std::int64_t units = available ? table.available[i].load() : table.total[i].load();
    if (table.total[i].load() == 0) continue;
    if (available && i == 0)
      for (std::uint32_t token = 0; token < control.num_cpus; ++token)
        units += control.token[token].holder.load() == 0 ? kResourceUnit : 0;
    if (available && i == 0) units = std::min(units, table.total[0].load());
    if (available && units == 0) continue;
    result[table.name[i]] = static_cast<double>(units) / kResourceUnit;
  }
  if (!available) {
    result["object_store_memory"] = static_cast<double>(control.data_capacity);
  } else {
    result["object_store_memory"] =
        static_cast<double>(control.data_capacity - client_or_throw().process().bytes_used());
  }
  return result;
}

nb::dict context() {
  State& s = state();
  nb::dict result;
  Client& client = client_or_throw();
  Process& p = client.process();
  result["session"] = fmt::format("{:016x}", engine_session());
  result["is_worker"] = s.is_worker;
  result["worker"] = fmt::format("{:016x}{:08x}", engine_session(), p.id());
  std::uint32_t task = current_task();
  if (task == 0 && s.is_worker) task = p.slot().running.load();  // a thread that the task has started
  result["task"] = task == 0 ? nb::object(nb::none())
                             : nb::object(nb::str(fmt::format("{:016x}{:08x}{:08x}", engine_session(),
                                                              p.entry(task - 1).load().generation(), task - 1)
                                                      .c_str()));
  std::uint64_t gpus = 0;
  std::uint16_t set = 0;
  if (s.in_actor) {
    ActorSlot& actor = p.control().actor[s.actor_slot];
    result["actor"] = fmt::format("{:08x}{:08x}", actor.creation.generation, actor.creation.index);
    result["actor_name"] = std::string(actor.name);
    result["restarted"] = actor.restarts > 0;
    result["class_name"] = std::string(actor.class_name);
    gpus = p.entry(actor.creation.index).part.gpu_mask;
    set = p.entry(actor.creation.index).part.resources;
  } else if (task != 0) {
    gpus = p.entry(task - 1).part.gpu_mask;
    set = p.entry(task - 1).part.resources;
  }
  nb::list ids;
  for (int i = 0; i < 64; ++i)
    if ((gpus >> i & 1) != 0) ids.append(i);
  result["gpu_ids"] = ids;
  const ResourceSet& r = p.control().resources.set[set];
  result["assigned"] = s.is_worker ? amounts(p.control().resources, r) : nb::dict();
  result["environment"] = s.is_worker ? r.environment : p.slot().environment.load();
  result["group"] = nb::none();
  if (s.is_worker && r.group != 0) {
    const Ref ready = p.control().group[r.group - 1].ready;
    result["group"] = nb::make_tuple(r.group - 1, ready.generation, ready.index, r.capture != 0);
  }
  return result;
}

// How many tasks and calls have submitted each other down to the one that asks: 1 where the driver submitted it, 0 in the
// driver. One that has ended meanwhile ends the walk.
std::uint32_t task_depth() {
  Process& p = client_or_throw().process();
  const std::uint32_t task = current_task();
  Ref at = task == 0 ? kNoRef : Ref{task - 1, p.entry(task - 1).load().generation()};
  std::uint32_t depth = 0;
  while (at != kNoRef) {
    Entry& e = p.entry(at.index);
    const Kind kind = e.kind_now();
    const Ref above = kind == Kind::kActorCall ? e.part.caller_now()
                      : kind == Kind::kTask    ? e.part.parent_now()
                                               : kNoRef;
    if (e.load().generation() != at.generation) break;
    ++depth;
    at = above;
  }
  return depth;
}

nb::object current_actor(nb::callable parse) {
  State& s = state();
  if (!s.in_actor) throw nb::value_error("current_actor is there only inside an actor");
  Process& p = s.client->process();
  ActorSlot& actor = p.control().actor[s.actor_slot];
  auto bytes = p.args(actor.creation.index);
  std::uint16_t size = 0;
  std::memcpy(&size, bytes.data() + 4, sizeof size);
  nb::object info = parse(nb::str(reinterpret_cast<const char*>(bytes.data()) + 6, size));
  p.hold(actor.creation);
  return nb::steal(make_actor_handle(actor.creation, s.actor_slot, info.ptr()));
}

// What a leak test counts.
nb::dict usage() {
  Process& p = client_or_throw().process();
  std::uint64_t objects = 0, functions = 0;
  p.for_each_entry([&](std::uint32_t i) {
    ++objects;
    std::uint8_t codec = p.entry(i).value.where == kNowhere ? kCodecText : p.entry(i).value.codec;
    functions += p.entry(i).kind == Kind::kValue && (codec == kCodecArgs || codec == kCodecNative);
  });
  p.reclaim_chunks();
  nb::dict result;
  result["objects"] = objects;  // functions included
  result["functions"] = functions;
  result["store_bytes"] = p.bytes_used();
  std::uint32_t actors = 0;
  for (ActorSlot& actor : std::span(p.control().actor, p.control().actors_used.load()))
    actors += actor.status.load() != ActorStatus::kFree;
  result["actors"] = actors;
  return result;
}

// Where other processes find this engine; or why they cannot.
nb::tuple door() {
  if (state().attached) return nb::make_tuple(state().attached->path(), "");
  if (!state().node) return nb::make_tuple(nb::none(), "no runtime was started by this process");
  const Door* door = state().node->door();
  if (door == nullptr) return nb::make_tuple(nb::none(), state().node->no_door());
  return nb::make_tuple(door->path(), "");
}

nb::list processes() {
  nb::list result;
  if (state().node)
    for (const Node::ProcessInfo& info : state().node->processes())
      result.append(nb::make_tuple(info.pid, info.kind == ProcKind::kActor));
  return result;
}

// An object whose value comes later: a function that refers to itself is pickled with its own reference in it.
nb::object reserve() {
  auto ref = running_client().process().create(Kind::kValue);
  if (!ref) throw_error(ref.error());
  return nb::steal(make_object_ref(*ref));
}

// `name`: what people see of the function.
void fill(nb::handle object, nb::bytes world, nb::handle value, const std::string& name) {
  Client& client = client_or_throw();
  const Ref* ref = checked_ref(object.ptr(), "_fill");
  if (ref == nullptr) throw nb::python_error();
  Encoder encoder;
  PyObject* parts[] = {world.ptr(), value.ptr()};
  const std::size_t size = std::min(name.size(), kLongestFunctionName);
  if (!encoder.call(name.data(), static_cast<Py_ssize_t>(size), parts, 2, nullptr)) throw nb::python_error();
  const Payload& payload = encoder.finish(kCodecArgs);
  std::uint64_t bytes = payload.size();
  for (std::size_t i = 0; i < payload.deps; ++i)  // what is large has become an object of its own
    bytes += client.process().entry(payload.refs[i].index).value.size;
  if (bytes > kLargestFunction)
    throw_error(base::Error(base::Code::kInvalidArgument,
                            fmt::format("{} takes {} MiB of values along from where it is defined, at most {} MiB are "
                                        "possible: put() the large ones and give the references as arguments",
                                        name, bytes >> 20, kLargestFunction >> 20)));
  if (auto stored = client.set_value(ref->index, payload); !stored) throw_error(stored.error());
  client.process().publish(ref->index, false);
}

void abandon(nb::handle object) {
  const Ref* ref = checked_ref(object.ptr(), "_abandon");
  if (ref == nullptr) throw nb::python_error();
  running_client().process().publish_error(ref->index, ErrorKind::kRuntime, "the function could not be pickled");
}

// Of these functions, those that a task which is not done, or may run again, still needs.
nb::list functions_in_use(nb::list functions) {
  Process& p = client_or_throw().process();
  std::set<std::pair<std::uint32_t, std::uint32_t>> used;
  p.for_each_entry([&](std::uint32_t i) {
    Entry& e = p.entry(i);
    if (e.kind == Kind::kTask || e.kind == Kind::kActorCreate) {
      bool over = e.load().done() && e.kind == Kind::kTask && !e.part.has_now(kKept);
      if (!over) used.emplace(e.part.function.index, e.part.function.generation);
    }
  });
  nb::list result;
  for (nb::handle h : functions) {
    const Ref* ref = checked_ref(h.ptr(), "_functions_in_use");
    if (ref == nullptr) throw nb::python_error();
    if (used.contains({ref->index, ref->generation})) result.append(h);
  }
  return result;
}

// What sharing has cost so far, summed over all processes that are or were: for benches.
nb::dict contention() {
  Control& control = client_or_throw().process().control();
  std::uint64_t taken = 0, stolen = 0, contended = 0, wakeups = 0;
  for (ProcSlot& slot : std::span(control.proc, control.procs_used.load())) {
    taken += slot.taken.load();
    stolen += slot.stolen.load();
    contended += slot.contended.load();
    wakeups += slot.wakeups.load();
  }
  nb::dict result;
  result["taken"] = taken;
  result["stolen"] = stolen;
  result["contended"] = contended;
  result["wakeups"] = wakeups;
  return result;
}

nb::object native_function(const std::string& name) {
  auto ref = put_native(client_or_throw(), name);
  if (!ref) throw_error(ref.error());
  return nb::steal(make_object_ref(*ref));
}

// (name, methods) of a class in a library: "library.so:symbol", which is loaded here to say so.
std::pair<std::string, std::vector<std::string>> native_class(const std::string& name) {
  NativeInstance described;
  NativeCall call(described);
  base::Status status;
  {
    nb::gil_scoped_release released;
    auto code = find_native(name);
    status = code ? (*code)->run(call) : base::Status(std::unexpected(std::move(code).error()));
    if (status && described.class_name.empty())
      status =
          base::fail(base::Code::kInvalidArgument,
                     "{} makes no actor: a function does that returns daybreak::construct<Class, ...>(call)", name);
  }
  if (!status) throw_error(status.error());
  std::vector<std::string> methods;
  methods.reserve(described.methods.size());
  for (const NativeCode& method : described.methods) methods.push_back(method.name);
  return {described.class_name, methods};
}

const char* state_of(const ActorSlot& actor) {
  switch (actor.status.load()) {
    case ActorStatus::kAlive: return "ALIVE";
    case ActorStatus::kRestarting: return "RESTARTING";
    case ActorStatus::kDead: return "DEAD";
    default: return "PENDING_CREATION";
  }
}

std::string actor_state(nb::handle handle) {
  return state_of(client_or_throw().process().control().actor[checked_handle(handle)->slot]);
}

}  // namespace
}  // namespace daybreak::runtime::python

namespace {

struct ErrorKinds {};  // ErrorKind, for Python

// Class attributes: an enum of Python's would load the module enum with `import daybreak`.
void bind_error_kinds(nb::module_& m) {
  using daybreak::runtime::ErrorKind;
  auto kinds = nb::class_<ErrorKinds>(m, "ErrorKind", "Why an object holds an error.");
  for (const auto& [name, kind] : {std::pair("USER", ErrorKind::kUser),
                                   {"WORKER_CRASHED", ErrorKind::kWorkerCrashed},
                                   {"ACTOR_DIED", ErrorKind::kActorDied},
                                   {"CANCELLED", ErrorKind::kCancelled},
                                   {"UNSCHEDULABLE", ErrorKind::kUnschedulable},
                                   {"STORE_FULL", ErrorKind::kStoreFull},
                                   {"OWNER_DIED", ErrorKind::kOwnerDied},
                                   {"OBJECT_LOST", ErrorKind::kObjectLost},
                                   {"RUNTIME", ErrorKind::kRuntime},
                                   {"GROUP_REMOVED", ErrorKind::kGroupRemoved},
                                   {"ENVIRONMENT", ErrorKind::kEnvironment},
                                   {"OUT_OF_MEMORY", ErrorKind::kOutOfMemory}})
    kinds.attr(name) = static_cast<int>(kind);
}

}  // namespace

void bind_runtime(nb::module_& m) {
  using namespace daybreak::runtime::python;
  bind_error_kinds(m);
  if (!init_refs(m.ptr()) || !init_decoder(m.ptr()) || !init_calls(m.ptr()) || !init_worker(m.ptr()))
    throw nb::python_error();
  pthread_atfork(nullptr, nullptr, forget_runtime);
  bind_view(m);
  m.def("_init", init, nb::arg("num_cpus"), nb::arg("num_gpus"), nb::arg("resources"), nb::arg("object_store_bytes"),
        nb::arg("command"), nb::arg("log_to_driver"), nb::arg("patient") = false, nb::arg("spill_directory") = "",
        nb::arg("spill_is_a_must") = false, nb::arg("spill_threshold") = 0.8, nb::arg("memory_threshold") = 1.0,
        nb::arg("memory_refresh_ms") = 0, nb::arg("memory_root") = "", nb::arg("identity") = "",
        nb::arg("fold_ns") = daybreak::runtime::FoldedLines::kWindowNs, nb::arg("history") = true);
  bind_attached(m);
  m.def("_memory_monitor", [] {
    const daybreak::runtime::Control& control = client_or_throw().process().control();
    return nb::make_tuple(control.memory_looks.load(), control.memory_asleep.load() != 0);
  });
  m.def("_shutdown", shutdown);
  m.def("_spill", spill, nb::arg("size_bytes"));
  m.def("_is_initialized", [] { return state().client != nullptr || state().engine != nullptr; });
  m.def("_session", [] { return engine_session() == 0 ? std::string() : fmt::format("{:016x}", engine_session()); });
  m.def("_life", [] { return state().session; });
  m.def("_is_worker", [] { return state().is_worker; });
  m.def("_is_patient", [] { return client_or_throw().process().control().patient != 0; });
  bind_groups(m);
  bind_batch(m);
  m.def("_resource_set", resource_set, nb::arg("cpu"), nb::arg("gpu"), nb::arg("custom"), nb::arg("environment") = 0,
        nb::arg("group") = 0, nb::arg("bundle") = -1, nb::arg("capture") = false);
  m.def("_create_actor", create_actor, nb::arg("function"), nb::arg("args"), nb::arg("kwargs"), nb::arg("resources"),
        nb::arg("name"), nb::arg("info_json"), nb::arg("info"), nb::arg("max_restarts"), nb::arg("max_task_retries"),
        nb::arg("max_concurrency"), nb::arg("detached"));
  m.def("_find_actor", find_actor, nb::arg("name"), nb::arg("parse"));
  m.def("_task_depth", task_depth);
  m.def("_current_actor", current_actor, nb::arg("parse"));
  m.def("_actor_state", actor_state, nb::arg("handle"));
  m.def("_kill", kill, nb::arg("handle"), nb::arg("no_restart"));
  m.def("_cancel", cancel, nb::arg("ref"), nb::arg("force"), nb::arg("recursive"));
  m.def("_resources", resources, nb::arg("available"));
  m.def("_context", context);
  m.def("_usage", usage);
  m.def("_processes", processes);
  m.def("_door", door);
  m.def("_contention", contention);
  m.def(
      "_say_stalled_after", [](double seconds) { stalled_after_ns = static_cast<std::int64_t>(seconds * 1e9); },
      nb::arg("seconds"));
  m.def("_machine", [] {
    const daybreak::base::Machine machine = daybreak::base::this_machine();
    return nb::make_tuple(machine.cores, machine.memory_bytes, machine.memory_limit_file);
  });
  m.def("_await_workers", await_workers, nb::arg("count"), nb::arg("limit_s"));
  m.def("_reserve", reserve);
  m.def("_fill", fill, nb::arg("ref"), nb::arg("world"), nb::arg("value"), nb::arg("name"));
  m.def("_abandon", abandon, nb::arg("ref"));
  m.def("_functions_in_use", functions_in_use, nb::arg("functions"));
  m.def("_native_function", native_function, nb::arg("name"));
  m.def("_native_class", native_class, nb::arg("name"));
  // Whether this thread submits calls of C++ functions; what it was before.
  m.def("_submits_to_cpp", [](bool now) { return std::exchange(submits_to_cpp, now); }, nb::arg("now"));
  m.def(
      "_set_engine",
      [](nb::object engine) {
        Py_XDECREF(state().engine);
        state().engine = engine.is_none() ? nullptr : engine.release().ptr();
      },
      nb::arg("engine").none());
}
