// A replica's loop: batches become what a Python function takes, what it gives becomes results.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <cstring>

#include "daybreak/base/bind.h"
#include "daybreak/serve/replicas.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace daybreak::serve {
namespace {

// Smaller batches are copied together once (which costs less than a view for each); larger inputs are looked at where
// they lie.
constexpr std::size_t kViewBytes = 64u << 10;
constexpr int kTakeMs = 250;
constexpr int kSimpleDepth = 32;

nb::bytes empty_bytes(std::size_t size) {
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (bytes == nullptr) throw nb::python_error();
  return nb::steal<nb::bytes>(bytes);
}

class ReplicaChannel {
 public:
  explicit ReplicaChannel(std::unique_ptr<Attached> attached) : attached_(std::move(attached)) {}

  void ready() {
    prepare();
    base::value_or_raise(attached_->ready());
  }

  void serve(const nb::callable& predict, const std::string& batch, const std::string& output) {
    if ((batch != "list" && batch != "array") || (output != "json" && output != "str"))
      base::raise(
          base::Error(base::Code::kInvalidArgument,
                      fmt::format("batch='{}' ('list' or 'array'), output='{}' ('json' or 'str')", batch, output)));
    as_array_ = batch == "array";
    as_str_ = output == "str";
    if (!dumps_.is_valid()) prepare();
    for (;;) {
      ReplicaSide::Took took;
      bool connected = true;
      {
        const nb::gil_scoped_release release;
        took = attached_->side().take(kTakeMs);
        if (took == ReplicaSide::Took::kNothing) connected = attached_->connected();
      }
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      if (took == ReplicaSide::Took::kClosed || !connected) return;
      if (took == ReplicaSide::Took::kBatch) answer(predict);
    }
  }

 private:
  // What the first batch shall not wait for.
  void prepare() {
    dumps_ = nb::module_::import_("json").attr("dumps");
    const nb::module_ results = nb::module_::import_("daybreak.serve.results");
    completed_ = results.attr("completed");
    sequence_of_ = results.attr("sequence_of");
    json_of_ = results.attr("json_of");
    refusal_ = nb::module_::import_("daybreak.base.errors").attr("Error");
    if (element_bytes(attached_->input_type()) > 1) {
      const nb::module_ numpy = nb::module_::import_("numpy");
      frombuffer_ = numpy.attr("frombuffer");
      const char* names[] = {"uint8", "int32", "float32", "float64", "uint8"};
      dtype_ = numpy.attr("dtype")(names[static_cast<std::size_t>(attached_->input_type())]);
    }
  }

  void answer(const nb::callable& predict) {
    ReplicaSide& side = attached_->side();
    if (side.inputs().empty()) return side.complete();
    views_.clear();
    try {
      nb::object given = predict(make_inputs());
      if (PyCoro_CheckExact(given.ptr())) given = completed_(given);
      give_results(given);
    } catch (nb::python_error& error) {
      const bool ends = !error.matches(PyExc_Exception);
      side.results().fail_rest(text_of(error));
      if (ends) {
        side.complete();
        throw;
      }
      error.restore();
      PyErr_Print();  // to the replica's log
    }
    mark_kept();
    side.complete();
  }

  static std::string text_of(nb::python_error& error) {
    std::string text = nb::cast<std::string>(error.type().attr("__name__"));
    try {
      text += ": " + nb::cast<std::string>(nb::str(error.value()));
    } catch (const std::exception&) {
      text += ": (no text)";
    }
    return text;
  }

  nb::object make_inputs() {
    const std::span<const Input> inputs = attached_->side().inputs();
    if (element_bytes(attached_->input_type()) == 1) return make_texts(inputs);
    const std::size_t size = inputs[0].bytes.size();
    std::size_t total = 0;
    bool equal = true, adjacent = true;
    const std::size_t stride = (size + kSlabAlign - 1) / kSlabAlign * kSlabAlign;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      total += inputs[i].bytes.size();
      equal = equal && inputs[i].bytes.size() == size;
      adjacent = adjacent && inputs[i].bytes.data() == inputs[0].bytes.data() + i * stride;
    }
    if (equal && adjacent && total >= kViewBytes)
      return rows_of(view(inputs[0].bytes.data(), stride * inputs.size()), inputs.size(), stride, size);
    if (equal && (as_array_ || total < kViewBytes))
      return rows_of(numbers(gather(inputs, total)), inputs.size(), size, size);
    nb::list rows;
    for (const Input& input : inputs) {
      if (input.bytes.size() >= kViewBytes) {
        rows.append(view(input.bytes.data(), input.bytes.size()));
      } else {
        rows.append(numbers(nb::bytes(input.bytes.data(), input.bytes.size())));
      }
    }
    return rows;
  }

