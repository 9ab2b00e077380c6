// The calls of a program, tied to the tiles of matrices: what runs, in which order the values come about, what each tile
// is used for next, and what a budget of memory will make it read and write.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/linalg/kernels.h"
#include "daybreak/linalg/program.h"
#include "daybreak/linalg/store.h"

namespace daybreak::linalg {

inline constexpr std::uint32_t kNever = UINT32_MAX;

// What a program's name of a matrix stands for.
struct Slot {
  enum Role : std::uint8_t { kInput, kOutput, kScratch } role = kInput;
  std::string name;
  std::shared_ptr<TileStore> store;   // none of a scratch matrix: its tiles live as long as somebody needs them
  std::vector<std::int64_t> extents;  // of the indices; for a matrix in a store the tiles down and across
  Grid grid;                          // what the tile of an index looks like
  int row_axis = 0;                   // which index counts the rows of tiles, and which the columns; -1: none, it is 0
  int col_axis = 1;
  bool transposed = false;  // a view: its tile (i, j) is the store's (j, i)
  bool conjugated = false;
  std::int64_t first_row = 0;  // a view: of the store's tiles
  std::int64_t first_col = 0;
  bool check = false;  // refuse NaN and infinity
};

struct Tile {
  std::uint16_t slot = 0;
  std::int64_t i = 0;  // in the store
  std::int64_t j = 0;
  TileShape shape;
  std::uint32_t first_use = 0;  // of Schedule::uses
  std::uint32_t use_count = 0;
  std::uint32_t writes = 0;  // uses that change it
  bool stored = false;       // its value is in the store before the program begins
  bool skipped = false;      // its final value is there already: nothing makes it again
};

struct Operand {
  std::uint32_t tile = 0;
  Mode mode = Mode::kRead;
  bool old = false;  // changed in place: it has a value
};

struct Task {
  Kernel kernel = Kernel::kCopy;
  std::int32_t flags = 0;
  double alpha = 1;
  std::uint32_t first_operand = 0;
  std::uint32_t operands = 0;
  std::uint32_t waits = 0;  // tasks that must have ended before
  std::uint32_t first_successor = 0;
  std::uint32_t successors = 0;
  double rank = 0;  // flops from here to the end of the longest way
};

struct PlanOptions {
  std::uint64_t budget_bytes = 0;  // 0: none
  int threads = 1;
};

// Numbers of a run before it runs.
struct Forecast {
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t held_bytes = 0;    // the most at once, of tiles, workspaces and this schedule
  std::uint64_t least_bytes = 0;   // what no run can do with less of: the widest task, workspaces, this schedule
  std::uint64_t result_bytes = 0;  // of outputs in memory, which stay
  std::uint64_t schedule_bytes = 0;
  double flops = 0;
  std::uint64_t tasks = 0;
  std::uint64_t skipped = 0;  // tasks whose results are there already
};

// Immutable once made.
class Schedule {
 public:
  // kInvalidArgument when the program reads what nothing has written, writes a tile twice that is not an update, writes
  // an input, or leaves the extents. `resume`: what outputs in a folder have already is not made again.
  static base::Result<std::unique_ptr<Schedule>> create(const Program& program, std::vector<Slot> slots, Scalar scalar,
                                                        bool resume);

  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<Tile>& tiles() const { return tiles_; }
  const std::vector<Task>& tasks() const { return tasks_; }
  std::span<const Operand> operands(const Task& task) const {
    return std::span(operands_).subspan(task.first_operand, task.operands);
  }
  std::span<const std::uint32_t> successors(const Task& task) const {
    return std::span(successors_).subspan(task.first_successor, task.successors);
  }
  // The tasks that use a tile, in order.
  std::span<const std::uint32_t> uses(const Tile& tile) const {
    return std::span(uses_).subspan(tile.first_use, tile.use_count);
  }
  Scalar scalar() const { return scalar_; }
  std::size_t workspace_bytes() const { return workspace_bytes_; }
  Block block(const Operand& operand, std::byte* data) const;
  // Of a task's operands, without data.
  std::vector<Block> shapes(const Task& task) const;

  // Goes through the tasks in order with a cache of the budget that evicts what is needed last (Belady).
  Forecast forecast(const PlanOptions& options) const;
  std::uint64_t own_bytes() const;

 private:
  Schedule() = default;
  base::Status add_call(const Program& program, const Call& call, std::span<const std::int64_t> variables);
  base::Result<std::uint32_t> tile_of(const TileName& name);
  base::Status check_access(std::uint32_t tile, Mode mode, int kernel);
  void skip_what_is_there();
  void drop_tasks(const std::vector<bool>& needed);
  void link();
  void rank();

  Scalar scalar_ = Scalar::kF64;
  std::vector<Slot> slots_;
  std::vector<std::vector<std::int64_t>> numbers_;  // of each slot: the tile of an index, or -1
  std::vector<Tile> tiles_;
  std::vector<Task> tasks_;
  std::vector<Operand> operands_;
  std::vector<std::uint32_t> uses_;
  std::vector<std::uint32_t> successors_;
  std::size_t workspace_bytes_ = 0;
  std::uint64_t skipped_ = 0;
  double flops_ = 0;
};

}  // namespace daybreak::linalg
