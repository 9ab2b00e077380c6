#include "daybreak/track/log/arrow.h"

#include <array>
#include <cerrno>

namespace daybreak::track {

namespace {

constexpr int64_t kArrowNullable = 2;  // ARROW_FLAG_NULLABLE
constexpr std::size_t kColumns = 4;
constexpr std::array<const char*, kColumns> kColumnNames = {"name", "step", "time", "value"};
constexpr std::array<const char*, kColumns> kColumnFormats = {"i", "l", "tsn:UTC", "g"};

struct SchemaHolder {
  std::array<ArrowSchema, kColumns> columns{};
  std::array<ArrowSchema*, kColumns> pointers{};
  ArrowSchema dictionary{};
};

void release_leaf(ArrowSchema* schema) {
  if (schema->dictionary != nullptr && schema->dictionary->release != nullptr) {
    schema->dictionary->release(schema->dictionary);
  }
  schema->release = nullptr;
}

void fill_schema(ArrowSchema* out) {
  auto* holder = new SchemaHolder;
  for (std::size_t i = 0; i < kColumns; ++i) {
    holder->columns[i] = {kColumnFormats[i], kColumnNames[i], nullptr, 0, 0, nullptr, nullptr, release_leaf, nullptr};
    holder->pointers[i] = &holder->columns[i];
  }
  holder->dictionary = {"u", "", nullptr, kArrowNullable, 0, nullptr, nullptr, release_leaf, nullptr};
  holder->columns[0].dictionary = &holder->dictionary;
  *out = {"+s",
          "",
          nullptr,
          0,
          kColumns,
          holder->pointers.data(),
          nullptr,
          [](ArrowSchema* schema) {
            for (int64_t i = 0; i < schema->n_children; ++i) {
              if (schema->children[i]->release != nullptr) schema->children[i]->release(schema->children[i]);
            }
            delete static_cast<SchemaHolder*>(schema->private_data);
            schema->release = nullptr;
          },
          holder};
}

// One batch. Children may be moved out of it and outlive it: each keeps the whole by a reference of its own.
struct BatchData {
  std::vector<std::int32_t> names;
  std::vector<std::int64_t> steps, times;
  std::vector<double> values;
  std::shared_ptr<const std::pair<std::vector<std::int32_t>, std::string>> dictionary;  // offsets, text
};
struct ArrayHolder {
  std::shared_ptr<BatchData> data;
  std::array<const void*, 3> buffers{};
};
struct BatchHolder {
  std::array<ArrowArray, kColumns> columns{};
  std::array<ArrowArray*, kColumns> pointers{};
  ArrowArray dictionary{};
  const void* validity = nullptr;
};

void release_array(ArrowArray* array) {
  if (array->dictionary != nullptr && array->dictionary->release != nullptr) {
    array->dictionary->release(array->dictionary);
    delete array->dictionary;
  }
  delete static_cast<ArrayHolder*>(array->private_data);
  array->release = nullptr;
}

ArrowArray make_array(std::shared_ptr<BatchData> data, std::size_t length, const void* first,
                      const void* second = nullptr) {
  auto* holder = new ArrayHolder{std::move(data), {nullptr, first, second}};
  return {static_cast<int64_t>(length),
          0,
          0,
          second == nullptr ? 2 : 3,
          0,
          holder->buffers.data(),
          nullptr,
          nullptr,
          release_array,
          holder};
}

void fill_batch(const std::shared_ptr<BatchData>& data, ArrowArray* out) {
  const std::size_t rows = data->steps.size();
  auto* holder = new BatchHolder;
  holder->columns = {make_array(data, rows, data->names.data()), make_array(data, rows, data->steps.data()),
                     make_array(data, rows, data->times.data()), make_array(data, rows, data->values.data())};
  const auto& [offsets, text] = *data->dictionary;
  holder->columns[0].dictionary = new ArrowArray(make_array(data, offsets.size() - 1, offsets.data(), text.data()));
  for (std::size_t i = 0; i < kColumns; ++i) holder->pointers[i] = &holder->columns[i];
  *out = {static_cast<int64_t>(rows),
          0,
          0,
          1,
          kColumns,
          &holder->validity,
          holder->pointers.data(),
          nullptr,
          [](ArrowArray* array) {
            for (int64_t i = 0; i < array->n_children; ++i) {
              if (array->children[i]->release != nullptr) array->children[i]->release(array->children[i]);
            }
            delete static_cast<BatchHolder*>(array->private_data);
            array->release = nullptr;
          },
          holder};
}

struct StreamState {
  std::shared_ptr<const RunReader> run;
  std::vector<SeriesKey> series;
  std::shared_ptr<std::pair<std::vector<std::int32_t>, std::string>> dictionary;
  std::size_t at = 0;
  std::optional<SeriesReader> reader;
  std::string error;
};

int next_batch(StreamState& state, ArrowArray* out) {
  *out = {};
  auto data = std::make_shared<BatchData>();
  data->dictionary = state.dictionary;
  std::vector<Sample> samples;
  while (state.at < state.series.size() && data->steps.size() < kArrowBatchRows) {
    if (!state.reader) state.reader = state.run->read(state.series[state.at]);
    samples.clear();
    const auto more = state.reader->next(kArrowBatchRows - data->steps.size(), samples);
    if (!more) {
      state.error = more.error().to_string();
      return EIO;
    }
    for (const Sample& sample : samples) {
      data->names.push_back(static_cast<std::int32_t>(state.at));
      data->steps.push_back(sample.step);
      data->times.push_back(sample.time_ns);
      data->values.push_back(sample.value);
    }
    if (!*more) {
      ++state.at;
      state.reader.reset();
    }
  }
  if (!data->steps.empty()) fill_batch(data, out);  // else: released, which ends the stream
  return 0;
}

}  // namespace

void export_stream(std::shared_ptr<const RunReader> run, std::vector<SeriesKey> series, ArrowArrayStream* out) {
  auto* state = new StreamState{std::move(run), std::move(series), {}, 0, {}, {}};
  state->dictionary = std::make_shared<std::pair<std::vector<std::int32_t>, std::string>>();
  state->dictionary->first.push_back(0);
  for (const SeriesKey& key : state->series) {
    state->dictionary->second += key.name;
    state->dictionary->first.push_back(static_cast<std::int32_t>(state->dictionary->second.size()));
  }
  *out = {[](ArrowArrayStream*, ArrowSchema* schema) {
            fill_schema(schema);
            return 0;
          },
          [](ArrowArrayStream* self, ArrowArray* array) {
            return next_batch(*static_cast<StreamState*>(self->private_data), array);
          },
          [](ArrowArrayStream* self) -> const char* {
            const std::string& error = static_cast<StreamState*>(self->private_data)->error;
            return error.empty() ? nullptr : error.c_str();
          },
          [](ArrowArrayStream* self) {
            delete static_cast<StreamState*>(self->private_data);
            self->release = nullptr;
          },
          state};
}

}  // namespace daybreak::track
