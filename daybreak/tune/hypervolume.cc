#include "daybreak/tune/hypervolume.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace daybreak::tune {
namespace {

constexpr double kVolumeInfinity = std::numeric_limits<double>::infinity();

using Points = std::span<const double>;

Points row_of(Points losses, std::size_t objectives, std::size_t row) {
  return losses.subspan(row * objectives, objectives);
}

// Rows in lexicographic order, of equal ones the first only.
std::vector<std::uint32_t> unique_rows(Points losses, std::size_t objectives) {
  std::vector<std::uint32_t> order(losses.size() / objectives);
  std::iota(order.begin(), order.end(), 0U);
  const auto row = [losses, objectives](std::uint32_t k) { return row_of(losses, objectives, k); };
  std::ranges::stable_sort(
      order, [row](std::uint32_t a, std::uint32_t b) { return std::ranges::lexicographical_compare(row(a), row(b)); });
  const auto rest = std::ranges::unique(
      order, [row](std::uint32_t a, std::uint32_t b) { return std::ranges::equal(row(a), row(b)); });
  order.erase(rest.begin(), rest.end());
  return order;
}

// Those of the lexicographically ordered rows that none dominates: a later one never dominates an earlier one.
std::vector<std::uint32_t> front_of(Points losses, std::size_t objectives, const std::vector<std::uint32_t>& order) {
  std::vector<std::uint32_t> front;
  for (const std::uint32_t k : order) {
    const Points point = row_of(losses, objectives, k);
    if (objectives == 1) {
      if (front.empty()) front.push_back(k);
      continue;
    }
    if (objectives == 2) {
      if (front.empty() || point[1] < row_of(losses, 2, front.back())[1]) front.push_back(k);
      continue;
    }
    const bool dominated = std::ranges::any_of(front, [&](std::uint32_t one) {
      const Points better = row_of(losses, objectives, one);
      for (std::size_t d = 1; d < objectives; ++d) {
        if (point[d] < better[d]) return false;
      }
      return true;
    });
    if (!dominated) front.push_back(k);
  }
  return front;
}

double inclusive_volume(Points point, Points reference) {
  double volume = 1;
  for (std::size_t d = 0; d < reference.size(); ++d) volume *= reference[d] - point[d];
  return volume;
}

// All of these take points in lexicographic order of which none dominates another.
double volume_2d(Points points, Points reference) {
  double volume = 0;
  double top = reference[1];
  for (std::size_t k = 0; k * 2 < points.size(); ++k) {
    volume += (reference[0] - points[k * 2]) * (top - points[k * 2 + 1]);
    top = points[k * 2 + 1];
  }
  return volume;
}

// Slices of the first coordinate, each the area of the staircase of those before it.
double volume_3d(Points points, Points reference) {
  std::vector<std::pair<double, double>> stairs;  // second ascending, third descending
  double volume = 0;
  const std::size_t count = points.size() / 3;
  for (std::size_t k = 0; k < count; ++k) {
    const std::pair<double, double> step = {points[k * 3 + 1], points[k * 3 + 2]};
    const bool dominated = std::ranges::any_of(stairs, [step](const std::pair<double, double>& one) {
      return one.first <= step.first && one.second <= step.second;
    });
    if (!dominated) {
      std::erase_if(stairs, [step](const std::pair<double, double>& one) {
        return step.first <= one.first && step.second <= one.second;
      });
      stairs.insert(std::ranges::lower_bound(stairs, step), step);
    }
    const double next = k + 1 < count ? points[(k + 1) * 3] : reference[0];
    const double depth = next - points[k * 3];
    if (depth == 0) continue;
    double area = 0;
    double top = reference[2];
    for (const auto& [second, third] : stairs) {
      area += (reference[1] - second) * (top - third);
      top = third;
    }
    volume += depth * area;
  }
  return volume;
}

double front_volume(Points points, Points reference);

double volume_of_any(Points points, Points reference) {
  const std::size_t objectives = reference.size();
  const std::vector<std::uint32_t> front = front_of(points, objectives, unique_rows(points, objectives));
  std::vector<double> chosen;
  for (const std::uint32_t k : front) {
    const Points point = row_of(points, objectives, k);
    chosen.insert(chosen.end(), point.begin(), point.end());
  }
  return front_volume(chosen, reference);
}

// WFG: what each point adds to those behind it.
double front_volume(Points points, Points reference) {
  const std::size_t objectives = reference.size();
  if (points.empty()) return 0;
  if (objectives == 1) return reference[0] - points[0];
  if (objectives == 2) return volume_2d(points, reference);
  if (objectives == 3) return volume_3d(points, reference);
  double volume = 0;
  const std::size_t count = points.size() / objectives;
  std::vector<double> limited;
  for (std::size_t k = 0; k < count; ++k) {
    const Points point = row_of(points, objectives, k);
    limited.clear();
    for (std::size_t j = k + 1; j < count; ++j) {
      for (std::size_t d = 0; d < objectives; ++d) limited.push_back(std::max(point[d], points[j * objectives + d]));
    }
    volume += inclusive_volume(point, reference) - volume_of_any(limited, reference);
  }
  return volume;
}

// Two objectives: each point's rectangle up to what is chosen beside it.
std::vector<std::uint32_t> subset_2d(Points losses, std::vector<std::uint32_t> order, std::size_t count,
                                     Points reference) {
  struct Corner {
    double x;
    double y;
  };
  std::vector<Corner> corners(order.size(), {reference[0], reference[1]});
  std::vector<std::uint32_t> chosen;
  while (chosen.size() < count) {
    std::size_t best = 0;
    double most = -kVolumeInfinity;
    for (std::size_t k = 0; k < order.size(); ++k) {
      const Points point = row_of(losses, 2, order[k]);
      const double added = (corners[k].x - point[0]) * (corners[k].y - point[1]);
      if (added > most) {
        most = added;
        best = k;
      }
    }
    const Points point = row_of(losses, 2, order[best]);
    chosen.push_back(order[best]);
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(best));
    corners.erase(corners.begin() + static_cast<std::ptrdiff_t>(best));
    for (std::size_t k = 0; k < order.size(); ++k) {
      if (k < best) corners[k].x = std::min(corners[k].x, point[0]);
      if (k >= best) corners[k].y = std::min(corners[k].y, point[1]);
    }
  }
  return chosen;
}

