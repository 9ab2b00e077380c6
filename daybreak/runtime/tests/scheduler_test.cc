// The scheduler alone, stepped by hand: its machine is a test that starts nothing and only takes notes.
#include "daybreak/runtime/scheduler.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "daybreak/runtime/worker_loop.h"

namespace daybreak::runtime {
namespace {

class NotedMachine final : public Launcher {
 public:
  bool launch(std::uint32_t proc, ProcKind, std::uint32_t) override {
    ++asked;
    if (refuse) return false;
    running.insert(proc);
    return true;
  }
  void signal(std::uint32_t proc, int signo) override { signals.emplace_back(proc, signo); }
  void buried(std::uint32_t proc) override { running.erase(proc); }

  bool refuse = false;
  int asked = 0;
  std::set<std::uint32_t> running;
  std::vector<std::pair<std::uint32_t, int>> signals;
};

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest()
      : segment_(Segment::create({.data_capacity = 1u << 20, .num_cpus = 2}).value()),
        driver_(*segment_, kDriverProc),
        self_(*segment_, kSchedulerProc),
        client_(driver_),
        control_(segment_->control()),
        scheduler_(self_, driver_, {.gpus = 0}, machine_) {
    for (std::uint32_t proc : {kDriverProc, kSchedulerProc}) control_.proc[proc].status = ProcStatus::kAlive;
    ResourceTable& table = control_.resources;
    std::strcpy(table.name[0], "CPU");
    std::strcpy(table.name[1], "GPU");
    table.names = 2;
    table.total[0] = 2 * kResourceUnit;
    table.set[0].cpu = kResourceUnit;
    table.sets = 1;
  }

  Ref submit(std::vector<Ref> dependencies = {}, std::uint16_t resources = 0) {
    Payload args;
    args.deps = static_cast<std::uint16_t>(dependencies.size());
    args.refs = std::move(dependencies);
    std::vector<Ref> refs;
    EXPECT_TRUE(client_.submit({.resources = resources}, args, refs));
    return refs.at(0);
  }

  // A worker that has started, in the eyes of everybody else.
  std::unique_ptr<Process> worker() {
    for (std::uint32_t proc : machine_.running) {
      if (control_.proc[proc].status.load() != ProcStatus::kStarting) continue;
      control_.proc[proc].status = ProcStatus::kAlive;
      return std::make_unique<Process>(*segment_, proc);
    }
    return nullptr;
  }

  // Runs what is queued, and gives it no value.
  static int work(Process& worker) {
    int done = 0;
    for (std::uint32_t index; (index = worker.dequeue()) != kNone; ++done) worker.publish(index, false);
    return done;
  }

