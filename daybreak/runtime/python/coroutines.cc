// Calls of a coroutine actor. Its event loops (runtime/coroutines.py) take them here, run each as an asyncio.Task, and end
// them here; between two of them they sleep on this process's bell, as every actor does.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "daybreak/runtime/python/calls.h"
#include "daybreak/runtime/python/worker.h"

namespace daybreak::runtime::python {

namespace {

thread_local bool on_loop = false;  // this thread runs an event loop of the actor
PyObject* cancelled_error_type = nullptr;

// What Python knows a call by: its entry with its generation.
PyObject* token_of(Client& client, std::uint32_t index) {
  return PyLong_FromUnsignedLongLong((std::uint64_t{client.process().entry(index).load().generation()} << 32) | index);
}

// Whether the call that the token names runs in this process.
bool runs(Client& client, std::uint64_t token) {
  const auto s = client.process().entry(static_cast<std::uint32_t>(token)).load();
  return s.generation() == static_cast<std::uint32_t>(token >> 32) && s.phase() == Phase::kRunning &&
         s.proc_plus_one() == client.process().id() + 1;
}

std::string method_of(Client& client, std::uint32_t index) {
  const auto call = ValueReader(client.process().args(index)).call();
  return call ? std::string(call->method) : std::string();
}

// (token, function, args, kwargs or None) of a call that runs here; null: an exception is set, or a dependency failed.
PyObject* unpacked(Client& client, std::uint32_t index, std::string& method, Arguments& arguments) {
  if (!decode_call(client, index, method, arguments.values, arguments.kwnames, arguments.positional, arguments.failed,
                   arguments.dependency_failed))
    return nullptr;
  take_said(index, arguments);
  Owned function(method_of_actor(method));
  Owned args(PyTuple_New(arguments.positional));
  if (!function || !args) return nullptr;
  auto take = [&](Py_ssize_t i) { return std::exchange(arguments.values[static_cast<std::size_t>(i) + 1], nullptr); };
  for (Py_ssize_t i = 0; i < arguments.positional; ++i) PyTuple_SET_ITEM(args.get(), i, take(i));
  Owned kwargs(Py_NewRef(Py_None));
  if (arguments.kwnames != nullptr) {
    kwargs = Owned(PyDict_New());
    for (Py_ssize_t i = 0; kwargs && i < PyTuple_GET_SIZE(arguments.kwnames); ++i) {
      Owned value(take(arguments.positional + i));
      if (PyDict_SetItem(kwargs.get(), PyTuple_GET_ITEM(arguments.kwnames, i), value.get()) != 0) return nullptr;
    }
  }
  Owned token(token_of(client, index));
  if (!kwargs || !token) return nullptr;
  return PyTuple_Pack(4, token.get(), function.get(), args.get(), kwargs.get());
}

// _take_call(group, room): the next call as a tuple; None: there is none, or no room; False: the actor is to end.
PyObject* take_call(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) return PyErr_Format(PyExc_TypeError, "_take_call takes a group and whether there is room");
  const std::size_t group = PyLong_AsSize_t(args[0]);
  if (PyErr_Occurred()) return nullptr;
  Client& client = *state().client;
  WorkerLoop& loop = *state().loop;
  for (;;) {
    std::uint32_t index = 0;
    const WorkerLoop::Next next = args[1] == Py_True ? loop.poll(index, group) : loop.look(group);
    if (next == WorkerLoop::Next::kExit) Py_RETURN_FALSE;
    if (next != WorkerLoop::Next::kTask) Py_RETURN_NONE;
    std::string method;
    Arguments arguments;
    if (PyObject* call = unpacked(client, index, method, arguments)) return call;
    end_without_result(client, index, nullptr, method.c_str(), nullptr, arguments);
    loop.finished();
  }
}

// _finish_call(token, result)
PyObject* finish_call(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) return PyErr_Format(PyExc_TypeError, "_finish_call takes a call and its result");
  if (is_fork_of_task()) _exit(0);
  Client& client = *state().client;
  const std::uint32_t index = call_of(args[0]);
  if (index == kNone) return nullptr;
  const std::string method = method_of(client, index);
  if (yields(client.process().entry(index), args[1]))
    publish_yielded(client, index, nullptr, method.c_str(), nullptr, args[1], Arguments());
  else if (!can_be_a_result(args[1], method, nullptr) || !publish_result(client, index, args[1]))
    publish_exception(client, index, method.c_str(), nullptr);
  forget_said(index);
  state().loop->finished();
  Py_RETURN_NONE;
}

// _fail_call(token, exception): whether the actor leaves by it.
PyObject* fail_call(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) return PyErr_Format(PyExc_TypeError, "_fail_call takes a call and its exception");
  if (is_fork_of_task()) _exit(0);
  const std::uint32_t index = call_of(args[0]);
  if (index == kNone) return nullptr;
  Client& client = *state().client;
  const std::string method = method_of(client, index);
  PyErr_Restore(Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(args[1]))), Py_NewRef(args[1]),
                PyException_GetTraceback(args[1]));
  forget_stream(index);
  end_without_result(client, index, nullptr, method.c_str(), nullptr, Arguments());
  forget_said(index);
  state().loop->finished();
  return PyBool_FromLong(state().loop->leaving());
}

