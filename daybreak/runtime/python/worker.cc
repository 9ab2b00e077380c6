// A worker's or an actor's main loop: runs Python code for tasks that WorkerLoop claims.
#include "daybreak/runtime/python/worker.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <unordered_map>

#include "daybreak/runtime/spill_folder.h"

namespace daybreak::runtime::python {

namespace {

constexpr std::size_t kFunctionCache = 4096;  // functions that a worker keeps loaded

thread_local const Function* current_function = nullptr;  // of the task that this thread runs
PyObject* actor_instance = nullptr;
NativeInstance native_instance;         // of an actor whose class is C++'s
bool called_by_cpp = false;             // the actor was made by C++
bool forked_by_task = false;            // a task has forked, and this is its child
thread_local bool main_thread = false;  // which a cancellation interrupts

// Of one concurrency group of a threaded actor. Guarded by the GIL.
struct GroupThreads {
  std::uint32_t limit = 1;
  std::uint32_t started = 1;
  std::uint32_t waiting = 0;
};
std::vector<GroupThreads> group_threads;  // empty: calls run one after the other on the main thread

Function* load_function(Client& client, Ref ref) {
  static std::unordered_map<std::uint64_t, Function> cache;
  std::uint64_t key = (std::uint64_t{ref.generation} << 32) | ref.index;
  if (auto known = cache.find(key); known != cache.end()) return &known->second;
  if (cache.size() >= kFunctionCache) {
    for (auto& [k, f] : cache) {
      Py_XDECREF(f.callable);
      Py_XDECREF(f.retry_on);
      Py_XDECREF(f.name);
    }
    cache.clear();
  }
  while (!client.process().done(ref)) {  // another thread is still pickling it
    if (client.process().entry(ref.index).load().generation() != ref.generation) break;
    Py_BEGIN_ALLOW_THREADS client.wait(ref, -1);
    Py_END_ALLOW_THREADS
  }
  if (client.process().entry(ref.index).load().generation() != ref.generation) {
    raise(base::Error(base::Code::kInternal, "the function of the task is gone with the process that had pickled it"));
    return nullptr;
  }
  Function function;
  const std::uint8_t codec = client.process().entry(ref.index).value.codec;
  if (codec == kCodecNative) {
    function.native = true;
  } else if (codec == kCodecPython) {
    const std::span<const std::byte> name = client.process().value(ref.index);
    PyObject* import = python_object("worker", "imported");
    function.callable = import == nullptr
                            ? nullptr
                            : PyObject_CallFunction(import, "s#", name.data(), static_cast<Py_ssize_t>(name.size()));
    if (function.callable == nullptr) return nullptr;
    function.retry_on = Py_NewRef(Py_None);
    function.name = Py_NewRef(Py_None);
    function.plain = true;
  } else {
    PyObject* enter = python_object("serialization", "enter_world");
    Owned pair(enter == nullptr ? nullptr : decode_function(client, ref, enter));
    if (!pair) return nullptr;
    function.name = Py_None;
    if (!PyArg_ParseTuple(pair.get(), "OOI|O", &function.callable, &function.retry_on, &function.calls_left,
                          &function.name))
      return nullptr;
    function.limited = function.calls_left > 0;
    Py_INCREF(function.callable);
    Py_INCREF(function.retry_on);
    Py_INCREF(function.name);
  }
  return &(cache[key] = function);
}

// The name as an interned string, borrowed.
PyObject* method_name(const std::string& name) {
  static std::unordered_map<std::string, PyObject*> known;
  if (auto found = known.find(name); found != known.end()) return found->second;
  PyObject* interned = PyUnicode_InternFromString(name.c_str());
  if (interned != nullptr) known.emplace(name, interned);
  return interned;
}

// The class's own function of that name, borrowed, which an attribute of the instance does not hide; null: it is no plain
// one.
PyObject* function_of_class(PyObject* name) {
  PyObject* found = _PyType_Lookup(Py_TYPE(actor_instance), name);
  return found != nullptr && PyFunction_Check(found) ? found : nullptr;
}

// A method that every actor has, unless its class has it too. Borrowed: it lives as long as the actor.
PyObject* special_method(const std::string& name) {
  static std::unordered_map<std::string, PyObject*> known;
  if (auto found = known.find(name); found != known.end()) return found->second;
  PyObject* method = PyObject_GetAttrString(actor_instance, name.c_str());
  if (method == nullptr) {
    PyErr_Clear();
    PyObject* make = python_object("worker", "special_method");
    method = make == nullptr ? nullptr : PyObject_CallFunction(make, "Os", actor_instance, name.c_str());
  }
  if (method != nullptr) known.emplace(name, method);
  return method;
}

void run_without_gil(Client& client, std::uint32_t index, NativeInstance* instance) {
  Py_BEGIN_ALLOW_THREADS run_native(client, index, instance);
  Py_END_ALLOW_THREADS
}

// The environment of a task or actor that was given GPUs says which; false with an exception set.
bool assign_gpus(std::uint64_t mask) {
  static std::uint64_t said = 0;  // what it says now: none, where the runtime has GPUs
  if (mask == said) return true;
  said = mask;
  PyObject* assign = python_object("worker", "assign_gpus");
  Owned assigned(assign == nullptr ? nullptr
                                   : PyObject_CallFunction(assign, "K", static_cast<unsigned long long>(mask)));
  return static_cast<bool>(assigned);
}

// The method's or function's result: new, or null with an exception set, or with `arguments.dependency_failed`. Sets
// `callable`, borrowed, to a special method.
PyObject* run_call(Client& client, std::uint32_t index, std::string& method, PyObject*& callable,
                   Arguments& arguments) {
  const bool actor_call = callable == nullptr;
  if (!decode_call(client, index, method, arguments.values, arguments.kwnames, arguments.positional, arguments.failed,
                   arguments.dependency_failed))
    return nullptr;
  if (actor_call) take_said(index, arguments);
  if (actor_call && method.starts_with("__ray_")) {
    callable = special_method(method);
    if (callable == nullptr) return nullptr;
  }
  if (callable != nullptr)
    return PyObject_Vectorcall(callable, arguments.values.data() + 1,
                               static_cast<std::size_t>(arguments.positional) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               arguments.kwnames);
  arguments.values[0] = Py_NewRef(actor_instance);
  PyObject* attribute = method_name(method);
  if (attribute == nullptr) return nullptr;
  if (PyObject* function = function_of_class(attribute); function != nullptr)
    return PyObject_Vectorcall(function, arguments.values.data(), static_cast<std::size_t>(arguments.positional) + 1,
                               arguments.kwnames);
  return PyObject_VectorcallMethod(attribute, arguments.values.data(),
                                   static_cast<std::size_t>(arguments.positional) + 1, arguments.kwnames);
}

void run_python(Client& client, std::uint32_t index, const Function* function, bool ready) {
  const bool actor_call = client.process().entry(index).kind == Kind::kActorCall;
  thread_local std::string method;
  const SaidUntilEnd said(index);
  Arguments arguments;
  PyObject* callable = function == nullptr ? nullptr : function->callable;
  Owned result(ready ? run_call(client, index, method, callable, arguments) : nullptr);
  if (is_fork_of_task()) _exit(0);
  const char* where = actor_call ? method.c_str() : "";
  if (result && yields(client.process().entry(index), result.get()))
    return publish_yielded(client, index, function, where, callable, result.get(), arguments);
  if (result && !can_be_a_result(result.get(), method, callable)) result = Owned();
  if (!result)
    end_without_result(client, index, function, where, callable, arguments);
  else if (!publish_result(client, index, result.get()))
    publish_exception(client, index, where, callable);
}

// State::binding for what asks for this set: in a placement group that captures, remote functions are bound anew.
std::uint64_t binding_of(Process& p, std::uint16_t resources) {
  if (resources == 0) return state().session;
  const ResourceSet& set = p.control().resources.set[resources];
  return set.capture != 0 ? state().session ^ set.group : state().session;
}

void run_task(Client& client, std::uint32_t index) {
  Process& p = client.process();
  Entry& e = p.entry(index);
  Client::current_task = index + 1;
  if (main_thread) p.slot().running.store(index + 1, std::memory_order_relaxed);
  Function* function = nullptr;
  bool ready = true;
  if (e.kind != Kind::kActorCall) {
    state().binding = binding_of(p, e.part.resources);
    function = load_function(client, e.part.function);
    ready = function != nullptr && assign_gpus(e.part.gpu_mask);
  }
  current_function = function;
  if (function != nullptr ? function->native : native_instance.object != nullptr)
    run_without_gil(client, index, &native_instance);
  else
    run_python(client, index, function, ready);
  // Between this task and the next it is seen; what is queued is for others.
  if (function != nullptr && function->limited && --function->calls_left == 0) p.slot().asked_to_exit.store(1);
  if (main_thread) p.slot().running.store(0, std::memory_order_relaxed);
  Client::current_task = 0;
}

// True: the instance is there.
bool construct_actor(Client& client, std::uint32_t slot) {
  Process& p = client.process();
  ActorSlot& actor = p.control().actor[slot];
  std::uint32_t index = actor.creation.index;
  Entry& e = p.entry(index);
  if (!assign_gpus(e.part.gpu_mask)) PyErr_Clear();
  state().binding = binding_of(p, e.part.resources);
  std::string name;
  std::vector<PyObject*> values;
  PyObject* kwnames = nullptr;
  Py_ssize_t positional = 0;
  Ref failed;
  bool dependency_failed = false;
  Function* function = load_function(client, e.part.function);
  if (function != nullptr && function->native) {
    bool made = false;
    Py_BEGIN_ALLOW_THREADS made = construct_native(client, slot, native_instance);
    Py_END_ALLOW_THREADS return made;
  }
  if (function != nullptr) {
    called_by_cpp = function->plain;
    PyObject* prepare = python_object("worker", "prepare_class");
    Owned prepared(prepare == nullptr ? nullptr : PyObject_CallOneArg(prepare, function->callable));
    if (!prepared) function = nullptr;
  }
  if (function != nullptr && decode_call(client, index, name, values, kwnames, positional, failed, dependency_failed))
    actor_instance =
        PyObject_Vectorcall(function->callable, values.data(), static_cast<std::size_t>(positional), kwnames);
  for (PyObject* value : values) Py_DECREF(value);
  Py_XDECREF(kwnames);
  if (actor_instance != nullptr) return true;
  if (dependency_failed && p.entry(failed.index).error == ErrorKind::kObjectLost) {
    raise_object_error(client, failed);
  } else if (dependency_failed) {
    auto bytes = p.value(failed.index);
    Payload payload;
    payload.pieces.push_back({bytes.data(), bytes.size(), 1});
    payload.codec = p.entry(failed.index).value.codec;
    if (client.set_value(index, payload)) e.error = ErrorKind::kUser;
    return false;
  }
  Owned payload = take_exception("__init__", function == nullptr ? nullptr : function->callable);
  if (set_exception(client, index, payload.get())) e.error = ErrorKind::kUser;
  return false;
}

// Before a thread begins a call: if it was the last that waits for one, and more are allowed, there is another.
void keep_one_waiting(GroupThreads& threads, std::size_t group) {
  if (threads.waiting > 0 || threads.started >= threads.limit) return;
  ++threads.started;  // before others run
  PyObject* start = python_object("worker", "start_thread");
  Owned started(start == nullptr ? nullptr : PyObject_CallFunction(start, "n", static_cast<Py_ssize_t>(group)));
  if (started) return;
  --threads.started;
  PyErr_Clear();  // the machine has no more threads: those that there are go on
}

// Runs calls until there are no more. GIL held.
void serve(Client& client, WorkerLoop& loop, std::size_t group) {
  GroupThreads* threads = group < group_threads.size() ? &group_threads[group] : nullptr;
  for (;;) {
    std::uint32_t index = 0;
    if (threads != nullptr) ++threads->waiting;
    WorkerLoop::Next next = loop.poll(index, group);
    if (next == WorkerLoop::Next::kIdle) {
      Py_BEGIN_ALLOW_THREADS next = loop.wait(index, -1, group);
      Py_END_ALLOW_THREADS
    }
    if (threads != nullptr) --threads->waiting;
    if (next == WorkerLoop::Next::kExit) return;
    if (next == WorkerLoop::Next::kTask) {
      if (threads != nullptr) keep_one_waiting(*threads, group);
      run_task(client, index);
      loop.finished();
    }
    // An interrupt that came too late for its task.
    if (PyErr_CheckSignals() != 0) PyErr_Clear();
  }
}

}  // namespace

bool result_is_for_cpp() {
  if (current_task() == 0) return false;
  return current_function != nullptr ? current_function->plain : called_by_cpp;
}

const Function* function_at(Client& client, Ref ref) {
  return load_function(client, ref);
}

bool is_fork_of_task() {
  return forked_by_task;
}

PyObject* this_actor() {
  return actor_instance;
}

PyObject* method_of_actor(const std::string& name) {
  if (name.starts_with("__ray_")) return Py_XNewRef(special_method(name));
  PyObject* attribute = method_name(name);
  if (attribute == nullptr) return nullptr;
  PyObject* function = function_of_class(attribute);
  return function != nullptr ? PyMethod_New(function, actor_instance) : PyObject_GetAttr(actor_instance, attribute);
}

// Guarded by the GIL.
std::unordered_map<std::uint32_t, Owned>& said_of_calls() {
  static auto* known = new std::unordered_map<std::uint32_t, Owned>;  // outlives the interpreter
  return *known;
}

PyObject* said_name() {
  static PyObject* name = PyUnicode_InternFromString("__daybreak_call__");
  return name;
}

PyObject* said_of_call(std::uint32_t index) {
  auto found = said_of_calls().find(index);
  return found == said_of_calls().end() ? nullptr : found->second.get();
}

void forget_said(std::uint32_t index) {
  if (!said_of_calls().empty()) said_of_calls().erase(index);
}

void take_said(std::uint32_t index, Arguments& arguments) {
  if (arguments.kwnames == nullptr) return;
  const Py_ssize_t names = PyTuple_GET_SIZE(arguments.kwnames);
  if (PyTuple_GET_ITEM(arguments.kwnames, names - 1) != said_name()) return;
  said_of_calls().insert_or_assign(index, Owned(arguments.values.back()));
  arguments.values.pop_back();
  PyObject* fewer = names == 1 ? nullptr : PyTuple_GetSlice(arguments.kwnames, 0, names - 1);
  if (fewer == nullptr) PyErr_Clear();
  Py_SETREF(arguments.kwnames, fewer);
}

// (function or None, name or None, method or "") of what this thread runs.
PyObject* running(PyObject*, PyObject*) {
  if (current_task() == 0) return Py_BuildValue("OOs", Py_None, Py_None, "");
  const Function* function = current_function;
  const bool known = function != nullptr && function->callable != nullptr;
  const std::string method = function == nullptr ? method_that_runs(*state().client) : "";
  PyObject* said = method.empty() ? nullptr : said_of_call(current_task() - 1);
  PyObject* name = said == nullptr ? nullptr : PyDict_GetItemString(said, "name");
  if (known) name = function->name;
  return Py_BuildValue("OOs", known ? function->callable : Py_None, name == nullptr ? Py_None : name, method.c_str());
}

// The actor of this process, None before it is made and in other processes.
PyObject* the_actor(PyObject*, PyObject*) {
  return Py_NewRef(actor_instance == nullptr ? Py_None : actor_instance);
}

// By what describes it: its number may be another's later, when a driver has left.
std::uint64_t environment_of(std::uint32_t proc) {
  const Control& control = state().segment->control();
  const std::uint32_t number = proc < kMaxProcs ? control.proc[proc].environment.load() : 0;
  return number == 0 ? 0 : std::hash<std::string_view>{}(control.resources.environment[number - 1]) | 1;
}

const ForkHooks fork_hooks = {PyOS_BeforeFork, PyOS_AfterFork_Parent, PyOS_AfterFork_Child, environment_of};

// In the zygote, after _attach; returns in a worker, with its slot.
PyObject* zygote(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(run_zygote(fork_hooks));
}

// The same in an interpreter of an environment, which was started for a slot: (socket, slot).
PyObject* zygote_below(PyObject*, PyObject* args) {
  int socket = -1;
  unsigned first = 0;
  if (!PyArg_ParseTuple(args, "iI", &socket, &first)) return nullptr;
  return PyLong_FromUnsignedLong(run_zygote_below(socket, first, fork_hooks));
}

// Of a fork of the zygote: for zygote_below, -1 where there is one of the environment already.
PyObject* below_socket(PyObject*, PyObject*) {
  return PyLong_FromLong(offered_socket());
}

// In a worker: binds it to its slot. None, or of an actor (what its class says of it as JSON, max_concurrency).
PyObject* enter_worker(PyObject*, PyObject* argument) {
  std::uint32_t proc = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(argument));
  if (PyErr_Occurred()) return nullptr;
  State& s = state();
  s.process = std::make_unique<Process>(*s.segment, proc);
  use_spill_folder(*s.process);
  s.own_client = std::make_unique<Client>(*s.process);
  ProcSlot& slot = s.process->slot();
  slot.pid = getpid();
  pthread_atfork(nullptr, nullptr, [] { forked_by_task = true; });
  bool actor = slot.kind == ProcKind::kActor;
  s.loop = std::make_unique<WorkerLoop>(*s.own_client, actor ? slot.actor : kNone);
  s.client = s.own_client.get();
  set_current_client(s.client);
  s.session = s.binding = s.segment->control().session;
  s.is_worker = true;
  s.in_actor = actor;
  s.actor_slot = actor ? slot.actor : 0;
  slot.status = ProcStatus::kAlive;
  main_thread = true;
  if (!actor) Py_RETURN_NONE;
  ActorSlot& of_actor = s.segment->control().actor[slot.actor];
  const auto call = ValueReader(s.process->args(of_actor.creation.index)).call();
  if (!call) return PyErr_Format(PyExc_RuntimeError, "the arguments of an actor's constructor are damaged");
  return Py_BuildValue("s#I", call->method.data(), static_cast<Py_ssize_t>(call->method.size()), of_actor.concurrency);
}

