// What the files share that run Python code for tasks and calls: worker.cc claims and runs, coroutines.cc hands calls to
// the event loops of a coroutine actor, results.cc ends them.
#pragma once

#include <string>
#include <vector>

#include "daybreak/runtime/native.h"
#include "daybreak/runtime/python/common.h"

namespace daybreak::runtime::python {

struct Function {
  PyObject* callable = nullptr;
  PyObject* retry_on = nullptr;  // None or a tuple of exception classes
  PyObject* name = nullptr;      // None, or what the task is called instead of its function's name
  bool native = false;           // of C++
  bool plain = false;            // C++ has named it (kCodecPython)
  bool limited = false;          // max_calls
  std::uint32_t calls_left = 0;
};

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

// A function of the store, which the caller keeps alive; loaded once. Valid until another is loaded; null with an exception
// set.
const Function* function_at(Client& client, Ref ref);
// This process is the fork that a task has made of its worker: it must not go on as one.
bool is_fork_of_task();
// The instance in an actor's process, borrowed; null before it is there.
PyObject* this_actor();
// Its method of that name, or one that every actor has: new, or null with an exception set.
PyObject* method_of_actor(const std::string& name);

// What `.options(...)` said of one call of an actor's method travels as a last named argument, said_name() (common.h): a
// dict with "retry_on" (None or exception classes) and "name", where they were given. Taken out of the call's arguments and
// kept until forget_said(). GIL held.
void take_said(std::uint32_t index, Arguments& arguments);
PyObject* said_of_call(std::uint32_t index);  // borrowed; null: nothing was said
void forget_said(std::uint32_t index);
struct SaidUntilEnd {
  explicit SaidUntilEnd(std::uint32_t call) : index(call) {}
  ~SaidUntilEnd() { forget_said(index); }
  std::uint32_t index;
};

// -- results.cc; GIL held --------------------------------------------------------------------------------------------
// The result of a task or call that this process runs becomes its value, or its values. False: an exception is set.
bool publish_result(Client& client, std::uint32_t index, PyObject* result);
// False with an exception set that says what to do: the function was async.
bool can_be_a_result(PyObject* result, const std::string& method, PyObject* callable);
// Writes one value, of an entry that this process is running or has created; false with an exception set.
bool store_value(Client& client, std::uint32_t index, PyObject* object);
// Publishes an entry as an error: what take_exception() gave, or that it gave nothing.
void publish_error_object(Client& client, std::uint32_t index, PyObject* payload);
// Whether the pending exception is what the task ends with: the user's own, and the task is not tried again.
bool is_users_last_exception(Client& client, std::uint32_t index, const Function* function, const char* where);
// The pending Python exception as the results of the task. where: the method, or "" and `callable` says it.
void publish_exception(Client& client, std::uint32_t index, const char* where, PyObject* callable);
// A call that gave no result: an exception is set, or a dependency had failed. function: null for a call of an actor.
// The actor may leave by it (WorkerLoop::leave).
void end_without_result(Client& client, std::uint32_t index, const Function* function, const char* where,
                        PyObject* callable, const Arguments& arguments);
// The pending Python exception as what is sent instead of a value: a dict. Null without an exception set: it could not
// be made.
Owned take_exception(const char* where, PyObject* callable);
// Writes it as the value of the object; without the exception itself where the store has no room for that. False: not
// even so.
bool set_exception(Client& client, std::uint32_t at, PyObject* payload);

// -- generators.cc; GIL held -----------------------------------------------------------------------------------------
// Whether what a task returned is to be iterated over: it asked for that, or it is a generator.
inline bool yields(Entry& task, PyObject* result) {
  return (task.part.options & (kStreaming | kDynamic)) != 0 || (PyGen_CheckExact(result) && task.part.num_returns > 0);
}
// Ends the task with what the result, an iterator, yields.
void publish_yielded(Client& client, std::uint32_t index, const Function* function, const char* where,
                     PyObject* callable, PyObject* result, const Arguments& arguments);
// Ends a stream with an exception in the place of the next item. payload: of take_exception().
void fail_stream(Client& client, std::uint32_t index, PyObject* payload);
void forget_stream(std::uint32_t index);  // of a coroutine call that ends otherwise
bool init_generators(PyObject* module);

// -- coroutines.cc ---------------------------------------------------------------------------------------------------
// Of the call that current_task() names; empty: it is none of an actor.
std::string method_that_runs(Client& client);
// asyncio.CancelledError, borrowed, in a coroutine actor; null elsewhere.
PyObject* cancelled_error();
// The entry of the call that a token names, which runs here; kNone with an exception set.
std::uint32_t call_of(PyObject* token);
bool init_coroutines(PyObject* module);

}  // namespace daybreak::runtime::python
