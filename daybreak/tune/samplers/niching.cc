#include "daybreak/tune/samplers/niching.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace daybreak::tune {
namespace {

constexpr double kNicheInfinity = std::numeric_limits<double>::infinity();
constexpr double kOffAxis =
    1e6;  // of the achievement function: how much more other objectives count than the axis' own

// x of `matrix` x = 1, by elimination with pivots; empty where the matrix is singular.
std::vector<double> plane_through(std::vector<double> matrix, std::size_t n) {
  std::vector<double> x(n, 1);
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < n; ++i) {
      if (std::abs(matrix[i * n + k]) > std::abs(matrix[pivot * n + k])) pivot = i;
    }
    if (!(std::abs(matrix[pivot * n + k]) > 1e-12)) return {};
    if (pivot != k) {
      for (std::size_t j = 0; j < n; ++j) std::swap(matrix[k * n + j], matrix[pivot * n + j]);
      std::swap(x[k], x[pivot]);
    }
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = matrix[i * n + k] / matrix[k * n + k];
      for (std::size_t j = k; j < n; ++j) matrix[i * n + j] -= factor * matrix[k * n + j];
      x[i] -= factor * x[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) x[k] -= matrix[k * n + j] * x[j];
    x[k] /= matrix[k * n + k];
  }
  return x;
}

void clamp_infinite(std::vector<double>& losses, std::size_t objectives) {
  for (std::size_t k = 0; k < objectives; ++k) {
    double least = kNicheInfinity;
    double most = -kNicheInfinity;
    for (std::size_t i = k; i < losses.size(); i += objectives) {
      if (!std::isfinite(losses[i])) continue;
      least = std::min(least, losses[i]);
      most = std::max(most, losses[i]);
    }
    if (!(most >= least)) least = most = 0;
    for (std::size_t i = k; i < losses.size(); i += objectives) losses[i] = std::clamp(losses[i], least, most);
  }
}

// The row that is best along the axis.
std::size_t extreme(const std::vector<double>& losses, std::size_t objectives, std::size_t axis) {
  std::size_t found = 0;
  double least = kNicheInfinity;
  for (std::size_t row = 0; row * objectives < losses.size(); ++row) {
    double worst = 0;
    for (std::size_t k = 0; k < objectives; ++k) {
      worst = std::max(worst, losses[row * objectives + k] * (k == axis ? 1 : kOffAxis));
    }
    if (worst < least) least = worst, found = row;
  }
  return found;
}

struct Niche {
  std::size_t line = 0;
  double distance = 0;
};

Niche nearest_line(const double* row, std::span<const double> references, std::size_t objectives) {
  Niche found = {.line = 0, .distance = kNicheInfinity};
  for (std::size_t line = 0; line * objectives < references.size(); ++line) {
    const double* direction = &references[line * objectives];
    double along = 0;
    double length = 0;
    double whole = 0;
    for (std::size_t k = 0; k < objectives; ++k) {
      along += row[k] * direction[k];
      length += direction[k] * direction[k];
      whole += row[k] * row[k];
    }
    const double squared = whole - (length > 0 ? along * along / length : 0);
    if (squared < found.distance) found = {.line = line, .distance = squared};
  }
  return found;
}

}  // namespace

base::Result<std::vector<double>> simplex_points(std::size_t objectives, std::size_t divisions) {
  double count = 1;  // (objectives + divisions - 1 choose divisions)
  for (std::size_t k = 1; k <= divisions; ++k) {
    count = count * static_cast<double>(objectives - 1 + k) / static_cast<double>(k);
  }
  if (objectives == 0 || divisions == 0 || count > static_cast<double>(kMaxReferencePoints)) {
    return base::fail(base::Code::kInvalidArgument,
                      "dividing_parameter={} with {} objectives makes {:.0f} reference points: 1 to {}", divisions,
                      objectives, count, kMaxReferencePoints);
  }
  std::vector<double> points;
  std::vector<std::size_t> parts(objectives, 0);
  parts.back() = divisions;
  while (true) {
    for (const std::size_t part : parts) points.push_back(static_cast<double>(part) / static_cast<double>(divisions));
    // The next composition in lexical order: one moves from behind to the left of the last part that is not 0.
    std::size_t last = objectives - 1;
    while (parts[last] == 0) --last;
    if (last == 0) return points;
    const std::size_t moved = parts[last] - 1;
    parts[last] = 0;
    ++parts[last - 1];
    parts.back() = moved;
  }
}

