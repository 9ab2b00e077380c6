#include "daybreak/linalg/runner.h"

#include <glob.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>

#include "daybreak/base/temp_dir.h"

namespace daybreak::linalg {
namespace {

using Op = Expression::Op;
using Code = std::vector<std::int64_t>;

Expression expression(Code code) {
  return Expression::create(std::move(code), kMaxVariables).value();
}
Expression constant(std::int64_t c) {
  return expression({Op::kConstant, c});
}
Expression variable(int v) {
  return expression({Op::kVariable, v});
}
Reference reference(int matrix, Mode mode, Expression i, Expression j) {
  return {matrix, mode, {{std::move(i), {}}, {std::move(j), {}}}};
}

// The library that Python's package brings; the tests are skipped where it is not installed.
const Blas* blas() {
  if (Blas::get() != nullptr) return Blas::get();
  const std::string file = __FILE__;
  const std::string root = file.substr(0, file.rfind("daybreak/linalg"));
  for (const std::string& place : {root, std::string("./"), std::string("../../")}) {
    glob_t found{};
    const std::string pattern = place + ".venv/lib/python3*/site-packages/scipy_openblas32/lib/libscipy_openblas.so";
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) (void)Blas::open(found.gl_pathv[0]);
    globfree(&found);
    if (Blas::get() != nullptr) break;
  }
  return Blas::get();
}

// C = A B over n x n tiles: matrices 0, 1, 2 are C, A, B.
Program product(std::int64_t n) {
  Program program;
  program.begin_loop(0, constant(0), constant(n), constant(1));
  program.begin_loop(1, constant(0), constant(n), constant(1));
  for (const bool first : {true, false}) {
    if (!first) program.begin_loop(2, constant(1), constant(n), constant(1));
    Call call;
    call.kernel = static_cast<int>(Kernel::kGemm);
    const Expression k = first ? constant(0) : variable(2);
    call.references = {reference(0, first ? Mode::kWrite : Mode::kUpdate, variable(0), variable(1)),
                       reference(1, Mode::kRead, variable(0), k), reference(2, Mode::kRead, k, variable(1))};
    EXPECT_TRUE(program.call(std::move(call)).has_value());
    if (!first) {
      EXPECT_TRUE(program.end().has_value());
    }
  }
  EXPECT_TRUE(program.end().has_value());
  EXPECT_TRUE(program.end().has_value());
  return program;
}

Slot slot_of(const char* name, Slot::Role role, std::shared_ptr<TileStore> store) {
  Slot slot;
  slot.name = name;
  slot.role = role;
  slot.grid = store->grid();
  slot.extents = {slot.grid.down(), slot.grid.across()};
  slot.store = std::move(store);
  return slot;
}

class Runs : public testing::Test {
 protected:
  void SetUp() override {
    if (blas() == nullptr) GTEST_SKIP() << "no scipy_openblas32";
    folder_.emplace(base::TempDir::create().value());
  }

  std::shared_ptr<TileStore> store(const std::string& name, bool in_memory) {
    const Grid grid{kSide * kTiles - 3, kSide * kTiles - 3, kSide, kSide, Scalar::kF64};
    if (in_memory) return std::make_shared<MemoryStore>(grid);
    const std::string path = *folder_ / name;
    EXPECT_TRUE(base::Env::real().create_directories(path).has_value());
    return std::make_shared<FolderStore>(grid, path, Triangle::kNone);
  }

  void fill(TileStore& store, double scale) {
    for (std::int64_t i = 0; i < store.grid().down(); ++i) {
      for (std::int64_t j = 0; j < store.grid().across(); ++j) {
        const TileShape shape = store.grid().shape(i, j);
        auto memory = os::map_zeros(aligned(shape.bytes())).value();
        auto* x = reinterpret_cast<double*>(memory.data());
        for (std::int64_t k = 0; k < shape.rows * shape.cols; ++k)
          x[k] = scale * std::sin(double(i * 1000 + j * 100 + k));
        EXPECT_TRUE(store.write(i, j, memory.bytes()).has_value());
      }
    }
  }

  std::vector<double> values(TileStore& store) {
    std::vector<double> all;
    for (std::int64_t i = 0; i < store.grid().down(); ++i) {
      for (std::int64_t j = 0; j < store.grid().across(); ++j) {
        const TileShape shape = store.grid().shape(i, j);
        auto memory = os::map_zeros(aligned(shape.bytes())).value();
        EXPECT_TRUE(store.read(i, j, memory.bytes()).has_value());
        const auto* x = reinterpret_cast<const double*>(memory.data());
        all.insert(all.end(), x, x + shape.rows * shape.cols);
      }
    }
    return all;
  }

