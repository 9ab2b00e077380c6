// progress.csv of a trial's results, in Python's C API: made once of all of them, when an attempt ends.
#include <fcntl.h>
#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/bind.h"
#include "daybreak/base/fd.h"
#include "daybreak/os/fd.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace os = daybreak::os;

namespace {

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
    std::size_t end = 0;
    while (end < at_.size() && at_[end] != '"' && at_[end] != '\\') ++end;
    if (end == at_.size() || at_[end] != '"') return false;
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
        std::size_t end = 0;
        while (end < at_.size() && at_[end] != ',' && at_[end] != '}' && at_[end] != '[') ++end;
        if (end == at_.size() || at_[end] == '[') return false;
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
  if (!value.empty() && (value[0] == '-' ? value.size() > 1 && value[1] <= '9' : value[0] <= '9')) {  // a number
    line += value;
    return;
  }
  static constexpr std::pair<std::string_view, std::string_view> kPythons[] = {
      {"true", "True"}, {"false", "False"}, {"null", ""}, {"NaN", "nan"}, {"Infinity", "inf"}, {"-Infinity", "-inf"}};
  const auto* named = std::ranges::find(kPythons, value, [](const auto& pair) { return pair.first; });
  line += named == std::end(kPythons) ? value : named->second;
}

// progress.csv of the lines of result.json, with the first one's columns.
class ResultTable {
 public:
  std::string text;  // the whole lines that were added, until somebody takes them

  // False when a line is not plain.
  bool add(std::string_view lines) {
    while (!lines.empty()) {
      const std::size_t end = lines.find('\n');
      const std::string_view line = lines.substr(0, end);
      lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
      if (!line.ends_with('}')) continue;  // cut by a death
      if (!reader_.read(line, cells_)) return false;
      if (columns_.empty() && !add_header()) return false;
      add_row();
    }
    return true;
  }

 private:
  static bool is_of(const LineCells::Cell& cell, std::string_view column) {
    return column.starts_with(cell.prefix) && column.substr(cell.prefix.size()) == cell.name;
  }

  bool add_header() {
    for (const LineCells::Cell& cell : cells_) {
      columns_.push_back(fmt::format("{}{}", cell.prefix, cell.name));
      add_cell(text, columns_.back(), true);
      text += ',';
    }
    if (columns_.empty()) return false;
    text.replace(text.size() - 1, 1, "\r\n");
    return true;
  }

  void add_row() {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const LineCells::Cell* found = i < cells_.size() && is_of(cells_[i], columns_[i]) ? &cells_[i] : nullptr;
      for (std::size_t k = 0; found == nullptr && k < cells_.size(); ++k) {
        if (is_of(cells_[k], columns_[i])) found = &cells_[k];
      }
      if (found != nullptr) add_cell(text, found->value, found->text);
      text += i + 1 < columns_.size() ? "," : "\r\n";
    }
  }

  std::vector<std::string> columns_;
  std::vector<LineCells::Cell> cells_;
  LineCells reader_;
};

std::optional<std::string> table_of(std::string_view lines) {
  ResultTable table;
  table.text.reserve(lines.size() / 2);
  if (!table.add(lines)) return std::nullopt;
  return std::move(table.text);
}

constexpr std::size_t kBlockBytes = 512u << 10;

// From file to file in blocks: memory that is used again costs nothing. False when a line is not plain.
base::Result<bool> table_file(const std::string& from, const std::string& to) {
  DAYBREAK_ASSIGN(const base::Fd lines, os::open_file(from, O_RDONLY));
  DAYBREAK_ASSIGN(const base::Fd file, os::open_file(to, O_WRONLY | O_CREAT | O_TRUNC, 0666));
  ResultTable table;
  std::string block;
  for (std::size_t left_over = 0, count = 1; count > 0;) {
    if (block.size() < left_over + kBlockBytes) block.resize(left_over + kBlockBytes);
    DAYBREAK_ASSIGN(count, os::read_some(lines.get(), std::span(block).subspan(left_over)));
    const std::string_view there(block.data(), left_over + count);
    // A line that has no end yet waits for the next block, the last one for none.
    const std::size_t whole = count == 0 ? there.size() : there.rfind('\n') + 1;
    if (!table.add(there.substr(0, whole))) return false;
    left_over = there.size() - whole;
    std::copy(there.begin() + static_cast<std::ptrdiff_t>(whole), there.end(), block.begin());
    DAYBREAK_TRY(os::write_all(file.get(), table.text, to));
    table.text.clear();
  }
  return true;
}

void write_new(const std::string& path, std::string_view bytes) {
  const base::Fd file = base::value_or_raise(os::open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0666));
  base::value_or_raise(os::write_all(file.get(), bytes, path));
}

}  // namespace

void bind_result_table(nb::module_& m) {
  m.def(
      "table_file",
      [](const std::string& from, const std::string& to) {
        base::Result<bool> made = true;
        {
          const nb::gil_scoped_release release;
          made = table_file(from, to);
        }
        return base::value_or_raise(std::move(made));
      },
      nb::arg("from_"), nb::arg("to"),
      "progress.csv of a result.json. False, and `to` is to be written again, when there is more in it than numbers, "
      "texts and truths.");
  m.def(
      "write_results",
      [](const std::string& folder, const nb::bytes& lines) {
        if (::access((folder + "/result.json").c_str(), F_OK) == 0) return false;
        const std::string_view bytes(lines.c_str(), lines.size());
        const std::optional<std::string> table = table_of(bytes);
        if (!table) return false;
        write_new(folder + "/result.json", bytes);
        write_new(folder + "/progress.csv", *table);
        return true;
      },
      nb::arg("folder"), nb::arg("lines"),
      "Both files of a trial that has ended with these results. False, and nothing done, when there are some already "
      "or when they are"
      " not plain.");
}