// Constructs the actor; False when that failed.
PyObject* construct(PyObject*, PyObject*) {
  State& s = state();
  if (!construct_actor(*s.client, s.actor_slot)) Py_RETURN_FALSE;
  s.process->control().actor[s.actor_slot].status.store(ActorStatus::kAlive);
  Py_RETURN_TRUE;
}

// (limits, coroutines, in_order): of an actor whose calls do not all run one after the other, the concurrency of each
// group, the default one first.
PyObject* set_groups(PyObject*, PyObject* arguments) {
  PyObject* limits;
  int coroutines, in_order;
  if (!PyArg_ParseTuple(arguments, "O!pp", &PyList_Type, &limits, &coroutines, &in_order)) return nullptr;
  const auto count = static_cast<std::size_t>(PyList_GET_SIZE(limits));
  bool threads = false;
  std::vector<GroupThreads> groups(count);
  for (std::size_t i = 0; i < count; ++i) {
    groups[i].limit =
        static_cast<std::uint32_t>(PyLong_AsUnsignedLong(PyList_GET_ITEM(limits, static_cast<Py_ssize_t>(i))));
    threads = threads || groups[i].limit > 1 || count > 1;
  }
  if (PyErr_Occurred()) return nullptr;
  using Concurrency = WorkerLoop::Concurrency;
  if (!coroutines && threads) group_threads = std::move(groups);
  state().loop->set_groups(count,
                           coroutines ? Concurrency::kCoroutines
                           : threads  ? Concurrency::kThreads
                                      : Concurrency::kNone,
                           in_order);
  Py_RETURN_NONE;
}

