#include "daybreak/linalg/schedule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace daybreak::linalg {

namespace {

constexpr std::uint32_t kMaxOperands = 1u << 16;  // of one task

std::string shown_tile(const Slot& slot, const std::vector<std::int64_t>& indices) {
  return fmt::format("{}[{}]", slot.name, fmt::join(indices, ", "));
}

}  // namespace

base::Result<std::unique_ptr<Schedule>> Schedule::create(const Program& program, std::vector<Slot> slots, Scalar scalar,
                                                         bool resume) {
  std::unique_ptr<Schedule> made(new Schedule());
  made->scalar_ = scalar;
  made->slots_ = std::move(slots);
  for (const Slot& slot : made->slots_) {
    std::int64_t count = 1;
    for (const std::int64_t extent : slot.extents) {
      if (extent < 0 || (extent > 0 && count > kMaxTiles / extent)) {
        return base::fail(base::Code::kResourceExhausted, "{} has more than {} tiles: use larger ones", slot.name,
                          kMaxTiles);
      }
      count *= extent;
    }
    made->numbers_.emplace_back(static_cast<std::size_t>(count), -1);
  }
  DAYBREAK_TRY(program.walk([&](int call, std::span<const std::int64_t> variables) {
    return made->add_call(program, program.calls()[static_cast<std::size_t>(call)], variables);
  }));
  if (resume) made->skip_what_is_there();
  made->link();
  made->rank();
  made->numbers_.clear();
  return made;
}

base::Result<std::uint32_t> Schedule::tile_of(const TileName& name) {
  const Slot& slot = slots_[static_cast<std::size_t>(name.matrix)];
  if (name.indices.size() != slot.extents.size()) {
    return base::fail(base::Code::kInvalidArgument, "{} has {} indices, not {}", shown_tile(slot, name.indices),
                      slot.extents.size(), name.indices.size());
  }
  std::int64_t place = 0;
  for (std::size_t axis = 0; axis < name.indices.size(); ++axis) {
    if (name.indices[axis] < 0 || name.indices[axis] >= slot.extents[axis]) {
      return base::fail(base::Code::kOutOfRange, "{} is outside of its tiles, which are {}",
                        shown_tile(slot, name.indices), fmt::join(slot.extents, " x "));
    }
    place = place * slot.extents[axis] + name.indices[axis];
  }
  std::int64_t& number = numbers_[static_cast<std::size_t>(name.matrix)][static_cast<std::size_t>(place)];
  if (number >= 0) return static_cast<std::uint32_t>(number);
  Tile tile;
  tile.slot = static_cast<std::uint16_t>(name.matrix);
  tile.i = slot.row_axis < 0 ? 0 : name.indices[static_cast<std::size_t>(slot.row_axis)];
  tile.j = slot.col_axis < 0 ? 0 : name.indices[static_cast<std::size_t>(slot.col_axis)];
  if (slot.transposed) std::swap(tile.i, tile.j);
  tile.i += slot.first_row;
  tile.j += slot.first_col;
  tile.shape = slot.grid.shape(tile.i, tile.j);
  tile.stored = slot.role == Slot::kInput;
  number = static_cast<std::int64_t>(tiles_.size());
  tiles_.push_back(tile);
  return static_cast<std::uint32_t>(number);
}

base::Status Schedule::check_access(std::uint32_t number, Mode mode, int kernel) {
  const Tile& tile = tiles_[number];
  const Slot& slot = slots_[tile.slot];
  const std::string_view name = kernel_table()[static_cast<std::size_t>(kernel)].name;
  const bool has_value = tile.stored || tile.writes > 0;
  if (mode != Mode::kRead && slot.role == Slot::kInput) {
    return base::fail(base::Code::kInvalidArgument, "{} would write tile ({}, {}) of {}, which is an input", name,
                      tile.i, tile.j, slot.name);
  }
  if (mode == Mode::kWrite && has_value) {
    return base::fail(base::Code::kInvalidArgument,
                      "{} would write tile ({}, {}) of {} a second time: a tile is assigned once, then only updated",
                      name, tile.i, tile.j, slot.name);
  }
  if (mode != Mode::kWrite && !has_value) {
    return base::fail(base::Code::kInvalidArgument, "{} would read tile ({}, {}) of {} before anything has written it",
                      name, tile.i, tile.j, slot.name);
  }
  return {};
}

