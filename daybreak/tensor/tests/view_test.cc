#include "daybreak/tensor/view.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace daybreak::tensor {
namespace {

using base::Code;

class ViewTest : public testing::Test {
 protected:
  ViewTest() { std::iota(values_.begin(), values_.end(), 0); }

  static std::vector<std::int32_t> elements(const View& view) {
    std::vector<std::int32_t> out(static_cast<std::size_t>(view.element_count()));
    EXPECT_TRUE(view.copy_to(std::as_writable_bytes(std::span(out))));
    return out;
  }

  View matrix() const {
    const std::int64_t shape[] = {3, 4};
    return View::dense(DType::kI32, shape, std::as_bytes(std::span(values_))).value();
  }

  std::vector<std::int32_t> values_ = std::vector<std::int32_t>(12);
};

TEST_F(ViewTest, dense_is_row_major_with_byte_strides) {
  const View m = matrix();
  EXPECT_TRUE(m.is_row_major());
  EXPECT_EQ(m.strides()[0], 16);
  EXPECT_EQ(m.strides()[1], 4);
  EXPECT_EQ(elements(m), values_);
}

TEST_F(ViewTest, select_takes_a_row_or_a_column) {
  EXPECT_EQ(elements(matrix().select(0, 1).value()), (std::vector<std::int32_t>{4, 5, 6, 7}));
  const View column = matrix().select(1, 3).value();
  EXPECT_FALSE(column.is_row_major());
  EXPECT_EQ(elements(column), (std::vector<std::int32_t>{3, 7, 11}));
  EXPECT_EQ(matrix().select(1, 4).error().code(), Code::kOutOfRange);
  EXPECT_EQ(matrix().select(2, 0).error().code(), Code::kOutOfRange);
}

TEST_F(ViewTest, slice_with_a_step_keeps_the_last_that_fits) {
  EXPECT_EQ(elements(matrix().slice(1, 0, 4, 3).value()), (std::vector<std::int32_t>{0, 3, 4, 7, 8, 11}));
  EXPECT_EQ(elements(matrix().slice(0, 1, 2).value()), (std::vector<std::int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(matrix().slice(0, 3, 3).value().element_count(), 0);
  EXPECT_TRUE(matrix().slice(0, 3, 3).value().is_row_major());
  EXPECT_FALSE(matrix().slice(0, 2, 4));
  EXPECT_FALSE(matrix().slice(0, 0, 2, 0));
}

TEST_F(ViewTest, transpose_reads_columns_first) {
  const std::size_t axes[] = {1, 0};
  const View turned = matrix().transpose(axes).value();
  EXPECT_EQ(elements(turned), (std::vector<std::int32_t>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  const std::size_t twice[] = {1, 1};
  EXPECT_FALSE(matrix().transpose(twice));
}

TEST_F(ViewTest, negative_and_zero_strides_are_followed) {
  const std::int64_t shape[] = {2, 3};
  const std::int64_t strides[] = {0, -4};
  const auto* last = reinterpret_cast<const std::byte*>(&values_[5]);
  const View view = View::strided(DType::kI32, shape, strides, last).value();
  EXPECT_EQ(elements(view), (std::vector<std::int32_t>{5, 4, 3, 5, 4, 3}));
}

TEST_F(ViewTest, an_axis_of_one_is_dense_whatever_its_stride) {
  const std::int64_t shape[] = {1, 4};
  const std::int64_t strides[] = {999, 4};
  EXPECT_TRUE(View::strided(DType::kI32, shape, strides, nullptr)->is_row_major());
}

TEST_F(ViewTest, a_shape_that_does_not_fit_is_an_error) {
  const std::int64_t shape[] = {3, 5};
  EXPECT_FALSE(View::dense(DType::kI32, shape, std::as_bytes(std::span(values_))));
  const std::vector<std::int64_t> nine(9, 1);
  EXPECT_FALSE(View::dense(DType::kI32, nine, std::as_bytes(std::span(values_)).first(4)));
  std::vector<std::byte> small(4);
  EXPECT_FALSE(matrix().copy_to(small));
}

}  // namespace
}  // namespace daybreak::tensor
