// Python objects to bytes in shared memory and back, by the cheapest way that keeps their meaning:
//   scalars, str, bytes            a tag and the value
//   list, tuple, dict of those     tagged too (one level: identity of mutable objects cannot matter)
//   list or tuple of references    packed, with the references behind the blob
//   a contiguous numpy array       its shape and its bytes, aligned
//   everything else                pickle protocol 5 with its large buffers beside it: the C pickler where every type
//   is a
//                                  builtin one, else cloudpickle (the plain pickler would save classes of __main__ by
//                                  name)
// Format page: docs/formats/runtime-values.md.
#include <fmt/format.h>

#include <cstring>

#include "daybreak/runtime/copy.h"
#include "daybreak/runtime/python/common.h"

namespace daybreak::runtime::python {

namespace {

constexpr Py_ssize_t kFlatItems = 64;          // longer containers go to the pickler, which is faster per item
constexpr std::uint64_t kExternalBytes = 512;  // from here on bytes are not copied twice
constexpr std::uint64_t kZeroCopyBytes = 512;  // from here on an array is a view of the segment
constexpr int kPlainDepth = 6;
constexpr Py_ssize_t kPlainItems = 10'000;

thread_local std::vector<Encoder*> encoders;  // whose pickling is in progress: where references are collected
struct Decoding {
  Client* client;
  std::span<const Ref> refs;
};
thread_local std::vector<Decoding> decodings;  // whose unpickling is in progress: where references are looked up

PyObject* import_attribute(const char* module, const char* name) {
  Owned m(PyImport_ImportModule(module));
  return m ? PyObject_GetAttrString(m.get(), name) : nullptr;
}

PyObject* plain_dumps() {
  static PyObject* f = import_attribute("_pickle", "dumps");
  return f;
}

PyObject* loads() {
  static PyObject* f = import_attribute("_pickle", "loads");
  return f;
}

// numpy.ndarray if numpy is loaded (we never load it), else null without an exception.
PyTypeObject* ndarray_type() {
  static PyTypeObject* type = nullptr;
  if (type != nullptr) return type;
  PyObject* numpy = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
  if (numpy == nullptr) return nullptr;
  PyObject* found = PyObject_GetAttrString(numpy, "ndarray");
  if (found == nullptr) PyErr_Clear();
  return type = reinterpret_cast<PyTypeObject*>(found);
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

// ---------------------------------------------------------------------------------------------------------------------
// Encoding.

// A call allocates nothing in the steady state: the encoder's storage is handed on from one to the next on this thread.
struct Storage {
  std::string scratch;
  Payload payload;
};
static thread_local Storage spare;

Encoder::Encoder() {
  scratch_.swap(spare.scratch);
  std::swap(payload_, spare.payload);
  scratch_.clear();
}

Encoder::~Encoder() {
  for (Py_buffer& buffer : buffers_) PyBuffer_Release(&buffer);
  for (PyObject* object : keep_) Py_DECREF(object);
  if (scratch_.capacity() < 65'536) spare.scratch.swap(scratch_);
  std::swap(payload_, spare.payload);
}

// `owner` is kept as long as the encoder: its bytes are copied without the GIL, and whoever else holds it, a list, may
// let go of it then.
void Encoder::bytes(PyObject* owner, const void* data, std::uint64_t size) {
  if (size >= kExternalBytes) {
    keep_.push_back(Py_NewRef(owner));
    externals_.push_back({scratch_.size(), data, size, 1});
    external_bytes_ += size;
  } else {
    scratch_.append(static_cast<const char*>(data), size);
  }
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
    tag('N');
  } else if (type == &PyBool_Type) {
    tag(object == Py_True ? 'T' : 'F');
  } else if (type == &PyLong_Type) {
    int overflow = 0;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) {
      done = false;
      return true;
    }
    tag('i');
    raw(static_cast<std::int64_t>(value));
  } else if (type == &PyFloat_Type) {
    tag('d');
    raw(PyFloat_AS_DOUBLE(object));
  } else if (type == &PyUnicode_Type) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(object, &size);
    if (text == nullptr) {  // lone surrogates: the pickler knows how
      PyErr_Clear();
      done = false;
      return true;
    }
    tag('s');
    raw(static_cast<std::uint64_t>(size));
    bytes(object, text, static_cast<std::uint64_t>(size));
  } else if (type == &PyBytes_Type) {
    tag('b');
    raw(static_cast<std::uint64_t>(PyBytes_GET_SIZE(object)));
    bytes(object, PyBytes_AS_STRING(object), static_cast<std::uint64_t>(PyBytes_GET_SIZE(object)));
  } else {
    done = false;
  }
  return true;
}

bool Encoder::flat_container(PyObject* object, bool& done) {
  PyTypeObject* type = Py_TYPE(object);
  bool list = type == &PyList_Type, tuple = type == &PyTuple_Type, dict = type == &PyDict_Type;
  done = false;
  Py_ssize_t count = list || tuple ? Py_SIZE(object) : dict ? PyDict_GET_SIZE(object) : -1;
  if (count < 0 || count > kFlatItems) return true;
  std::size_t mark = scratch_.size(), externals = externals_.size();
  std::uint64_t external_bytes = external_bytes_;
  tag(list ? 'l' : tuple ? 't' : 'm');
  raw(static_cast<std::uint32_t>(count));
  done = true;
  if (dict) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (done && PyDict_Next(object, &at, &key, &value)) {
      if (!scalar(key, done)) return false;
      if (done && !scalar(value, done)) return false;
    }
  } else {
    for (Py_ssize_t i = 0; i < count && done; ++i)
      if (!scalar(list ? PyList_GET_ITEM(object, i) : PyTuple_GET_ITEM(object, i), done)) return false;
  }
  if (!done) {
    scratch_.resize(mark);
    externals_.resize(externals);
    external_bytes_ = external_bytes;
  }
  return true;
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
  tag(list ? 'R' : 'Q');
  raw(static_cast<std::uint32_t>(nested_.size()));
  raw(static_cast<std::uint32_t>(count));
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
  if (!known_format(view.format) || view.ndim > 32) {
    PyBuffer_Release(&view);
    return true;
  }
  tag('n');
  tag(view.format[0]);
  tag(static_cast<char>(view.ndim));
  for (int i = 0; i < view.ndim; ++i) raw(static_cast<std::int64_t>(view.shape[i]));
  raw(static_cast<std::uint64_t>(view.len));
  externals_.push_back({scratch_.size(), view.buf, static_cast<std::uint64_t>(view.len), 64});
  external_bytes_ += static_cast<std::uint64_t>(view.len) + 64;
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
  if (pickle_refs_ == 0) {
    tag('p');
  } else {
    tag('P');
    raw(static_cast<std::uint32_t>(pickle_refs_));
  }
  std::uint64_t size = static_cast<std::uint64_t>(PyBytes_GET_SIZE(pickled.get()));
  Py_ssize_t count = PyList_GET_SIZE(list.get());
  raw(size);
  raw(static_cast<std::uint32_t>(count));
  std::size_t first = buffers_.size();
  for (Py_ssize_t i = 0; i < count; ++i) {
    Py_buffer view;
    if (PyObject_GetBuffer(PyList_GET_ITEM(list.get(), i), &view, PyBUF_SIMPLE) != 0) return false;
    buffers_.push_back(view);
    raw(static_cast<std::uint64_t>(view.len));
  }
  bytes(pickled.get(), PyBytes_AS_STRING(pickled.get()), size);
  for (Py_ssize_t i = 0; i < count; ++i) {
    const Py_buffer& view = buffers_[first + static_cast<std::size_t>(i)];
    externals_.push_back({scratch_.size(), view.buf, static_cast<std::uint64_t>(view.len), 64});
    external_bytes_ += static_cast<std::uint64_t>(view.len) + 64;
  }
  return true;
}

