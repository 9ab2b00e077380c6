// What a trial reports, in Python's C API: the JSON of a plain result, and the queue from which the controller's calls fetch it. A
// report of plain numbers is done here from its dict to the bytes that the driver writes down.
#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <iterator>
#include <optional>

#include "daybreak/base/env.h"
#include "daybreak/base/mutex.h"
#include "daybreak/tune/experiment.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace tune = daybreak::tune;
using tune::Experiment;

namespace {

// Keys that the slow path has rules for.
constexpr std::string_view kRuledKeys[] = {
    "done",           "training_iteration",  "time_total_s",       "time_this_iter_s",   "timesteps_total",
    "episodes_total", "timesteps_this_iter", "episodes_this_iter", "time_since_restore", "iterations_since_restore"};

constexpr std::size_t kMaxWaitingBytes = 8u << 20;  // that nobody has fetched: a report waits
// Who reports fast is fetched in portions: one is given away when it has this size or age, or when somebody waits for its answer.
constexpr std::size_t kPortionBytes = 256u << 10;
constexpr double kPortionAge_s = 0.05;
constexpr std::size_t kFastCount = 16;  // results in a portion that make the next one wait to be filled

void write_double(std::string& text, double value) {
  const std::size_t begin = text.size();
  fmt::format_to(std::back_inserter(text), "{}", value);
  if (text.find_first_of(".e", begin) == std::string::npos) text += ".0";
}

bool write_text(std::string& text, PyObject* value) {
  Py_ssize_t size = 0;
  const char* bytes = PyUnicode_IS_ASCII(value) ? PyUnicode_AsUTF8AndSize(value, &size) : nullptr;
  if (bytes == nullptr) return false;
  for (Py_ssize_t i = 0; i < size; ++i) {
    if (bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\' || bytes[i] == 0x7f) return false;
  }
  text += '"';
  text.append(bytes, static_cast<std::size_t>(size));
  text += '"';
  return true;
}

// What it is as a number (NaN for what is none); nothing when it is not plain.
std::optional<double> write_value(std::string& text, PyObject* value) {
  if (PyFloat_CheckExact(value)) {
    const double number = PyFloat_AS_DOUBLE(value);
    if (!std::isfinite(number)) return std::nullopt;
    write_double(text, number);
    return number;
  }
  if (PyLong_CheckExact(value)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) return std::nullopt;
    fmt::format_to(std::back_inserter(text), "{}", number);
    return static_cast<double>(number);
  }
  if (value == Py_True || value == Py_False) {
    text += value == Py_True ? "true" : "false";
    return value == Py_True ? 1 : 0;
  }
  if (PyUnicode_CheckExact(value) && write_text(text, value)) return std::nan("");
  return std::nullopt;
}

double now() {
  return static_cast<double>(base::Env::real().monotonic_ns()) * 1e-9;
}

// Of one attempt of a trial. Reports come one after the other (the session's lock); take(), answer() and end() from any thread. The
// mutex is never held while Python's lock is waited for.
class Reports {
 public:
  enum class After { kSlow, kGoOn, kWait, kLast };

  std::string metric;
  std::string time_attr;
  double sign = 1;
  std::vector<std::tuple<std::string, double>> limits;
  double before_s = 0;
  double began = 0;
  double last = 0;
  std::uint64_t iteration = 0;
  std::uint64_t reported = 0;
  double time = 0;
  std::string identity;  // JSON members: who this is

  // kSlow for what is not plain: nothing is done then. Both ways count in the same fields.
  After report(nb::dict metrics) {
    text_.clear();
    text_ += '{';
    std::optional<double> score, at;
    bool done = false;
    if (!write_members(metrics, score, at, done)) return After::kSlow;
    const double at_s = now();
    const double total = before_s + at_s - began;
    const auto count = static_cast<double>(iteration + 1);
    if (time_attr == "training_iteration") at = count;
    if (time_attr == "time_total_s") at = total;
    if (!at || (!metric.empty() && (!score || std::isnan(*score)))) return After::kSlow;
    for (std::size_t i = 0; i < limits.size(); ++i) {
      const auto& [name, limit] = limits[i];
      if (name == "training_iteration")
        done = done || count >= limit;
      else if (name == "time_total_s")
        done = done || total >= limit;
      else if (!met_[i])
        return After::kSlow;
    }
    ++iteration;
    ++reported;
    write_times(at_s, total);
    time = *at;
    std::string packed;
    const auto flags =
        static_cast<std::uint8_t>(tune::ResultRecord::kHasScore | (done ? tune::ResultRecord::kDone : std::uint8_t{0}));
    Experiment::pack(packed, {.trial = 0,
                              .flags = flags,
                              .iteration = iteration,
                              .time = *at,
                              .score = metric.empty() ? 0 : sign * *score,
                              .rank = 0,
                              .checkpoint = "",
                              .text = text_});
    return put(packed, done);
  }

