// Matrix products of floats in memory that others own: any shape, either operand transposed, rows any distance apart.
// One thread; whoever wants more splits c. The kernels are chosen once by base::cpu_level().
//
//   const ConstMatrix x = ConstMatrix::of(samples, rows, width), w = ConstMatrix::of(weights, units, width);
//   DAYBREAK_TRY(gemm(x, w.transposed(), Matrix::of(out, rows, units)));
#pragma once

#include <cstddef>
#include <cstdint>

#include "daybreak/base/cpu.h"
#include "daybreak/base/error.h"

namespace daybreak::tensor {

// The element at (r, c) is data[r * row_stride + c * column_stride]; strides count elements.
struct ConstMatrix {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t column_stride = 1;

  // Dense, row after row.
  static ConstMatrix of(const float* data, std::int64_t rows, std::int64_t columns) {
    return {data, rows, columns, columns, 1};
  }
  ConstMatrix transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// Rows lie densely, `row_stride` elements apart.
struct Matrix {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::ptrdiff_t row_stride = 0;

  static Matrix of(float* data, std::int64_t rows, std::int64_t columns) { return {data, rows, columns, columns}; }
};

enum class Write : std::uint8_t { kOverwrite, kAdd };

// c = a b, or with kAdd c += a b. What lies in c between its rows stays as it is; where a and b meet in no element,
// kOverwrite writes zeros. Every element is summed along the inner dimension in an order that depends on the shapes, the
// strides and the level alone: the same call gives the same bits.
//
// kInvalidArgument: shapes that do not meet, a dimension over 2^31 - 1, an operand neither of whose strides is 1 or one
// of whose strides is negative, rows of c that overlap, or memory of c (from its first element to its last) that
// overlaps an operand's.
base::Status gemm(const ConstMatrix& a, const ConstMatrix& b, const Matrix& c, Write write = Write::kOverwrite);
// With the kernels of a level, for tests and comparisons; kFailedPrecondition where this processor does not have it.
base::Status gemm_at(base::CpuLevel level, const ConstMatrix& a, const ConstMatrix& b, const Matrix& c,
                     Write write = Write::kOverwrite);

namespace internal {

// c += a b, all checked.
using GemmKernel = void (*)(const ConstMatrix& a, const ConstMatrix& b, const Matrix& c);
// Null where they are not compiled.
GemmKernel scalar_gemm();
GemmKernel avx2_gemm();
GemmKernel avx512_gemm();

}  // namespace internal
}  // namespace daybreak::tensor
