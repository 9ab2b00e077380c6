#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "daybreak/tune/importance.h"
#include "daybreak/tune/keyed.h"

namespace daybreak::tune {

// One tree.
struct Forest::Grower {
  const std::vector<Distribution>& distributions;
  std::span<const double> points;
  std::span<const double> losses;
  std::uint32_t max_depth;
  Tree tree = {};

  struct Split {
    std::int32_t parameter = -1;
    double threshold = 0;
    double gain = 0;
  };

  double at(std::uint32_t sample, std::size_t parameter) const {
    return points[sample * distributions.size() + parameter];
  }

  static double reduced(double sum, double count, double all, double total) {
    const double rest = all - sum;
    return sum * sum / count + rest * rest / (total - count) - all * all / total;
  }

  void look_at_numbers(std::vector<std::uint32_t>& samples, std::size_t parameter, double all, Split& best) const {
    std::ranges::sort(samples, {}, [&](std::uint32_t sample) { return at(sample, parameter); });
    double sum = 0;
    for (std::size_t k = 0; k + 1 < samples.size(); ++k) {
      sum += losses[samples[k]];
      const double here = at(samples[k], parameter);
      const double next = at(samples[k + 1], parameter);
      if (here == next) continue;
      const double gain = reduced(sum, static_cast<double>(k) + 1, all, static_cast<double>(samples.size()));
      if (best.parameter >= 0 && gain <= best.gain) continue;
      const double middle = here + (next - here) / 2;
      best = {static_cast<std::int32_t>(parameter), middle < next ? middle : here, gain};
    }
  }

  void look_at_categories(const std::vector<std::uint32_t>& samples, std::size_t parameter, double all,
                          Split& best) const {
    const std::size_t options = distributions[parameter].count();
    std::vector<double> sums(options);
    std::vector<double> counts(options);
    for (const std::uint32_t sample : samples) {
      sums[static_cast<std::size_t>(at(sample, parameter))] += losses[sample];
      ++counts[static_cast<std::size_t>(at(sample, parameter))];
    }
    for (std::size_t option = 0; option < options; ++option) {
      if (counts[option] == 0 || counts[option] == static_cast<double>(samples.size())) continue;
      const double gain = reduced(sums[option], counts[option], all, static_cast<double>(samples.size()));
      if (best.parameter >= 0 && gain <= best.gain) continue;
      best = {static_cast<std::int32_t>(parameter), static_cast<double>(option), gain};
    }
  }

  // Depth first, its depth bounded by max_depth.
  std::uint32_t grow(std::vector<std::uint32_t> samples, std::uint32_t depth) {
    const auto place = static_cast<std::uint32_t>(tree.size());
    tree.emplace_back();
    double all = 0;
    for (const std::uint32_t sample : samples) all += losses[sample];
    tree[place].value = all / static_cast<double>(samples.size());
    const bool pure =
        std::ranges::all_of(samples, [&](std::uint32_t sample) { return losses[sample] == losses[samples.front()]; });
    if (pure || depth == max_depth) return place;
    Split best;
    for (std::size_t parameter = 0; parameter < distributions.size(); ++parameter) {
      if (distributions[parameter].categorical()) {
        look_at_categories(samples, parameter, all, best);
      } else {
        look_at_numbers(samples, parameter, all, best);
      }
    }
    if (best.parameter < 0) return place;
    const auto parameter = static_cast<std::size_t>(best.parameter);
    const bool categorical = distributions[parameter].categorical();
    const auto middle = std::ranges::partition(samples, [&](std::uint32_t sample) {
      const double value = at(sample, parameter);
      return categorical ? value != best.threshold : value <= best.threshold;
    });
    std::vector<std::uint32_t> right(middle.begin(), middle.end());
    samples.erase(middle.begin(), middle.end());
    tree[place].parameter = best.parameter;
    tree[place].threshold = best.threshold;
    tree[place].decrease = std::max(best.gain, 0.0);
    const std::uint32_t on_left = grow(std::move(samples), depth + 1);
    tree[place].left = on_left;
    const std::uint32_t on_right = grow(std::move(right), depth + 1);
    tree[place].right = on_right;
    return place;
  }
};

// The mean over all other parameters, at each cell of each parameter, of one tree's function.
struct Forest::Marginals {
  const std::vector<Distribution>& distributions;
  const Tree& tree;
  std::vector<std::vector<double>> edges = {};  // of numbers: the cells' ends
  std::vector<std::vector<double>> sums = {};   // by cell
  // The box of the node that is visited.
  std::vector<std::pair<double, double>> box = {};
  std::vector<std::vector<std::uint8_t>> allowed = {};
  double mean = 0;
  double square = 0;