bool Encoder::item(PyObject* object) {
  bool done = false;
  if (!scalar(object, done)) return false;
  if (!done && !tensor(object, done)) return false;
  if (!done && !reference_list(object, done)) return false;
  if (!done && !flat_container(object, done)) return false;
  return done || pickle(object);
}

// A reference at top level is a dependency; a large argument becomes an object of its own, so that the task can have a
// view of it for as long as it likes.
bool Encoder::argument(PyObject* object) {
  if (is_object_ref(object)) {
    const Ref* ref = checked_ref(object, "a task");
    if (ref == nullptr) return false;
    tag('r');
    raw(static_cast<std::uint32_t>(deps_.size()));
    deps_.push_back(*ref);
    return true;
  }
  const std::size_t scratch = scratch_.size(), externals = externals_.size(), refs = nested_.size();
  const std::size_t buffers = buffers_.size(), keep = keep_.size();
  const std::uint64_t before = size_so_far();
  if (!item(object)) return false;
  return size_so_far() - before <= kLargeArgBytes || own_object(scratch, externals, refs, buffers, keep);
}

// What was written last, from these sizes on, becomes an object of its own, and a dependency. It is moved as it is: to
// pickle it again would call the user's code again.
bool Encoder::own_object(std::size_t scratch, std::size_t externals, std::size_t refs, std::size_t buffers,
                         std::size_t keep) {
  auto move_tail = [](auto& from, std::size_t at, auto& to) {
    to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(at), from.end());
    from.resize(at);
  };
  Encoder own;
  std::size_t cut = scratch;
  if (scratch_[scratch] == 'P') {  // its references are the first now
    own.tag('p');
    cut += 1 + sizeof(std::uint32_t);
  }
  const std::size_t shift = cut - own.scratch_.size();
  own.scratch_.append(scratch_, cut);
  scratch_.resize(scratch);
  move_tail(externals_, externals, own.externals_);
  move_tail(nested_, refs, own.nested_);
  move_tail(buffers_, buffers, own.buffers_);
  move_tail(keep_, keep, own.keep_);
  for (External& external : own.externals_) {
    external.at -= shift;
    external_bytes_ -= external.size + (external.align > 1 ? external.align : 0);
  }
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
  tag('r');
  raw(static_cast<std::uint32_t>(deps_.size()));
  deps_.push_back(*ref);
  return true;
}

