// What a worker or an actor does next. The language binding runs the task; this decides which, and waits when there is
// none.
#pragma once

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

  enum class Next { kTask, kExit, kInterrupted, kIdle };
  // A task that is claimed by this process now; does not wait.
  Next poll(std::uint32_t& index);
  // Waits up to `timeout_ns` (-1: for ever) for one. kInterrupted: a signal came.
  Next wait(std::uint32_t& index, std::int64_t timeout_ns);
  // To be called when a task is done.
  void finished();

 private:
  struct Call {
    Ref ref;
    std::uint16_t submitter;
  };
  Next poll_worker(std::uint32_t& index);
  Next poll_actor(std::uint32_t& index);
  Next poll_directed(std::uint32_t& index);
  void take(std::uint32_t list);
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
  base::Mutex mutex_;       // calls_: an actor may have many threads
  std::deque<Call> calls_;  // taken from the inbox, not begun
  std::vector<std::uint32_t> taken_;
  bool directed_only_ = false;  // a worker of an environment, which takes nothing from the queue
  bool directed_ = false;       // the task in hand came from the scheduler, with its own CPUs
};

}  // namespace daybreak::runtime
