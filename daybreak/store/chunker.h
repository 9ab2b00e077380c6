// Content-defined chunking: cuts where a rolling hash of the last bytes says so, so that an insertion moves the cuts
// with it and what lies behind is found again. Gear hash with normalised chunk sizes (Xia et al., FastCDC, ATC 2016).
#pragma once

#include <cstddef>
#include <span>

namespace daybreak::store {

inline constexpr std::size_t kTableChunkBytes = 8u << 10;   // mean, of tables
inline constexpr std::size_t kOtherChunkBytes = 64u << 10;  // mean, of the rest

// The length of the first chunk of `bytes`: between mean / 4 and 4 * mean, or all that is there. `last` says that
// nothing follows; otherwise 0 means that more bytes are needed to decide. `mean` is a power of two. O(length).
std::size_t first_chunk(std::span<const std::byte> bytes, std::size_t mean, bool last);

}  // namespace daybreak::store
