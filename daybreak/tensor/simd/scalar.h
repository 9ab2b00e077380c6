// The plain level: one lane. It runs anywhere and is what the vector levels are held against.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace daybreak::tensor::simd {
namespace {

struct V {
  static constexpr int kLanes = 1;
  static constexpr int kRows = 6;     // tile of a product: kRows x 2 vectors
  static constexpr int kDotRows = 3;  // tile of dot products: kDotRows x 4 accumulators
  float v;
  static V load(const float* p) { return {*p}; }
  static V set(float x) { return {x}; }
  static V from_int(const std::int32_t* p) { return {static_cast<float>(*p)}; }
  static V lane_index() { return {0.0F}; }
  void store(float* p) const { *p = v; }
};
struct M {
  bool m;
};
inline V operator+(V a, V b) {
  return {a.v + b.v};
}
inline V operator-(V a, V b) {
  return {a.v - b.v};
}
inline V operator*(V a, V b) {
  return {a.v * b.v};
}
inline V operator/(V a, V b) {
  return {a.v / b.v};
}
inline V fma(V a, V b, V c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return {std::fma(a.v, b.v, c.v)};
#else
  return {a.v * b.v + c.v};  // without the instruction std::fma is a call of 40 ns
#endif
}
inline V vmin(V a, V b) {
  return {b.v < a.v ? b.v : a.v};
}
inline V vmax(V a, V b) {
  return {a.v < b.v ? b.v : a.v};
}
inline V vsqrt(V a) {
  return {std::sqrt(a.v)};
}
inline V vround(V a) {
  return {std::nearbyint(a.v)};
}
inline V vabs(V a) {
  return {std::fabs(a.v)};
}
inline M less(V a, V b) {
  return {a.v < b.v};
}
inline M less_equal(V a, V b) {
  return {a.v <= b.v};
}
inline M equal(V a, V b) {
  return {a.v == b.v};
}
inline V select(M m, V a, V b) {
  return m.m ? a : b;
}
// a * 2^n for whole n
inline V scale2(V a, V n) {
  return {a.v * std::bit_cast<float>((static_cast<std::int32_t>(n.v) + 127) << 23)};
}
inline V exponent(V a) {
  return {static_cast<float>((std::bit_cast<std::int32_t>(a.v) >> 23) - 127)};
}
inline V mantissa(V a) {
  return {std::bit_cast<float>((std::bit_cast<std::int32_t>(a.v) & 0x007fffff) | 0x3f800000)};
}
inline float sum(V a) {
  return a.v;
}
inline void add_sums4(V a, V b, V c, V d, float* out) {
  out[0] += a.v;
  out[1] += b.v;
  out[2] += c.v;
  out[3] += d.v;
}

inline void transpose8(const float* x, std::ptrdiff_t ldx, float* out, std::ptrdiff_t ldo) {
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) out[j * ldo + i] = x[i * ldx + j];
  }
}

}  // namespace
}  // namespace daybreak::tensor::simd
