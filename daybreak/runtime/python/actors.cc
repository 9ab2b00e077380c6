// Actors' handles and their methods.
#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "daybreak/runtime/python/calls.h"

namespace daybreak::runtime::python {

PyTypeObject* actor_handle_type = nullptr;
PyObject* reduce_actor(PyObject* self, PyObject*);  // encoder.cc

namespace {

// How a method is called: numbers of actors.py, in this order, where they are not the class's plain ones.
struct MethodOptions {
  int num_returns = 1;
  int group = 0;
  int max_retries = kActorsRetries;
  int retry_exceptions = 0;
  int window = 0;
  int least = 0, most = -1;                  // positional arguments of a call without names; most: -1 is not known
  static constexpr int kActorsRetries = -2;  // as many as the actor says
};

struct ActorMethodObject {
  PyObject_HEAD PyObject* handle;
  PyObject* name;
  PyObject* said;  // a dict of what goes along with each call (`said_of_call`), or null
  MethodOptions options;
};
PyTypeObject* actor_method_type = nullptr;

PyObject* make_actor_method(PyObject* handle, PyObject* name, const MethodOptions& options, PyObject* said = nullptr) {
  auto* self = PyObject_New(ActorMethodObject, actor_method_type);
  if (self == nullptr) return nullptr;
  self->handle = Py_NewRef(handle);
  self->name = Py_NewRef(name);
  self->said = Py_XNewRef(said);
  self->options = options;
  return reinterpret_cast<PyObject*>(self);
}

// Of a number, as actors.py packs num_returns and how many arguments fit, or a list of them all; false with an exception
// set.
bool method_options_of(PyObject* object, MethodOptions& options) {
  if (PyLong_Check(object)) {
    const long packed = PyLong_AsLong(object);
    options.num_returns = static_cast<std::int16_t>(packed & 0xffff);
    options.least = static_cast<int>(packed >> 16 & 0xff);
    options.most = static_cast<int>(packed >> 24) - 1;
    return !PyErr_Occurred();
  }
  Owned tuple(PySequence_Tuple(object));
  return tuple && PyArg_ParseTuple(tuple.get(), "iiiiiii", &options.num_returns, &options.group, &options.max_retries,
                                   &options.retry_exceptions, &options.window, &options.least, &options.most);
}

void actor_method_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<ActorMethodObject*>(object);
  PyTypeObject* type = Py_TYPE(object);
  Py_DECREF(self->handle);
  Py_DECREF(self->name);
  Py_XDECREF(self->said);
  PyObject_Free(object);
  Py_DECREF(type);
}

// The arguments of a call, and after them, by a name of its own, what `.options(...)` said of it.
bool encode_call_and_said(Encoder& encoder, const ActorMethodObject* self, std::string_view name, PyObject* const* args,
                          Py_ssize_t nargs, PyObject* kwnames) {
  const Py_ssize_t names = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  std::vector<PyObject*> values(args, args + nargs + names);
  values.push_back(self->said);
  Owned more(PyTuple_New(names + 1));
  if (!more) return false;
  for (Py_ssize_t i = 0; i < names; ++i) PyTuple_SET_ITEM(more.get(), i, Py_NewRef(PyTuple_GET_ITEM(kwnames, i)));
  PyTuple_SET_ITEM(more.get(), names, Py_NewRef(said_name()));
  return encoder.call(name.data(), static_cast<Py_ssize_t>(name.size()), values.data(), nargs, more.get());
}

// The calls of this process that an actor with max_pending_calls has not ended, by slot. Guarded by the GIL.
std::unordered_map<std::uint32_t, std::vector<Ref>> pending_calls;

// False with an exception set: so many are pending already.
bool may_call(Client& client, ActorHandleObject* handle, long limit, std::size_t results) {
  std::vector<Ref>& pending = pending_calls[handle->slot];
  if (pending.size() + 1 > static_cast<std::size_t>(limit))
    std::erase_if(pending, [&](Ref ref) {
      const auto s = client.process().entry(ref.index).load();
      return s.generation() != ref.generation || s.done();
    });
  if (pending.size() < static_cast<std::size_t>(limit) || results == 0) return true;
  if (PyObject* type = python_object("exceptions", "PendingCallsLimitExceeded"); type != nullptr)
    PyErr_Format(
        type, "actor %U has %zu calls of this process that are not done, max_pending_calls=%ld: wait for some of them",
        PyDict_GetItemString(handle->info, "class_name"), pending.size(), limit);
  return false;
}

// Whether a call with so many arguments fits the method; false with a TypeError set. What has names is looked at where it
// arrives.
bool fits_method(const ActorMethodObject* self, Py_ssize_t nargs, PyObject* kwnames) {
  const MethodOptions& o = self->options;
  if (o.most < 0 || (nargs <= o.most && (nargs >= o.least || kwnames != nullptr))) return true;
  PyObject* info = reinterpret_cast<ActorHandleObject*>(self->handle)->info;
  const char* problem = nargs < o.least ? "missing a required argument" : "too many positional arguments";
  PyErr_Format(PyExc_TypeError, "%U.%U.remote(): %s: it takes %d to %d, %zd given",
               PyDict_GetItemString(info, "class_name"), self->name, problem, o.least, o.most, nargs);
  return false;
}

PyObject* actor_method_remote(PyObject* object, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  auto* self = reinterpret_cast<ActorMethodObject*>(object);
  auto* handle = reinterpret_cast<ActorHandleObject*>(self->handle);
  Client* client = state().client;
  if (client == nullptr || handle->session != state().session) {
    PyErr_SetString(PyExc_ValueError,
                    "this actor handle belongs to a runtime that has been shut down: create the actor again");
    return nullptr;
  }
  Py_ssize_t size = 0;
  const char* name = PyUnicode_AsUTF8AndSize(self->name, &size);
  if (name == nullptr || !fits_method(self, nargs, kwnames)) return nullptr;
  Encoder encoder;
  if (self->said == nullptr
          ? !encoder.call(name, size, args, nargs, kwnames)
          : !encode_call_and_said(encoder, self, {name, static_cast<std::size_t>(size)}, args, nargs, kwnames))
    return nullptr;
  const MethodOptions& options = self->options;
  TaskSpec spec{
      .kind = Kind::kActorCall,
      .actor = handle->slot,
      .group = static_cast<std::uint32_t>(options.group),
      .max_retries = static_cast<std::int16_t>(options.max_retries != MethodOptions::kActorsRetries
                                                   ? options.max_retries
                                                   : client->process().control().actor[handle->slot].max_task_retries),
      .options = options.retry_exceptions != 0 ? kRetryExceptions : std::uint8_t{0},
      .window = static_cast<std::uint16_t>(options.window)};
  set_num_returns(spec, options.num_returns);
  if (handle->max_pending_calls <= 0) return submit_encoded(*client, spec, encoder.finish(kCodecArgs));
  if (!may_call(*client, handle, handle->max_pending_calls, spec.num_returns)) return nullptr;
  PyObject* result = submit_encoded(*client, spec, encoder.finish(kCodecArgs));
  PyObject* first = result != nullptr && PyList_Check(result) ? PyList_GET_ITEM(result, 0) : result;
  if (first != nullptr && is_object_ref(first))
    pending_calls[handle->slot].push_back(reinterpret_cast<ObjectRefObject*>(first)->ref);
  return result;
}

PyObject* options_list(const MethodOptions& o) {
  return Py_BuildValue("[iiiiiii]", o.num_returns, o.group, o.max_retries, o.retry_exceptions, o.window, o.least,
                       o.most);
}

PyObject* actor_method_options(PyObject* object, PyObject* args, PyObject* kwargs) {
  auto* self = reinterpret_cast<ActorMethodObject*>(object);
  if (PyTuple_GET_SIZE(args) != 0)
    return PyErr_Format(PyExc_TypeError, "options() takes options as keywords, e.g. num_returns=2");
  PyObject* change = python_object("actors", "_changed_method_options");
  Owned now(options_list(self->options)), given(kwargs == nullptr ? PyDict_New() : Py_NewRef(kwargs));
  if (change == nullptr || !now || !given) return nullptr;
  Owned changed(PyObject_CallFunction(change, "OOOO", reinterpret_cast<ActorHandleObject*>(self->handle)->info,
                                      now.get(), given.get(), self->said == nullptr ? Py_None : self->said));
  PyObject *list, *said;
  MethodOptions options;
  if (!changed || !PyArg_ParseTuple(changed.get(), "OO", &list, &said) || !method_options_of(list, options))
    return nullptr;
  return make_actor_method(self->handle, self->name, options, said == Py_None ? nullptr : said);
}

// A method that is pickled is its handle's, with the same options.
PyObject* actor_method_reduce(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<ActorMethodObject*>(object);
  PyObject* rebuild = python_object("actors", "_method_of");
  Owned options(options_list(self->options));
  if (rebuild == nullptr || !options) return nullptr;
  return Py_BuildValue("O(OOOO)", rebuild, self->handle, self->name, options.get(),
                       self->said == nullptr ? Py_None : self->said);
}

// _actor_method(handle, name, options, said or None)
PyObject* actor_method(PyObject*, PyObject* args) {
  PyObject *handle, *name, *list, *said;
  MethodOptions options;
  if (!PyArg_ParseTuple(args, "O!UOO", actor_handle_type, &handle, &name, &list, &said) ||
      !method_options_of(list, options))
    return nullptr;
  return make_actor_method(handle, name, options, said == Py_None ? nullptr : said);
}

// `options(**options).remote(*args, **kwargs)`, in Ray's older form.
PyObject* actor_method_old_remote(PyObject* object, PyObject* args, PyObject* kwargs) {
  PyObject* call = python_object("actors", "_call_method");
  Owned bound(call == nullptr ? nullptr : PyMethod_New(call, object));
  return bound ? PyObject_Call(bound.get(), args, kwargs) : nullptr;
}

PyObject* actor_method_bind(PyObject* object, PyObject*, PyObject*) {
  auto* self = reinterpret_cast<ActorMethodObject*>(object);
  return PyErr_Format(PyExc_NotImplementedError,
                      "%U.bind(): graphs of calls are not supported; call it with .remote(), whose references may be "
                      "arguments of other calls",
                      self->name);
}

PyObject* actor_method_call(PyObject* object, PyObject*, PyObject*) {
  auto* self = reinterpret_cast<ActorMethodObject*>(object);
  return PyErr_Format(PyExc_TypeError, "methods of actors are not called directly: use handle.%U.remote()", self->name);
}

PyObject* handle_getattro(PyObject* object, PyObject* name) {
  auto* self = reinterpret_cast<ActorHandleObject*>(object);
  static PyObject* methods_key = PyUnicode_InternFromString("methods");
  PyObject* methods = PyDict_GetItemWithError(self->info, methods_key);
  if (methods != nullptr) {
    if (PyObject* how = PyDict_GetItemWithError(methods, name); how != nullptr) {
      MethodOptions options;
      return method_options_of(how, options) ? make_actor_method(object, name, options) : nullptr;
    }
  }
  if (PyErr_Occurred()) return nullptr;
  PyObject* found = PyObject_GenericGetAttr(object, name);
  if (found == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError))
    PyErr_Format(PyExc_AttributeError, "actor %U has no method %R", PyDict_GetItemString(self->info, "class_name"),
                 name);
  return found;
}

