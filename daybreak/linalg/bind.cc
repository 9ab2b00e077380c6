// linalg's part of daybreak._core: stores, programs, schedules. What a person meets is Python's matrix.py.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "daybreak/linalg/blas.h"
#include "daybreak/linalg/kernels.h"
#include "daybreak/linalg/program.h"
#include "daybreak/linalg/runner.h"
#include "daybreak/linalg/schedule.h"
#include "daybreak/linalg/store.h"

namespace nb = nanobind;
namespace base = daybreak::base;

namespace {

using namespace daybreak::linalg;
using Code = std::vector<std::int64_t>;
using AnyArray = nb::ndarray<nb::ro, nb::device::cpu, nb::f_contig>;
using IndexCode = std::pair<Code, std::optional<Code>>;
using ReferenceCode = std::tuple<int, int, std::vector<IndexCode>>;

Grid grid_of(std::int64_t rows, std::int64_t cols, std::int64_t tile_rows, std::int64_t tile_cols, int scalar) {
  if (rows < 0 || cols < 0 || tile_rows < 1 || tile_cols < 1 || scalar < 0 || scalar >= kScalars) {
    base::raise(base::Error(base::Code::kInvalidArgument, "a grid of no rows, columns or type"));
  }
  return {rows, cols, tile_rows, tile_cols, static_cast<Scalar>(scalar)};
}

// An array over memory that `owner` keeps; column-major.
nb::object array_of(std::shared_ptr<daybreak::os::Mapping> memory, const TileShape& shape) {
  auto* kept = new std::shared_ptr<daybreak::os::Mapping>(std::move(memory));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::shared_ptr<daybreak::os::Mapping>*>(p); });
  const std::size_t extents[] = {static_cast<std::size_t>(shape.rows), static_cast<std::size_t>(shape.cols)};
  const std::int64_t strides[] = {1, std::max<std::int64_t>(shape.rows, 1)};
  const auto type = with_type(shape.scalar, [](auto t) { return nb::dtype<decltype(t)>(); });
  return nb::cast(nb::ndarray<nb::numpy>((*kept)->data(), 2, extents, owner, strides, type));
}

std::shared_ptr<daybreak::os::Mapping> new_memory(const TileShape& shape) {
  auto made = daybreak::os::map_zeros(std::max(aligned(shape.bytes()), kAlignBytes));
  return std::make_shared<daybreak::os::Mapping>(base::value_or_raise(std::move(made)));
}

TileShape shape_in(const TileStore& store, std::int64_t i, std::int64_t j) {
  const Grid& grid = store.grid();
  if (i < 0 || j < 0 || i >= grid.down() || j >= grid.across()) {
    base::raise(base::Error(base::Code::kOutOfRange, "no such tile"));
  }
  return grid.shape(i, j);
}

nb::object get_tile(TileStore& store, std::int64_t i, std::int64_t j) {
  const TileShape shape = shape_in(store, i, j);
  if (auto* memory = dynamic_cast<MemoryStore*>(&store)) {
    return array_of(base::value_or_raise(memory->share(i, j)), shape);
  }
  auto memory = new_memory(shape);
  base::Status read;
  {
    nb::gil_scoped_release released;
    read = store.read(i, j, memory->bytes().first(aligned(shape.bytes())));
  }
  base::value_or_raise(std::move(read));
  return array_of(std::move(memory), shape);
}

void put_tile(TileStore& store, std::int64_t i, std::int64_t j, const AnyArray& array) {
  const TileShape shape = shape_in(store, i, j);
  const auto type = with_type(shape.scalar, [](auto t) { return nb::dtype<decltype(t)>(); });
  if (array.ndim() != 2 || array.dtype() != type || static_cast<std::int64_t>(array.shape(0)) != shape.rows ||
      static_cast<std::int64_t>(array.shape(1)) != shape.cols) {
    base::raise(base::Error(base::Code::kInvalidArgument, "the array is not of the tile's shape and type"));
  }
  base::Status written;
  auto memory = store.in_memory() ? nullptr : new_memory(shape);
  {
    nb::gil_scoped_release released;
    std::byte* to = memory ? memory->data() : nullptr;
    if (!memory) {
      auto resident = store.resident(i, j);
      if (resident) {
        to = *resident;
      } else {
        written = std::unexpected(std::move(resident).error());
      }
    }
    if (to != nullptr && array.data() != to) std::memcpy(to, array.data(), shape.bytes());
    if (memory) written = store.write(i, j, memory->bytes().first(aligned(shape.bytes())));
  }
  base::value_or_raise(std::move(written));
}

Expression expression_of(Code code) {
  return base::value_or_raise(Expression::create(std::move(code), kMaxVariables));
}

