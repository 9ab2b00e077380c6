// Tasks that yield: a stream of references, a list of them, or one result for each item.
#include <fmt/format.h>
#include <unistd.h>

#include <unordered_map>

#include "daybreak/runtime/python/worker.h"
#include "daybreak/runtime/stream.h"

namespace daybreak::runtime::python {

namespace {

// Streams of this process's coroutine calls, by entry. Guarded by the GIL.
std::unordered_map<std::uint32_t, Stream> coroutine_streams;

// The object as one of its own, held once; nullopt: an exception is set.
std::optional<Ref> put_object(Client& client, PyObject* object) {
  Encoder encoder;
  if (!encoder.item(object)) return std::nullopt;
  const Payload& payload = encoder.finish(kCodecItem);
  base::Result<Ref> ref = Ref{};
  if (payload.size() < kReleaseGilBytes) {
    ref = client.put(payload);
  } else {
    Py_BEGIN_ALLOW_THREADS ref = client.put(payload);
    Py_END_ALLOW_THREADS
  }
  if (ref) return *ref;
  raise(ref.error());
  return std::nullopt;
}

// The pending exception as an object of its own.
std::optional<Ref> put_exception(Client& client, const char* where, PyObject* callable) {
  Owned payload = take_exception(where, callable);
  auto ref = client.process().create(Kind::kValue);
  if (!ref) {
    raise(ref.error());
    return std::nullopt;
  }
  publish_error_object(client, ref->index, payload.get());
  return *ref;
}

bool write_item(Client& client, Stream& stream, PyObject* object) {
  const std::optional<Ref> item = put_object(client, object);
  if (!item) return false;
  const base::Status written = stream.write(*item);
  client.process().release(*item);
  if (!written) raise(written.error());
  return written.has_value();
}

// False: an exception is set, a cancellation perhaps.
bool wait_for_room(Client& client, Stream& stream) {
  while (!stream.has_room() && !stream.abandoned()) {
    const std::uint32_t seen = client.process().bell();
    if (PyErr_CheckSignals() != 0) return false;
    Py_BEGIN_ALLOW_THREADS client.wait_until([&] { return stream.has_room() || stream.abandoned(); }, seen);
    Py_END_ALLOW_THREADS if (PyErr_CheckSignals() != 0) return false;
    if (client.process().stopping()) {
      PyErr_SetString(PyExc_RuntimeError, "the runtime was shut down while the generator waited for its consumer");
      return false;
    }
  }
  return true;
}

void store_none(Client& client, std::uint32_t index) {
  Encoder encoder;
  encoder.item(Py_None);
  if (client.set_value(index, encoder.finish(kCodecItem)))  // it lies in the entry
    client.process().publish(index, false);
}

// After the last item: the cells that are left say so, then the task is done.
void end_stream(Client& client, std::uint32_t index) {
  for (std::uint32_t cell : Stream(client, index).claim_rest()) store_none(client, cell);
  store_none(client, index);
}

// False: an exception is set.
bool stream_items(Client& client, std::uint32_t index, PyObject* iterator) {
  Stream stream(client, index);
  if (stream.ended()) return true;
  const std::uint32_t written_before = stream.items();
  for (std::uint32_t i = 0;; ++i) {
    Owned item(PyIter_Next(iterator));
    if (is_fork_of_task()) _exit(0);
    if (!item) return PyErr_Occurred() == nullptr;
    if (i < written_before) continue;
    if (stream.abandoned()) break;
    if (!write_item(client, stream, item.get()) || !wait_for_room(client, stream)) return false;
    if (stream.abandoned()) break;
  }
  Owned closed(PyObject_CallMethod(iterator, "close", nullptr));  // its finally blocks run now
  return closed || !PyErr_ExceptionMatches(PyExc_AttributeError) ? static_cast<bool>(closed) : (PyErr_Clear(), true);
}

// The references to all that it yields, the last to its exception if it raised; null: an exception is set, on which the task
// is tried again, or which is not the user's.
Owned collect_items(Client& client, std::uint32_t index, const Function* function, const char* where,
                    PyObject* callable, PyObject* iterator) {
  Owned refs(PyList_New(0));
  auto append = [&](std::optional<Ref> ref) {
    Owned object(ref ? make_object_ref(*ref) : nullptr);
    return object && PyList_Append(refs.get(), object.get()) == 0;
  };
  for (;;) {
    Owned item(refs ? PyIter_Next(iterator) : nullptr);
    if (is_fork_of_task()) _exit(0);
    if (item && append(put_object(client, item.get()))) continue;
    if (PyErr_Occurred() == nullptr) break;
    if (!is_users_last_exception(client, index, function, where)) return Owned();
    if (!append(put_exception(client, where, callable))) return Owned();
    break;
  }
  PyObject* type = python_object("generators", "DynamicObjectRefGenerator");
  return Owned(type == nullptr ? nullptr : PyObject_CallOneArg(type, refs.get()));
}

// num_returns is a number: its items become the results, each as it comes but for the first, which is the task's own.
void publish_items(Client& client, std::uint32_t index, const Function* function, const char* where, PyObject* callable,
                   PyObject* iterator, const Arguments& arguments) {
  Process& p = client.process();
  const std::vector<Ref> further = p.further_results(index);
  const std::size_t count = std::max<std::size_t>(1, p.entry(index).part.num_returns);
  std::size_t items = 0;
  bool more = false;
  for (;; ++items) {
    Owned item(PyIter_Next(iterator));
    if (is_fork_of_task()) _exit(0);
    if (!item) break;
    if ((more = items == count)) break;
    if (items == 0) {
      if (!store_value(client, index, item.get())) break;
    } else if (p.claim_pending(further[items - 1])) {
      const std::uint32_t at = further[items - 1].index;
      if (!store_value(client, at, item.get())) {
        p.revert(at, Phase::kPending);
        break;
      }
      p.publish(at, false);
    }
  }
  if (PyErr_Occurred() != nullptr && !is_users_last_exception(client, index, function, where)) {
    if (p.entry(index).value.where != kNowhere) p.drop_value(index);
    return end_without_result(client, index, function, where, callable, arguments);
  }
  if (more) {
    PySys_WriteStderr("a generator%s%.200s yielded more than num_returns=%zu items: the others are dropped\n",
                      where[0] == 0 ? "" : ", ", where, count);
    Owned closed(PyObject_CallMethod(iterator, "close", nullptr));
    PyErr_Clear();
  } else if (PyErr_Occurred() == nullptr && items < count) {
    PyErr_Format(PyExc_ValueError, "num_returns=%zu, but the generator yielded %zu items", count, items);
  }
  if (PyErr_Occurred() == nullptr) return p.publish(index, false);
  if (items == 0) return publish_exception(client, index, where, callable);
  Owned payload = take_exception(where, callable);
  for (Ref sibling : further)
    if (p.claim_pending(sibling)) publish_error_object(client, sibling.index, payload.get());
  p.publish(index, false);
}

// The stream of a coroutine call; null with an exception set.
Stream* coroutine_stream(PyObject* token, std::uint32_t& index) {
  index = call_of(token);
  if (index == kNone) return nullptr;
  Client& client = *state().client;
  if ((client.process().entry(index).part.options & kStreaming) == 0) {
    PyErr_SetString(PyExc_TypeError, "this call has no stream");
    return nullptr;
  }
  return &coroutine_streams.try_emplace(index, client, index).first->second;
}

// _stream_begin(token): how many items were written by an earlier attempt; None: the call asked for no stream; False: an
// earlier attempt has written all of it.
PyObject* stream_begin(PyObject*, PyObject* token) {
  std::uint32_t index = call_of(token);
  if (index == kNone) return nullptr;
  if ((state().client->process().entry(index).part.options & kStreaming) == 0) Py_RETURN_NONE;
  Stream* stream = coroutine_stream(token, index);
  if (stream == nullptr) return nullptr;
  return stream->ended() ? Py_NewRef(Py_False) : PyLong_FromUnsignedLong(stream->items());
}

// _stream_write(token, item): False: nobody wants more.
PyObject* stream_write(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) return PyErr_Format(PyExc_TypeError, "_stream_write takes a call and an item");
  std::uint32_t index;
  Stream* stream = coroutine_stream(args[0], index);
  if (stream == nullptr) return nullptr;
  if (stream->abandoned()) Py_RETURN_FALSE;
  if (!write_item(*state().client, *stream, args[1])) return nullptr;
  return PyBool_FromLong(!stream->abandoned());
}

// _stream_has_room(token): whether its next item may be made now.
PyObject* stream_has_room(PyObject*, PyObject* token) {
  std::uint32_t index;
  Stream* stream = coroutine_stream(token, index);
  return stream == nullptr ? nullptr : PyBool_FromLong(stream->has_room() || stream->abandoned());
}

// _stream_end(token): the call is done.
PyObject* stream_end(PyObject*, PyObject* token) {
  std::uint32_t index;
  if (coroutine_stream(token, index) == nullptr) return nullptr;
  forget_stream(index);
  end_stream(*state().client, index);
  forget_said(index);
  state().loop->finished();
  Py_RETURN_NONE;
}

// _stream_next(cell), whose cell is done: (item, next cell); None: there are no more; the cell itself: it holds the error.
PyObject* stream_next(PyObject*, PyObject* object) {
  const Ref* cell = checked_ref(object, "a generator");
  if (cell == nullptr) return nullptr;
  Client& client = *state().client;
  if (client.process().settled(cell->index).phase() == Phase::kError) return Py_NewRef(object);
  return decode_object(client, *cell);
}

// _ring_runner(task): the process that runs it looks at how far its consumer has come.
PyObject* ring_runner(PyObject*, PyObject* object) {
  const Ref* task = checked_ref(object, "a generator");
  if (task == nullptr) return nullptr;
  Process& p = state().client->process();
  const auto s = p.entry(task->index).load();
  if (s.phase() == Phase::kRunning && s.proc_plus_one() != 0) p.ring(s.proc_plus_one() - 1);
  Py_RETURN_NONE;
}

}  // namespace

