#include "daybreak/tensor/arrow/import.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace daybreak::tensor::arrow {

using base::Code;
using base::fail;

namespace {

// What is not an element has no alignment that anybody promised.
template <typename T>
T load(const std::byte* from, std::int64_t i) {
  T value;
  std::memcpy(&value, from + i * static_cast<std::int64_t>(sizeof value), sizeof value);
  return value;
}

// A string view: up to kInline bytes stand in it, longer texts in a page.
struct TextView {
  static constexpr std::int32_t kInline = 12;
  std::int32_t size;
  std::array<char, 4> prefix;
  std::int32_t page;
  std::int32_t offset;
};
static_assert(sizeof(TextView) == 16);

// The number behind `prefix`, which ends the format.
std::optional<std::int64_t> number_behind(std::string_view format, std::string_view prefix) {
  std::int64_t value = 0;
  const char* end = format.data() + format.size();
  const auto read = std::from_chars(format.data() + prefix.size(), end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

// Bytes of an element, 0 where it has no fixed width.
std::int64_t width_of(std::string_view format) {
  static constexpr std::pair<std::string_view, std::int64_t> kWidths[] = {
      {"c", 1},   {"C", 1},   {"s", 2},   {"S", 2},   {"i", 4},   {"I", 4},   {"l", 8},   {"L", 8},
      {"e", 2},   {"f", 4},   {"g", 8},   {"tdD", 4}, {"tdm", 8}, {"tts", 4}, {"ttm", 4}, {"ttu", 8},
      {"ttn", 8}, {"tDs", 8}, {"tDm", 8}, {"tDu", 8}, {"tDn", 8}, {"tiM", 4}, {"tiD", 8}, {"tin", 16}};
  for (const auto& [name, width] : kWidths) {
    if (format == name) return width;
  }
  for (const std::string_view time : {"tss:", "tsm:", "tsu:", "tsn:"}) {
    if (format.starts_with(time)) return 8;
  }
  if (format.starts_with("w:")) {
    const auto width = number_behind(format, "w:");
    return width && *width >= 1 && *width <= kMaxWidth ? *width : 0;
  }
  if (format.starts_with("d:")) {  // d:precision,scale or d:precision,scale,bits
    if (std::count(format.begin(), format.end(), ',') < 2) return 16;
    const auto bits = number_behind(format, format.substr(0, format.rfind(',') + 1));
    return bits && (*bits == 32 || *bits == 64 || *bits == 128 || *bits == 256) ? *bits / 8 : 0;
  }
  return 0;
}

bool is_whole_number(std::string_view format) {
  return format.size() == 1 && std::string_view("cCsSiIlL").find(format[0]) != std::string_view::npos;
}

}  // namespace

base::Result<Type> parse_type(std::string_view format) {
  Type type{std::string(format), Layout::kFixed, width_of(format)};
  if (type.width > 0) return type;
  if (format == "n") {
    type.layout = Layout::kNull;
  } else if (format == "b") {
    type.layout = Layout::kBits;
  } else if (format == "u" || format == "z") {
    type.layout = Layout::kText;
  } else if (format == "U" || format == "Z") {
    type.layout = Layout::kLargeText;
  } else if (format == "vu" || format == "vz") {
    type.layout = Layout::kTextViews;
  } else {
    return fail(
        Code::kUnimplemented,
        "Arrow type '{}' is not read: numbers, booleans, dates, times, texts and binaries are, alone or behind a "
        "dictionary",
        format.substr(0, 40));
  }
  return type;
}

// Makes an Array of what a producer handed over, or says what is wrong with it.
class ArrayChecker {
 public:
  explicit ArrayChecker(std::string column) : column_(std::move(column)) {}

  // `length` elements from `offset` on, both of the buffers' elements and in range.
  base::Result<Array> check(const ArrowSchema& schema, const ArrowArray& array, std::int64_t offset,
                            std::int64_t length) {
    if (schema.format == nullptr) return wrong("it has no format");
    Array out;
    DAYBREAK_ASSIGN(out.type_, parse_type(schema.format));
    out.length_ = length;
    out.offset_ = offset;
    DAYBREAK_TRY(check_buffers(array, out));
    switch (out.type_.layout) {
      case Layout::kText:
      case Layout::kLargeText: DAYBREAK_TRY(check_texts(out)); break;
      case Layout::kTextViews: DAYBREAK_TRY(check_views(array, out)); break;
      default: break;
    }
    if ((schema.dictionary == nullptr) != (array.dictionary == nullptr))
      return wrong("its schema and its array disagree about a dictionary");
    if (schema.dictionary != nullptr) DAYBREAK_TRY(check_dictionary(schema, array, out));
    return out;
  }

  // That length and offset are numbers an array may have.
  base::Status check_extent(const ArrowArray& array) {
    if (array.length < 0 || array.offset < 0 || array.length > kMaxElements || array.offset > kMaxElements) {
      return wrong(
          fmt::format("a length of {} from {} on: 0 to {} are possible", array.length, array.offset, kMaxElements));
    }
    if (array.null_count < -1 || array.null_count > array.length)
      return wrong(fmt::format("{} nulls of {} elements", array.null_count, array.length));
    return {};
  }

  std::unexpected<base::Error> wrong(std::string_view what) const {
    return fail(Code::kInvalidArgument, "Arrow {}: {}", column_, what);
  }

 private:
  base::Status check_buffers(const ArrowArray& array, Array& out) {
    static constexpr std::int64_t kBuffers[] = {0, 2, 2, 3, 3, 3};  // by layout; views have one for each page beside
    const std::int64_t expected = kBuffers[static_cast<std::size_t>(out.type_.layout)];
    const bool views = out.type_.layout == Layout::kTextViews;
    if (views ? array.n_buffers < expected : array.n_buffers != expected) {
      return wrong(fmt::format("{} buffers, its type '{}' has {}{}", array.n_buffers, out.type_.format, expected,
                               views ? " or more" : ""));
    }
    if (array.n_children != 0) return wrong(fmt::format("{} children, its type has none", array.n_children));
    if (expected == 0) return {};
    if (array.buffers == nullptr) return wrong("it has no buffers");
    out.validity_ = static_cast<const std::byte*>(array.buffers[0]);
    out.values_ = static_cast<const std::byte*>(array.buffers[1]);
    if (out.validity_ == nullptr && array.null_count > 0)
      return wrong(fmt::format("{} nulls and no validity bits", array.null_count));
    if (out.length_ > 0 && out.values_ == nullptr) return wrong(fmt::format("no values for {} elements", out.length_));
    // Binaries of a fixed width are bytes; all else is read as numbers of the processor.
    if (out.type_.layout == Layout::kFixed && out.length_ > 0 && !out.type_.format.starts_with("w:")) {
      const auto alignment = static_cast<std::uintptr_t>(std::min<std::int64_t>(8, out.type_.width));
      if (reinterpret_cast<std::uintptr_t>(out.values_) % alignment != 0)
        return wrong("its values are not aligned: copy them first");
    }
    if (!views && expected == 3) out.characters_ = static_cast<const char*>(array.buffers[2]);
    return {};
  }

  base::Status check_texts(const Array& out) {
    if (out.length_ == 0) return {};
    std::int64_t before = out.text_begin(0);
    if (before < 0) return wrong(fmt::format("its first text begins at byte {}", before));
    for (std::int64_t i = 1; i <= out.length_; ++i) {
      const std::int64_t at = out.text_begin(i);
      if (at < before) return wrong(fmt::format("text {} ends at byte {}, before it begins at {}", i - 1, at, before));
      before = at;
    }
    if (before > 0 && out.characters_ == nullptr)
      return wrong(fmt::format("no characters for {} bytes of text", before));
    return {};
  }

  base::Status check_views(const ArrowArray& array, Array& out) {
    const std::int64_t pages = array.n_buffers - 3;
    const auto* sizes = static_cast<const std::byte*>(array.buffers[array.n_buffers - 1]);
    if (pages > 0 && sizes == nullptr) return wrong("its buffers of text have no sizes");
    out.pages_ = array.buffers + 2;
    for (std::int64_t i = 0; i < out.length_; ++i) {
      if (out.is_null(i)) continue;  // whatever stands there
      const auto view = load<TextView>(out.values_, out.offset_ + i);
      if (view.size < 0) return wrong(fmt::format("text {} has {} bytes", i, view.size));
      if (view.size <= TextView::kInline) continue;
      if (view.page < 0 || view.page >= pages)
        return wrong(fmt::format("text {} lies in buffer {} of {}", i, view.page, pages));
      const auto room = load<std::int64_t>(sizes, view.page);
      if (view.offset < 0 || std::int64_t{view.offset} + view.size > room || out.pages_[view.page] == nullptr) {
        return wrong(fmt::format("text {} is bytes {} to {} of a buffer of {}", i, view.offset,
                                 std::int64_t{view.offset} + view.size, out.pages_[view.page] == nullptr ? 0 : room));
      }
    }
    return {};
  }

  base::Status check_dictionary(const ArrowSchema& schema, const ArrowArray& array, Array& out) {
    if (!is_whole_number(out.type_.format))
      return wrong(fmt::format("indices of type '{}': whole numbers are possible", out.type_.format));
    if (schema.dictionary->dictionary != nullptr) return wrong("a dictionary of a dictionary");
    ArrayChecker values(fmt::format("dictionary of {}", column_));
    DAYBREAK_TRY(values.check_extent(*array.dictionary));
    DAYBREAK_ASSIGN(Array dictionary, values.check(*schema.dictionary, *array.dictionary, array.dictionary->offset,
                                                   array.dictionary->length));
    const std::int64_t size = dictionary.length();
    out.dictionary_ = std::make_shared<const Array>(std::move(dictionary));
    for (std::int64_t i = 0; i < out.length_; ++i) {
      if (out.is_null(i)) continue;
      const std::int64_t at = out.index(i);  // one beyond int64 reads as negative
      if (at < 0 || at >= size) return wrong(fmt::format("index {} of {} dictionary values", at, size));
    }
    return {};
  }

  const std::string column_;
};

std::int64_t Array::null_count() const {
  if (type_.layout == Layout::kNull) return length_;
  std::int64_t count = 0;
  for (std::int64_t i = 0; validity_ != nullptr && i < length_; ++i) count += is_null(i) ? 1 : 0;
  return count;
}

std::int64_t Array::text_begin(std::int64_t i) const {
  if (type_.layout == Layout::kLargeText) return load<std::int64_t>(values_, offset_ + i);
  return load<std::int32_t>(values_, offset_ + i);
}

std::string_view Array::text(std::int64_t i) const {
  if (is_null(i)) return {};
  if (type_.layout == Layout::kTextViews) {
    const std::byte* at = values_ + (offset_ + i) * static_cast<std::int64_t>(sizeof(TextView));
    const auto view = load<TextView>(at, 0);
    const auto size = static_cast<std::size_t>(view.size);
    if (view.size <= TextView::kInline) return {reinterpret_cast<const char*>(at) + sizeof view.size, size};
    return {static_cast<const char*>(pages_[view.page]) + view.offset, size};
  }
  DAYBREAK_CHECK(type_.layout == Layout::kText || type_.layout == Layout::kLargeText);
  const std::int64_t begin = text_begin(i);
  const std::int64_t size = text_begin(i + 1) - begin;
  return size == 0 ? std::string_view() : std::string_view(characters_ + begin, static_cast<std::size_t>(size));
}

std::int64_t Array::index(std::int64_t i) const {
  switch (type_.format[0]) {
    case 'c': return load<std::int8_t>(values_, offset_ + i);
    case 'C': return load<std::uint8_t>(values_, offset_ + i);
    case 's': return load<std::int16_t>(values_, offset_ + i);
    case 'S': return load<std::uint16_t>(values_, offset_ + i);
    case 'i': return load<std::int32_t>(values_, offset_ + i);
    case 'I': return load<std::uint32_t>(values_, offset_ + i);
    default: return load<std::int64_t>(values_, offset_ + i);
  }
}

void ImportedBatch::Release::operator()(ArrowArray* array) const {
  if (array->release != nullptr) array->release(array);
  delete array;
}

base::Result<ImportedBatch> ImportedBatch::take(const ArrowSchema& schema, ArrowArray* array) {
  ImportedBatch batch;
  batch.array_.reset(new ArrowArray(*array));
  array->release = nullptr;  // moved, as the interface says it
  const ArrowArray& whole = *batch.array_;
  ArrayChecker checker("batch");
  if (whole.release == nullptr) return checker.wrong("it was released before");
  DAYBREAK_TRY(checker.check_extent(whole));
  if (schema.format == nullptr || std::string_view(schema.format) != "+s" || schema.n_children < 0 ||
      schema.n_children > kMaxColumns || schema.n_children != whole.n_children ||
      (whole.n_children > 0 && (schema.children == nullptr || whole.children == nullptr))) {
    return checker.wrong(fmt::format("{} columns for a schema '{}' of {}: a struct of 0 to {} is possible",
                                     whole.n_children, schema.format == nullptr ? "" : schema.format, schema.n_children,
                                     kMaxColumns));
  }
  if (whole.n_buffers != 1 || whole.null_count > 0 || (whole.buffers != nullptr && whole.buffers[0] != nullptr))
    return checker.wrong("rows that are null as a whole are not read");
  batch.rows_ = whole.length;
  for (std::int64_t i = 0; i < whole.n_children; ++i) {
    const ArrowSchema* field = schema.children[i];
    const ArrowArray* column = whole.children[i];
    ArrayChecker of_column(
        fmt::format("column {} '{}'", i, field == nullptr || field->name == nullptr ? "" : field->name));
    if (field == nullptr || column == nullptr || column->release == nullptr) return of_column.wrong("it is not there");
    DAYBREAK_TRY(of_column.check_extent(*column));
    if (column->length < whole.offset + whole.length) {
      return of_column.wrong(
          fmt::format("{} elements, the batch has {} rows from {} on", column->length, whole.length, whole.offset));
    }
    // The struct's offset counts on top of the column's own.
    DAYBREAK_ASSIGN(Array checked, of_column.check(*field, *column, column->offset + whole.offset, whole.length));
    batch.columns_.push_back(std::move(checked));
  }
  return batch;
}

void ImportedStream::Release::operator()(ArrowArrayStream* stream) const {
  if (stream->release != nullptr) stream->release(stream);
  delete stream;
}

void ImportedStream::Release::operator()(ArrowSchema* schema) const {
  if (schema->release != nullptr) schema->release(schema);
  delete schema;
}

namespace {

base::Status producers_error(ArrowArrayStream& stream, int code) {
  const char* sentence = stream.get_last_error(&stream);
  return fail(Code::kUnknown, "the producer of an Arrow stream failed with {} ({})",
              sentence == nullptr ? "no sentence" : sentence, code);
}

}  // namespace

base::Result<ImportedStream> ImportedStream::take(ArrowArrayStream* stream) {
  ImportedStream out;
  out.stream_.reset(new ArrowArrayStream(*stream));
  stream->release = nullptr;
  if (out.stream_->release == nullptr) return fail(Code::kInvalidArgument, "this Arrow stream was released before");
  out.schema_.reset(new ArrowSchema{});
  if (const int code = out.stream_->get_schema(out.stream_.get(), out.schema_.get()); code != 0) {
    out.schema_->release = nullptr;  // nothing was made
    DAYBREAK_TRY(producers_error(*out.stream_, code));
  }
  const ArrowSchema& schema = *out.schema_;
  if (schema.format == nullptr || std::string_view(schema.format) != "+s" || schema.n_children < 0 ||
      schema.n_children > kMaxColumns || (schema.n_children > 0 && schema.children == nullptr)) {
    return fail(Code::kInvalidArgument, "Arrow stream: a schema '{}' of {} columns: a struct of 0 to {} is possible",
                schema.format == nullptr ? "" : schema.format, schema.n_children, kMaxColumns);
  }
  for (std::int64_t i = 0; i < schema.n_children; ++i) {
    const ArrowSchema* field = schema.children[i];
    if (field == nullptr || field->format == nullptr)
      return fail(Code::kInvalidArgument, "Arrow stream: column {} has no format", i);
    DAYBREAK_ASSIGN(Type type, parse_type(field->format));
    out.names_.emplace_back(field->name == nullptr ? "" : field->name);
    out.types_.push_back(std::move(type));
  }
  return out;
}

base::Result<std::optional<ImportedBatch>> ImportedStream::next() {
  ArrowArray array{};
  if (const int code = stream_->get_next(stream_.get(), &array); code != 0) {
    DAYBREAK_TRY(producers_error(*stream_, code));
  }
  if (array.release == nullptr) return std::optional<ImportedBatch>();
  DAYBREAK_ASSIGN(ImportedBatch batch, ImportedBatch::take(*schema_, &array));
  return std::optional<ImportedBatch>(std::move(batch));
}

}  // namespace daybreak::tensor::arrow