base::Status Schedule::add_call(const Program& program, const Call& call, std::span<const std::int64_t> variables) {
  if (tasks_.size() >= static_cast<std::size_t>(kMaxCalls)) {
    return base::fail(base::Code::kResourceExhausted, "a program of more than {} calls: use larger tiles", kMaxCalls);
  }
  Task task;
  task.kernel = static_cast<Kernel>(call.kernel);
  task.flags = call.flags;
  task.alpha = call.alpha;
  task.first_operand = static_cast<std::uint32_t>(operands_.size());
  for (const Reference& reference : call.references) {
    DAYBREAK_ASSIGN(const auto names, program.tiles(reference, variables));
    for (const TileName& name : names) {
      DAYBREAK_ASSIGN(const std::uint32_t tile, tile_of(name));
      DAYBREAK_TRY(check_access(tile, reference.mode, call.kernel));
      operands_.push_back({tile, reference.mode, reference.mode == Mode::kUpdate});
    }
  }
  task.operands = static_cast<std::uint32_t>(operands_.size()) - task.first_operand;
  if (task.operands == 0 || task.operands > kMaxOperands) {
    return base::fail(base::Code::kInvalidArgument, "a call with {} tiles: 1 to {}", task.operands, kMaxOperands);
  }
  for (const Operand& operand : operands(task)) tiles_[operand.tile].writes += operand.mode != Mode::kRead;
  tasks_.push_back(task);
  return {};
}

// Backwards: a task is needed when a version that it makes is, and then so are those that it reads. A tile whose final
// value is there ends the chain, unless something needs an earlier one of its versions: then all are made again.
void Schedule::skip_what_is_there() {
  for (Tile& tile : tiles_) {
    const Slot& slot = slots_[tile.slot];
    tile.skipped = slot.role == Slot::kOutput && !slot.store->in_memory() && slot.store->has(tile.i, tile.j);
  }
  std::vector<bool> needed(tasks_.size());
  for (bool settled = false; !settled;) {
    settled = true;
    std::vector<bool> wanted(tiles_.size());
    std::vector<std::uint32_t> later_writes(tiles_.size());
    for (std::size_t t = 0; t < tiles_.size(); ++t) {
      wanted[t] = slots_[tiles_[t].slot].role == Slot::kOutput && !tiles_[t].skipped;
    }
    for (std::size_t t = tasks_.size(); t-- > 0;) {
      const auto all = operands(tasks_[t]);
      needed[t] = std::any_of(all.begin(), all.end(),
                              [&](const Operand& o) { return o.mode != Mode::kRead && wanted[o.tile]; });
      for (const Operand& o : all) {
        Tile& tile = tiles_[o.tile];
        if (o.mode != Mode::kRead) {
          if (needed[t] && tile.skipped) {
            tile.skipped = false;
            settled = false;
          }
          if (needed[t]) wanted[o.tile] = o.mode == Mode::kUpdate;
          ++later_writes[o.tile];
        }
      }
      if (!needed[t]) continue;
      for (const Operand& o : all) {
        if (o.mode == Mode::kRead && !(tiles_[o.tile].skipped && later_writes[o.tile] == 0)) wanted[o.tile] = true;
      }
    }
  }
  for (Tile& tile : tiles_) tile.stored = tile.stored || tile.skipped;
  drop_tasks(needed);
}

void Schedule::drop_tasks(const std::vector<bool>& needed) {
  std::vector<Task> kept;
  std::vector<Operand> kept_operands;
  for (Tile& tile : tiles_) tile.writes = 0;
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (!needed[t]) {
      ++skipped_;
      continue;
    }
    Task task = tasks_[t];
    const auto all = operands(task);
    task.first_operand = static_cast<std::uint32_t>(kept_operands.size());
    kept_operands.insert(kept_operands.end(), all.begin(), all.end());
    for (const Operand& o : all) tiles_[o.tile].writes += o.mode != Mode::kRead;
    kept.push_back(task);
  }
  tasks_ = std::move(kept);
  operands_ = std::move(kept_operands);
}

