#include "daybreak/frame/kernel/group.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

namespace daybreak::frame {
namespace {

// Each keeps what a group has so far: add() takes a value, value() is the result of `count` values.
template <typename T>
struct Sum {
  T sum = 0;
  T lost = 0;  // Kahan
  void add(T value, std::int64_t) {
    if constexpr (std::is_floating_point_v<T>) {
      const T y = value - lost;
      const T t = sum + y;
      lost = t - sum - y;
      if (lost != lost) lost = 0;  // of infinity
      sum = t;
    } else {
      sum = static_cast<T>(static_cast<std::uint64_t>(sum) + static_cast<std::uint64_t>(value));  // it wraps
    }
  }
  T value(std::int64_t, std::int64_t) const { return sum; }
};

template <typename T>
struct Product {
  T product = 1;
  void add(T value, std::int64_t) {
    if constexpr (std::is_floating_point_v<T>) {
      product *= value;
    } else {
      product = static_cast<T>(static_cast<std::uint64_t>(product) * static_cast<std::uint64_t>(value));
    }
  }
  T value(std::int64_t, std::int64_t) const { return product; }
};

template <typename T>
struct Mean : Sum<T> {
  T value(std::int64_t count, std::int64_t) const { return this->sum / static_cast<T>(count); }
};

template <typename T, bool kLeast>
struct Extreme {
  T found = 0;
  void add(T value, std::int64_t count) {
    if (count == 1 || (kLeast ? value < found : value > found)) found = value;
  }
  T value(std::int64_t, std::int64_t) const { return found; }
};

template <typename T, bool kRoot>
struct Spread {
  T mean = 0;
  T squares = 0;
  void add(T value, std::int64_t count) {
    const T before = mean;
    mean += (value - before) / static_cast<T>(count);
    squares += (value - mean) * (value - before);
  }
  T value(std::int64_t count, std::int64_t ddof) const {
    if (count <= ddof) return std::numeric_limits<T>::quiet_NaN();
    const T variance = squares / static_cast<T>(count - ddof);
    return kRoot ? std::sqrt(variance) : variance;
  }
};

template <typename State, typename T>
void run(const Column<T>& column, std::span<const std::int64_t> ids, std::size_t groups, std::int64_t least,
         std::int64_t ddof, T* out, std::ptrdiff_t step) {
  struct Group {
    State state;
    std::int64_t count = 0;
  };
  std::vector<Group> found(groups);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0) continue;
    const T value = column[i];
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) continue;
    }
    Group& group = found[static_cast<std::size_t>(ids[i])];
    group.state.add(value, ++group.count);
  }
  for (std::size_t k = 0; k < groups; ++k) {
    T& to = out[static_cast<std::ptrdiff_t>(k) * step];
    if (found[k].count < least) {
      to = std::is_floating_point_v<T> ? std::numeric_limits<T>::quiet_NaN() : T{0};
    } else {
      to = found[k].state.value(found[k].count, ddof);
    }
  }
}

}  // namespace

void count_groups(base::Pool& pool, std::span<const std::int64_t> ids, std::span<std::int64_t> counts,
                  const Chunks& chunks) {
  constexpr std::size_t kOwnCounts = 1u << 16;  // groups: up to so many each thread counts by itself
  const std::size_t parts = counts.size() <= kOwnCounts && ids.size() > chunks.rows ? pool.size() : 1;
  std::vector<std::vector<std::int64_t>> found(parts);
  pool.for_each(parts, [&](std::size_t part) {
    found[part].assign(counts.size() + 1, 0);
    const std::size_t end = ids.size() * (part + 1) / parts;
    for (std::size_t i = ids.size() * part / parts; i < end; ++i) ++found[part][static_cast<std::size_t>(ids[i] + 1)];
  });
  for (const std::vector<std::int64_t>& part : found) {
    for (std::size_t k = 0; k < counts.size(); ++k) counts[k] += part[k + 1];
  }
}

template <typename T>
void aggregate(Aggregate what, const Column<T>& column, std::span<const std::int64_t> ids, std::size_t groups,
               std::int64_t min_count, std::int64_t ddof, T* out, std::ptrdiff_t step) {
  const std::int64_t least = std::max<std::int64_t>(min_count, 1);
  switch (what) {
    case Aggregate::kSum: return run<Sum<T>>(column, ids, groups, min_count, ddof, out, step);
    case Aggregate::kProduct: return run<Product<T>>(column, ids, groups, min_count, ddof, out, step);
    case Aggregate::kMin: return run<Extreme<T, true>>(column, ids, groups, least, ddof, out, step);
    case Aggregate::kMax: return run<Extreme<T, false>>(column, ids, groups, least, ddof, out, step);
    case Aggregate::kMean:
    case Aggregate::kVariance:
    case Aggregate::kDeviation: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (what == Aggregate::kMean) return run<Mean<T>>(column, ids, groups, 1, ddof, out, step);
    if (what == Aggregate::kVariance) return run<Spread<T, false>>(column, ids, groups, 0, ddof, out, step);
    return run<Spread<T, true>>(column, ids, groups, 0, ddof, out, step);
  }
  DAYBREAK_CHECK(std::is_floating_point_v<T>);
}

#define DAYBREAK_AGGREGATE(T)                                                                                    \
  template void aggregate(Aggregate, const Column<T>&, std::span<const std::int64_t>, std::size_t, std::int64_t, \
                          std::int64_t, T*, std::ptrdiff_t)
DAYBREAK_AGGREGATE(double);
DAYBREAK_AGGREGATE(float);
DAYBREAK_AGGREGATE(std::int64_t);
DAYBREAK_AGGREGATE(std::uint64_t);
#undef DAYBREAK_AGGREGATE

}  // namespace daybreak::frame
