// The memory monitor: whom it chooses, and a scheduler stepped by hand on a machine that says how full it is.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daybreak/runtime/memory_policy.h"
#include "daybreak/runtime/scheduler.h"
#include "daybreak/runtime/worker_loop.h"

namespace daybreak::runtime {
namespace {

std::uint32_t chosen(std::vector<MemoryCandidate> candidates, bool& retry) {
  const auto victim = choose_victim(candidates);
  if (!victim) return kNone;
  retry = victim->retry;
  return candidates[victim->index].proc;
}

TEST(MemoryPolicy, where_nothing_runs_there_is_no_victim) {
  EXPECT_FALSE(choose_victim({}));
}

TEST(MemoryPolicy, of_the_largest_group_of_retriable_ones_the_last_started_ends_and_is_tried_again) {
  bool retry = false;
  EXPECT_EQ(chosen({{.proc = 2, .owner = 0, .retriable = true, .since_ns = 10},
                    {.proc = 3, .owner = 0, .retriable = true, .since_ns = 30},
                    {.proc = 4, .owner = 0, .retriable = true, .since_ns = 20},
                    {.proc = 5, .owner = 9, .retriable = true, .since_ns = 90},
                    {.proc = 6, .owner = 9, .retriable = true, .since_ns = 91},
                    {.proc = 7, .owner = 0, .retriable = false, .since_ns = 99}},
                   retry),
            3u);
  EXPECT_TRUE(retry);
}

TEST(MemoryPolicy, of_equal_groups_that_with_the_last_started_is_taken) {
  bool retry = true;
  EXPECT_EQ(chosen({{.proc = 2, .owner = 0, .retriable = true, .since_ns = 10},
                    {.proc = 3, .owner = 8, .retriable = true, .since_ns = 40},
                    {.proc = 4, .owner = 9, .retriable = true, .since_ns = 20}},
                   retry),
            3u);
  EXPECT_FALSE(retry) << "the only one of its owner would meet the same end";
}

TEST(MemoryPolicy, those_that_cannot_be_retried_come_last_and_are_one_group) {
  bool retry = true;
  EXPECT_EQ(chosen({{.proc = 2, .owner = 7, .since_ns = 10}, {.proc = 3, .owner = 8, .since_ns = 40}}, retry), 3u);
  EXPECT_FALSE(retry);
  EXPECT_EQ(chosen({{.proc = 2, .owner = 7, .since_ns = 10},
                    {.proc = 3, .owner = 8, .since_ns = 40},
                    {.proc = 4, .owner = 8, .retriable = true, .since_ns = 5}},
                   retry),
            4u);
}

TEST(MemoryPolicy, of_those_that_were_seen_at_once_the_one_with_the_most_memory_ends) {
  bool retry = false;
  EXPECT_EQ(chosen({{.proc = 2, .retriable = true, .since_ns = 10, .bytes = 5},
                    {.proc = 3, .retriable = true, .since_ns = 10, .bytes = 7},
                    {.proc = 4, .retriable = true, .since_ns = 10, .bytes = 6}},
                   retry),
            3u);
}

TEST(MemoryPolicy, the_note_says_who_used_what_and_shows_the_five_largest) {
  std::vector<ProcessMemory> processes;
  for (std::uint32_t i = 0; i < 7; ++i)
    processes.push_back({i, static_cast<int>(100 + i), std::uint64_t{i} << 30, fmt::format("the task t{}", i)});
  const MemoryNote note =
      memory_note({.used_bytes = 99ull << 30, .total_bytes = 100ull << 30, .limit_file = "/sys/fs/cgroup/memory.max"},
                  0.95, processes[3], "it is tried again", processes);
  EXPECT_EQ(
      note.head,
      "the task t3 (pid 103) was ended by the memory monitor: 99.00 GiB of 100.00 GiB of the memory that "
      "/sys/fs/cgroup/memory.max allows were in use (99.0%), more than the threshold of 95%. 3.00 GiB of them were "
      "its own; it is tried again");
  std::size_t last = 0;
  for (const char* name : {"t6", "t5", "t4", "t3", "t2"}) {
    const std::size_t at = note.rest.find(name);
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_GT(at, last);
    last = at;
  }
  EXPECT_EQ(note.rest.find("t1"), std::string::npos);
  EXPECT_NE(note.rest.find("DAYBREAK_MEMORY_USAGE_THRESHOLD"), std::string::npos);
}

// ---------------------------------------------------------------------------------------------------------------------

class FullMachine final : public Launcher {
 public:
  bool launch(std::uint32_t proc, ProcKind, std::uint32_t) override {
    started.push_back(proc);
    return true;
  }
  void signal(std::uint32_t proc, int signo) override { signals.emplace_back(proc, signo); }
  void buried(std::uint32_t) override {}
  std::optional<base::MemoryUse> memory_use() override {
    ++looks;
    if (percent < 0) return std::nullopt;
    return base::MemoryUse{static_cast<std::uint64_t>(percent), 100, ""};
  }
  std::vector<ProcessMemory> processes_memory() override { return processes; }
  void tell(std::string_view line) override { told.emplace_back(line); }

