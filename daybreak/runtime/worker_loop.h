// What a worker or an actor does next. The language binding runs the task; this decides which, and waits when there is
// none.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/client.h"

namespace daybreak::runtime {

// One for each process. A worker's is used by its main thread; an actor's by all its threads.
class WorkerLoop {
 public:
  // actor: slot, or kNone for a worker.
  WorkerLoop(Client& client, std::uint32_t actor);

  // How calls of one group run: one after the other; on threads of their own; or on one thread that begins many.
  enum class Concurrency { kNone, kThreads, kCoroutines };
  // Of an actor, before its first poll: how many concurrency groups it has, the default one included; how its calls run;
  // and whether a call whose arguments are not there holds up its caller's later ones.
  void set_groups(std::size_t groups, Concurrency concurrency, bool in_order);

  enum class Next { kTask, kExit, kInterrupted, kIdle };
  // A task that is claimed by this process now; does not wait. An actor's threads ask for calls of their group.
  Next poll(std::uint32_t& index, std::size_t group = 0);
  // As poll(), for who has no room for a call: what else there is to do is done, and kExit may come.
  Next look(std::size_t group);
  // Waits up to `timeout_ns` (-1: for ever) for one. kInterrupted: a signal came.
  Next wait(std::uint32_t& index, std::int64_t timeout_ns, std::size_t group = 0);
  // Waits until this process's bell has rung since it said `seen`, or for `timeout_ns`; spins before it sleeps. EINTR: a
  // signal came.
  int wait_for_bell(std::uint32_t seen, std::int64_t timeout_ns);
  // To be called when a task is done.
  void finished();
  // The actor ends: all its threads get kExit at once, whatever is queued.
  void leave();
  // How often it was told that calls of it were cancelled. Those that wait are ended here, those that run elsewhere.
  std::uint32_t cancellations() const { return cancellations_.load(); }
  bool leaving() const { return leaving_.load() != 0; }

 private:
  struct Call {
    Ref ref;
    std::uint16_t submitter;
    std::uint64_t sequence;  // of an actor's calls
  };
  Next poll_worker(std::uint32_t& index);
  Next poll_actor(std::uint32_t* index, std::size_t group);
  Next poll_directed(std::uint32_t& index);
  bool next_call(std::deque<Call>& calls, std::uint32_t& index);
  void drop_cancelled();
  bool take(std::uint32_t list, std::size_t group);
  bool claim(Ref ref);
  bool no_calls();
  bool spin(std::uint32_t seen);
  int sleep_actor(std::uint32_t seen, std::int64_t deadline);
  int sleep_directed(std::uint32_t seen, std::int64_t deadline);
  int sleep_idle(std::uint32_t seen, std::uint32_t& index, std::int64_t deadline, Next& next);
  bool give_token_back();  // true: it had one

  Client& client_;
  Process& p_;
  const std::uint32_t actor_;
  Client::Worker worker_;
  base::Mutex mutex_;                        // groups_, taken_: an actor may have many threads
  std::vector<std::deque<Call>> groups_{1};  // taken from the inbox, not begun; a worker has one
  std::vector<std::uint32_t> taken_;
  bool directed_only_ = false;  // a worker of an environment, which takes nothing from the queue
  bool directed_ = false;       // the task in hand came from the scheduler, with its own CPUs
  Concurrency concurrency_ = Concurrency::kNone;
  bool in_order_ = true;
  base::Atomic<std::uint32_t> running_{0};  // calls, unless they run one after the other
  base::Atomic<std::uint32_t> leaving_{0}, cancellations_{0};
};

}  // namespace daybreak::runtime
