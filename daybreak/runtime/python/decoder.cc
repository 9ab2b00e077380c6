// Bytes (value_format.h) to Python objects. Large ones become views of the segment where their object can be kept.
#include <fmt/format.h>

#include <cstring>

#include "daybreak/runtime/python/common.h"
#include "daybreak/runtime/spill_folder.h"

namespace daybreak::runtime::python {

namespace {

constexpr std::uint64_t kZeroCopyBytes = 512;  // from here on an array is a view of the segment

struct Decoding {
  Client* client;
  std::span<const Ref> refs;
};
thread_local std::vector<Decoding> decodings;  // whose unpickling is in progress: where references are looked up

PyObject* loads() {
  static PyObject* f = import_attribute("_pickle", "loads");
  return f;
}

// The type that numpy.frombuffer needs for a one-letter format; loads numpy.
PyObject* dtype_of(char format) {
  static PyObject* types[128] = {};
  PyObject*& cached = types[static_cast<unsigned char>(format) & 127];
  if (cached == nullptr) {
    Owned dtype(import_attribute("numpy", "dtype"));
    if (!dtype) return nullptr;
    cached = PyObject_CallFunction(dtype.get(), "s#", &format, Py_ssize_t{1});
  }
  return cached;
}

// A read-only view of bytes in the segment that keeps their object alive; or of a spilled object's file, which it maps.
struct SharedBytesObject {
  PyObject_HEAD std::uint64_t session;
  Ref ref;
  const std::byte* data;
  Py_ssize_t size;
  bool kept;                             // in place, until this goes
  std::shared_ptr<os::Mapping>* mapped;  // where the bytes lie if not in the segment, or null
};
PyTypeObject* shared_bytes_type = nullptr;

int shared_bytes_buffer(PyObject* object, Py_buffer* view, int flags) {
  auto* self = reinterpret_cast<SharedBytesObject*>(object);
  return PyBuffer_FillInfo(view, object, const_cast<std::byte*>(self->data), self->size, 1, flags);
}

void shared_bytes_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<SharedBytesObject*>(object);
  if (state().client != nullptr && self->session == state().session) {
    Process& p = state().client->process();
    if (self->kept) p.let_move(self->ref);
    if (self->mapped == nullptr) p.release(self->ref);
  }
  delete self->mapped;
  --state().views;
  PyTypeObject* type = Py_TYPE(object);
  PyObject_Free(object);
  Py_DECREF(type);
}

// Makes Python objects of what a ValueReader finds: a new reference each, or null with an exception set.
class Decoder {
 public:
  // `keep`: the object that the bytes belong to, for views; none: everything is copied. `kept`: it is kept in place, and
  // each view has to do so too; unless the bytes are `mapped`.
  Decoder(Client& client, std::span<const std::byte> bytes, std::span<const Ref> refs, std::uint16_t deps,
          const Ref* keep, bool kept = false, std::shared_ptr<os::Mapping> mapped = nullptr)
      : client_(client), reader_(bytes, refs, deps), keep_(keep), kept_(kept && !mapped), mapped_(std::move(mapped)) {}

  PyObject* item() { return reader_.item(*this); }

  // As item(), but a dependency's value where one stands.
  PyObject* argument(Ref& failed, bool& dependency_failed) {
    const std::optional<Ref> dependency = reader_.dependency();
    if (!dependency) return item();
    auto is_error = [&] { return client_.process().settled(dependency->index).phase() == Phase::kError; };
    if (!is_error()) {
      PyObject* value = decode_object(client_, *dependency);
      if (value != nullptr || !is_error()) return value;
      PyErr_Clear();  // it was on disk, and is lost
    }
    failed = *dependency;
    dependency_failed = true;
    return nullptr;
  }

  std::optional<ValueReader::Call> call() { return reader_.call(); }
  std::size_t position() const { return reader_.position(); }