  int percent = 50, looks = 0;
  std::vector<std::uint32_t> started;
  std::vector<std::pair<std::uint32_t, int>> signals;
  std::vector<ProcessMemory> processes;
  std::vector<std::string> told;
};

class MemoryMonitorTest : public ::testing::Test {
 protected:
  MemoryMonitorTest() : MemoryMonitorTest(0.95, 1) {}
  MemoryMonitorTest(double threshold, std::int64_t refresh_ns)
      : segment_(Segment::create({.data_capacity = 1u << 20, .num_cpus = 4}).value()),
        driver_(*segment_, kDriverProc),
        self_(*segment_, kSchedulerProc),
        client_(driver_),
        control_(segment_->control()),
        scheduler_(self_, driver_, {.memory_threshold = threshold, .memory_refresh_ns = refresh_ns}, machine_) {
    for (std::uint32_t proc : {kDriverProc, kSchedulerProc}) control_.proc[proc].status = ProcStatus::kAlive;
    ResourceTable& table = control_.resources;
    std::strcpy(table.name[0], "CPU");
    std::strcpy(table.name[1], "GPU");
    table.names = 2;
    table.total[0] = 4 * kResourceUnit;
    table.set[0].cpu = kResourceUnit;
    table.sets = 1;
    scheduler_.step();
    for (std::uint32_t proc : std::exchange(machine_.started, {})) add_worker(proc);
  }

  void add_worker(std::uint32_t proc) {
    control_.proc[proc].status = ProcStatus::kAlive;
    control_.proc[proc].pid = static_cast<std::int32_t>(1000 + proc);
    workers_.push_back(std::make_unique<Process>(*segment_, proc));
    workers_.back()->become_idle();
  }

  Ref submit(std::int16_t max_retries) {
    std::vector<Ref> refs;
    EXPECT_TRUE(client_.submit({.max_retries = max_retries}, Payload(), refs));
    return refs.at(0);
  }

  // A worker takes a task and is seen with it.
  Ref run(std::size_t worker, std::int16_t max_retries) {
    const Ref ref = submit(max_retries);
    workers_[worker]->leave_idle();
    EXPECT_EQ(workers_[worker]->dequeue(), ref.index);
    workers_[worker]->slot().running = ref.index + 1;
    look();
    return ref;
  }

  // A round in which a look is due.
  std::int64_t look() {
    const int before = machine_.looks;
    std::int64_t due = scheduler_.step();
    while (due > 0 && machine_.looks == before) due = scheduler_.step();
    return due;
  }

  std::uint32_t proc(std::size_t worker) const { return workers_[worker]->id(); }

  void die(std::size_t worker) {
    machine_.signals.clear();
    scheduler_.exited({proc(worker), SIGKILL, 0, ""});
  }

