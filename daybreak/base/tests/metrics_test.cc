#include "daybreak/base/metrics.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

namespace daybreak::base {
namespace {

TEST(Metrics, exposed_text_is_prometheus) {
  Registry registry;
  registry.counter("requests_total", "Requests\nanswered.", {"route", "status"}).with({"/a\"b\\", "200"}).add(3);
  registry.gauge("free_bytes", "Free.").with().set(1.5);
  auto& latency = registry.histogram("latency_s", "Latency.", {0.1, 1}).with();
  for (const double value : {0.05, 0.1, 0.5, 7.0}) latency.observe(value);
  EXPECT_EQ(registry.expose(),
            "# HELP free_bytes Free.\n# TYPE free_bytes gauge\nfree_bytes 1.5\n"
            "# HELP latency_s Latency.\n# TYPE latency_s histogram\n"
            "latency_s_bucket{le=\"0.1\"} 2\nlatency_s_bucket{le=\"1\"} 3\nlatency_s_bucket{le=\"+Inf\"} 4\n"
            "latency_s_sum 7.65\nlatency_s_count 4\n"
            "# HELP requests_total Requests\\nanswered.\n# TYPE requests_total counter\n"
            "requests_total{route=\"/a\\\"b\\\\\",status=\"200\"} 3\n");
}

TEST(Metrics, the_same_description_is_the_same_metric) {
  Registry registry;
  registry.counter("n", "N.", {"k"}).with({"v"}).add(1);
  registry.counter("n", "N.", {"k"}).with({"v"}).add(2);
  EXPECT_EQ(registry.counter("n", "N.", {"k"}).with({"v"}).value(), 3u);
}

TEST(Metrics, labels_beyond_the_limit_are_counted_together) {
  Registry registry;
  auto& family = registry.counter("n", "N.", {"k"});
  for (std::size_t i = 0; i < kMaxSeries + 10; ++i) family.with({std::to_string(i)}).add(1);
  EXPECT_EQ(family.with({"0"}).value(), 1u);
  EXPECT_EQ(family.with({"_other"}).value(), 10u);
  EXPECT_EQ(family.overflowed(), 10u);
}

TEST(Metrics, overflow_is_told_with_the_name_of_the_metric) {
  Registry registry;
  EXPECT_EQ(registry.expose().find("overflowed"), std::string::npos);
  auto& family = registry.counter("n", "N.", {"k"});
  for (std::size_t i = 0; i < kMaxSeries + 3; ++i) family.with({std::to_string(i)}).add(1);
  EXPECT_NE(registry.expose().find("daybreak_metrics_overflowed_total{metric=\"n\"} 3\n"), std::string::npos);
}

TEST(Metrics, a_series_of_ones_own_is_shown_while_it_is_held_and_begins_at_zero) {
  Registry registry;
  auto& family = registry.counter("n", "N.", {"k"});
  auto first = family.own({"a"});
  first->add(3);
  const auto line = [&] {
    const std::string text = registry.expose();
    const std::size_t at = text.find("n{k=\"a\"}");
    return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
  };
  EXPECT_EQ(line(), "n{k=\"a\"} 3");
  const auto second = family.own({"a"});  // while somebody still holds the first
  second->add(1);
  EXPECT_EQ(line(), "n{k=\"a\"} 1");
  EXPECT_EQ(first->value(), 3u);
  first.reset();
  EXPECT_EQ(line(), "n{k=\"a\"} 1");
  family.own({"b"})->add(9);  // and let go
  EXPECT_EQ(registry.expose().find("\"b\""), std::string::npos);
}

TEST(Metrics, no_two_holders_share_a_series_however_many_there_are) {
  Registry registry;
  auto& family = registry.counter("n", "N.", {"k"});
  for (std::size_t i = 0; i < 2 * kMaxOwnSeries; ++i) family.own({std::to_string(i)});  // let go at once: room again
  EXPECT_EQ(family.overflowed(), 0u);
  std::vector<std::shared_ptr<Counter>> held;
  for (std::size_t i = 0; i < kMaxOwnSeries + 5; ++i) held.push_back(family.own({"h" + std::to_string(i)}));
  EXPECT_EQ(family.overflowed(), 5u);
  for (const auto& one : held) one->add(1);
  for (const auto& one : held) ASSERT_EQ(one->value(), 1u);
  EXPECT_EQ(registry.expose().find("_other\""), std::string::npos) << "nobody's numbers are shown as somebody's";
  held.pop_back();
  held.front().reset();
  EXPECT_EQ(family.own({"h1"})->value(), 0u) << "a place of the same name is always there";
}

TEST(Metrics, merged_histograms_hold_both) {
  Histogram one({1.0, 2.0}), other({1.0, 2.0});
  one.observe(0.5);
  other.observe(1.5);
  other.observe(9);
  one.merge(other);
  EXPECT_EQ(one.cumulative(), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(one.sum(), 11.0);
}

TEST(Metrics, threads_lose_no_count) {
  Registry registry;
  auto& counters = registry.counter("n", "N.", {"k"});
  auto& gauge = registry.gauge("g", "G.").with();
  auto& histogram = registry.histogram("h", "H.", exponential_bounds(1, 2, 4)).with();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&counters, &gauge, &histogram] {
      for (int i = 0; i < 1000; ++i) {
        counters.with({std::to_string(i % 7)}).add(1);
        gauge.add(1);
        histogram.observe(i % 10);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t total = 0;
  for (int k = 0; k < 7; ++k) total += counters.with({std::to_string(k)}).value();
  EXPECT_EQ(total, 4000u);
  EXPECT_EQ(gauge.value(), 4000.0);
  EXPECT_EQ(histogram.cumulative(), (std::vector<std::uint64_t>{800, 1200, 2000, 3600, 4000}));
}

TEST(Metrics, nan_is_above_every_bound) {
  Histogram histogram({1.0});
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(histogram.cumulative(), (std::vector<std::uint64_t>{0, 1}));
}

TEST(MetricsDeathTest, a_name_outside_the_alphabet_is_a_bug) {
  Registry registry;
  EXPECT_DEATH(registry.counter("0n", "N."), "is_name");
  EXPECT_DEATH(registry.counter("n", "N.", {"a:b"}), "is_name");
  registry.counter("n", "N.");
  EXPECT_DEATH(registry.gauge("n", "N."), "entry.type == type");
}

}  // namespace
}  // namespace daybreak::base
