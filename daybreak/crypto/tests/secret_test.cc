#include "daybreak/crypto/secret.h"

#include <gtest/gtest.h>

#include <new>

#include "daybreak/base/test_env.h"

namespace daybreak::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<Secret<32>> && !std::is_copy_assignable_v<Secret<32>>);
static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<Secret<32>> && std::is_nothrow_move_constructible_v<SecretBytes>);

TEST(Secret, is_zeroed_when_it_goes_and_when_it_is_moved_from) {
  alignas(Secret<32>) unsigned char place[sizeof(Secret<32>)];
  auto* secret = new (place) Secret<32>(Secret<32>::random());
  Secret<32> moved(std::move(*secret));
  EXPECT_TRUE(std::all_of(std::begin(place), std::end(place), [](unsigned char b) { return b == 0; }));
  *secret = std::move(moved);
  EXPECT_FALSE(std::all_of(std::begin(place), std::end(place), [](unsigned char b) { return b == 0; }));
  secret->~Secret();
  const volatile unsigned char* after = place;  // the storage outlives the object
  unsigned sum = 0;
  for (std::size_t i = 0; i < sizeof place; ++i) sum += after[i];
  EXPECT_EQ(sum, 0u);
}

TEST(Secret, comes_from_the_environment_and_is_cloned_by_name) {
  base::TestEnv a(7), b(7);
  const auto first = Secret<32>::random(a), second = Secret<32>::random(b);
  EXPECT_TRUE(constant_time_equal(first.bytes(), second.bytes()));
  EXPECT_TRUE(constant_time_equal(first.bytes(), first.clone().bytes()));
  EXPECT_FALSE(constant_time_equal(first.bytes(), Secret<32>::random(a).bytes()));
}

TEST(Secret, of_other_sizes_are_never_equal) {
  EXPECT_FALSE(constant_time_equal(bytes_of("abc"), bytes_of("abcd")));
  EXPECT_TRUE(constant_time_equal({}, {}));
}

TEST(SecretBytes, keep_their_beginning_when_shortened) {
  SecretBytes bytes = SecretBytes::copy_of("secret and more");
  bytes.shorten(6);
  EXPECT_EQ(bytes.view(), "secret");
  EXPECT_EQ(bytes.clone().view(), "secret");
}

}  // namespace
}  // namespace daybreak::crypto
