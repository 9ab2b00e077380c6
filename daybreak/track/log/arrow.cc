#include "daybreak/track/log/arrow.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "daybreak/tensor/arrow/export.h"

namespace daybreak::track {

namespace {

namespace arrow = tensor::arrow;

struct ArrowNames {
  std::vector<std::int32_t> offsets = {0};
  std::string text;
};

struct ArrowRows {
  std::vector<std::int32_t> names;
  std::vector<std::int64_t> steps, times;
  std::vector<double> values;
};

std::vector<arrow::Field> arrow_fields() {
  return {{.name = "name",
           .format = "i",
           .dictionary = std::make_shared<const arrow::Field>(arrow::Field{.format = "u", .nullable = true})},
          {.name = "step", .format = "l"},
          {.name = "time", .format = "tsn:UTC"},
          {.name = "value", .format = "g"}};
}

std::shared_ptr<const arrow::Column> name_dictionary(const std::vector<SeriesKey>& series) {
  auto names = std::make_shared<ArrowNames>();
  for (const SeriesKey& key : series) {
    names->text += key.name;
    names->offsets.push_back(static_cast<std::int32_t>(names->text.size()));
  }
  return std::make_shared<const arrow::Column>(
      arrow::Column{.length = static_cast<std::int64_t>(series.size()),
                    .buffers = {nullptr, names->offsets.data(), names->text.data()},
                    .owner = names});
}

struct SeriesBatches {
  std::shared_ptr<const RunReader> run;
  std::vector<SeriesKey> series;
  std::shared_ptr<const arrow::Column> dictionary = nullptr;
  std::size_t at = 0;
  std::optional<SeriesReader> reader = std::nullopt;

  base::Result<std::optional<arrow::Batch>> next() {
    auto rows = std::make_shared<ArrowRows>();
    std::vector<Sample> samples;
    while (at < series.size() && rows->steps.size() < kArrowBatchRows) {
      if (!reader) reader = run->read(series[at]);
      samples.clear();
      DAYBREAK_ASSIGN(const bool more, reader->next(kArrowBatchRows - rows->steps.size(), samples));
      for (const Sample& sample : samples) {
        rows->names.push_back(static_cast<std::int32_t>(at));
        rows->steps.push_back(sample.step);
        rows->times.push_back(sample.time_ns);
        rows->values.push_back(sample.value);
      }
      if (!more) {
        ++at;
        reader.reset();
      }
    }
    if (rows->steps.empty()) return std::optional<arrow::Batch>();
    arrow::Batch batch{.rows = static_cast<std::int64_t>(rows->steps.size())};
    const auto add = [&](const void* values) -> arrow::Column& {
      return batch.columns.emplace_back(
          arrow::Column{.length = batch.rows, .buffers = {nullptr, values}, .owner = rows});
    };
    add(rows->names.data()).dictionary = dictionary;
    add(rows->steps.data());
    add(rows->times.data());
    add(rows->values.data());
    return std::optional<arrow::Batch>(std::move(batch));
  }
};

}  // namespace

void export_stream(std::shared_ptr<const RunReader> run, std::vector<SeriesKey> series, ArrowArrayStream* out) {
  auto batches = std::make_shared<SeriesBatches>(SeriesBatches{.run = std::move(run), .series = std::move(series)});
  batches->dictionary = name_dictionary(batches->series);
  arrow::export_stream(arrow_fields(), [batches] { return batches->next(); }, out);
}

}  // namespace daybreak::track
