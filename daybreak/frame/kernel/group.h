// What a column adds up to in each group, to the bit as pandas has it: values are taken in the order of rows (Kahan's sum, Welford's
// variance), whatever the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daybreak/base/pool.h"
#include "daybreak/frame/kernel/column.h"

namespace daybreak::frame {

enum class Aggregate : std::uint8_t { kSum, kProduct, kMean, kMin, kMax, kVariance, kDeviation };

// Rows of each group; those with an id below 0 belong to none.
void count_groups(base::Pool& pool, std::span<const std::int64_t> ids, std::span<std::int64_t> counts,
                  const Chunks& chunks = {});

// One column. `out`: a value for each group, `step` apart. NaN is no value; a group with fewer values than `min_count` (at least 1 but
// for sums and products) is NaN, of integers 0. T: double, float, int64, uint64; of kMean, kVariance and kDeviation double and float.
template <typename T>
void aggregate(Aggregate what, const Column<T>& column, std::span<const std::int64_t> ids, std::size_t groups,
               std::int64_t min_count, std::int64_t ddof, T* out, std::ptrdiff_t step);

}  // namespace daybreak::frame
