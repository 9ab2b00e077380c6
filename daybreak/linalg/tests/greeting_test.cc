#include "daybreak/linalg/greeting.h"

#include <gtest/gtest.h>

#include <string>

namespace daybreak::linalg {
namespace {

TEST(Greeting, is_of_the_name) {
  EXPECT_EQ(*greeting("world"), "hello, world");
}

TEST(Greeting, of_no_name_or_one_beyond_the_limit_is_refused) {
  EXPECT_TRUE(greeting(std::string(kMaxNameBytes, 'x')).has_value());
  for (const std::size_t size : {std::size_t{0}, kMaxNameBytes + 1}) {
    const auto refused = greeting(std::string(size, 'x'));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace daybreak::linalg
