// The driver's side of a runtime: the zygote and its workers, the threads that look after them, and their ends.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/os/fd.h"
#include "daybreak/os/process.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/door.h"
#include "daybreak/runtime/folded_lines.h"
#include "daybreak/runtime/output_log.h"
#include "daybreak/runtime/scheduler.h"
#include "daybreak/runtime/spill_folder.h"
#include "daybreak/runtime/zygote.h"

namespace daybreak::runtime {

struct NodeOptions {
  std::uint32_t num_cpus = 1;                             // logical; free of the machine's cores
  double num_gpus = 0;                                    // logical ids 0, 1, ...
  std::vector<std::pair<std::string, double>> resources;  // custom
  std::uint64_t object_store_bytes = 1ull << 30;
  std::string spill_directory;       // where the folder of what is spilled is made; "": nothing is spilled
  bool spill_is_a_must = false;      // an error where that cannot be; else nothing is spilled then
  double spill_threshold = 0.8;      // part of the store in use from which on it begins
  std::vector<std::string> command;  // that becomes the zygote; argv
  bool log_to_driver = true;
  std::int64_t fold_ns =
      FoldedLines::kWindowNs;  // how long equal lines of several processes are counted; 0: not at all
  bool patient = false;        // SchedulerOptions
  double memory_threshold = 1;
  std::int64_t memory_refresh_ns = 0;
  std::string memory_root;  // where the use of memory is read: base::memory_use
  bool history = true;      // what has ended and what was printed is remembered (history.h, output_log.h)
  std::string identity;     // which program this is, for drivers that attach
};

// Owns every process of the runtime and the two segments, and is the scheduler's operating system. Two threads that
// stay: the scheduler's, which sleeps unless something is not ready (unmet dependencies, resources, actors, deaths),
// and the monitor's, which reads what workers print and how they end. Any thread may call; stop() once.
class Node final : private Launcher {
 public:
  static base::Result<std::unique_ptr<Node>> start(NodeOptions options);
  ~Node() override;  // stop()

  Client& client() { return client_; }
  Process& process() { return driver_; }
  Segment& segment() { return *segment_; }

  // Ends all processes and threads, as many of them as there are. In the child of a fork: forgets them.
  void stop();
  // The driver forked: this is the child, which owns nothing.
  void disown() { disowned_ = true; }

  // For other processes of this user; null where none could be made, which is no reason not to run: no_door() says why.
  const Door* door() const { return door_.get(); }
  const std::string& no_door() const { return no_door_; }

  // Until so many workers run, or the zygote is gone, or the time is up. From any thread.
  void await_workers(std::uint32_t count, std::chrono::milliseconds limit) DAYBREAK_EXCLUDES(mutex_);

  struct ProcessInfo {
    std::uint32_t slot;
    std::int32_t pid;
    ProcKind kind;
  };
  std::vector<ProcessInfo> processes() DAYBREAK_EXCLUDES(mutex_);

 private:
  struct Output {
    os::Fd fd;
    std::string line;  // the beginning of one that has not ended
  };
  // A driver that attaches, or has.
  struct Guest {
    os::Fd socket, process;
    std::int32_t pid = 0;
    std::uint32_t proc = kNone;  // its slot, once the scheduler has given it one
    bool asked = false;          // for a slot
    bool gone = false;           // reported to the scheduler, or it will hear of it when it gives the slot
    bool prints = false;         // what its workers print
  };
  // What the driver knows of a process that it has asked the zygote for.
  struct Child {
    bool launched = false;  // until its slot is buried
    bool exited = false;    // reported to the scheduler
    std::int32_t pid = 0;   // 0: the zygote has not said yet
    ProcKind kind = ProcKind::kWorker;
    std::uint32_t actor = 0;
    Output output[2];
    std::deque<std::string> last_lines;
  };

  Node(NodeOptions options, std::unique_ptr<Segment> segment);