std::vector<double> scaled_by_intercepts(std::span<const double> given, std::size_t objectives) {
  std::vector<double> losses(given.begin(), given.end());
  clamp_infinite(losses, objectives);
  std::vector<double> most(objectives, -kNicheInfinity);
  for (std::size_t k = 0; k < objectives; ++k) {
    double least = kNicheInfinity;
    for (std::size_t i = k; i < losses.size(); i += objectives) least = std::min(least, losses[i]);
    for (std::size_t i = k; i < losses.size(); i += objectives) {
      losses[i] -= least;
      most[k] = std::max(most[k], losses[i]);
    }
  }
  std::vector<double> extremes;
  for (std::size_t k = 0; k < objectives; ++k) {
    const std::size_t row = extreme(losses, objectives, k);
    extremes.insert(extremes.end(), losses.begin() + static_cast<std::ptrdiff_t>(row * objectives),
                    losses.begin() + static_cast<std::ptrdiff_t>((row + 1) * objectives));
  }
  const std::vector<double> plane = plane_through(std::move(extremes), objectives);
  std::vector<double> intercepts;
  intercepts.reserve(plane.size());
  for (const double slope : plane) intercepts.push_back(1 / slope);
  const bool usable =
      !intercepts.empty() && std::ranges::all_of(intercepts, [](double x) { return std::isfinite(x) && x > 1e-12; });
  if (!usable) intercepts = most;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double scale = intercepts[i % objectives];
    losses[i] = scale > 0 ? losses[i] / scale : 0;
  }
  return losses;
}

std::vector<std::uint32_t> niched(std::span<const double> losses, std::size_t objectives, std::size_t chosen,
                                  std::size_t count, std::span<const double> references, Keyed& random) {
  const std::vector<double> scaled = scaled_by_intercepts(losses, objectives);
  const std::size_t lines = references.size() / objectives;
  std::vector<std::size_t> taken(lines, 0);
  std::vector<std::vector<std::pair<double, std::uint32_t>>> waiting(lines);
  for (std::size_t row = 0; row * objectives < scaled.size(); ++row) {
    const Niche niche = nearest_line(&scaled[row * objectives], references, objectives);
    if (row < chosen) {
      ++taken[niche.line];
    } else {
      waiting[niche.line].emplace_back(niche.distance, static_cast<std::uint32_t>(row));
    }
  }
  for (auto& rows : waiting) std::ranges::sort(rows, std::ranges::greater{});  // the nearest is the last
  std::vector<std::uint32_t> found;
  while (found.size() < count) {
    std::vector<std::size_t> emptiest;
    for (std::size_t line = 0; line < lines; ++line) {
      if (waiting[line].empty()) continue;
      if (!emptiest.empty() && taken[line] > taken[emptiest.front()]) continue;
      if (!emptiest.empty() && taken[line] < taken[emptiest.front()]) emptiest.clear();
      emptiest.push_back(line);
    }
    if (emptiest.empty()) break;
    const std::size_t line = emptiest[random.below(emptiest.size())];
    auto& rows = waiting[line];
    // The first of a niche is the nearest; where there is one, any.
    const std::size_t place = taken[line] == 0 ? rows.size() - 1 : random.below(rows.size());
    found.push_back(rows[place].second);
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(place));
    ++taken[line];
  }
  return found;
}

}  // namespace daybreak::tune
