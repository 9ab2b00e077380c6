#include "daybreak/store/planes.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "daybreak/base/cpu.h"

namespace daybreak::store {

namespace {

template <typename U>
constexpr int kTopBit = 8 * static_cast<int>(sizeof(U)) - 1;

// A negative float's other bits inverted: as two's complement integers the patterns then lie in the order of the
// values.
template <typename U>
U ordered(U bits) {
  const U sign = static_cast<U>(-static_cast<U>(bits >> kTopBit<U>));
  return static_cast<U>(bits ^ static_cast<U>(sign >> 1));
}

template <typename U>
U zigzag(U d) {
  return static_cast<U>(static_cast<U>(d << 1) ^ static_cast<U>(-static_cast<U>(d >> kTopBit<U>)));
}

template <typename U>
U unzigzag(U z) {
  return static_cast<U>(static_cast<U>(z >> 1) ^ static_cast<U>(-static_cast<U>(z & 1)));
}

template <typename U>
U load_element(const std::byte* at, std::size_t i) {
  U value;
  std::memcpy(&value, at + i * sizeof(U), sizeof(U));
  return value;
}

template <typename U>
void split_elements(const std::byte* current, const std::byte* base, std::size_t from, std::size_t count, bool is_float,
                    std::byte* planes) {
  for (std::size_t i = from; i < count; ++i) {
    U value = load_element<U>(current, i);
    if (base != nullptr) {
      const U other = load_element<U>(base, i);
      value = zigzag(is_float ? static_cast<U>(ordered(value) - ordered(other)) : static_cast<U>(value - other));
    } else if (is_float) {
      value = std::rotl(value, 1);
    }
    for (std::size_t p = 0; p < sizeof(U); ++p) planes[p * count + i] = static_cast<std::byte>(value >> (8 * p));
  }
}

template <typename U>
void merge_elements(const std::byte* planes, const std::byte* base, std::size_t from, std::size_t count, bool is_float,
                    std::byte* out) {
  for (std::size_t i = from; i < count; ++i) {
    U value = 0;
    for (std::size_t p = 0; p < sizeof(U); ++p) {
      value = static_cast<U>(value | static_cast<U>(static_cast<U>(planes[p * count + i]) << (8 * p)));
    }
    if (base != nullptr) {
      const U other = load_element<U>(base, i);
      value = unzigzag(value);
      value = is_float ? ordered(static_cast<U>(value + ordered(other))) : static_cast<U>(value + other);
    } else if (is_float) {
      value = std::rotr(value, 1);
    }
    std::memcpy(out + i * sizeof(U), &value, sizeof(U));
  }
}

void split_all(const std::byte* current, const std::byte* base, std::size_t count, unsigned element_bytes,
               bool is_float, std::byte* planes) {
  split_scalar(current, base, 0, count, element_bytes, is_float, planes);
}

void merge_all(const std::byte* planes, const std::byte* base, std::size_t count, unsigned element_bytes, bool is_float,
               std::byte* out) {
  merge_scalar(planes, base, 0, count, element_bytes, is_float, out);
}

}  // namespace

void split_scalar(const std::byte* current, const std::byte* base, std::size_t from, std::size_t count,
                  unsigned element_bytes, bool is_float, std::byte* planes) {
  switch (element_bytes) {
    case 1: return split_elements<std::uint8_t>(current, base, from, count, is_float, planes);
    case 2: return split_elements<std::uint16_t>(current, base, from, count, is_float, planes);
    case 4: return split_elements<std::uint32_t>(current, base, from, count, is_float, planes);
    default: return split_elements<std::uint64_t>(current, base, from, count, is_float, planes);
  }
}

void merge_scalar(const std::byte* planes, const std::byte* base, std::size_t from, std::size_t count,
                  unsigned element_bytes, bool is_float, std::byte* out) {
  switch (element_bytes) {
    case 1: return merge_elements<std::uint8_t>(planes, base, from, count, is_float, out);
    case 2: return merge_elements<std::uint16_t>(planes, base, from, count, is_float, out);
    case 4: return merge_elements<std::uint32_t>(planes, base, from, count, is_float, out);
    default: return merge_elements<std::uint64_t>(planes, base, from, count, is_float, out);
  }
}

const PlaneOps& scalar_plane_ops() {
  static constexpr PlaneOps kOps{&split_all, &merge_all};
  return kOps;
}

const PlaneOps& plane_ops() {
  static const bool vectors = base::cpu_level() >= base::CpuLevel::kAvx2 && avx2_plane_ops() != nullptr;
  static const PlaneOps& best = vectors ? *avx2_plane_ops() : scalar_plane_ops();
  return best;
}

}  // namespace daybreak::store
