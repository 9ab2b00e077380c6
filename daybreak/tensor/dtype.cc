#include "daybreak/tensor/dtype.h"

#include <array>

#include "daybreak/base/error.h"

namespace daybreak::tensor {
namespace {

struct Row {
  DType dtype;
  std::size_t size;
  std::string_view name;
  std::string_view safetensors_name;
};

// In the order of the enum, so that a lookup is an index.
constexpr std::array kRows = {
    Row{DType::kBool, 1, "bool", "BOOL"}, Row{DType::kU8, 1, "u8", "U8"},    Row{DType::kI8, 1, "i8", "I8"},
    Row{DType::kU16, 2, "u16", "U16"},    Row{DType::kI16, 2, "i16", "I16"}, Row{DType::kF16, 2, "f16", "F16"},
    Row{DType::kBF16, 2, "bf16", "BF16"}, Row{DType::kU32, 4, "u32", "U32"}, Row{DType::kI32, 4, "i32", "I32"},
    Row{DType::kF32, 4, "f32", "F32"},    Row{DType::kU64, 8, "u64", "U64"}, Row{DType::kI64, 8, "i64", "I64"},
    Row{DType::kF64, 8, "f64", "F64"},
};

constexpr bool rows_follow_the_enum() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].dtype) != i) return false;
  }
  return kRows.size() == std::size(kAllDTypes);
}
static_assert(rows_follow_the_enum());

const Row& row_of(DType dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  DAYBREAK_CHECK(index < kRows.size());
  return kRows[index];
}

}  // namespace

std::size_t size_of(DType dtype) {
  return row_of(dtype).size;
}

std::string_view name_of(DType dtype) {
  return row_of(dtype).name;
}

std::string_view safetensors_name_of(DType dtype) {
  return row_of(dtype).safetensors_name;
}

std::optional<DType> dtype_of_safetensors_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.safetensors_name == name) return row.dtype;
  }
  return std::nullopt;
}

}  // namespace daybreak::tensor