  PyObject* damaged() {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "an object in the store is damaged");
    return nullptr;
  }

  // -- what the reader finds
  PyObject* none() { Py_RETURN_NONE; }
  PyObject* boolean(bool value) { return PyBool_FromLong(value); }
  PyObject* integer(std::int64_t value) { return PyLong_FromLongLong(value); }
  PyObject* real(double value) { return PyFloat_FromDouble(value); }
  PyObject* text(std::string_view text) {
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
  }
  PyObject* bytes(std::span<const std::byte> bytes) {
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(bytes.data()),
                                     static_cast<Py_ssize_t>(bytes.size()));
  }

  PyObject* container(Tag kind, std::uint32_t count) {
    if (kind != Tag::kDict) return sequence(kind == Tag::kList, count, [&](std::uint32_t) { return element(); });
    Owned result(PyDict_New());
    for (std::uint32_t i = 0; result && i < count; ++i) {
      Owned key(element());
      if (!key) return nullptr;
      Owned value(element());
      if (!value || PyDict_SetItem(result.get(), key.get(), value.get()) != 0) return nullptr;
    }
    return result.release();
  }

  PyObject* references(Tag kind, std::span<const Ref> refs) {
    return sequence(kind == Tag::kRefList, static_cast<std::uint32_t>(refs.size()), [&](std::uint32_t i) {
      client_.process().hold(refs[i]);
      return make_object_ref(refs[i]);
    });
  }

  PyObject* tensor(char format, std::span<const std::int64_t> dimensions, std::span<const std::byte> bytes) {
    Owned shape(PyTuple_New(static_cast<Py_ssize_t>(dimensions.size())));
    if (!shape) return nullptr;
    for (std::size_t i = 0; i < dimensions.size(); ++i)
      PyTuple_SET_ITEM(shape.get(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(dimensions[i]));
    PyObject* dtype = dtype_of(format);
    if (dtype == nullptr) return nullptr;
    Owned data(buffer(bytes));
    if (!data) return nullptr;
    PyTypeObject* type = ndarray_type();
    if (type == nullptr) return damaged();
    PyObject* arguments[] = {shape.get(), dtype, data.get()};
    return PyObject_Vectorcall(reinterpret_cast<PyObject*>(type), arguments, 3, nullptr);
  }

  PyObject* pickle(std::span<const std::byte> text, std::span<const std::span<const std::byte>> parts,
                   std::span<const Ref> refs) {
    Owned view(PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(text.data())),
                                       static_cast<Py_ssize_t>(text.size()), PyBUF_READ));
    Owned buffers(PyList_New(static_cast<Py_ssize_t>(parts.size())));
    if (!view || !buffers) return nullptr;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      PyObject* data = buffer(parts[i]);
      if (data == nullptr) return nullptr;
      PyList_SET_ITEM(buffers.get(), static_cast<Py_ssize_t>(i), data);
    }
    static PyObject* names = Py_BuildValue("(s)", "buffers");
    PyObject* arguments[] = {view.get(), buffers.get()};
    decodings.push_back({&client_, refs});
    PyObject* result = PyObject_Vectorcall(loads(), arguments, 1, names);
    decodings.pop_back();
    return result;
  }

 private:
  PyObject* element() { return reader_.item(*this); }

  template <typename F>
  static PyObject* sequence(bool list, std::uint32_t count, F&& next) {
    Owned result(list ? PyList_New(count) : PyTuple_New(count));
    for (std::uint32_t i = 0; result && i < count; ++i) {
      PyObject* object = next(i);
      if (object == nullptr) return nullptr;
      if (list)
        PyList_SET_ITEM(result.get(), i, object);
      else
        PyTuple_SET_ITEM(result.get(), i, object);
    }
    return result.release();
  }

  // Bytes as a Python object with a read-only buffer: a view where the object can be kept, a copy where not.
  PyObject* buffer(std::span<const std::byte> data) {
    if (keep_ == nullptr || data.size() < kZeroCopyBytes) return bytes(data);
    auto* view = PyObject_New(SharedBytesObject, shared_bytes_type);
    if (view == nullptr) return nullptr;
    if (!mapped_) client_.process().hold(*keep_);
    if (kept_) client_.process().keep_in_place(*keep_);
    ++state().views;
    view->kept = kept_;
    view->mapped = mapped_ ? new std::shared_ptr<os::Mapping>(mapped_) : nullptr;
    view->session = state().session;
    view->ref = *keep_;
    view->data = data.data();
    view->size = static_cast<Py_ssize_t>(data.size());
    return reinterpret_cast<PyObject*>(view);
  }

  Client& client_;
  ValueReader reader_;
  const Ref* keep_;
  const bool kept_;
  const std::shared_ptr<os::Mapping> mapped_;
};