void add_call(Program& program, int kernel, std::int32_t flags, double alpha,
              const std::vector<ReferenceCode>& references) {
  if (kernel < 0 || kernel >= static_cast<int>(kernel_table().size())) {
    base::raise(base::Error(base::Code::kInvalidArgument, "no such kernel"));
  }
  Call call{kernel, flags, alpha, {}};
  for (const auto& [matrix, mode, indices] : references) {
    Reference made{matrix, static_cast<Mode>(mode), {}};
    for (const auto& [first, last] : indices) {
      made.indices.push_back({expression_of(first), last ? std::optional(expression_of(*last)) : std::nullopt});
    }
    call.references.push_back(std::move(made));
  }
  base::value_or_raise(program.call(std::move(call)));
}

using Named = std::pair<int, std::vector<std::int64_t>>;

std::vector<Named> named(const std::vector<Instance>& instances) {
  std::vector<Named> all;
  all.reserve(instances.size());
  for (const Instance& one : instances) all.emplace_back(one.call, one.variables);
  return all;
}

Instance instance_of(const Program& program, const Named& named) {
  if (named.first < 0 || named.first >= static_cast<int>(program.calls().size())) {
    base::raise(base::Error(base::Code::kOutOfRange, "no such call"));
  }
  return {named.first, named.second};
}

std::vector<Named> walked(const Program& program) {
  std::vector<Named> all;
  base::value_or_raise(program.walk([&](int call, std::span<const std::int64_t> variables) -> base::Status {
    all.emplace_back(call, std::vector<std::int64_t>(variables.begin(), variables.end()));
    if (all.size() > static_cast<std::size_t>(kMaxCalls)) {
      return base::fail(base::Code::kResourceExhausted, "more than {} calls", kMaxCalls);
    }
    return {};
  }));
  return all;
}

nb::dict forecast(const Schedule& schedule, std::uint64_t budget, int threads) {
  const Forecast made = schedule.forecast({budget, threads});
  nb::dict out;
  out["read_bytes"] = made.read_bytes;
  out["written_bytes"] = made.written_bytes;
  out["held_bytes"] = made.held_bytes;
  out["least_bytes"] = made.least_bytes;
  out["result_bytes"] = made.result_bytes;
  out["schedule_bytes"] = made.schedule_bytes;
  out["flops"] = made.flops;
  out["tasks"] = made.tasks;
  out["skipped"] = made.skipped;
  return out;
}

nb::dict run_schedule(const Schedule& schedule, int threads, std::uint64_t budget, std::string spill_folder) {
  const Blas* blas = Blas::get();
  if (blas == nullptr) base::raise(base::Error(base::Code::kFailedPrecondition, "BLAS is not open"));
  RunOptions options{threads, budget, std::move(spill_folder), [] {
                       nb::gil_scoped_acquire held;
                       return PyErr_CheckSignals() != 0;
                     }};
  base::Result<RunReport> result;
  {
    nb::gil_scoped_release released;
    result = run(*blas, schedule, options);
  }
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
  const RunReport report = base::value_or_raise(std::move(result));
  nb::dict out;
  out["fault"] = static_cast<int>(report.fault.kind);
  out["fault_row"] = report.fault.row;
  out["fault_col"] = report.fault.col;
  out["fault_matrix"] = schedule.slots()[static_cast<std::size_t>(report.fault_slot)].name;
  out["read_bytes"] = report.read_bytes;
  out["written_bytes"] = report.written_bytes;
  out["spilled_bytes"] = report.spilled_bytes;
  out["held_bytes"] = report.held_bytes;
  out["tasks"] = report.tasks;
  return out;
}

// name, role, store, extents, (rows, cols, tile_rows, tile_cols), (row_axis, col_axis), (transposed, conjugated, check),
// (first_row, first_col)
using SlotCode = std::tuple<std::string, int, std::shared_ptr<TileStore>, std::vector<std::int64_t>,
                            std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>, std::pair<int, int>,
                            std::tuple<bool, bool, bool>, std::pair<std::int64_t, std::int64_t>>;

std::unique_ptr<Schedule> make_schedule(const Program& program, const std::vector<SlotCode>& codes, int scalar,
                                        bool resume) {
  std::vector<Slot> slots;
  for (const auto& [name, role, store, extents, grid, axes, view, first] : codes) {
    Slot slot;
    slot.name = name;
    slot.role = static_cast<Slot::Role>(role);
    slot.store = store;
    slot.extents = extents;
    slot.grid = grid_of(std::get<0>(grid), std::get<1>(grid), std::get<2>(grid), std::get<3>(grid), scalar);
    slot.row_axis = axes.first;
    slot.col_axis = axes.second;
    std::tie(slot.transposed, slot.conjugated, slot.check) = view;
    std::tie(slot.first_row, slot.first_col) = first;
    slots.push_back(std::move(slot));
  }
  nb::gil_scoped_release released;
  auto made = Schedule::create(program, std::move(slots), static_cast<Scalar>(scalar), resume);
  nb::gil_scoped_acquire held;
  return base::value_or_raise(std::move(made));
}

