// 32 elements a step. Elements of 1 and 8 bytes are left to the scalar code: the former have one plane, the latter are
// rare in what is stored often.
#include <immintrin.h>

#include "daybreak/store/planes.h"

namespace daybreak::store {

namespace {

constexpr std::size_t kStep = 32;

__m256i load256(const std::byte* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

void store256(std::byte* at, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), v);
}

__m256i ordered32(__m256i v) {
  return _mm256_xor_si256(v, _mm256_srli_epi32(_mm256_srai_epi32(v, 31), 1));
}

__m256i ordered16(__m256i v) {
  return _mm256_xor_si256(v, _mm256_srli_epi16(_mm256_srai_epi16(v, 15), 1));
}

__m256i forward32(const std::byte* current, const std::byte* base, bool is_float) {
  const __m256i v = load256(current);
  if (base == nullptr) {
    return is_float ? _mm256_or_si256(_mm256_slli_epi32(v, 1), _mm256_srli_epi32(v, 31)) : v;
  }
  const __m256i b = load256(base);
  const __m256i d = is_float ? _mm256_sub_epi32(ordered32(v), ordered32(b)) : _mm256_sub_epi32(v, b);
  return _mm256_xor_si256(_mm256_slli_epi32(d, 1), _mm256_srai_epi32(d, 31));
}

__m256i backward32(__m256i v, const std::byte* base, bool is_float) {
  if (base == nullptr) {
    return is_float ? _mm256_or_si256(_mm256_srli_epi32(v, 1), _mm256_slli_epi32(v, 31)) : v;
  }
  const __m256i sign = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_and_si256(v, _mm256_set1_epi32(1)));
  const __m256i d = _mm256_xor_si256(_mm256_srli_epi32(v, 1), sign);
  const __m256i b = load256(base);
  return is_float ? ordered32(_mm256_add_epi32(d, ordered32(b))) : _mm256_add_epi32(d, b);
}

__m256i forward16(const std::byte* current, const std::byte* base, bool is_float) {
  const __m256i v = load256(current);
  if (base == nullptr) {
    return is_float ? _mm256_or_si256(_mm256_slli_epi16(v, 1), _mm256_srli_epi16(v, 15)) : v;
  }
  const __m256i b = load256(base);
  const __m256i d = is_float ? _mm256_sub_epi16(ordered16(v), ordered16(b)) : _mm256_sub_epi16(v, b);
  return _mm256_xor_si256(_mm256_slli_epi16(d, 1), _mm256_srai_epi16(d, 15));
}

__m256i backward16(__m256i v, const std::byte* base, bool is_float) {
  if (base == nullptr) {
    return is_float ? _mm256_or_si256(_mm256_srli_epi16(v, 1), _mm256_slli_epi16(v, 15)) : v;
  }
  const __m256i sign = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_and_si256(v, _mm256_set1_epi16(1)));
  const __m256i d = _mm256_xor_si256(_mm256_srli_epi16(v, 1), sign);
  const __m256i b = load256(base);
  return is_float ? ordered16(_mm256_add_epi16(d, ordered16(b))) : _mm256_add_epi16(d, b);
}

__m256i twice(__m128i half) {
  return _mm256_broadcastsi128_si256(half);
}

// Within 16 bytes: the four bytes of significance 0, then those of 1, 2, 3. Its own inverse.
__m256i transpose_bytes4() {
  return twice(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
}

void split4(const std::byte* current, const std::byte* base, std::size_t steps, std::size_t count, bool is_float,
            std::byte* planes) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (std::size_t s = 0; s < steps; ++s) {
    __m256i v[4];  // each: 8 elements as 8 bytes of every significance
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = s * kStep * 4 + k * 32;
      v[k] = forward32(current + at, base == nullptr ? nullptr : base + at, is_float);
      v[k] = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(v[k], transpose_bytes4()), order);
    }
    const __m256i low01 = _mm256_unpacklo_epi64(v[0], v[1]), low23 = _mm256_unpacklo_epi64(v[2], v[3]);
    const __m256i high01 = _mm256_unpackhi_epi64(v[0], v[1]), high23 = _mm256_unpackhi_epi64(v[2], v[3]);
    std::byte* out = planes + s * kStep;
    store256(out, _mm256_permute2x128_si256(low01, low23, 0x20));
    store256(out + count, _mm256_permute2x128_si256(high01, high23, 0x20));
    store256(out + 2 * count, _mm256_permute2x128_si256(low01, low23, 0x31));
    store256(out + 3 * count, _mm256_permute2x128_si256(high01, high23, 0x31));
  }
}

