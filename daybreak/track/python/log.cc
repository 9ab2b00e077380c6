// track's part of daybreak._core that writes and reads run logs. log() is raw C API: it is called millions of times.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>

#include "daybreak/base/bind.h"
#include "daybreak/track/log/arrow.h"
#include "daybreak/track/log/run.h"
#include "daybreak/track/log/writer.h"
#include "daybreak/track/run_id.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace dt = daybreak::track;

namespace {

constexpr int kMaxDepth = 8;                 // of nested metrics
constexpr Py_ssize_t kMaxPassedOver = 1000;  // names that are said to be no numbers
constexpr std::size_t kBatch = 64;
constexpr std::size_t kPointsOfOneMoment = 64;  // of an array: the clock costs as much as the point

dt::RunId checked_id(const std::string& text) {
  const auto id = dt::RunId::parse(text);
  if (!id) {
    base::raise(base::Error(base::Code::kInvalidArgument, fmt::format("'{}' is not a run id, which looks like "
                                                                      "01934a1c-9f7b-7c3e-8a5d-0123456789ab",
                                                                      text.substr(0, 64))));
  }
  return *id;
}

using Doubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Steps = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

class RunLog {
 public:
  RunLog(const std::filesystem::path& root, const std::string& run, bool owner, std::uint32_t session,
         std::int64_t next_step)
      : id_(run), next_step_(next_step) {
    dt::WriterOptions options;
    options.root = root.native();
    options.run = checked_id(run);
    options.owner = owner;
    options.session = session;
    writer_ = base::value_or_raise(dt::Writer::open(options));
  }

  // Sets a Python exception and returns false on failure.
  bool log(PyObject* metrics, PyObject* value, PyObject* step);

  void event(int kind, const std::vector<nb::bytes>& fields) {
    std::vector<std::string_view> views;
    views.reserve(fields.size());
    for (const nb::bytes& field : fields) views.emplace_back(field.c_str(), field.size());
    base::value_or_raise(writer_->event(static_cast<dt::EventKind>(kind), views));
    if (!warn()) nb::raise_python_error();
  }
  // Of what the keeper could not do. False with a Python exception where warnings are errors.
  bool warn();
  // Of names whose values are no numbers, once for each: what is not recorded is not dropped without a word.
  bool pass_over(PyObject* name, PyObject* value);
  bool warn_of_passed_over();
  void sync() {
    base::Status done;
    {
      nb::gil_scoped_release unlocked;
      done = writer_->sync();
    }
    base::value_or_raise(std::move(done));
  }
  void close() {
    base::Status done;
    {
      nb::gil_scoped_release unlocked;
      done = writer_->close();
    }
    base::value_or_raise(std::move(done));
  }
  // When the process ends, which is after Python has: finished, or failed with `reason` or the exit status.
  void end_with_process(const std::string& reason);
  // Without steps they go on from the last.
  void log_array(nb::str name, const Doubles& values, const std::optional<Steps>& steps);
  std::int64_t next_step() const { return next_step_; }

 private:
  struct Batch {
    std::array<dt::Value, kBatch> values;
    std::size_t count = 0;
    std::int64_t step = 0, time_ns = 0;
  };
  bool flush(Batch& batch);
  bool add(Batch& batch, PyObject* name, double value);
  bool add_all(Batch& batch, PyObject* metrics, PyObject* prefix, int depth);
  bool series_of(PyObject* name, std::uint32_t& id);
  bool take_step(PyObject* step, std::int64_t& out);

