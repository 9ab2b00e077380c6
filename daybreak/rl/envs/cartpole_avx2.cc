#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "daybreak/rl/envs/cartpole_kernel.h"

namespace daybreak::rl::cartpole {
namespace {

using Vec = __m256d;

Vec all(double value) {
  return _mm256_set1_pd(value);
}
Vec fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_pd(a, b, c);
}  // a b + c
Vec minus_fma(Vec a, Vec b, Vec c) {
  return _mm256_fnmadd_pd(a, b, c);
}  // c - a b

// a / kTotalMass, rounded as a division rounds: the reciprocal is the nearest double, so one correction by the exact
// remainder gives the nearest quotient (Markstein). A third of the time of a division.
Vec over_total_mass(Vec a) {
  const Vec reciprocal = all(1 / kTotalMass);
  const Vec quotient = _mm256_mul_pd(a, reciprocal);
  const Vec remainder = minus_fma(quotient, all(kTotalMass), a);
  return fma(remainder, reciprocal, quotient);
}

// small_trig::sin_cos of four angles.
void sin_cos(Vec x, Vec& sine, Vec& cosine) {
  using namespace small_trig;
  const Vec sign_bit = all(-0.0);
  const Vec size = _mm256_andnot_pd(sign_bit, x);
  const Vec shifted = _mm256_add_pd(size, all(kRound));
  const Vec r = _mm256_sub_pd(size, _mm256_sub_pd(shifted, all(kRound)));

  // Four rows of the table, transposed: cheaper than four gathers.
  const __m256i index = _mm256_and_si256(_mm256_castpd_si256(shifted), _mm256_set1_epi64x(kRows - 1));
  const __m128i low_half = _mm256_castsi256_si128(index), high_half = _mm256_extracti128_si256(index, 1);
  const Vec row0 = _mm256_load_pd(kTable[_mm_cvtsi128_si64(low_half)]);
  const Vec row1 = _mm256_load_pd(kTable[_mm_extract_epi64(low_half, 1)]);
  const Vec row2 = _mm256_load_pd(kTable[_mm_cvtsi128_si64(high_half)]);
  const Vec row3 = _mm256_load_pd(kTable[_mm_extract_epi64(high_half, 1)]);
  const Vec even01 = _mm256_unpacklo_pd(row0, row1), odd01 = _mm256_unpackhi_pd(row0, row1);
  const Vec even23 = _mm256_unpacklo_pd(row2, row3), odd23 = _mm256_unpackhi_pd(row2, row3);
  const Vec sine_high = _mm256_permute2f128_pd(even01, even23, 0x20),
            cosine_high = _mm256_permute2f128_pd(even01, even23, 0x31);
  const Vec sine_low = _mm256_permute2f128_pd(odd01, odd23, 0x20),
            cosine_low = _mm256_permute2f128_pd(odd01, odd23, 0x31);

  const Vec rr = _mm256_mul_pd(r, r);
  const Vec r3 = _mm256_mul_pd(r, rr);
  const Vec poly3 = fma(rr, all(kSin5), all(kSin3));
  const Vec c = _mm256_mul_pd(rr, fma(rr, fma(rr, all(kCos6), all(kCos4)), all(kCos2)));

  const Vec s_cos = fma(r3, poly3, r);
  const Vec cos_low = minus_fma(c, cosine_high, minus_fma(s_cos, sine_low, cosine_low));
  cosine = _mm256_add_pd(cosine_high, minus_fma(sine_high, s_cos, cos_low));

  const Vec s_sin = _mm256_add_pd(r, _mm256_mul_pd(r3, poly3));
  const Vec sin_low = minus_fma(sine_high, c, fma(s_sin, cosine_low, sine_low));
  const Vec from_table =
      _mm256_or_pd(_mm256_add_pd(sine_high, fma(cosine_high, s_sin, sin_low)), _mm256_and_pd(sign_bit, x));

  const Vec xx = _mm256_mul_pd(x, x);
  const Vec poly = fma(fma(fma(fma(all(kS5), xx, all(kS4)), xx, all(kS3)), xx, all(kS2)), xx, all(kS1));
  const Vec from_poly = _mm256_add_pd(x, _mm256_mul_pd(_mm256_mul_pd(poly, x), xx));

  sine = _mm256_blendv_pd(from_table, from_poly, _mm256_cmp_pd(size, all(kPolynomial), _CMP_LT_OQ));
  sine = _mm256_blendv_pd(sine, x, _mm256_cmp_pd(size, all(kIdentity), _CMP_LT_OQ));

  const int outside = _mm256_movemask_pd(_mm256_cmp_pd(size, all(kLimit), _CMP_NLE_UQ));
  if (__builtin_expect(outside != 0, 0)) {
    alignas(32) double xs[4], sines[4], cosines[4];
    _mm256_store_pd(xs, x);
    for (int i = 0; i < 4; ++i) small_trig::sin_cos(xs[i], sines[i], cosines[i]);
    sine = _mm256_load_pd(sines);
    cosine = _mm256_load_pd(cosines);
  }
}

// Byte i of entry m is bit i of m.
constexpr std::uint32_t kBytesOfMask[16] = {0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001,
                                            0x00010100, 0x00010101, 0x01000000, 0x01000001, 0x01000100, 0x01000101,
                                            0x01010000, 0x01010001, 0x01010100, 0x01010101};

// The step is cut into three passes over a chunk, because one pass is a chain of operations so long that a processor
// sees no second row beside it: three short ones take a third less time.
constexpr std::int64_t kChunk = 64;  // at most the bits of a word

struct Scratch {
  alignas(32) double sine[kChunk], cosine[kChunk], temp[kChunk], theta_acc[kChunk];
};

Rows from_row(const Rows& rows, std::int64_t i) {
  return {rows.x + i, rows.x_dot + i, rows.theta + i, rows.theta_dot + i, rows.steps + i};
}

void find_angles(const double* theta, std::int64_t n, Scratch& scratch) {
  for (std::int64_t i = 0; i < n; i += 4) {
    Vec sine, cosine;
    sin_cos(_mm256_loadu_pd(theta + i), sine, cosine);
    _mm256_store_pd(scratch.sine + i, sine);
    _mm256_store_pd(scratch.cosine + i, cosine);
  }
}

void find_accelerations(const double* theta_dots, const std::int32_t* actions, std::int64_t n, Scratch& scratch) {
  for (std::int64_t i = 0; i < n; i += 4) {
    const Vec sine = _mm256_load_pd(scratch.sine + i), cosine = _mm256_load_pd(scratch.cosine + i);
    const Vec theta_dot = _mm256_loadu_pd(theta_dots + i);
    // The force's sign bit is the inverted action.
    const __m128i action = _mm_loadu_si128(reinterpret_cast<const __m128i*>(actions + i));
    const __m256i negative = _mm256_slli_epi64(_mm256_cvtepi32_epi64(_mm_xor_si128(action, _mm_set1_epi32(1))), 63);
    const Vec force = _mm256_or_pd(all(kForce), _mm256_castsi256_pd(negative));

    const Vec swing = _mm256_mul_pd(_mm256_mul_pd(all(kPoleMassLength), _mm256_mul_pd(theta_dot, theta_dot)), sine);
    const Vec temp = over_total_mass(_mm256_add_pd(force, swing));
    const Vec torque = _mm256_sub_pd(_mm256_mul_pd(all(kGravity), sine), _mm256_mul_pd(cosine, temp));
    const Vec share = over_total_mass(_mm256_mul_pd(all(kPoleMass), _mm256_mul_pd(cosine, cosine)));
    const Vec inertia = _mm256_mul_pd(all(kHalfLength), _mm256_sub_pd(all(4.0 / 3.0), share));
    _mm256_store_pd(scratch.temp + i, temp);
    _mm256_store_pd(scratch.theta_acc + i, _mm256_div_pd(torque, inertia));
  }
}

// Four observations from four vectors of one variable each.
void store_observations(float* to, Vec x, Vec x_dot, Vec theta, Vec theta_dot) {
  __m128 row0 = _mm256_cvtpd_ps(x), row1 = _mm256_cvtpd_ps(x_dot), row2 = _mm256_cvtpd_ps(theta),
         row3 = _mm256_cvtpd_ps(theta_dot);
  _MM_TRANSPOSE4_PS(row0, row1, row2, row3);
  _mm_storeu_ps(to, row0);
  _mm_storeu_ps(to + 4, row1);
  _mm_storeu_ps(to + 8, row2);
  _mm_storeu_ps(to + 12, row3);
}

// `out` begins at the chunk's first row, as `rows` does, but for `ended`, whose indices begin at `first`.
std::int64_t move(const Rows& rows, std::int64_t n, const Scratch& scratch, const Rules& rules, const Outputs& out,
                  std::int64_t first) {
  const Vec sign_bit = all(-0.0), tau = all(kTau);
  const __m128i last_step = _mm_set1_epi32(rules.step_limit - 1);
  const __m128 reward = _mm_set1_ps(rules.reward), reward_at_fall = _mm_set1_ps(rules.reward_at_fall);
  double *const xs = rows.x, *const x_dots = rows.x_dot, *const thetas = rows.theta, *const theta_dots = rows.theta_dot;
  std::int32_t* const all_steps = rows.steps;
  std::uint64_t over = 0;  // bit i is row i
  for (std::int64_t i = 0; i < n; i += 4) {
    const Vec x_dot = _mm256_loadu_pd(x_dots + i), theta_dot = _mm256_loadu_pd(theta_dots + i);
    const Vec temp = _mm256_load_pd(scratch.temp + i), theta_acc = _mm256_load_pd(scratch.theta_acc + i);
    const Vec cosine = _mm256_load_pd(scratch.cosine + i);
    const Vec recoil = over_total_mass(_mm256_mul_pd(_mm256_mul_pd(all(kPoleMassLength), theta_acc), cosine));
    const Vec x_acc = _mm256_sub_pd(temp, recoil);
    const Vec next_x = _mm256_add_pd(_mm256_loadu_pd(xs + i), _mm256_mul_pd(tau, x_dot));
    const Vec next_x_dot = _mm256_add_pd(x_dot, _mm256_mul_pd(tau, x_acc));
    const Vec next_theta = _mm256_add_pd(_mm256_loadu_pd(thetas + i), _mm256_mul_pd(tau, theta_dot));
    const Vec next_theta_dot = _mm256_add_pd(theta_dot, _mm256_mul_pd(tau, theta_acc));
    _mm256_storeu_pd(xs + i, next_x);
    _mm256_storeu_pd(x_dots + i, next_x_dot);
    _mm256_storeu_pd(thetas + i, next_theta);
    _mm256_storeu_pd(theta_dots + i, next_theta_dot);
    store_observations(out.observations + 4 * i, next_x, next_x_dot, next_theta, next_theta_dot);

    const Vec fallen =
        _mm256_or_pd(_mm256_cmp_pd(_mm256_andnot_pd(sign_bit, next_x), all(kPositionLimit), _CMP_GT_OQ),
                     _mm256_cmp_pd(_mm256_andnot_pd(sign_bit, next_theta), all(kAngleLimit), _CMP_GT_OQ));
    const __m128i steps =
        _mm_add_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(all_steps + i)), _mm_set1_epi32(1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(all_steps + i), steps);
    const auto terminated = static_cast<unsigned>(_mm256_movemask_pd(fallen));
    const auto truncated = static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(steps, last_step))));
    std::memcpy(out.terminated + i, &kBytesOfMask[terminated], 4);
    std::memcpy(out.truncated + i, &kBytesOfMask[truncated], 4);
    const __m128 fallen_floats = _mm_castsi128_ps(_mm256_castsi256_si128(
        _mm256_permutevar8x32_epi32(_mm256_castpd_si256(fallen), _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6))));
    _mm_storeu_ps(out.rewards + i, _mm_blendv_ps(reward, reward_at_fall, fallen_floats));
    over |= std::uint64_t{terminated | truncated} << i;
  }
  // Listed after the loop: a branch in it would be guessed wrong a few times a chunk.
  std::int64_t ended = 0;
  for (; over != 0; over &= over - 1) {
    out.ended[ended++] = static_cast<std::int32_t>(first + __builtin_ctzll(over));
  }
  return ended;
}

}  // namespace

std::int64_t step_avx2(const Rows& rows, const std::int32_t* actions, std::int64_t n, const Rules& rules,
                       const Outputs& out) {
  Scratch scratch;
  const std::int64_t in_fours = n & ~std::int64_t{3};
  std::int64_t ended = 0;
  for (std::int64_t first = 0; first < in_fours; first += kChunk) {
    const std::int64_t size = std::min(kChunk, in_fours - first);
    const Rows chunk = from_row(rows, first);
    find_angles(chunk.theta, size, scratch);
    find_accelerations(chunk.theta_dot, actions + first, size, scratch);
    ended += move(chunk, size, scratch, rules,
                  {out.observations + 4 * first, out.rewards + first, out.terminated + first, out.truncated + first,
                   out.ended + ended},
                  first);
  }
  for (std::int64_t i = in_fours; i < n; ++i) {
    if (step_row(rows, i, actions[i], rules, out)) out.ended[ended++] = static_cast<std::int32_t>(i);
  }
  return ended;
}

}  // namespace daybreak::rl::cartpole

#endif
