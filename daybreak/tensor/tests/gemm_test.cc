// Every instruction level that this machine has against plain loops in double.
#include "daybreak/tensor/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "daybreak/base/random.h"

namespace daybreak::tensor {
namespace {

using base::Code;
using base::CpuLevel;

// Numbers that would be seen in any sum that reads where it should not.
constexpr float kPoison = 1e30F;

// A matrix with `gap` poisoned floats behind each of its rows as they lie, and one more row of them behind the last.
struct Padded {
  std::int64_t lines, length;  // as it lies
  std::ptrdiff_t stride;
  std::vector<float> floats;
  bool lies_transposed;

  Padded(std::int64_t rows, std::int64_t columns, bool transposed, std::ptrdiff_t gap, base::Xoshiro256& random)
      : lines(transposed ? columns : rows),
        length(transposed ? rows : columns),
        stride(length + gap),
        floats(static_cast<std::size_t>((lines + 1) * stride), kPoison),
        lies_transposed(transposed) {
    for (std::int64_t i = 0; i < lines; ++i) {
      for (std::int64_t j = 0; j < length; ++j) floats[static_cast<std::size_t>(i * stride + j)] = random.normal();
    }
  }
  ConstMatrix view() const {
    const ConstMatrix lying{floats.data(), lines, length, stride, 1};
    return lies_transposed ? lying.transposed() : lying;
  }
};

double element(const ConstMatrix& m, std::int64_t r, std::int64_t c) {
  return static_cast<double>(m.data[r * m.row_stride + c * m.column_stride]);
}

struct Product {
  std::int64_t m, n, k;
  bool a_transposed, b_transposed;
  std::ptrdiff_t gap = 0;
};

void expect_product(CpuLevel level, const Product& p, Write write, base::Xoshiro256& random) {
  const Padded left(p.m, p.k, p.a_transposed, p.gap, random);
  const Padded right(p.k, p.n, p.b_transposed, p.gap, random);
  const ConstMatrix a = left.view();
  const ConstMatrix b = right.view();
  Padded c(p.m, p.n, false, p.gap, random);
  const std::vector<float> before = c.floats;
  const auto status = gemm_at(level, a, b, {c.floats.data(), p.m, p.n, c.stride}, write);
  ASSERT_TRUE(status) << status.error().message();
  for (std::int64_t r = 0; r <= p.m; ++r) {
    for (std::int64_t j = 0; j < c.stride; ++j) {
      const auto at = static_cast<std::size_t>(r * c.stride + j);
      if (r == p.m || j >= p.n) {
        ASSERT_EQ(c.floats[at], kPoison) << "written beside its rows";
        continue;
      }
      double sum = write == Write::kAdd ? static_cast<double>(before[at]) : 0.0;
      double size = std::fabs(sum);
      for (std::int64_t i = 0; i < p.k; ++i) {
        const double term = element(a, r, i) * element(b, i, j);
        sum += term;
        size += std::fabs(term);
      }
      // Each addition rounds once; the sum of sizes bounds what each could lose.
      const double tolerance = (static_cast<double>(p.k) + 2) * std::numeric_limits<float>::epsilon() * size;
      ASSERT_NEAR(static_cast<double>(c.floats[at]), sum, tolerance)
          << p.m << "x" << p.k << "x" << p.n << (p.a_transposed ? " a'" : "") << (p.b_transposed ? " b'" : "") << " at "
          << r << "," << j;
    }
  }
}

class Gemm : public testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > base::best_cpu_level()) GTEST_SKIP() << "this CPU does not have the level";
  }
  base::Xoshiro256 random_{7};
};

// A sanitizer makes the reference ten times slower: every seventh shape is enough for what it looks for.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kEveryShape = 7;
#else
constexpr int kEveryShape = 1;
#endif

