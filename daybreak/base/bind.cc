// base's part of daybreak._core: the vocabulary of error codes, and how an Error becomes an exception.
#include "daybreak/base/bind.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "daybreak/base/failpoint.h"
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

std::string given_path(const std::filesystem::path& path, const char* what) {
  const nb::object given = nb::module_::import_("daybreak.base.paths").attr("given")(path, what);
  return nb::cast<std::filesystem::path>(given).native();
}

}  // namespace daybreak::base

namespace {

void bind_failpoints(nb::module_& m) {
  namespace failpoint = daybreak::base::failpoint;
  m.def(
      "failpoint", [](const char* name) { DAYBREAK_FAILPOINT(name); }, nb::arg("name"),
      "A point where a test may kill the process: see daybreak.base.failpoints.");
  m.def("arm_failpoint", &failpoint::arm, nb::arg("prefix"), nb::arg("countdown"),
        "Kills the process at the countdown-th failpoint whose name begins with the prefix; 0: at none.");
  m.def("watch_failpoints", &failpoint::watch, nb::arg("prefix"), "Remembers the names that are passed from here on.");
  m.def("watched_failpoints", &failpoint::watched, "The names passed since watch_failpoints(), which ends.");
}

}  // namespace

void bind_base(nb::module_& m) {
  bind_failpoints(m);
  using daybreak::base::Code;
  m.def(
      "http_status", [](int code) { return daybreak::base::http_status(static_cast<Code>(code)); }, nb::arg("code"),
      "The HTTP status of one of the 16 canonical error codes.");
  // A path is str, bytes or PathLike, in the file system's encoding: names that are no UTF-8 stay what they are.
  m.def(
      "write_file_atomically",
      [](const std::filesystem::path& path, const nb::bytes& bytes) {
        daybreak::base::Status written;
        {
          const nb::gil_scoped_release release;  // fsync takes milliseconds
          written = daybreak::base::write_file_atomically(path.native(), {bytes.c_str(), bytes.size()});
        }
        daybreak::base::value_or_raise(std::move(written));
      },
      nb::arg("path"), nb::arg("bytes"), "See daybreak.base.paths.write.");
  m.def(
      "read_file",
      [](const std::filesystem::path& path, std::size_t max_bytes) {
        daybreak::base::Result<std::string> read;
        {
          const nb::gil_scoped_release release;
          read = daybreak::base::read_file(path.native(), max_bytes);
        }
        const std::string bytes = daybreak::base::value_or_raise(std::move(read));
        return nb::bytes(bytes.data(), bytes.size());
      },
      nb::arg("path"), nb::arg("max_bytes"), "See daybreak.base.paths.read.");
  m.def(
      "readable",
      [](const std::filesystem::path& path) {
        return daybreak::base::value_or_raise(daybreak::base::readable(path.native())).size_is_known;
      },
      nb::arg("path"),
      "Whether what can be read there is a file that has the bytes that its size says. Raises for what cannot be "
      "read.");
  m.def(
      "code_name", [](int code) { return daybreak::base::code_name(static_cast<Code>(code)); }, nb::arg("code"),
      "The name of one of the 16 canonical error codes.");
}
