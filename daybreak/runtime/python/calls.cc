// The hot verbs: f.remote(), actor.method.remote(), get, put, wait.
#include "daybreak/runtime/python/calls.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace daybreak::runtime::python {

std::int64_t stalled_after_ns = 10'000'000'000;

namespace {

constexpr Py_ssize_t kReferencesSaid = 5;

// The refs of a finished submission as what .remote() returns: None, one ObjectRef, or a list.
PyObject* wrap_results(const std::vector<Ref>& results) {
  if (results.empty()) Py_RETURN_NONE;
  if (results.size() == 1) return make_object_ref(results[0]);
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(results.size()));
  for (std::size_t i = 0; list != nullptr && i < results.size(); ++i)
    PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), make_object_ref(results[i]));
  return list;
}

// What .remote() returns of a task with a stream; takes over the references.
PyObject* wrap_stream(const TaskSpec& spec, const std::vector<Ref>& results) {
  Owned task(make_object_ref(results[0])), cell(make_object_ref(results[1]));
  PyObject* type = python_object("generators", "ObjectRefGenerator");
  if (!task || !cell || type == nullptr) return nullptr;
  return PyObject_CallFunction(type, "OOO", task.get(), cell.get(), spec.window != 0 ? Py_True : Py_False);
}

// engine.<verb>(*args, **kwargs) for an engine that is not the embedded one.
PyObject* delegate(const char* verb, PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  Owned method(PyObject_GetAttrString(state().engine, verb));
  if (!method) return nullptr;
  Py_ssize_t total = nargs + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames));
  std::vector<PyObject*> all;
  if (self != nullptr) all.push_back(self);
  all.insert(all.end(), args, args + total);
  return PyObject_Vectorcall(method.get(), all.data(), static_cast<std::size_t>(nargs + (self != nullptr)), kwnames);
}

// ---------------------------------------------------------------------------------------------------------------------
// RemoteFunction: the native half; tasks.py derives from it.

struct RemoteFunctionObject {
  PyObject_HEAD std::uint64_t session;  // State::binding that it was exported for; another: it is exported again
  TaskSpec spec;
  Py_ssize_t least, most;  // positional arguments that fit its signature, where there are no others
  // Of the last call with others that was found to fit: its names, which tasks.py keeps, and how many others it had.
  PyObject* fit_names;
  Py_ssize_t fit_nargs;
};

// Whether the call fits the function's signature; false with a TypeError set.
bool fits(RemoteFunctionObject* self, Py_ssize_t nargs, PyObject* kwnames) {
  if (kwnames == nullptr ? nargs >= self->least && nargs <= self->most
                         : kwnames == self->fit_names && nargs == self->fit_nargs)
    return true;
  Owned checked(PyObject_CallMethod(reinterpret_cast<PyObject*>(self), "_check_call", "nO", nargs,
                                    kwnames == nullptr ? Py_None : kwnames));
  if (!checked) return false;
  self->fit_names = kwnames;
  self->fit_nargs = nargs;
  return true;
}

PyObject* function_remote(PyObject* object, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (state().engine != nullptr) return delegate("submit", object, args, nargs, kwnames);
  Client* client = client_or_init();
  if (client == nullptr) return nullptr;
  auto* self = reinterpret_cast<RemoteFunctionObject*>(object);
  if (self->session != state().binding) {
    Owned exported(PyObject_CallMethod(object, "_export", nullptr));
    if (!exported) return nullptr;
  }
  if (!fits(self, nargs, kwnames)) return nullptr;
  Encoder encoder;
  if (!encoder.call(nullptr, 0, args, nargs, kwnames)) return nullptr;
  return submit_encoded(*client, self->spec, encoder.finish(kCodecArgs));
}

