// The one random generator of the environments: PCG64 (XSL-RR 128/64) seeded by a SeedSequence, bit for bit the stream
// of numpy.random.Generator(PCG64(SeedSequence(entropy))). It is Gymnasium's `np_random`, so that one seed gives the
// same episodes here and there.
#pragma once

#include <cstdint>

namespace daybreak::rl {

// 32 bytes of state, a value: copying one forks the stream. Not shared between threads.
class Random {
 public:
  Random() : Random(0, 0) {}

  // The generator of SeedSequence(seed + offset), the sum taken without wrapping: Gymnasium's seed of row `offset` in a
  // batch.
  explicit Random(std::uint64_t seed, std::uint64_t offset = 0);

  // 64 uniform bits.
  std::uint64_t next() {
    state_ = state_ * kMultiplier + increment_;
    const std::uint64_t folded = static_cast<std::uint64_t>(state_ >> 64) ^ static_cast<std::uint64_t>(state_);
    const unsigned turn = static_cast<unsigned>(state_ >> 122);
    return (folded >> turn) | (folded << ((64 - turn) & 63));
  }

  // Uniform in [0, 1), a multiple of 2^-53.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  // low + (high - low) * uniform(), in this order of operations.
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  bool operator==(const Random&) const = default;

 private:
  using Word = unsigned __int128;
  static constexpr Word kMultiplier = Word{2549297995355413924ULL} << 64 | Word{4865540595714422341ULL};

  Word state_;
  Word increment_;
};

}  // namespace daybreak::rl
