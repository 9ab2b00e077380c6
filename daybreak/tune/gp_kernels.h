// The dense linear algebra of a Gaussian process, per instruction level. Matrices are square, row by row.
#pragma once

#include <cstddef>

namespace daybreak::tune::internal {

// So many, or as many as are whole vectors, of a row of n: for what may be read or written further than it needs to be.
inline constexpr std::size_t in_lanes(std::size_t count, std::size_t n) {
  return count + 7 < n ? (count + 7) / 8 * 8 : n;
}

struct GpKernels {
  static constexpr std::size_t kColumns = 8;
  // The lower Cholesky factor, in place (what is above the diagonal stays); false if the matrix is not positive definite.
  bool (*cholesky)(double* matrix, std::size_t n) = nullptr;
  // The inverse of a lower triangular matrix into `inverse`, whose upper part becomes 0.
  void (*invert_lower)(const double* lower, double* inverse, std::size_t n) = nullptr;
  // inverse^T inverse into `product`, its lower half: the inverse of the matrix that had the factor.
  void (*gram)(const double* inverse, double* product, std::size_t n) = nullptr;
  double (*dot)(const double* a, const double* b, std::size_t n) = nullptr;
  // The products of a row with kColumns others, which lie `stride` apart: the row is read once.
  void (*dots)(const double* row, const double* columns, std::size_t stride, std::size_t n, double* out) = nullptr;
  // y += factor * x
  void (*add)(double factor, const double* x, double* y, std::size_t n) = nullptr;
};

GpKernels scalar_gp_kernels();
GpKernels avx2_gp_kernels();    // nothing where the processor's family has no such level
GpKernels avx512_gp_kernels();  // the same
GpKernels gp_kernels();         // what this processor has

}  // namespace daybreak::tune::internal