void handle_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<ActorHandleObject*>(object);
  if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  if (state().client != nullptr && self->session == state().session) state().client->process().release(self->creation);
  PyTypeObject* type = Py_TYPE(object);
  Py_DECREF(self->info);
  PyObject_Free(object);
  Py_DECREF(type);
}

Py_hash_t handle_hash(PyObject* object) {
  auto* self = reinterpret_cast<ActorHandleObject*>(object);
  return static_cast<Py_hash_t>((std::uint64_t{self->creation.generation} << 20 ^ self->creation.index) &
                                0x7fffffffffffffff);
}

PyObject* handle_compare(PyObject* a, PyObject* b, int op) {
  if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != actor_handle_type || Py_TYPE(b) != actor_handle_type)
    Py_RETURN_NOTIMPLEMENTED;
  auto* x = reinterpret_cast<ActorHandleObject*>(a);
  auto* y = reinterpret_cast<ActorHandleObject*>(b);
  bool equal = x->creation == y->creation && x->session == y->session;
  return PyBool_FromLong(equal == (op == Py_EQ));
}

PyObject* handle_repr(PyObject* object) {
  auto* self = reinterpret_cast<ActorHandleObject*>(object);
  return PyUnicode_FromFormat("Actor(%U, %08x%08x)", PyDict_GetItemString(self->info, "class_name"),
                              self->creation.generation, self->creation.index);
}

