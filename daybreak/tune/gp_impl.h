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
  if (k + kGpLanes <= n) {
    GpLanes x;
    GpLanes y;
    std::memcpy(&x, a + k, sizeof(x));
    std::memcpy(&y, b + k, sizeof(y));
    sums[0] += x * y;
    k += kGpLanes;
  }
  sums[0] += sums[1];
  double sum = 0;
  for (std::size_t lane = 0; lane < kGpLanes; ++lane) sum += sums[0][lane];
  for (; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

void gp_dots(const double* row, const double* columns, std::size_t stride, std::size_t n, double* out) {
  GpLanes sums[GpKernels::kColumns] = {};
  std::size_t k = 0;
  for (; k + kGpLanes <= n; k += kGpLanes) {
    GpLanes x;
    std::memcpy(&x, row + k, sizeof(x));
    for (std::size_t column = 0; column < GpKernels::kColumns; ++column) {
      GpLanes y;
      std::memcpy(&y, columns + column * stride + k, sizeof(y));
      sums[column] += x * y;
    }
  }
  for (std::size_t column = 0; column < GpKernels::kColumns; ++column) {
    double sum = 0;
    for (std::size_t lane = 0; lane < kGpLanes; ++lane) sum += sums[column][lane];
    for (std::size_t rest = k; rest < n; ++rest) sum += row[rest] * columns[column * stride + rest];
    out[column] = sum;
  }
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

// y += factors[0] * x + factors[stride] * (x + n_x) + ..., four rows at a time: y is read and written a quarter as often.
void gp_add4(const double* factors, std::size_t stride, const double* x, std::size_t n_x, double* y, std::size_t n) {
  std::size_t k = 0;
  for (; k + kGpLanes <= n; k += kGpLanes) {
    GpLanes to;
    std::memcpy(&to, y + k, sizeof(to));
    for (std::size_t part = 0; part < 4; ++part) {
      GpLanes from;
      std::memcpy(&from, x + part * n_x + k, sizeof(from));
      to += factors[part * stride] * from;
    }
    std::memcpy(y + k, &to, sizeof(to));
  }
  for (; k < n; ++k) {
    for (std::size_t part = 0; part < 4; ++part) y[k] += factors[part * stride] * x[part * n_x + k];
  }
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
    std::size_t k = 0;  // beyond a row's diagonal there is 0
    for (; k + 4 <= i; k += 4) gp_add4(lower + i * n + k, 1, inverse + k * n, n, row, in_lanes(k + 4, n));
    for (; k < i; ++k) gp_add(lower[i * n + k], inverse + k * n, row, k + 1);
    const double scale = 1 / lower[i * n + i];
    for (std::size_t j = 0; j < i; ++j) row[j] *= -scale;
    row[i] = scale;
  }
}

void gp_gram(const double* inverse, double* product, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    double* to = product + i * n;
    const std::size_t width = in_lanes(i + 1, n);
    for (std::size_t j = 0; j < width; ++j) to[j] = 0;
    std::size_t k = i;
    for (; k + 4 <= n; k += 4) gp_add4(inverse + k * n + i, n, inverse + k * n, n, to, width);
    for (; k < n; ++k) gp_add(inverse[k * n + i], inverse + k * n, to, i + 1);
  }
}

constexpr GpKernels kGpKernels = {.cholesky = gp_cholesky,
                                  .invert_lower = gp_invert_lower,
                                  .gram = gp_gram,
                                  .dot = gp_dot,
                                  .dots = gp_dots,
                                  .add = gp_add};

}  // namespace
}  // namespace daybreak::tune::internal
