// The driver's side of a runtime: the zygote and its workers, the scheduler, the monitor, and their ends.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/zygote.h"

namespace daybreak::runtime {

struct NodeOptions {
  std::uint32_t num_cpus = 1;                             // logical; free of the machine's cores
  double num_gpus = 0;                                    // logical ids 0, 1, ...
  std::vector<std::pair<std::string, double>> resources;  // custom
  std::uint64_t object_store_bytes = 1ull << 30;
  std::vector<std::string> command;  // that becomes the zygote; argv
  bool log_to_driver = true;
};

// Owns every process of the runtime and the two segments. Two threads that stay: the scheduler, which sleeps unless
// something is not ready (unmet dependencies, resources, actors, deaths), and the monitor, which reads what workers
// print and how they end. Any thread may call; stop() once.
class Node {
 public:
  static base::Result<std::unique_ptr<Node>> start(NodeOptions options);
  ~Node();  // stop()

  Client& client() { return client_; }
  Process& process() { return driver_; }
  Segment& segment() { return *segment_; }

  // Ends all processes and threads. In the child of a fork: forgets them.
  void stop();
  // The driver forked: this is the child, which owns nothing.
  void disown() { disowned_ = true; }

  struct ProcessInfo {
    std::uint32_t slot;
    std::int32_t pid;
    ProcKind kind;
  };
  std::vector<ProcessInfo> processes();

 private:
  struct Output {
    int fd = -1;
    std::string line;  // the beginning of one that has not ended
  };
  // What the driver knows of a process slot.
  struct Child {
    std::int32_t pid = 0;
    ProcKind kind = ProcKind::kWorker;
    std::uint32_t actor = 0;
    Output output[2];
    std::deque<std::string> last_lines;
    bool exited = false;
  };
  struct Exit {
    std::uint32_t proc;
    std::int32_t status;
    std::int64_t max_rss_kb;
    std::string last_lines;
  };
  // Resources that the scheduler has given to a task or an actor.
  struct Grant {
    std::vector<std::uint32_t> tokens;
    std::uint32_t token_owner = 0;  // process that they are in the name of
    std::uint32_t shared_token = UINT32_MAX;
    std::int64_t shared_units = 0;
    std::vector<std::pair<std::uint32_t, std::int64_t>> gpus;    // id, units
    std::vector<std::pair<std::uint32_t, std::int64_t>> custom;  // name, units
  };
  struct Running {
    Ref ref;
    std::uint32_t proc;
    Grant grant;
  };

  Node(NodeOptions options, std::unique_ptr<Segment> segment);
  base::Status start_zygote();

  void warm_up();

  // monitor.cc: the monitor's thread
  void monitor();
  void read_zygote();
  void read_output(std::uint32_t proc, int which, bool to_the_end);
  void close_output(std::uint32_t proc);
  void print_line(std::uint32_t proc, int which, std::string_view line);
  void zygote_died();

  // scheduler.cc: the scheduler's thread
  void schedule();
  bool step();
  void intake(std::uint32_t index);
  bool dependencies_done(std::uint32_t index);
  void ready(std::uint32_t index);
  bool dispatch_waiting();
  bool feasible(const ResourceSet& set, std::string& why);
  bool grant(const ResourceSet& set, std::uint32_t proc, Grant& out);
  void revoke(Grant& grant);
  void revoke_cpus(Grant& grant);
  std::uint32_t claim_idle_worker();
  std::uint32_t spawn(ProcKind kind, std::uint32_t actor);
  void collect_finished();
  void bury(const Exit& exit);
  void retry_or_fail(std::uint32_t index, const Exit& exit);
  void register_actor(std::uint32_t index);
  void start_actor(std::uint32_t slot);
  void actor_exited(std::uint32_t slot, const Exit& exit);
  void bring_calls_back(std::uint32_t slot);
  void fail_calls(std::uint32_t slot);
  void actor_dies(std::uint32_t slot, std::string_view why);
  void look_after_actors();
  void break_deadlock();
  void fail_everything(std::string_view why);
  std::int64_t shared_left() const;
  void keep_workers();
  std::string death_note(const Exit& exit, std::string_view what);

  NodeOptions options_;
  std::unique_ptr<Segment> segment_;
  Process driver_;
  Process scheduler_;
  Client client_;
  Client scheduler_client_;
  Control& control_;
  std::atomic<bool> stopping_{false};
  bool stopped_ = false;
  bool disowned_ = false;

  std::mutex mutex_;             // children_, exits_, free slots
  std::vector<Child> children_;  // by slot
  std::vector<Exit> exits_;
  int socket_ = -1;
  int epoll_ = -1;
  int wake_ = -1;  // eventfd: the monitor is to end
  std::int32_t zygote_pid_ = 0;

  // the scheduler's own
  std::vector<std::uint32_t> taken_;
  std::deque<std::uint32_t> pending_;   // dependencies are not ready
  std::deque<std::uint32_t> waiting_;   // resources are not free
  std::deque<Ref> overflow_;            // kQueued, but the queue was full
  std::vector<Running> running_;
  std::vector<std::uint32_t> actors_;  // slots that are not free
  std::map<std::uint32_t, Grant> actor_grants_;
  std::deque<std::uint32_t> actors_waiting_;             // for resources
  std::map<std::uint32_t, std::int64_t> shared_tokens_;  // token -> units left
  std::vector<std::int64_t> gpu_free_;
  std::vector<std::uint32_t> lost_calls_;   // of the actor that is being buried: it was running them
  std::vector<std::uint32_t> limbo_calls_;  // it had taken them from its inbox
  bool surplus_ = false;                    // more workers than CPUs: idle ones end after a while
  std::uint32_t failures_ = 0;              // processes in a row that died before they could run anything

  std::thread scheduler_thread_;
  std::thread monitor_thread_;
  std::thread warm_thread_;  // ends by itself
};

}  // namespace daybreak::runtime
