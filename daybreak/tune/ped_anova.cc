#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <tuple>
#include <utility>

#include "daybreak/tune/importance.h"

namespace daybreak::tune {
namespace {

constexpr std::size_t kMostCells = 50;
constexpr std::size_t kLeastInRegime = 2;

// How many of the values are in each cell of the distribution's range.
std::vector<double> cell_counts(const Distribution& distribution, const std::vector<double>& values) {
  if (distribution.categorical()) {
    std::vector<double> counts(distribution.count());
    for (const double value : values) ++counts[static_cast<std::size_t>(value)];
    return counts;
  }
  std::size_t cells = kMostCells;
  if (distribution.kind() == Distribution::Kind::kInt && distribution.log()) {
    const double bits = std::log(distribution.high() - distribution.low() + 1) / std::log(2.0);
    cells = std::min(cells, static_cast<std::size_t>(std::ceil(bits)) + 1);
  } else if (distribution.step() > 0) {
    cells = static_cast<std::size_t>(std::min<std::uint64_t>(cells, distribution.count()));
  }
  const double low = distribution.to_inner(distribution.low());
  const double width = (distribution.to_inner(distribution.high()) - low) / static_cast<double>(cells - 1);
  std::vector<double> counts(cells);
  for (const double value : values) {
    const double cell = std::ceil((distribution.to_inner(value) - low) / width - 0.5);
    ++counts[static_cast<std::size_t>(std::clamp(cell, 0.0, static_cast<double>(cells - 1)))];
  }
  return counts;
}

// Scott's width for the counted cells, not less than what keeps half of a kernel in its cell.
double scott_width(const std::vector<double>& counts, double total) {
  double mean = 0;
  for (std::size_t k = 0; k < counts.size(); ++k) mean += static_cast<double>(k) * counts[k] / total;
  double squares = 0;
  double seen = 0;
  std::optional<double> lower;
  std::optional<double> upper;
  double last = 0;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    if (counts[k] == 0) continue;
    const auto place = static_cast<double>(k);
    squares += (place - mean) * (place - mean) * counts[k];
    seen += counts[k];
    if (!lower && seen >= std::floor(total / 4)) lower = place;
    if (!upper && seen > std::floor(total * 3 / 4)) upper = place;
    last = place;
  }
  const double deviation = std::sqrt(squares / std::max(1.0, total - 1));
  const double quartiles = upper.value_or(last) - lower.value_or(last);
  return std::max(1.059 * std::min(quartiles / 1.34, deviation) * std::pow(total, -0.2), 0.5 / 1.64);
}

// The density of each cell: a kernel an observed cell, weighed by its count, and one for the prior.
std::vector<double> cell_densities(const Distribution& distribution, const std::vector<double>& values) {
  const std::vector<double> counts = cell_counts(distribution, values);
  const auto cells = static_cast<double>(counts.size());
  const auto total = static_cast<double>(values.size());
  std::vector<double> densities(counts.size());
  if (distribution.categorical()) {
    const auto kernels = static_cast<double>(std::ranges::count_if(counts, [](double count) { return count > 0; })) + 1;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      densities[k] = (total / kernels + counts[k]) / (1 + cells / kernels) + 1 / cells;
    }
  } else {
    const auto ndtr = [](double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); };
    const auto add = [&](double weight, double mu, double sigma) {
      const double mass = ndtr((cells - 0.5 - mu) / sigma) - ndtr((-0.5 - mu) / sigma);
      for (std::size_t k = 0; k < counts.size(); ++k) {
        // In the tail that does not cancel.
        double left = (static_cast<double>(k) - 0.5 - mu) / sigma;
        double right = (static_cast<double>(k) + 0.5 - mu) / sigma;
        if (left > 0) std::tie(left, right) = std::pair(-right, -left);
        densities[k] += weight * (ndtr(right) - ndtr(left)) / mass;
      }
    };
    const double sigma = scott_width(counts, total);
    for (std::size_t k = 0; k < counts.size(); ++k) {
      if (counts[k] > 0) add(counts[k], static_cast<double>(k), sigma);
    }
    add(1, (cells - 1) / 2, cells);
  }
  for (double& density : densities) density = density / (total + 1) + 1e-12;
  return densities;
}

double pearson_divergence(const Distribution& distribution, const std::vector<double>& top,
                          const std::vector<double>& region, bool local) {
  const std::vector<double> of_top = cell_densities(distribution, top);
  std::vector<double> of_region(of_top.size(), 1 / static_cast<double>(of_top.size()));
  if (local) of_region = cell_densities(distribution, region);
  double sum = 0;
  for (std::size_t k = 0; k < of_top.size(); ++k) {
    sum += of_region[k] * (of_top[k] / of_region[k] - 1) * (of_top[k] / of_region[k] - 1);
  }
  return sum;
}

struct PedRegime {
  std::optional<Distribution> distribution = {};  // none: not asked for
  std::vector<double> region = {};
  std::vector<double> top = {};
  std::size_t region_count = 0;
  std::size_t top_count = 0;
};

}  // namespace

base::Result<std::vector<double>> ped_anova(const Trials& trials, std::span<const std::uint32_t> region,
                                            std::span<const std::uint32_t> top, std::span<const std::uint32_t> columns,
                                            bool local) {
  std::vector<std::uint8_t> is_top(trials.size());
  for (const std::uint32_t trial : region) {
    if (trial >= trials.size()) {
      return base::fail(base::Code::kInvalidArgument, "trial {}: there are {}", trial, trials.size());
    }
  }
  for (const std::uint32_t trial : top) {
    if (std::ranges::find(region, trial) == region.end()) {
      return base::fail(base::Code::kInvalidArgument, "trial {} is of the top and not of the region: add it there",
                        trial);
    }
    is_top[trial] = 1;
  }
  if (top.empty()) return base::fail(base::Code::kInvalidArgument, "no top trials: at least one is needed");
  const double share = static_cast<double>(top.size()) / static_cast<double>(region.size());
  std::vector<double> found;
  for (const std::uint32_t column : columns) {
    std::vector<PedRegime> regimes;
    for (const std::uint32_t trial : region) {
      const auto given = std::ranges::find(trials.given(trial), column, &Given::column);
      const bool has = given != trials.given(trial).end();
      const std::optional<Distribution> distribution = has ? std::optional(given->distribution) : std::nullopt;
      auto regime = std::ranges::find(regimes, distribution, &PedRegime::distribution);
      if (regime == regimes.end()) regime = regimes.insert(regimes.end(), PedRegime{.distribution = distribution});
      ++regime->region_count;
      regime->top_count += is_top[trial];
      if (!has) continue;
      regime->region.push_back(given->value);
      if (is_top[trial] != 0) regime->top.push_back(given->value);
    }
    double sum = 0;
    for (const PedRegime& regime : regimes) {
      if (regime.region_count < kLeastInRegime || !regime.distribution || regime.distribution->single()) continue;
      if (regime.top_count == 0) continue;
      const double of_top = static_cast<double>(regime.top_count) / static_cast<double>(top.size());
      const double of_region = static_cast<double>(regime.region_count) / static_cast<double>(region.size());
      sum += of_top * of_top / of_region * pearson_divergence(*regime.distribution, regime.top, regime.region, local);
    }
    found.push_back(sum * share * share);
  }
  return found;
}

}  // namespace daybreak::tune
