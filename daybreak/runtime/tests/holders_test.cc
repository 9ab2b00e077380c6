// Who has references to an object: bits near and far, and the count behind them.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "daybreak/runtime/process.h"

namespace daybreak::runtime {
namespace {

std::unique_ptr<Segment> segment_for_holders() {
  return Segment::create({.data_capacity = 1u << 20, .num_cpus = 1}).value();
}

void expect_no_object_left(Process& p) {
  p.for_each_entry([](std::uint32_t i) { ADD_FAILURE() << "entry " << i << " is left"; });
}

TEST(Holders,
     an_object_lives_as_long_as_any_of_2048_processes_has_a_reference_and_a_sweep_takes_back_those_of_the_dead) {
  auto segment = segment_for_holders();
  Process maker(*segment, 2), monitor(*segment, kSchedulerProc);
  const std::uint32_t ids[] = {63, 64, 127, 128, 1000, kMaxProcs - 1};
  std::vector<std::unique_ptr<Process>> others;
  for (std::uint32_t id : ids) others.push_back(std::make_unique<Process>(*segment, id));
  const Ref ref = maker.create(Kind::kValue).value();
  maker.publish(ref.index, false);
  for (auto& p : others) p->hold(ref);
  maker.release(ref);
  auto held = [&] {
    std::vector<std::uint32_t> found;
    for (std::uint32_t proc = 0; proc < maker.procs_used(); ++proc)
      if (maker.is_holder(ref.index, proc)) found.push_back(proc);
    return found;
  };
  EXPECT_EQ(held(), std::vector<std::uint32_t>(std::begin(ids), std::end(ids)));
  for (std::size_t i = 0; i < others.size(); ++i) {
    EXPECT_EQ(maker.entry(ref.index).load().generation(), ref.generation) << i;
    if (i % 2 == 0) {
      others[i]->release(ref);
    } else {
      others[i]->slot().status.store(ProcStatus::kDead);
      monitor.sweep(ids[i]);
    }
    EXPECT_EQ(held(), std::vector<std::uint32_t>(std::begin(ids) + static_cast<std::ptrdiff_t>(i) + 1, std::end(ids)));
  }
  EXPECT_NE(maker.entry(ref.index).load().generation(), ref.generation);
  // What an entry was says nothing about what it is.
  const Ref next = others[4]->create(Kind::kValue).value();
  others[4]->publish(next.index, false);
  maker.hold(next);
  others[4]->release(next);
  EXPECT_TRUE(maker.done(next));
  maker.release(next);
  expect_no_object_left(monitor);
}

TEST(Holders, a_process_counts_more_references_to_one_object_than_fit_its_byte) {
  auto segment = segment_for_holders();
  Process p(*segment, 2);
  const Ref ref = p.create(Kind::kValue).value();
  p.publish(ref.index, false);
  for (int round = 0; round < 3; ++round) {
    for (int count : {252, 253, 254, 255, 256, 1000}) {
      for (int i = 0; i < count; ++i) p.hold(ref);
      for (int i = 0; i < count; ++i) p.release(ref);
      EXPECT_TRUE(p.is_holder(ref.index, 2)) << count;
    }
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 100; ++i) p.hold(ref);
        for (int i = 0; i < 100; ++i) p.release(ref);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(p.is_holder(ref.index, 2));
  p.release(ref);
  EXPECT_FALSE(p.is_holder(ref.index, 2));
  expect_no_object_left(p);
}

TEST(Holders, the_word_of_a_detectable_operation_has_room_for_each_process_and_wraps_its_sequence_alone) {
  for (std::uint32_t proc : {0u, 1u, kMaxProcs - 1})
    for (std::uint32_t sequence : {1u, DetectableWord::kSequenceMask})
      for (std::uint32_t value : {0u, kMaxObjects, DetectableWord::kMaxValue}) {
        const std::uint64_t word = DetectableWord::make(value, proc, sequence);
        EXPECT_EQ(DetectableWord::value(word), value);
        EXPECT_EQ(DetectableWord::proc(word), proc);
        EXPECT_EQ(DetectableWord::sequence(word), sequence);
      }
}

}  // namespace
}  // namespace daybreak::runtime