// Uses of each tile, and from them who waits for whom: a reader for the last writer, a writer for it and all readers
// since.
void Schedule::link() {
  for (Tile& tile : tiles_) tile.use_count = 0;
  for (const Operand& operand : operands_) ++tiles_[operand.tile].use_count;
  std::uint32_t total = 0;
  for (Tile& tile : tiles_) {
    tile.first_use = total;
    total += tile.use_count;
    tile.use_count = 0;
  }
  uses_.resize(total);
  std::vector<std::uint32_t> writer(tiles_.size(), kNever);
  std::vector<std::vector<std::uint32_t>> readers(tiles_.size());
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges;
  std::vector<std::uint32_t> before;
  for (std::uint32_t t = 0; t < tasks_.size(); ++t) {
    before.clear();
    for (const Operand& o : operands(tasks_[t])) {
      Tile& tile = tiles_[o.tile];
      if (tile.use_count == 0 || uses_[tile.first_use + tile.use_count - 1] != t) {
        uses_[tile.first_use + tile.use_count++] = t;
      }
      if (writer[o.tile] != kNever) before.push_back(writer[o.tile]);
      if (o.mode != Mode::kRead) before.insert(before.end(), readers[o.tile].begin(), readers[o.tile].end());
    }
    for (const Operand& o : operands(tasks_[t])) {
      if (o.mode == Mode::kRead) {
        readers[o.tile].push_back(t);
      } else {
        writer[o.tile] = t;
        readers[o.tile].clear();
      }
    }
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
    std::erase(before, t);
    for (const std::uint32_t b : before) edges.emplace_back(b, t);
    tasks_[t].waits = static_cast<std::uint32_t>(before.size());
  }
  std::sort(edges.begin(), edges.end());
  successors_.reserve(edges.size());
  for (const auto& [from, to] : edges) {
    if (tasks_[from].successors++ == 0) tasks_[from].first_successor = static_cast<std::uint32_t>(successors_.size());
    successors_.push_back(to);
  }
}

void Schedule::rank() {
  for (std::size_t t = tasks_.size(); t-- > 0;) {
    Task& task = tasks_[t];
    const auto blocks = shapes(task);
    const double flops = flops_of(task.kernel, task.flags, scalar_, blocks);
    flops_ += flops;
    double longest = 0;
    for (const std::uint32_t s : successors(task)) longest = std::max(longest, tasks_[s].rank);
    // A copy costs no flops but time.
    task.rank = longest + flops + static_cast<double>(blocks[0].rows) * blocks[0].cols;
    workspace_bytes_ = std::max(workspace_bytes_, aligned(linalg::workspace_bytes(task.kernel, scalar_, blocks)));
  }
}

Block Schedule::block(const Operand& operand, std::byte* data) const {
  const Tile& tile = tiles_[operand.tile];
  const Slot& slot = slots_[tile.slot];
  Block made;
  made.data = data;
  made.rows = static_cast<int>(tile.shape.rows);
  made.cols = static_cast<int>(tile.shape.cols);
  made.row0 = (tile.i - slot.first_row) * slot.grid.tile_rows;
  made.col0 = (tile.j - slot.first_col) * slot.grid.tile_cols;
  made.transposed = slot.transposed;
  made.conjugated = slot.conjugated;
  made.old = operand.old;
  return made;
}

std::vector<Block> Schedule::shapes(const Task& task) const {
  std::vector<Block> made;
  made.reserve(task.operands);
  for (const Operand& operand : operands(task)) made.push_back(block(operand, nullptr));
  return made;
}

std::uint64_t Schedule::own_bytes() const {
  return tiles_.capacity() * sizeof(Tile) + tasks_.capacity() * sizeof(Task) + operands_.capacity() * sizeof(Operand) +
         (uses_.capacity() + successors_.capacity()) * sizeof(std::uint32_t);
}

}  // namespace daybreak::linalg
