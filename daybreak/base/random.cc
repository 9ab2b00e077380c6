#include "daybreak/base/random.h"

#include <array>

namespace daybreak::base {
namespace {

// numpy's SeedSequence (after M. E. O'Neill's seed_seq_fe128): entropy words are hashed into a pool of four, the pool
// into the state.
constexpr int kPoolWords = 4;

struct SeedHash {
  std::uint32_t constant;
  std::uint32_t multiplier;

  std::uint32_t operator()(std::uint32_t value) {
    value ^= constant;
    constant *= multiplier;
    value *= constant;
    return value ^ (value >> 16);
  }
};

std::uint32_t seed_mix(std::uint32_t x, std::uint32_t y) {
  const std::uint32_t result = 0xca01f9ddU * x - 0x4973f715U * y;
  return result ^ (result >> 16);
}

}  // namespace

Pcg64::Pcg64(std::uint64_t seed, std::uint64_t offset) {
  const Word entropy =
      Word{seed} + offset;  // at most 65 bits: three words, and zero words at the top hash like absent ones
  std::array<std::uint32_t, kPoolWords> pool{};
  SeedHash in{0x43b0d7e5U, 0x931e8875U};
  for (int i = 0; i < kPoolWords; ++i) pool[i] = in(static_cast<std::uint32_t>(entropy >> (32 * i)));
  for (int from = 0; from < kPoolWords; ++from) {
    for (int to = 0; to < kPoolWords; ++to) {
      if (from != to) pool[to] = seed_mix(pool[to], in(pool[from]));
    }
  }
  SeedHash out{0x8b51f9ddU, 0x58f38dedU};
  std::array<std::uint64_t, 4> words{};
  for (int i = 0; i < 8; ++i) {
    words[i / 2] |= static_cast<std::uint64_t>(out(pool[i % kPoolWords])) << (32 * (i % 2));
  }
  increment_ = ((Word{words[2]} << 64 | words[3]) << 1) | 1;
  state_ = increment_;  // the generator's first step, from zero
  state_ += Word{words[0]} << 64 | words[1];
  state_ = state_ * kMultiplier + increment_;
}

}  // namespace daybreak::base