// _bind(function ref, resources, num_returns, max_retries, retry_exceptions, window, once, least, most): once: the next call
// binds anew; least, most: RemoteFunctionObject.
PyObject* function_bind(PyObject* object, PyObject* args) {
  auto* self = reinterpret_cast<RemoteFunctionObject*>(object);
  PyObject* ref;
  int resources, num_returns, max_retries, retry_exceptions, window, once;
  if (!PyArg_ParseTuple(args, "Oiiipipnn", &ref, &resources, &num_returns, &max_retries, &retry_exceptions, &window,
                        &once, &self->least, &self->most))
    return nullptr;
  const Ref* function = checked_ref(ref, "_bind");
  if (function == nullptr) return nullptr;
  self->spec = TaskSpec{.kind = Kind::kTask,
                        .function = *function,
                        .resources = static_cast<std::uint16_t>(resources),
                        .max_retries = static_cast<std::int16_t>(max_retries),
                        .options = retry_exceptions ? kRetryExceptions : std::uint8_t{0},
                        .window = static_cast<std::uint16_t>(window)};
  set_num_returns(self->spec, num_returns);
  self->session = once ? 0 : state().binding;
  Py_RETURN_NONE;
}

PyObject* function_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* object = type->tp_alloc(type, 0);
  if (object != nullptr) {
    auto* self = reinterpret_cast<RemoteFunctionObject*>(object);
    self->session = 0;
    new (&self->spec) TaskSpec();
    self->fit_names = nullptr;
  }
  return object;
}

// ---------------------------------------------------------------------------------------------------------------------
// get, put, wait.

// A timeout argument as a deadline; -1: none. False: exception set.
bool deadline_of(PyObject* timeout, std::int64_t& deadline) {
  deadline = -1;
  if (timeout == nullptr || timeout == Py_None) return true;
  double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) return false;
    PyErr_Format(PyExc_TypeError, "timeout=%R: it must be None or a number of seconds", timeout);
    return false;
  }
  if (!(seconds >= 0)) {
    PyErr_Format(PyExc_ValueError, "timeout=%R: it must be None or a number of seconds that is not negative", timeout);
    return false;
  }
  deadline = Client::now_ns() + static_cast<std::int64_t>(std::min(seconds, 1e9) * 1e9);
  return true;
}

// What the wait is for, for people (stalled.py); true: it was said, or must not be. What goes wrong in that is not the
// program's: it is written as an error that nobody could catch.
bool say_what_for(Client& client, std::span<const Ref> refs, const char* verb) {
  Owned waited(PyList_New(0));
  for (std::size_t i = 0; waited && i < refs.size() && PyList_GET_SIZE(waited.get()) < kReferencesSaid; ++i) {
    if (client.process().done(refs[i])) continue;
    Owned id(PyUnicode_FromString(fmt::format("{:08x}{:08x}", refs[i].generation, refs[i].index).c_str()));
    if (!id || PyList_Append(waited.get(), id.get()) != 0) break;
  }
  PyObject* say = PyErr_Occurred() == nullptr ? python_object("stalled", "say") : nullptr;
  Owned said(say == nullptr
                 ? nullptr
                 : PyObject_CallFunction(say, "sdO", verb, static_cast<double>(stalled_after_ns) / 1e9, waited.get()));
  if (said) return said.get() == Py_True;
  PyErr_WriteUnraisable(nullptr);
  return true;
}

}  // namespace

bool await(Client& client, std::span<const Ref> refs, std::size_t count, std::int64_t deadline, bool& timed_out,
           const char* verb) {
  timed_out = false;
  if (state().current_call != nullptr && (deadline < 0 || deadline > Client::now_ns())) warn_if_on_loop(verb);
  std::int64_t say_at =
      state().is_worker ? -1 : Client::now_ns() + stalled_after_ns;  // the driver speaks for its tasks
  for (;;) {
    WaitResult result;
    bool stopping;
    const std::uint32_t seen = client.process().bell();
    if (PyErr_CheckSignals() != 0) return false;
    ++state().waiting;
    const bool says = say_at >= 0 && (deadline < 0 || say_at < deadline);
    Py_BEGIN_ALLOW_THREADS result = client.wait(refs, count, says ? say_at : deadline, seen);
    stopping = client.process().stopping();
    --state().waiting;
    Py_END_ALLOW_THREADS if (PyErr_CheckSignals() != 0) return false;
    if (stopping) {
      PyErr_SetString(PyExc_RuntimeError, "the runtime was shut down while this thread waited");
      return false;
    }
    if (result == WaitResult::kInterrupted) continue;
    if (result == WaitResult::kTimeout && says) {
      say_at = say_what_for(client, refs, verb) ? -1 : Client::now_ns() + stalled_after_ns;
      continue;
    }
    timed_out = result == WaitResult::kTimeout;
    return true;
  }
}

