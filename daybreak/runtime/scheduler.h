// The scheduler: what is not ready passes through it, and only that. It knows shared memory and no operating system.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/memory_policy.h"
#include "daybreak/runtime/resources.h"

namespace daybreak::runtime {

// What the scheduler needs of the machine: processes. Node implements it with the zygote; a test may do so with
// threads, or with fibers of one thread. Called on the scheduler's thread, from inside step().
class Launcher {
 public:
  virtual ~Launcher() = default;

  // Starts a process for the slot `proc`, which is set up and says kStarting; the process turns that into kAlive, and
  // its end comes as Scheduler::exited. False: not possible now, and there will be no such end; it is tried again.
  virtual bool launch(std::uint32_t proc, ProcKind kind, std::uint32_t actor) = 0;
  // SIGINT or SIGKILL for it. Nothing happens when it has ended already.
  virtual void signal(std::uint32_t proc, int signo) = 0;
  // It has been swept: the slot is free again once this returns.
  virtual void buried(std::uint32_t proc) = 0;

  // The process that asked to be let in has this slot from here on, and its end comes as Scheduler::exited; kNone: there is
  // none for it. False: it is gone already, and has not heard of its slot.
  virtual bool admitted(std::uint32_t /*guest*/, std::uint32_t /*proc*/) { return false; }

  // For the memory monitor alone, so a machine without one need not have them.
  virtual std::optional<base::MemoryUse> memory_use() { return std::nullopt; }
  virtual std::vector<ProcessMemory> processes_memory() { return {}; }  // of those that live, the driver too
  virtual void tell(std::string_view) {}                                // the person before the driver, a line
};

// How a process ended.
struct Exit {
  std::uint32_t proc = 0;
  std::int32_t status = 0;  // as waitpid gives it
  std::int64_t max_rss_kb = 0;
  std::string last_lines;  // that it printed, each behind "\n    "; for a person
  bool never_ran = false;  // set by exited(): it ended before it was kAlive
};

// Tasks in the order of their coming. Those of neighbouring entries, as one process submits them, take the room of one.
class TaskQueue {
 public:
  bool empty() const { return runs_.empty(); }
  Ref front() const { return runs_.front().first; }
  void push(Ref task) {
    if (!runs_.empty() && task == Ref{runs_.back().first.index + runs_.back().count, runs_.back().first.generation})
      ++runs_.back().count;
    else
      runs_.push_back({task, 1});
  }
  void pop() {
    Run& run = runs_.front();
    ++run.first.index;
    if (--run.count == 0) runs_.pop_front();
  }

 private:
  struct Run {
    Ref first;
    std::uint32_t count;
  };
  std::deque<Run> runs_;
};

struct SchedulerOptions {
  std::uint32_t gpus = 0;  // logical ids 0, 1, ...
  bool patient = false;    // what asks for more than there is waits, and does not fail
  // The part of the memory in use above which a process is ended, and how often that is looked at. 1 and more, or 0 ns: never.
  double memory_threshold = 1;
  std::int64_t memory_refresh_ns = 0;
};

// Looks after tasks with unmet dependencies, resources, actors, processes and their deaths. A task whose arguments
// exist and that wants one CPU never passes here. One thread calls step() (or run()), any thread exited().
class Scheduler {
 public:
  // `self` is kSchedulerProc and `driver` kDriverProc, which keeps detached actors; both, and the launcher, outlive it.
  // Resource totals are in Control::resources by now.
  Scheduler(Process& self, Process& driver, SchedulerOptions options, Launcher& launcher);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // One round: everything that came is looked at. Returns after how many ns the next is due even if nobody rings the
  // bell of `self`; -1: never. Whoever calls it reads the bell before, so that a ring during the round is not lost.
  std::int64_t step();
  // Steps and sleeps until Control::stopping is set and the bell rung.
  void run();

  // A process has ended and was reaped: no instruction of it runs any more. Any thread; rings the scheduler.
  void exited(Exit exit) DAYBREAK_EXCLUDES(mutex_);
  // A process that nobody here has started wants a slot, to submit and to wait as the driver does. The answer comes by
  // Launcher::admitted. Any thread; rings the scheduler.
  void admit(std::uint32_t guest, std::int32_t pid) DAYBREAK_EXCLUDES(mutex_);

