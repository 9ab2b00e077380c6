#include "daybreak/tensor/arrow/export.h"

#include <cerrno>
#include <utility>

namespace daybreak::tensor::arrow {

namespace {

// Children and dictionaries belong to their parent, which releases those that the consumer has not moved away: a moved
// one has no release any more in its old place, and what it points at is its own.
template <typename Node>
void release_parts(Node* node) {
  for (std::int64_t i = 0; i < node->n_children; ++i) {
    if (node->children[i]->release != nullptr) node->children[i]->release(node->children[i]);
  }
  if (node->dictionary != nullptr && node->dictionary->release != nullptr) node->dictionary->release(node->dictionary);
}

struct SchemaHolder {
  Field field;  // its strings are pointed at
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;
  ArrowSchema dictionary{};
};

void release_schema(ArrowSchema* schema) {
  release_parts(schema);
  delete static_cast<SchemaHolder*>(schema->private_data);
  schema->release = nullptr;
}

void fill_schema(Field field, std::span<const Field> children, ArrowSchema* out) {
  auto holder = std::make_unique<SchemaHolder>();
  holder->field = std::move(field);
  holder->children.resize(children.size());
  for (std::size_t i = 0; i < children.size(); ++i) {
    fill_schema(children[i], {}, &holder->children[i]);
    holder->pointers.push_back(&holder->children[i]);
  }
  const Field& kept = holder->field;
  if (kept.dictionary != nullptr) fill_schema(*kept.dictionary, {}, &holder->dictionary);
  *out = {kept.format.c_str(),
          kept.name.c_str(),
          nullptr,
          kept.nullable ? kNullable : 0,
          static_cast<std::int64_t>(children.size()),
          children.empty() ? nullptr : holder->pointers.data(),
          kept.dictionary == nullptr ? nullptr : &holder->dictionary,
          release_schema,
          nullptr};
  out->private_data = holder.release();
}

struct ArrayHolder {
  Column column;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;
  ArrowArray dictionary{};
};

void release_array(ArrowArray* array) {
  release_parts(array);
  delete static_cast<ArrayHolder*>(array->private_data);
  array->release = nullptr;
}

void fill_array(Column column, std::span<const Column> children, ArrowArray* out) {
  auto holder = std::make_unique<ArrayHolder>();
  holder->column = std::move(column);
  holder->children.resize(children.size());
  for (std::size_t i = 0; i < children.size(); ++i) {
    fill_array(children[i], {}, &holder->children[i]);
    holder->pointers.push_back(&holder->children[i]);
  }
  Column& kept = holder->column;
  if (kept.dictionary != nullptr) fill_array(*kept.dictionary, {}, &holder->dictionary);
  *out = {kept.length,
          kept.null_count,
          0,
          static_cast<std::int64_t>(kept.buffers.size()),
          static_cast<std::int64_t>(children.size()),
          kept.buffers.data(),
          children.empty() ? nullptr : holder->pointers.data(),
          kept.dictionary == nullptr ? nullptr : &holder->dictionary,
          release_array,
          nullptr};
  out->private_data = holder.release();
}

struct StreamHolder {
  std::vector<Field> fields;
  std::function<base::Result<std::optional<Batch>>()> next;
  std::string error;
};

int next_array(StreamHolder& stream, ArrowArray* out) {
  *out = {};  // released, which ends the stream
  auto batch = stream.next();
  if (!batch) {
    stream.error = batch.error().to_string();
    return EIO;
  }
  if (batch->has_value()) export_batch(**batch, out);
  return 0;
}

}  // namespace

void export_schema(std::span<const Field> fields, ArrowSchema* out) {
  fill_schema({.name = "", .format = "+s"}, fields, out);
}

void export_batch(const Batch& batch, ArrowArray* out) {
  fill_array({.length = batch.rows, .buffers = {nullptr}}, batch.columns, out);
}

void export_stream(std::vector<Field> fields, std::function<base::Result<std::optional<Batch>>()> next,
                   ArrowArrayStream* out) {
  *out = {[](ArrowArrayStream* self, ArrowSchema* schema) {
            export_schema(static_cast<StreamHolder*>(self->private_data)->fields, schema);
            return 0;
          },
          [](ArrowArrayStream* self, ArrowArray* array) {
            return next_array(*static_cast<StreamHolder*>(self->private_data), array);
          },
          [](ArrowArrayStream* self) -> const char* {
            const std::string& error = static_cast<StreamHolder*>(self->private_data)->error;
            return error.empty() ? nullptr : error.c_str();
          },
          [](ArrowArrayStream* self) {
            delete static_cast<StreamHolder*>(self->private_data);
            self->release = nullptr;
          },
          new StreamHolder{std::move(fields), std::move(next), {}}};
}

}  // namespace daybreak::tensor::arrow
