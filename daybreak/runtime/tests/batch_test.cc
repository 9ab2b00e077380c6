// Call sets without Python: how chunks are cut, claimed, taken back, lost and collected.
#include "daybreak/runtime/batch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "daybreak/runtime/interleave/chunk_runner.h"

namespace daybreak::runtime {
namespace {

std::uint32_t limit_of(ChunkProgress& progress) {
  return progress.now().limit;
}

TEST(ChunkProgress, CallsAreClaimedInOrderUntilThereAreNoMore) {
  ChunkBoard board{};
  ChunkProgress progress(board);
  progress.open(5);
  progress.begin();
  EXPECT_EQ(progress.take(2), 2u);
  EXPECT_EQ(progress.take(2), 2u);
  EXPECT_EQ(progress.take(2), 1u);
  EXPECT_EQ(progress.take(2), 0u);
  EXPECT_EQ(progress.now().begun, 5u);
}

TEST(ChunkProgress, WhatHasBegunIsNotTakenBack) {
  ChunkBoard board{};
  ChunkProgress progress(board);
  progress.open(10);
  progress.begin();
  EXPECT_EQ(progress.take(1), 1u);
  EXPECT_EQ(progress.take_back(1, false, 0), 5u);  // of nine the larger half
  EXPECT_EQ(limit_of(progress), 5u);
  EXPECT_EQ(progress.take_back(1, true, 0), 4u);
  EXPECT_EQ(progress.take_back(1, true, 0), 0u);
  EXPECT_EQ(progress.take(1), 0u);
}

TEST(ChunkProgress, OfAChunkThatIsAboutToBeginAUnitStays) {
  ChunkBoard board{};
  ChunkProgress progress(board);
  progress.open(7);
  EXPECT_EQ(progress.take_back(3, true, 1), 4u);
  EXPECT_EQ(limit_of(progress), 3u);
  EXPECT_EQ(progress.take_back(3, true, 1), 0u);
}

TEST(ChunkProgress, ASecondTryBeginsAtTheFirstCallAndKeepsTheLimit) {
  ChunkBoard board{};
  ChunkProgress progress(board);
  progress.open(8);
  progress.begin();
  EXPECT_EQ(progress.take(3), 3u);
  EXPECT_EQ(progress.take_back(1, true, 0), 5u);
  progress.begin();
  EXPECT_EQ(progress.take(8), 3u);
}

TEST(ChunkProgress, EachCallIsClaimedOrTakenBackOnce) {
  constexpr std::uint32_t kCalls = 100'000;
  ChunkBoard board{};
  ChunkProgress owner(board);
  owner.open(kCalls);
  std::uint32_t ran = 0, back = 0;
  std::atomic<bool> over{false};
  std::thread runner([&] {
    ChunkProgress progress(board);
    progress.begin();
    while (const std::uint32_t n = progress.take(3)) ran += n;
    over = true;
  });
  while (!over) back += owner.take_back(3, false, 10);
  runner.join();
  EXPECT_EQ(ran + back, kCalls);
}

class BatchTest : public ::testing::Test {
 protected:
  BatchTest()
      : segment_(Segment::create({.data_capacity = 8u << 20, .num_cpus = 2}).value()),
        driver_(*segment_, kDriverProc),
        worker_(*segment_, kFirstProc),
        client_(driver_),
        at_worker_(worker_) {
    for (std::uint32_t proc : {kDriverProc, kSchedulerProc, kFirstProc})
      segment_->control().proc[proc].status = ProcStatus::kAlive;
    function_ = client_.put(Payload{}).value();
  }

  std::shared_ptr<Batch> batch(std::uint32_t calls, std::uint32_t unit = 1, bool ordered = true) {
    auto made = Batch::make(client_, {.function = function_, .unit = unit, .ordered = ordered}).value();
    made->add_lane({.max_retries = 0}, 2);
    std::string bytes;
    std::vector<std::uint16_t> sizes;
    for (std::uint32_t i = 0; i < calls; ++i) {
      bytes += plain_number(i);
      sizes.push_back(9);
    }
    made->add(bytes, sizes);
    made->end_inputs();
    return made;
  }

  // The worker runs one chunk; what it ran. Empty: none is queued, or none of its calls was left.
  std::vector<std::int64_t> work() {
    std::vector<std::int64_t> ran;
    const std::uint32_t index = worker_.dequeue();
    if (index == kNone) return ran;
    EXPECT_TRUE(run_plain_chunk(at_worker_, index, [&](std::int64_t number) { ran.push_back(number); }));
    worker_.publish(index, false);
    return ran;
  }

  std::vector<std::int64_t> read(Batch& from) {
    std::vector<std::int64_t> found;
    while (auto results = from.take()) {
      const auto numbers = plain_numbers(results->blob, true);
      found.insert(found.end(), numbers.begin(), numbers.end());
      Batch::release(client_, *results);
    }
    return found;
  }

  std::vector<std::int64_t> first(std::uint32_t n) {
    std::vector<std::int64_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }

  std::uint32_t entries() {
    std::uint32_t count = 0;
    driver_.for_each_entry([&](std::uint32_t) { ++count; });
    return count;
  }

