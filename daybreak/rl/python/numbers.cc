#include "daybreak/rl/python/numbers.h"

#include <nanobind/stl/string.h>

#include <cstring>
#include <limits>
#include <string>

namespace nb = nanobind;

namespace daybreak::rl {

namespace {

nb::object numbers_module() {
  return nb::module_::import_("daybreak.base.numbers");
}

// numpy's type of that name, kept for the life of the process: a comparison of pointers is all that the fast paths
// cost.
const PyObject* numpy_type(const char* name) {
  return nb::object(nb::module_::import_("numpy").attr(name)).release().ptr();
}

template <typename... More>
base::Result<nb::object> asked(const char* method, nb::handle value, const char* name, const More&... more) {
  try {
    return nb::object(numbers_module().attr(method)(value, name, more...));
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    return base::fail(base::Code::kInvalidArgument, "{}", nb::str(error.value()).c_str());
  }
}

}  // namespace

base::Result<bool> flag_of(nb::handle value, const char* name) {
  if (value.ptr() == Py_False) return false;
  if (value.ptr() == Py_True) return true;
  static const PyObject* const kBool = numpy_type("bool_");
  if (reinterpret_cast<PyObject*>(value.type().ptr()) == kBool || PyLong_CheckExact(value.ptr())) {
    const int truth = PyObject_IsTrue(value.ptr());
    if (truth < 0) throw nb::python_error();
    return truth == 1;
  }
  DAYBREAK_ASSIGN(const nb::object found, asked("flag", value, name));
  return found.ptr() == Py_True;
}

base::Result<std::int64_t> integer_of(nb::handle value, const char* name) {
  static const PyObject* const kInt64 = numpy_type("int64");
  nb::object number = nb::borrow(value);
  if (value.type().ptr() == kInt64) {
    number = nb::steal(PyNumber_Index(value.ptr()));
    if (!number.is_valid()) throw nb::python_error();
  } else if (!PyLong_CheckExact(value.ptr())) {
    DAYBREAK_ASSIGN(number, asked("integer", value, name));
  }
  int overflow = 0;
  const long long found = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow == 0) return found;
  return base::fail(base::Code::kInvalidArgument, "{}={} does not fit into 64 bits", name, nb::str(number).c_str());
}

base::Result<double> real_of(nb::handle value, const char* name) {
  if (PyFloat_Check(value.ptr())) return PyFloat_AS_DOUBLE(value.ptr());  // numpy's float64 is one
  static const PyObject* const kFloat32 = numpy_type("float32");
  if (value.type().ptr() == kFloat32) return PyFloat_AsDouble(value.ptr());
  DAYBREAK_ASSIGN(const nb::object found, asked("real", value, name));
  return PyFloat_AsDouble(found.ptr());
}

std::uint64_t seed_of(nb::handle value) {
  const nb::object most = nb::steal(PyLong_FromUnsignedLongLong(std::numeric_limits<std::uint64_t>::max()));
  using namespace nb::literals;
  const nb::object found = numbers_module().attr("integer")(value, "seed", "minimum"_a = 0, "maximum"_a = most);
  return PyLong_AsUnsignedLongLong(found.ptr());
}

bool is_masked(nb::handle array) {
  return std::strcmp(Py_TYPE(array.ptr())->tp_name, "MaskedArray") == 0 &&
         nb::cast<bool>(nb::bool_(array.attr("mask").attr("any")()));
}

nb::object float_array_of(nb::handle array, const char* name) {
  using namespace nb::literals;
  if (is_masked(array)) throw nb::value_error(fmt::format("{} has masked elements: give filled(...)", name).c_str());
  const nb::module_ numpy = nb::module_::import_("numpy");
  if (nb::isinstance<nb::tuple>(array) && nb::len(array) == 2 && nb::isinstance<nb::dict>(array[1])) {
    throw nb::value_error(
        fmt::format("{} is a tuple of an observation and an info, as reset() gives: take its first", name).c_str());
  }
  nb::object found;
  try {
    found = numpy.attr("asarray")(array);
  } catch (nb::python_error& error) {
    // A tensor that needs a gradient, of a type that numpy lacks, or that has no numbers: taken, or refused by name.
    if (!error.matches(PyExc_ValueError) && !nb::hasattr(array, "detach")) throw;
    found = numbers_module().attr("reals")(array, name);
  }
  // Others would be read as numbers by numpy, without a word of what is lost: text, the imaginary part.
  constexpr std::string_view kNumbers = "biuf";
  if (kNumbers.find(nb::cast<std::string>(found.attr("dtype").attr("kind"))) == std::string_view::npos) {
    found = numbers_module().attr("reals")(found, name);
  }
  return numpy.attr("ascontiguousarray")(found, "dtype"_a = "float32");
}

}  // namespace daybreak::rl
