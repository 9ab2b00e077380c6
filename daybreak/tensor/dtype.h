// The element types that Daybreak stores and sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace daybreak::tensor {

// f16 and bf16 are storage types: two bytes, converted by whoever computes with them. bool is one byte, 0 or 1.
enum class DType : std::uint8_t { kBool, kU8, kI8, kU16, kI16, kF16, kBF16, kU32, kI32, kF32, kU64, kI64, kF64 };

inline constexpr DType kAllDTypes[] = {DType::kBool, DType::kU8,   DType::kI8,  DType::kU16, DType::kI16,
                                       DType::kF16,  DType::kBF16, DType::kU32, DType::kI32, DType::kF32,
                                       DType::kU64,  DType::kI64,  DType::kF64};

// Bytes of one element: 1, 2, 4 or 8.
std::size_t size_of(DType dtype);

// "f32", "bf16", "bool", ...: the name in messages and in Python.
std::string_view name_of(DType dtype);

// "F32", "BF16", "BOOL", ...: the name in the container file, which is safetensors' own.
std::string_view safetensors_name_of(DType dtype);
std::optional<DType> dtype_of_safetensors_name(std::string_view name);

// The DType of a C++ type, for code that writes `dtype_of<float>()`; f16 and bf16 have no C++23 type in gcc 12.
template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<bool>() {
  return DType::kBool;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::kU8;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::kI8;
}
template <>
constexpr DType dtype_of<std::uint16_t>() {
  return DType::kU16;
}
template <>
constexpr DType dtype_of<std::int16_t>() {
  return DType::kI16;
}
template <>
constexpr DType dtype_of<std::uint32_t>() {
  return DType::kU32;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}
template <>
constexpr DType dtype_of<std::uint64_t>() {
  return DType::kU64;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::kI64;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kF64;
}

}  // namespace daybreak::tensor
