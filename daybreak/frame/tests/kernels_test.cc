// Codes and aggregates against plain loops, whatever the threads and the rows at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "daybreak/frame/kernel/factorize.h"
#include "daybreak/frame/kernel/gather.h"
#include "daybreak/frame/kernel/group.h"
#include "daybreak/frame/kernel/sort.h"

namespace daybreak::frame {
namespace {

template <typename T>
void check_codes(const std::vector<T>& values, Order order) {
  std::vector<T> uniques;
  for (const T value : values) {
    if (value == value && std::ranges::find(uniques, value) == uniques.end()) uniques.push_back(value);
  }
  if (order == Order::kByValue) std::ranges::sort(uniques);
  for (const std::size_t threads : {1, 2, 5}) {
    for (const std::size_t rows : {3, 1 << 16}) {
      base::Pool pool(threads);
      std::vector<std::int64_t> codes(values.size(), -7);
      const std::vector<std::int64_t> found =
          factorize<T>(pool, {.data = values.data(), .size = values.size()}, order, codes, Chunks{.rows = rows});
      ASSERT_EQ(found.size(), uniques.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] != values[i]) {
          ASSERT_EQ(codes[i], -1);
          continue;
        }
        ASSERT_EQ(uniques[static_cast<std::size_t>(codes[i])], values[i]);
        ASSERT_LE(found[static_cast<std::size_t>(codes[i])], static_cast<std::int64_t>(i));
      }
      for (std::size_t k = 0; k < found.size(); ++k) ASSERT_EQ(values[static_cast<std::size_t>(found[k])], uniques[k]);
    }
  }
}

TEST(Factorize, codes_are_the_places_of_distinct_values) {
  std::mt19937_64 random(1);
  for (const Order order : {Order::kFirstSeen, Order::kByValue}) {
    for (const std::uint64_t range :
         {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{1} << 40, std::numeric_limits<std::uint64_t>::max()}) {
      std::vector<std::int64_t> wide;
      std::vector<std::uint64_t> positive;
      std::vector<std::int8_t> narrow;
      std::vector<double> real;
      for (int i = 0; i < 500; ++i) {
        const std::uint64_t value = random() % range % (range > 100 ? range : 100);
        wide.push_back(static_cast<std::int64_t>(value));
        positive.push_back(value);
        narrow.push_back(static_cast<std::int8_t>(value));
        real.push_back(i % 11 == 0 ? std::nan("") : static_cast<double>(wide.back()) / 3);
      }
      check_codes(wide, order);
      check_codes(positive, order);
      check_codes(narrow, order);
      check_codes(real, order);
    }
    check_codes(std::vector<std::int64_t>{}, order);
    check_codes(std::vector<float>{0.0F, -0.0F, std::nanf(""), -1, 1}, order);
  }
}

TEST(Groups, sums_are_kahans_in_the_order_of_rows) {
  const std::vector<double> values = {1e16, 1, 1, 1, std::nan(""), 5};
  const std::vector<std::int64_t> ids = {0, 0, 0, 0, 0, -1};
  double sum = 0;
  double mean = 0;
  const Column<double> column = {.data = values.data(), .size = values.size()};
  aggregate<double>(Aggregate::kSum, column, ids, 1, 0, 1, &sum, 1);
  aggregate<double>(Aggregate::kMean, column, ids, 1, 0, 1, &mean, 1);
  double kept = 0;
  double lost = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double y = values[i] - lost;
    const double t = kept + y;
    lost = t - kept - y;
    kept = t;
  }
  EXPECT_EQ(sum, kept);
  EXPECT_EQ(mean, kept / 4);
}

TEST(Groups, a_group_without_values_is_nan_and_its_sum_nothing) {
  const std::vector<double> values = {std::nan("")};
  const std::vector<std::int64_t> ids = {1};
  const Column<double> column = {.data = values.data(), .size = 1};
  for (const Aggregate what : {Aggregate::kMean, Aggregate::kMin, Aggregate::kMax, Aggregate::kVariance}) {
    std::vector<double> out(2, 3);
    aggregate<double>(what, column, ids, 2, -1, 1, out.data(), 1);
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
  }
  std::vector<double> out(2, 3);
  aggregate<double>(Aggregate::kSum, column, ids, 2, 0, 1, out.data(), 1);
  EXPECT_EQ(out, (std::vector<double>{0, 0}));
}

TEST(Groups, whole_numbers_wrap_and_rows_are_counted_by_all_threads) {
  const std::vector<std::int64_t> values = {std::numeric_limits<std::int64_t>::max(), 1};
  std::int64_t sum = 0;
  aggregate<std::int64_t>(Aggregate::kSum, {.data = values.data(), .size = 2}, std::vector<std::int64_t>{0, 0}, 1, 0, 1,
                          &sum, 1);
  EXPECT_EQ(sum, std::numeric_limits<std::int64_t>::min());
  std::vector<std::int64_t> ids(1000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i % 4) - 1;
  for (const std::size_t threads : {1, 3}) {
    base::Pool pool(threads);
    std::vector<std::int64_t> counts(3);
    count_groups(pool, ids, counts, Chunks{.rows = 10});
    EXPECT_EQ(counts, (std::vector<std::int64_t>{250, 250, 250}));
  }
}

TEST(Sort, rows_are_those_of_a_stable_sort_by_any_threads_and_chunks) {
  std::mt19937_64 random(3);
  for (const std::size_t n : {0, 1, 5, 5'000, 40'000}) {
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i) {
      values.push_back(i % 13 == 0 ? std::nan("") : static_cast<double>(random() % 1'000) - 500);
    }
    for (const bool descending : {false, true}) {
      std::vector<std::int64_t> wanted;
      std::vector<std::int64_t> nans;
      for (std::size_t i = 0; i < n; ++i)
        (std::isnan(values[i]) ? nans : wanted).push_back(static_cast<std::int64_t>(i));
      std::ranges::stable_sort(wanted, [&](std::int64_t a, std::int64_t b) {
        const double x = values[static_cast<std::size_t>(a)];
        const double y = values[static_cast<std::size_t>(b)];
        return descending ? x > y : x < y;
      });
      wanted.insert(wanted.end(), nans.begin(), nans.end());
      for (const std::size_t threads : {1, 3}) {
        base::Pool pool(threads);
        std::vector<std::int64_t> rows(n);
        argsort<double>(pool, {.data = values.data(), .size = n}, descending, false, rows, Chunks{.rows = 100});
        ASSERT_EQ(rows, wanted);
      }
    }
  }
}

TEST(Gather, numbers_that_are_none_are_seen_before_anything_is_read) {
  base::Pool pool(2);
  const std::vector<std::int64_t> rows = {2, 0, 1, 2};
  EXPECT_TRUE(all_within(pool, rows, 3, Chunks{.rows = 3}));
  EXPECT_FALSE(all_within(pool, rows, 2, Chunks{.rows = 3}));
  EXPECT_FALSE(all_within(pool, std::vector<std::int64_t>{0, -1}, 3));
  EXPECT_TRUE(all_within(pool, std::vector<std::int64_t>{}, 0));
  const std::vector<std::uint16_t> values = {7, 0, 8, 0, 9, 0};
  std::vector<std::uint16_t> out(4);
  gather<std::uint16_t>(pool, {.data = values.data(), .step = 2, .size = 3}, rows, out.data(), Chunks{.rows = 3});
  EXPECT_EQ(out, (std::vector<std::uint16_t>{9, 7, 8, 9}));
}

}  // namespace
}  // namespace daybreak::frame