  std::string id_;
  nb::object passed_over_ = {};  // a set of names
  std::string new_passed_over_;  // of this call, as the warning names them
  std::shared_ptr<dt::Writer> writer_;
  nb::dict ids_;  // name -> series
  std::atomic<std::int64_t> next_step_;
};

// Runs that nobody ended. Python's own hooks run before it is known how the process ends: sys.exit(3) is seen by none
// of them, and the last error of a notebook says nothing about its end. The C library says it, when Python is gone.
struct Unended {
  std::shared_ptr<dt::Writer> writer;
  std::string id, reason;
};
struct UnendedRuns {
  int pid = 0;
  std::vector<Unended> runs;
};

UnendedRuns& unended_runs() {
  static auto* const runs = new UnendedRuns;  // never destroyed: it is read while the process ends
  return *runs;
}

void end_runs(int status, void*) {
  UnendedRuns& left = unended_runs();
  if (left.pid != ::getpid()) return;  // a forked child's end is not the run's
  for (const Unended& run : left.runs) {
    const bool good = (status & 0xFF) == 0;
    std::string why;
    if (!good) why = !run.reason.empty() ? run.reason : fmt::format("exit status {}", status & 0xFF);
    const std::vector<std::string_view> fields{good ? "finished" : "failed", why};
    base::Status done = run.writer->event(dt::EventKind::kStatus, fields);
    if (const base::Status closed = run.writer->close(); done) done = closed;
    if (!done) fmt::print(stderr, "daybreak: run {} could not be ended: {}\n", run.id, done.error().to_string());
  }
}

void RunLog::end_with_process(const std::string& reason) {
  UnendedRuns& left = unended_runs();
  if (left.pid != ::getpid()) {
    if (left.pid == 0) ::on_exit(end_runs, nullptr);  // a child inherits it
    left.runs.clear();
    left.pid = ::getpid();
  }
  left.runs.push_back({writer_, id_, reason});
}

bool set_error(const base::Error& error) {
  try {
    base::raise(error);
  } catch (nb::python_error& raised) {
    raised.restore();
  }
  return false;
}

bool refuse(const std::string& message) {
  return set_error(base::Error(base::Code::kInvalidArgument, message));
}

// Of numpy's scalars float() is the number itself; of its arrays and complex numbers it is not.
bool is_numpy_real(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  return name.starts_with("numpy.float") || name.starts_with("numpy.int") || name.starts_with("numpy.uint") ||
         name == "numpy.bool" || name == "numpy.bool_";
}

// 1: a number; 0: not one; -1: exception set.
int number_of(PyObject* name, PyObject* object, double& out) {
  if (PyFloat_Check(object)) {
    out = PyFloat_AS_DOUBLE(object);
    return 1;
  }
  if (PyLong_Check(object) || is_numpy_real(object)) {
    out = PyFloat_AsDouble(object);
    if (out != -1.0 || PyErr_Occurred() == nullptr) return 1;
    PyErr_Clear();  // too large: said with its name below
  }
  if (object == Py_None || PyUnicode_Check(object) || PyDict_Check(object)) return 0;
  try {
    const nb::object found =
        nb::module_::import_("daybreak.track.values").attr("metric")(nb::handle(name), nb::handle(object));
    if (found.is_none()) return 0;
    out = nb::cast<double>(found);
    return 1;
  } catch (nb::python_error& raised) {
    raised.restore();
    return -1;
  }
}

bool RunLog::warn() {
  const auto trouble = writer_->trouble();
  return !trouble || PyErr_WarnEx(PyExc_RuntimeWarning, trouble->to_string().c_str(), 1) == 0;
}

bool RunLog::flush(Batch& batch) {
  const auto done = writer_->log(std::span(batch.values).first(batch.count), batch.step, batch.time_ns);
  batch.count = 0;
  return done ? true : set_error(done.error());
}

bool RunLog::series_of(PyObject* name, std::uint32_t& id) {
  if (PyObject* known = PyDict_GetItemWithError(ids_.ptr(), name)) {
    id = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(known));
    return true;
  }
  if (PyErr_Occurred() != nullptr) return false;
  if (!PyUnicode_Check(name)) return refuse(fmt::format("a metric's name is a str, not {}", Py_TYPE(name)->tp_name));
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(name, &size);
  if (text == nullptr) {
    PyErr_Clear();
    const nb::object shown = nb::steal(PyObject_ASCII(name));
    return shown.is_valid() && refuse(fmt::format("a metric's name is text, {} is no Unicode", nb::str(shown).c_str()));
  }
  const auto made = writer_->series({text, static_cast<std::size_t>(size)});
  if (!made) return set_error(made.error());
  id = *made;
  PyObject* number = PyLong_FromUnsignedLong(id);
  const bool kept = number != nullptr && PyDict_SetItem(ids_.ptr(), name, number) == 0;
  Py_XDECREF(number);
  return kept;
}

bool RunLog::add(Batch& batch, PyObject* name, double value) {
  std::uint32_t id = 0;
  if (!series_of(name, id)) return false;
  batch.values[batch.count++] = {id, value};
  return batch.count < kBatch || flush(batch);
}

