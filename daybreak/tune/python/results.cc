// What is done for every result, in Python's C API: the JSON of a plain one in a trial's process, and the table of all at its end.
#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iterator>
#include <memory>
#include <optional>

#include "daybreak/base/env.h"
#include "daybreak/tune/experiment.h"

namespace nb = nanobind;
namespace tune = daybreak::tune;
using tune::Experiment;

namespace {

// Keys that the slow path has rules for.
constexpr std::string_view kRuledKeys[] = {
    "done",           "training_iteration",  "time_total_s",       "time_this_iter_s",   "timesteps_total",
    "episodes_total", "timesteps_this_iter", "episodes_this_iter", "time_since_restore", "iterations_since_restore"};

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

// Writes results that are plain: names and numbers, truths, short texts. Others are the caller's; both count in the same fields.
struct ResultWriter {
  std::string metric;
  std::string time_attr;
  double sign = 1;
  std::vector<std::tuple<std::string, double>> limits;
  double before_s = 0;
  double began = 0;
  double last = 0;
  std::uint64_t iteration = 0;
  std::uint64_t reported = 0;
  std::int64_t second = 0;
  std::string stamp;  // date, timestamp, and who this is

  static double now() { return static_cast<double>(daybreak::base::Env::real().monotonic_ns()) * 1e-9; }

  // The packed result, its time, and whether it is the last; nothing for one that is not plain.
  std::optional<std::tuple<nb::bytes, double, bool>> write(nb::dict metrics) {
    if (std::time(nullptr) != second) return std::nullopt;
    std::string text = "{";
    std::optional<double> score, at;
    std::vector<bool> met(limits.size(), false);
    bool done = false;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t place = 0; PyDict_Next(metrics.ptr(), &place, &key, &value) != 0;) {
      if (!PyUnicode_CheckExact(key) || !write_text(text, key)) return std::nullopt;
      Py_ssize_t size = 0;
      const char* bytes = PyUnicode_AsUTF8AndSize(key, &size);
      const std::string_view name(bytes, static_cast<std::size_t>(size));
      if (std::ranges::find(kRuledKeys, name) != std::end(kRuledKeys)) return std::nullopt;
      text += ": ";
      const std::optional<double> number = write_value(text, value);
      if (!number) return std::nullopt;
      text += ", ";
      if (name == metric) score = number;
      if (name == time_attr) at = number;
      for (std::size_t i = 0; i < limits.size(); ++i) {
        if (name != std::get<0>(limits[i])) continue;
        met[i] = true;
        done = done || *number >= std::get<1>(limits[i]);
      }
    }
    const double at_s = now();
    const double total = before_s + at_s - began;
    const double count = static_cast<double>(iteration + 1);
    if (time_attr == "training_iteration") at = count;
    if (time_attr == "time_total_s") at = total;
    if (!at || (!metric.empty() && (!score || std::isnan(*score)))) return std::nullopt;
    for (std::size_t i = 0; i < limits.size(); ++i) {
      const auto& [name, limit] = limits[i];
      if (name == "training_iteration")
        done = done || count >= limit;
      else if (name == "time_total_s")
        done = done || total >= limit;
      else if (!met[i])
        return std::nullopt;
    }
    ++iteration;
    ++reported;
    text += R"("done": false, "training_iteration": )";
    fmt::format_to(std::back_inserter(text), "{}, \"time_this_iter_s\": ", iteration);
    write_double(text, at_s - last);
    text += ", \"time_total_s\": ";
    write_double(text, total);
    text += ", \"time_since_restore\": ";
    write_double(text, at_s - began);
    fmt::format_to(std::back_inserter(text), ", \"iterations_since_restore\": {}, {}}}", reported, stamp);
    last = at_s;
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
                              .text = std::move(text)});
    return std::make_tuple(nb::bytes(packed.data(), packed.size()), *at, done);
  }

 private:
  // What it is as a number (NaN for what is none); nothing when it is not plain.
  static std::optional<double> write_value(std::string& text, PyObject* value) {
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
};

// Reads the cells of a line that this room has written: names and values without escapes and lists, in one pass.
class LineCells {
 public:
  struct Cell {
    std::string_view name;  // of the last part; the whole is prefix + name
    std::string_view prefix;
    std::string_view value;  // as in the JSON; a text without its quotes
    bool text = false;
  };

  // False for what is not plain.
  bool read(std::string_view line, std::vector<Cell>& cells) {
    prefixes_.clear();
    at_ = line;
    cells.clear();
    return object("", cells) && at_.empty();
  }

 private:
  static constexpr std::size_t kMaxDepth = 16;

