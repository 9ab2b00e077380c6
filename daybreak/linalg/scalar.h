// The element types of a matrix, and a call of generic code with the C++ type of one.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace daybreak::linalg {

enum class Scalar : std::uint8_t { kF32 = 0, kF64 = 1, kC64 = 2, kC128 = 3 };

inline constexpr int kScalars = 4;

inline std::size_t size_of(Scalar scalar) {
  constexpr std::size_t kSizes[] = {4, 8, 8, 16};
  return kSizes[static_cast<int>(scalar)];
}

inline bool is_complex(Scalar scalar) {
  return scalar >= Scalar::kC64;
}

// "float32", ...: numpy's name.
inline std::string_view name_of(Scalar scalar) {
  constexpr std::string_view kNames[] = {"float32", "float64", "complex64", "complex128"};
  return kNames[static_cast<int>(scalar)];
}

template <typename T>
struct RealOf {
  using type = T;
  static constexpr bool complex = false;
};
template <typename T>
struct RealOf<std::complex<T>> {
  using type = T;
  static constexpr bool complex = true;
};

// call(T{}) with T float, double or a complex of one.
template <typename Call>
decltype(auto) with_type(Scalar scalar, Call&& call) {
  switch (scalar) {
    case Scalar::kF32: return call(float{});
    case Scalar::kF64: return call(double{});
    case Scalar::kC64: return call(std::complex<float>{});
    case Scalar::kC128: break;
  }
  return call(std::complex<double>{});
}

}  // namespace daybreak::linalg