bool Encoder::call(const char* method, Py_ssize_t method_size, PyObject* const* args, Py_ssize_t nargs,
                   PyObject* kwnames) {
  Py_ssize_t names = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (nargs + names > 0xffff) {
    PyErr_Format(PyExc_ValueError, "%zd arguments, at most %d are possible: pass a list", nargs + names, 0xffff);
    return false;
  }
  raw(static_cast<std::uint16_t>(nargs));
  raw(static_cast<std::uint16_t>(names));
  raw(static_cast<std::uint16_t>(method_size));
  scratch_.append(method == nullptr ? "" : method, static_cast<std::size_t>(method_size));
  bool done;
  for (Py_ssize_t i = 0; i < names; ++i)
    if (!scalar(PyTuple_GET_ITEM(kwnames, i), done)) return false;
  for (Py_ssize_t i = 0; i < nargs + names; ++i)
    if (!argument(args[i])) return false;
  return true;
}

const Payload& Encoder::finish(std::uint8_t codec) {
  payload_.pieces.clear();
  std::size_t at = 0;
  for (const External& external : externals_) {
    if (external.at > at) payload_.pieces.push_back({scratch_.data() + at, external.at - at, 1});
    payload_.pieces.push_back({external.data, external.size, external.align});
    at = external.at;
  }
  if (scratch_.size() > at || payload_.pieces.empty())
    payload_.pieces.push_back({scratch_.data() + at, scratch_.size() - at, 1});
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
    return Py_BuildValue("O(KII)", rebuild, static_cast<unsigned long long>(r->session), r->ref.index,
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
    return Py_BuildValue("O(KIIIO)", rebuild, static_cast<unsigned long long>(handle->session), handle->creation.index,
                         handle->creation.generation, handle->slot, handle->info);
  }
  PyObject* rebuild = python_object("serialization", "_actor_at");
  if (rebuild == nullptr) return nullptr;
  return Py_BuildValue("O(IIO)", rebuild, encoders.back()->nested(handle->creation, self), handle->slot, handle->info);
}

