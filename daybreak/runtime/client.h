// What any thread of a driver, worker or actor does with the runtime: submit, await, look up. No Python in it: C++ code
// calls an actor that is written in Python, or runs a C++ function as a task, through this class and never needs the
// GIL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/runtime/process.h"

namespace daybreak::runtime {

// Arguments of a task or value of an object, in pieces that are written one behind the other into shared memory.
struct Payload {
  struct Piece {
    const void* data;
    std::uint64_t size;
    std::uint32_t align = 1;  // the piece begins at a multiple of it
  };
  std::vector<Piece> pieces;
  std::vector<Ref> refs;  // dependencies first
  std::uint16_t deps = 0;
  std::uint8_t codec = 0;

  std::uint64_t size() const;
  void write(std::byte* to) const;
  // The same into a file, which is not mapped there or was never touched.
  base::Status write(int fd, std::uint64_t offset) const;
};

struct TaskSpec {
  Kind kind = Kind::kTask;
  Ref function;                 // of Client::put; kActorCall: unused
  std::uint32_t actor = 0;      // kActorCreate, kActorCall
  std::uint32_t group = 0;      // kActorCall: concurrency group, 0 the default
  std::uint16_t resources = 0;  // from Client::resource_set
  std::uint16_t num_returns = 1;
  std::int16_t max_retries = 3;
  std::uint8_t options = 0;
  std::uint16_t window = 0;  // kStreaming
};

struct Resources {
  double cpu = 1;
  double gpu = 0;
  std::vector<std::pair<std::string, double>> custom;
  std::uint16_t environment = 0;  // from Client::environment
  std::uint16_t group = 0;        // of a placement group: its slot + 1
  std::int32_t bundle = -1;       // of it; -1: any
  bool capture = false;           // what the task submits is of the group, too
};

struct GroupOptions {
  std::vector<std::uint16_t> bundles;  // resource sets
  std::uint32_t strategy = 0;          // kStrictSpread, or another
  std::uint32_t creator = 0;           // actor's slot + 1 with which it goes; 0: it goes with its driver
  bool detached = false;               // it goes with the runtime
  std::string name;                    // "namespace/name", or empty
};

struct ActorOptions {
  std::int32_t max_restarts = 0;
  std::int32_t max_task_retries = 0;
  std::uint32_t max_concurrency = 1;
  bool detached = false;
  std::string name;  // "namespace/name", or empty
  std::string class_name;
};

enum class WaitResult { kDone, kTimeout, kInterrupted };

class Client {
 public:
  explicit Client(Process& process) : p_(process) {}

  Process& process() { return p_; }

  // -- objects --
  base::Result<Ref> put(const Payload& payload);
  // Writes the value of an entry that this process is running or has created.
  base::Status set_value(std::uint32_t index, const Payload& payload);

  // -- tasks -- one Ref for each result, each with one local reference; none for num_returns = 0. kStreaming: two, the
  // task's, whose value comes when the stream has ended, and its first cell (stream.h).
  base::Status submit(const TaskSpec& spec, const Payload& args, std::vector<Ref>& results);

  // -- actors --
  // Reserves a slot and queues the constructor. The Ref is the handle: hold and release it as any other.
  struct Actor {
    Ref creation;
    std::uint32_t slot = 0;
  };
  base::Result<Actor> create_actor(const TaskSpec& spec, const Payload& args, const ActorOptions& options);
  // kNotFound when there is none alive. The handle comes with one local reference; the constructor's arguments are
  // there to be read. Waits for one that is being made.
  base::Result<Actor> find_actor(std::string_view name);
  void kill_actor(std::uint32_t slot, bool no_restart);

  // -- waiting -- deadline: CLOCK_MONOTONIC in ns, -1 for ever. kInterrupted: a signal came; look at it and call again.
  WaitResult wait(Ref ref, std::int64_t deadline_ns);
  // Until `count` of them are done. Cost: one look at each for every wake-up.
  // seen: what the bell said before the caller looked for signals, so that one that comes after that look is not slept
  // over: who interrupts a task rings, too.
  WaitResult wait(std::span<const Ref> refs, std::size_t count, std::int64_t deadline_ns,
                  std::optional<std::uint32_t> seen = {});
  // Until `come()`, which is asked again whenever this process's bell has rung.
  WaitResult wait_until(const std::function<bool()>& come, std::optional<std::uint32_t> seen = {});
  static std::int64_t now_ns();

