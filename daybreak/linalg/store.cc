#include "daybreak/linalg/store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

namespace daybreak::linalg {

base::Result<std::shared_ptr<os::Mapping>> MemoryStore::share(std::int64_t i, std::int64_t j) {
  base::MutexLock lock(mutex_);
  auto& tile = tiles_[place(i, j)];
  if (!tile) {
    DAYBREAK_ASSIGN(os::Mapping made, os::map_zeros(aligned(std::max<std::size_t>(grid().shape(i, j).bytes(), 1))));
    tile = std::make_shared<os::Mapping>(std::move(made));
  }
  return tile;
}

base::Result<std::byte*> MemoryStore::resident(std::int64_t i, std::int64_t j) {
  DAYBREAK_ASSIGN(const auto tile, share(i, j));
  return tile->data();
}

base::Status MemoryStore::read(std::int64_t i, std::int64_t j, std::span<std::byte> data) {
  DAYBREAK_ASSIGN(const std::byte* from, resident(i, j));
  std::memcpy(data.data(), from, grid().shape(i, j).bytes());
  return {};
}

base::Status MemoryStore::write(std::int64_t i, std::int64_t j, std::span<std::byte> data) {
  DAYBREAK_ASSIGN(std::byte * to, resident(i, j));
  std::memcpy(to, data.data(), grid().shape(i, j).bytes());
  return {};
}

bool MemoryStore::has(std::int64_t i, std::int64_t j) const {
  base::MutexLock lock(mutex_);
  return tiles_[place(i, j)] != nullptr;
}

void MemoryStore::erase(std::int64_t i, std::int64_t j) {
  base::MutexLock lock(mutex_);
  tiles_[place(i, j)].reset();
}

FolderStore::FolderStore(const Grid& grid, std::string folder, Triangle triangle)
    : TileStore(grid), folder_(std::move(folder)), triangle_(triangle), direct_(direct_io_works(folder_)) {}

bool FolderStore::outside(std::int64_t i, std::int64_t j) const {
  const TileShape shape = grid().shape(i, j);
  const std::int64_t row = i * grid().tile_rows;
  const std::int64_t col = j * grid().tile_cols;
  if (triangle_ == Triangle::kLower) return row + shape.rows <= col;
  return triangle_ == Triangle::kUpper && row >= col + shape.cols;
}

std::string FolderStore::path(std::int64_t i, std::int64_t j) const {
  return fmt::format("{}/{}-{}.tile", folder_, i, j);
}

base::Status FolderStore::read(std::int64_t i, std::int64_t j, std::span<std::byte> data) {
  if (outside(i, j)) {
    std::memset(data.data(), 0, data.size());
    return {};
  }
  DAYBREAK_TRY(read_tile(path(i, j), grid().shape(i, j), data, direct_));
  read_bytes_ += kAlignBytes + data.size();
  return {};
}

base::Status FolderStore::write(std::int64_t i, std::int64_t j, std::span<std::byte> data) {
  DAYBREAK_TRY(write_tile(path(i, j), grid().shape(i, j), data, direct_));
  written_bytes_ += kAlignBytes + data.size();
  return {};
}

bool FolderStore::has(std::int64_t i, std::int64_t j) const {
  return access(path(i, j).c_str(), R_OK) == 0;
}

void FolderStore::erase(std::int64_t i, std::int64_t j) {
  unlink(path(i, j).c_str());
}

}  // namespace daybreak::linalg
