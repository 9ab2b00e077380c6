// What a call leaves: its results, or the error that stands in their place.
#include <fmt/format.h>
#include <unistd.h>

#include "daybreak/runtime/python/worker.h"

namespace daybreak::runtime::python {

namespace {

// Every result of a task, the further ones first, so that the first can be relied on to come last.
template <typename F>
void for_each_result(Process& p, std::uint32_t index, F&& f) {
  for (Ref sibling : p.further_results(index))
    if (p.claim_pending(sibling)) f(sibling.index);
  f(index);
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

// The classes of exceptions on which a call of the actor's method is tried again, or None for all: new, or null with an
// exception set.
PyObject* retry_on_of_method(std::uint32_t index, const char* method) {
  PyObject* find = python_object("worker", "retry_on");
  PyObject* said = said_of_call(index);
  return find == nullptr ? nullptr
                         : PyObject_CallFunction(find, "OsO", this_actor(), method, said == nullptr ? Py_None : said);
}

// The pending exception is how a call ends that was interrupted: a thread's, or a coroutine's.
bool is_cancellation() {
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) return true;
  return cancelled_error() != nullptr && PyErr_ExceptionMatches(cancelled_error()) != 0;
}

bool should_retry(Client& client, std::uint32_t index, const Function* function, const char* method) {
  Entry& e = client.process().entry(index);
  if ((e.part.options & kRetryExceptions) == 0 || e.part.retries_left == 0) return false;
  if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) return false;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  Owned retry_on(function != nullptr ? Py_NewRef(function->retry_on == nullptr ? Py_None : function->retry_on)
                                     : retry_on_of_method(index, method));
  if (!retry_on) PyErr_Clear();
  PyErr_Restore(type, value, trace);
  return retry_on && (retry_on.get() == Py_None || PyErr_ExceptionMatches(retry_on.get()));
}

// How a pending SystemExit, which is cleared, would end a program: its exit code, and repr() of what it was given.
struct ExitCode {
  int code = 0;
  std::string text;
};
ExitCode take_exit_code() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Owned own_type(type), own_value(value), own_trace(trace);
  Owned code(PyObject_GetAttrString(value, "code"));
  Owned text(code ? PyObject_Repr(code.get()) : nullptr);
  const char* utf8 = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
  ExitCode result{.code = 1, .text = utf8 == nullptr ? "" : std::string(utf8).substr(0, 200)};
  if (!code || code.get() == Py_None)
    result.code = 0;
  else if (PyLong_Check(code.get()))
    result.code = static_cast<int>(PyLong_AsUnsignedLongMask(code.get()) & 0xff);
  PyErr_Clear();
  return result;
}

// SystemExit is set. An actor that ends with another code than 0 has failed: its process ends at once, with the call in
// hand, which is tried again, and the actor restarted, as after any death.
void end_by_exit(Client& client, std::uint32_t index, bool actor_call) {
  const ExitCode exit = take_exit_code();
  if (!actor_call)
    return client.fail(
        index, ErrorKind::kWorkerCrashed,
        fmt::format("the task raised SystemExit({}): a task ends by returning (the worker was kept); raise "
                    "another exception to report a failure",
                    exit.text));
  if (exit.code != 0) {
    PyObject* die = python_object("worker", "die_of_exit");
    Owned died(die == nullptr ? nullptr : PyObject_CallFunction(die, "is", exit.code, exit.text.c_str()));
    PyErr_Clear();
    _exit(exit.code);
  }
  // The scheduler must know that it is over before the caller does: a call that follows must not wait.
  state().loop->leave();
  std::uint32_t none = 0;
  client.process().control().actor[state().actor_slot].terminate.compare_exchange_strong(none, 1);
  client.fail(index, ErrorKind::kActorDied, "the actor has left: its method raised SystemExit or called exit_actor()");
}

}  // namespace

bool store_value(Client& client, std::uint32_t index, PyObject* object) {
  Encoder encoder;
  if (!encoder.item(object)) return false;
  const Payload& payload = encoder.finish(kCodecItem);
  base::Status stored;
  if (payload.size() < kReleaseGilBytes) {
    stored = client.set_value(index, payload);
  } else {
    Py_BEGIN_ALLOW_THREADS stored = client.set_value(index, payload);
    Py_END_ALLOW_THREADS
  }
  if (!stored) raise(stored.error());
  return stored.has_value();
}

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