namespace {

// client_or_init() for a verb that is given references: those of a runtime that has been shut down start no new one.
Client* client_for(PyObject* refs, const char* verb) {
  PyObject* first = PyList_Check(refs) && PyList_GET_SIZE(refs) > 0     ? PyList_GET_ITEM(refs, 0)
                    : PyTuple_Check(refs) && PyTuple_GET_SIZE(refs) > 0 ? PyTuple_GET_ITEM(refs, 0)
                                                                        : refs;
  if (state().client == nullptr && is_object_ref(first) && checked_ref(first, verb) == nullptr) return nullptr;
  return client_or_init();
}

void raise_timeout(PyObject* timeout, std::size_t unfinished, std::size_t total) {
  PyObject* type = python_object("exceptions", "GetTimeoutError");
  if (type != nullptr)
    PyErr_Format(type, "get(timeout=%R): %zu of %zu objects are not ready: wait longer, or use wait()", timeout,
                 unfinished, total);
}

bool is_generator(PyObject* object) {
  if (is_object_ref(object)) return false;
  PyObject* type = python_object("generators", "ObjectRefGenerator");
  return type != nullptr && PyObject_IsInstance(object, type) == 1;
}

PyObject* verb_get(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (state().engine != nullptr) return delegate("get", nullptr, args, nargs, kwnames);
  PyObject* timeout = nullptr;
  for (Py_ssize_t i = 0; kwnames != nullptr && i < PyTuple_GET_SIZE(kwnames); ++i) {
    if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), "timeout") != 0)
      return PyErr_Format(PyExc_TypeError, "get() has no argument %R: it takes refs and timeout",
                          PyTuple_GET_ITEM(kwnames, i));
    timeout = args[nargs + i];
  }
  if (nargs != 1)
    return PyErr_Format(PyExc_TypeError, "get() takes one ObjectRef or a list of them, %zd arguments given", nargs);
  Client* client = client_for(args[0], "get()");
  if (client == nullptr) return nullptr;
  std::int64_t deadline;
  if (!deadline_of(timeout, deadline)) return nullptr;
  bool timed_out = false;

  if (is_object_ref(args[0])) {
    const Ref* ref = checked_ref(args[0], "get()");
    if (ref == nullptr) return nullptr;
    if (!client->process().done(*ref)) {
      if (!await(*client, {ref, 1}, 1, deadline, timed_out, "get")) return nullptr;
      if (timed_out) {
        raise_timeout(timeout, 1, 1);
        return nullptr;
      }
    }
    return decode_object(*client, *ref, deadline);
  }
  if (!PyList_Check(args[0]) && !PyTuple_Check(args[0])) {
    if (is_generator(args[0])) return Py_NewRef(args[0]);  // as Ray does
    return PyErr_Format(PyExc_ValueError,
                        "Invalid type of object refs, %R, is given: get() takes an ObjectRef or a list of ObjectRefs",
                        Py_TYPE(args[0]));
  }
  Owned items(PySequence_Tuple(args[0]));  // the list may change while we wait
  if (!items) return nullptr;
  Py_ssize_t count = PyTuple_GET_SIZE(items.get());
  std::vector<Ref> refs(static_cast<std::size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    const Ref* ref = checked_ref(PyTuple_GET_ITEM(items.get(), i), "get()");
    if (ref == nullptr) return nullptr;
    refs[static_cast<std::size_t>(i)] = *ref;
  }
  Owned result(PyList_New(count));
  if (!result) return nullptr;
  for (Py_ssize_t i = 0; i < count; ++i) {
    Ref ref = refs[static_cast<std::size_t>(i)];
    if (!client->process().done(ref)) {
      if (!await(*client, {&ref, 1}, 1, deadline, timed_out, "get")) return nullptr;
      if (timed_out) {
        std::size_t unfinished = 0;
        for (Ref r : refs) unfinished += !client->process().done(r);
        raise_timeout(timeout, unfinished, refs.size());
        return nullptr;
      }
    }
    PyObject* value = decode_object(*client, ref, deadline);
    if (value == nullptr) return nullptr;
    PyList_SET_ITEM(result.get(), i, value);
  }
  return result.release();
}

