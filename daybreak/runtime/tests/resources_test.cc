// The ledger of resources alone: no node, no process.
#include "daybreak/runtime/resources.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "daybreak/runtime/client.h"

namespace daybreak::runtime {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest()
      : segment_(Segment::create({.data_capacity = 1u << 20, .num_cpus = 4}).value()),
        scheduler_(*segment_, kSchedulerProc),
        ledger_(scheduler_, 2),
        table_(segment_->control().resources) {
    std::strcpy(table_.name[2], "license");
    table_.names = 3;
    const double totals[] = {4, 2, 3};
    for (int i = 0; i < 3; ++i) table_.total[i] = static_cast<std::int64_t>(totals[i] * kResourceUnit);
    for (int i = 1; i < 3; ++i) table_.available[i] = table_.total[i].load();
  }

  ResourceSet set(double cpu, double gpu, double licenses) {
    ResourceSet set{};
    set.cpu = static_cast<std::int64_t>(cpu * kResourceUnit);
    set.gpu = static_cast<std::int64_t>(gpu * kResourceUnit);
    if (licenses > 0) {
      set.first = table_.amounts.fetch_add(1);
      set.count = 1;
      table_.amount[set.first] = {2, static_cast<std::int64_t>(licenses * kResourceUnit)};
    }
    return set;
  }

  int tokens_of(std::uint32_t holder_plus_one) {
    int count = 0;
    for (std::uint32_t i = 0; i < 4; ++i) count += segment_->control().token[i].holder.load() == holder_plus_one;
    return count;
  }

  void expect_all_free() {
    EXPECT_EQ(tokens_of(0), 4);
    EXPECT_EQ(table_.available[0].load(), 0);
    EXPECT_EQ(table_.available[1].load(), 2 * kResourceUnit);
    EXPECT_EQ(table_.available[2].load(), 3 * kResourceUnit);
  }

  void control_group(std::uint32_t slot, std::span<const std::uint16_t> bundles) {
    PlacementGroup& group = segment_->control().group[slot];
    group.bundles = static_cast<std::uint32_t>(bundles.size());
    std::copy(bundles.begin(), bundles.end(), group.bundle);
  }

  std::unique_ptr<Segment> segment_;
  Process scheduler_;
  ResourceLedger ledger_;
  ResourceTable& table_;
};

TEST_F(LedgerTest, a_grant_is_all_or_nothing_and_comes_back_whole) {
  Grant first, second;
  ASSERT_TRUE(ledger_.grant(set(2, 1, 1), first));
  EXPECT_EQ(first.gpu_mask(), 1u);
  EXPECT_FALSE(ledger_.grant(set(3, 0, 0), second));    // two CPUs are left
  EXPECT_FALSE(ledger_.grant(set(0, 2, 0), second));    // one GPU
  EXPECT_FALSE(ledger_.grant(set(0, 0, 2.5), second));  // two licences
  EXPECT_FALSE(ledger_.grant(set(2.5, 0, 0), second));  // whole ones were there, the fraction was not
  EXPECT_EQ(tokens_of(0), 2);
  ASSERT_TRUE(ledger_.grant(set(2, 1, 2), second));
  EXPECT_EQ(second.gpu_mask(), 2u);
  ledger_.revoke(first);
  ledger_.revoke(second);
  ledger_.revoke(second);  // twice does no harm
  expect_all_free();
}

TEST_F(LedgerTest, fractions_of_a_cpu_share_one_token_which_comes_back_with_the_last_of_them) {
  std::vector<Grant> grants(4);
  for (Grant& grant : grants) ASSERT_TRUE(ledger_.grant(set(0.25, 0.5, 0), grant));
  EXPECT_EQ(tokens_of(0), 3);
  EXPECT_EQ(grants[1].gpu_mask(), 1u);
  EXPECT_EQ(grants[2].gpu_mask(), 2u);
  Grant more;
  ASSERT_TRUE(ledger_.grant(set(0.75, 0, 0), more));
  EXPECT_EQ(tokens_of(0), 2);
  EXPECT_EQ(table_.available[0].load(), kResourceUnit / 4);
  ledger_.revoke(more);
  for (Grant& grant : grants) {
    EXPECT_EQ(tokens_of(0), 3);
    ledger_.revoke(grant);
  }
  expect_all_free();
}

TEST_F(LedgerTest, cpus_of_a_worker_are_in_its_name_and_go_once) {
  Grant grant, other;
  ASSERT_TRUE(ledger_.grant(set(2, 0, 1), grant));
  EXPECT_EQ(tokens_of(kSchedulerProc + 1), 2);
  ledger_.hand_over(grant, 7);
  EXPECT_EQ(tokens_of(7 + 1), 2);
  ledger_.revoke_cpus(grant);  // it sleeps in get
  EXPECT_EQ(tokens_of(0), 4);
  ASSERT_TRUE(ledger_.grant(set(4, 0, 0), other));
  ledger_.revoke(grant);  // it is done: others' tokens are not touched
  EXPECT_EQ(tokens_of(kSchedulerProc + 1), 4);
  ledger_.revoke(other);
  expect_all_free();
}