void publish_error_object(Client& client, std::uint32_t index, PyObject* payload) {
  Process& p = client.process();
  if (p.entry(index).value.where != kNowhere) p.drop_value(index);
  if (payload == nullptr)
    return p.publish_error(index, ErrorKind::kRuntime, "the task raised an exception that could not be recorded");
  if (!set_exception(client, index, payload))
    return p.publish_error(index, ErrorKind::kStoreFull, "the object store is too full even for the task's exception");
  p.entry(index).error = ErrorKind::kUser;
  p.publish(index, true);
}

namespace {

// Its only hearers are those who hold the result: where there is none left, the worker says it itself.
void say_if_unseen(Client& client, std::uint32_t index, PyObject* payload) {
  if (payload == nullptr || client.process().entry(index).part.num_returns > 1 || client.process().wanted(index))
    return;
  PyObject* say = python_object("unseen", "say");
  Owned said(say == nullptr ? nullptr : PyObject_CallOneArg(say, payload));
  PyErr_Clear();
}

}  // namespace

void publish_exception(Client& client, std::uint32_t index, const char* where, PyObject* callable) {
  const bool interrupted = is_cancellation();
  Owned payload = take_exception(where, callable);
  // The interrupt of a cancellation came between the call's end and its record, or in the middle of the latter.
  if ((interrupted || !payload) && client.process().entry(index).load().has(runtime::State::kCancelled))
    return client.cancel_claimed(index);
  if ((client.process().entry(index).part.options & kStreaming) != 0) return fail_stream(client, index, payload.get());
  say_if_unseen(client, index, payload.get());
  for_each_result(client.process(), index, [&](std::uint32_t at) { publish_error_object(client, at, payload.get()); });
}

bool publish_result(Client& client, std::uint32_t index, PyObject* result) {
  Process& p = client.process();
  std::uint16_t count = p.entry(index).part.num_returns;
  if (count <= 1) {
    if (!store_value(client, index, count == 0 ? Py_None : result)) return false;
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
  bool ok = store_value(client, index, PySequence_Fast_GET_ITEM(items.get(), 0));
  for (std::size_t i = 0; i < further.size() && ok; ++i) {
    if (!p.claim_pending(further[i])) continue;
    claimed.push_back(further[i].index);
    ok = store_value(client, further[i].index, PySequence_Fast_GET_ITEM(items.get(), static_cast<Py_ssize_t>(i + 1)));
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

bool can_be_a_result(PyObject* result, const std::string& method, PyObject* callable) {
  const bool coroutine = PyCoro_CheckExact(result), async_generator = PyAsyncGen_CheckExact(result);
  if (!coroutine && !async_generator) return true;
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
  }
  PyErr_Format(
      PyExc_TypeError,
      "%U returned %s, which has no event loop here: return its result, asyncio.run(...), or make it a method of "
      "an actor with an async def",
      name.get(), coroutine ? "a coroutine" : "an async generator");
  return false;
}

bool is_users_last_exception(Client& client, std::uint32_t index, const Function* function, const char* where) {
  const bool cancelled = client.process().entry(index).load().has(runtime::State::kCancelled) && is_cancellation();
  return !cancelled && PyErr_ExceptionMatches(PyExc_SystemExit) == 0 && !should_retry(client, index, function, where);
}

void end_without_result(Client& client, std::uint32_t index, const Function* function, const char* where,
                        PyObject* callable, const Arguments& arguments) {
  Entry& e = client.process().entry(index);
  if (arguments.dependency_failed) {
    pass_error_on(client, index, arguments.failed, where, callable);
  } else if (e.load().has(runtime::State::kCancelled) && is_cancellation()) {
    PyErr_Clear();
    client.cancel_claimed(index);
  } else if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
    end_by_exit(client, index, e.kind == Kind::kActorCall);
  } else if (should_retry(client, index, function, where)) {
    PyErr_Clear();
    try_again(client.process(), index);
  } else {
    publish_exception(client, index, where, callable);
  }
}

}  // namespace daybreak::runtime::python