PyObject* verb_put(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (state().engine != nullptr) return delegate("put", nullptr, args, nargs, kwnames);
  for (Py_ssize_t i = 0; kwnames != nullptr && i < PyTuple_GET_SIZE(kwnames); ++i) {
    PyObject *name = PyTuple_GET_ITEM(kwnames, i), *owner = args[nargs + i];
    // Taken without an effect: an object lives as long as somebody has a reference, whoever put it.
    if (PyUnicode_CompareWithASCIIString(name, "_owner") != 0 ||
        (owner != Py_None && Py_TYPE(owner) != actor_handle_type))
      return PyErr_Format(PyExc_TypeError, "put() takes a value and _owner, an actor's handle; not %U=%R", name, owner);
  }
  if (nargs != 1) return PyErr_Format(PyExc_TypeError, "put() takes one value, %zd given", nargs);
  if (is_object_ref(args[0]))
    return PyErr_Format(PyExc_TypeError, "put() takes a value, not an ObjectRef: put a list that holds it");
  Client* client = client_or_init();
  if (client == nullptr) return nullptr;
  Encoder encoder;
  if (!encoder.item(args[0])) return nullptr;
  const Payload& payload = encoder.finish(kCodecItem);
  base::Result<Ref> ref = Ref{};
  if (payload.size() < kReleaseGilBytes) {
    ref = client->put(payload);
  } else {
    Py_BEGIN_ALLOW_THREADS ref = client->put(payload);
    Py_END_ALLOW_THREADS
  }
  if (!ref) {
    raise(ref.error());
    return nullptr;
  }
  return make_object_ref(*ref);
}

// What wait() was given; false with an exception set.
bool wait_arguments(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject*& timeout,
                    Py_ssize_t& num_returns) {
  for (Py_ssize_t i = 0; kwnames != nullptr && i < PyTuple_GET_SIZE(kwnames); ++i) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, i);
    if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0) {
      timeout = args[nargs + i];
    } else if (PyUnicode_CompareWithASCIIString(name, "num_returns") == 0) {
      num_returns = PyNumber_AsSsize_t(args[nargs + i], PyExc_OverflowError);
      if (num_returns == -1 && PyErr_Occurred()) return false;
    } else if (PyUnicode_CompareWithASCIIString(name, "fetch_local") != 0) {
      PyErr_Format(PyExc_TypeError, "wait() has no argument %R: it takes refs, num_returns, timeout and fetch_local",
                   name);
      return false;
    }
  }
  if (nargs == 1 && PyList_Check(args[0])) return true;
  PyErr_Format(PyExc_TypeError, "wait() takes a list of ObjectRefs, not %.200s",
               nargs == 1 ? Py_TYPE(args[0])->tp_name : "that");
  return false;
}

// The list with references in the place of the generators in it, each to what it yields next. Null with an exception set.
Owned without_generators(PyObject* list) {
  Owned own(PyList_GetSlice(list, 0, PyList_GET_SIZE(list)));
  for (Py_ssize_t i = 0; own && i < PyList_GET_SIZE(own.get()); ++i) {
    if (!is_generator(PyList_GET_ITEM(own.get(), i))) continue;
    PyObject* next = PyObject_GetAttrString(PyList_GET_ITEM(own.get(), i), "_awaited");
    if (next == nullptr || PyList_SetItem(own.get(), i, next) != 0) return Owned();
  }
  return own;
}

