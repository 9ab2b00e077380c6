// ObjectRef: a reference that this process holds, as a Python object. And the state that all of the binding shares.
#include <unistd.h>

#include <cstdio>

#include "daybreak/runtime/python/common.h"
#include "daybreak/runtime/python/worker.h"

namespace daybreak::runtime::python {

PyTypeObject* object_ref_type = nullptr;

State& state() {
  static State* the_state = new State;  // outlives the interpreter: references may be dropped very late
  return *the_state;
}

PyObject* python_object(const char* module, const char* name) {
  static PyObject* cache = PyDict_New();
  std::string key = std::string(module) + "." + name;
  if (PyObject* known = PyDict_GetItemString(cache, key.c_str())) return known;
  Owned imported(PyImport_ImportModule((std::string("daybreak.runtime.") + module).c_str()));
  if (!imported) return nullptr;
  Owned object(PyObject_GetAttrString(imported.get(), name));
  if (!object) return nullptr;
  PyDict_SetItemString(cache, key.c_str(), object.get());
  return object.get();
}

Client* client_or_init() {
  if (state().client != nullptr) return state().client;
  if (is_fork_of_task() && state().engine == nullptr) {
    PyErr_Format(
        PyExc_RuntimeError,
        "process %d is a child that a task has forked, and the runtime is its parent's: call daybreak there, or "
        "init() here for a runtime of the child's own",
        static_cast<int>(getpid()));
    return nullptr;
  }
  PyObject* start = python_object("session", "_auto_init");
  if (start == nullptr) return nullptr;
  Owned result(PyObject_CallNoArgs(start));
  if (!result) return nullptr;
  if (state().client == nullptr) PyErr_SetString(PyExc_RuntimeError, "the runtime did not start");
  return state().client;
}

std::uint64_t engine_session() {
  return state().client == nullptr ? 0 : state().client->process().control().session;
}

void raise(const base::Error& error) {
  PyObject* make = python_object("exceptions", "_from_native");
  if (make == nullptr) return;
  std::string text = error.to_string();
  if (error.code() == base::Code::kResourceExhausted && state().client != nullptr)
    if (std::string holders = state().client->largest_holders(5); !holders.empty())
      text += ". The largest objects are:" + holders +
              "\nDrop references to some (del), or give init() a larger object_store_memory.";
  Owned exception(PyObject_CallFunction(make, "is", static_cast<int>(error.code()), text.c_str()));
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
}

bool is_object_ref(PyObject* object) {
  return Py_TYPE(object) == object_ref_type;
}

PyObject* make_object_ref(Ref ref) {
  auto* self = PyObject_New(ObjectRefObject, object_ref_type);
  if (self == nullptr) return nullptr;
  self->session = state().session;
  self->ref = ref;
  return reinterpret_cast<PyObject*>(self);
}

const Ref* checked_ref(PyObject* object, const char* verb) {
  if (!is_object_ref(object)) {
    PyErr_Format(PyExc_TypeError, "%s takes an ObjectRef or a list of them, not %.200s %.200R", verb,
                 Py_TYPE(object)->tp_name, object);
    return nullptr;
  }
  auto* self = reinterpret_cast<ObjectRefObject*>(object);
  if (self->session != state().session) {
    PyErr_Format(PyExc_ValueError,
                 "%s was given a reference of a runtime that has been shut down: submit the task again after init()",
                 verb);
    return nullptr;
  }
  return &self->ref;
}

namespace {

void ref_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<ObjectRefObject*>(object);
  if (state().client != nullptr && self->session == state().session) state().client->process().release(self->ref);
  PyTypeObject* type = Py_TYPE(object);
  PyObject_Free(object);
  Py_DECREF(type);
}

Py_hash_t ref_hash(PyObject* object) {
  auto* self = reinterpret_cast<ObjectRefObject*>(object);
  auto hash = static_cast<Py_hash_t>(
      (std::uint64_t{self->ref.generation} << 20 ^ self->ref.index) * 0x9e3779b97f4a7c15ull >> 1);
  return hash == -1 ? -2 : hash;
}

PyObject* ref_compare(PyObject* a, PyObject* b, int op) {
  if ((op != Py_EQ && op != Py_NE) || !is_object_ref(a) || !is_object_ref(b)) Py_RETURN_NOTIMPLEMENTED;
  auto* x = reinterpret_cast<ObjectRefObject*>(a);
  auto* y = reinterpret_cast<ObjectRefObject*>(b);
  bool equal = x->ref == y->ref && x->session == y->session;
  return PyBool_FromLong(equal == (op == Py_EQ));
}

std::string hex_of(PyObject* object) {
  auto* self = reinterpret_cast<ObjectRefObject*>(object);
  const std::uint64_t session = self->session == state().session ? engine_session() : self->session;
  return fmt::format("{:016x}{:08x}{:08x}", session, self->ref.generation, self->ref.index);
}

PyObject* ref_hex(PyObject* self, PyObject*) {
  return PyUnicode_FromString(hex_of(self).c_str());
}

PyObject* ref_binary(PyObject* self, PyObject*) {
  auto* r = reinterpret_cast<ObjectRefObject*>(self);
  std::uint64_t parts[2] = {r->session, (std::uint64_t{r->ref.generation} << 32) | r->ref.index};
  return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(parts), sizeof parts);
}