  // A result that has been packed elsewhere and counted in `reported`.
  After put(std::string_view packed, bool done) {
    base::MutexLock lock(mutex_);
    packed_ += packed;
    ++count_;
    const bool waits = time >= next_ ? answered_ < reported : packed_.size() > kMaxWaitingBytes;
    in_want_ = in_want_ || waits || done;
    if (takes_ && !held_ && (!fills_ || in_want_ || packed_.size() >= kPortionBytes)) changed_.notify_all();
    if (done) return After::kLast;
    return waits ? After::kWait : After::kGoOn;
  }

  // Until what was reported is answered, or is little enough. False: the trial is to end.
  bool wait() {
    const nb::gil_scoped_release release;
    base::MutexLock lock(mutex_);
    while (!ends_ && (time >= next_ ? answered_ < reported : packed_.size() > kMaxWaitingBytes)) changed_.wait(mutex_);
    in_want_ = false;
    return !ends_;
  }

  // What there is and how many; waits until there is something, or poke() has said that there is something beside: at most so long
  // (negative: for ever).
  std::tuple<nb::bytes, std::size_t> take(double wait_s) {
    std::string packed;
    std::size_t count = 0;
    {
      const nb::gil_scoped_release release;
      base::MutexLock lock(mutex_);
      takes_ = true;
      while (wait_s < 0 && is_empty()) changed_.wait(mutex_);
      if (wait_s > 0) {
        for (const double until = now() + wait_s; is_empty() && until > now();) wait_until(until);
      }
      if (wait_s < 0 && fast_) {
        fills_ = true;
        for (const double until = now() + kPortionAge_s; !is_full() && until > now();) wait_until(until);
        fills_ = false;
      }
      takes_ = poked_ = in_want_ = false;
      packed.swap(packed_);
      packed_.swap(spare_);
      count = std::exchange(count_, 0);
      fast_ = count >= kFastCount;
      changed_.notify_all();  // who waited for room
    }
    const nb::bytes taken(packed.data(), packed.size());
    if (packed.capacity() <= 2 * kPortionBytes) {
      packed.clear();
      base::MutexLock lock(mutex_);
      spare_.swap(packed);
    }
    return {taken, count};
  }

  // The next result goes with what poke() will say.
  void hold() {
    base::MutexLock lock(mutex_);
    held_ = true;
  }

  void poke() {
    base::MutexLock lock(mutex_);
    poked_ = true;
    changed_.notify_all();
  }

  void answer(std::uint64_t counted, double next, bool ends) {
    base::MutexLock lock(mutex_);
    answered_ += counted;
    next_ = next;
    ends_ = ends_ || ends;
    changed_.notify_all();
  }

  double next() {
    base::MutexLock lock(mutex_);
    return next_;
  }

  // JSON members: the date, and who this is.
  const std::string& stamp() {
    const std::time_t second = std::time(nullptr);
    if (second == second_) return stamp_;
    std::tm local{};
    ::localtime_r(&second, &local);
    std::array<char, 32> date{};
    std::strftime(date.data(), date.size(), "%Y-%m-%d_%H-%M-%S", &local);
    second_ = second;
    stamp_ = fmt::format(R"("date": "{}", "timestamp": {}, {})", date.data(), second, identity);
    return stamp_;
  }

 private:
  bool write_members(nb::dict& metrics, std::optional<double>& score, std::optional<double>& at, bool& done) {
    met_.assign(limits.size(), false);
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t place = 0; PyDict_Next(metrics.ptr(), &place, &key, &value) != 0;) {
      if (!PyUnicode_CheckExact(key) || !write_text(text_, key)) return false;
      Py_ssize_t size = 0;
      const char* bytes = PyUnicode_AsUTF8AndSize(key, &size);
      const std::string_view name(bytes, static_cast<std::size_t>(size));
      if (std::ranges::find(kRuledKeys, name) != std::end(kRuledKeys)) return false;
      text_ += ": ";
      const std::optional<double> number = write_value(text_, value);
      if (!number) return false;
      text_ += ", ";
      if (name == metric) score = number;
      if (name == time_attr) at = number;
      for (std::size_t i = 0; i < limits.size(); ++i) {
        if (name != std::get<0>(limits[i])) continue;
        met_[i] = true;
        done = done || *number >= std::get<1>(limits[i]);
      }
    }
    return true;
  }