  nb::object make_texts(std::span<const Input> inputs) const {
    nb::list texts;
    for (const Input& input : inputs) {
      const char* data = reinterpret_cast<const char*>(input.bytes.data());
      if (attached_->input_type() == InputType::kStrings) {
        texts.append(nb::str(data, input.bytes.size()));
      } else {
        texts.append(nb::bytes(data, input.bytes.size()));
      }
    }
    return texts;
  }

  nb::object numbers(const nb::object& buffer) const { return frombuffer_(buffer, dtype_); }

  // Rows of `size` bytes, each `stride` bytes after the one before.
  nb::object rows_of(nb::object array, std::size_t count, std::size_t stride, std::size_t size) const {
    const std::size_t element = element_bytes(attached_->input_type());
    if (count == 1 && !as_array_) {
      nb::list one;
      if (size != stride) array = array[nb::slice(static_cast<Py_ssize_t>(size / element))];
      one.append(array);
      return one;
    }
    array = array.attr("reshape")(count, stride / element);
    if (size != stride) array = array[nb::make_tuple(nb::slice(), nb::slice(static_cast<Py_ssize_t>(size / element)))];
    return as_array_ ? array : nb::object(nb::list(array));
  }

  static nb::bytes gather(std::span<const Input> inputs, std::size_t total) {
    nb::bytes all = empty_bytes(total);
    char* to = PyBytes_AS_STRING(all.ptr());
    for (const Input& input : inputs) {
      std::memcpy(to, input.bytes.data(), input.bytes.size());
      to += input.bytes.size();
    }
    return all;
  }

