// base's part of daybreak._core: the vocabulary of error codes, and how an Error becomes an exception.
#include "daybreak/base/bind.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include "daybreak/base/file.h"

namespace nb = nanobind;

namespace daybreak::base {

void raise(const Error& error) {
  const std::string text = error.to_string();
  const nb::object kind =
      nb::module_::import_("daybreak.base.errors").attr("BY_CODE")[nb::int_(static_cast<int>(error.code()))];
  PyErr_SetString(kind.ptr(), text.c_str());
  throw nb::python_error();
}

}  // namespace daybreak::base

void bind_base(nb::module_& m) {
  using daybreak::base::Code;
  m.def(
      "http_status", [](int code) { return daybreak::base::http_status(static_cast<Code>(code)); }, nb::arg("code"),
      "The HTTP status of one of the 16 canonical error codes.");
  m.def(
      "write_file_atomically",
      [](const std::string& path, const nb::bytes& bytes) {
        daybreak::base::Status written;
        {
          const nb::gil_scoped_release release;  // fsync takes milliseconds
          written = daybreak::base::write_file_atomically(path, {bytes.c_str(), bytes.size()});
        }
        daybreak::base::value_or_raise(std::move(written));
      },
      nb::arg("path"), nb::arg("bytes"),
      "Writes a file so that a reader finds the old one or the new one, never a part.");
  m.def(
      "code_name", [](int code) { return daybreak::base::code_name(static_cast<Code>(code)); }, nb::arg("code"),
      "The name of one of the 16 canonical error codes.");
}
