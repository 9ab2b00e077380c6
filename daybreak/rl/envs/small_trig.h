// Sine and cosine of small angles with the bits of glibc's libm on a processor with fused multiply-add, on every
// processor and four at a time: what makes CartPole's states equal to Gymnasium's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace daybreak::rl::small_trig {

// The method is that of the IBM Accurate Mathematical Library, which glibc carries since 2.28: below 0.126 the sine is
// a polynomial; otherwise x = k/128 + r and sin(k/128), cos(k/128) come from a table as sums of two doubles. The result
// is within 0.52 units in the last place and so is not always the correctly rounded one: to have the same bits one must
// take the same steps, fused where glibc's build for FMA processors fuses. tests/small_trig_test.cc holds it against
// the libm of the machine.
inline constexpr double kLimit = 55.0 / 128;  // |x| up to here, about 0.43 rad; CartPole ends at 0.21
inline constexpr double kPolynomial = 0.126;  // |x| below here
inline constexpr double kIdentity = 0x1p-26;  // sin x = x below here
inline constexpr double kRound = 0x1.8p45;    // adding it leaves round(128 x) in the low bits
inline constexpr int kRows = 64;              // a power of two, so that a masked index is always in the table

inline constexpr double kS1 = -0x1.5555555555555p-3, kS2 = 0x1.1111111110ecep-7, kS3 = -0x1.a01a019db08b8p-13,
                        kS4 = 0x1.71de27b9a7ed9p-19, kS5 = -0x1.addffc2fcdf59p-26;
inline constexpr double kSin3 = -1.66666666666664880952546298448555E-01, kSin5 = 8.33333214285722277379541354343671E-03;
inline constexpr double kCos2 = 4.99999999999999999999950396842453E-01, kCos4 = -4.16666666666664434524222570944589E-02,
                        kCos6 = 1.38888874007937613028114285595617E-03;

// sin(k/128), its remainder, cos(k/128), its remainder.
extern const double kTable[kRows][4];

// Any x: beyond kLimit libm answers.
inline void sin_cos(double x, double& sine, double& cosine) {
  const double size = std::fabs(x);
  if (!(size <= kLimit)) {
    sine = std::sin(x);
    cosine = std::cos(x);
    return;
  }
  const double shifted = size + kRound;
  const double r = size - (shifted - kRound);
  const double* row = kTable[std::bit_cast<std::uint64_t>(shifted) & (kRows - 1)];
  const double rr = r * r;
  const double poly3 = std::fma(rr, kSin5, kSin3);
  const double c = rr * std::fma(rr, std::fma(rr, kCos6, kCos4), kCos2);
  {
    const double s = std::fma(r * rr, poly3, r);
    const double low = std::fma(-c, row[2], std::fma(-s, row[1], row[3]));
    cosine = row[2] + std::fma(-row[0], s, low);
  }
  if (size < kIdentity) {
    sine = x;
  } else if (size < kPolynomial) {
    const double xx = x * x;
    const double poly = std::fma(std::fma(std::fma(std::fma(kS5, xx, kS4), xx, kS3), xx, kS2), xx, kS1);
    sine = x + poly * x * xx;
  } else {
    const double s = r + r * rr * poly3;
    const double low = std::fma(-row[0], c, std::fma(s, row[3], row[1]));
    sine = std::copysign(row[0] + std::fma(row[2], s, low), x);
  }
}

}  // namespace daybreak::rl::small_trig
