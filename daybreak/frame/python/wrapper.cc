// A method of pandas with something of ours around it, and no Python frame: its warnings name the line that they would name, and
// no reference is counted that was not there.
#include <nanobind/nanobind.h>
#include <structmember.h>

#include <cstddef>

namespace nb = nanobind;

namespace {

thread_local int depth = 0;  // of methods in which kernels may stand in

struct Wrapper {
  PyObject_HEAD PyObject* method;
  PyObject* adopters;  // a dict of classes, or null
  bool inside;
  vectorcallfunc call;
};

// A fresh result of a class of pandas becomes one of ours; an argument stays what it is.
int adopt(PyObject* adopters, PyObject* made, PyObject* const* args, Py_ssize_t count) {
  PyObject* kind = PyDict_GetItemWithError(adopters, reinterpret_cast<PyObject*>(Py_TYPE(made)));
  if (kind == nullptr) return PyErr_Occurred() != nullptr ? -1 : 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (args[i] == made) return 0;
  }
  return PyObject_SetAttrString(made, "__class__", kind);
}

PyObject* wrapper_call(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* names) {
  const auto* wrapper = reinterpret_cast<Wrapper*>(self);
  const Py_ssize_t count = PyVectorcall_NARGS(nargsf) + (names != nullptr ? PyTuple_GET_SIZE(names) : 0);
  depth += wrapper->inside ? 1 : 0;
  PyObject* made = PyObject_Vectorcall(wrapper->method, args, nargsf, names);
  depth -= wrapper->inside ? 1 : 0;
  if (made != nullptr && wrapper->adopters != nullptr && adopt(wrapper->adopters, made, args, count) < 0) {
    Py_CLEAR(made);
  }
  return made;
}

PyObject* wrapper_get(PyObject* self, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

// What it has not itself, its method has: its name, its documentation, its signature.
PyObject* wrapper_attribute(PyObject* self, PyObject* name) {
  PyObject* method = reinterpret_cast<Wrapper*>(self)->method;
  if (PyUnicode_CompareWithASCIIString(name, "__wrapped__") == 0) return Py_NewRef(method);
  if (PyUnicode_CompareWithASCIIString(name, "__doc__") == 0) return PyObject_GetAttr(method, name);
  PyObject* found = PyObject_GenericGetAttr(self, name);
  if (found != nullptr || PyErr_ExceptionMatches(PyExc_AttributeError) == 0) return found;
  PyErr_Clear();
  return PyObject_GetAttr(method, name);
}

int wrapper_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(reinterpret_cast<Wrapper*>(self)->method);
  Py_VISIT(reinterpret_cast<Wrapper*>(self)->adopters);
  return 0;
}

int wrapper_clear(PyObject* self) {
  Py_CLEAR(reinterpret_cast<Wrapper*>(self)->method);
  Py_CLEAR(reinterpret_cast<Wrapper*>(self)->adopters);
  return 0;
}

void wrapper_free(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  wrapper_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* wrapper_name(PyObject* self) {
  return PyObject_Repr(reinterpret_cast<Wrapper*>(self)->method);
}

PyTypeObject* wrapper_type = nullptr;

nb::object wrapped(nb::object method, bool inside, nb::object adopters) {
  if (PyCallable_Check(method.ptr()) == 0 || !(adopters.is_none() || PyDict_CheckExact(adopters.ptr()))) {
    throw nb::type_error("wrapped(): a callable, and a dict of classes or None");
  }
  PyObject* made = wrapper_type->tp_alloc(wrapper_type, 0);
  if (made == nullptr) throw nb::python_error();
  auto* wrapper = reinterpret_cast<Wrapper*>(made);
  wrapper->method = method.release().ptr();
  wrapper->adopters = adopters.is_none() ? nullptr : adopters.release().ptr();
  wrapper->inside = inside;
  wrapper->call = wrapper_call;
  return nb::steal(made);
}

}  // namespace

void bind_wrapper(nb::module_& m) {
  static PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Wrapper, call), READONLY, nullptr}, {}};
  static PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_descr_get, reinterpret_cast<void*>(wrapper_get)},
                                {Py_tp_getattro, reinterpret_cast<void*>(wrapper_attribute)},
                                {Py_tp_traverse, reinterpret_cast<void*>(wrapper_traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(wrapper_clear)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(wrapper_free)},
                                {Py_tp_repr, reinterpret_cast<void*>(wrapper_name)},
                                {Py_tp_members, members},
                                {0, nullptr}};
  static PyType_Spec spec = {"daybreak._core.frame.Wrapper", sizeof(Wrapper), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                                 Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             slots};
  wrapper_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (wrapper_type == nullptr) throw nb::python_error();
  m.def("wrapped", wrapped, nb::arg("method"), nb::arg("inside"), nb::arg("adopters").none(),
        "The method, in which kernels stand in, or whose results become those of the classes beside theirs, or both.");
  m.def("depth", [] { return depth; }, "How many wrapped methods with kernels this thread is in.");
  m.def(
      "set_depth",
      [](int wanted) {
        const int before = depth;
        depth = wanted;
        return before;
      },
      nb::arg("wanted"), "Returns what it was.");
}
