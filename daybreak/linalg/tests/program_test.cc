#include "daybreak/linalg/program.h"

#include <gtest/gtest.h>

namespace daybreak::linalg {
namespace {

using Op = Expression::Op;
using Code = std::vector<std::int64_t>;

Expression made(Code code) {
  auto found = Expression::create(std::move(code), kMaxVariables);
  EXPECT_TRUE(found.has_value());
  return *found;
}

TEST(Expression, floors_as_python_does) {
  for (std::int64_t a = -7; a <= 7; ++a) {
    for (std::int64_t b = -3; b <= 3; ++b) {
      const std::int64_t x[] = {a};
      const auto quotient = made({Op::kVariable, 0, Op::kConstant, b, Op::kFloorDivide, 0}).value(x);
      const auto rest = made({Op::kVariable, 0, Op::kConstant, b, Op::kModulo, 0}).value(x);
      ASSERT_EQ(quotient.has_value(), b != 0);
      if (b == 0) continue;
      EXPECT_EQ(*quotient * b + *rest, a);
      EXPECT_TRUE(*rest == 0 || (*rest < 0) == (b < 0));
    }
  }
}

TEST(Expression, knows_what_is_linear) {
  const auto form = made({Op::kVariable, 1, Op::kConstant, 3, Op::kMultiply, 0, Op::kVariable, 0, Op::kSubtract, 0,
                          Op::kConstant, 2, Op::kAdd, 0});
  ASSERT_TRUE(form.linear().has_value());
  EXPECT_EQ(form.linear()->constant, 2);
  EXPECT_EQ(form.linear()->of[1], 3);
  EXPECT_EQ(form.linear()->of[0], -1);
  EXPECT_FALSE(made({Op::kVariable, 0, Op::kVariable, 1, Op::kMultiply, 0}).linear().has_value());
  EXPECT_TRUE(made({Op::kConstant, 5, Op::kCeilLog2, 0}).linear().has_value());
}

TEST(Expression, has_no_value_where_there_is_none) {
  const std::int64_t zero[] = {0};
  const std::int64_t large[] = {INT64_MAX};
  EXPECT_FALSE(made({Op::kVariable, 0, Op::kCeilLog2, 0}).value(zero).has_value());
  EXPECT_FALSE(made({Op::kVariable, 0, Op::kVariable, 0, Op::kMultiply, 0}).value(large).has_value());
  EXPECT_FALSE(made({Op::kVariable, 0, Op::kPower2, 0}).value(large).has_value());
  EXPECT_FALSE(made({Op::kVariable, 3, Op::kPower2, 0}).value(zero).has_value());
}

TEST(Expression, that_is_broken_is_refused) {
  for (const Code& code : {Code{}, Code{0}, Code{Op::kAdd, 0}, Code{0, 1, 0, 1}, Code{99, 0}, Code{-1, 0},
                           Code{Op::kVariable, -1}, Code{Op::kVariable, kMaxVariables}}) {
    EXPECT_FALSE(Expression::create(code, kMaxVariables).has_value());
  }
  Code deep;
  for (int n = 0; n < 100; ++n) deep.insert(deep.end(), {Op::kConstant, 1});
  for (int n = 0; n < 99; ++n) deep.insert(deep.end(), {Op::kAdd, 0});
  EXPECT_FALSE(Expression::create(deep, 1).has_value());
}

TEST(Program, that_does_not_nest_is_refused) {
  Program program;
  EXPECT_FALSE(program.end().has_value());
  EXPECT_FALSE(program.otherwise().has_value());
  for (int n = 0; n <= kMaxVariables; ++n) {
    program.begin_loop(n, made({0, 0}), made({0, 1}), made({0, 1}));
    EXPECT_EQ(program.call({}).has_value(), n < kMaxVariables);
  }
}

}  // namespace
}  // namespace daybreak::linalg