void bind_stores(nb::module_& m) {
  nb::class_<TileStore>(m, "TileStore", "The tiles of a matrix; memory_store() and folder_store() make one.")
      .def_prop_ro("in_memory", &TileStore::in_memory)
      .def_prop_ro("direct",
                   [](const TileStore& s) {
                     const auto* folder = dynamic_cast<const FolderStore*>(&s);
                     return folder != nullptr && folder->direct();
                   })
      .def_prop_ro("bytes_read", &TileStore::bytes_read)
      .def_prop_ro("bytes_written", &TileStore::bytes_written)
      .def("has", &TileStore::has, nb::arg("i"), nb::arg("j"))
      .def("erase", &TileStore::erase, nb::arg("i"), nb::arg("j"))
      .def("get", &get_tile, nb::arg("i"), nb::arg("j"),
           "A tile, column-major: of a matrix in memory the tile itself, else a copy.")
      .def("put", &put_tile, nb::arg("i"), nb::arg("j"), nb::arg("array"));
  m.def(
      "memory_store",
      [](std::int64_t rows, std::int64_t cols, std::int64_t tile_rows, std::int64_t tile_cols, int scalar) {
        const Grid grid = grid_of(rows, cols, tile_rows, tile_cols, scalar);
        if (grid.down() > 0 && grid.across() > kMaxTiles / grid.down()) {
          base::raise(base::Error(base::Code::kResourceExhausted, "more than 16777216 tiles: use larger ones"));
        }
        return std::shared_ptr<TileStore>(std::make_shared<MemoryStore>(grid));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("tile_rows"), nb::arg("tile_cols"), nb::arg("scalar"));
  m.def(
      "folder_store",
      [](std::int64_t rows, std::int64_t cols, std::int64_t tile_rows, std::int64_t tile_cols, int scalar,
         const std::filesystem::path& folder, int triangle) {
        return std::shared_ptr<TileStore>(
            std::make_shared<FolderStore>(grid_of(rows, cols, tile_rows, tile_cols, scalar),
                                          base::given_path(folder, "folder"), static_cast<Triangle>(triangle)));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("tile_rows"), nb::arg("tile_cols"), nb::arg("scalar"),
      nb::arg("folder"), nb::arg("triangle"));
  m.def(
      "empty_tile",
      [](std::int64_t rows, std::int64_t cols, int scalar) {
        const TileShape shape{rows, cols, static_cast<Scalar>(scalar)};
        return array_of(new_memory(shape), shape);
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("scalar"), "Zeros, column-major, in memory that files like.");
}

}  // namespace

void bind_linalg(nb::module_& m) {
  m.def(
      "open_blas",
      [](const std::filesystem::path& path) { base::value_or_raise(Blas::open(base::given_path(path, "path"))); },
      nb::arg("path"), "Opens the BLAS library, once a process.");
  m.def("blas_core", [] { return Blas::get() == nullptr ? std::string() : Blas::get()->core_name(); });
  m.def("kernels", [] {
    std::vector<std::tuple<std::string, std::string, int, std::string>> all;
    for (const KernelInfo& k : kernel_table()) {
      all.emplace_back(std::string(k.name), std::string(k.targets), k.reads, std::string(k.options));
    }
    return all;
  });
  bind_stores(m);
  nb::class_<Program>(m, "Program", "Loops around calls of kernels; lambdapack.py makes one of a function.")
      .def(nb::init<>())
      .def(
          "begin_loop",
          [](Program& p, int variable, Code first, Code last, Code step) {
            p.begin_loop(variable, expression_of(std::move(first)), expression_of(std::move(last)),
                         expression_of(std::move(step)));
          },
          nb::arg("variable"), nb::arg("first"), nb::arg("last"), nb::arg("step"))
      .def(
          "begin_if", [](Program& p, Code condition) { p.begin_if(expression_of(std::move(condition))); },
          nb::arg("condition"))
      .def("otherwise", [](Program& p) { base::value_or_raise(p.otherwise()); })
      .def("end", [](Program& p) { base::value_or_raise(p.end()); })
      .def("call", &add_call, nb::arg("kernel"), nb::arg("flags"), nb::arg("alpha"), nb::arg("references"))
      .def("walk", &walked)
      .def(
          "parents",
          [](const Program& p, const Named& n) { return named(base::value_or_raise(p.parents(instance_of(p, n)))); },
          nb::arg("instance"))
      .def(
          "children",
          [](const Program& p, const Named& n) { return named(base::value_or_raise(p.children(instance_of(p, n)))); },
          nb::arg("instance"));
  nb::class_<Schedule>(m, "Schedule", "A program tied to matrices.")
      .def("forecast", &forecast, nb::arg("budget"), nb::arg("threads"))
      .def("run", &run_schedule, nb::arg("threads"), nb::arg("budget"), nb::arg("spill_folder"));
  m.def("schedule", &make_schedule, nb::arg("program"), nb::arg("slots"), nb::arg("scalar"), nb::arg("resume"));
}