// ---------------------------------------------------------------------------------------------------------------------
// Decoding.

namespace {

// A read-only view of bytes in the segment that keeps their object alive.
struct SharedBytesObject {
  PyObject_HEAD std::uint64_t session;
  Ref ref;
  const std::byte* data;
  Py_ssize_t size;
};
PyTypeObject* shared_bytes_type = nullptr;

int shared_bytes_buffer(PyObject* object, Py_buffer* view, int flags) {
  auto* self = reinterpret_cast<SharedBytesObject*>(object);
  return PyBuffer_FillInfo(view, object, const_cast<std::byte*>(self->data), self->size, 1, flags);
}

void shared_bytes_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<SharedBytesObject*>(object);
  if (state().client != nullptr && self->session == state().session) state().client->process().release(self->ref);
  --state().views;
  PyTypeObject* type = Py_TYPE(object);
  PyObject_Free(object);
  Py_DECREF(type);
}

class Decoder {
 public:
  // `keep`: the object that the bytes belong to, for views; none: everything is copied.
  Decoder(Client& client, std::span<const std::byte> bytes, std::span<const Ref> refs, std::uint16_t deps,
          const Ref* keep)
      : client_(client), bytes_(bytes), refs_(refs), deps_(deps), keep_(keep) {}

  template <typename T>
  T raw() {
    T value{};
    if (at_ + sizeof value > bytes_.size()) {
      bad_ = true;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  const char* take(std::uint64_t size, std::uint64_t align = 1) {
    std::uint64_t start = (at_ + align - 1) / align * align;
    if (bad_ || start > bytes_.size() || size > bytes_.size() - start) {
      bad_ = true;
      return nullptr;
    }
    at_ = start + size;
    return reinterpret_cast<const char*>(bytes_.data() + start);
  }

  PyObject* item() {
    char tag = raw<char>();
    switch (bad_ ? 0 : tag) {
      case 'N': Py_RETURN_NONE;
      case 'T': Py_RETURN_TRUE;
      case 'F': Py_RETURN_FALSE;
      case 'i': return PyLong_FromLongLong(raw<std::int64_t>());
      case 'd': return PyFloat_FromDouble(raw<double>());
      case 's': {
        std::uint64_t size = raw<std::uint64_t>();
        const char* text = take(size);
        return text == nullptr ? corrupt() : PyUnicode_DecodeUTF8(text, static_cast<Py_ssize_t>(size), nullptr);
      }
      case 'b': {
        std::uint64_t size = raw<std::uint64_t>();
        const char* data = take(size);
        return data == nullptr ? corrupt() : PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(size));
      }
      case 'l':
      case 't': return sequence(tag == 'l');
      case 'm': return dict();
      case 'R':
      case 'Q': return references(tag == 'R');
      case 'n': return tensor();
      case 'p': return pickled(0);
      case 'P': return pickled(raw<std::uint32_t>());
      default: return corrupt();
    }
  }

  // As item(), but 'r' is a dependency's value.
  PyObject* argument(Ref& failed, bool& dependency_failed) {
    if (at_ < bytes_.size() && static_cast<char>(bytes_[at_]) == 'r') {
      ++at_;
      std::uint32_t i = raw<std::uint32_t>();
      if (bad_ || i >= deps_) return corrupt();
      if (client_.process().settled(refs_[i].index).phase() == Phase::kError) {
        failed = refs_[i];
        dependency_failed = true;
        return nullptr;
      }
      return decode_object(client_, refs_[i]);
    }
    return item();
  }

  PyObject* corrupt() {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "an object in the store is damaged");
    return nullptr;
  }