  void space() {
    while (at_.starts_with(' ')) at_.remove_prefix(1);
  }
  bool take(char expected) {
    space();
    if (!at_.starts_with(expected)) return false;
    at_.remove_prefix(1);
    return true;
  }
  bool quoted(std::string_view& text) {
    if (!take('"')) return false;
    const std::size_t end = at_.find_first_of("\"\\");
    if (end == std::string_view::npos || at_[end] != '"') return false;
    text = at_.substr(0, end);
    at_.remove_prefix(end + 1);
    return true;
  }
  bool object(std::string_view prefix, std::vector<Cell>& cells) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      Cell cell{.prefix = prefix};
      if (!quoted(cell.name) || !take(':')) return false;
      space();
      if (at_.starts_with('{')) {
        if (prefixes_.size() == kMaxDepth || at_.starts_with("{}")) return false;
        prefixes_.push_back(std::make_unique<std::string>(fmt::format("{}{}/", prefix, cell.name)));
        if (!object(*prefixes_.back(), cells)) return false;
        continue;
      }
      cell.text = at_.starts_with('"');
      if (cell.text) {
        if (!quoted(cell.value)) return false;
      } else {
        const std::size_t end = at_.find_first_of(",}[");
        if (end == std::string_view::npos || at_[end] == '[') return false;
        cell.value = at_.substr(0, end);
        at_.remove_prefix(end);
      }
      cells.push_back(cell);
    } while (take(','));
    return take('}');
  }

  std::string_view at_;
  std::vector<std::unique_ptr<std::string>> prefixes_;
};

void add_cell(std::string& line, std::string_view value, bool text) {
  if (text) {
    const bool quotes = value.find_first_of(",\r\n") != std::string_view::npos;
    line.append(quotes ? "\"" : "").append(value).append(quotes ? "\"" : "");
    return;
  }
  static constexpr std::pair<std::string_view, std::string_view> kPythons[] = {
      {"true", "True"}, {"false", "False"}, {"null", ""}, {"NaN", "nan"}, {"Infinity", "inf"}, {"-Infinity", "-inf"}};
  const auto* named = std::ranges::find(kPythons, value, [](const auto& pair) { return pair.first; });
  line += named == std::end(kPythons) ? value : named->second;
}

// progress.csv of the lines of result.json, with the first one's columns; nothing when a line is not plain.
std::optional<nb::bytes> table_of(const nb::bytes& lines) {
  std::string table;
  std::vector<std::string> columns;
  std::vector<LineCells::Cell> cells;
  LineCells reader;
  const auto is_of = [](const LineCells::Cell& cell, std::string_view column) {
    return column.starts_with(cell.prefix) && column.substr(cell.prefix.size()) == cell.name;
  };
  std::string_view rest(lines.c_str(), lines.size());
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.ends_with('}')) continue;  // cut by a death
    if (!reader.read(line, cells)) return std::nullopt;
    if (columns.empty()) {
      for (const LineCells::Cell& cell : cells) {
        columns.push_back(fmt::format("{}{}", cell.prefix, cell.name));
        add_cell(table, columns.back(), true);
        table += ',';
      }
      if (columns.empty()) return std::nullopt;
      table.replace(table.size() - 1, 1, "\r\n");
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const LineCells::Cell* found = i < cells.size() && is_of(cells[i], columns[i]) ? &cells[i] : nullptr;
      for (std::size_t k = 0; found == nullptr && k < cells.size(); ++k) {
        if (is_of(cells[k], columns[i])) found = &cells[k];
      }
      if (found != nullptr) add_cell(table, found->value, found->text);
      table += i + 1 < columns.size() ? "," : "\r\n";
    }
  }
  return nb::bytes(table.data(), table.size());
}

}  // namespace

void bind_result_writer(nb::module_& m) {
  nb::class_<ResultWriter>(m, "ResultWriter", "The JSON of plain results, as Experiment.results() takes them.")
      .def(nb::init<>())
      .def("write", &ResultWriter::write, nb::arg("metrics"),
           "The packed result, its time, whether it is the last; None for one that is not plain, or in a new second.")
      .def_rw("metric", &ResultWriter::metric)
      .def_rw("time_attr", &ResultWriter::time_attr)
      .def_rw("sign", &ResultWriter::sign)
      .def_rw("limits", &ResultWriter::limits)
      .def_rw("before_s", &ResultWriter::before_s)
      .def_rw("began", &ResultWriter::began)
      .def_rw("last", &ResultWriter::last)
      .def_rw("iteration", &ResultWriter::iteration)
      .def_rw("reported", &ResultWriter::reported)
      .def_rw("second", &ResultWriter::second)
      .def_rw("stamp", &ResultWriter::stamp);
  m.def("table_of", &table_of, nb::arg("lines"),
        "progress.csv of the lines of a result.json; None when there is more in them than numbers, texts and truths.");
}