  void make_cells() {
    for (const Distribution& distribution : distributions) {
      edges.push_back({distribution.low(), distribution.high()});
      box.emplace_back(distribution.low(), distribution.high());
      allowed.emplace_back(distribution.categorical() ? distribution.count() : 0, 1);
    }
    for (const Node& node : tree) {
      if (node.parameter < 0 || distributions[static_cast<std::size_t>(node.parameter)].categorical()) continue;
      auto& [low, high] = box[static_cast<std::size_t>(node.parameter)];
      if (node.threshold > low && node.threshold < high) {
        edges[static_cast<std::size_t>(node.parameter)].push_back(node.threshold);
      }
    }
    for (std::size_t parameter = 0; parameter < distributions.size(); ++parameter) {
      std::vector<double>& ends = edges[parameter];
      std::ranges::sort(ends);
      const auto rest = std::ranges::unique(ends);
      ends.erase(rest.begin(), rest.end());
      const bool categorical = distributions[parameter].categorical();
      sums.emplace_back(categorical ? distributions[parameter].count() : std::max<std::size_t>(ends.size(), 2) - 1);
    }
  }

  double cell_share(std::size_t parameter, std::size_t cell) const {
    const Distribution& distribution = distributions[parameter];
    if (distribution.single()) return 1;
    if (distribution.categorical()) return 1 / static_cast<double>(distribution.count());
    return (edges[parameter][cell + 1] - edges[parameter][cell]) / (distribution.high() - distribution.low());
  }

  void add_leaf(double value, double weight) {
    mean += weight * value;
    square += weight * value * value;
    for (std::size_t parameter = 0; parameter < distributions.size(); ++parameter) {
      const Distribution& distribution = distributions[parameter];
      std::vector<double>& cells = sums[parameter];
      if (distribution.categorical()) {
        const auto options = static_cast<double>(std::ranges::count(allowed[parameter], 1));
        const double others = weight * static_cast<double>(cells.size()) / options;
        for (std::size_t cell = 0; cell < cells.size(); ++cell) {
          if (allowed[parameter][cell] != 0) cells[cell] += value * others;
        }
        continue;
      }
      const auto [low, high] = box[parameter];
      const double share = distribution.single() ? 1 : (high - low) / (distribution.high() - distribution.low());
      const auto first = std::ranges::lower_bound(edges[parameter], low) - edges[parameter].begin();
      for (std::size_t cell = static_cast<std::size_t>(first); cell < cells.size(); ++cell) {
        if (!distribution.single() && edges[parameter][cell] >= high) break;
        cells[cell] += value * weight / share;
      }
    }
  }

