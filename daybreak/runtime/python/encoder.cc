// Python objects to bytes, by the cheapest way that keeps their meaning:
//   scalars, str, bytes            a tag and the value
//   list, tuple, dict of those     tagged too (one level: identity of mutable objects cannot matter)
//   list or tuple of references    packed, with the references behind the blob
//   a contiguous numpy array       its shape and its bytes, aligned
//   everything else                pickle protocol 5 with its large buffers beside it: the C pickler where every type is
//                                  a builtin one, else cloudpickle (the plain pickler would save classes of __main__ by
//                                  name)
// The bytes themselves are value_format.h's.
#include <array>
#include <cstring>

#include "daybreak/runtime/python/common.h"

namespace daybreak::runtime::python {

PyObject* import_attribute(const char* module, const char* name) {
  Owned m(PyImport_ImportModule(module));
  return m ? PyObject_GetAttrString(m.get(), name) : nullptr;
}

PyTypeObject* ndarray_type() {
  static PyTypeObject* type = nullptr;
  if (type != nullptr) return type;
  PyObject* numpy = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
  if (numpy == nullptr) return nullptr;
  PyObject* found = PyObject_GetAttrString(numpy, "ndarray");
  if (found == nullptr) PyErr_Clear();
  return type = reinterpret_cast<PyTypeObject*>(found);
}

thread_local bool submits_to_cpp = false;

namespace {

constexpr Py_ssize_t kFlatItems = 64;  // longer containers go to the pickler, which is faster per item
constexpr std::uint32_t kLongestPlain = 0xffff'ffff;
constexpr int kPlainDepth = 6;
constexpr Py_ssize_t kPlainItems = 10'000;

thread_local std::vector<Encoder*> encoders;  // whose pickling is in progress: where references are collected

PyObject* plain_dumps() {
  static PyObject* f = import_attribute("_pickle", "dumps");
  return f;
}

// numpy.generic, of numpy's numbers, if numpy is loaded.
PyTypeObject* numpy_scalar_type() {
  static PyTypeObject* type = nullptr;
  if (type == nullptr && ndarray_type() != nullptr)
    type = reinterpret_cast<PyTypeObject*>(import_attribute("numpy", "generic"));
  if (type == nullptr) PyErr_Clear();
  return type;
}

bool known_format(const char* format) {
  return format != nullptr && format[0] != 0 && format[1] == 0 && std::strchr("?bBhHiIlLqQefd", format[0]) != nullptr;
}

bool is_plain(PyObject* object, int depth, Py_ssize_t& budget) {
  PyTypeObject* type = Py_TYPE(object);
  if (object == Py_None || type == &PyBool_Type || type == &PyLong_Type || type == &PyFloat_Type ||
      type == &PyUnicode_Type || type == &PyBytes_Type || type == &PyByteArray_Type || type == &PyComplex_Type)
    return true;
  if (type == ndarray_type()) return true;
  if (depth == 0 || --budget < 0) return false;
  if (type == &PyList_Type || type == &PyTuple_Type) {
    Py_ssize_t n = Py_SIZE(object);
    budget -= n;
    for (Py_ssize_t i = 0; i < n && budget >= 0; ++i)
      if (!is_plain(type == &PyList_Type ? PyList_GET_ITEM(object, i) : PyTuple_GET_ITEM(object, i), depth - 1, budget))
        return false;
    return budget >= 0;
  }
  if (type == &PyDict_Type) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    budget -= PyDict_GET_SIZE(object);
    while (budget >= 0 && PyDict_Next(object, &at, &key, &value))
      if (!is_plain(key, depth - 1, budget) || !is_plain(value, depth - 1, budget)) return false;
    return budget >= 0;
  }
  return false;
}

}  // namespace

// A call allocates nothing in the steady state: the encoder's storage is handed on from one to the next on this thread.
struct Storage {
  std::string written;
  Payload payload;
};
static thread_local Storage spare;

Encoder::Encoder() : writer_(std::move(spare.written)) {
  std::swap(payload_, spare.payload);
}