// What a point adds to the chosen ones only becomes less: where the last known amount is too little already, it is not computed.
std::vector<std::uint32_t> subset_nd(Points losses, std::vector<std::uint32_t> order, std::size_t count,
                                     Points reference) {
  const std::size_t objectives = reference.size();
  std::vector<double> added;
  added.reserve(order.size());
  for (const std::uint32_t k : order) added.push_back(inclusive_volume(row_of(losses, objectives, k), reference));
  std::vector<std::uint32_t> chosen;
  std::vector<double> limited;
  while (chosen.size() < count) {
    if (!chosen.empty()) {
      std::vector<std::size_t> by_bound(order.size());
      std::iota(by_bound.begin(), by_bound.end(), std::size_t{0});
      std::ranges::stable_sort(by_bound, std::ranges::greater{}, [&added](std::size_t k) { return added[k]; });
      double most = 0;
      for (const std::size_t k : by_bound) {
        if (added[k] < most) continue;
        const Points point = row_of(losses, objectives, order[k]);
        limited.clear();
        for (const std::uint32_t one : chosen) {
          for (std::size_t d = 0; d < objectives; ++d) {
            limited.push_back(std::max(point[d], losses[one * objectives + d]));
          }
        }
        const double inclusive = inclusive_volume(point, reference);
        added[k] = std::isinf(inclusive) ? kVolumeInfinity : inclusive - volume_of_any(limited, reference);
        most = std::max(most, added[k]);
      }
    }
    const auto best = std::ranges::max_element(added);
    const auto place = best - added.begin();
    chosen.push_back(order[static_cast<std::size_t>(place)]);
    order.erase(order.begin() + place);
    added.erase(best);
  }
  return chosen;
}

}  // namespace

std::vector<std::uint32_t> nondomination_ranks(Points losses, std::size_t objectives, std::size_t enough) {
  const std::size_t count = losses.size() / objectives;
  std::vector<std::uint32_t> ranks(count);
  std::vector<std::uint32_t> order = unique_rows(losses, objectives);
  const std::vector<std::uint32_t> all = order;
  std::vector<std::uint32_t> rank_of(count);
  std::uint32_t rank = 0;
  std::size_t ranked = 0;
  while (!order.empty() && ranked < enough) {
    const std::vector<std::uint32_t> front = front_of(losses, objectives, order);
    std::vector<std::uint32_t> left;
    std::ranges::set_difference(
        order, front, std::back_inserter(left), [losses, objectives](std::uint32_t a, std::uint32_t b) {
          return std::ranges::lexicographical_compare(row_of(losses, objectives, a), row_of(losses, objectives, b));
        });
    for (const std::uint32_t k : front) rank_of[k] = rank;
    ranked += front.size();
    order = std::move(left);
    ++rank;
  }
  for (const std::uint32_t k : order) rank_of[k] = rank;
  for (std::size_t k = 0; k < count; ++k) {
    const Points point = row_of(losses, objectives, k);
    const auto found = std::ranges::lower_bound(
        all, point, [](Points a, Points b) { return std::ranges::lexicographical_compare(a, b); },
        [losses, objectives](std::uint32_t one) { return row_of(losses, objectives, one); });
    ranks[k] = rank_of[*found];
  }
  return ranks;
}

