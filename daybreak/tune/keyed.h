// Random numbers that are a function of what they are for: the study's seed, the trial's number, a purpose (a parameter's name). What
// was asked before, in which order and by which process, changes nothing; so a resumed study goes on as it would have.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include "daybreak/base/random.h"

namespace daybreak::tune {

class Keyed {
 public:
  Keyed(std::uint64_t seed, std::uint64_t trial, std::string_view purpose)
      : words_(mixed(mixed(seed, trial), hashed(purpose))) {}

  std::uint64_t next() { return words_.next(); }
  // [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // [0, n), n > 0, every value as likely as the others but for n / 2^64.
  std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }
  // Standard normal, by Box and Muller.
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  static std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
    return base::SplitMix64(base::SplitMix64(a).next() ^ (b * base::SplitMix64::kGolden)).next();
  }
  // FNV-1a: a name always gives the same numbers, on every machine.
  static constexpr std::uint64_t hashed(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
    return hash;
  }

  base::SplitMix64 words_;
};

}  // namespace daybreak::tune
