// A look into a running engine, by its own process or another one (door.h): what its shared memory says at the moment.
// Nothing there is changed, nobody is stopped or rung. What moves meanwhile may be seen before or after it; an entry
// that becomes another object while it is read is left out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/os/fd.h"
#include "daybreak/runtime/segment.h"

namespace daybreak::runtime {

struct TaskView {
  Ref ref;
  Kind kind;
  Phase phase;
  ErrorKind error;
  bool cancelled = false;
  std::string name;                    // of the function or method, as far as it is still there
  std::optional<std::uint32_t> actor;  // slot
  std::int32_t pid = 0;                // of the process that runs it, 0: none
  std::uint32_t attempt = 0;
  std::optional<Ref> parent;
  std::vector<Ref> waits_for;   // arguments that are not there yet, the first few
  std::uint16_t resources = 0;  // index of a set
};

struct ObjectView {
  Ref ref;
  Kind kind;
  Phase phase;
  std::uint64_t size_bytes = 0;
  bool done = false;
  bool in_entry = false;           // small, within its entry
  bool spilled = false;            // on disk
  bool function = false;           // of a task or a class of actors
  std::uint32_t pins = 0;          // arguments of tasks and other objects that refer to it
  std::vector<std::int32_t> pids;  // processes that hold references
};

struct ActorView {
  Ref ref;
  std::uint32_t slot = 0;
  ActorStatus status = ActorStatus::kFree;
  std::string name, class_name, death;
  std::int32_t pid = 0, restarts = 0;
  bool detached = false;
  std::uint16_t resources = 0;
};

struct WorkerView {
  std::uint32_t slot = 0;
  ProcKind kind = ProcKind::kWorker;
  ProcStatus status = ProcStatus::kFree;
  std::int32_t pid = 0;
  bool blocked = false;                // waits in get or wait
  std::optional<std::uint32_t> actor;  // slot
  std::optional<Ref> task;             // on its main thread
};

struct SpilledView {
  std::string folder;                    // "": nothing is spilled
  std::uint64_t objects = 0, bytes = 0;  // on disk now
  std::uint64_t spilled_objects_total = 0, spilled_bytes_total = 0;
  std::uint64_t restored_objects_total = 0, restored_bytes_total = 0;
};

struct AmountView {
  std::string name;
  double total = 0, available = 0;
};

// One thread at a time.
class View {
 public:
  // Of this process's own engine, whose segment outlives it.
  explicit View(Segment& segment) : segment_(&segment) {}
  // Of the engine behind a door.
  static base::Result<View> of(const std::string& path);

  std::string session() const;
  // At most so many, the rest is counted: in `left_out`.
  std::vector<TaskView> tasks(std::size_t limit, std::size_t& left_out) const;
  std::vector<ObjectView> objects(std::size_t limit, std::size_t& left_out) const;
  // Of a task, "" where it is gone.
  std::string task_name(Ref task) const;
  std::vector<ActorView> actors() const;
  // The last that have ended, in the order of their end: tasks and calls (and spans) that processes have run, and actors
  // whose slots are others' by now. Nothing without Control::history.
  struct Ended {
    TaskRecord record;
    std::string name;
    std::int64_t start_ns, end_ns;  // CLOCK_MONOTONIC; start 0: it never began
  };
  std::vector<Ended> ended() const;
  std::vector<DeadActorRecord> dead_actors() const;
  std::vector<WorkerView> workers() const;  // drivers too
  std::vector<AmountView> resources() const;
  // What a set of a task or actor asks for.
  std::vector<std::pair<std::string, double>> amounts(std::uint16_t set) const;
  std::uint64_t store_bytes() const { return segment_->control().data_capacity; }
  std::uint64_t store_bytes_used() const;
  SpilledView spilled() const;

 private:
  View() = default;
  template <typename F>
  void for_each(F&& visit) const;
  std::int32_t pid_of(State state) const;
  std::string name_of_task(const Entry& entry, Kind kind) const;
  std::vector<Ref> missing_arguments(const Entry& entry) const;

  os::Fd control_fd_, data_fd_;
  std::unique_ptr<Segment> own_;
  Segment* segment_ = nullptr;
};

}  // namespace daybreak::runtime