Encoder::~Encoder() {
  for (Py_buffer& buffer : buffers_) PyBuffer_Release(&buffer);
  for (PyObject* object : keep_) Py_DECREF(object);
  std::string written = writer_.take_storage();
  if (written.capacity() < 65'536) spare.written.swap(written);
  std::swap(payload_, spare.payload);
}

// Bytes that are pointed at are copied without the GIL, and whoever else holds their owner, a list, may let go of it
// then: it is kept as long as the encoder.
void Encoder::keep_if(bool pointed_at, PyObject* owner) {
  if (pointed_at) keep_.push_back(Py_NewRef(owner));
}

// A reference inside a pickle; `holder` keeps the object alive until it is pinned, even one that was made for the
// pickle.
std::uint32_t Encoder::nested(Ref ref, PyObject* holder) {
  keep_.push_back(Py_NewRef(holder));
  nested_.push_back(ref);
  return static_cast<std::uint32_t>(nested_.size() - 1 - pickle_refs_);
}

bool Encoder::scalar(PyObject* object, bool& done) {
  done = true;
  PyTypeObject* type = Py_TYPE(object);
  if (object == Py_None) {
    writer_.none();
  } else if (type == &PyBool_Type) {
    writer_.boolean(object == Py_True);
  } else if (type == &PyLong_Type) {
    int overflow = 0;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) {
      done = false;
      return true;
    }
    writer_.integer(value);
  } else if (type == &PyFloat_Type) {
    writer_.real(PyFloat_AS_DOUBLE(object));
  } else if (type == &PyUnicode_Type) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(object, &size);
    if (text == nullptr) {  // lone surrogates: the pickler knows how
      PyErr_Clear();
      done = false;
      return true;
    }
    keep_if(writer_.text(text, static_cast<std::uint64_t>(size)), object);
  } else if (type == &PyBytes_Type) {
    keep_if(writer_.bytes(PyBytes_AS_STRING(object), static_cast<std::uint64_t>(PyBytes_GET_SIZE(object))), object);
  } else {
    done = false;
  }
  return true;
}

// Of at most `most` items, each written by `put(item, done)`. One that is not written leaves the whole to another way.
template <typename Put>
bool Encoder::container(PyObject* object, bool& done, Py_ssize_t most, const Put& put) {
  PyTypeObject* type = Py_TYPE(object);
  const bool list = type == &PyList_Type, tuple = type == &PyTuple_Type, dict = type == &PyDict_Type;
  done = false;
  const Py_ssize_t count = list || tuple ? Py_SIZE(object) : dict ? PyDict_GET_SIZE(object) : -1;
  if (count < 0 || count > most) return true;
  const Mark before{writer_.mark(), nested_.size(), buffers_.size(), keep_.size()};
  writer_.container(list ? Tag::kList : tuple ? Tag::kTuple : Tag::kDict, static_cast<std::uint32_t>(count));
  done = true;
  if (dict) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (done && PyDict_Next(object, &at, &key, &value)) {
      if (!put(key, done)) return false;
      if (done && !put(value, done)) return false;
    }
  } else {
    for (Py_ssize_t i = 0; i < count && done; ++i)
      if (!put(list ? PyList_GET_ITEM(object, i) : PyTuple_GET_ITEM(object, i), done)) return false;
  }
  if (done) return true;
  writer_.cut(before.written);
  nested_.resize(before.nested);  // what else it has collected is kept a little longer than it must
  return true;
}

bool Encoder::flat_container(PyObject* object, bool& done) {
  return container(object, done, kFlatItems, [this](PyObject* item, bool& written) { return scalar(item, written); });
}

bool Encoder::reference_list(PyObject* object, bool& done) {
  bool list = Py_TYPE(object) == &PyList_Type, tuple = Py_TYPE(object) == &PyTuple_Type;
  done = false;
  if (!list && !tuple) return true;
  Py_ssize_t count = Py_SIZE(object);
  if (count == 0) return true;
  PyObject** items = list ? &PyList_GET_ITEM(object, 0) : &PyTuple_GET_ITEM(object, 0);
  for (Py_ssize_t i = 0; i < count; ++i)
    if (!is_object_ref(items[i])) return true;
  writer_.references(list ? Tag::kRefList : Tag::kRefTuple, static_cast<std::uint32_t>(nested_.size()),
                     static_cast<std::uint32_t>(count));
  nested_.reserve(nested_.size() + static_cast<std::size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    const Ref* ref = checked_ref(items[i], "pickling");
    if (ref == nullptr) return false;
    keep_.push_back(Py_NewRef(items[i]));
    nested_.push_back(*ref);
  }
  done = true;
  return true;
}