// No object: what a generator gives when its next item is not there in time.
PyObject* ref_nil(PyObject*, PyObject*) {
  auto* self = PyObject_New(ObjectRefObject, object_ref_type);
  if (self == nullptr) return nullptr;
  self->session = 0;
  self->ref = kNoRef;
  return reinterpret_cast<PyObject*>(self);
}

PyObject* ref_is_nil(PyObject* object, PyObject*) {
  return PyBool_FromLong(reinterpret_cast<ObjectRefObject*>(object)->ref == kNoRef);
}

PyObject* id_of(const char* maker, const std::string& text) {
  PyObject* make = python_object("ids", maker);
  return make == nullptr ? nullptr : PyObject_CallFunction(make, "s", text.c_str());
}

PyObject* ref_task_id(PyObject* object, PyObject*) {
  const Ref* ref = checked_ref(object, "task_id()");
  if (ref == nullptr) return nullptr;
  Entry& e = state().client->process().entry(ref->index);
  const Ref task = e.kind == Kind::kReturn ? e.part.task_now() : *ref;
  return id_of("task_of", fmt::format("{:016x}{:08x}{:08x}", engine_session(), task.generation, task.index));
}

PyObject* ref_job_id(PyObject* object, PyObject*) {
  const std::uint64_t session = reinterpret_cast<ObjectRefObject*>(object)->session;
  return id_of("job_of", fmt::format("{:016x}", session == state().session ? engine_session() : session));
}

PyObject* ref_as_future(PyObject* self, PyObject*) {
  PyObject* make = python_object("futures", "asyncio_future_of");
  return make == nullptr ? nullptr : PyObject_CallOneArg(make, self);
}

PyObject* ref_on_completed(PyObject* self, PyObject* callback) {
  PyObject* call = python_object("futures", "call_when_done");
  return call == nullptr ? nullptr : PyObject_CallFunctionObjArgs(call, self, callback, nullptr);
}

PyObject* ref_repr(PyObject* self) {
  return PyUnicode_FromFormat("ObjectRef(%s)", hex_of(self).c_str());
}

PyObject* ref_new(PyTypeObject*, PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "an ObjectRef comes from put() and from .remote(), it is not made by hand");
  return nullptr;
}

PyObject* ref_future(PyObject* self, PyObject*) {
  PyObject* make = python_object("futures", "future_of");
  return make == nullptr ? nullptr : PyObject_CallOneArg(make, self);
}

// A reference is a value that never changes: its copy is itself, and no second hold.
PyObject* itself(PyObject* self, PyObject*) {
  return Py_NewRef(self);
}

PyObject* ref_await(PyObject* self) {
  PyObject* make = python_object("futures", "await_ref");
  return make == nullptr ? nullptr : PyObject_CallOneArg(make, self);
}

}  // namespace

PyObject* reduce_reference(PyObject* self, PyObject*);  // encoder.cc

bool init_refs(PyObject* module) {
  static PyMethodDef methods[] = {
      {"hex", ref_hex, METH_NOARGS, "The reference as 32 hexadecimal digits, unique in all sessions."},
      {"binary", ref_binary, METH_NOARGS, "The reference as 16 bytes, unique in all sessions."},
      {"future", ref_future, METH_NOARGS, "A concurrent.futures.Future that gets the value or the exception."},
      {"as_future", ref_as_future, METH_NOARGS,
       "An asyncio.Future of the running loop for the value or the exception."},
      {"task_id", ref_task_id, METH_NOARGS, "Of the task that makes the object."},
      {"job_id", ref_job_id, METH_NOARGS, "Of the session."},
      {"nil", ref_nil, METH_NOARGS | METH_STATIC, "A reference to no object."},
      {"is_nil", ref_is_nil, METH_NOARGS, "Whether it is a reference to no object."},
      {"_on_completed", ref_on_completed, METH_O, nullptr},
      {"__copy__", itself, METH_NOARGS, nullptr},
      {"__deepcopy__", itself, METH_O, nullptr},
      {"__reduce__", reduce_reference, METH_NOARGS, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(ref_dealloc)},
                                {Py_tp_hash, reinterpret_cast<void*>(ref_hash)},
                                {Py_tp_richcompare, reinterpret_cast<void*>(ref_compare)},
                                {Py_tp_repr, reinterpret_cast<void*>(ref_repr)},
                                {Py_tp_new, reinterpret_cast<void*>(ref_new)},
                                {Py_am_await, reinterpret_cast<void*>(ref_await)},
                                {Py_tp_methods, methods},
                                {Py_tp_doc, const_cast<char*>("A reference to a value that exists or will exist.")},
                                {0, nullptr}};
  static PyType_Spec spec = {"daybreak.ObjectRef", sizeof(ObjectRefObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots};
  object_ref_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return object_ref_type != nullptr &&
         PyModule_AddObjectRef(module, "ObjectRef", reinterpret_cast<PyObject*>(object_ref_type)) == 0;
}

}  // namespace daybreak::runtime::python