  void write_times(double at_s, double total) {
    text_ += R"("done": false, "training_iteration": )";
    fmt::format_to(std::back_inserter(text_), "{}, \"time_this_iter_s\": ", iteration);
    write_double(text_, at_s - last);
    text_ += ", \"time_total_s\": ";
    write_double(text_, total);
    text_ += ", \"time_since_restore\": ";
    write_double(text_, at_s - began);
    fmt::format_to(std::back_inserter(text_), ", \"iterations_since_restore\": {}, {}}}", reported, stamp());
    last = at_s;
  }

  bool is_empty() const DAYBREAK_REQUIRES(mutex_) { return (count_ == 0 || held_) && !poked_; }
  bool is_full() const DAYBREAK_REQUIRES(mutex_) { return poked_ || in_want_ || packed_.size() >= kPortionBytes; }
  void wait_until(double until) DAYBREAK_REQUIRES(mutex_) {
    (void)changed_.wait_for(mutex_, std::max<std::int64_t>(static_cast<std::int64_t>((until - now()) * 1e9), 1));
  }

  std::string text_;
  std::vector<bool> met_;
  std::time_t second_ = 0;
  std::string stamp_;

  base::Mutex mutex_;
  base::CondVar changed_;
  std::string packed_ DAYBREAK_GUARDED_BY(mutex_);
  // Empty; its memory is the next portion's: new pages cost more than a result.
  std::string spare_ DAYBREAK_GUARDED_BY(mutex_);
  std::size_t count_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  std::uint64_t answered_ DAYBREAK_GUARDED_BY(mutex_) = 0;
  double next_ DAYBREAK_GUARDED_BY(mutex_) = tune::Scheduler::kAlways;
  bool ends_ DAYBREAK_GUARDED_BY(mutex_) = false;
  bool poked_ DAYBREAK_GUARDED_BY(mutex_) = false;    // there is something beside results
  bool in_want_ DAYBREAK_GUARDED_BY(mutex_) = false;  // somebody waits for the answer to what is here
  bool held_ DAYBREAK_GUARDED_BY(mutex_) = false;
  bool takes_ DAYBREAK_GUARDED_BY(mutex_) = false;  // somebody is in take()
  bool fills_ DAYBREAK_GUARDED_BY(mutex_) = false;  // and waits for more
  bool fast_ DAYBREAK_GUARDED_BY(mutex_) = false;
};

}  // namespace

void bind_reports(nb::module_& m) {
  nb::class_<Reports> reports(m, "Reports", "What an attempt of a trial reports, until the controller fetches it.");
  nb::enum_<Reports::After>(reports, "After", "What the trial does after a report.")
      .value("SLOW", Reports::After::kSlow, "Nothing was done: it is not plain.")
      .value("GO_ON", Reports::After::kGoOn)
      .value("WAIT", Reports::After::kWait)
      .value("LAST", Reports::After::kLast);
  reports.def(nb::init<>())
      .def("report", &Reports::report, nb::arg("metrics"))
      .def(
          "put",
          [](Reports& r, const nb::bytes& packed, bool done) { return r.put({packed.c_str(), packed.size()}, done); },
          nb::arg("packed"), nb::arg("done"))
      .def("wait", &Reports::wait, "Until it is answered, or there is room. False: the trial is to end.")
      .def("take", &Reports::take, nb::arg("wait_s") = -1.0,
           "Results as Experiment.results() takes them, and how many.")
      .def("hold", &Reports::hold, "The next result goes with what poke() will say.")
      .def("poke", &Reports::poke, "take() returns, whatever there is.")
      .def("answer", &Reports::answer, nb::arg("counted"), nb::arg("next"), nb::arg("ends"))
      .def("stamp", &Reports::stamp, "JSON members: the date, and who this is.")
      .def_prop_ro("next", &Reports::next)
      .def_rw("metric", &Reports::metric)
      .def_rw("time_attr", &Reports::time_attr)
      .def_rw("sign", &Reports::sign)
      .def_rw("limits", &Reports::limits)
      .def_rw("before_s", &Reports::before_s)
      .def_rw("began", &Reports::began)
      .def_rw("last", &Reports::last)
      .def_rw("iteration", &Reports::iteration)
      .def_rw("reported", &Reports::reported)
      .def_rw("time", &Reports::time)
      .def_rw("identity", &Reports::identity);
}