  // True when it was still waiting and is cancelled now; else the running worker is asked to stop (force: killed).
  // recursive: also the tasks that it, and they, have submitted, as far as they are not done. Cost then: one look at
  // every entry.
  bool cancel(Ref ref, bool force, bool recursive);

  // The number of what these are, the same one for the same. kInvalidArgument: no amount, or no name; kUnavailable:
  // too many names, or combinations.
  base::Result<std::uint16_t> resource_set(const Resources& resources);
  // How much of it there is, of which nobody has any yet: before anything is submitted.
  base::Status set_resource_total(std::string_view name, double amount);
  // The number of the environment that this text describes, the same one for the same text. kInvalidArgument: too long;
  // kUnavailable: too many.
  base::Result<std::uint16_t> environment(std::string_view text);

  // -- placement groups --
  // Reserves a slot; the group is not there before start_group(), which gives its entry the value that it has once the
  // bundles are reserved. Ref: with one local reference.
  struct Group {
    Ref ready;
    std::uint32_t slot = 0;
  };
  base::Result<Group> reserve_group(const GroupOptions& options);
  base::Status start_group(Group group, const Payload& value);  // waits until the scheduler knows it
  // The one of this name that is not removed; kNotFound. With one local reference, as the next.
  base::Result<Group> find_group(std::string_view name);
  // Nothing: it is removed, or was never there.
  std::optional<Ref> hold_group(Group group);
  void remove_group(Group group);

  // A worker's token and current task, for giving the CPU back while it waits.
  struct Worker {
    std::uint32_t token = kNone;
  };
  void set_worker(Worker* worker) { worker_ = worker; }
  // The entry of the task that this thread runs, plus one; 0 in a driver.
  static thread_local std::uint32_t current_task;

  // Text that lists the largest objects and who holds them.
  std::string largest_holders(std::size_t count);
  // Ends a task that this process has created or claimed: its actor is dead; it was cancelled; another reason.
  void fail_actor_call(std::uint32_t index);
  void cancel_claimed(std::uint32_t index);
  void fail(std::uint32_t index, ErrorKind kind, std::string_view text);

 private:
  bool refused(std::uint32_t index);
  base::Status create_further(Ref task, std::uint16_t num_returns, bool streaming, std::vector<Ref>& further);
  void route(std::uint32_t index, bool deps_done);
  bool cancel_one(Ref ref, bool force);
  std::uint32_t own_driver();
  std::uint32_t disused_environment();
  base::Result<std::uint32_t> reserve_actor(Ref creation, const ActorOptions& options);
  std::optional<Actor> look_for_actor(std::string_view name, bool& coming);
  bool cancelled();
  void before_sleep();
  void after_sleep();

  Process& p_;
  Worker* worker_ = nullptr;
};

// Python's ActorUnavailableError, by these words at the end.
inline constexpr std::string_view kActorComesBack = "the actor is being restarted";

// "actor NAME (actor_id=...)", with the id as Python says it (ids.py): the creation, and the job's four bytes last.
// RayActorError.actor_id is what stands here.
std::string described_actor(const Control& control, const ActorSlot& actor);

// The client of this process's embedded runtime, for C++ code that lives in it; null while there is none. Valid until
// shutdown.
Client* current_client();
void set_current_client(Client* client);

// How often a spinner looks between two looks at the clock.
#if defined(DAYBREAK_INTERLEAVE)
inline constexpr int kLooksPerSpin = 2;
#else
inline constexpr int kLooksPerSpin = 32;
#endif

// How long a waiter spins before it sleeps, judged by where its peer runs.
std::int64_t spin_budget_ns(Process& p, std::uint32_t peer_cpu_plus_one);

}  // namespace daybreak::runtime