  // Numbers in the server's memory, to be read only.
  nb::object view(const std::byte* data, std::size_t size) {
    PyObject* memory = PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(data)),
                                               static_cast<Py_ssize_t>(size), PyBUF_READ);
    if (memory == nullptr) throw nb::python_error();
    nb::object array = numbers(nb::steal(memory));
    views_.push_back({array, data, size});
    return array;
  }

  // Inputs of which the model kept a view: the server must not use their memory again.
  void mark_kept() {
    for (const View& each : views_) {
      if (Py_REFCNT(each.array.ptr()) <= 1) continue;  // all rows and slices of it hold it
      for (const Input& input : attached_->side().inputs()) {
        if (input.bytes.data() >= each.data && input.bytes.data() < each.data + each.size)
          attached_->side().results().keep(input.index);
      }
      (void)nb::object(each.array).release();  // for good
    }
    views_.clear();
  }

  void give_results(nb::object all) {
    ReplicaSide& side = attached_->side();
    const std::size_t wanted = side.inputs().size();
    if (!PyList_CheckExact(all.ptr()) || static_cast<std::size_t>(PyList_GET_SIZE(all.ptr())) != wanted) {
      try {
        all = sequence_of_(all, wanted);
      } catch (nb::python_error& error) {
        if (!error.matches(refusal_)) throw;
        return side.results().refuse_rest(message_of(error));
      }
    }
    const nb::object held = nb::steal(PySequence_Fast(all.ptr(), "the model gave no sequence of results"));
    if (!held.is_valid()) throw nb::python_error();
    if (static_cast<std::size_t>(PySequence_Fast_GET_SIZE(held.ptr())) != wanted)
      return side.results().refuse_rest("the model gave a sequence that does not know its length");
    for (std::size_t i = 0; i < wanted; ++i) {
      const std::uint32_t index = side.inputs()[i].index;
      try {
        give_one(index, nb::borrow(PySequence_Fast_GET_ITEM(held.ptr(), static_cast<Py_ssize_t>(i))));
      } catch (nb::python_error& error) {
        if (error.matches(refusal_)) {
          side.results().refuse(index, message_of(error));
        } else {
          side.results().fail(index, text_of(error));
        }
      }
    }
  }

  // The sentence of one of our own errors, which is for the caller.
  static std::string message_of(nb::python_error& error) { return nb::cast<std::string>(nb::str(error.value())); }

  void set_text(std::uint32_t index, const nb::object& text, ResultStatus status) {
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (data == nullptr) throw nb::python_error();
    attached_->side().results().set(index, status, {data, static_cast<std::size_t>(size)});
  }

  // Half of a surrogate pair, as in a file name of other bytes, is in Python's text but in nobody's JSON.
  static bool is_unicode(PyObject* text) {
    if (PyUnicode_IS_COMPACT_ASCII(text) || PyUnicode_AsUTF8AndSize(text, nullptr) != nullptr) return true;
    PyErr_Clear();
    return false;
  }

  // Whether json.dumps() writes it as it is meant: no number, key or object that only looks like one of JSON's.
  static bool is_simple(PyObject* object, int depth) {
    if (object == Py_None || PyBool_Check(object) || PyFloat_CheckExact(object)) return true;
    if (PyUnicode_CheckExact(object)) return is_unicode(object);
    if (PyLong_CheckExact(object)) return true;
    if ((!PyList_CheckExact(object) && !PyTuple_CheckExact(object)) || depth >= kSimpleDepth) return false;
    PyObject** items = PySequence_Fast_ITEMS(object);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i)
      if (!is_simple(items[i], depth + 1)) return false;
    return true;
  }

  // A scalar or array of numpy itself (no subclass) whose tolist() says the same: of bool, integers and floats.
  static bool is_plain_numpy(const nb::object& item) {
    const char* name = Py_TYPE(item.ptr())->tp_name;
    if (std::strncmp(name, "numpy.", 6) != 0 || !nb::hasattr(item, "dtype")) return false;
    const nb::object dtype = item.attr("dtype");
    const std::string kind = nb::cast<std::string>(dtype.attr("kind"));
    return (kind == "b" || kind == "i" || kind == "u" || kind == "f") && nb::cast<int>(dtype.attr("itemsize")) <= 8 &&
           std::strncmp(name, "numpy.ma", 8) != 0;
  }

  void give_one(std::uint32_t index, const nb::object& item) {
    PyObject* object = item.ptr();
    ResultWriter& results = attached_->side().results();
    if (PyUnicode_Check(object))
      return set_text(index, is_unicode(object) ? item : json_of_(item), ResultStatus::kText);
    if (PyBytes_Check(object)) {
      const std::string_view bytes(PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object)));
      if (nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr)).is_valid())
        return results.set(index, ResultStatus::kText, bytes);
      PyErr_Clear();
      return results.refuse(index, "the result is bytes that are no UTF-8 text: give it in base64");
    }
    if (as_str_) return set_text(index, nb::str(item), ResultStatus::kText);
    if (PyFloat_Check(object)) {
      const double value = PyFloat_AS_DOUBLE(object);
      if (!std::isfinite(value))
        return results.refuse(index,
                              fmt::format("result={} has no form in JSON: give None, or a finite number", value));
      char* text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, nullptr);
      if (text == nullptr) throw nb::python_error();
      results.set(index, ResultStatus::kJson, text);
      return PyMem_Free(text);
    }
    if (is_plain_numpy(item)) return give_one(index, item.attr("tolist")());
    if (is_simple(object, 0)) {
      // Of NaN and numbers of thousands of digits json_of says better what is wrong.
      try {
        return set_text(index, dumps_(item, "allow_nan"_a = false), ResultStatus::kJson);
      } catch (nb::python_error& error) {
        if (!error.matches(PyExc_ValueError)) throw;
      }
    }
    set_text(index, json_of_(item), ResultStatus::kJson);
  }

  struct View {
    nb::object array;
    const std::byte* data;
    std::size_t size;
  };

  std::unique_ptr<Attached> attached_;
  bool as_array_ = false, as_str_ = false;
  nb::object frombuffer_, dtype_, dumps_, completed_, sequence_of_, json_of_, refusal_;
  std::vector<View> views_;
};

}  // namespace
}  // namespace daybreak::serve

void bind_replica(nb::module_& m) {
  using namespace daybreak::serve;
  nb::class_<ReplicaChannel>(m, "ReplicaChannel", "A replica's end of its channel to the server. One thread at a time.")
      .def("ready", &ReplicaChannel::ready, "Requests may come. UnavailableError when the server is gone.")
      .def("serve", &ReplicaChannel::serve, "predict"_a, "batch"_a = "list", "output"_a = "json",
           "Answers batches until the server removes the replica or goes. `predict` takes a list of inputs (numpy "
           "arrays, "
           "read-only; str; bytes), or with batch='array' one array of shape [inputs, elements] when all are equally "
           "long, "
           "and returns as many results. An exception is the error of its batch. output='str': str() of each result.");
  m.def(
      "replica_attach",
      [](const std::string& address) {
        std::unique_ptr<Attached> attached;
        auto result = [&] {
          const nb::gil_scoped_release release;
          return Attached::attach(address);
        }();
        return ReplicaChannel(daybreak::base::value_or_raise(std::move(result)));
      },
      "address"_a, "In a replica's process: its end of the channel that Core.add_channel() made.");
}
