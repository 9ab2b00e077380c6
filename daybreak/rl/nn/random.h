// The learners' own generator: small, fast, seeded from one number, saved and restored as four words.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace daybreak::rl::nn {

// xoshiro256++ (Blackman and Vigna 2019), seeded through splitmix64. A value; not for secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) {
    std::uint64_t x = seed * 0x9e3779b97f4a7c15U + stream * 0xd1342543de82ef95U + 0x2545f4914f6cdd1dU;
    for (auto& word : state_) {
      x += 0x9e3779b97f4a7c15U;
      std::uint64_t z = x;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
      word = z ^ (z >> 31);
    }
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

}  // namespace daybreak::rl::nn
