#include "daybreak/store/chunker.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace daybreak::store {

namespace {

// splitmix64 from a fixed seed: the cuts are part of what makes two versions share chunks, so this never changes.
constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t state = 0x6461796272656b31;
  for (auto& g : gear) {
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    g = z ^ (z >> 31);
  }
  return gear;
}
constexpr std::array<std::uint64_t, 256> kGear = make_gear();

}  // namespace

std::size_t first_chunk(std::span<const std::byte> bytes, std::size_t mean, bool last) {
  const std::size_t least = mean / 4, most = 4 * mean;
  const std::size_t end = std::min(bytes.size(), most);
  const int bits = std::bit_width(mean) - 1;
  // The top bits of the hash depend on the most bytes. Harder to cut before the mean, easier behind it.
  const std::uint64_t hard = ~std::uint64_t{0} << (64 - bits - 1), easy = ~std::uint64_t{0} << (64 - bits + 1);
  std::uint64_t hash = 0;
  std::size_t i = std::min(least, end);
  for (const std::size_t stop = std::min(mean, end); i < stop; ++i) {
    hash = (hash << 1) + kGear[std::to_integer<std::size_t>(bytes[i])];
    if ((hash & hard) == 0) return i + 1;
  }
  for (; i < end; ++i) {
    hash = (hash << 1) + kGear[std::to_integer<std::size_t>(bytes[i])];
    if ((hash & easy) == 0) return i + 1;
  }
  return end == most || last ? end : 0;
}

}  // namespace daybreak::store