 private:
  PyObject* sequence(bool list) {
    std::uint32_t count = raw<std::uint32_t>();
    if (bad_ || count > bytes_.size()) return corrupt();
    Owned result(list ? PyList_New(count) : PyTuple_New(count));
    for (std::uint32_t i = 0; result && i < count; ++i) {
      PyObject* element = item();
      if (element == nullptr) return nullptr;
      if (list)
        PyList_SET_ITEM(result.get(), i, element);
      else
        PyTuple_SET_ITEM(result.get(), i, element);
    }
    return result.release();
  }

  PyObject* dict() {
    std::uint32_t count = raw<std::uint32_t>();
    if (bad_ || count > bytes_.size()) return corrupt();
    Owned result(PyDict_New());
    for (std::uint32_t i = 0; result && i < count; ++i) {
      Owned key(item());
      if (!key) return nullptr;
      Owned value(item());
      if (!value || PyDict_SetItem(result.get(), key.get(), value.get()) != 0) return nullptr;
    }
    return result.release();
  }

  PyObject* references(bool list) {
    std::uint32_t first = raw<std::uint32_t>() + deps_, count = raw<std::uint32_t>();
    if (bad_ || std::uint64_t{first} + count > refs_.size()) return corrupt();
    Owned result(list ? PyList_New(count) : PyTuple_New(count));
    for (std::uint32_t i = 0; result && i < count; ++i) {
      client_.process().hold(refs_[first + i]);
      PyObject* ref = make_object_ref(refs_[first + i]);
      if (ref == nullptr) return nullptr;
      if (list)
        PyList_SET_ITEM(result.get(), i, ref);
      else
        PyTuple_SET_ITEM(result.get(), i, ref);
    }
    return result.release();
  }

  // Bytes as a Python object with a read-only buffer: a view where the object can be kept, a copy where not.
  PyObject* buffer(std::uint64_t size) {
    const char* data = take(size, 64);
    if (data == nullptr) return corrupt();
    if (keep_ == nullptr || size < kZeroCopyBytes)
      return PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(size));
    auto* view = PyObject_New(SharedBytesObject, shared_bytes_type);
    if (view == nullptr) return nullptr;
    client_.process().hold(*keep_);
    ++state().views;
    view->session = state().session;
    view->ref = *keep_;
    view->data = reinterpret_cast<const std::byte*>(data);
    view->size = static_cast<Py_ssize_t>(size);
    return reinterpret_cast<PyObject*>(view);
  }

  PyObject* tensor() {
    char format = raw<char>();
    unsigned char rank = raw<unsigned char>();
    if (bad_ || rank > 32) return corrupt();
    Owned shape(PyTuple_New(rank));
    if (!shape) return nullptr;
    for (int i = 0; i < rank; ++i) PyTuple_SET_ITEM(shape.get(), i, PyLong_FromLongLong(raw<std::int64_t>()));
    std::uint64_t size = raw<std::uint64_t>();
    PyObject* dtype = dtype_of(format);
    if (dtype == nullptr) return nullptr;
    Owned data(buffer(size));
    if (!data) return nullptr;
    PyTypeObject* type = ndarray_type();
    if (type == nullptr) return corrupt();
    PyObject* arguments[] = {shape.get(), dtype, data.get()};
    return PyObject_Vectorcall(reinterpret_cast<PyObject*>(type), arguments, 3, nullptr);
  }

  // `first`: which of the contained references is the pickle's first.
  PyObject* pickled(std::uint32_t first) {
    if (bad_ || std::uint64_t{first} + deps_ > refs_.size()) return corrupt();
    std::uint64_t size = raw<std::uint64_t>();
    std::uint32_t count = raw<std::uint32_t>();
    if (bad_ || std::uint64_t{count} * 8 > bytes_.size()) return corrupt();
    std::vector<std::uint64_t> sizes(count);
    for (std::uint64_t& s : sizes) s = raw<std::uint64_t>();
    const char* text = take(size);
    if (text == nullptr) return corrupt();
    Owned view(PyMemoryView_FromMemory(const_cast<char*>(text), static_cast<Py_ssize_t>(size), PyBUF_READ));
    Owned buffers(PyList_New(count));
    if (!view || !buffers) return nullptr;
    for (std::uint32_t i = 0; i < count; ++i) {
      PyObject* data = buffer(sizes[i]);
      if (data == nullptr) return nullptr;
      PyList_SET_ITEM(buffers.get(), i, data);
    }
    static PyObject* names = Py_BuildValue("(s)", "buffers");
    PyObject* arguments[] = {view.get(), buffers.get()};
    decodings.push_back({&client_, refs_.subspan(deps_ + first)});
    PyObject* result = PyObject_Vectorcall(loads(), arguments, 1, names);
    decodings.pop_back();
    return result;
  }

  Client& client_;
  std::span<const std::byte> bytes_;
  std::span<const Ref> refs_;
  std::uint16_t deps_;
  const Ref* keep_;
  std::uint64_t at_ = 0;
  bool bad_ = false;
};

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