// The references of the list, each once; false with an exception set, or without one: generators are among them.
bool refs_of_list(PyObject* list, std::vector<Ref>& refs) {
  thread_local std::vector<std::uint32_t> seen;  // round in which an entry was met: how duplicates are found
  thread_local std::uint32_t round = 0;
  // References are of entries in use, and of no other: so much memory is touched and no more.
  const std::size_t entries =
      std::size_t{state().client->process().control().entry_blocks_used.load()} * kEntriesPerBlock;
  if (seen.size() < entries) seen.resize(entries);
  if (++round == 0) {
    std::fill(seen.begin(), seen.end(), 0);
    round = 1;
  }
  const Py_ssize_t count = PyList_GET_SIZE(list);
  refs.resize(static_cast<std::size_t>(count));
  const std::uint64_t session = state().session;
  std::uint32_t* const seen_at = seen.data();
  Ref* const ref_at = refs.data();
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PyList_GET_ITEM(list, i);
    auto* object = reinterpret_cast<ObjectRefObject*>(item);
    if ((Py_TYPE(item) != object_ref_type || object->session != session) &&
        (is_generator(item) || checked_ref(item, "wait()") == nullptr))
      return false;
    const Ref ref = object->ref;
    if (seen_at[ref.index] == round) {
      PyErr_Format(PyExc_ValueError, "wait() was given %R twice: give each reference once", item);
      return false;
    }
    seen_at[ref.index] = round;
    ref_at[i] = ref;
  }
  return true;
}

// ([items at `ready`], [the others]), both in the order of the list, which has `count`.
PyObject* split_list(PyObject* list, Py_ssize_t count, const std::vector<Py_ssize_t>& ready) {
  const auto taken = static_cast<Py_ssize_t>(ready.size());
  Owned done(PyList_New(taken)), rest(PyList_New(count - taken));
  if (!done || !rest) return nullptr;
  if (PyList_GET_SIZE(list) != count)  // a finalizer, run by the collector
    return PyErr_Format(PyExc_RuntimeError, "the list that wait() was given was changed meanwhile");
  Py_ssize_t from = 0, to = 0;
  auto keep_until = [&](Py_ssize_t end) {
    for (; from < end; ++from) PyList_SET_ITEM(rest.get(), to++, Py_NewRef(PyList_GET_ITEM(list, from)));
  };
  for (Py_ssize_t i = 0; i < taken; ++i) {
    Py_ssize_t at = ready[static_cast<std::size_t>(i)];
    keep_until(at);
    PyList_SET_ITEM(done.get(), i, Py_NewRef(PyList_GET_ITEM(list, at)));
    from = at + 1;
  }
  keep_until(count);
  return PyTuple_Pack(2, done.get(), rest.get());
}

PyObject* verb_wait(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (state().engine != nullptr) return delegate("wait", nullptr, args, nargs, kwnames);
  PyObject* timeout = nullptr;
  Py_ssize_t num_returns = 1;
  if (!wait_arguments(args, nargs, kwnames, timeout, num_returns)) return nullptr;
  PyObject* list = args[0];
  Client* client = client_for(list, "wait()");
  if (client == nullptr) return nullptr;
  std::int64_t deadline;
  if (!deadline_of(timeout, deadline)) return nullptr;

  const Py_ssize_t count = PyList_GET_SIZE(list);
  thread_local std::vector<Ref> refs;
  Owned references;  // in place of generators; what they yield next is kept alive by it
  if (!refs_of_list(list, refs)) {
    if (PyErr_Occurred()) return nullptr;
    references = without_generators(list);
    if (!references || !refs_of_list(references.get(), refs)) return nullptr;
  }
  if (count > 0 && (num_returns < 1 || num_returns > count))
    return PyErr_Format(PyExc_ValueError, "num_returns=%zd: it must be between 1 and the %zd references given",
                        num_returns, count);

  Process& p = client->process();
  std::vector<Py_ssize_t> ready;
  auto look = [&] {
    ready.clear();
    const Ref* const ref_at = refs.data();
    for (Py_ssize_t i = 0; i < count && static_cast<Py_ssize_t>(ready.size()) < num_returns; ++i)
      if (p.done(ref_at[i])) ready.push_back(i);
  };
  look();
  Owned own_list;
  if (count > 0 && static_cast<Py_ssize_t>(ready.size()) < num_returns) {
    // Other threads of Python run while we wait: they may change the list, drop references, and call wait() on this
    // very thread's buffers from a signal handler.
    own_list = Owned(PyList_GetSlice(list, 0, count));
    if (!own_list) return nullptr;
    list = own_list.get();
    std::vector<Ref> own = std::move(refs);
    bool timed_out = false;
    if (!await(*client, own, static_cast<std::size_t>(num_returns), deadline, timed_out, "wait")) return nullptr;
    refs = std::move(own);
    look();
  }
  return split_list(list, count, ready);
}

}  // namespace

