// The AVX2 + FMA level: 8 lanes; a 6 x 16 tile uses 12 accumulators, 2 inputs and 1 broadcast of the 16 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "daybreak/tensor/simd/transpose8.h"

namespace daybreak::tensor::simd {
namespace {

struct V {
  static constexpr int kLanes = 8;
  static constexpr int kRows = 6;
  static constexpr int kDotRows = 3;
  __m256 v;
  static V load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static V set(float x) { return {_mm256_set1_ps(x)}; }
  static V from_int(const std::int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static V lane_index() { return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
};
struct M {
  __m256 m;
};
inline V operator+(V a, V b) {
  return {_mm256_add_ps(a.v, b.v)};
}
inline V operator-(V a, V b) {
  return {_mm256_sub_ps(a.v, b.v)};
}
inline V operator*(V a, V b) {
  return {_mm256_mul_ps(a.v, b.v)};
}
inline V operator/(V a, V b) {
  return {_mm256_div_ps(a.v, b.v)};
}
inline V fma(V a, V b, V c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline V vmin(V a, V b) {
  return {_mm256_min_ps(a.v, b.v)};
}
inline V vmax(V a, V b) {
  return {_mm256_max_ps(a.v, b.v)};
}
inline V vsqrt(V a) {
  return {_mm256_sqrt_ps(a.v)};
}
inline V vround(V a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline V vabs(V a) {
  return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v)};
}
inline M less(V a, V b) {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)};
}
inline M less_equal(V a, V b) {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)};
}
inline M equal(V a, V b) {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)};
}
inline V select(M m, V a, V b) {
  return {_mm256_blendv_ps(b.v, a.v, m.m)};
}
inline V scale2(V a, V n) {
  const __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(e))};
}
inline V exponent(V a) {
  return {
      _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(a.v), 23), _mm256_set1_epi32(127)))};
}
inline V mantissa(V a) {
  const __m256i bits = _mm256_and_si256(_mm256_castps_si256(a.v), _mm256_set1_epi32(0x007fffff));
  return {_mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x3f800000)))};
}
inline float sum(V a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline void add_sums4(V a, V b, V c, V d, float* out) {
  const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v));
  const __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), t));
}

}  // namespace
}  // namespace daybreak::tensor::simd
