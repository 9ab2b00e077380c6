#include "daybreak/serve/channel.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <set>
#include <thread>

namespace daybreak::serve {
namespace {

class Channel : public testing::Test {
 protected:
  void SetUp() override {
    mapping_ = *ChannelMapping::create();
    server_.emplace(mapping_);
    replica_.emplace(mapping_, std::as_bytes(std::span(slab_)), event_.get());
  }

  // Answers a batch with each input's first byte.
  void echo() {
    for (const Input& input : replica_->inputs())
      replica_->results().set(input.index, ResultStatus::kText,
                              {reinterpret_cast<const char*>(input.bytes.data()), input.bytes.size()});
    replica_->complete();
  }
  std::vector<std::string> collect() {
    std::vector<Result> results;
    std::int64_t took = 0;
    EXPECT_TRUE(*server_->next_completed(took, results));
    std::vector<std::string> texts;
    for (const Result& result : results) texts.push_back(result.text);
    return texts;
  }

  std::string slab_ = "abcdefghijklmnopqrstuvwxyz";
  std::shared_ptr<ChannelMapping> mapping_;
  const os::Fd event_ = *os::make_event();
  std::optional<ServerChannel> server_;
  std::optional<ReplicaSide> replica_;
};

TEST_F(Channel, a_batch_takes_inputs_until_the_replica_takes_it) {
  ASSERT_TRUE(server_->append(0, 1, 10));
  ASSERT_TRUE(server_->append(1, 1, 10));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  ASSERT_TRUE(server_->append(2, 1, 10));  // joins the next one
  ASSERT_TRUE(server_->append(3, 2, 10));
  EXPECT_EQ(server_->under_way(), 2u);
  EXPECT_EQ(server_->open_count(), 2u);
  echo();
  EXPECT_EQ(collect(), (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  echo();
  EXPECT_EQ(collect(), (std::vector<std::string>{"c", "de"}));
  EXPECT_EQ(server_->under_way(), 0u);
}

TEST_F(Channel, two_full_batches_are_under_way_at_most) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(server_->append(0, 1, 2));
  EXPECT_FALSE(server_->has_room());
  EXPECT_FALSE(server_->append(0, 1, 2));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  EXPECT_FALSE(server_->append(0, 1, 2));
  echo();
  EXPECT_EQ(collect().size(), 2u);
  EXPECT_TRUE(server_->append(0, 1, 2));
}

TEST_F(Channel, cancelled_inputs_are_not_computed) {
  ASSERT_TRUE(server_->append(0, 1, 10));
  const auto place = server_->append(1, 1, 10);
  server_->cancel(*place);
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  EXPECT_EQ(replica_->inputs().size(), 1u);
  echo();
  std::vector<Result> results;
  std::int64_t took = 0;
  ASSERT_TRUE(*server_->next_completed(took, results));
  EXPECT_EQ(results[1].status, ResultStatus::kSkipped);
}

TEST_F(Channel, inputs_without_a_result_become_errors) {
  ASSERT_TRUE(server_->append(0, 1, 10));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  replica_->complete();
  std::vector<Result> results;
  std::int64_t took = 0;
  ASSERT_TRUE(*server_->next_completed(took, results));
  EXPECT_EQ(results[0].status, ResultStatus::kError);
}

TEST_F(Channel, results_beyond_their_limits_become_errors_that_say_so) {
  ASSERT_TRUE(server_->append(0, 1, 10));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  replica_->results().set(0, ResultStatus::kText, std::string(100'000'000, 'x'));
  replica_->complete();
  std::vector<Result> results;
  std::int64_t took = 0;
  ASSERT_TRUE(*server_->next_completed(took, results));
  EXPECT_EQ(results[0].status, ResultStatus::kRefused);
  EXPECT_NE(results[0].text.find("100000000"), std::string::npos);
}

TEST_F(Channel, all_results_of_a_batch_share_a_limit) {
  constexpr std::uint32_t kCount = kResultBytes / 1'000'000 + 2, kFit = kResultBytes / 1'000'000;
  for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_TRUE(server_->append(0, 1, kCount));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  for (std::uint32_t i = 0; i < kCount; ++i)
    replica_->results().set(i, ResultStatus::kText, std::string(1'000'000, static_cast<char>('a' + i % 26)));
  replica_->complete();
  std::vector<Result> results;
  std::int64_t took = 0;
  ASSERT_TRUE(*server_->next_completed(took, results));
  for (std::uint32_t i = 0; i < kFit; ++i)
    EXPECT_EQ(results[i].text, std::string(1'000'000, static_cast<char>('a' + i % 26)));
  EXPECT_EQ(results[kFit].status, ResultStatus::kRefused);
  EXPECT_NE(results[kFit].text.find("over the limit"), std::string::npos);
}

TEST_F(Channel, memory_of_large_results_is_given_back) {
  std::vector<Result> results;
  std::int64_t took = 0;
  for (int round = 0; round < 8; ++round) {  // each of the slots twice
    for (std::uint32_t i = 0; i < 20; ++i) ASSERT_TRUE(server_->append(0, 1, 20));
    ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
    for (std::uint32_t i = 0; i < 20; ++i) replica_->results().set(i, ResultStatus::kText, std::string(1'000'000, 'x'));
    replica_->complete();
    ASSERT_TRUE(*server_->next_completed(took, results));
    EXPECT_EQ(results[19].text, std::string(1'000'000, 'x'));
  }
  struct stat file{};
  ASSERT_EQ(fstat(mapping_->fd(), &file), 0);
  EXPECT_LT(static_cast<std::size_t>(file.st_blocks) * 512,
            kBatchSlots * (kKeptResultBytes + (64u << 10)) + (1u << 20));
}

TEST_F(Channel, a_replica_that_writes_nonsense_is_found_out) {
  ASSERT_TRUE(server_->append(0, 1, 10));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  std::vector<Result> results;
  std::int64_t took = 0;
  mapping_->memory().completed.store(7);
  EXPECT_FALSE(server_->next_completed(took, results).has_value());
  mapping_->memory().completed.store(1);
  mapping_->memory().batches[0].results[0] = {ResultStatus::kText, 0xffffff00u, 0x1000, 0};
  EXPECT_FALSE(server_->next_completed(took, results).has_value());
  mapping_->memory().batches[0].results[0] = {ResultStatus::kText, kResultBytes - 1, 2, 0};
  EXPECT_FALSE(server_->next_completed(took, results).has_value());
  // Whatever it writes about how many inputs there are.
  mapping_->memory().batches[0].state.store(0xffffffffu);
  mapping_->memory().batches[0].results[0] = {static_cast<ResultStatus>(99), 0, 1, 0};
  ASSERT_TRUE(*server_->next_completed(took, results));
  EXPECT_EQ(results.size(), 1u);
}

TEST_F(Channel, a_replica_does_not_look_outside_of_the_slab) {
  ASSERT_TRUE(server_->append(20, 100, 10));
  ASSERT_TRUE(server_->append(~std::uint64_t{0} - 3, 8, 10));
  ASSERT_EQ(replica_->take(0), ReplicaSide::Took::kBatch);
  EXPECT_TRUE(replica_->inputs().empty());
}

TEST_F(Channel, a_sleeping_replica_wakes_for_a_batch_and_for_the_end) {
  std::set<std::string> seen;
  std::thread thread([&] {
    for (;;) {
      const auto took = replica_->take(10'000);
      if (took == ReplicaSide::Took::kClosed) return;
      if (took == ReplicaSide::Took::kBatch) echo();
    }
  });
  for (std::uint64_t i = 0; i < 2000; ++i) {
    while (!server_->append(i % 26, 1, 8)) {
      std::vector<Result> results;
      std::int64_t took = 0;
      while (*server_->next_completed(took, results)) {
        for (const Result& result : results) seen.insert(result.text);
      }
    }
  }
  server_->close();
  thread.join();
  EXPECT_EQ(seen.size(), 26u);
}

}  // namespace
}  // namespace daybreak::serve