 private:
  struct Guest {
    std::uint32_t number;
    std::int32_t pid;
  };
  struct Running {
    Ref ref;
    std::uint32_t proc;
    Grant grant;
  };

  // A task or an actor's creation in a line: with its number there, where lines are compared; with which of its
  // dependencies it waits for, in the line of one.
  struct Waiter {
    Ref task;
    std::uint16_t dependency = 0;
    std::uint64_t turn = 0;
  };
  // In the order of their coming. What was cancelled stays until it comes to the front, or the line is tidied.
  struct Line {
    std::deque<Waiter> waiters;
    std::size_t tidy_at = 0;
  };
  struct Awaited {
    std::uint32_t generation = 0;
    Line line;
  };

  struct MemoryEnd {
    MemoryNote note;
    Ref runs;  // what it ran then, for which `retry` is: it may have come to another task before it died
    bool retry = false;
  };
  // What a process runs, since the first look that saw it.
  struct Seen {
    Ref runs = kNoRef;
    std::int32_t pid = 0;
    std::int64_t since_ns = 0;
  };

  // Of a cancelled task that runs.
  struct Interrupt {
    Ref task;
    std::uint32_t proc;
    std::uint32_t times;
    std::int64_t due_ns;
  };

  std::int64_t due_ns();

  // tasks.cc
  bool take_over(std::uint32_t index);
  bool run_again(std::uint32_t index);
  std::string lacks_to_run_again(std::uint32_t index);
  void cancel_ours(Ref task);
  bool waits(Ref task);
  void line_up(Line& line, Waiter waiter);
  void intake(std::uint32_t index);
  void advance(Waiter waiter);
  void look_at(std::uint32_t index);
  void look_at_all_awaited();
  void ready(Ref task);
  bool queue(Ref task);
  void wait_for_resources(Ref task);
  void fail_ready(Ref task, ErrorKind kind, std::string_view why);
  void drain_overflow();
  void place_what_waits();
  void dispatch_waiting();
  void direct(Ref task, std::uint32_t proc, Grant granted);
  void collect_finished();
  void requeue_or_fail(std::uint32_t index, const Exit& exit);
  void wait_again(std::uint32_t index);
  bool back_to_us(std::uint32_t index);

  // drivers.cc
  void let_in(const Guest& guest);
  bool anyone_works_for(std::uint32_t driver) const;
  void cancel_tasks_of(std::uint32_t submitter, std::uint32_t driver);
  void end_left_over(std::uint32_t dead);
  void end_driver(std::uint32_t driver);
  bool is_abandoned(std::uint32_t environment);

  // memory_monitor.cc
  std::int64_t watch_memory();
  bool anything_runs() const;
  void look_at_memory(std::int64_t now);
  void release_one_held();
  std::vector<MemoryCandidate> memory_candidates(std::int64_t now);
  static bool may_be_retried(const TaskPart& part);
  void end_for_memory(std::vector<MemoryCandidate> candidates, const base::MemoryUse& use);

  // processes.cc
  void set_up_slot(std::uint32_t proc, ProcKind kind, std::uint32_t actor, std::uint32_t environment);
  std::uint32_t spawn(ProcKind kind, std::uint32_t actor, std::uint32_t environment);
  std::uint32_t claim_worker(std::uint32_t environment);
  std::uint32_t claim_idle_worker();
  std::uint32_t claim_worker_of(std::uint32_t environment);
  bool runs_something(std::uint32_t proc) const;
  void end_idle_of_environments();
  void fail_environment(std::uint32_t environment, std::string_view why);
  void keep_workers();
  void pass_interrupts_on();
  void interrupt_again();
  void bury(const Exit& exit);
  std::set<std::uint64_t> functions_in_use();
  void inherit_functions(std::uint32_t dead);
  void drop_inherited(const std::set<std::uint64_t>& used);
  void fail_everything(std::string_view why);
  void break_deadlock();
  std::string death_note(const Exit& exit, std::string_view what);