  static constexpr std::int64_t kSide = 24;
  static constexpr std::int64_t kTiles = 5;
  std::optional<base::TempDir> folder_;
};

TEST_F(Runs, are_the_same_to_the_bit_with_any_threads_and_budget) {
  const Program program = product(kTiles);
  auto a = store("a", false);
  auto b = store("b", false);
  fill(*a, 1);
  fill(*b, 2);
  std::vector<double> known;
  int round = 0;
  for (const std::uint64_t budget : {std::uint64_t{1} << 30, std::uint64_t{8} * 8192, std::uint64_t{4} * 8192}) {
    for (const int threads : {1, 2, 5}) {
      auto c = store("c" + std::to_string(round++), false);
      auto schedule = Schedule::create(
          program, {slot_of("C", Slot::kOutput, c), slot_of("A", Slot::kInput, a), slot_of("B", Slot::kInput, b)},
          Scalar::kF64, false);
      ASSERT_TRUE(schedule.has_value());
      const std::string spill = *folder_ / ("spill" + std::to_string(round));
      ASSERT_TRUE(base::Env::real().create_directories(spill).has_value());
      const auto report = run(*blas(), **schedule, {threads, budget, spill, {}});
      ASSERT_TRUE(report.has_value()) << report.error().to_string();
      EXPECT_EQ(report->tasks, 125u);
      EXPECT_LE(report->held_bytes, budget);
      const auto found = values(*c);
      if (known.empty()) known = found;
      EXPECT_EQ(found, known);
    }
  }
}

TEST_F(Runs, with_a_budget_for_less_than_one_task_is_refused_and_ends) {
  auto a = store("a", false);
  auto c = store("c", false);
  fill(*a, 1);
  auto schedule = Schedule::create(
      product(kTiles), {slot_of("C", Slot::kOutput, c), slot_of("A", Slot::kInput, a), slot_of("B", Slot::kInput, a)},
      Scalar::kF64, false);
  const auto report = run(*blas(), **schedule, {2, 2 * 8192, *folder_ / "", {}});
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), base::Code::kResourceExhausted);
}

TEST_F(Runs, end_when_the_caller_asks_or_a_tile_is_broken) {
  auto a = store("a", false);
  auto c = store("c", false);
  fill(*a, 1);
  std::vector<Slot> slots = {slot_of("C", Slot::kOutput, c), slot_of("A", Slot::kInput, a),
                             slot_of("B", Slot::kInput, a)};
  slots[1].check = true;
  auto schedule = Schedule::create(product(kTiles), slots, Scalar::kF64, false);
  std::ofstream(*folder_ / "a/2-1.tile") << "short";
  const auto broken = run(*blas(), **schedule, {3, 10 * 8192, *folder_ / "", {}});
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().code(), base::Code::kDataLoss);
  EXPECT_NE(broken.error().message().find("2-1.tile"), std::string::npos);
}

TEST_F(Runs, find_what_is_not_finite_with_its_place) {
  auto a = store("a", true);
  auto c = store("c", true);
  fill(*a, 1);
  const double nan = std::nan("");
  std::memcpy(a->resident(3, 2).value() + (5 + 7 * kSide) * 8, &nan, sizeof(nan));
  std::vector<Slot> slots = {slot_of("C", Slot::kOutput, c), slot_of("A", Slot::kInput, a),
                             slot_of("B", Slot::kInput, a)};
  slots[1].check = slots[2].check = true;
  auto schedule = Schedule::create(product(kTiles), slots, Scalar::kF64, false);
  for (const int threads : {1, 4}) {
    const auto report = run(*blas(), **schedule, {threads, 0, "", {}});
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->fault.kind, Fault::kNotFinite);
    EXPECT_EQ(report->fault.row, 3 * kSide + 5);
    EXPECT_EQ(report->fault.col, 2 * kSide + 7);
  }
}

TEST(TileFile, has_golden_bytes) {
  auto folder = base::TempDir::create().value();
  const TileShape shape{3, 2, Scalar::kF32};
  auto memory = os::map_zeros(aligned(shape.bytes())).value();
  const float numbers[] = {1, 2, 3, 4, 5, 6};
  std::memcpy(memory.data(), numbers, sizeof(numbers));
  ASSERT_TRUE(write_tile(folder / "t", shape, memory.bytes(), false).has_value());
  std::ifstream file(folder / "t", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(bytes.size(), 8192u);
  EXPECT_EQ(bytes.substr(0, 16), std::string("DBTILE\r\n\x01\0\0\0\0\0\0\0", 16));
  EXPECT_EQ(bytes[16], 3);
  EXPECT_EQ(bytes[24], 2);
  EXPECT_EQ(std::memcmp(bytes.data() + 4096, numbers, sizeof(numbers)), 0);
  auto again = os::map_zeros(aligned(shape.bytes())).value();
  EXPECT_TRUE(read_tile(folder / "t", shape, again.bytes(), false).has_value());
  EXPECT_EQ(read_tile(folder / "t", {2, 3, Scalar::kF32}, again.bytes(), false).error().code(), base::Code::kDataLoss);
  EXPECT_EQ(read_tile(folder / "none", shape, again.bytes(), false).error().code(), base::Code::kNotFound);
}

}  // namespace
}  // namespace daybreak::linalg