bool RunLog::pass_over(PyObject* name, PyObject* value) {
  if (!passed_over_.is_valid()) {
    passed_over_ = nb::steal(PySet_New(nullptr));
    if (!passed_over_.is_valid()) return false;
  }
  const int known = PySet_Contains(passed_over_.ptr(), name);
  if (known != 0 || PySet_GET_SIZE(passed_over_.ptr()) >= kMaxPassedOver) return known >= 0;
  new_passed_over_ += fmt::format("{}{} (a {})", new_passed_over_.empty() ? "" : ", ",
                                  nb::repr(nb::handle(name)).c_str(), Py_TYPE(value)->tp_name);
  return PySet_Add(passed_over_.ptr(), name) == 0;
}

bool RunLog::warn_of_passed_over() {
  if (new_passed_over_.empty()) return true;
  const std::string said = fmt::format(
      "no number, so not recorded (said once for each name): {}. Make it one, or keep it as a parameter, a tag "
      "or an artifact",
      std::exchange(new_passed_over_, {}));
  return PyErr_WarnEx(PyExc_RuntimeWarning, said.c_str(), 1) == 0;
}

// The numeric leaves of a mapping; "a/b" for {"a": {"b": ...}}. Other leaves are not metrics and are passed over.
bool RunLog::add_all(Batch& batch, PyObject* metrics, PyObject* prefix, int depth) {
  if (depth > kMaxDepth) return refuse(fmt::format("metrics nested more than {} deep", kMaxDepth));
  nb::object copy;
  if (!PyDict_CheckExact(metrics)) {  // any mapping; also protects against a subclass's own ideas
    copy = nb::steal(PyDict_New());
    if (!copy.is_valid() || PyDict_Update(copy.ptr(), metrics) != 0) return false;
    metrics = copy.ptr();
  }
  PyObject *key = nullptr, *value = nullptr;
  Py_ssize_t at = 0;
  while (PyDict_Next(metrics, &at, &key, &value) != 0) {
    const nb::object held_key = nb::borrow(key), held_value = nb::borrow(value);  // __float__ may change the dict
    nb::object name = held_key;
    if (prefix != nullptr) {
      if (!PyUnicode_Check(key)) return refuse(fmt::format("a metric's name is a str, not {}", Py_TYPE(key)->tp_name));
      name = nb::steal(PyUnicode_FromFormat("%U/%U", prefix, key));
      if (!name.is_valid()) return false;
    }
    double number = 0;
    const int is_number = number_of(name.ptr(), value, number);
    if (is_number < 0) return false;
    if (is_number > 0) {
      if (!add(batch, name.ptr(), number)) return false;
    } else if (PyDict_Check(value)) {
      if (!PyUnicode_Check(key)) return refuse(fmt::format("a metric's name is a str, not {}", Py_TYPE(key)->tp_name));
      if (!add_all(batch, value, name.ptr(), depth + 1)) return false;
    } else if (!pass_over(name.ptr(), value)) {
      return false;
    }
  }
  return true;
}

void RunLog::log_array(nb::str name, const Doubles& values, const std::optional<Steps>& steps) {
  if (steps && steps->size() != values.size()) {
    base::raise(
        base::Error(base::Code::kInvalidArgument, fmt::format("{} steps for {} values", steps->size(), values.size())));
  }
  std::uint32_t id = 0;
  if (!series_of(name.ptr(), id)) nb::raise_python_error();
  const std::size_t count = values.size();
  if (count == 0) return;
  const std::int64_t first = steps ? 0 : next_step_.fetch_add(static_cast<std::int64_t>(count));
  if (steps) {
    const std::int64_t last = steps->data()[count - 1];
    next_step_ = last == INT64_MAX ? last : last + 1;
  }
  base::Status done;
  {
    nb::gil_scoped_release unlocked;
    std::int64_t time_ns = 0;
    for (std::size_t i = 0; i < count && done; ++i) {
      if (i % kPointsOfOneMoment == 0) time_ns = writer_->now_ns();
      const dt::Value one{id, values.data()[i]};
      done = writer_->log(std::span(&one, 1), steps ? steps->data()[i] : first + static_cast<std::int64_t>(i), time_ns);
    }
  }
  base::value_or_raise(std::move(done));
  if (!warn()) nb::raise_python_error();
}

