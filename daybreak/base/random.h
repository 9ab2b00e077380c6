// Generators of random numbers, under the names of their algorithms: what one gives for a seed never changes, because
// checkpoints and comparisons with other libraries stand on it. Values, not shared between threads, not for secrets:
// those come from Env::fill_random.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace daybreak::base {

// splitmix64 (Steele, Lea and Flood 2014): a counter through a mixing function. To make the state of another generator
// of a seed.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t counter) : counter_(counter) {}

  std::uint64_t next() {
    counter_ += kGolden;
    std::uint64_t z = counter_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

  static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;  // 2^64 over the golden ratio

 private:
  std::uint64_t counter_;
};

// xoshiro256++ (Blackman and Vigna 2019), seeded through splitmix64: small and fast, saved and restored as four words.
// The learners' generator.
class Xoshiro256 {
 public:
  // Streams of one seed have nothing to do with each other.
  explicit Xoshiro256(std::uint64_t seed, std::uint64_t stream = 0) {
    SplitMix64 words(seed * SplitMix64::kGolden + stream * 0xd1342543de82ef95U + 0x2545f4914f6cdd1dU);
    for (std::uint64_t& word : state_) word = words.next();
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // [0, 1), 24 bits.
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24F; }
  // [0, 1), 53 bits.
  double uniform_double() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  // [0, n), n > 0, by Lemire's multiplication (bias under n / 2^32).
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(((next() >> 32) * n) >> 32); }
  // Standard normal by Box and Muller; one of the pair is thrown away so that the state is four words.
  float normal() {
    const double u = 1.0 - uniform_double();
    return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform_double()));
  }

  const std::array<std::uint64_t, 4>& state() const { return state_; }
  void set_state(const std::array<std::uint64_t, 4>& state) { state_ = state; }

 private:
  std::array<std::uint64_t, 4> state_;
};

// PCG64 (XSL-RR 128/64, O'Neill 2014) seeded by a SeedSequence, bit for bit the stream of
// numpy.random.Generator(PCG64(SeedSequence(entropy))). It is Gymnasium's `np_random`, so that one seed gives the same
// episodes here and there. Copying one forks the stream.
class Pcg64 {
 public:
  Pcg64() : Pcg64(0, 0) {}

  // The generator of SeedSequence(seed + offset), the sum taken without wrapping: Gymnasium's seed of row `offset` in a
  // batch.
  explicit Pcg64(std::uint64_t seed, std::uint64_t offset = 0);

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

  bool operator==(const Pcg64&) const = default;

 private:
  using Word = unsigned __int128;
  static constexpr Word kMultiplier = Word{2549297995355413924ULL} << 64 | Word{4865540595714422341ULL};

  Word state_;
  Word increment_;
};

}  // namespace daybreak::base