  std::string error_of(Ref ref) {
    const Entry& e = driver_.entry(ref.index);
    EXPECT_EQ(e.error, ErrorKind::kOutOfMemory);
    const std::span<const std::byte> bytes = driver_.value(ref.index);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  using Signals = std::vector<std::pair<std::uint32_t, int>>;
  std::unique_ptr<Segment> segment_;
  Process driver_, self_;
  Client client_;
  Control& control_;
  FullMachine machine_;
  Scheduler scheduler_;
  std::vector<std::unique_ptr<Process>> workers_;
};

TEST_F(MemoryMonitorTest, the_last_started_retriable_task_ends_and_runs_again_when_there_is_room) {
  run(0, 3);
  const Ref last = run(1, 3);
  run(2, 0);
  EXPECT_TRUE(machine_.signals.empty());
  machine_.percent = 99;
  look();
  EXPECT_EQ(machine_.signals, (Signals{{proc(1), SIGKILL}}));
  ASSERT_EQ(machine_.told.size(), 1u);
  EXPECT_NE(machine_.told[0].find("tried again when less is in use"), std::string::npos) << machine_.told[0];
  const std::int16_t retries = driver_.entry(last.index).part.retries_left;
  die(1);
  machine_.percent = 50;
  scheduler_.step();
  while (self_.queue_empty()) look();
  workers_[3]->leave_idle();
  EXPECT_EQ(workers_[3]->dequeue(), last.index);
  EXPECT_EQ(driver_.entry(last.index).part.retries_left, retries) << "memory uses up no retry";
}

TEST_F(MemoryMonitorTest, nobody_else_is_looked_for_until_the_victim_is_gone) {
  run(0, 3);
  run(1, 3);
  run(2, 3);
  machine_.percent = 99;
  look();
  ASSERT_EQ(machine_.signals.size(), 1u);
  const int looks = machine_.looks;
  for (int i = 0; i < 100; ++i) scheduler_.step();
  EXPECT_EQ(machine_.looks, looks);
  for (const auto& [victim, signo] : machine_.signals) EXPECT_EQ(victim, proc(2));
  EXPECT_EQ(machine_.told.size(), 1u);
  die(2);
  while (machine_.signals.empty()) scheduler_.step();
  EXPECT_EQ(machine_.signals.front().first, proc(1));
}

TEST_F(MemoryMonitorTest, a_task_that_waits_for_memory_stays_where_it_is_while_there_is_none_and_can_be_cancelled) {
  run(0, 0);
  run(1, 3);
  const Ref last = run(2, 3);
  machine_.percent = 99;
  look();
  die(2);
  scheduler_.step();
  EXPECT_EQ(driver_.entry(last.index).load().phase(), Phase::kPending);
  client_.cancel(last, false, false);
  scheduler_.step();
  EXPECT_TRUE(driver_.done(last));
  EXPECT_EQ(driver_.entry(last.index).error, ErrorKind::kCancelled);
}

TEST_F(MemoryMonitorTest, a_task_to_which_the_victim_had_come_before_it_died_is_tried_again) {
  const Ref only = run(0, 3);
  machine_.percent = 99;
  look();
  ASSERT_EQ(machine_.signals.size(), 1u);
  workers_[0]->publish(only.index, false);  // the signal is on its way
  const Ref next = submit(3);
  ASSERT_EQ(workers_[0]->dequeue(), next.index);
  die(0);
  machine_.percent = 50;
  scheduler_.step();
  while (self_.queue_empty()) look();
  EXPECT_EQ(workers_[1]->dequeue(), next.index);
}

TEST_F(MemoryMonitorTest, each_look_that_finds_room_lets_one_go_on) {
  run(0, 3);
  std::vector<Ref> refs{run(1, 3), run(2, 3), run(3, 3)};
  machine_.percent = 99;
  for (const std::size_t worker : {3, 2, 1}) {
    while (machine_.signals.empty()) scheduler_.step();
    ASSERT_EQ(machine_.signals.front().first, proc(worker));
    die(worker);
  }
  machine_.percent = 50;
  scheduler_.step();
  for (const std::size_t next : {2, 1, 0}) {  // in the order of their ends
    while (self_.queue_empty()) scheduler_.step();
    EXPECT_EQ(self_.dequeue(), refs[next].index);
  }
}

TEST_F(MemoryMonitorTest, what_cannot_be_retried_fails_with_who_used_what) {
  const Ref only = run(0, 0);
  machine_.processes = {{proc(0), 4711, 60ull << 20, "the task train"}, {kDriverProc, 1, 1u << 20, "the driver"}};
  machine_.percent = 99;
  look();
  die(0);
  scheduler_.step();
  ASSERT_TRUE(driver_.done(only));
  const std::string text = error_of(only);
  for (const char* words : {"the task train (pid 4711)", "the machine's memory", "(99.0%)", "threshold of 95%",
                            "60.0 MiB of them were its own", "max_retries=0", "the driver", "switches the monitor off"})
    EXPECT_NE(text.find(words), std::string::npos) << words << " in " << text;
}

TEST_F(MemoryMonitorTest, the_last_of_its_caller_fails_also_where_it_is_retriable) {
  const Ref first = run(0, 3), second = run(1, 3);
  machine_.percent = 99;
  look();
  die(1);
  while (machine_.signals.empty()) scheduler_.step();
  EXPECT_EQ(machine_.signals.front().first, proc(0));
  die(0);
  scheduler_.step();
  ASSERT_TRUE(driver_.done(first));
  EXPECT_NE(error_of(first).find("no other task of its caller"), std::string::npos);
  for (std::size_t worker : {2, 3}) EXPECT_TRUE(self_.is_idle(proc(worker)));
  for (std::uint32_t started : std::exchange(machine_.started, {})) add_worker(started);
  while (self_.queue_empty()) scheduler_.step();  // nobody is left to make room, so it goes on alone
  EXPECT_FALSE(driver_.done(second));
}

TEST_F(MemoryMonitorTest, an_actor_is_restarted_as_often_as_it_may_be_and_its_calls_say_why_they_failed) {
  auto actor = client_.create_actor({}, Payload(), {.max_restarts = 1, .class_name = "Model"}).value();
  for (const bool again : {true, false}) {
    machine_.percent = 50;
    scheduler_.step();
    const std::uint32_t slot = control_.actor[actor.slot].proc.load() - 1;
    std::erase(machine_.started, slot);
    control_.proc[slot].status = ProcStatus::kAlive;
    control_.proc[slot].pid = 7;
    control_.actor[actor.slot].status = ActorStatus::kAlive;
    look();
    machine_.percent = 99;
    look();
    ASSERT_EQ(machine_.signals, (Signals{{slot, SIGKILL}}));
    machine_.signals.clear();
    scheduler_.exited({slot, SIGKILL, 0, ""});
    scheduler_.step();
    EXPECT_EQ(control_.actor[actor.slot].status.load() == ActorStatus::kDead, !again);
  }
  EXPECT_NE(std::string(control_.actor[actor.slot].death).find("was ended by the memory monitor"), std::string::npos);
}

TEST_F(MemoryMonitorTest, while_nothing_runs_it_sleeps_until_a_worker_wakes) {
  while (scheduler_.step() >= 0) {
  }
  EXPECT_EQ(machine_.looks, 0);
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(control_.memory_asleep.load(), 1u);
  submit(0);
  Client client(*workers_[0]);
  workers_[0]->leave_idle();
  WorkerLoop loop(client, kNone);
  std::uint32_t index = 0;
  ASSERT_EQ(loop.wait(index, -1), WorkerLoop::Next::kTask);
  workers_[0]->publish(index, false);
  std::thread submitting([&] {
    while (!self_.is_idle(proc(0))) std::this_thread::yield();
    submit(0);
  });
  std::uint32_t seen = self_.bell();
  ASSERT_EQ(loop.wait(index, -1), WorkerLoop::Next::kTask);
  submitting.join();
  EXPECT_TRUE(self_.rung_since(seen));
  EXPECT_EQ(control_.memory_asleep.load(), 0u);
  look();
  EXPECT_GT(machine_.looks, 0);
}

TEST_F(MemoryMonitorTest, a_machine_that_does_not_say_is_told_of_once) {
  machine_.percent = -1;
  run(0, 3);
  look();
  look();
  ASSERT_EQ(machine_.told.size(), 1u);
  EXPECT_NE(machine_.told[0].find("/proc/meminfo"), std::string::npos);
}

class NoMemoryMonitor : public MemoryMonitorTest {
 protected:
  NoMemoryMonitor() : MemoryMonitorTest(1.0, 1) {}
};

TEST_F(NoMemoryMonitor, with_a_threshold_of_the_whole_memory_it_never_looks) {
  machine_.percent = 100;
  const Ref ref = submit(3);
  EXPECT_EQ(workers_[0]->dequeue(), ref.index);
  workers_[0]->slot().running = ref.index + 1;
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(machine_.looks, 0);
}

}  // namespace
}  // namespace daybreak::runtime