  // node.cc
  base::Status set_up_resources();
  void open_door();
  base::Status open_spill_folder();
  base::Status start_zygote() DAYBREAK_EXCLUDES(mutex_);
  base::Status start_threads();
  void warm_up();
  bool launch(std::uint32_t proc, ProcKind kind, std::uint32_t actor) override DAYBREAK_EXCLUDES(mutex_);
  bool send_spawn(std::uint32_t proc, const os::Fd& out, const os::Fd& err) DAYBREAK_REQUIRES(mutex_);
  void signal(std::uint32_t proc, int signo) override DAYBREAK_EXCLUDES(mutex_);
  void buried(std::uint32_t proc) override DAYBREAK_EXCLUDES(mutex_);
  bool admitted(std::uint32_t guest, std::uint32_t proc) override DAYBREAK_EXCLUDES(mutex_);
  std::optional<base::MemoryUse> memory_use() override;
  std::vector<ProcessMemory> processes_memory() override;
  void tell(std::string_view line) override;

  // monitor.cc: the monitor's thread
  void monitor() DAYBREAK_EXCLUDES(mutex_);
  void read_zygote() DAYBREAK_EXCLUDES(mutex_);
  void child_exited(const ZygoteMessage& message) DAYBREAK_EXCLUDES(mutex_);
  void report_exit(std::uint32_t proc, std::int32_t status, std::int64_t max_rss_kb, std::string why)
      DAYBREAK_EXCLUDES(mutex_);
  void read_output(std::uint32_t proc, int which, bool to_the_end) DAYBREAK_EXCLUDES(mutex_);
  void close_output(std::uint32_t proc) DAYBREAK_EXCLUDES(mutex_);
  void print_line(std::uint32_t proc, int which, std::string_view line) DAYBREAK_EXCLUDES(mutex_);
  void print_repeated(std::int64_t now_ns);
  int until_repeated_ms() const;
  void zygote_died() DAYBREAK_EXCLUDES(mutex_);

  // guests.cc: further drivers; the monitor's thread, but for admitted()
  void greet_guests() DAYBREAK_EXCLUDES(mutex_);
  void read_guest(std::uint32_t number) DAYBREAK_EXCLUDES(mutex_);
  void guest_ended(std::uint32_t number, std::int32_t status) DAYBREAK_EXCLUDES(mutex_);
  void drop_guest(std::uint32_t number) DAYBREAK_REQUIRES(mutex_);
  void ring_guests() DAYBREAK_EXCLUDES(mutex_);
  bool print_at_guest(std::uint32_t proc, int which, std::string_view name, std::int32_t pid, std::string_view line)
      DAYBREAK_EXCLUDES(mutex_);
  void try_new_zygote() DAYBREAK_EXCLUDES(mutex_);

  NodeOptions options_;
  FoldedLines folded_;  // the monitor's
  std::unique_ptr<Segment> segment_;
  Process driver_;
  Process scheduler_process_;
  Client client_;
  Control& control_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<Door> door_;           // the monitor's, once it runs
  std::optional<OutputLog> output_log_;  // likewise; beside the door
  std::string no_door_;
  std::unique_ptr<OwnedSpillFolder> spill_folder_;
  std::atomic<bool> stopping_{false};
  bool stopped_ = false;
  bool disowned_ = false;

  base::Mutex mutex_;
  std::vector<Child> children_ DAYBREAK_GUARDED_BY(mutex_);  // by slot
  std::map<std::uint32_t, Guest> guests_ DAYBREAK_GUARDED_BY(mutex_);
  bool told_of_descriptors_ = false;           // the scheduler's thread alone
  std::uint32_t guests_so_far_ = 0;            // the monitor's
  os::Fd socket_ DAYBREAK_GUARDED_BY(mutex_);  // to the zygote; empty: there is none
  os::Fd epoll_;
  os::Fd wake_;                             // an event: the monitor is to end
  std::optional<os::ChildProcess> zygote_;  // the monitor's, once it runs; empty: there is none
  bool zygote_ready_ = false;               // the monitor's: it has said so

  std::thread scheduler_thread_;
  std::thread monitor_thread_;
  std::thread warm_thread_;  // ends by itself
};

}  // namespace daybreak::runtime