// Runs tasks on this thread until the process is to end, or of an actor the calls of a concurrency group.
PyObject* serve_tasks(PyObject*, PyObject* group) {
  const std::size_t number = PyLong_AsSize_t(group);
  if (PyErr_Occurred()) return nullptr;
  serve(*state().client, *state().loop, number);
  Py_RETURN_NONE;
}

// Whether a method has ended the actor.
PyObject* leaving(PyObject*, PyObject*) {
  return PyBool_FromLong(state().loop != nullptr && state().loop->leaving());
}

// Whether the interrupt that has just come is meant for the task that runs.
PyObject* cancel_requested(PyObject*, PyObject*) {
  State& s = state();
  if (s.client == nullptr || !s.is_worker) Py_RETURN_FALSE;
  std::uint32_t running = s.process->slot().running.load();
  const bool cancelled = running != 0 && s.process->entry(running - 1).load().has(runtime::State::kCancelled);
  if (cancelled) s.process->slot().interrupted.store(running);
  return PyBool_FromLong(cancelled);
}

bool init_worker(PyObject* module) {
  static PyMethodDef functions[] = {{"_running", running, METH_NOARGS, nullptr},
                                    {"_actor_instance", the_actor, METH_NOARGS, nullptr},
                                    {"_zygote", zygote, METH_NOARGS, nullptr},
                                    {"_zygote_below", zygote_below, METH_VARARGS, nullptr},
                                    {"_below_socket", below_socket, METH_NOARGS, nullptr},
                                    {"_enter_worker", enter_worker, METH_O, nullptr},
                                    {"_construct", construct, METH_NOARGS, nullptr},
                                    {"_set_groups", set_groups, METH_VARARGS, nullptr},
                                    {"_serve", serve_tasks, METH_O, nullptr},
                                    {"_leaving", leaving, METH_NOARGS, nullptr},
                                    {"_cancel_requested", cancel_requested, METH_NOARGS, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0 && init_coroutines(module);
}

}  // namespace daybreak::runtime::python
