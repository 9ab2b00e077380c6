// Once for each instruction level.
#pragma once

#include <cmath>
#include <cstring>

#include "daybreak/tune/gp_kernels.h"

namespace daybreak::tune::internal {
namespace {

constexpr std::size_t kGpLanes = 8;
using GpLanes = double __attribute__((vector_size(8 * kGpLanes)));

double gp_dot(const double* a, const double* b, std::size_t n) {
  GpLanes sums[2] = {};
  std::size_t k = 0;
  for (; k + 2 * kGpLanes <= n; k += 2 * kGpLanes) {
    for (std::size_t part = 0; part < 2; ++part) {
      GpLanes x;
      GpLanes y;
      std::memcpy(&x, a + k + part * kGpLanes, sizeof(x));
      std::memcpy(&y, b + k + part * kGpLanes, sizeof(y));
      sums[part] += x * y;
    }
  }
  sums[0] += sums[1];
  double sum = 0;
  for (std::size_t lane = 0; lane < kGpLanes; ++lane) sum += sums[0][lane];
  for (; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

void gp_add(double factor, const double* x, double* y, std::size_t n) {
  std::size_t k = 0;
  for (; k + kGpLanes <= n; k += kGpLanes) {
    GpLanes from;
    GpLanes to;
    std::memcpy(&from, x + k, sizeof(from));
    std::memcpy(&to, y + k, sizeof(to));
    to += factor * from;
    std::memcpy(y + k, &to, sizeof(to));
  }
  for (; k < n; ++k) y[k] += factor * x[k];
}

bool gp_cholesky(double* matrix, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    double* row = matrix + i * n;
    for (std::size_t j = 0; j < i; ++j) row[j] = (row[j] - gp_dot(row, matrix + j * n, j)) / matrix[j * n + j];
    const double square = row[i] - gp_dot(row, row, i);
    if (!(square > 0)) return false;
    row[i] = std::sqrt(square);
  }
  return true;
}

void gp_invert_lower(const double* lower, double* inverse, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    double* row = inverse + i * n;
    for (std::size_t j = 0; j < n; ++j) row[j] = 0;
    for (std::size_t k = 0; k < i; ++k) gp_add(-lower[i * n + k], inverse + k * n, row, k + 1);
    const double scale = 1 / lower[i * n + i];
    for (std::size_t j = 0; j < i; ++j) row[j] *= scale;
    row[i] = scale;
  }
}

void gp_gram(const double* inverse, double* product, std::size_t n) {
  for (std::size_t i = 0; i < n * n; ++i) product[i] = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const double* row = inverse + k * n;
    for (std::size_t i = 0; i <= k; ++i) gp_add(row[i], row, product + i * n, i + 1);
  }
}

constexpr GpKernels kGpKernels = {
    .cholesky = gp_cholesky, .invert_lower = gp_invert_lower, .gram = gp_gram, .dot = gp_dot, .add = gp_add};

}  // namespace
}  // namespace daybreak::tune::internal