TEST_F(LedgerTest, what_can_never_be_granted_is_named) {
  std::string why;
  EXPECT_TRUE(ledger_.feasible(set(4, 2, 3), why));
  EXPECT_FALSE(ledger_.feasible(set(0, 0, 4), why));
  EXPECT_NE(why.find("license=4"), std::string::npos) << why;
  EXPECT_FALSE(ledger_.feasible(set(5, 0, 0), why));
  EXPECT_NE(why.find("num_cpus=5"), std::string::npos) << why;
}

// The set as one of the table, as bundles are given.
std::uint16_t listed(ResourceTable& table, const ResourceSet& set) {
  const std::uint32_t at = table.sets.load();
  table.set[at] = set;
  table.sets = at + 1;
  return static_cast<std::uint16_t>(at);
}

TEST_F(LedgerTest, a_group_reserves_all_of_its_bundles_or_none) {
  const std::uint16_t bundles[] = {listed(table_, set(1, 1, 1)), listed(table_, set(3, 0, 1))};
  Grant other;
  ASSERT_TRUE(ledger_.grant(set(1, 0, 0), other));
  EXPECT_FALSE(ledger_.reserve(7, bundles));  // the second finds two CPUs of three
  EXPECT_TRUE(ledger_.lacked_cpus());
  ledger_.revoke(other);
  expect_all_free();

  ASSERT_TRUE(ledger_.reserve(7, bundles));
  EXPECT_EQ(tokens_of(kSchedulerProc + 1), 4);
  EXPECT_EQ(table_.available[1].load(), kResourceUnit);
  EXPECT_EQ(table_.available[2].load(), kResourceUnit);
  ledger_.release(7);
  expect_all_free();
}

TEST_F(LedgerTest, who_names_a_group_is_granted_from_its_bundles_alone) {
  const std::uint16_t bundles[] = {listed(table_, set(1, 0, 0)), listed(table_, set(2, 2, 1))};
  control_group(3, bundles);
  ASSERT_TRUE(ledger_.reserve(3, bundles));
  ResourceSet in_first = set(1, 0, 0), in_any = set(2, 1.5, 0.5);
  in_first.group = in_any.group = 3 + 1;
  in_first.bundle = 0;
  in_any.bundle = -1;

  Grant first, any, again;
  ASSERT_TRUE(ledger_.grant(in_first, first));
  EXPECT_TRUE(first.tokens.empty());
  EXPECT_FALSE(ledger_.grant(in_first, again));  // the other bundle has CPUs, and is not asked
  ASSERT_TRUE(ledger_.grant(in_any, any));
  EXPECT_EQ(any.bundle, 1u);
  EXPECT_EQ(any.gpu_mask(), 3u);
  EXPECT_FALSE(ledger_.grant(in_any, again));
  ledger_.revoke_cpus(first);  // it waits for something: another may run in its bundle
  ASSERT_TRUE(ledger_.grant(in_first, again));
  ledger_.revoke(first);
  ledger_.revoke(again);
  ledger_.revoke(any);
  ASSERT_TRUE(ledger_.grant(in_any, any));

  std::string why;
  EXPECT_TRUE(ledger_.feasible(in_any, why));
  in_any.bundle = 0;
  EXPECT_FALSE(ledger_.feasible(in_any, why));
  EXPECT_NE(why.find("bundle 0"), std::string::npos);
}

TEST_F(LedgerTest, what_asks_for_cpus_alone_leaves_the_bundle_with_a_gpu_to_who_asks_for_that) {
  const std::uint16_t bundles[] = {listed(table_, set(1, 1, 0)), listed(table_, set(1, 0, 1)),
                                   listed(table_, set(1, 0, 0))};
  control_group(3, bundles);
  ASSERT_TRUE(ledger_.reserve(3, bundles));
  ResourceSet plain = set(1, 0, 0), with_gpu = set(1, 1, 0);
  plain.group = with_gpu.group = 3 + 1;
  plain.bundle = with_gpu.bundle = -1;
  Grant first, second, third, fourth;
  ASSERT_TRUE(ledger_.grant(plain, first));
  EXPECT_EQ(first.bundle, 2u);
  ASSERT_TRUE(ledger_.grant(with_gpu, second));
  EXPECT_EQ(second.bundle, 0u);
  ASSERT_TRUE(ledger_.grant(plain, third));  // there is no other left
  EXPECT_EQ(third.bundle, 1u);
  EXPECT_FALSE(ledger_.grant(plain, fourth));
}

TEST_F(LedgerTest, a_grant_of_a_group_that_is_gone_gives_nothing_back) {
  const std::uint16_t bundles[] = {listed(table_, set(4, 2, 3))};
  ASSERT_TRUE(ledger_.reserve(0, bundles));
  ResourceSet inside = set(2, 1, 1);
  inside.group = 1;
  Grant old, next, next_again;
  ASSERT_TRUE(ledger_.grant(inside, old));
  ledger_.release(0);
  expect_all_free();
  ASSERT_TRUE(ledger_.reserve(0, bundles));  // another group in the same slot
  ASSERT_TRUE(ledger_.grant(inside, next));
  ledger_.revoke(old);
  ASSERT_TRUE(ledger_.grant(inside, next_again));  // two of four CPUs each, and no more
  EXPECT_FALSE(ledger_.grant(inside, old));
}

}  // namespace
}  // namespace daybreak::runtime