  std::unique_ptr<Segment> segment_;
  Process driver_, self_;
  Client client_;
  Control& control_;
  NotedMachine machine_;
  Scheduler scheduler_;
};

TEST_F(SchedulerTest, keeps_a_worker_for_each_cpu_and_sleeps_when_there_is_nothing_to_do) {
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(machine_.running.size(), 2u);
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(machine_.asked, 2);
}

TEST_F(SchedulerTest, a_task_is_queued_when_the_last_of_its_dependencies_is_done) {
  scheduler_.step();
  auto process = worker();
  Ref first = submit(), second = submit(), sum = submit({first, second}), last = submit({sum});
  scheduler_.step();
  EXPECT_EQ(work(*process), 2);
  scheduler_.step();
  EXPECT_EQ(work(*process), 1);
  scheduler_.step();
  EXPECT_EQ(work(*process), 1);
  EXPECT_TRUE(driver_.done(last));
}

TEST_F(SchedulerTest, what_a_worker_waits_for_comes_before_what_was_queued_earlier_and_runs_once) {
  scheduler_.step();
  auto process = worker();
  const Ref one = submit(), two = submit(), three = submit(), four = submit();
  process->hurry(three);
  process->hurry(three);
  process->hurry(four);
  for (Ref next : {three, four, one, two}) ASSERT_EQ(process->dequeue(), next.index);
  EXPECT_EQ(process->dequeue(), kNone);
  process->hurry(one);  // it runs already
  EXPECT_EQ(process->dequeue(), kNone);
  const Ref five = submit(), six = submit();  // and nobody looks where there is nothing any more
  EXPECT_EQ(control_.anything_hurried.load(), 0u);
  for (Ref next : {five, six}) EXPECT_EQ(process->dequeue(), next.index);
}

TEST_F(SchedulerTest, a_process_that_cannot_be_started_leaves_its_slot_free_and_is_tried_again) {
  machine_.refuse = true;
  std::int64_t first = scheduler_.step();
  EXPECT_GT(first, 0);
  EXPECT_GT(scheduler_.step(), first);  // less and less often
  EXPECT_EQ(machine_.asked, 2);         // once a round
  for (std::uint32_t proc = kSchedulerProc + 1; proc < kMaxProcs; ++proc)
    EXPECT_EQ(control_.proc[proc].status.load(), ProcStatus::kFree) << proc;
  machine_.refuse = false;
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(machine_.running.size(), 2u);
}

TEST_F(SchedulerTest, when_no_process_can_be_started_for_long_what_waits_gets_the_reason) {
  machine_.refuse = true;
  Ref ref = submit();
  for (int i = 0; i < 40 && !driver_.done(ref); ++i) scheduler_.step();
  ASSERT_TRUE(driver_.done(ref));
  EXPECT_EQ(driver_.entry(ref.index).error, ErrorKind::kRuntime);
}

TEST_F(SchedulerTest, a_task_of_a_dead_worker_is_queued_again_and_the_worker_replaced) {
  scheduler_.step();
  auto process = worker();
  Ref ref = submit();
  ASSERT_EQ(process->dequeue(), ref.index);
  std::uint32_t dead = process->id();
  scheduler_.exited({dead, SIGKILL, 0, ""});
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(machine_.running.size(), 2u);
  auto other = worker();
  EXPECT_EQ(work(*other), 1);
  EXPECT_TRUE(driver_.done(ref));
}

Payload actor_arguments(const std::string& bytes) {
  Payload payload;
  payload.pieces.push_back({bytes.data(), bytes.size(), 1});
  return payload;
}

TEST_F(SchedulerTest, an_actor_whose_arguments_do_not_fit_leaves_no_name_and_no_slot) {
  std::string large(4u << 20, 'x'), small(3000, 'y');
  auto failed = client_.create_actor({}, actor_arguments(large), {.name = "default/one"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), base::Code::kResourceExhausted);
  for (ActorSlot& actor : control_.actor) ASSERT_EQ(actor.status.load(), ActorStatus::kFree);
  auto made = client_.create_actor({}, actor_arguments(small), {.name = "default/one"});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->slot, 0u);
  auto again = client_.create_actor({}, actor_arguments(small), {.name = "default/one"});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::Code::kAlreadyExists);
}

TEST_F(SchedulerTest, whoever_finds_an_actor_by_its_name_finds_its_arguments) {
  scheduler_.step();
  auto finder = worker();
  std::atomic<bool> over{false}, nobody_waits{false};
  std::atomic<int> found{0}, wrong{0};
  std::thread finding([&] {
    Client client(*finder);
    while (!over) {
      auto actor = client.find_actor("default/one");
      if (!actor) continue;
      auto bytes = finder->args(actor->creation.index);
      bool right = bytes.size() == 3000;
      for (std::byte byte : bytes) right = right && byte == std::byte{'z'};
      ++found;
      wrong += !right;
      finder->release(actor->creation);
    }
  });
  std::thread scheduling([&] {
    while (!nobody_waits) {
      scheduler_.step();
      for (auto [proc, signo] : std::exchange(machine_.signals, {})) scheduler_.exited({proc, signo, 0, ""});
    }
  });
  const std::string arguments(3000, 'z');
  for (int made = 0; made < 300 && wrong == 0;) {
    auto actor = client_.create_actor({}, actor_arguments(arguments), {.name = "default/one"});
    if (!actor) continue;  // the one before has not ended yet
    ++made;
    for (int before = found; found == before;) std::this_thread::yield();
    client_.kill_actor(actor->slot, true);
    driver_.release(actor->creation);
  }
  over = true;
  finding.join();  // while the scheduler goes on: the finder may be waiting for an actor that is being made
  nobody_waits = true;
  scheduling.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(found, 0);
}