void set_num_returns(TaskSpec& spec, int num_returns) {
  constexpr int kStreamingReturns = -1, kDynamicReturns = -2;  // options.py
  spec.num_returns = num_returns == 0 ? 0 : static_cast<std::uint16_t>(std::max(num_returns, 1));
  if (num_returns == kStreamingReturns) spec.options |= kStreaming;
  if (num_returns == kDynamicReturns) spec.options |= kDynamic;
}

PyObject* submit_encoded(Client& client, const TaskSpec& spec, const Payload& payload) {
  // Storage for the next call, moved out while it is used: making the list below may run the collector, and with it a
  // finalizer that submits.
  thread_local std::vector<Ref> spare;
  std::vector<Ref> results = std::move(spare);
  results.clear();
  base::Status status;
  if (state().current_call != nullptr) current_task();
  if (payload.size() < kReleaseGilBytes) {
    status = client.submit(spec, payload, results);
  } else {
    Py_BEGIN_ALLOW_THREADS status = client.submit(spec, payload, results);
    Py_END_ALLOW_THREADS
  }
  PyObject* wrapped = nullptr;
  if (status)
    wrapped = (spec.options & kStreaming) == 0 ? wrap_results(results) : wrap_stream(spec, results);
  else
    raise(status.error());
  spare = std::move(results);
  return wrapped;
}

bool init_calls(PyObject* module) {
  auto add_type = [&](PyType_Spec* spec, const char* name) -> PyTypeObject* {
    PyObject* type = PyType_FromSpec(spec);
    if (type == nullptr || PyModule_AddObjectRef(module, name, type) != 0) return nullptr;
    return reinterpret_cast<PyTypeObject*>(type);
  };

  static PyMethodDef function_methods[] = {{"remote", fastcall(function_remote), METH_FASTCALL | METH_KEYWORDS,
                                            "remote(*args, **kwargs)\n--\n\nSubmits a call; returns an ObjectRef at "
                                            "once (a list for num_returns > 1, None for 0)."},
                                           {"_bind", function_bind, METH_VARARGS, nullptr},
                                           {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot function_slots[] = {
      {Py_tp_new, reinterpret_cast<void*>(function_new)}, {Py_tp_methods, function_methods}, {0, nullptr}};
  static PyType_Spec function_spec = {"daybreak._core.runtime.RemoteFunctionBase", sizeof(RemoteFunctionObject), 0,
                                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, function_slots};
  if (add_type(&function_spec, "RemoteFunctionBase") == nullptr || !init_actors(module)) return false;

  static PyMethodDef verbs[] = {
      {"get", fastcall(verb_get), METH_FASTCALL | METH_KEYWORDS,
       "get(refs, *, timeout=None)\n--\n\nThe value of an ObjectRef, or a list of values for a list of them, in "
       "order.\n\n"
       "Waits until all are there. Arrays are read-only views of shared memory.\n\n"
       "Raises GetTimeoutError (a TimeoutError) after `timeout` seconds; TaskError (also of the user's own type) when "
       "the\n"
       "task raised; WorkerCrashedError, ActorDiedError, TaskCancelledError with the reason."},
      {"put", fastcall(verb_put), METH_FASTCALL | METH_KEYWORDS,
       "put(value)\n--\n\nStores a value; returns its ObjectRef.\n\nRaises ObjectStoreFullError with the largest "
       "holders when it does not fit."},
      {"wait", fastcall(verb_wait), METH_FASTCALL | METH_KEYWORDS,
       "wait(refs, *, num_returns=1, timeout=None, fetch_local=True)\n--\n\n"
       "(ready, rest): at most `num_returns` references whose values are there, and all others, both in the order "
       "given.\n\n"
       "Returns when `num_returns` are ready or `timeout` seconds are over. Raises ValueError for duplicates."},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, verbs) == 0;
}

}  // namespace daybreak::runtime::python