  std::unique_ptr<Segment> segment_;
  Process driver_, worker_;
  Client client_, at_worker_;
  Ref function_;
};

TEST_F(BatchTest, ResultsComeInOrderAndNothingIsLeft) {
  const std::uint32_t before = entries();
  auto calls = batch(1000);
  std::vector<std::int64_t> found;
  while (!calls->finished()) {
    calls->pump(client_);
    work();
    calls->pump(client_);
    for (std::int64_t each : read(*calls)) found.push_back(each);
  }
  EXPECT_EQ(found, first(1000));
  EXPECT_EQ(calls->counts().done, 1000u);
  calls->close(client_);
  EXPECT_EQ(entries(), before);
}

TEST_F(BatchTest, TheFirstChunksHaveOneCallAndTheOthersGrow) {
  auto calls = batch(10'000);
  std::vector<std::size_t> sizes;
  while (!calls->finished()) {
    calls->pump(client_);
    sizes.push_back(work().size());
    calls->pump(client_);
    read(*calls);
  }
  EXPECT_EQ(sizes.front(), 1u);
  EXPECT_GT(*std::max_element(sizes.begin(), sizes.end()), 4u);
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 2500u);  // a share of what is left
  calls->close(client_);
}

TEST_F(BatchTest, AtMostTwoChunksForEachWorkerAreInFlight) {
  auto calls = batch(100);
  calls->pump(client_);
  EXPECT_EQ(calls->in_flight().size(), 4u);
  calls->pump(client_);
  EXPECT_EQ(calls->in_flight().size(), 4u);
  calls->close(client_);
}

TEST_F(BatchTest, AUnitIsRunTogether) {
  auto calls = batch(20, 7);
  calls->pump(client_);
  EXPECT_EQ(work(), first(7));
  while (!calls->finished()) {
    calls->pump(client_);
    work();
    calls->pump(client_);
    read(*calls);
  }
  calls->close(client_);
}

TEST_F(BatchTest, WhatAnotherHasNotBegunGoesToWhoIsIdle) {
  auto calls = batch(400);
  std::vector<std::int64_t> ran;
  for (int round = 0; round < 12 && calls->counts().queued > 100; ++round) {
    calls->pump(client_);
    for (std::int64_t each : work()) ran.push_back(each);
  }
  calls->pump(client_);
  read(*calls);
  // One worker takes all that is left but for one call at a time, and the other's chunk is taken apart.
  const std::uint32_t index = worker_.dequeue();
  ASSERT_NE(index, kNone);
  bool inside = false;
  EXPECT_TRUE(run_plain_chunk(at_worker_, index, [&](std::int64_t number) {
    ran.push_back(number);
    if (std::exchange(inside, true)) return;
    for (int more = 0; more < 100; ++more) {
      calls->pump(client_);
      for (std::int64_t each : work()) ran.push_back(each);
    }
  }));
  worker_.publish(index, false);
  calls->pump(client_);
  read(*calls);
  EXPECT_TRUE(calls->finished());
  std::sort(ran.begin(), ran.end());
  EXPECT_EQ(ran, first(400));
  calls->close(client_);
}

TEST_F(BatchTest, OfACancelledBatchNothingMoreBegins) {
  auto calls = batch(100);
  calls->pump(client_);
  calls->cancel(client_, false);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(work().empty());
  calls->pump(client_);
  std::uint32_t cancelled = 0;
  while (auto results = calls->take()) cancelled += results->cancelled ? results->calls : 0;
  EXPECT_EQ(cancelled, 100u);
  EXPECT_TRUE(calls->finished());
  calls->close(client_);
}

TEST_F(BatchTest, OfALostChunkTheCallsThatHadBegunFailAndTheOthersAreRunElsewhere) {
  auto calls = batch(8, 4);
  calls->pump(client_);
  const std::uint32_t index = worker_.dequeue();
  ValueReader reader(worker_.args(index), worker_.args_refs(index));
  (void)reader.call();
  PlainItem refs, slot;
  reader.item(refs);
  reader.item(slot);
  auto* boards = reinterpret_cast<ChunkBoard*>(const_cast<std::byte*>(worker_.value(refs.refs[1].index).data()));
  ChunkProgress progress(boards[slot.number]);
  progress.begin();
  EXPECT_EQ(progress.take(4), 4u);
  worker_.publish_error(index, ErrorKind::kWorkerCrashed, "it died");
  std::vector<std::int64_t> ran;
  while (!calls->finished()) {
    calls->pump(client_);
    for (std::int64_t each : work()) ran.push_back(each);
    while (auto results = calls->take()) {
      if (!(results->error == kNoRef)) {
        EXPECT_EQ(results->first, 0u);
        EXPECT_EQ(results->calls, 4u);
      }
      Batch::release(client_, *results);
    }
  }
  EXPECT_EQ(ran, (std::vector<std::int64_t>{4, 5, 6, 7}));
  EXPECT_EQ(calls->counts().failed, 4u);
  calls->close(client_);
}

TEST_F(BatchTest, InputsThatAreEncodedLateNameTheirCalls) {
  auto calls = Batch::make(client_, {.function = function_}).value();
  calls->add_lane({.max_retries = 0}, 1);
  const std::uint16_t sizes[] = {0, 0};
  calls->add("", sizes);
  calls->end_inputs();
  ASSERT_TRUE(calls->pump(client_));
  const auto cut = calls->cut();
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->numbers, (std::vector<std::uint64_t>{0}));
  calls->truncate(*cut, 0);
  calls->submit(client_, *cut, {});
  EXPECT_FALSE(calls->pump(client_));
  EXPECT_TRUE(calls->finished());
  EXPECT_EQ(calls->take_ended(), (std::vector<std::uint64_t>{0, 1}));
  calls->close(client_);
}

}  // namespace
}  // namespace daybreak::runtime