  void visit(std::uint32_t place, double weight) {
    const Node& node = tree[place];
    if (weight == 0) return;
    if (node.parameter < 0) {
      add_leaf(node.value, weight);
      return;
    }
    const auto parameter = static_cast<std::size_t>(node.parameter);
    if (distributions[parameter].categorical()) {
      std::vector<std::uint8_t>& options = allowed[parameter];
      const auto chosen = static_cast<std::size_t>(node.threshold);
      const auto count = static_cast<double>(std::ranges::count(options, 1));
      const double share = options[chosen] != 0 ? 1 / count : 0;
      const std::vector<std::uint8_t> before = options;
      options[chosen] = 0;
      visit(node.left, weight * (1 - share));
      std::ranges::fill(options, 0);
      options[chosen] = 1;
      visit(node.right, weight * share);
      options = before;
      return;
    }
    const auto [low, high] = box[parameter];
    const double middle = std::clamp(node.threshold, low, high);
    const double share = high > low ? (middle - low) / (high - low) : (node.threshold >= low ? 1 : 0);
    box[parameter] = {low, middle};
    visit(node.left, weight * share);
    box[parameter] = {middle, high};
    visit(node.right, weight * (1 - share));
    box[parameter] = {low, high};
  }
};

base::Result<Forest> Forest::fit(std::vector<Distribution> distributions, std::span<const double> points,
                                 std::span<const double> losses, const ForestOptions& options) {
  using base::Code;
  if (options.trees < 1 || options.max_depth < 1 || options.max_depth > 1'000) {
    return base::fail(Code::kInvalidArgument, "n_trees={}, max_depth={}: at least 1, and a depth of at most 1000",
                      options.trees, options.max_depth);
  }
  if (losses.empty() || distributions.empty() || points.size() != losses.size() * distributions.size()) {
    return base::fail(Code::kInvalidArgument, "{} numbers are not {} points of {} parameters, at least 1 of each",
                      points.size(), losses.size(), distributions.size());
  }
  for (std::size_t k = 0; k < points.size(); ++k) {
    const Distribution& distribution = distributions[k % distributions.size()];
    const bool fits = distribution.categorical() ? distribution.contains(points[k]) : std::isfinite(points[k]);
    if (!fits) {
      return base::fail(Code::kInvalidArgument, "point {} has {}: not in {}", k / distributions.size(), points[k],
                        distribution.to_string());
    }
  }
  for (const double loss : losses) {
    if (!std::isfinite(loss)) return base::fail(Code::kInvalidArgument, "a loss is {}: leave that trial out", loss);
  }
  Forest forest;
  forest.distributions_ = std::move(distributions);
  for (std::uint32_t k = 0; k < options.trees; ++k) {
    Keyed random(options.seed, k, "forest");
    std::vector<std::uint32_t> samples(losses.size());
    for (std::uint32_t& sample : samples) sample = static_cast<std::uint32_t>(random.below(losses.size()));
    Grower grower{
        .distributions = forest.distributions_, .points = points, .losses = losses, .max_depth = options.max_depth};
    grower.grow(std::move(samples), 0);
    forest.trees_.push_back(std::move(grower.tree));
  }
  return forest;
}

base::Result<std::vector<double>> Forest::fanova() const {
  std::vector<double> found(distributions_.size());
  double counted = 0;
  for (const Tree& tree : trees_) {
    Marginals marginals{.distributions = distributions_, .tree = tree};
    marginals.make_cells();
    marginals.visit(0, 1);
    const double variance = marginals.square - marginals.mean * marginals.mean;
    if (!(variance > 1e-14 * marginals.square)) continue;
    ++counted;
    for (std::size_t parameter = 0; parameter < found.size(); ++parameter) {
      double explained = 0;
      for (std::size_t cell = 0; cell < marginals.sums[parameter].size(); ++cell) {
        const double distance = marginals.sums[parameter][cell] - marginals.mean;
        explained += marginals.cell_share(parameter, cell) * distance * distance;
      }
      found[parameter] += explained / variance;
    }
  }
  if (counted == 0) {
    return base::fail(base::Code::kFailedPrecondition,
                      "no tree has any variance: the losses do not depend on the parameters, or are all the same");
  }
  for (double& share : found) share /= counted;
  return found;
}

std::vector<double> Forest::impurity_decrease() const {
  std::vector<double> found(distributions_.size());
  for (const Tree& tree : trees_) {
    std::vector<double> of_tree(found.size());
    double sum = 0;
    for (const Node& node : tree) {
      if (node.parameter < 0) continue;
      of_tree[static_cast<std::size_t>(node.parameter)] += node.decrease;
      sum += node.decrease;
    }
    for (std::size_t k = 0; k < found.size() && sum > 0; ++k) found[k] += of_tree[k] / sum;
  }
  const double sum = std::accumulate(found.begin(), found.end(), 0.0);
  for (double& share : found) share /= sum > 0 ? sum : 1;
  return found;
}

double Forest::predicted(std::span<const double> point) const {
  double sum = 0;
  for (const Tree& tree : trees_) {
    std::uint32_t place = 0;
    while (tree[place].parameter >= 0) {
      const auto parameter = static_cast<std::size_t>(tree[place].parameter);
      const bool left = distributions_[parameter].categorical() ? point[parameter] != tree[place].threshold
                                                                : point[parameter] <= tree[place].threshold;
      place = left ? tree[place].left : tree[place].right;
    }
    sum += tree[place].value;
  }
  return sum / static_cast<double>(trees_.size());
}

}  // namespace daybreak::tune