// Its methods, for people who complete names.
PyObject* handle_dir(PyObject* object, PyObject*) {
  PyObject* methods = PyDict_GetItemString(reinterpret_cast<ActorHandleObject*>(object)->info, "methods");
  PyObject* names = methods == nullptr ? PyList_New(0) : PyDict_Keys(methods);
  Owned init(PyUnicode_FromString("__init__"));
  if (names == nullptr || !init || PyList_Append(names, init.get()) != 0) Py_CLEAR(names);
  return names;
}

PyObject* handle_itself(PyObject* object, PyObject*) {
  return Py_NewRef(object);
}

PyObject* handle_id(PyObject* object, void*) {
  auto* self = reinterpret_cast<ActorHandleObject*>(object);
  PyObject* make = python_object("ids", "actor_of_handle");
  return make == nullptr ? nullptr : PyObject_CallFunction(make, "II", self->creation.generation, self->creation.index);
}

PyObject* handle_slot(PyObject* object, void*) {
  return PyLong_FromUnsignedLong(reinterpret_cast<ActorHandleObject*>(object)->slot);
}
PyObject* handle_info(PyObject* object, void*) {
  return Py_NewRef(reinterpret_cast<ActorHandleObject*>(object)->info);
}

PyTypeObject* add_type(PyObject* module, PyType_Spec* spec, const char* name) {
  PyObject* type = PyType_FromSpec(spec);
  if (type == nullptr || PyModule_AddObjectRef(module, name, type) != 0) return nullptr;
  return reinterpret_cast<PyTypeObject*>(type);
}

