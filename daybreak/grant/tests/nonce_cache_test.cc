#include "daybreak/grant/nonce_cache.h"

#include <gtest/gtest.h>

namespace daybreak::grant {
namespace {

using Put = NonceCache::Put;

Hash key(int i) {
  return hash_of(tag("test"), {std::to_string(i)});
}

TEST(NonceCache, knows_every_key_for_its_lifetime_and_refuses_when_full) {
  NonceCache cache(100, 1000, 0);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(cache.put(key(i), i), Put::kNew);
  EXPECT_EQ(cache.put(key(100), 500), Put::kFull);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(cache.put(key(i), 999 + i), Put::kSeen) << i;
  EXPECT_EQ(cache.put(key(100), 1100), Put::kNew);  // the tables have turned; the old keys are still there
  EXPECT_EQ(cache.put(key(5), 1200), Put::kSeen);
  EXPECT_EQ(cache.put(key(5), 2200), Put::kNew);  // its table was emptied
  EXPECT_EQ(cache.put(key(100), 2200), Put::kSeen);
}

TEST(NonceCache, of_one_key_holds_one) {
  NonceCache cache(1, 10, 0);
  EXPECT_EQ(cache.put(key(1), 0), Put::kNew);
  EXPECT_EQ(cache.put(key(1), 1), Put::kSeen);
  EXPECT_EQ(cache.put(key(2), 1), Put::kFull);
}

TEST(NonceCache, never_forgets_within_a_lifetime_whatever_the_times) {
  std::vector<std::int64_t> put(1000, -1);
  NonceCache cache(1000, 100, 0);
  std::int64_t now = 0;
  std::uint64_t state = 12345;
  for (int round = 0; round < 20'000; ++round) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    now += static_cast<std::int64_t>(state >> 33) % 7;
    const std::size_t i = (state >> 40) % put.size();
    const Put answer = cache.put(key(static_cast<int>(i)), now);
    if (put[i] >= 0 && now - put[i] < 100) {
      ASSERT_EQ(answer, Put::kSeen) << round;
    }
    if (answer == Put::kNew) put[i] = now;
  }
}

}  // namespace
}  // namespace daybreak::grant