PyObject* cancellations(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(state().loop->cancellations());
}

PyObject* is_cancelled(PyObject*, PyObject* argument) {
  const std::uint64_t token = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return nullptr;
  Client& client = *state().client;
  return PyBool_FromLong(
      static_cast<std::uint32_t>(token) < kMaxObjects && runs(client, token) &&
      client.process().entry(static_cast<std::uint32_t>(token)).load().has(runtime::State::kCancelled));
}

// _enter_loop(variable): this thread runs an event loop of the actor, whose calls set the context variable to their token.
PyObject* enter_loop(PyObject*, PyObject* variable) {
  if (cancelled_error_type == nullptr && !(cancelled_error_type = import_attribute("asyncio", "CancelledError")))
    return nullptr;
  on_loop = true;
  Py_XSETREF(state().current_call, Py_NewRef(variable));
  Py_RETURN_NONE;
}

PyObject* actor_class(PyObject*, PyObject*) {
  return PyUnicode_FromString(state().process->control().actor[state().actor_slot].class_name);
}

// The actor ends, by something else than a call.
PyObject* leave(PyObject*, PyObject*) {
  std::uint32_t none = 0;
  state().process->control().actor[state().actor_slot].terminate.compare_exchange_strong(none, 1);
  state().loop->leave();
  Py_RETURN_NONE;
}

PyObject* bell(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(state().process->bell());
}

PyObject* ring_bell(PyObject*, PyObject*) {
  if (state().process != nullptr) state().process->ring(state().process->id());
  Py_RETURN_NONE;
}

// _wait_for_bell(seen, timeout or None): until it has rung since it said `seen`, or a signal came.
PyObject* wait_for_bell(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) return PyErr_Format(PyExc_TypeError, "_wait_for_bell takes what the bell said, and a timeout");
  const auto seen = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[0]));
  const double timeout = args[1] == Py_None ? -1 : PyFloat_AsDouble(args[1]);
  if (PyErr_Occurred()) return nullptr;
  const std::int64_t timeout_ns = timeout < 0 ? -1 : static_cast<std::int64_t>(std::min(timeout, 1e9) * 1e9);
  WorkerLoop& loop = *state().loop;
  Py_BEGIN_ALLOW_THREADS loop.wait_for_bell(seen, timeout_ns);
  Py_END_ALLOW_THREADS if (PyErr_CheckSignals() != 0) return nullptr;
  Py_RETURN_NONE;
}

}  // namespace

PyObject* cancelled_error() {
  return cancelled_error_type;
}

std::uint32_t call_of(PyObject* token) {
  const std::uint64_t call = PyLong_AsUnsignedLongLong(token);
  if (PyErr_Occurred()) return kNone;
  if (static_cast<std::uint32_t>(call) < kMaxObjects && runs(*state().client, call))
    return static_cast<std::uint32_t>(call);
  PyErr_SetString(PyExc_RuntimeError, "this call has ended already");
  return kNone;
}

std::string method_that_runs(Client& client) {
  const std::uint32_t task = current_task();
  if (task == 0 || client.process().entry(task - 1).kind != Kind::kActorCall) return "";
  return method_of(client, task - 1);
}

// Code that a call has left behind (a callback, a task of its own) may run after its end: then no task runs.
std::uint32_t current_task() {
  PyObject* variable = state().current_call;
  if (variable == nullptr) return Client::current_task;
  PyObject* value = nullptr;
  Client::current_task = 0;
  if (PyContextVar_Get(variable, nullptr, &value) != 0) PyErr_Clear();
  if (value == nullptr) return 0;
  Owned token(value);
  const std::uint64_t call = PyLong_AsUnsignedLongLong(value);
  if (PyErr_Occurred())
    PyErr_Clear();
  else if (static_cast<std::uint32_t>(call) < kMaxObjects && runs(*state().client, call))
    Client::current_task = static_cast<std::uint32_t>(call) + 1;
  return Client::current_task;
}

void warn_if_on_loop(const char* verb) {
  if (!on_loop) return;
  PyObject* warn = python_object("coroutines", "warn_of_blocking");
  Owned warned(warn == nullptr ? nullptr : PyObject_CallFunction(warn, "s", verb));
  if (!warned) PyErr_Clear();
}

bool init_coroutines(PyObject* module) {
  static PyMethodDef functions[] = {{"_take_call", fastcall(take_call), METH_FASTCALL, nullptr},
                                    {"_finish_call", fastcall(finish_call), METH_FASTCALL, nullptr},
                                    {"_fail_call", fastcall(fail_call), METH_FASTCALL, nullptr},
                                    {"_cancellations", cancellations, METH_NOARGS, nullptr},
                                    {"_is_cancelled", is_cancelled, METH_O, nullptr},
                                    {"_enter_loop", enter_loop, METH_O, nullptr},
                                    {"_actor_class", actor_class, METH_NOARGS, nullptr},
                                    {"_leave", leave, METH_NOARGS, nullptr},
                                    {"_bell", bell, METH_NOARGS, nullptr},
                                    {"_ring_bell", ring_bell, METH_NOARGS, nullptr},
                                    {"_wait_for_bell", fastcall(wait_for_bell), METH_FASTCALL, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0 && init_generators(module);
}

}  // namespace daybreak::runtime::python