bool init_method_type(PyObject* module) {
  static PyMethodDef method_methods[] = {
      {"remote", fastcall(actor_method_remote), METH_FASTCALL | METH_KEYWORDS,
       "remote(*args, **kwargs)\n--\n\nSubmits a call to the actor; returns an ObjectRef at once."},
      {"options", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_method_options)),
       METH_VARARGS | METH_KEYWORDS,
       "options(*, num_returns, name, concurrency_group, max_task_retries, retry_exceptions)\n--\n\n"
       "The same method, called in another way."},
      {"_remote", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_method_old_remote)),
       METH_VARARGS | METH_KEYWORDS, nullptr},
      {"bind", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(actor_method_bind)),
       METH_VARARGS | METH_KEYWORDS, nullptr},
      {"__reduce__", actor_method_reduce, METH_NOARGS, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot method_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(actor_method_dealloc)},
                                       {Py_tp_call, reinterpret_cast<void*>(actor_method_call)},
                                       {Py_tp_methods, method_methods},
                                       {0, nullptr}};
  static PyType_Spec method_spec = {"daybreak.ActorMethod", sizeof(ActorMethodObject), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, method_slots};
  actor_method_type = add_type(module, &method_spec, "ActorMethod");
  return actor_method_type != nullptr;
}

bool init_handle_type(PyObject* module) {
  static PyMethodDef handle_methods[] = {{"__copy__", handle_itself, METH_NOARGS, nullptr},
                                         {"__deepcopy__", handle_itself, METH_O, nullptr},
                                         {"__dir__", handle_dir, METH_NOARGS, nullptr},
                                         {"__reduce__", reduce_actor, METH_NOARGS, nullptr},
                                         {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef handle_getset[] = {{"_actor_id", handle_id, nullptr, "an ActorID", nullptr},
                                        {"_ray_actor_id", handle_id, nullptr, "the same, as Ray has it", nullptr},
                                        {"_slot", handle_slot, nullptr, nullptr, nullptr},
                                        {"_info", handle_info, nullptr, nullptr, nullptr},
                                        {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMemberDef handle_members[] = {
      {"__weaklistoffset__", T_PYSSIZET, offsetof(ActorHandleObject, weakrefs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyType_Slot handle_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
                                       {Py_tp_getattro, reinterpret_cast<void*>(handle_getattro)},
                                       {Py_tp_hash, reinterpret_cast<void*>(handle_hash)},
                                       {Py_tp_richcompare, reinterpret_cast<void*>(handle_compare)},
                                       {Py_tp_repr, reinterpret_cast<void*>(handle_repr)},
                                       {Py_tp_methods, handle_methods},
                                       {Py_tp_getset, handle_getset},
                                       {Py_tp_members, handle_members},
                                       {0, nullptr}};
  static PyType_Spec handle_spec = {"daybreak.ActorHandle", sizeof(ActorHandleObject), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, handle_slots};
  actor_handle_type = add_type(module, &handle_spec, "ActorHandle");
  return actor_handle_type != nullptr;
}

}  // namespace

PyObject* make_actor_handle(Ref creation, std::uint32_t slot, PyObject* info) {
  auto* self = PyObject_New(ActorHandleObject, actor_handle_type);
  if (self == nullptr) return nullptr;
  self->session = state().session;
  self->creation = creation;
  self->slot = slot;
  self->info = Py_NewRef(info);
  self->weakrefs = nullptr;
  PyObject* limit = PyDict_GetItemString(info, "max_pending_calls");
  self->max_pending_calls = limit == nullptr ? 0 : static_cast<std::int32_t>(PyLong_AsLong(limit));
  return reinterpret_cast<PyObject*>(self);
}

bool init_actors(PyObject* module) {
  static PyMethodDef functions[] = {{"_actor_method", actor_method, METH_VARARGS, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};
  return init_method_type(module) && init_handle_type(module) && PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace daybreak::runtime::python
