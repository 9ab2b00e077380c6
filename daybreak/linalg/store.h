// Where the tiles of a matrix lie: in memory, or as files in a folder. Tiles are column-major and have no padding: the
// leading dimension of a tile is its number of rows.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/linalg/scalar.h"
#include "daybreak/linalg/tile_file.h"
#include "daybreak/os/memory.h"

namespace daybreak::linalg {

inline constexpr std::int64_t kMaxTiles = std::int64_t{1} << 24;  // of a matrix

// The tiles of rows x cols elements in a grid: all have tile_rows x tile_cols, but those at the lower and right edge,
// which have what is left.
struct Grid {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t tile_rows = 1;
  std::int64_t tile_cols = 1;
  Scalar scalar = Scalar::kF64;

  std::int64_t down() const { return (rows + tile_rows - 1) / tile_rows; }
  std::int64_t across() const { return (cols + tile_cols - 1) / tile_cols; }
  TileShape shape(std::int64_t i, std::int64_t j) const {
    return {std::min(tile_rows, rows - i * tile_rows), std::min(tile_cols, cols - j * tile_cols), scalar};
  }
};

// Tiles by row and column of the grid. One writer of a tile at a time, and no reader of it meanwhile; different tiles
// may be used by any threads.
class TileStore {
 public:
  explicit TileStore(const Grid& grid) : grid_(grid) {}
  virtual ~TileStore() = default;

  const Grid& grid() const { return grid_; }
  // The memory of a tile that stays where it is, zeros when it is new; nullptr of a store whose tiles are read and
  // written. kResourceExhausted when there is no memory.
  virtual base::Result<std::byte*> resident(std::int64_t i, std::int64_t j) = 0;
  virtual bool in_memory() const = 0;
  // Into, or out of, aligned(shape.bytes()) bytes at a multiple of kAlignBytes. A tile that is not there is kNotFound.
  virtual base::Status read(std::int64_t i, std::int64_t j, std::span<std::byte> data) = 0;
  virtual base::Status write(std::int64_t i, std::int64_t j, std::span<std::byte> data) = 0;
  virtual bool has(std::int64_t i, std::int64_t j) const = 0;
  virtual void erase(std::int64_t i, std::int64_t j) = 0;

  std::uint64_t bytes_read() const { return read_bytes_.load(); }
  std::uint64_t bytes_written() const { return written_bytes_.load(); }

 protected:
  std::atomic<std::uint64_t> read_bytes_{0};
  std::atomic<std::uint64_t> written_bytes_{0};

 private:
  const Grid grid_;
};

class MemoryStore : public TileStore {
 public:
  explicit MemoryStore(const Grid& grid)
      : TileStore(grid), tiles_(static_cast<std::size_t>(grid.down() * grid.across())) {}

  base::Result<std::byte*> resident(std::int64_t i, std::int64_t j) override;
  // The same memory, which then stays also when the tile is erased.
  base::Result<std::shared_ptr<os::Mapping>> share(std::int64_t i, std::int64_t j);
  bool in_memory() const override { return true; }
  base::Status read(std::int64_t i, std::int64_t j, std::span<std::byte> data) override;
  base::Status write(std::int64_t i, std::int64_t j, std::span<std::byte> data) override;
  bool has(std::int64_t i, std::int64_t j) const override;
  void erase(std::int64_t i, std::int64_t j) override;

 private:
  std::size_t place(std::int64_t i, std::int64_t j) const { return static_cast<std::size_t>(i * grid().across() + j); }

  mutable base::Mutex mutex_;
  std::vector<std::shared_ptr<os::Mapping>> tiles_ DAYBREAK_GUARDED_BY(mutex_);
};

// Which part of a matrix its tiles may leave out because it is zero.
enum class Triangle : std::uint8_t { kNone, kLower, kUpper };

// A file a tile, "ROW-COLUMN.tile", in a folder that exists. A tile that lies wholly outside of the triangle has no file
// and is zero.
class FolderStore : public TileStore {
 public:
  FolderStore(const Grid& grid, std::string folder, Triangle triangle);

  const std::string& folder() const { return folder_; }
  bool direct() const { return direct_; }
  base::Result<std::byte*> resident(std::int64_t, std::int64_t) override { return nullptr; }
  bool in_memory() const override { return false; }
  base::Status read(std::int64_t i, std::int64_t j, std::span<std::byte> data) override;
  base::Status write(std::int64_t i, std::int64_t j, std::span<std::byte> data) override;
  bool has(std::int64_t i, std::int64_t j) const override;
  void erase(std::int64_t i, std::int64_t j) override;

 private:
  std::string path(std::int64_t i, std::int64_t j) const;

  const std::string folder_;
  bool outside(std::int64_t i, std::int64_t j) const;

  const Triangle triangle_;
  const bool direct_;
};

}  // namespace daybreak::linalg