  // actors.cc
  void register_actor(std::uint32_t index);
  void free_reserved(std::uint32_t dead);
  void start_waiting_actors();
  void start_actor(std::uint32_t slot);
  std::string end_of_actor(std::uint32_t slot, const Exit& exit, std::uint32_t terminate, bool left);
  bool lacked_environment(const Exit& exit) const;
  void actor_exited(std::uint32_t slot, const Exit& exit);
  std::vector<std::uint32_t> take_calls(std::uint32_t slot);
  bool may_try(std::uint32_t index);
  bool spend_try(std::uint32_t index);
  void send_again(std::uint32_t slot, std::uint32_t index);
  void drop_cancelled_calls(std::uint32_t slot);
  void fail_calls(const std::vector<std::uint32_t>& calls);
  void actor_dies(std::uint32_t slot, std::string_view why);
  void look_after_actors();
  void end_actors_of(std::uint32_t dead, bool with_it);
  void end_with(std::uint32_t slot, std::string_view whom);

  // groups.cc
  void register_group(std::uint32_t index);
  void place_groups();
  void look_after_groups();
  void remove_group(std::uint32_t slot);
  const ResourceSet& set_of_actor(std::uint32_t slot);
  void end_for_group(std::uint32_t actor);
  bool group_is_gone(const ResourceSet& set) const;
  void fail_for_group(Ref task);
  void remove_groups_of(std::uint32_t actor);
  void free_reserved_groups(std::uint32_t dead);

  Process& self_;
  Process& driver_;
  Client client_;  // of self_
  Control& control_;
  Launcher& launcher_;
  ResourceLedger ledger_;
  const bool patient_;
  const double memory_threshold_;
  const std::int64_t memory_refresh_ns_;

  base::Mutex mutex_;
  std::vector<Exit> exits_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<Guest> guests_ DAYBREAK_GUARDED_BY(mutex_);

  std::vector<std::uint32_t> taken_;                    // scratch of step()
  std::vector<bool> ours_;                              // by entry: a task that waits with us, in one of the lines
  std::unordered_map<std::uint32_t, Awaited> awaited_;  // by entry: a dependency that is not done, and who waits for it
  std::map<std::uint16_t, Line> waiting_;               // by resource set: who waits for that
  std::set<std::uint16_t> tried_;                       // those of them that are tried in every round
  std::unordered_map<std::uint32_t, std::vector<std::uint16_t>> parked_;  // by a custom resource: those that lack it
  std::map<std::uint16_t, Line> infeasible_;  // of `patient_`: who waits for what there is not
  std::uint64_t turns_ = 0;
  TaskQueue overflow_;        // the queue was full
  std::uint32_t wanted_ = 0;  // what was short in this round: bits of Control::wanted
  std::vector<Running> running_;
  std::vector<std::uint32_t> actors_;  // slots that are not free
  std::map<std::uint32_t, Grant> actor_grants_;
  std::deque<std::uint32_t> actors_waiting_;      // for resources, or for a process
  std::vector<std::uint32_t> lost_calls_;         // of the actor that is being buried: it was running them
  std::vector<std::uint32_t> limbo_calls_;        // it had taken them from its inbox
  std::vector<std::uint32_t> groups_;             // slots of those that are kPending or kCreated
  std::map<std::uint32_t, std::string> evicted_;  // actors that end because something else has; what
  std::vector<Interrupt> interrupts_;             // that nobody has seen yet
  std::vector<Ref> inherited_;                    // functions that the dead have left to tasks
  std::int64_t inherited_look_ns_ = 0;            // when they are looked at next
  bool surplus_ = false;                          // more workers than CPUs: idle ones end after a while
  bool launch_failed_ = false;                    // in this round: no more are tried in it
  bool launched_ = false;                         // in this round
  std::uint32_t failed_launches_ = 0;  // rounds in a row in which no process could be started, but should have
  std::uint32_t failures_ = 0;         // processes in a row that died before they could run anything

  std::deque<Ref> held_;                            // ended for memory, tried again when there is some
  std::map<std::uint32_t, MemoryEnd> memory_ends_;  // by process: the monitor has ended it, and it is not buried
  std::optional<MemoryEnd> memory_death_;           // of the process that is being buried
  std::vector<Seen> memory_seen_;                   // by process
  std::int64_t memory_busy_ns_ = 0;                 // when anything was last seen to run
  std::int64_t memory_due_ns_ = 0;                  // when the next look is
  bool memory_asleep_ = false;                      // as we have said in Control
  bool memory_unknown_ = false;                     // it has been told that the machine does not say
};

}  // namespace daybreak::runtime
