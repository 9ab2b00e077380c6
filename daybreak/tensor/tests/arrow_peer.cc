// What test_arrow.py loads: reads a stream that pyarrow made, and writes each element as a line.
#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "daybreak/tensor/arrow/import.h"

namespace ar = daybreak::tensor::arrow;

namespace {

std::string line_of(const ar::Array& column, std::int64_t i) {
  if (column.is_null(i)) return "null";
  if (column.dictionary() != nullptr) return line_of(*column.dictionary(), column.index(i));
  const std::string& format = column.type().format;
  const auto at = static_cast<std::size_t>(i);
  if (column.type().layout == ar::Layout::kBits) return column.bit(i) ? "true" : "false";
  if (column.type().layout != ar::Layout::kFixed) return fmt::format("'{}'", column.text(i));
  if (format == "c") return fmt::format("{}", column.values<std::int8_t>()[at]);
  if (format == "S") return fmt::format("{}", column.values<std::uint16_t>()[at]);
  if (format == "i") return fmt::format("{}", column.values<std::int32_t>()[at]);
  if (format == "g") return fmt::format("{}", column.values<double>()[at]);
  if (column.type().width == 8) return fmt::format("{}", column.values<std::int64_t>()[at]);
  std::string bytes;
  for (const std::byte b : column.element(i)) bytes += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return bytes;
}

}  // namespace

// Takes the stream. The answer stays until the next call.
extern "C" __attribute__((visibility("default"))) const char* read_stream(ArrowArrayStream* stream) {
  static std::string text;
  text.clear();
  auto in = ar::ImportedStream::take(stream);
  if (!in) return (text = "error: " + in.error().message()).c_str();
  while (true) {
    const auto next = in->next();
    if (!next) return (text = "error: " + next.error().message()).c_str();
    if (!next->has_value()) return text.c_str();
    for (std::size_t c = 0; c < in->names().size(); ++c) {
      const ar::Array& column = (*next)->columns()[c];
      for (std::int64_t i = 0; i < column.length(); ++i) text += in->names()[c] + " " + line_of(column, i) + "\n";
    }
  }
}
