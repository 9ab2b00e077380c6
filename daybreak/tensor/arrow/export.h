// Columns out of the house: schemas, record batches and streams of them behind Arrow's C interfaces.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tensor/arrow/abi.h"

namespace daybreak::tensor::arrow {

// A column's name and type: the format string of the C data interface ("l" int64, "u" text, "tsn:UTC" a time). With a
// dictionary, `format` is that of the indices and `dictionary` says what they point at.
struct Field {
  std::string name;
  std::string format;
  bool nullable = false;
  std::shared_ptr<const Field> dictionary = nullptr;
};

// A column's elements: the buffers that its format has, in their order, the validity bits first (null where none is
// null). `owner` keeps them alive for as long as a consumer holds the array.
struct Column {
  std::int64_t length = 0;
  std::int64_t null_count = 0;
  std::vector<const void*> buffers;
  std::shared_ptr<const Column> dictionary = nullptr;
  std::shared_ptr<const void> owner = nullptr;
};

// One column for each field, all of `rows` elements.
struct Batch {
  std::int64_t rows = 0;
  std::vector<Column> columns;
};

// Of a struct of the fields, which is what a record batch is. The consumer releases *out.
void export_schema(std::span<const Field> fields, ArrowSchema* out);
// The consumer may move columns out of it and keep them longer than the batch. The consumer releases *out.
void export_batch(const Batch& batch, ArrowArray* out);
// Batches of `fields` as they are asked for, until `next` gives none. An error ends the stream, the consumer reads its
// sentence. `next` is called by whoever consumes, from one thread at a time. The consumer releases *out.
void export_stream(std::vector<Field> fields, std::function<base::Result<std::optional<Batch>>()> next,
                   ArrowArrayStream* out);

}  // namespace daybreak::tensor::arrow