bool Encoder::tensor(PyObject* object, bool& done) {
  done = false;
  PyTypeObject* type = ndarray_type();
  if (type == nullptr || Py_TYPE(object) != type) return true;
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
    PyErr_Clear();
    return true;
  }
  if (!known_format(view.format) || view.ndim > static_cast<int>(kMaxRank)) {
    PyBuffer_Release(&view);
    return true;
  }
  std::array<std::int64_t, kMaxRank> shape;
  std::copy_n(view.shape, view.ndim, shape.begin());
  writer_.tensor(view.format[0], std::span(shape.data(), static_cast<std::size_t>(view.ndim)), view.buf,
                 static_cast<std::uint64_t>(view.len));
  buffers_.push_back(view);
  done = true;
  return true;
}

bool Encoder::pickle(PyObject* object) {
  Py_ssize_t budget = kPlainItems;
  bool plain = is_plain(object, kPlainDepth, budget);
  PyObject* dumps = plain ? plain_dumps() : python_object("serialization", "dumps");
  if (dumps == nullptr) return false;
  Owned list(PyList_New(0));
  Owned append(list ? PyObject_GetAttrString(list.get(), "append") : nullptr);
  if (!append) return false;
  Owned pickled;
  pickle_refs_ = nested_.size();
  encoders.push_back(this);
  if (plain) {
    static PyObject* names = Py_BuildValue("(ss)", "protocol", "buffer_callback");
    static PyObject* five = PyLong_FromLong(5);
    PyObject* arguments[] = {object, five, append.get()};
    pickled = Owned(PyObject_Vectorcall(dumps, arguments, 1, names));
  } else {
    PyObject* arguments[] = {object, append.get()};
    pickled = Owned(PyObject_Vectorcall(dumps, arguments, 2, nullptr));
  }
  encoders.pop_back();
  if (!pickled) return false;
  std::vector<std::span<const std::byte>> buffers(static_cast<std::size_t>(PyList_GET_SIZE(list.get())));
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    Py_buffer view;
    if (PyObject_GetBuffer(PyList_GET_ITEM(list.get(), static_cast<Py_ssize_t>(i)), &view, PyBUF_SIMPLE) != 0)
      return false;
    buffers_.push_back(view);
    buffers[i] = {static_cast<const std::byte*>(view.buf), static_cast<std::size_t>(view.len)};
  }
  const std::string_view text(PyBytes_AS_STRING(pickled.get()),
                              static_cast<std::size_t>(PyBytes_GET_SIZE(pickled.get())));
  keep_if(writer_.pickle(static_cast<std::uint32_t>(pickle_refs_), text, buffers), pickled.get());
  return true;
}

bool Encoder::item(PyObject* object) {
  bool done = false;
  if (!scalar(object, done)) return false;
  if (!done && !tensor(object, done)) return false;
  if (!done && !reference_list(object, done)) return false;
  if (!done && !flat_container(object, done)) return false;
  if (!done && (submits_to_cpp || result_is_for_cpp()) && !plain_item(object, done, 1)) return false;
  return done || pickle(object);
}

bool Encoder::plain_item(PyObject* object, bool& done, std::uint32_t nesting) {
  if (PyTypeObject* generic = numpy_scalar_type(); generic != nullptr && PyObject_TypeCheck(object, generic)) {
    Owned number(PyObject_CallMethod(object, "item", nullptr));
    if (!number || !scalar(number.get(), done)) return false;
    keep_.push_back(number.release());
    return true;
  }
  if (!scalar(object, done)) return false;
  if (!done && !tensor(object, done)) return false;
  if (!done && !reference_list(object, done)) return false;
  return done || plain_container(object, done, nesting);
}

// What is not plain, or is nested too deeply, is left to the pickler with all that it lies in.
bool Encoder::plain_container(PyObject* object, bool& done, std::uint32_t nesting) {
  done = false;
  if (nesting > kMaxNesting) return true;
  return container(object, done, static_cast<Py_ssize_t>(kLongestPlain),
                   [&](PyObject* item, bool& written) { return plain_item(item, written, nesting + 1); });
}

// A reference at top level is a dependency; a large argument becomes an object of its own, so that the task can have a
// view of it for as long as it likes.
bool Encoder::argument(PyObject* object) {
  if (is_object_ref(object)) {
    const Ref* ref = checked_ref(object, "a task");
    if (ref == nullptr) return false;
    depend_on(*ref);
    return true;
  }
  const Mark before{writer_.mark(), nested_.size(), buffers_.size(), keep_.size()};
  const std::uint64_t size = writer_.size();
  if (!item(object)) return false;
  return writer_.size() - size <= kLargeArgBytes || own_object(before);
}

