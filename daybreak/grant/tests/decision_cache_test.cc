#include "daybreak/grant/decision_cache.h"

#include <gtest/gtest.h>

namespace daybreak::grant {
namespace {

constexpr std::int64_t kNow = 1000, kLater = 2000;

Hash key_of(std::uint32_t number) {
  Hash key{};
  for (std::size_t i = 0; i < 4; ++i) key[i] = static_cast<std::uint8_t>(number >> 8 * i);
  return key;
}

class DecisionCacheTest : public testing::Test {
 protected:
  void put(std::uint32_t number, std::int64_t expires_s = kLater, std::int64_t now_s = kNow) {
    cache.put(key_of(number), {nullptr, expires_s}, now_s);
  }
  bool has(std::uint32_t number, std::int64_t now_s = kNow) { return cache.find(key_of(number), now_s) != nullptr; }

  DecisionCache cache{4};
};

TEST_F(DecisionCacheTest, keeps_what_was_asked_for_last_when_it_is_full) {
  for (const std::uint32_t number : {1, 2, 3, 4}) put(number);
  EXPECT_TRUE(has(1));  // which makes 2 the one that goes
  put(5);
  EXPECT_FALSE(has(2));
  for (const std::uint32_t number : {3, 4, 1, 5}) EXPECT_TRUE(has(number)) << number;
  EXPECT_EQ(cache.size(), 4u);
}

TEST_F(DecisionCacheTest, gives_up_what_has_expired_before_anything_that_can_still_be_used) {
  put(1);
  put(2, kNow + 5);
  put(3, kNow + 1);
  put(4);
  put(5, kLater, kNow + 5);  // 3 and 2 have expired, 1 was not asked for for longer
  put(6, kLater, kNow + 5);
  for (const std::uint32_t number : {1, 4, 5, 6}) EXPECT_TRUE(has(number, kNow + 5)) << number;
  put(7, kLater, kNow + 5);
  EXPECT_FALSE(has(1, kNow + 5));
}

TEST_F(DecisionCacheTest, says_nothing_that_has_expired) {
  put(1, kNow + 1);
  EXPECT_TRUE(has(1));
  EXPECT_FALSE(has(1, kNow + 1));
}

TEST_F(DecisionCacheTest, holds_one_decision_for_a_key_the_last_one) {
  put(1, kNow + 1);
  put(1, kNow + 9);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_TRUE(has(1, kNow + 5));
}

TEST_F(DecisionCacheTest, erases_what_it_is_told_to) {
  for (const std::uint32_t number : {1, 2, 3, 4}) put(number, kNow + number);
  cache.erase_if([](const Decision& decision) { return decision.expires_s % 2 == 0; });
  EXPECT_EQ(cache.size(), 2u);
  for (const std::uint32_t number : {1, 3}) EXPECT_TRUE(has(number)) << number;
  for (const std::uint32_t number : {5, 6}) put(number);
  EXPECT_EQ(cache.size(), 4u);
}

// As many strangers as there is room for must not make those who come every second pay for a signature again.
TEST(DecisionCacheOfServer, a_crowd_of_newcomers_pushes_out_itself_and_not_who_is_in_use) {
  constexpr std::uint32_t kCapacity = 4096, kRegulars = 64, kNewcomers = 3 * kCapacity;
  DecisionCache cache(kCapacity);
  for (std::uint32_t i = 0; i < kCapacity; ++i) cache.put(key_of(i), {nullptr, kLater}, kNow);
  for (std::uint32_t i = 0; i < kRegulars; ++i) ASSERT_NE(cache.find(key_of(i), kNow), nullptr);
  std::size_t misses = 0;
  for (std::uint32_t i = 0; i < kNewcomers; ++i) {
    cache.put(key_of(kCapacity + i), {nullptr, kLater}, kNow);
    misses += cache.find(key_of(i % kRegulars), kNow) == nullptr;
  }
  EXPECT_EQ(misses, 0u);
  EXPECT_EQ(cache.size(), kCapacity);
  // What is left beside the regulars are the newest.
  for (std::uint32_t i = kNewcomers - (kCapacity - kRegulars); i < kNewcomers; ++i)
    ASSERT_NE(cache.find(key_of(kCapacity + i), kNow), nullptr) << i;
}

}  // namespace
}  // namespace daybreak::grant