void merge4(const std::byte* planes, const std::byte* base, std::size_t steps, std::size_t count, bool is_float,
            std::byte* out) {
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  for (std::size_t s = 0; s < steps; ++s) {
    const std::byte* in = planes + s * kStep;
    const __m256i p0 = load256(in), p1 = load256(in + count);
    const __m256i p2 = load256(in + 2 * count), p3 = load256(in + 3 * count);
    const __m256i low01 = _mm256_permute2x128_si256(p0, p2, 0x20), low23 = _mm256_permute2x128_si256(p0, p2, 0x31);
    const __m256i high01 = _mm256_permute2x128_si256(p1, p3, 0x20), high23 = _mm256_permute2x128_si256(p1, p3, 0x31);
    const __m256i v[4] = {_mm256_unpacklo_epi64(low01, high01), _mm256_unpackhi_epi64(low01, high01),
                          _mm256_unpacklo_epi64(low23, high23), _mm256_unpackhi_epi64(low23, high23)};
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = s * kStep * 4 + k * 32;
      const __m256i elements = _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(v[k], order), transpose_bytes4());
      store256(out + at, backward32(elements, base == nullptr ? nullptr : base + at, is_float));
    }
  }
}

void split2(const std::byte* current, const std::byte* base, std::size_t steps, std::size_t count, bool is_float,
            std::byte* planes) {
  const __m256i apart = twice(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
  for (std::size_t s = 0; s < steps; ++s) {
    __m256i v[2];
    for (std::size_t k = 0; k < 2; ++k) {
      const std::size_t at = s * kStep * 2 + k * 32;
      v[k] = forward16(current + at, base == nullptr ? nullptr : base + at, is_float);
      v[k] = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v[k], apart), 0xd8);
    }
    store256(planes + s * kStep, _mm256_permute2x128_si256(v[0], v[1], 0x20));
    store256(planes + count + s * kStep, _mm256_permute2x128_si256(v[0], v[1], 0x31));
  }
}

void merge2(const std::byte* planes, const std::byte* base, std::size_t steps, std::size_t count, bool is_float,
            std::byte* out) {
  const __m256i together = twice(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
  for (std::size_t s = 0; s < steps; ++s) {
    const __m256i p0 = load256(planes + s * kStep), p1 = load256(planes + count + s * kStep);
    const __m256i v[2] = {_mm256_permute2x128_si256(p0, p1, 0x20), _mm256_permute2x128_si256(p0, p1, 0x31)};
    for (std::size_t k = 0; k < 2; ++k) {
      const std::size_t at = s * kStep * 2 + k * 32;
      const __m256i elements = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(v[k], 0xd8), together);
      store256(out + at, backward16(elements, base == nullptr ? nullptr : base + at, is_float));
    }
  }
}

void split_avx2(const std::byte* current, const std::byte* base, std::size_t count, unsigned element_bytes,
                bool is_float, std::byte* planes) {
  const std::size_t steps = element_bytes == 4 || element_bytes == 2 ? count / kStep : 0;
  if (element_bytes == 4) split4(current, base, steps, count, is_float, planes);
  if (element_bytes == 2) split2(current, base, steps, count, is_float, planes);
  split_scalar(current, base, steps * kStep, count, element_bytes, is_float, planes);
}

void merge_avx2(const std::byte* planes, const std::byte* base, std::size_t count, unsigned element_bytes,
                bool is_float, std::byte* out) {
  const std::size_t steps = element_bytes == 4 || element_bytes == 2 ? count / kStep : 0;
  if (element_bytes == 4) merge4(planes, base, steps, count, is_float, out);
  if (element_bytes == 2) merge2(planes, base, steps, count, is_float, out);
  merge_scalar(planes, base, steps * kStep, count, element_bytes, is_float, out);
}

}  // namespace

const PlaneOps* avx2_plane_ops() {
  static constexpr PlaneOps kOps{&split_avx2, &merge_avx2};
  static const bool there = __builtin_cpu_supports("avx2") != 0;
  return there ? &kOps : nullptr;
}

}  // namespace daybreak::store
