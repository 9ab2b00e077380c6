// An 8 x 8 transpose in AVX registers, for the files that are compiled for AVX2 or better.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace daybreak::tensor::simd {
namespace {

// out[j * ldo + i] = x[i * ldx + j] for i, j < 8.
inline void transpose8(const float* x, std::ptrdiff_t ldx, float* out, std::ptrdiff_t ldo) {
  __m256 r[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(x + i * ldx);
  __m256 s[8];
  for (int i = 0; i < 4; ++i) {
    s[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    s[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  __m256 t[8];
  for (int i = 0; i < 2; ++i) {
    t[4 * i] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0x44);
    t[4 * i + 1] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0xee);
    t[4 * i + 2] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0x44);
    t[4 * i + 3] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * ldo, _mm256_permute2f128_ps(t[i], t[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * ldo, _mm256_permute2f128_ps(t[i], t[i + 4], 0x31));
  }
}

}  // namespace
}  // namespace daybreak::tensor::simd