base::Result<double> hypervolume(Points losses, Points reference) {
  const std::size_t objectives = reference.size();
  if (objectives == 0 || losses.size() % objectives != 0) {
    return base::fail(base::Code::kInvalidArgument, "{} numbers are no rows of {} objectives", losses.size(),
                      objectives);
  }
  for (std::size_t k = 0; k < losses.size(); ++k) {
    if (losses[k] <= reference[k % objectives]) continue;
    return base::fail(
        base::Code::kInvalidArgument,
        "point {} has {} where the reference has {}: the reference must be at least as bad as every point",
        k / objectives, losses[k], reference[k % objectives]);
  }
  if (!std::ranges::all_of(reference, [](double x) { return std::isfinite(x); })) return kVolumeInfinity;
  const double volume = volume_of_any(losses, reference);
  return std::isfinite(volume) ? volume : kVolumeInfinity;
}

std::vector<std::uint32_t> hypervolume_subset(Points losses, std::size_t objectives, std::size_t count,
                                              Points reference) {
  const std::size_t rows = losses.size() / objectives;
  DAYBREAK_CHECK(count <= rows && reference.size() == objectives);
  std::vector<std::uint32_t> order = unique_rows(losses, objectives);
  if (count >= order.size() || !std::ranges::all_of(reference, [](double x) { return std::isfinite(x); })) {
    std::vector<bool> taken(rows);
    std::vector<std::uint32_t> chosen;
    for (const std::uint32_t k : order) {
      if (chosen.size() == count) break;
      chosen.push_back(k);
      taken[k] = true;
    }
    for (std::uint32_t k = 0; k < rows && chosen.size() < count; ++k) {
      if (!taken[k]) chosen.push_back(k);
    }
    return chosen;
  }
  return objectives == 2 ? subset_2d(losses, std::move(order), count, reference)
                         : subset_nd(losses, std::move(order), count, reference);
}

std::vector<std::uint32_t> best_of_fronts(Points losses, std::size_t objectives, std::size_t count) {
  const std::size_t rows = losses.size() / objectives;
  std::vector<std::uint32_t> chosen;
  if (count >= rows) {
    chosen.resize(rows);
    std::iota(chosen.begin(), chosen.end(), 0U);
    return chosen;
  }
  const std::vector<std::uint32_t> ranks = nondomination_ranks(losses, objectives, count);
  std::vector<std::vector<std::uint32_t>> fronts;
  for (std::uint32_t k = 0; k < rows; ++k) {
    if (ranks[k] >= fronts.size()) fronts.resize(ranks[k] + 1);
    fronts[ranks[k]].push_back(k);
  }
  for (const std::vector<std::uint32_t>& front : fronts) {
    if (chosen.size() == count) break;
    if (chosen.size() + front.size() <= count) {
      chosen.insert(chosen.end(), front.begin(), front.end());
      continue;
    }
    std::vector<double> points;
    std::vector<double> reference(objectives, -kVolumeInfinity);
    for (const std::uint32_t k : front) {
      for (std::size_t d = 0; d < objectives; ++d) {
        points.push_back(losses[k * objectives + d]);
        reference[d] = std::max(reference[d], points.back());
      }
    }
    for (double& worst : reference) {
      worst = std::max(1.1 * worst, 0.9 * worst);
      if (worst == 0) worst = 1e-12;
    }
    for (const std::uint32_t k : hypervolume_subset(points, objectives, count - chosen.size(), reference)) {
      chosen.push_back(front[k]);
    }
    break;
  }
  return chosen;
}

std::vector<double> crowding_distances(Points losses, std::size_t objectives) {
  const std::size_t rows = losses.size() / objectives;
  std::vector<double> distances(rows);
  std::vector<std::uint32_t> order(rows);
  for (std::size_t d = 0; d < objectives; ++d) {
    const auto value = [losses, objectives, d](std::uint32_t k) { return losses[k * objectives + d]; };
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, {}, value);
    if (rows == 0 || value(order.front()) == value(order.back())) continue;
    double least = kVolumeInfinity;
    double most = -kVolumeInfinity;
    for (const std::uint32_t k : order) {
      if (!std::isfinite(value(k))) continue;
      least = std::min(least, value(k));
      most = std::max(most, value(k));
    }
    const double range = most > least ? most - least : 1;
    for (std::size_t k = 0; k < rows; ++k) {
      const double below = k == 0 ? -kVolumeInfinity : value(order[k - 1]);
      const double above = k + 1 == rows ? kVolumeInfinity : value(order[k + 1]);
      distances[order[k]] += below == above ? 0 : (above - below) / range;
    }
  }
  return distances;
}

}  // namespace daybreak::tune
