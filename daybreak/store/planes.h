// Byte planes: elements of 1, 2, 4 or 8 bytes become as many planes, the least significant bytes first. Bytes of one
// significance resemble each other, so that each plane compresses by itself far better than the elements do.
//
// Without a base, floating-point elements are rotated left by one bit, so that the highest plane is the exponent and
// nothing but it. With a base, the plane holds differences: both sides are taken as integers in the order of their
// values (a float with the sign bit set has its other bits inverted), subtracted modulo 2^bits and zigzag-coded (the
// sign becomes the lowest bit), so that a small change of either sign leaves the upper planes zero. Both maps are
// bijections of the bit patterns: NaN payloads, infinities and -0.0 come back exactly.
#pragma once

#include <cstddef>

namespace daybreak::store {

struct PlaneOps {
  // `count` elements at `current` (and at `base`, or nullptr) become `element_bytes` planes of `count` bytes each.
  void (*split)(const std::byte* current, const std::byte* base, std::size_t count, unsigned element_bytes,
                bool is_float, std::byte* planes);
  // The inverse. `out` may be `base`.
  void (*merge)(const std::byte* planes, const std::byte* base, std::size_t count, unsigned element_bytes,
                bool is_float, std::byte* out);
};

const PlaneOps& scalar_plane_ops();
// nullptr where the processor has no AVX2.
const PlaneOps* avx2_plane_ops();
// The best that this processor has.
const PlaneOps& plane_ops();

// What the AVX2 functions do with the elements behind the last full step.
void split_scalar(const std::byte* current, const std::byte* base, std::size_t from, std::size_t count,
                  unsigned element_bytes, bool is_float, std::byte* planes);
void merge_scalar(const std::byte* planes, const std::byte* base, std::size_t from, std::size_t count,
                  unsigned element_bytes, bool is_float, std::byte* out);

}  // namespace daybreak::store
