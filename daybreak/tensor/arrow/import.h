// Columns into the house: arrays that a stranger hands over behind Arrow's C interfaces, checked before they are read.
//
// The interface says how long an array is, not how long its buffers are: that those have room for `offset + length`
// elements is the producer's word. All else is checked when a batch comes in: lengths, offsets, counts, the order and
// the ends of texts, the places of string views inside of their buffers, indices into dictionaries. So no function
// below fails or reads where it should not. Texts are bytes: whoever needs UTF-8 checks it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tensor/arrow/abi.h"

namespace daybreak::tensor::arrow {

inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;  // times kMaxWidth: a byte's place fits an int64
inline constexpr std::int64_t kMaxWidth = std::int64_t{1} << 20;
inline constexpr std::int64_t kMaxColumns = 65'536;

enum class Layout : std::uint8_t {
  kNull,       // "n": nothing but a length
  kBits,       // "b": booleans
  kFixed,      // numbers, dates, times, decimals, binaries of one width
  kText,       // "u", "z"
  kLargeText,  // "U", "Z"
  kTextViews,  // "vu", "vz"
};

struct Type {
  std::string format;  // as the C data interface writes it
  Layout layout = Layout::kNull;
  std::int64_t width = 0;  // bytes of an element of kFixed
};
// kUnimplemented: a type with parts (lists, structs, unions, maps, run ends), or none that the interface knows.
base::Result<Type> parse_type(std::string_view format);

// One column. A value that owns nothing: what it points at belongs to its batch.
class Array {
 public:
  const Type& type() const { return type_; }
  std::int64_t length() const { return length_; }
  std::int64_t null_count() const;  // counted

  // Each i is below length().
  bool is_null(std::int64_t i) const {
    if (type_.layout == Layout::kNull) return true;
    return validity_ != nullptr && !bit_of(validity_, offset_ + i);
  }
  // kBits; false where null.
  bool bit(std::int64_t i) const { return !is_null(i) && bit_of(values_, offset_ + i); }
  // kFixed, where sizeof(T) is the width; what stands where is_null() means nothing.
  template <typename T>
  std::span<const T> values() const {
    DAYBREAK_CHECK(type_.layout == Layout::kFixed && type_.width == sizeof(T));
    if (length_ == 0) return {};
    return {reinterpret_cast<const T*>(values_) + offset_, static_cast<std::size_t>(length_)};
  }
  // kFixed: the bytes of one element.
  std::span<const std::byte> element(std::int64_t i) const {
    return {values_ + (offset_ + i) * type_.width, static_cast<std::size_t>(type_.width)};
  }
  // kText, kLargeText, kTextViews; empty where null.
  std::string_view text(std::int64_t i) const;
  // The values that the elements, which are whole numbers, are the indices of; null where there are none.
  const Array* dictionary() const { return dictionary_.get(); }
  // With a dictionary: the index of an element that is not null.
  std::int64_t index(std::int64_t i) const;

 private:
  friend class ArrayChecker;
  static bool bit_of(const std::byte* bits, std::int64_t i) {
    return (std::to_integer<unsigned>(bits[i / 8]) >> (i % 8) & 1U) != 0;
  }
  std::int64_t text_begin(std::int64_t i) const;  // the i-th offset of the buffer; kText and kLargeText

  Type type_;
  std::int64_t length_ = 0;
  std::int64_t offset_ = 0;
  const std::byte* validity_ = nullptr;
  const std::byte* values_ = nullptr;   // elements, offsets of texts, or views
  const char* characters_ = nullptr;    // of kText and kLargeText
  const void* const* pages_ = nullptr;  // of kTextViews
  std::shared_ptr<const Array> dictionary_;
};

// A record batch. Owns the arrays of its columns, which are released with it.
class ImportedBatch {
 public:
  // Takes *array, which must be one of *schema, a struct; it is released also when it is refused. kInvalidArgument names
  // the column and what is wrong with it, kUnimplemented a type that is not read.
  static base::Result<ImportedBatch> take(const ArrowSchema& schema, ArrowArray* array);

  std::int64_t rows() const { return rows_; }
  std::span<const Array> columns() const { return columns_; }

 private:
  struct Release {
    void operator()(ArrowArray* array) const;
  };
  std::unique_ptr<ArrowArray, Release> array_;
  std::int64_t rows_ = 0;
  std::vector<Array> columns_;
};

// A stream of batches. One thread at a time.
class ImportedStream {
 public:
  // Takes *stream, which is released also when it is refused.
  static base::Result<ImportedStream> take(ArrowArrayStream* stream);

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Type>& types() const { return types_; }  // of indices where there is a dictionary
  // The next batch, none at the end. An error of the producer is kUnknown with its sentence.
  base::Result<std::optional<ImportedBatch>> next();

 private:
  struct Release {
    void operator()(ArrowArrayStream* stream) const;
    void operator()(ArrowSchema* schema) const;
  };
  std::unique_ptr<ArrowArrayStream, Release> stream_;
  std::unique_ptr<ArrowSchema, Release> schema_;
  std::vector<std::string> names_;
  std::vector<Type> types_;
};

}  // namespace daybreak::tensor::arrow
