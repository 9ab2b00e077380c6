// Rows by their numbers, for any element of 1, 2, 4 or 8 bytes.
#pragma once

#include <cstdint>
#include <span>

#include "daybreak/base/pool.h"
#include "daybreak/frame/kernel/column.h"

namespace daybreak::frame {

// Whether all numbers are from 0 to below `size`.
bool all_within(base::Pool& pool, std::span<const std::int64_t> rows, std::size_t size, const Chunks& chunks = {});

// out[i] = column[rows[i]]; T is an unsigned integer of the element's size, and every number is within.
template <typename T>
void gather(base::Pool& pool, const Column<T>& column, std::span<const std::int64_t> rows, T* out,
            const Chunks& chunks = {});

}  // namespace daybreak::frame
