// The distinct values of a column, and for each row which of them it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daybreak/base/pool.h"
#include "daybreak/frame/kernel/column.h"

namespace daybreak::frame {

enum class Order : std::uint8_t { kFirstSeen, kByValue };

// Fills `codes` (of the column's size): the number of the row's value in the order asked for, -1 for NaN. Returns, by code, a row that
// has the value: the first one. -0.0 and 0.0 are one value. `Chunks`: how rows are dealt out to threads; the result is the same.
// T: signed and unsigned integers, float, double.
template <typename T>
std::vector<std::int64_t> factorize(base::Pool& pool, const Column<T>& column, Order order,
                                    std::span<std::int64_t> codes, const Chunks& chunks = {});

}  // namespace daybreak::frame
