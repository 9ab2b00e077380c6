#include "daybreak/tune/parzen.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

#include "daybreak/base/cpu.h"
#include "daybreak/base/error.h"

namespace daybreak::tune {
namespace {

constexpr double kParzenNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kHalfLogTwoPi = 0.918938533204672741780329736406;
constexpr std::size_t kFullWeights = 25;  // so many of the newest observations have the whole weight
constexpr double kNarrowest = 100;        // no kernel is narrower than the width over this
constexpr double kDrawsBeforeInverse = 16;

double ndtr(double x) {
  return 0.5 * std::erfc(-x * std::numbers::sqrt2 / 2);
}

internal::ParzenKernels parzen_kernels() {
  const base::CpuLevel level = base::cpu_level();
#if defined(__x86_64__)
  if (level >= base::CpuLevel::kAvx512) return internal::avx512_parzen_kernels();
  if (level >= base::CpuLevel::kAvx2) return internal::avx2_parzen_kernels();
#endif
  (void)level;
  return internal::scalar_parzen_kernels();
}

// Two standard normals of Marsaglia's polar method.
std::array<double, 2> normal_pair(Keyed& random) {
  while (true) {
    const double x = random.uniform(-1, 1);
    const double y = random.uniform(-1, 1);
    const double square = x * x + y * y;
    if (square >= 1 || square == 0) continue;
    const double scale = std::sqrt(-2 * std::log(square) / square);
    return {x * scale, y * scale};
  }
}

}  // namespace

double log_ndtr(double x) {
  if (x > 0) return std::log1p(-ndtr(-x));
  if (x > -20) return std::log(ndtr(x));
  // The asymptotic series of Mills' ratio; at -20 its ninth term is 1e-15 of the sum.
  const double inverse_square = 1 / (x * x);
  double term = 1;
  double sum = 1;
  for (int k = 1; k < 10; ++k) {
    term *= -(2 * k - 1) * inverse_square;
    sum += term;
  }
  return -x * x / 2 - std::log(-x) - kHalfLogTwoPi + std::log(sum);
}

double log_mass(double low, double high) {
  if (low > 0) return log_mass(-high, -low);  // the left tail is the one that does not cancel
  if (high > 0) {
    const double outside = (low < -9 ? 0.0 : ndtr(low)) + (high > 9 ? 0.0 : ndtr(-high));
    return std::log1p(-outside);
  }
  if (high > -20) {
    const double mass = ndtr(high) - (low < -38 ? 0.0 : ndtr(low));
    if (mass > 0) return std::log(mass);
  }
  const double log_high = log_ndtr(high);
  const double ratio = log_ndtr(low) - log_high;  // below 0, unless the two are one number
  return ratio < 0 ? log_high + std::log(-std::expm1(ratio)) : -std::numeric_limits<double>::infinity();
}

double inverse_ndtr_between(double low, double high, double share) {
  if (low > 0) return -inverse_ndtr_between(-high, -low, 1 - share);
  // The log of the wanted probability, and halves of the interval until doubles have no more.
  const double log_low = log_ndtr(low);
  const double log_high = log_ndtr(high);
  const double wanted = log_high + std::log(share + (1 - share) * std::exp(log_low - log_high));
  double left = low;
  double right = high;
  for (int k = 0; k < 200 && left < right; ++k) {
    const double middle = left + (right - left) / 2;
    if (middle == left || middle == right) break;
    (log_ndtr(middle) < wanted ? left : right) = middle;
  }
  return left + (right - left) / 2;
}

Parzen::Parzen(const std::vector<Distribution>& distributions, Weights weights) : rule_(weights) {
  for (const Distribution& distribution : distributions) {
    Dimension& dim = dims_.emplace_back();
    dim.distribution = distribution;
    if (distribution.categorical()) continue;
    const auto [low, high] = distribution.inner_bounds();
    dim.low = low;
    dim.width = high > low ? high - low : 1;
    if (dim.continuous()) dim.packed = packed_dims_++;
  }
  resize_slots(internal::kBlock);
  for (Dimension& dim : dims_) {
    if (dim.distribution.categorical()) continue;
    dim.mu[0] = 0.5;
    set_width(dim, 0, 1);
  }
}

bool Parzen::contains(std::uint32_t trial) const {
  const auto found = std::ranges::lower_bound(by_trial_, std::pair{trial, std::uint32_t{0}});
  return found != by_trial_.end() && found->first == trial;
}

void Parzen::resize_slots(std::size_t slots) {
  slots_ = slots;
  for (Dimension& dim : dims_) {
    dim.mu.resize(slots);
    dim.sigma.resize(slots, kParzenNaN);
    dim.constant.resize(slots);
  }
  stale_.resize(slots, 1);
  packed_.resize(slots * packed_dims_ * 2);
  constants_.resize(slots);
  weights_.resize(slots);
  log_weights_.resize(slots, -std::numeric_limits<double>::infinity());
}

double Parzen::coordinate(const Dimension& dim, double value) const {
  if (dim.distribution.categorical()) return value;
  return (dim.distribution.to_inner(value) - dim.low) / dim.width;
}

void Parzen::insert(std::uint32_t trial, std::span<const double> values) {
  DAYBREAK_CHECK(values.size() == dims_.size());
  const auto place = std::ranges::lower_bound(by_trial_, std::pair{trial, std::uint32_t{0}});
  if (place != by_trial_.end() && place->first == trial) return;
  std::uint32_t slot = 0;
  if (free_.empty()) {
    if (used_slots_ == slots_)
      resize_slots(std::max(slots_ + internal::kBlock, slots_ * 3 / 2 / internal::kBlock * internal::kBlock));
    slot = static_cast<std::uint32_t>(used_slots_++);
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  by_trial_.insert(place, {trial, slot});
  new_weights_ = true;
  // The least width is W / min(100, size + 2): while that changes, all do.
  all_widths_ = all_widths_ || static_cast<double>(size()) + 1 < kNarrowest;
  for (std::size_t d = 0; d < dims_.size(); ++d) {
    Dimension& dim = dims_[d];
    dim.mu[slot] = coordinate(dim, values[d]);
    dim.sigma[slot] = kParzenNaN;
    if (dim.distribution.categorical()) continue;
    const Place placed = {.mu = dim.mu[slot], .trial = trial, .slot = slot};
    const auto before = std::ranges::upper_bound(dim.sorted, placed);
    const auto at = static_cast<std::size_t>(before - dim.sorted.begin());
    dim.sorted.insert(before, placed);
    if (!all_widths_) {
      settle_around(dim, at);
    }
  }
}

void Parzen::erase(std::uint32_t trial) {
  const auto place = std::ranges::lower_bound(by_trial_, std::pair{trial, std::uint32_t{0}});
  if (place == by_trial_.end() || place->first != trial) return;
  const std::uint32_t slot = place->second;
  by_trial_.erase(place);
  free_.push_back(slot);
  new_weights_ = true;
  all_widths_ = all_widths_ || static_cast<double>(size()) + 2 < kNarrowest;
  for (Dimension& dim : dims_) {
    if (dim.distribution.categorical()) continue;
    const auto found = std::ranges::lower_bound(dim.sorted, Place{.mu = dim.mu[slot], .trial = trial, .slot = slot});
    const auto at = static_cast<std::size_t>(found - dim.sorted.begin());
    dim.sorted.erase(found);
    if (!all_widths_) {
      settle_around(dim, at);
    }
  }
}

// The larger gap to a neighbour, the bounds being neighbours, too; but with two observations or more the outermost ones look inwards
// only.
double Parzen::width_at(const Dimension& dim, std::size_t place) const {
  const std::vector<Place>& sorted = dim.sorted;
  const double mu = sorted[place].mu;
  const bool first = place == 0;
  const bool last = place + 1 == sorted.size();
  const double left = mu - (first ? 0.0 : sorted[place - 1].mu);
  const double right = (last ? 1.0 : sorted[place + 1].mu) - mu;
  double gap = std::max(left, right);
  if (sorted.size() >= 2 && first) gap = right;
  if (sorted.size() >= 2 && last) gap = left;
  return std::clamp(gap, 1 / std::min(kNarrowest, static_cast<double>(size()) + 2), 1.0);
}

void Parzen::set_width(Dimension& dim, std::uint32_t slot, double sigma) {
  if (dim.sigma[slot] == sigma) return;
  dim.sigma[slot] = sigma;
  const double mu = dim.mu[slot];
  const double mass = log_mass(-mu / sigma, (1 - mu) / sigma);
  if (!dim.continuous()) {
    dim.constant[slot] = -mass;
    return;
  }
  dim.constant[slot] = -mass - std::log(sigma * dim.width) - kHalfLogTwoPi;
  double* at =
      &packed_[(slot / internal::kBlock * packed_dims_ + dim.packed) * 2 * internal::kBlock + slot % internal::kBlock];
  at[0] = 1 / sigma;
  at[internal::kBlock] = mu / sigma;
  stale_[slot] = 1;
}

// After what is at the place came or went.
void Parzen::settle_around(Dimension& dim, std::size_t place) {
  const std::size_t begin = place == 0 ? 0 : place - 1;
  const std::size_t end = std::min(dim.sorted.size(), place + 2);
  for (std::size_t k = begin; k < end; ++k) set_width(dim, dim.sorted[k].slot, width_at(dim, k));
}

void Parzen::settle_widths(Dimension& dim) {
  for (std::size_t k = 0; k < dim.sorted.size(); ++k) set_width(dim, dim.sorted[k].slot, width_at(dim, k));
}

void Parzen::settle_weights() {
  std::ranges::fill(weights_, 0.0);
  const std::size_t m = size();
  double sum = 1;
  std::size_t rank = 0;
  const std::size_t ramp = m > kFullWeights ? m - kFullWeights : 0;
  for (const auto& [trial, slot] : by_trial_) {
    double weight = 1;
    if (rule_ == Weights::kOldLess && rank < ramp) {
      const double least = 1 / static_cast<double>(m);
      weight = ramp == 1 ? least : least + (1 - least) * static_cast<double>(rank) / static_cast<double>(ramp - 1);
    }
    weights_[slot] = weight;
    sum += weight;
    ++rank;
  }
  weights_[0] = 1;
  for (std::size_t slot = 0; slot < slots_; ++slot) {
    weights_[slot] /= sum;
    log_weights_[slot] = std::log(weights_[slot]);
  }
}

void Parzen::settle() {
  if (all_widths_) {
    for (Dimension& dim : dims_) settle_widths(dim);
    all_widths_ = false;
  }
  for (std::size_t slot = 0; slot < used_slots_; ++slot) {
    if (!stale_[slot]) continue;
    stale_[slot] = 0;
    double sum = 0;
    for (const Dimension& dim : dims_) {
      if (dim.continuous()) sum += dim.constant[slot];
    }
    constants_[slot] = sum;
  }
  if (new_weights_) settle_weights();
  new_weights_ = false;
}

double Parzen::draw_number(const Dimension& dim, std::uint32_t slot, Keyed& random) const {
  const double mu = dim.mu[slot];
  const double sigma = dim.sigma[slot];
  double found = kParzenNaN;
  for (int k = 0; k < kDrawsBeforeInverse && std::isnan(found); ++k) {
    for (const double normal : normal_pair(random)) {
      const double x = mu + sigma * normal;
      if (x >= 0 && x <= 1) {
        found = x;
        break;
      }
    }
  }
  if (std::isnan(found)) {
    found = std::clamp(mu + sigma * inverse_ndtr_between(-mu / sigma, (1 - mu) / sigma, random.uniform()), 0.0, 1.0);
  }
  return dim.distribution.from_inner(dim.low + dim.width * found);
}

std::vector<double> Parzen::drawn(Keyed& random, std::size_t count) {
  settle();
  std::vector<double> points(count * dims_.size());
  std::vector<double> ends;
  std::vector<std::uint32_t> slots;
  double end = 0;
  for (const auto& [trial, slot] : by_trial_) {
    ends.push_back(end += weights_[slot]);
    slots.push_back(slot);
  }
  slots.push_back(0);
  for (std::size_t p = 0; p < count; ++p) {
    const double share = random.uniform();
    const std::uint32_t slot = slots[static_cast<std::size_t>(std::ranges::upper_bound(ends, share) - ends.begin())];
    for (std::size_t d = 0; d < dims_.size(); ++d) {
      const Dimension& dim = dims_[d];
      double& value = points[p * dims_.size() + d];
      if (!dim.distribution.categorical()) {
        value = draw_number(dim, slot, random);
        continue;
      }
      // The observed one has 1 + 1 / (m + 1) of 1 + options / (m + 1), all others the rest in equal parts.
      const auto options = static_cast<double>(dim.distribution.count());
      const double base = options / (static_cast<double>(size()) + 1);
      const bool observed = slot != 0 && random.uniform() * (1 + base) >= base;
      value = observed ? dim.mu[slot] : static_cast<double>(random.below(dim.distribution.count()));
    }
  }
  return points;
}

void Parzen::add_categories(const Dimension& dim, std::span<const double> points, std::size_t at) {
  const auto options = static_cast<double>(dim.distribution.count());
  const double m = static_cast<double>(size()) + 1;
  const double total = std::log1p(options / m);
  const double miss = -std::log(m) - total;
  const double hit = std::log1p(1 / m) - total;
  for (std::size_t p = 0; p * dims_.size() < points.size(); ++p) {
    const double point = points[p * dims_.size() + at];
    double* row = &rows_[p * slots_];
    for (std::size_t k = 1; k < used_slots_; ++k) row[k] += dim.mu[k] == point ? hit : miss;
    row[0] -= std::log(options);
  }
}

// The mass of the step around each point. Points and kernels that are equal are computed once.
void Parzen::add_steps(const Dimension& dim, std::span<const double> points, std::size_t at) {
  struct Cell {
    double value;
    double left;
    double right;
    double log;
  };
  std::vector<Cell> cells;
  std::vector<std::size_t> cell_of;
  const double half = dim.distribution.step() / 2;
  for (std::size_t p = 0; p * dims_.size() < points.size(); ++p) {
    const double value = points[p * dims_.size() + at];
    const auto found = std::ranges::find(cells, value, &Cell::value);
    cell_of.push_back(static_cast<std::size_t>(found - cells.begin()));
    if (found == cells.end()) {
      cells.push_back({value, coordinate(dim, value - half), coordinate(dim, value + half), 0});
    }
  }
  double mu = kParzenNaN;
  double sigma = kParzenNaN;
  const auto add = [&](std::uint32_t slot) {
    if (dim.mu[slot] != mu || dim.sigma[slot] != sigma) {
      mu = dim.mu[slot];
      sigma = dim.sigma[slot];
      for (Cell& cell : cells) {
        cell.log = log_mass((cell.left - mu) / sigma, (cell.right - mu) / sigma) + dim.constant[slot];
      }
    }
    for (std::size_t p = 0; p < cell_of.size(); ++p) rows_[p * slots_ + slot] += cells[cell_of[p]].log;
  };
  add(0);
  for (const Place& place : dim.sorted) add(place.slot);
}

void Parzen::log_densities(std::span<const double> points, std::span<double> out) {
  static const internal::ParzenKernels kernels = parzen_kernels();
  settle();
  const std::size_t count = out.size();
  DAYBREAK_CHECK(points.size() == count * dims_.size());
  rows_.resize(count * slots_);
  for (std::size_t p = 0; p < count; ++p)
    std::ranges::copy(constants_, rows_.begin() + static_cast<std::ptrdiff_t>(p * slots_));
  std::vector<double> packed(count * packed_dims_);
  for (std::size_t d = 0; d < dims_.size(); ++d) {
    const Dimension& dim = dims_[d];
    if (dim.distribution.categorical()) {
      add_categories(dim, points, d);
    } else if (!dim.continuous()) {
      add_steps(dim, points, d);
    } else {
      for (std::size_t p = 0; p < count; ++p) {
        packed[p * packed_dims_ + dim.packed] = coordinate(dim, points[p * dims_.size() + d]);
      }
    }
  }
  const std::size_t blocks = slots_ / internal::kBlock;
  if (packed_dims_ > 0)
    kernels.add_quadratics(packed_.data(), blocks, packed_dims_, packed.data(), count, rows_.data());
  for (std::size_t p = 0; p < count; ++p) {
    out[p] = kernels.log_weighted_sum(&rows_[p * slots_], log_weights_.data(), blocks);
  }
}

}  // namespace daybreak::tune