PyObject* ref_from_bytes(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3 || state().client == nullptr || PyLong_AsUnsignedLongLong(args[0]) != state().session) {
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

PyObject* decode_object(Client& client, Ref ref) {
  Process& p = client.process();
  if (p.settled(ref.index).phase() == Phase::kError) {
    raise_object_error(client, ref);
    return nullptr;
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
  Decoder decoder(client, p.value(ref.index), p.value_refs(ref.index), e.value.deps, nullptr);
  decoder.take(6);  // two arguments, no names, no method
  Ref failed;
  bool dependency_failed = false;
  Owned world(decoder.argument(failed, dependency_failed));
  Owned entered(world ? PyObject_CallOneArg(enter_world, world.get()) : nullptr);
  return entered ? decoder.argument(failed, dependency_failed) : nullptr;
}

PyObject* decode_blob(std::span<const std::byte> bytes, std::span<const Ref> refs, std::uint16_t deps, Client& client) {
  Decoder decoder(client, bytes, refs, deps, nullptr);
  return decoder.item();
}

bool decode_call(Client& client, std::uint32_t index, std::string& method, std::vector<PyObject*>& values,
                 PyObject*& kwnames, Py_ssize_t& positional, Ref& failed, bool& dependency_failed) {
  Process& p = client.process();
  Entry& e = p.entry(index);
  Decoder decoder(client, p.args(index), p.args_refs(index), e.args.where == kNowhere ? 0 : e.args.deps, nullptr);
  positional = decoder.raw<std::uint16_t>();
  Py_ssize_t names = decoder.raw<std::uint16_t>();
  std::uint16_t method_size = decoder.raw<std::uint16_t>();
  const char* text = decoder.take(method_size);
  if (text == nullptr && method_size > 0) return decoder.corrupt() != nullptr;
  method.assign(text == nullptr ? "" : text, method_size);
  kwnames = nullptr;
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
    auto text = p.value(ref.index);
    payload = Owned(PyUnicode_DecodeUTF8(reinterpret_cast<const char*>(text.data()),
                                         static_cast<Py_ssize_t>(text.size()), "replace"));
  }
  if (!payload) return;
  Owned exception(PyObject_CallFunction(make, "iO", static_cast<int>(e.error), payload.get()));
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
}

bool init_codec(PyObject* module) {
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
      {"_ref_from_bytes", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(ref_from_bytes)), METH_FASTCALL,
       nullptr},
      {"_actor_at", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_at)), METH_FASTCALL, nullptr},
      {"_actor_from_bytes", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_from_bytes)),
       METH_FASTCALL, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace daybreak::runtime::python
