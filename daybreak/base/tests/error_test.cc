#include "daybreak/base/error.h"

#include <gtest/gtest.h>

namespace daybreak::base {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Code::kInvalidArgument, "n={} is odd, only even numbers have a half: add one", n);
  return n / 2;
}

Result<int> quarter(int n) {
  DAYBREAK_ASSIGN(int h, half(n));
  DAYBREAK_ASSIGN(int q, half(h));
  return q;
}

TEST(Error, value_passes_through_assign) {
  EXPECT_EQ(quarter(8).value(), 2);
}

TEST(Error, first_failure_returns_from_the_caller) {
  auto r = quarter(6);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(r.error().message(), "n=3 is odd, only even numbers have a half: add one");
}

TEST(Error, is_one_pointer_wide) {
  EXPECT_EQ(sizeof(Error), sizeof(void*));
}

TEST(Error, wrap_keeps_code_and_cause) {
  Error e = Error(Code::kNotFound, "inner").wrap("outer");
  EXPECT_EQ(e.code(), Code::kNotFound);
  EXPECT_EQ(e.to_string(), "outer: inner");
  Error copy = e;
  EXPECT_EQ(copy.to_string(), "outer: inner");
}

TEST(Error, full_disk_is_resource_exhausted) {
  EXPECT_EQ(fail_errno("write", 28).error().code(), Code::kResourceExhausted);
}

TEST(ErrorDeathTest, broken_invariant_names_the_condition) {
  EXPECT_DEATH(DAYBREAK_CHECK(1 == 2), "1 == 2");
}

}  // namespace
}  // namespace daybreak::base
