// A tile in a file: docs/formats/linalg-tiles.md. Written under a temporary name and renamed, so that a reader finds all
// of it or nothing; read and written around the page cache (O_DIRECT) where the file system allows it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "daybreak/base/error.h"
#include "daybreak/linalg/scalar.h"

namespace daybreak::linalg {

// Of buffers, offsets and lengths of direct input and output.
inline constexpr std::size_t kAlignBytes = 4096;

inline std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
}

struct TileShape {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Scalar scalar = Scalar::kF64;

  std::size_t bytes() const { return static_cast<std::size_t>(rows * cols) * size_of(scalar); }
  bool operator==(const TileShape&) const = default;
};

// `data` begins at a multiple of kAlignBytes and has aligned(shape.bytes()) bytes, those beyond the tile zero or
// whatever was read. `direct`: around the page cache; without it what was written or read is dropped from the cache.
// Any thread. kResourceExhausted when the disk is full: nothing of the tile is left behind.
base::Status write_tile(const std::string& path, const TileShape& shape, std::span<std::byte> data, bool direct);
// kNotFound when there is none, kDataLoss when it is truncated, altered or another tile's: the message names the file.
base::Status read_tile(const std::string& path, const TileShape& shape, std::span<std::byte> data, bool direct);
// Whether files in this folder can be opened with O_DIRECT: tried with one.
bool direct_io_works(const std::string& folder);

}  // namespace daybreak::linalg