void Encoder::depend_on(Ref ref) {
  writer_.dependency(static_cast<std::uint32_t>(deps_.size()));
  deps_.push_back(ref);
}

// What was written last becomes an object of its own, and a dependency. It is moved as it is: to pickle it again would
// call the user's code again.
bool Encoder::own_object(const Mark& since) {
  auto move_tail = [](auto& from, std::size_t at, auto& to) {
    to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(at), from.end());
    from.resize(at);
  };
  Encoder own;
  own.writer_ = writer_.split(since.written);
  move_tail(nested_, since.nested, own.nested_);
  move_tail(buffers_, since.buffers, own.buffers_);
  move_tail(keep_, since.keep, own.keep_);
  const Payload& payload = own.finish(kCodecItem);
  Client& client = *state().client;
  base::Result<Ref> ref = [&] {
    PyThreadState* saved = PyEval_SaveThread();
    auto r = client.put(payload);
    PyEval_RestoreThread(saved);
    return r;
  }();
  if (!ref) {
    raise(ref.error());
    return false;
  }
  PyObject* holder = make_object_ref(*ref);  // until the task has pinned it
  if (holder == nullptr) return false;
  keep_.push_back(holder);
  depend_on(*ref);
  return true;
}

bool Encoder::call(const char* method, Py_ssize_t method_size, PyObject* const* args, Py_ssize_t nargs,
                   PyObject* kwnames) {
  Py_ssize_t names = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (static_cast<std::size_t>(nargs + names) > kMaxCallArguments) {
    PyErr_Format(PyExc_ValueError, "%zd arguments, at most %zu are possible: pass a list", nargs + names,
                 kMaxCallArguments);
    return false;
  }
  writer_.call(static_cast<std::uint16_t>(nargs), static_cast<std::uint16_t>(names),
               {method, static_cast<std::size_t>(method_size)});
  bool done;
  for (Py_ssize_t i = 0; i < names; ++i)
    if (!scalar(PyTuple_GET_ITEM(kwnames, i), done)) return false;
  for (Py_ssize_t i = 0; i < nargs + names; ++i)
    if (!argument(args[i])) return false;
  return true;
}

const Payload& Encoder::finish(std::uint8_t codec) {
  payload_.pieces.clear();
  writer_.add_pieces(payload_);
  payload_.refs = deps_;
  payload_.refs.insert(payload_.refs.end(), nested_.begin(), nested_.end());
  payload_.deps = static_cast<std::uint16_t>(deps_.size());
  payload_.codec = codec;
  return payload_;
}

PyObject* reduce_reference(PyObject* self, PyObject*) {
  const Ref* ref = checked_ref(self, "pickling");
  if (ref == nullptr) return nullptr;
  if (encoders.empty()) {
    // Pickled by somebody else than us, who knows for how long: it stays alive until the runtime ends.
    state().client->process().hold(*ref);
    PyObject* rebuild = python_object("serialization", "_ref_from_bytes");
    if (rebuild == nullptr) return nullptr;
    auto* r = reinterpret_cast<ObjectRefObject*>(self);
    return Py_BuildValue("O(KII)", rebuild, static_cast<unsigned long long>(engine_session()), r->ref.index,
                         r->ref.generation);
  }
  PyObject* rebuild = python_object("serialization", "_ref_at");
  if (rebuild == nullptr) return nullptr;
  return Py_BuildValue("O(I)", rebuild, encoders.back()->nested(*ref, self));
}

PyObject* reduce_actor(PyObject* self, PyObject*) {
  auto* handle = reinterpret_cast<ActorHandleObject*>(self);
  if (state().client == nullptr || handle->session != state().session) {
    PyErr_SetString(PyExc_ValueError, "this actor handle belongs to a runtime that has been shut down");
    return nullptr;
  }
  if (encoders.empty()) {
    state().client->process().hold(handle->creation);
    PyObject* rebuild = python_object("serialization", "_actor_from_bytes");
    if (rebuild == nullptr) return nullptr;
    return Py_BuildValue("O(KIIIO)", rebuild, static_cast<unsigned long long>(engine_session()), handle->creation.index,
                         handle->creation.generation, handle->slot, handle->info);
  }
  PyObject* rebuild = python_object("serialization", "_actor_at");
  if (rebuild == nullptr) return nullptr;
  return Py_BuildValue("O(IIO)", rebuild, encoders.back()->nested(handle->creation, self), handle->slot, handle->info);
}

}  // namespace daybreak::runtime::python