TEST_F(SchedulerTest, a_name_is_free_from_the_moment_its_actor_is_killed_for_good) {
  auto one = client_.create_actor({}, actor_arguments("1"), {.max_restarts = 3, .name = "default/one"});
  ASSERT_TRUE(one);
  scheduler_.step();  // its process starts: it never gets to hear of what follows
  client_.kill_actor(one->slot, false);
  EXPECT_FALSE(client_.create_actor({}, actor_arguments("2"), {.name = "default/one"}));  // it comes back
  client_.kill_actor(one->slot, true);
  EXPECT_FALSE(client_.find_actor("default/one"));
  auto two = client_.create_actor({}, actor_arguments("2"), {.name = "default/one"});
  ASSERT_TRUE(two);
  client_.kill_actor(two->slot, true);  // before the scheduler has seen it
  EXPECT_FALSE(client_.find_actor("default/one"));
  auto three = client_.create_actor({}, actor_arguments("3"), {.name = "default/one"});
  ASSERT_TRUE(three);
  scheduler_.step();
  auto found = client_.find_actor("default/one");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->slot, three->slot);
  driver_.release(found->creation);
}

TEST_F(SchedulerTest, a_name_that_a_dead_process_had_reserved_is_free_again) {
  scheduler_.step();
  auto process = worker();
  ActorSlot& actor = control_.actor[0];
  auto creation = process->create(Kind::kActorCreate);
  actor.creation = *creation;
  actor.reserver = process->id();
  std::strcpy(actor.name, "default/one");
  control_.actors_used = 1;
  actor.status = ActorStatus::kReserved;  // here it dies
  scheduler_.exited({process->id(), SIGKILL, 0, ""});
  scheduler_.step();
  EXPECT_EQ(actor.status.load(), ActorStatus::kFree);
  EXPECT_FALSE(client_.find_actor("default/one"));
}

TEST_F(SchedulerTest, cpus_of_a_directed_task_that_was_cancelled_come_back_at_once) {
  scheduler_.step();
  auto process = worker();
  Client client(*process);
  WorkerLoop loop(client, kNone);
  const std::uint16_t both = *client_.resource_set({.cpu = 2});
  process->become_idle();
  Ref ref = submit({}, both);
  scheduler_.step();
  ASSERT_EQ(driver_.entry(ref.index).part.target, process->id() + 1);
  EXPECT_FALSE(client_.cancel(ref, false, false));  // it lies in the worker's inbox: the worker ends it
  std::uint32_t seen = self_.bell(), index = 0;
  EXPECT_EQ(loop.poll(index), WorkerLoop::Next::kIdle);
  EXPECT_TRUE(driver_.done(ref));
  EXPECT_TRUE(self_.rung_since(seen));
  scheduler_.step();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(control_.token[i].holder.load(), 0u);
}

TEST_F(SchedulerTest, a_task_that_is_done_leaves_alone_those_that_wait_for_another) {
  scheduler_.step();
  auto process = worker();
  Ref slow = submit();
  ASSERT_EQ(process->dequeue(), slow.index);
  Ref pending = submit({slow});
  scheduler_.step();
  // If anybody looked at `pending` again he would mark `slow` again.
  Entry& e = driver_.entry(slow.index);
  const State marked = e.load();
  ASSERT_EQ(marked.waiter(), kSchedulerProc + 1);
  e.state = marked.with_waiter(0).word;
  Ref first = submit(), second = submit({first});
  scheduler_.step();
  EXPECT_EQ(work(*process), 1);
  scheduler_.step();
  EXPECT_EQ(work(*process), 1);
  EXPECT_TRUE(driver_.done(second));
  EXPECT_EQ(e.load().waiter(), 0u);
  e.state = marked.word;
  process->publish(slow.index, false);
  scheduler_.step();
  EXPECT_EQ(work(*process), 1);
  EXPECT_TRUE(driver_.done(pending));
}

TEST_F(SchedulerTest, tasks_that_wait_are_cancelled_where_they_wait_and_the_others_go_on) {
  scheduler_.step();
  auto process = worker();
  const std::uint16_t three = *client_.resource_set({.cpu = 2});
  Ref slow = submit();
  ASSERT_EQ(process->dequeue(), slow.index);
  std::vector<Ref> refs;
  for (int i = 0; i < 300; ++i) refs.push_back(i % 2 == 0 ? submit({slow}) : submit({}, three));
  scheduler_.step();
  for (std::size_t i = 0; i < 300; ++i)
    if (i % 3 != 0) client_.cancel(refs[i], false, false);
  scheduler_.step();
  for (std::size_t i = 0; i < 300; ++i) {
    ASSERT_EQ(driver_.done(refs[i]), i % 3 != 0) << i;
    if (i % 3 == 0) continue;
    ASSERT_EQ(driver_.entry(refs[i].index).error, ErrorKind::kCancelled);
    driver_.release(refs[i]);  // its entry becomes another task's, in the same lines
    refs[i] = i % 2 == 0 ? submit({slow}) : submit({}, three);
  }
  scheduler_.step();
  process->publish(slow.index, false);
  scheduler_.step();
  EXPECT_EQ(work(*process), 150);
  for (std::size_t i = 0; i < 300; i += 2) ASSERT_TRUE(driver_.done(refs[i])) << i;
}