bool RunLog::take_step(PyObject* step, std::int64_t& out) {
  if (step == nullptr || step == Py_None) {
    out = next_step_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  int overflow = 0;
  if (PyLong_CheckExact(step)) out = PyLong_AsLongLongAndOverflow(step, &overflow);
  if (!PyLong_CheckExact(step) || overflow != 0) {
    try {  // 3.0 is 3; 0.5, text and what 64 bits cannot hold are refused by name
      const nb::object whole = nb::module_::import_("daybreak.base.numbers")
                                   .attr("integer")(nb::handle(step), "step", nb::arg("minimum") = INT64_MIN,
                                                    nb::arg("maximum") = INT64_MAX);
      out = nb::cast<std::int64_t>(whole);
    } catch (nb::python_error& raised) {
      raised.restore();
      return false;
    }
  }
  next_step_.store(out == INT64_MAX ? out : out + 1, std::memory_order_relaxed);
  return true;
}

bool RunLog::log(PyObject* metrics, PyObject* value, PyObject* step) {
  Batch batch;
  batch.time_ns = writer_->now_ns();
  if (PyUnicode_Check(metrics)) {
    double number = 0;
    if (value == nullptr) return refuse("run.log(name, value, step=None): the value is missing");
    const int is_number = number_of(metrics, value, number);
    if (is_number < 0) return false;
    if (is_number == 0) {
      return refuse(fmt::format("a metric's value is a number, not {}", Py_TYPE(value)->tp_name));
    }
    return take_step(step, batch.step) && add(batch, metrics, number) && flush(batch) && warn();
  }
  if (!PyDict_Check(metrics) && (PyMapping_Check(metrics) == 0 || !nb::hasattr(metrics, "keys"))) {
    return refuse(fmt::format("run.log(metrics, step=None): metrics is a dict, not {}", Py_TYPE(metrics)->tp_name));
  }
  if (value != nullptr && step != nullptr) return refuse("run.log(metrics, step=None) takes one step");
  if (!take_step(value != nullptr ? value : step, batch.step)) return false;
  return add_all(batch, metrics, nullptr, 1) && flush(batch) && warn() && warn_of_passed_over();
}

// log(metrics, step=None) and log(name, value, step=None).
PyObject* run_log_log(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  PyObject* step = nargs > 2 ? args[2] : nullptr;
  PyObject* value = nargs > 1 ? args[1] : nullptr;
  const Py_ssize_t nkw = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  bool wrong = nargs < 1 || nargs > 3;
  for (Py_ssize_t i = 0; i < nkw && !wrong; ++i) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, i);
    PyObject*& target = PyUnicode_CompareWithASCIIString(name, "step") == 0 ? step : value;
    wrong = target != nullptr || (&target == &value && PyUnicode_CompareWithASCIIString(name, "value") != 0);
    target = args[nargs + i];
  }
  if (wrong) {
    PyErr_SetString(PyExc_TypeError, "run.log(metrics, step=None) or run.log(name, value, step=None)");
    return nullptr;
  }
  if (!nb::inst_ptr<RunLog>(self)->log(args[0], value, step)) return nullptr;
  Py_RETURN_NONE;
}

// Takes the thread's time, and nothing else.
PyMethodDef run_log_methods[] = {
    {"log", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(run_log_log)), METH_FASTCALL | METH_KEYWORDS,
     "log(metrics, step=None), log(name, value, step=None)\n\n"
     "Records values of one moment; the wall time is taken here. A number is that of any library, also an array of one "
     "element: NaN and infinities are kept, complex numbers and steps that are no whole numbers are "
     "InvalidArgumentError."
     " Nested dicts give names like 'info/loss'; leaves that are not numbers are passed "
     "over with a RuntimeWarning, once for each name. Without a step it is one more than the last. Costs well "
     "under a "
     "microsecond and no system call; what is logged survives the death of the process. What the disk refuses in the "
     "background is a RuntimeWarning of the next call."},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot run_log_slots[] = {{Py_tp_methods, run_log_methods}, {0, nullptr}};

// -- reading
// -----------------------------------------------------------------------------------------------------------

template <typename T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> array_of(std::vector<T> values) {
  auto* kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner);
}

nb::tuple arrays_of(const std::vector<dt::Sample>& samples) {
  std::vector<std::int64_t> steps, times;
  std::vector<double> values;
  steps.reserve(samples.size());
  times.reserve(samples.size());
  values.reserve(samples.size());
  for (const dt::Sample& sample : samples) {
    steps.push_back(sample.step);
    times.push_back(sample.time_ns);
    values.push_back(sample.value);
  }
  return nb::make_tuple(array_of(std::move(steps)), array_of(std::move(times)), array_of(std::move(values)));
}

