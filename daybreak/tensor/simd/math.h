// Elementary functions over the vector type V.
#pragma once

#include "daybreak/tensor/simd/vector.h"

namespace daybreak::tensor::simd {
namespace {

// e^x, Cephes' polynomial: under 2 ulp between the clamps (-87.3, 88.3).
inline V exp_v(V x) {
  x = vmin(vmax(x, V::set(-87.33F)), V::set(88.37F));
  const V n = vround(x * V::set(1.44269504088896341F));
  V r = fma(n, V::set(-0.693359375F), x);
  r = fma(n, V::set(2.12194440e-4F), r);
  V p = V::set(1.9875691500e-4F);
  p = fma(p, r, V::set(1.3981999507e-3F));
  p = fma(p, r, V::set(8.3334519073e-3F));
  p = fma(p, r, V::set(4.1665795894e-2F));
  p = fma(p, r, V::set(1.6666665459e-1F));
  p = fma(p, r, V::set(5.0000001201e-1F));
  p = fma(p, r * r, r) + V::set(1.0F);
  return scale2(p, n);
}

// ln x for normal x > 0 (here x >= 1), Cephes' polynomial.
inline V log_v(V x) {
  V e = exponent(x);
  V m = mantissa(x);
  const M high = less(V::set(1.41421356F), m);
  m = select(high, m * V::set(0.5F), m) - V::set(1.0F);
  e = select(high, e + V::set(1.0F), e);
  V p = V::set(7.0376836292e-2F);
  p = fma(p, m, V::set(-1.1514610310e-1F));
  p = fma(p, m, V::set(1.1676998740e-1F));
  p = fma(p, m, V::set(-1.2420140846e-1F));
  p = fma(p, m, V::set(1.4249322787e-1F));
  p = fma(p, m, V::set(-1.6668057665e-1F));
  p = fma(p, m, V::set(2.0000714765e-1F));
  p = fma(p, m, V::set(-2.4999993993e-1F));
  p = fma(p, m, V::set(3.3333331174e-1F));
  const V z = m * m;
  V y = p * m * z;
  y = fma(e, V::set(-2.12194440e-4F), y);
  y = fma(z, V::set(-0.5F), y);
  return fma(e, V::set(0.693359375F), m + y);
}

// tanh x, the odd 13/6 rational minimax approximation that Eigen uses: a few ulp, one division.
inline V tanh_v(V x) {
  x = vmin(vmax(x, V::set(-7.90531110763549805F)), V::set(7.90531110763549805F));
  const V s = x * x;
  V p = V::set(-2.76076847742355e-16F);
  p = fma(p, s, V::set(2.00018790482477e-13F));
  p = fma(p, s, V::set(-8.60467152213735e-11F));
  p = fma(p, s, V::set(5.12229709037114e-08F));
  p = fma(p, s, V::set(1.48572235717979e-05F));
  p = fma(p, s, V::set(6.37261928875436e-04F));
  p = fma(p, s, V::set(4.89352455891786e-03F));
  V q = V::set(1.19825839466702e-06F);
  q = fma(q, s, V::set(1.18534705686654e-04F));
  q = fma(q, s, V::set(2.26843463243900e-03F));
  q = fma(q, s, V::set(4.89352518554385e-03F));
  return (p * x) / q;
}

}  // namespace
}  // namespace daybreak::tensor::simd
