// Where the rows of a column go when it is sorted: stable, the same for any number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "daybreak/base/pool.h"
#include "daybreak/frame/kernel/column.h"

namespace daybreak::frame {

// Fills `rows` (of the column's size): which row comes first, second, ... Equal values (-0.0 and 0.0 among them) stay in their order,
// descending, too. NaN comes first or last, in the order of rows. T: integers, float, double.
template <typename T>
void argsort(base::Pool& pool, const Column<T>& column, bool descending, bool nan_first, std::span<std::int64_t> rows,
             const Chunks& chunks = {});

}  // namespace daybreak::frame
