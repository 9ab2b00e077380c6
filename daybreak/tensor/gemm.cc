#include "daybreak/tensor/gemm.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace daybreak::tensor {

using base::Code;
using base::CpuLevel;
using base::fail;

namespace {

// The kernels count with int: no loop variable may meet the end of its type.
constexpr std::int64_t kMaxDimension = std::numeric_limits<std::int32_t>::max();

bool is_empty(const ConstMatrix& m) {
  return m.rows == 0 || m.columns == 0;
}

ConstMatrix read_only(const Matrix& m) {
  return {m.data, m.rows, m.columns, m.row_stride, 1};
}

base::Status check_operand(const char* name, const ConstMatrix& m) {
  if (m.rows < 0 || m.columns < 0 || m.rows > kMaxDimension || m.columns > kMaxDimension) {
    return fail(Code::kInvalidArgument, "gemm: {} is {} x {}: 0 to {} rows and columns are possible", name, m.rows,
                m.columns, kMaxDimension);
  }
  if ((m.row_stride != 1 && m.column_stride != 1) || m.row_stride < 0 || m.column_stride < 0) {
    return fail(Code::kInvalidArgument,
                "gemm: {} has a row stride of {} and a column stride of {}: one of them must be 1 and none negative; "
                "copy it first",
                name, m.row_stride, m.column_stride);
  }
  return {};
}

// The last element's address is compared as a number: two arrays need not be parts of one.
bool overlap(const ConstMatrix& a, const ConstMatrix& b) {
  if (is_empty(a) || is_empty(b)) return false;
  const auto begin = [](const ConstMatrix& m) { return reinterpret_cast<std::uintptr_t>(m.data); };
  const auto end = [](const ConstMatrix& m) {
    return reinterpret_cast<std::uintptr_t>(m.data + (m.rows - 1) * m.row_stride + (m.columns - 1) * m.column_stride +
                                            1);
  };
  return begin(a) < end(b) && begin(b) < end(a);
}

base::Status check_gemm(const ConstMatrix& a, const ConstMatrix& b, const Matrix& c) {
  DAYBREAK_TRY(check_operand("a", a));
  DAYBREAK_TRY(check_operand("b", b));
  DAYBREAK_TRY(check_operand("c", read_only(c)));
  if (a.columns != b.rows || c.rows != a.rows || c.columns != b.columns) {
    return fail(Code::kInvalidArgument,
                "gemm: {} x {} times {} x {} into {} x {}: m x k times k x n into m x n is asked", a.rows, a.columns,
                b.rows, b.columns, c.rows, c.columns);
  }
  if (c.rows > 1 && c.row_stride < c.columns) {
    return fail(Code::kInvalidArgument, "gemm: rows of c are {} elements apart and {} long: they overlap", c.row_stride,
                c.columns);
  }
  if (overlap(read_only(c), a) || overlap(read_only(c), b)) {
    return fail(Code::kInvalidArgument, "gemm: c overlaps {}: give it memory of its own",
                overlap(read_only(c), a) ? "a" : "b");
  }
  return {};
}

internal::GemmKernel gemm_kernel(CpuLevel level) {
  if (level > base::best_cpu_level()) return nullptr;
#if defined(__x86_64__)
  if (level >= CpuLevel::kAvx512) return internal::avx512_gemm();
  if (level >= CpuLevel::kAvx2) return internal::avx2_gemm();
#endif
  return internal::scalar_gemm();
}

base::Status run_gemm(internal::GemmKernel kernel, const ConstMatrix& a, const ConstMatrix& b, const Matrix& c,
                      Write write) {
  DAYBREAK_TRY(check_gemm(a, b, c));
  if (write == Write::kOverwrite) {
    for (std::int64_t row = 0; row < c.rows; ++row) std::fill_n(c.data + row * c.row_stride, c.columns, 0.0F);
  }
  if (!is_empty(a) && !is_empty(b)) kernel(a, b, c);
  return {};
}

}  // namespace

base::Status gemm(const ConstMatrix& a, const ConstMatrix& b, const Matrix& c, Write write) {
  static const internal::GemmKernel kernel = gemm_kernel(base::cpu_level());
  return run_gemm(kernel, a, b, c, write);
}

base::Status gemm_at(CpuLevel level, const ConstMatrix& a, const ConstMatrix& b, const Matrix& c, Write write) {
  const internal::GemmKernel kernel = gemm_kernel(level);
  if (kernel == nullptr) {
    return fail(Code::kFailedPrecondition, "gemm: this processor has no {}, {} is its best",
                base::cpu_level_name(level), base::cpu_level_name(base::best_cpu_level()));
  }
  return run_gemm(kernel, a, b, c, write);
}

}  // namespace daybreak::tensor
