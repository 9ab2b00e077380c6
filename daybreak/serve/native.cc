#include "daybreak/serve/internal/native.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>

namespace daybreak::serve {

namespace {

constexpr std::size_t kElement = 4;  // both of a model's element types

// False where the model cannot take the number: a net answers something to NaN, too, which would be no answer.
template <typename To, typename From>
bool convert(From from, To& to) {
  if constexpr (std::is_same_v<To, float>) {
    to = static_cast<float>(from);
    return std::isfinite(to);
  } else if constexpr (std::is_same_v<From, To>) {
    to = from;
    return true;
  } else {
    if (!(from >= -0x1p31 && from < 0x1p31 && from == std::trunc(from))) return false;
    to = static_cast<To>(from);
    return true;
  }
}

// The first number that the model cannot take, in words; empty where it can take all.
template <typename To, typename From>
std::string convert_row(std::span<const std::byte> from, std::byte* to) {
  for (std::size_t i = 0; i < from.size() / sizeof(From); ++i) {
    From value;
    To converted;
    std::memcpy(&value, from.data() + i * sizeof(From), sizeof value);
    if (!convert(value, converted)) {
      return fmt::format("input[{}]={}: the model takes {}", i, value,
                         std::is_same_v<To, float> ? "finite numbers of float32" : "whole numbers of int32");
    }
    std::memcpy(to + i * sizeof(To), &converted, sizeof converted);
  }
  return {};
}

template <typename To>
std::string read_row(std::span<const std::byte> from, InputType type, std::byte* to) {
  if (type == InputType::kDoubles) return convert_row<To, double>(from, to);
  if (type == InputType::kFloats) return convert_row<To, float>(from, to);
  return convert_row<To, std::int32_t>(from, to);
}

// False when a number is not finite.
bool write_number(const std::byte* at, int dtype, std::string& text) {
  if (dtype == DAYBREAK_MODEL_INT32) {
    std::int32_t value;
    std::memcpy(&value, at, sizeof value);
    text += fmt::to_string(value);
    return true;
  }
  float value;
  std::memcpy(&value, at, sizeof value);
  text += fmt::to_string(value);
  return std::isfinite(value);
}

}  // namespace

void NativeRunner::run(const std::shared_ptr<ChannelMapping>& mapping, Slab& slab, InputType type,
                       const std::function<void()>& completed) {
  ReplicaSide side(mapping, {slab.data(), slab.size_bytes()}, -1);
  for (;;) {
    const ReplicaSide::Took took = side.take(1000);
    if (took == ReplicaSide::Took::kClosed) return;
    if (took != ReplicaSide::Took::kBatch) continue;
    answer(side, type);
    completed();
  }
}

void NativeRunner::answer(ReplicaSide& side, InputType type) {
  const std::size_t takes = model_->input_elements, gives = model_->output_elements;
  rows_.clear();
  inputs_.resize(side.inputs().size() * takes * kElement);
  for (const Input& input : side.inputs()) {
    const std::size_t came = input.bytes.size() / element_bytes(type);
    if (element_bytes(type) == 1 || came != takes) {
      side.results().refuse(input.index, fmt::format("the model takes {} numbers, {} came", takes, came));
      continue;
    }
    std::byte* row = inputs_.data() + rows_.size() * takes * kElement;
    const std::string refused = model_->input_dtype == DAYBREAK_MODEL_INT32
                                    ? read_row<std::int32_t>(input.bytes, type, row)
                                    : read_row<float>(input.bytes, type, row);
    if (refused.empty()) {
      rows_.push_back(input.index);
    } else {
      side.results().refuse(input.index, refused);  // its own query's error, not that of the batch
    }
  }
  outputs_.resize(rows_.size() * gives * kElement);
  std::array<char, kMaxErrorBytes> error{};
  if (!rows_.empty() && model_->predict(model_->context, inputs_.data(), rows_.size(), outputs_.data(), error.data(),
                                        error.size()) != 0) {
    error.back() = 0;
    side.results().fail_rest(error.data());
    return side.complete();
  }
  std::string text;
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    text.clear();
    bool finite = true;
    if (gives != 1) text += '[';
    for (std::size_t i = 0; i < gives; ++i) {
      if (i > 0) text += ',';
      finite = write_number(outputs_.data() + (row * gives + i) * kElement, model_->output_dtype, text) && finite;
    }
    if (gives != 1) text += ']';
    if (finite) {
      side.results().set(rows_[row], ResultStatus::kJson, text);
    } else {
      side.results().fail(rows_[row], "the model gave a number that is not finite");
    }
  }
  side.complete();
}

}  // namespace daybreak::serve