// For a value that was lost and is computed again. False: exception set.
bool await_again(Client& client, Ref ref, std::int64_t deadline) {
  bool timed_out = false;
  if (!await(client, {&ref, 1}, 1, deadline, timed_out, "get")) return false;
  if (!timed_out) return true;
  if (PyObject* type = python_object("exceptions", "GetTimeoutError"); type != nullptr)
    PyErr_SetString(type, "get(): the time is over, and an object that was lost is being computed again: wait longer");
  return false;
}

// Calls read(bytes, mapped), which gives a new reference or null, on the value of an object that may be on disk or on its
// way there, and keeps it in place meanwhile. `mapped`: what the bytes lie in, if not in the segment; else null. What is lost
// and can be computed again is awaited as a task is.
template <typename F>
PyObject* read_in_place(Client& client, Ref ref, F&& read, std::int64_t deadline = -1) {
  Process& p = client.process();
  for (;;) {
    p.keep_in_place(ref);
    base::Status back;
    os::Mapping elsewhere;
    const std::uint64_t size = p.entry(ref.index).value.size;
    if (!p.in_place(ref)) {
      ++state().waiting;
      Py_BEGIN_ALLOW_THREADS back = p.bring_back(ref, &elsewhere);
      --state().waiting;
      Py_END_ALLOW_THREADS
    }
    PyObject* result = nullptr;
    if (!back) {
      raise(back.error());
    } else if (elsewhere) {
      const std::span<const std::byte> bytes =
          elsewhere.bytes().first(std::min<std::uint64_t>(size, elsewhere.bytes().size()));
      result = read(bytes, std::make_shared<os::Mapping>(std::move(elsewhere)));
    } else if (const Phase phase = p.settled(ref.index).phase(); phase == Phase::kError) {
      raise_object_error(client, ref);
    } else if (phase == Phase::kReady) {
      result = read(p.value(ref.index), nullptr);
    } else {
      p.let_move(ref);
      if (!await_again(client, ref, deadline)) return nullptr;
      continue;
    }
    p.let_move(ref);
    return result;
  }
}

PyObject* ref_at(PyObject*, PyObject* argument) {
  std::size_t i = PyLong_AsSize_t(argument);
  if (PyErr_Occurred()) return nullptr;
  if (decodings.empty() || i >= decodings.back().refs.size()) {
    PyErr_SetString(PyExc_RuntimeError, "a reference outside of an object of the store");
    return nullptr;
  }
  Ref ref = decodings.back().refs[i];
  decodings.back().client->process().hold(ref);
  return make_object_ref(ref);
}

// An object's bytes as they lie in the store, for tests of the format.
PyObject* value_bytes(PyObject*, PyObject* argument) {
  const Ref* ref = checked_ref(argument, "_value_bytes");
  if (ref == nullptr) return nullptr;
  using Mapped = std::shared_ptr<os::Mapping>;
  return read_in_place(*state().client, *ref, [](std::span<const std::byte> bytes, const Mapped&) {
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(bytes.data()),
                                     static_cast<Py_ssize_t>(bytes.size()));
  });
}