TEST_F(SchedulerTest, what_waits_for_a_cpu_is_woken_by_who_gives_one_back_and_not_by_the_clock) {
  scheduler_.step();
  auto process = worker();
  Client client(*process);
  WorkerLoop loop(client, kNone);
  const std::uint16_t both = *client_.resource_set({.cpu = 2});
  Ref plain = submit();
  std::uint32_t index = 0;
  ASSERT_EQ(loop.poll(index), WorkerLoop::Next::kTask);  // with one of the two CPUs
  Ref ref = submit({}, both);
  EXPECT_EQ(scheduler_.step(), -1);
  process->publish(plain.index, false);
  std::uint32_t seen = self_.bell();
  EXPECT_EQ(loop.poll(index), WorkerLoop::Next::kIdle);
  EXPECT_TRUE(self_.rung_since(seen));
  EXPECT_EQ(scheduler_.step(), -1);  // the CPUs are there, a worker is not
  seen = self_.bell();
  EXPECT_EQ(loop.wait(index, 1), WorkerLoop::Next::kIdle);  // it was idle for a moment
  EXPECT_TRUE(self_.rung_since(seen));
  process->become_idle();
  EXPECT_EQ(scheduler_.step(), -1);
  EXPECT_EQ(loop.poll(index), WorkerLoop::Next::kTask);
  EXPECT_EQ(index, ref.index);
}

TEST_F(SchedulerTest, a_death_between_a_result_and_the_news_of_it_is_made_good) {
  scheduler_.step();
  auto process = worker();
  Ref first = submit(), second = submit({first});
  scheduler_.step();
  ASSERT_EQ(process->dequeue(), first.index);
  Entry& e = driver_.entry(first.index);
  e.state = e.load().with_phase(Phase::kReady).with_waiter(0).without_proc().word;  // here it dies
  scheduler_.exited({process->id(), SIGKILL, 0, ""});
  scheduler_.step();
  auto other = worker();
  EXPECT_EQ(work(*other), 1);
  EXPECT_TRUE(driver_.done(second));
}

TEST(IndexSet, gives_what_was_added_by_many_while_one_takes) {
  static IndexSet set;
  std::vector<std::thread> adders;
  std::atomic<int> adding{3};
  for (std::uint32_t t = 0; t < 3; ++t)
    adders.emplace_back([&, t] {
      for (std::uint32_t i = t; i < kMaxObjects; i += 3 * 97) set.add(i);
      set.add(kMaxObjects - 1 - t);
      --adding;
    });
  std::set<std::uint32_t> seen;
  for (bool last = false; !last;) {
    last = adding == 0;
    set.take([&](std::uint32_t i) { seen.insert(i); });
  }
  for (std::thread& thread : adders) thread.join();
  for (std::uint32_t t = 0; t < 3; ++t) {
    for (std::uint32_t i = t; i < kMaxObjects; i += 3 * 97) ASSERT_TRUE(seen.contains(i)) << i;
    EXPECT_TRUE(seen.contains(kMaxObjects - 1 - t));
  }
  set.take([&](std::uint32_t i) { ADD_FAILURE() << i; });
}

TEST_F(SchedulerTest, cancel_goes_down_a_chain_of_50000_tasks_in_one_look_and_no_further) {
  Ref root = submit(), stranger = submit();
  std::vector<Ref> chain{root};
  for (int i = 0; i < 50'000; ++i) {
    Client::current_task = chain.back().index + 1;
    chain.push_back(submit());
  }
  Client::current_task = 0;
  EXPECT_TRUE(client_.cancel(root, false, true));
  for (Ref ref : chain) ASSERT_EQ(driver_.entry(ref.index).error, ErrorKind::kCancelled);
  EXPECT_FALSE(driver_.done(stranger));
}

}  // namespace
}  // namespace daybreak::runtime