struct RunFiles {
  std::shared_ptr<const dt::RunReader> reader;
};

RunFiles open_run(const std::filesystem::path& root, const std::string& run) {
  const dt::RunId id = checked_id(run);
  auto opened = [&] {
    nb::gil_scoped_release unlocked;
    return dt::RunReader::open(root.native(), id);
  }();
  return {std::make_shared<const dt::RunReader>(base::value_or_raise(std::move(opened)))};
}

nb::str text_of(const std::string& bytes) {
  return nb::steal<nb::str>(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

nb::dict state_of(const RunFiles& self) {
  const dt::RunState& state = self.reader->state();
  nb::dict out;
  out["id"] = state.id.to_string();
  out["name"] = text_of(state.name);
  out["parent"] = state.parent;
  out["status"] = std::string(dt::status_name(state.status));
  out["reason"] = text_of(state.reason);
  out["start_ns"] = state.start_ns;
  out["end_ns"] = state.end_ns;
  out["session"] = state.session;
  out["deleted"] = state.deleted;
  out["deleted_ns"] = state.deleted_ns;
  out["open"] = state.open;
  nb::dict params, tags, metrics;
  for (const auto& [name, value] : state.params) params[text_of(name)] = text_of(value);
  for (const auto& [name, value] : state.tags) tags[text_of(name)] = text_of(value);
  nb::list artifacts, children, problems;
  for (const auto& a : state.artifacts) {
    artifacts.append(
        nb::make_tuple(text_of(a.name), text_of(a.object), a.size_bytes, text_of(a.kind), text_of(a.meta), a.time_ns));
  }
  for (const auto& [child, name] : state.children) children.append(nb::make_tuple(child, text_of(name)));
  for (const dt::Metric& metric : state.metrics) {
    if (!metric.key.context.empty()) continue;
    const dt::Summary& s = metric.summary;
    metrics[text_of(metric.key.name)] =
        nb::make_tuple(s.last.value, s.last.step, s.last.time_ns, s.min, s.max, metric.best(), s.count);
  }
  for (const dt::Problem& problem : state.problems) problems.append(nb::make_tuple(problem.to_string(), problem.torn));
  out["params"] = params;
  out["tags"] = tags;
  out["artifacts"] = artifacts;
  out["children"] = children;
  out["metrics"] = metrics;
  out["problems"] = problems;
  return out;
}

nb::dict captured_of(const RunFiles& self) {
  const dt::RunState& state = self.reader->state();
  nb::list captures, output, notices;
  for (const auto& c : state.captures) captures.append(nb::make_tuple(c.session, text_of(c.topic), text_of(c.text)));
  for (const auto& [stream, text] : state.output) output.append(nb::make_tuple(text_of(stream), text_of(text)));
  for (const auto& text : state.notices) notices.append(text_of(text));
  nb::dict out;
  out["captures"] = captures;
  out["output"] = output;
  out["notices"] = notices;
  return out;
}

nb::tuple verify_of(const RunFiles& self) {
  auto verified = [&] {
    nb::gil_scoped_release unlocked;
    return self.reader->verify();
  }();
  const dt::RunVerified found = base::value_or_raise(std::move(verified));
  nb::list problems;
  for (const dt::Problem& problem : found.problems) problems.append(nb::make_tuple(problem.to_string(), problem.torn));
  return nb::make_tuple(found.files, found.points, problems);
}

nb::tuple history_of(const RunFiles& self, const std::string& name, std::int64_t first, std::int64_t last) {
  std::vector<dt::Sample> samples;
  base::Result<bool> more = true;
  {
    nb::gil_scoped_release unlocked;
    auto series = self.reader->read({name, ""}, first, last);
    while (more && *more) more = series.next(dt::kArrowBatchRows, samples);
  }
  base::value_or_raise(std::move(more));
  return arrays_of(samples);
}

nb::object stream_of(const RunFiles& self, const std::vector<std::string>& names) {
  std::vector<dt::SeriesKey> keys;
  keys.reserve(names.size());
  for (const std::string& name : names) keys.push_back({name, ""});
  auto stream = std::make_unique<ArrowArrayStream>();
  dt::export_stream(self.reader, std::move(keys), stream.get());
  PyObject* capsule = PyCapsule_New(stream.release(), "arrow_array_stream", [](PyObject* made) {
    auto* held = static_cast<ArrowArrayStream*>(PyCapsule_GetPointer(made, "arrow_array_stream"));
    if (held->release != nullptr) held->release(held);
    delete held;
  });
  return nb::steal(capsule);
}

struct EventKinds {};  // EventKind, for Python

}  // namespace

void bind_log(nb::module_& m) {
  // Class attributes, all of format.h that Python writes: an enum of Python's would load the module enum with
  // `import daybreak`.
  auto kinds = nb::class_<EventKinds>(m, "EventKind", "What an event says: docs/formats/track-run-log.md.");
  for (const auto& [name, kind] : {std::pair("GOAL", dt::EventKind::kGoal),
                                   {"START", dt::EventKind::kStart},
                                   {"STATUS", dt::EventKind::kStatus},
                                   {"PARAM", dt::EventKind::kParam},
                                   {"TAG", dt::EventKind::kTag},
                                   {"ARTIFACT", dt::EventKind::kArtifact},
                                   {"CHILD", dt::EventKind::kChild},
                                   {"DELETED", dt::EventKind::kDeleted},
                                   {"CAPTURE", dt::EventKind::kCapture},
                                   {"TEXT", dt::EventKind::kText},
                                   {"NOTICE", dt::EventKind::kNotice}})
    kinds.attr(name) = static_cast<int>(kind);
  m.def("new_run_id", [] { return dt::RunId::make().to_string(); }, "A new run id: UUID version 7.");
  nb::class_<RunLog>(m, "RunLog", nb::type_slots(run_log_slots), "One process's pen in one run.")
      .def(nb::init<const std::filesystem::path&, const std::string&, bool, std::uint32_t, std::int64_t>(),
           nb::arg("root"), nb::arg("run"), nb::arg("owner"), nb::arg("session"), nb::arg("next_step"))
      .def("log_array", &RunLog::log_array, nb::arg("name"), nb::arg("values").noconvert(), nb::arg("steps").none(),
           "One point for each value (float64) of one metric; 64 share one look at the clock.")
      .def("event", &RunLog::event, nb::arg("kind"), nb::arg("fields"),
           "Records strings; docs/formats/track-run-log.md.")
      .def("sync", &RunLog::sync, "What was logged before survives a loss of power.")
      .def("end_with_process", &RunLog::end_with_process, nb::arg("reason"),
           "Ends the run when the process ends: finished when its exit status is 0, else failed with the reason, or "
           "with "
           "the status where that is empty.")
      .def("close", &RunLog::close, "Turns the log into columns. Once.")
      .def_prop_ro("next_step", &RunLog::next_step);
  nb::class_<RunFiles>(m, "RunFiles", "A run as it was when it was opened.")
      .def_static("open", &open_run, nb::arg("root"), nb::arg("run"))
      .def("state", &state_of, "Everything but the series and what captured() gives.")
      .def("captured", &captured_of, "captures: (session, topic, JSON); output: (stream, text); notices: text.")
      .def("verify", &verify_of, "Reads every page: files, points, problems as (text, is only a torn end).")
      .def("history", &history_of, nb::arg("name"), nb::arg("first_step"), nb::arg("last_step"),
           "Steps (int64), times (int64, ns since 1970) and values (float64), sorted.")
      .def(
          "preview",
          [](const RunFiles& self, const std::string& name, std::size_t points) {
            return arrays_of(base::value_or_raise(self.reader->preview({name, ""}, points)));
          },
          nb::arg("name"), nb::arg("points"))
      .def("stream", &stream_of, nb::arg("names"), "A PyCapsule 'arrow_array_stream'.");
  m.def(
      "recover",
      [](const std::filesystem::path& root, const std::string& run) {
        const dt::RunId id = checked_id(run);
        auto done = [&] {
          nb::gil_scoped_release unlocked;
          return dt::recover(root.native(), id);
        }();
        return base::value_or_raise(std::move(done));
      },
      nb::arg("root"), nb::arg("run"), "Turns what dead writers left into columns; how many segments.");
  m.def(
      "living_writers",
      [](const std::filesystem::path& root, const std::string& run) {
        return base::value_or_raise(dt::living_writers(root.native(), checked_id(run)));
      },
      nb::arg("root"), nb::arg("run"));
}
