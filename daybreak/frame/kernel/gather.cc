#include "daybreak/frame/kernel/gather.h"

#include <algorithm>
#include <atomic>

namespace daybreak::frame {

bool all_within(base::Pool& pool, std::span<const std::int64_t> rows, std::size_t size, const Chunks& chunks) {
  std::atomic<bool> within = true;
  pool.for_each(chunks.count(rows.size()), [&](std::size_t c) {
    std::uint64_t most = 0;  // a negative number is a very large one
    for (const std::int64_t row : rows.subspan(c * chunks.rows, std::min(chunks.rows, rows.size() - c * chunks.rows))) {
      most = std::max(most, static_cast<std::uint64_t>(row));
    }
    if (most >= size) within = false;
  });
  return within;
}

template <typename T>
void gather(base::Pool& pool, const Column<T>& column, std::span<const std::int64_t> rows, T* out,
            const Chunks& chunks) {
  pool.for_each(chunks.count(rows.size()), [&](std::size_t c) {
    const std::size_t end = std::min(rows.size(), (c + 1) * chunks.rows);
    for (std::size_t i = c * chunks.rows; i < end; ++i) out[i] = column[static_cast<std::size_t>(rows[i])];
  });
}

template void gather(base::Pool&, const Column<std::uint8_t>&, std::span<const std::int64_t>, std::uint8_t*,
                     const Chunks&);
template void gather(base::Pool&, const Column<std::uint16_t>&, std::span<const std::int64_t>, std::uint16_t*,
                     const Chunks&);
template void gather(base::Pool&, const Column<std::uint32_t>&, std::span<const std::int64_t>, std::uint32_t*,
                     const Chunks&);
template void gather(base::Pool&, const Column<std::uint64_t>&, std::span<const std::int64_t>, std::uint64_t*,
                     const Chunks&);

}  // namespace daybreak::frame
