// PEP 3118 buffers for the length of a scope.
#pragma once

#include <nanobind/nanobind.h>

namespace daybreak::rl {

// A C-contiguous buffer of a Python object; not ok() where the object has none.
class Buffer {
 public:
  explicit Buffer(nanobind::handle object)
      : ok_(PyObject_GetBuffer(object.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) == 0) {
    if (!ok_) PyErr_Clear();
  }
  ~Buffer() {
    if (ok_) PyBuffer_Release(&view_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  bool ok() const { return ok_; }
  const Py_buffer* operator->() const { return &view_; }
  // The element type as one letter of the struct module, or 0.
  char letter() const { return ok_ && view_.format && view_.format[0] && !view_.format[1] ? view_.format[0] : '\0'; }

 private:
  Py_buffer view_{};
  bool ok_;
};

}  // namespace daybreak::rl
