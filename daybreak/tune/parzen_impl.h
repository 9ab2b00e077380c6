// Once for each instruction level: vectors of 8 doubles, which the compiler makes of what the level has.
#pragma once

#include <cmath>
#include <cstring>

#include "daybreak/tune/parzen_kernels.h"

namespace daybreak::tune::internal {
namespace {

using Doubles = double __attribute__((vector_size(8 * kBlock)));
using Words = long long __attribute__((vector_size(8 * kBlock)));

// So many points at once as there are registers for their sums.
#if defined(__AVX512F__)
constexpr std::size_t kTile = 8;
#else
constexpr std::size_t kTile = 4;
#endif

#define DAYBREAK_LOAD(vector, place) std::memcpy(&(vector), (place), sizeof(vector))

template <std::size_t Tile>
void add_tile(const double* block, std::size_t dims, const double* points, double* out, std::size_t stride) {
  Doubles sums[Tile] = {};
  for (std::size_t d = 0; d < dims; ++d) {
    Doubles inverse;
    Doubles scaled;
    DAYBREAK_LOAD(inverse, block + d * 2 * kBlock);
    DAYBREAK_LOAD(scaled, block + d * 2 * kBlock + kBlock);
    for (std::size_t p = 0; p < Tile; ++p) {
      const Doubles distance = points[p * dims + d] * inverse - scaled;
      sums[p] += distance * distance;
    }
  }
  for (std::size_t p = 0; p < Tile; ++p) {
    Doubles sum;
    DAYBREAK_LOAD(sum, out + p * stride);
    sum -= 0.5 * sums[p];
    std::memcpy(out + p * stride, &sum, sizeof(sum));
  }
}

void add_quadratics(const double* kernels, std::size_t blocks, std::size_t dims, const double* points,
                    std::size_t count, double* out) {
  const std::size_t stride = blocks * kBlock;
  for (std::size_t b = 0; b < blocks; ++b) {
    const double* block = kernels + b * dims * 2 * kBlock;
    std::size_t p = 0;
    for (; p + kTile <= count; p += kTile) {
      add_tile<kTile>(block, dims, points + p * dims, out + p * stride + b * kBlock, stride);
    }
    for (; p < count; ++p) add_tile<1>(block, dims, points + p * dims, out + p * stride + b * kBlock, stride);
  }
}

// exp(x) = 2^n exp(r), |r| <= log(2) / 2, by Taylor's sum to r^12: 2 units in the last place. 0 below -700.
#define DAYBREAK_EXP(result, x)                                                      \
  do {                                                                               \
    const Words within = (x) > -700.0;                                               \
    const Doubles bounded = (Doubles)((Words)(x) & within);                          \
    const Doubles shifted = bounded * 1.4426950408889634 + 0x1.8p52;                 \
    const Doubles n = shifted - 0x1.8p52;                                            \
    const Doubles r = (bounded - n * 0x1.62e42fefa38p-1) - n * 0x1.ef35793c7673p-45; \
    Doubles sum = r * (1.0 / 479001600) + 1.0 / 39916800;                            \
    sum = sum * r + 1.0 / 3628800;                                                   \
    sum = sum * r + 1.0 / 362880;                                                    \
    sum = sum * r + 1.0 / 40320;                                                     \
    sum = sum * r + 1.0 / 5040;                                                      \
    sum = sum * r + 1.0 / 720;                                                       \
    sum = sum * r + 1.0 / 120;                                                       \
    sum = sum * r + 1.0 / 24;                                                        \
    sum = sum * r + 1.0 / 6;                                                         \
    sum = sum * r + 0.5;                                                             \
    sum = sum * r + 1.0;                                                             \
    sum = sum * r + 1.0;                                                             \
    const Words power = ((Words)shifted + 1023) << 52;                               \
    (result) = (Doubles)((Words)(sum * (Doubles)power) & within);                    \
  } while (false)

double log_weighted_sum(const double* logs, const double* log_weights, std::size_t blocks) {
  Doubles most = Doubles{} - INFINITY;
  for (std::size_t b = 0; b < blocks; ++b) {
    Doubles log;
    Doubles weight;
    DAYBREAK_LOAD(log, logs + b * kBlock);
    DAYBREAK_LOAD(weight, log_weights + b * kBlock);
    log += weight;
    const Words above = log > most;
    most = (Doubles)(((Words)log & above) | ((Words)most & ~above));
  }
  double largest = -INFINITY;
  for (std::size_t k = 0; k < kBlock; ++k) largest = most[k] > largest ? most[k] : largest;
  if (!(largest > -INFINITY)) return -INFINITY;
  // Terms of at most 1 are added as whole numbers of 2^-42, 2^20 of them at least: the sum is the same in any order.
  const Doubles whole = Doubles{} + 0x1.8p52;
  Words sums = {};
  for (std::size_t b = 0; b < blocks; ++b) {
    Doubles log;
    Doubles weight;
    DAYBREAK_LOAD(log, logs + b * kBlock);
    DAYBREAK_LOAD(weight, log_weights + b * kBlock);
    const Doubles distance = (log + weight) - largest;
    Doubles exponential;
    DAYBREAK_EXP(exponential, distance);
    sums += (Words)(exponential * 0x1p42 + whole) - (Words)whole;
  }
  long long sum = 0;
  for (std::size_t k = 0; k < kBlock; ++k) sum += sums[k];
  return std::log(static_cast<double>(sum) * 0x1p-42) + largest;
}

#undef DAYBREAK_EXP
#undef DAYBREAK_LOAD

constexpr ParzenKernels kParzenKernels = {.add_quadratics = add_quadratics, .log_weighted_sum = log_weighted_sum};

}  // namespace
}  // namespace daybreak::tune::internal
