// A worker's or an actor's main loop: runs Python code for tasks that WorkerLoop claims.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <unordered_map>

#include "daybreak/runtime/native.h"
#include "daybreak/runtime/python/common.h"

namespace daybreak::runtime::python {

namespace {

constexpr std::size_t kFunctionCache = 4096;  // functions that a worker keeps loaded

struct Function {
  PyObject* callable = nullptr;
  PyObject* retry_on = nullptr;  // None or a tuple of exception classes
  PyObject* name = nullptr;      // None, or what the task is called instead of its function's name
  NativeFunction native = nullptr;
};

thread_local const Function* current_function = nullptr;  // of the task that this thread runs
thread_local std::string current_method;                  // or of the call to the actor

PyObject* actor_instance = nullptr;
std::atomic<bool> actor_leaves{false};  // a method raised SystemExit
bool is_fork_of_task = false;           // a task has forked, and this is its child

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
    Py_BEGIN_ALLOW_THREADS client.wait(ref, -1);
    Py_END_ALLOW_THREADS
  }
  Function function;
  if (client.process().entry(ref.index).value.codec == kCodecNative) {
    auto bytes = client.process().value(ref.index);
    auto found = find_native({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (!found) {
      raise(found.error());
      return nullptr;
    }
    function.native = *found;
  } else {
    PyObject* enter = python_object("serialization", "enter_world");
    Owned pair(enter == nullptr ? nullptr : decode_function(client, ref, enter));
    if (!pair) return nullptr;
    function.name = Py_None;
    if (!PyArg_ParseTuple(pair.get(), "OO|O", &function.callable, &function.retry_on, &function.name)) return nullptr;
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

// Every result of a task, the further ones first, so that the first can be relied on to come last.
template <typename F>
void for_each_result(Process& p, std::uint32_t index, F&& f) {
  for (Ref sibling : p.further_results(index))
    if (p.claim_pending(sibling)) f(sibling.index);
  f(index);
}

// The pending Python exception as what is sent instead of a value: a dict. Null without an exception set: it could not
// be made.
Owned take_exception(const char* where, PyObject* callable) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Owned own_type(type), own_value(value), own_trace(trace);
  if (trace != nullptr) PyException_SetTraceback(value, trace);
  PyObject* describe = python_object("exceptions", "_to_payload");
  Owned payload(describe == nullptr
                    ? nullptr
                    : PyObject_CallFunction(describe, "OsO", value, where, callable == nullptr ? Py_None : callable));
  if (!payload) PyErr_Clear();
  return payload;
}

// Writes it as the value of the object; without the exception itself where the store has no room for that. False: not
// even so.
bool set_exception(Client& client, std::uint32_t at, PyObject* payload) {
  if (payload == nullptr) return false;
  for (bool whole : {true, false}) {
    PyObject* shorten = whole ? nullptr : python_object("exceptions", "_without_cause");
    Owned shorter(shorten == nullptr ? nullptr : PyObject_CallOneArg(shorten, payload));
    Encoder encoder;
    if ((whole || shorter) && encoder.item(whole ? payload : shorter.get()) &&
        client.set_value(at, encoder.finish(kCodecException)))
      return true;
    PyErr_Clear();
  }
  return false;
}

// The pending Python exception as the results of the task.
void publish_exception(Client& client, std::uint32_t index, const char* where, PyObject* callable) {
  Owned payload = take_exception(where, callable);
  if (!payload)
    return client.fail(index, ErrorKind::kRuntime, "the task raised an exception that could not be recorded");
  for_each_result(client.process(), index, [&](std::uint32_t at) {
    if (client.process().entry(at).value.where != kNowhere) client.process().drop_value(at);
    if (set_exception(client, at, payload.get())) {
      client.process().entry(at).error = ErrorKind::kUser;
      client.process().publish(at, true);
    } else {
      client.process().publish_error(at, ErrorKind::kStoreFull,
                                     "the object store is too full even for the task's exception");
    }
  });
}

// Writes one result; false with an exception set.
bool store(Client& client, std::uint32_t index, PyObject* object) {
  Encoder encoder;
  if (!encoder.item(object)) return false;
  const Payload& payload = encoder.finish(kCodecItem);
  base::Status stored;
  if (payload.size() < 256 * 1024) {
    stored = client.set_value(index, payload);
  } else {
    Py_BEGIN_ALLOW_THREADS stored = client.set_value(index, payload);
    Py_END_ALLOW_THREADS
  }
  if (!stored) raise(stored.error());
  return stored.has_value();
}

bool publish_result(Client& client, std::uint32_t index, PyObject* result) {
  Process& p = client.process();
  std::uint16_t count = p.entry(index).part.num_returns;
  if (count <= 1) {
    if (!store(client, index, count == 0 ? Py_None : result)) return false;
    p.publish(index, false);
    return true;
  }
  Owned items(PySequence_Fast(result, "a task with several results must return a sequence or a generator of them"));
  if (!items) return false;
  if (PySequence_Fast_GET_SIZE(items.get()) != count) {
    PyErr_Format(PyExc_ValueError, "num_returns=%d, but the task returned %zd values", count,
                 PySequence_Fast_GET_SIZE(items.get()));
    return false;
  }
  std::vector<Ref> further = p.further_results(index);
  // All are written before any is published: a failure in the middle fails all.
  std::vector<std::uint32_t> claimed;
  bool ok = store(client, index, PySequence_Fast_GET_ITEM(items.get(), 0));
  for (std::size_t i = 0; i < further.size() && ok; ++i) {
    if (!p.claim_pending(further[i])) continue;
    claimed.push_back(further[i].index);
    ok = store(client, further[i].index, PySequence_Fast_GET_ITEM(items.get(), static_cast<Py_ssize_t>(i + 1)));
  }
  if (!ok) {
    for (std::uint32_t at : claimed) {
      if (p.entry(at).value.where != kNowhere) p.drop_value(at);
      p.revert(at, Phase::kPending);
    }
    return false;
  }
  for (std::uint32_t at : claimed) p.publish(at, false);
  p.publish(index, false);
  return true;
}

// What is sent for a task whose dependency failed: that error, with a line that names this task. Null: it could not be
// made, and the dependency's is passed on as it is.
Owned failed_dependency(Client& client, Ref from, const char* where, PyObject* callable) {
  raise_object_error(client, from);
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Owned own_type(type), own_value(value), own_trace(trace);
  PyObject* describe = python_object("exceptions", "_passed_on");
  Owned payload(describe == nullptr || value == nullptr
                    ? nullptr
                    : PyObject_CallFunction(describe, "OsO", value, where, callable == nullptr ? Py_None : callable));
  if (!payload) PyErr_Clear();
  return payload;
}

// The task fails as its dependency did.
void pass_error_on(Client& client, std::uint32_t index, Ref from, const char* where, PyObject* callable) {
  Process& p = client.process();
  Owned described = failed_dependency(client, from, where, callable);
  for_each_result(p, index, [&](std::uint32_t at) {
    if (described && set_exception(client, at, described.get())) {
      p.entry(at).error = ErrorKind::kUser;
      p.publish(at, true);
      return;
    }
    Entry& source = p.entry(from.index);
    Payload payload;
    auto bytes = p.value(from.index);
    auto refs = p.value_refs(from.index);
    payload.pieces.push_back({bytes.data(), bytes.size(), 1});
    payload.refs.assign(refs.begin(), refs.end());
    payload.codec = source.value.codec;
    if (client.set_value(at, payload)) {
      p.entry(at).error = source.error;
      p.publish(at, true);
    } else {
      p.publish_error(at, ErrorKind::kStoreFull, "the object store is too full even for the error of a dependency");
    }
  });
}

bool should_retry(Client& client, std::uint32_t index, const Function* function) {
  Entry& e = client.process().entry(index);
  if (function == nullptr || (e.part.options & kRetryExceptions) == 0 || e.part.retries_left == 0) return false;
  if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) return false;
  return function->retry_on == Py_None || PyErr_ExceptionMatches(function->retry_on);
}

// False with an exception set that says what to do: the function was async, or a generator.
bool can_be_a_result(PyObject* result, std::uint16_t num_returns, const std::string& method, PyObject* callable) {
  const bool coroutine = PyCoro_CheckExact(result), async_generator = PyAsyncGen_CheckExact(result);
  if (!coroutine && !async_generator && (num_returns != 1 || !PyGen_CheckExact(result))) return true;
  Owned name;
  if (callable == nullptr) {
    name = Owned(PyUnicode_FromString(method.c_str()));
  } else if (PyObject* name_of = python_object("tasks", "name_of"); name_of != nullptr) {
    name = Owned(PyObject_CallOneArg(name_of, callable));
  }
  if (!name) return false;
  if (coroutine) {
    Owned closed(PyObject_CallMethod(result, "close", nullptr));  // or it would say that nobody awaited it
    PyErr_Clear();
    PyErr_Format(PyExc_TypeError,
                 "%U is a coroutine function, which this version does not run: make it an ordinary one that calls "
                 "asyncio.run(...)%s",
                 name.get(), callable == nullptr ? ", or give the actor max_concurrency=N for N threads" : "");
  } else if (async_generator) {
    PyErr_Format(
        PyExc_TypeError,
        "%U is an async generator, which this version does not run: make it an ordinary function that collects "
        "the items with asyncio.run(...) and returns a list",
        name.get());
  } else {
    PyErr_Format(PyExc_TypeError,
                 "%U is a generator, and a generator stays in its process: return a list, or give num_returns=N for N "
                 "references to its N items",
                 name.get());
  }
  return false;
}

// repr() of the code of the pending SystemExit, which is cleared.
std::string exit_code_text() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Owned own_type(type), own_value(value), own_trace(trace);
  Owned code(PyObject_GetAttrString(value, "code"));
  Owned text(code ? PyObject_Repr(code.get()) : nullptr);
  const char* utf8 = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
  std::string result = utf8 == nullptr ? "" : std::string(utf8).substr(0, 200);
  PyErr_Clear();
  return result;
}

void run_native(Client& client, std::uint32_t index, NativeFunction function) {
  NativeCall call(client, index);
  base::Status status;
  Py_BEGIN_ALLOW_THREADS status = call.prepare();
  if (status) status = function(call);
  if (status) status = call.store();
  Py_END_ALLOW_THREADS if (status) {
    client.process().publish(index, false);
    return;
  }
  raise(status.error());
  publish_exception(client, index, "a C++ function", nullptr);
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

// What decode_call() gives: one reference to each value, and to the names.
struct Arguments {
  std::vector<PyObject*> values;  // the first is room for PY_VECTORCALL_ARGUMENTS_OFFSET, or for the actor's instance
  PyObject* kwnames = nullptr;
  Py_ssize_t positional = 0;
  Ref failed;
  bool dependency_failed = false;

  Arguments() : values(std::move(spare)) {
    values.clear();
    values.push_back(nullptr);
  }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  ~Arguments() {
    Py_XDECREF(kwnames);
    for (PyObject* value : values) Py_XDECREF(value);
    values.clear();
    spare = std::move(values);
  }

 private:
  static inline thread_local std::vector<PyObject*> spare;  // whose memory the next one takes
};

// The method's or function's result: new, or null with an exception set, or with `arguments.dependency_failed`. Sets
// `callable`, borrowed, to a special method.
PyObject* run_call(Client& client, std::uint32_t index, std::string& method, PyObject*& callable,
                   Arguments& arguments) {
  const bool actor_call = callable == nullptr;
  if (!decode_call(client, index, method, arguments.values, arguments.kwnames, arguments.positional, arguments.failed,
                   arguments.dependency_failed))
    return nullptr;
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
  return PyObject_VectorcallMethod(attribute, arguments.values.data(),
                                   static_cast<std::size_t>(arguments.positional) + 1, arguments.kwnames);
}

// SystemExit is set.
void end_by_exit(Client& client, std::uint32_t index, bool actor_call) {
  const std::string code = exit_code_text();
  if (!actor_call)
    return client.fail(
        index, ErrorKind::kWorkerCrashed,
        fmt::format("the task raised SystemExit({}): a task ends by returning (the worker was kept); raise "
                    "another exception to report a failure",
                    code));
  // The scheduler must know that it is over before the caller does: a call that follows must not wait.
  actor_leaves = true;
  std::uint32_t none = 0;
  client.process().control().actor[state().actor_slot].terminate.compare_exchange_strong(none, 1);
  client.fail(index, ErrorKind::kActorDied, "the actor has left: its method raised SystemExit or called exit_actor()");
}

// By way of the scheduler: the push is one detectable step, after which the task is his whether we die or not, and he
// knows what to do when the queue is full.
void try_again(Process& p, std::uint32_t index) {
  TaskPart& part = p.entry(index).part;
  if (part.retries_left > 0) --part.retries_left;
  part.set_attempt(part.attempt + 1);
  part.set_target(0);
  p.push(Process::kSchedulerList, index, Phase::kPending);
  p.ring(kSchedulerProc);
}

// A call that gave no result: an exception is set, or a dependency had failed.
void end_without_result(Client& client, std::uint32_t index, const Function* function, const char* where,
                        PyObject* callable, const Arguments& arguments) {
  Entry& e = client.process().entry(index);
  if (arguments.dependency_failed) {
    pass_error_on(client, index, arguments.failed, where, callable);
  } else if (e.load().has(runtime::State::kCancelled) && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
    PyErr_Clear();
    client.cancel_claimed(index);
  } else if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
    end_by_exit(client, index, e.kind == Kind::kActorCall);
  } else if (should_retry(client, index, function)) {
    PyErr_Clear();
    try_again(client.process(), index);
  } else {
    publish_exception(client, index, where, callable);
  }
}

void run_python(Client& client, std::uint32_t index, const Function* function, bool ready) {
  const bool actor_call = client.process().entry(index).kind == Kind::kActorCall;
  std::string& method = current_method;
  Arguments arguments;
  PyObject* callable = function == nullptr ? nullptr : function->callable;
  Owned result(ready ? run_call(client, index, method, callable, arguments) : nullptr);
  if (is_fork_of_task) _exit(0);
  if (result && !can_be_a_result(result.get(), client.process().entry(index).part.num_returns, method, callable))
    result = Owned();
  const char* where = actor_call ? method.c_str() : "";
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
  p.slot().running.store(index + 1, std::memory_order_relaxed);
  Function* function = nullptr;
  bool ready = true;
  if (e.kind != Kind::kActorCall) {
    state().binding = binding_of(p, e.part.resources);
    function = load_function(client, e.part.function);
    ready = function != nullptr && assign_gpus(e.part.gpu_mask);
  }
  current_function = function;
  if (function != nullptr && function->native != nullptr)
    run_native(client, index, function->native);
  else
    run_python(client, index, function, ready);
  p.slot().running.store(0, std::memory_order_relaxed);
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
  if (function != nullptr) {
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
  if (dependency_failed) {
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

// Runs calls until there are no more. GIL held.
void serve(Client& client, WorkerLoop& loop) {
  for (;;) {
    std::uint32_t index = 0;
    WorkerLoop::Next next = loop.poll(index);
    if (next == WorkerLoop::Next::kIdle) {
      Py_BEGIN_ALLOW_THREADS next = loop.wait(index, -1);
      Py_END_ALLOW_THREADS
    }
    if (next == WorkerLoop::Next::kExit) return;
    if (next == WorkerLoop::Next::kTask) {
      run_task(client, index);
      loop.finished();
      if (actor_leaves) return;
    }
    // An interrupt that came too late for its task.
    if (PyErr_CheckSignals() != 0) PyErr_Clear();
  }
}

}  // namespace

// (function or None, name or None, method or "") of what this thread runs.
PyObject* running(PyObject*, PyObject*) {
  const Function* function = current_function;
  const bool known = function != nullptr && function->callable != nullptr;
  return Py_BuildValue("OOs", known ? function->callable : Py_None, known ? function->name : Py_None,
                       function == nullptr ? current_method.c_str() : "");
}

// The actor of this process, None before it is made and in other processes.
PyObject* the_actor(PyObject*, PyObject*) {
  return Py_NewRef(actor_instance == nullptr ? Py_None : actor_instance);
}

// In the zygote, after _attach; returns in a worker, with its slot.
PyObject* zygote(PyObject*, PyObject*) {
  std::uint32_t proc = run_zygote({PyOS_BeforeFork, PyOS_AfterFork_Parent, PyOS_AfterFork_Child});
  return PyLong_FromUnsignedLong(proc);
}

// In a worker: binds it to its slot. (is_actor, concurrency)
PyObject* enter_worker(PyObject*, PyObject* argument) {
  std::uint32_t proc = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(argument));
  if (PyErr_Occurred()) return nullptr;
  State& s = state();
  s.process = std::make_unique<Process>(*s.segment, proc);
  s.own_client = std::make_unique<Client>(*s.process);
  ProcSlot& slot = s.process->slot();
  slot.pid = getpid();
  pthread_atfork(nullptr, nullptr, [] { is_fork_of_task = true; });
  bool actor = slot.kind == ProcKind::kActor;
  s.loop = std::make_unique<WorkerLoop>(*s.own_client, actor ? slot.actor : kNone);
  s.client = s.own_client.get();
  set_current_client(s.client);
  s.session = s.binding = s.segment->control().session;
  s.is_worker = true;
  s.in_actor = actor;
  s.actor_slot = actor ? slot.actor : 0;
  slot.status = ProcStatus::kAlive;
  return Py_BuildValue("OI", actor ? Py_True : Py_False,
                       actor ? s.segment->control().actor[slot.actor].concurrency : 1u);
}

// Constructs the actor; False when that failed.
PyObject* construct(PyObject*, PyObject*) {
  State& s = state();
  if (!construct_actor(*s.client, s.actor_slot)) Py_RETURN_FALSE;
  s.process->control().actor[s.actor_slot].status.store(ActorStatus::kAlive);
  Py_RETURN_TRUE;
}

// Runs tasks on this thread until the process is to end.
PyObject* serve_tasks(PyObject*, PyObject*) {
  serve(*state().client, *state().loop);
  Py_RETURN_NONE;
}

// Whether the interrupt that has just come is meant for the task that runs.
PyObject* cancel_requested(PyObject*, PyObject*) {
  State& s = state();
  if (s.client == nullptr || !s.is_worker) Py_RETURN_FALSE;
  std::uint32_t running = s.process->slot().running.load();
  return PyBool_FromLong(running != 0 && s.process->entry(running - 1).load().has(runtime::State::kCancelled));
}

bool init_worker(PyObject* module) {
  static PyMethodDef functions[] = {{"_running", running, METH_NOARGS, nullptr},
                                    {"_actor_instance", the_actor, METH_NOARGS, nullptr},
                                    {"_zygote", zygote, METH_NOARGS, nullptr},
                                    {"_enter_worker", enter_worker, METH_O, nullptr},
                                    {"_construct", construct, METH_NOARGS, nullptr},
                                    {"_serve", serve_tasks, METH_NOARGS, nullptr},
                                    {"_cancel_requested", cancel_requested, METH_NOARGS, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace daybreak::runtime::python