void forget_stream(std::uint32_t index) {
  coroutine_streams.erase(index);
}

void publish_yielded(Client& client, std::uint32_t index, const Function* function, const char* where,
                     PyObject* callable, PyObject* result, const Arguments& arguments) {
  const std::uint8_t options = client.process().entry(index).part.options;
  if (!PyIter_Check(result)) {
    PyErr_Format(PyExc_ValueError, "num_returns=\"%s\" is for generator functions; this one returned %.200s",
                 (options & kStreaming) != 0 ? "streaming" : "dynamic", Py_TYPE(result)->tp_name);
    return publish_exception(client, index, where, callable);
  }
  if ((options & kStreaming) != 0) {
    if (stream_items(client, index, result)) return end_stream(client, index);
  } else if ((options & kDynamic) != 0) {
    Owned refs = collect_items(client, index, function, where, callable, result);
    if (refs && publish_result(client, index, refs.get())) return;
  } else {
    return publish_items(client, index, function, where, callable, result, arguments);
  }
  end_without_result(client, index, function, where, callable, arguments);
}

void fail_stream(Client& client, std::uint32_t index, PyObject* payload) {
  forget_stream(index);
  bool first = true;
  for (std::uint32_t cell : Stream(client, index).claim_rest()) {
    if (std::exchange(first, false))
      publish_error_object(client, cell, payload);
    else
      store_none(client, cell);
  }
  store_none(client, index);
}

bool init_generators(PyObject* module) {
  static PyMethodDef functions[] = {
      {"_stream_begin", stream_begin, METH_O, nullptr},
      {"_stream_write", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(stream_write)), METH_FASTCALL,
       nullptr},
      {"_stream_has_room", stream_has_room, METH_O, nullptr},
      {"_stream_end", stream_end, METH_O, nullptr},
      {"_stream_next", stream_next, METH_O, nullptr},
      {"_ring_runner", ring_runner, METH_O, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace daybreak::runtime::python
