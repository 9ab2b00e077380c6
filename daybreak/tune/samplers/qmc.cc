#include "daybreak/tune/samplers/qmc.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <optional>
#include <string>

#include "daybreak/tune/keyed.h"
#include "daybreak/tune/samplers/sobol_numbers.h"
#include "daybreak/tune/samplers/spaces.h"

namespace daybreak::tune {
namespace {

constexpr int kSobolBits = 32;
using SobolDirections = std::array<std::uint32_t, kSobolBits>;

// Bit k's direction, for each dimension.
std::vector<SobolDirections> sobol_directions(std::size_t dims) {
  std::vector<SobolDirections> found(dims);
  std::size_t at = 0;
  for (std::size_t d = 0; d < dims; ++d) {
    SobolDirections& numbers = found[d];
    if (d == 0) {
      for (int k = 0; k < kSobolBits; ++k) numbers.at(k) = 1U << (kSobolBits - 1 - k);
      continue;
    }
    const std::uint32_t polynomial = kSobolNumbers.at(at++);
    const int degree = std::bit_width(polynomial) - 1;
    for (int k = 0; k < kSobolBits; ++k) {
      if (k < degree) {
        numbers.at(k) = static_cast<std::uint32_t>(kSobolNumbers.at(at++)) << (kSobolBits - 1 - k);
        continue;
      }
      std::uint32_t next = numbers.at(k - degree) ^ (numbers.at(k - degree) >> degree);
      for (int j = 1; j < degree; ++j) {
        if (((polynomial >> (degree - j)) & 1) != 0) next ^= numbers.at(k - j);
      }
      numbers.at(k) = next;
    }
  }
  return found;
}

// A random lower triangular matrix over the bits, the highest first, and a shift.
std::uint32_t scrambled_bits(std::uint32_t x, Keyed& random) {
  std::uint32_t found = 0;
  for (int bit = 0; bit < kSobolBits; ++bit) {
    const std::uint32_t own = 1U << (kSobolBits - 1 - bit);
    const std::uint32_t above = ~((own << 1) - 1);  // bits higher than this one
    const auto row = (static_cast<std::uint32_t>(random.next()) & (bit == 0 ? 0 : above)) | own;
    if ((std::popcount(x & row) & 1) != 0) found |= own;
  }
  return found ^ static_cast<std::uint32_t>(random.next());
}

std::uint32_t next_prime(std::uint32_t after) {
  for (std::uint32_t candidate = after + 1;; ++candidate) {
    bool prime = candidate > 1;
    for (std::uint32_t divisor = 2; divisor * divisor <= candidate && prime; ++divisor)
      prime = candidate % divisor != 0;
    if (prime) return candidate;
  }
}

// The digits of the index behind the point; scrambled, each place has a permutation of its own, 0s included, down to 2^-53.
double halton_number(std::uint32_t index, std::uint32_t base, bool scramble, Keyed& random) {
  double value = 0;
  double scale = 1.0 / base;
  std::vector<std::uint32_t> order(base);
  for (std::uint32_t left = index; scramble ? scale > 0x1p-53 : left > 0; left /= base, scale /= base) {
    std::uint32_t digit = left % base;
    if (scramble) {
      std::iota(order.begin(), order.end(), 0U);
      for (std::uint32_t k = base - 1; k > 0; --k) std::swap(order[k], order[random.below(k + 1)]);
      digit = order[digit];
    }
    value += digit * scale;
  }
  return std::min(value, 1 - 0x1p-53);
}

class QmcSampler final : public Sampler {
 public:
  explicit QmcSampler(const QmcOptions& options) : options_(options) {}

  std::vector<Parameter> joint(const Trials& trials, std::size_t) override {
    const std::span<const std::uint32_t> finished = trials.finished_in_order();
    for (; !space_ && seen_ < finished.size(); ++seen_) {
      if (trials.state(finished[seen_]) != State::kComplete) continue;
      space_.emplace();
      for (const Given& given : trials.given(finished[seen_])) {
        if (!given.distribution.single()) {
          space_->push_back({.column = given.column, .distribution = given.distribution});
        }
      }
      sort_by_name(trials, *space_);
    }
    return space_.value_or(std::vector<Parameter>());
  }

  base::Result<Sample> sample(const Trials&, std::size_t trial, std::span<const Parameter> parameters) override {
    DAYBREAK_ASSIGN(const std::vector<double> point,
                    qmc_point(options_, static_cast<std::uint32_t>(trial), parameters.size()));
    Sample found;
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      const Distribution& distribution = parameters[k].distribution;
      const auto [low, high] = distribution.inner_bounds();
      found.values.push_back(distribution.from_inner(low + point[k] * (high - low)));
    }
    return found;
  }

  base::Result<double> sample_one(const Trials& trials, std::size_t trial, const Parameter& parameter) override {
    return drawn(options_.seed, trial, trials.name(parameter.column), parameter.distribution);
  }

 private:
  QmcOptions options_;
  std::size_t seen_ = 0;
  std::optional<std::vector<Parameter>> space_;  // of the first complete trial
};

}  // namespace

base::Result<std::vector<double>> qmc_point(const QmcOptions& options, std::uint32_t index, std::size_t dims) {
  if (dims > kSobolDimensions) {
    return base::fail(base::Code::kInvalidArgument,
                      "{} parameters: quasi-random sequences here have at most {}; take the random sampler for more",
                      dims, kSobolDimensions);
  }
  std::vector<double> point(dims);
  if (options.sequence == QmcSequence::kHalton) {
    std::uint32_t base = 1;
    for (std::size_t d = 0; d < dims; ++d) {
      base = next_prime(base);
      Keyed random(options.seed, d, "halton");
      point[d] = halton_number(index, base, options.scramble, random);
    }
    return point;
  }
  static const std::vector<SobolDirections> directions = sobol_directions(kSobolDimensions);
  const std::uint32_t gray = index ^ (index >> 1);
  for (std::size_t d = 0; d < dims; ++d) {
    std::uint32_t x = 0;
    for (int k = 0; k < kSobolBits; ++k) {
      if (((gray >> k) & 1) != 0) x ^= directions[d].at(k);
    }
    if (options.scramble) {
      Keyed random(options.seed, d, "sobol");
      x = scrambled_bits(x, random);
    }
    point[d] = x * 0x1p-32;
  }
  return point;
}

base::Result<std::unique_ptr<Sampler>> qmc_sampler(const QmcOptions& options) {
  return std::make_unique<QmcSampler>(options);
}

}  // namespace daybreak::tune
