// The AVX-512 level: 16 lanes; a 12 x 32 tile uses 24 accumulators of the 32 registers.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12's own header of these intrinsics makes undefined registers from themselves.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstdint>

#include "daybreak/tensor/simd/transpose8.h"

namespace daybreak::tensor::simd {
namespace {

struct V {
  static constexpr int kLanes = 16;
  static constexpr int kRows = 12;
  static constexpr int kDotRows = 6;
  __m512 v;
  static V load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static V set(float x) { return {_mm512_set1_ps(x)}; }
  static V from_int(const std::int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
  static V lane_index() { return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
};
struct M {
  __mmask16 m;
};
inline V operator+(V a, V b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline V operator-(V a, V b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline V operator*(V a, V b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline V operator/(V a, V b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline V fma(V a, V b, V c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline V vmin(V a, V b) {
  return {_mm512_min_ps(a.v, b.v)};
}
inline V vmax(V a, V b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline V vsqrt(V a) {
  return {_mm512_sqrt_ps(a.v)};
}
inline V vround(V a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline V vabs(V a) {
  return {_mm512_abs_ps(a.v)};
}
inline M less(V a, V b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
inline M less_equal(V a, V b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)};
}
inline M equal(V a, V b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)};
}
inline V select(M m, V a, V b) {
  return {_mm512_mask_blend_ps(m.m, b.v, a.v)};
}
inline V scale2(V a, V n) {
  const __m512i e = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23);
  return {_mm512_mul_ps(a.v, _mm512_castsi512_ps(e))};
}
inline V exponent(V a) {
  return {
      _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(_mm512_castps_si512(a.v), 23), _mm512_set1_epi32(127)))};
}
inline V mantissa(V a) {
  const __m512i bits = _mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x007fffff));
  return {_mm512_castsi512_ps(_mm512_or_si512(bits, _mm512_set1_epi32(0x3f800000)))};
}
inline __m256 halves(V a) {
  return _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
}
inline float sum(V a) {
  const __m256 h = halves(a);
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline void add_sums4(V a, V b, V c, V d, float* out) {
  const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(halves(a), halves(b)), _mm256_hadd_ps(halves(c), halves(d)));
  const __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), t));
}

}  // namespace
}  // namespace daybreak::tensor::simd