// 34^3 shapes are many for one test, so the orientation and what is done with c go round with the shape: each of the
// eight meets every size of every dimension.
TEST_P(Gemm, every_small_shape_is_the_sum_of_products) {
  int turn = 0;
  for (std::int64_t m = 0; m <= 33; ++m) {
    for (std::int64_t n = 0; n <= 33; ++n) {
      for (std::int64_t k = 0; k <= 33; ++k, ++turn) {
        if (turn % kEveryShape != 0) continue;
        const Product p{m, n, k, (turn & 1) != 0, (turn & 2) != 0, turn % 3};
        expect_product(GetParam(), p, (turn & 4) != 0 ? Write::kAdd : Write::kOverwrite, random_);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Gemm, blocks_of_rows_columns_and_depth_meet_without_a_seam) {
  struct Shape {
    std::int64_t m, n, k;
  };
  for (const auto& [m, n, k] : {Shape{257, 65, 300}, {300, 33, 257}, {5, 700, 513}, {600, 3, 31}, {64, 96, 1024}}) {
    for (const bool a_transposed : {false, true}) {
      for (const bool b_transposed : {false, true}) {
        for (const Write write : {Write::kOverwrite, Write::kAdd}) {
          expect_product(GetParam(), {m, n, k, a_transposed, b_transposed, 7}, write, random_);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(Gemm, the_same_product_has_the_same_bits) {
  const Padded a(70, 90, true, 1, random_);
  const Padded b(90, 50, false, 2, random_);
  std::vector<float> once(70 * 50), again(70 * 50);
  ASSERT_TRUE(gemm_at(GetParam(), a.view(), b.view(), Matrix::of(once.data(), 70, 50)));
  ASSERT_TRUE(gemm_at(GetParam(), a.view(), b.view(), Matrix::of(again.data(), 70, 50)));
  EXPECT_EQ(once, again);
}

INSTANTIATE_TEST_SUITE_P(All, Gemm, testing::Values(CpuLevel::kScalar, CpuLevel::kAvx2, CpuLevel::kAvx512),
                         [](const auto& level) { return std::string(base::cpu_level_name(level.param)); });

void expect_refused(const ConstMatrix& a, const ConstMatrix& b, const Matrix& c, std::string_view part) {
  const auto status = gemm(a, b, c);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kInvalidArgument);
  EXPECT_NE(status.error().message().find(part), std::string::npos) << status.error().message();
}

TEST(GemmArguments, shapes_that_do_not_meet_are_refused) {
  float f[64] = {};
  expect_refused(ConstMatrix::of(f, 2, 3), ConstMatrix::of(f, 2, 3), Matrix::of(f + 32, 2, 3), "2 x 3 times 2 x 3");
  expect_refused(ConstMatrix::of(f, 2, 3), ConstMatrix::of(f, 3, 4), Matrix::of(f + 32, 2, 3), "into 2 x 3");
  expect_refused(ConstMatrix::of(f, -1, 3), ConstMatrix::of(f, 3, 4), Matrix::of(f + 32, -1, 4), "a is -1 x 3");
  const std::int64_t many = std::int64_t{1} << 31;
  expect_refused(ConstMatrix::of(f, 2, 0), {f, 0, many, 0, 1}, {f + 32, 2, many, many}, "b is 0 x 2147483648");
}

TEST(GemmArguments, strides_that_no_kernel_reads_are_refused) {
  float f[64] = {};
  const ConstMatrix b = ConstMatrix::of(f, 2, 2);
  expect_refused({f, 2, 2, 4, 2}, b, Matrix::of(f + 32, 2, 2), "a row stride of 4 and a column stride of 2");
  expect_refused({f + 8, 2, 2, -2, 1}, b, Matrix::of(f + 32, 2, 2), "a row stride of -2");
  expect_refused(b, b, {f + 32, 2, 2, 1}, "rows of c are 1 elements apart and 2 long");
}

TEST(GemmArguments, memory_of_c_that_an_operand_shares_is_refused) {
  float f[64] = {};
  const ConstMatrix a = ConstMatrix::of(f, 2, 2);
  const ConstMatrix b = ConstMatrix::of(f + 4, 2, 2);
  expect_refused(a, b, Matrix::of(f + 3, 2, 2), "c overlaps a");
  expect_refused(a, b, Matrix::of(f + 7, 2, 2), "c overlaps b");
  EXPECT_TRUE(gemm(a, b, Matrix::of(f + 8, 2, 2)));
  EXPECT_TRUE(gemm(a, a, Matrix::of(f + 4, 2, 2)));  // operands may be one
}

TEST(GemmArguments, a_level_that_the_processor_lacks_is_said_so) {
  float f[64] = {};
  for (const auto level : {CpuLevel::kScalar, CpuLevel::kSse42, CpuLevel::kAvx2, CpuLevel::kAvx512}) {
    const auto status = gemm_at(level, ConstMatrix::of(f, 2, 2), ConstMatrix::of(f, 2, 2), Matrix::of(f + 8, 2, 2));
    EXPECT_EQ(status.has_value(), level <= base::best_cpu_level());
    if (!status) {
      EXPECT_EQ(status.error().code(), Code::kFailedPrecondition);
    }
  }
}

}  // namespace
}  // namespace daybreak::tensor