PyObject* ref_from_bytes(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3 || state().client == nullptr || PyLong_AsUnsignedLongLong(args[0]) != engine_session()) {
    if (!PyErr_Occurred())
      PyErr_SetString(PyExc_ValueError, "a reference of another runtime, or of one that has been shut down");
    return nullptr;
  }
  Ref ref{static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[1])),
          static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[2]))};
  if (PyErr_Occurred()) return nullptr;
  if (ref.index >= kMaxObjects || state().client->process().entry(ref.index).load().generation() != ref.generation) {
    PyErr_SetString(PyExc_ValueError, "a reference to an object that has been freed");
    return nullptr;
  }
  state().client->process().hold(ref);
  return make_object_ref(ref);
}

PyObject* actor_at(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3) {
    PyErr_SetString(PyExc_TypeError, "_actor_at takes 3 arguments");
    return nullptr;
  }
  Owned ref(ref_at(nullptr, args[0]));
  if (!ref) return nullptr;
  Ref creation = reinterpret_cast<ObjectRefObject*>(ref.get())->ref;
  state().client->process().hold(creation);
  return make_actor_handle(creation, static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[1])), args[2]);
}

PyObject* actor_from_bytes(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 5) {
    PyErr_SetString(PyExc_TypeError, "_actor_from_bytes takes 5 arguments");
    return nullptr;
  }
  Owned ref(ref_from_bytes(nullptr, args, 3));
  if (!ref) return nullptr;
  Ref creation = reinterpret_cast<ObjectRefObject*>(ref.get())->ref;
  state().client->process().hold(creation);
  return make_actor_handle(creation, static_cast<std::uint32_t>(PyLong_AsUnsignedLong(args[3])), args[4]);
}

}  // namespace

PyObject* decode_object(Client& client, Ref ref, std::int64_t deadline) {
  Process& p = client.process();
  const bool may_move = p.may_move(ref.index);  // before the state
  const Phase phase = p.settled(ref.index).phase();
  if (phase == Phase::kError) {
    raise_object_error(client, ref);
    return nullptr;
  }
  if (may_move || phase != Phase::kReady) {
    auto decode = [&](std::span<const std::byte> bytes, std::shared_ptr<os::Mapping> mapped) {
      const std::span<const Ref> refs = mapped ? std::span<const Ref>() : p.value_refs(ref.index);
      return Decoder(client, bytes, refs, 0, &ref, true, std::move(mapped)).item();
    };
    return read_in_place(client, ref, decode, deadline);
  }
  Decoder decoder(client, p.value(ref.index), p.value_refs(ref.index), 0, &ref);
  return decoder.item();
}

PyObject* decode_function(Client& client, Ref ref, PyObject* enter_world) {
  Process& p = client.process();
  Entry& e = p.entry(ref.index);
  if (p.settled(ref.index).phase() == Phase::kError) {
    raise_object_error(client, ref);
    return nullptr;
  }
  auto decode = [&](std::span<const std::byte> bytes, const std::shared_ptr<os::Mapping>&) -> PyObject* {
    Decoder decoder(client, bytes, p.value_refs(ref.index), e.value.deps, nullptr);
    if (!decoder.call()) return decoder.damaged();  // two arguments, no names, no method
    Ref failed;
    bool dependency_failed = false;
    Owned world(decoder.argument(failed, dependency_failed));
    Owned entered(world ? PyObject_CallOneArg(enter_world, world.get()) : nullptr);
    return entered ? decoder.argument(failed, dependency_failed) : nullptr;
  };
  return p.may_move(ref.index) ? read_in_place(client, ref, decode) : decode(p.value(ref.index), nullptr);
}

PyObject* decode_blob(std::span<const std::byte> bytes, std::span<const Ref> refs, std::uint16_t deps, Client& client) {
  Decoder decoder(client, bytes, refs, deps, nullptr);
  return decoder.item();
}

