// The dense linear algebra of a Gaussian process, per instruction level. Matrices are square, row by row.
#pragma once

#include <cstddef>

namespace daybreak::tune::internal {

struct GpKernels {
  // The lower Cholesky factor, in place (what is above the diagonal stays); false if the matrix is not positive definite.
  bool (*cholesky)(double* matrix, std::size_t n) = nullptr;
  // The inverse of a lower triangular matrix into `inverse`, whose upper part becomes 0.
  void (*invert_lower)(const double* lower, double* inverse, std::size_t n) = nullptr;
  // inverse^T inverse into `product`, its lower half: the inverse of the matrix that had the factor.
  void (*gram)(const double* inverse, double* product, std::size_t n) = nullptr;
  double (*dot)(const double* a, const double* b, std::size_t n) = nullptr;
  // y += factor * x
  void (*add)(double factor, const double* x, double* y, std::size_t n) = nullptr;
};

GpKernels scalar_gp_kernels();
GpKernels avx2_gp_kernels();    // nothing where the processor's family has no such level
GpKernels avx512_gp_kernels();  // the same
GpKernels gp_kernels();         // what this processor has

}  // namespace daybreak::tune::internal