PyObject* decode_joined(Client& client, std::string_view bytes, std::size_t& at, std::span<const Ref> objects) {
  const auto rest = std::as_bytes(std::span(bytes)).subspan(std::min(at, bytes.size()));
  Decoder decoder(client, rest, objects, static_cast<std::uint16_t>(objects.size()), nullptr);
  Ref failed;
  bool is_error = false;
  PyObject* value = decoder.argument(failed, is_error);
  at += decoder.position();
  if (is_error) raise_object_error(client, failed);
  return value;
}

bool decode_call(Client& client, std::uint32_t index, std::string& method, std::vector<PyObject*>& values,
                 PyObject*& kwnames, Py_ssize_t& positional, Ref& failed, bool& dependency_failed) {
  Process& p = client.process();
  Entry& e = p.entry(index);
  Decoder decoder(client, p.args(index), p.args_refs(index), e.args.where == kNowhere ? 0 : e.args.deps, nullptr);
  kwnames = nullptr;
  const auto call = decoder.call();
  if (!call) return decoder.damaged() != nullptr;
  positional = call->positional;
  const Py_ssize_t names = call->named;
  method.assign(call->method);
  if (names > 0) {
    kwnames = PyTuple_New(names);
    for (Py_ssize_t i = 0; kwnames != nullptr && i < names; ++i) {
      PyObject* name = decoder.item();
      if (name == nullptr) return false;
      PyUnicode_InternInPlace(&name);
      PyTuple_SET_ITEM(kwnames, i, name);
    }
  }
  for (Py_ssize_t i = 0; i < positional + names; ++i) {
    PyObject* value = decoder.argument(failed, dependency_failed);
    if (value == nullptr) return false;
    values.push_back(value);
  }
  return true;
}

void raise_object_error(Client& client, Ref ref) {
  Process& p = client.process();
  Entry& e = p.entry(ref.index);
  PyObject* make = python_object("exceptions", "_from_object");
  if (make == nullptr) return;
  Owned payload;
  if (e.value.where != kNowhere && e.value.codec == kCodecException) {
    Decoder decoder(client, p.value(ref.index), p.value_refs(ref.index), 0, nullptr);
    payload = Owned(decoder.item());
  } else {
    const std::string lost =
        e.value.where == kNowhere && e.error == ErrorKind::kObjectLost ? lost_value_text(p, ref) : std::string();
    auto text = lost.empty() ? p.value(ref.index) : std::as_bytes(std::span(lost));
    payload = Owned(PyUnicode_DecodeUTF8(reinterpret_cast<const char*>(text.data()),
                                         static_cast<Py_ssize_t>(text.size()), "replace"));
  }
  if (!payload) return;
  Owned exception(PyObject_CallFunction(make, "iO", static_cast<int>(e.error), payload.get()));
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
}

bool init_decoder(PyObject* module) {
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(shared_bytes_dealloc)},
      {Py_bf_getbuffer, reinterpret_cast<void*>(shared_bytes_buffer)},
      {Py_tp_doc, const_cast<char*>("Bytes of an object in the store, read-only; keeps the object alive.")},
      {0, nullptr}};
  static PyType_Spec spec = {"daybreak.SharedBytes", sizeof(SharedBytesObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  shared_bytes_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (shared_bytes_type == nullptr) return false;
  static PyMethodDef functions[] = {
      {"_ref_at", ref_at, METH_O, nullptr},
      {"_value_bytes", value_bytes, METH_O, nullptr},
      {"_ref_from_bytes", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(ref_from_bytes)), METH_FASTCALL,
       nullptr},
      {"_actor_at", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_at)), METH_FASTCALL, nullptr},
      {"_actor_from_bytes", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_from_bytes)),
       METH_FASTCALL, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace daybreak::runtime::python
