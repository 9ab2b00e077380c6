// A model: its versions, their replicas, the requests that wait for them. The heart of the room.
//
// A request is a Call; each of its inputs is an Item that gets exactly one outcome: the model's answer, or the reason
// why there is none. Requests wait in one queue a version, the earliest deadline first, and join the open batch of the
// replica that will come to them soonest (channel.h). Each is answered at its deadline whatever the model does.
//
// Its functions are in three files: model_requests.cc (admission, queue, batches, deadlines), model_replicas.cc and
// model_versions.cc.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/os/fd.h"
#include "daybreak/serve/batching.h"
#include "daybreak/serve/channel.h"
#include "daybreak/serve/input.h"
#include "daybreak/serve/metrics.h"
#include "daybreak/serve/slab.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxQueued = 32'768;  // inputs that wait for a version: more are refused as overloaded

using Nanos = std::int64_t;  // of the server's clock

struct VersionState;

// An app, as a request sees it. Fixed while it is there.
struct AppConfig {
  std::string name;
  InputType input_type = InputType::kDoubles;
  std::optional<std::string> default_output;  // JSON text, made of what was given
  Nanos slo_ns = 0;
  bool refuse_with_503 = false;  // when overloaded; without a default it is so anyway
};

struct Replica;

struct Item {
  Reason reason = Reason::kAnswered;
  bool done = false;
  std::uint8_t attempts = 0;
  ResultStatus status = ResultStatus::kNone;
  std::string output;             // as the replica gave it; of a model's error, why, as far as the caller may know
  Nanos began_ns = 0;             // its batch was taken, about
  VersionState* queue = nullptr;  // whose queue it waits in
  // Where it is being computed.
  Replica* replica = nullptr;
  ServerChannel::Place place{};
};

// One request. Its items and `remaining` belong to the model's lock until all are done; then `answer` is called once,
// from any thread, without a lock.
struct Call {
  std::shared_ptr<const AppConfig> app;
  std::shared_ptr<AppMetrics> metrics;
  Parsed parsed;
  Nanos admitted_ns = 0;
  Nanos deadline_ns = 0;
  std::vector<Item> items;
  std::size_t remaining = 0;
  bool pinned = false;  // it asked for a version
  std::string version;  // that answered, or is to
  int loop = -1;        // on which it is answered, when not at once; -1: on any thread
  std::function<void(Call&)> answer;
};

struct ItemRef {
  std::shared_ptr<Call> call;
  std::uint32_t index = 0;
  Item& item() const { return call->items[index]; }
};

enum class ReplicaState : std::uint8_t { kStarting, kReady, kDraining, kDead };
std::string_view replica_state_name(ReplicaState state);

// The server's end of a replica. All but the constants belong to the model's lock.
struct Replica {
  Replica(std::uint64_t number, std::shared_ptr<ChannelMapping> mapping, os::Fd rung)
      : id(number), event(std::move(rung)), channel(std::move(mapping)) {}

  const std::uint64_t id;
  const os::Fd event;  // rung by the replica
  bool native = false;
  int pid = 0;
  ReplicaState state = ReplicaState::kStarting;
  ServerChannel channel;
  std::array<std::vector<ItemRef>, kBatchSlots> flights;  // what the batches hold
  Nanos began_ns = 0;                                     // the batch that is being computed, about
  std::uint64_t batches = 0;
  std::string last_error;
  std::vector<ItemRef> kept;            // whose memory the model still holds
  std::function<void(bool force)> end;  // lets go of its process, or kills it; called without a lock
};

struct VersionConfig {
  std::string name;
  InputType input_type = InputType::kDoubles;
  std::uint32_t batch_size = 0;    // fixed; 0: adaptive
  std::size_t input_elements = 0;  // that the model takes; 0: any
  std::string lineage = "null";    // JSON
};

// One version, inside the lock of its model.
struct VersionState {
  VersionConfig config;
  BatchTimes times;
  std::vector<ItemRef> queue;  // a heap, the earliest deadline on top; also holds what has been answered meanwhile
  std::size_t queued = 0;      // without these
  std::vector<std::shared_ptr<Replica>> replicas;
  std::size_t died = 0;  // replicas that ended by themselves and have not been replaced: somebody will
  std::shared_ptr<VersionMetrics> metrics;
};

// What a replica's death or readiness means to who started it.
struct ReplicaEvent {
  std::string what;  // "ready", "dead"
  std::uint64_t id = 0;
};

struct ReplicaInfo {
  std::uint64_t id;
  std::string model, version;
  bool native;
  ReplicaState state;
  int pid;
  std::uint64_t batches;  // that it has answered
  std::string last_error;
  std::uint64_t under_way;  // batches that it has and has not answered
};

struct VersionInfo {
  std::string name;
  bool current;
  std::size_t ready, replicas, queued;
  std::uint32_t batch_size, largest_batch;
  std::string lineage;
  std::shared_ptr<VersionMetrics> metrics;
};

// What a model asks of the server around it.
struct Hooks {
  std::function<void(Nanos deadline)> wake;                        // somebody must call expire() by then
  std::function<void(int loop, std::function<void()> what)> post;  // runs it on that loop; empty: at once
  base::Env* env = &base::Env::real();                             // the clock of deadlines
};

// Any thread may call any function.
class Model : public std::enable_shared_from_this<Model> {
 public:
  static base::Result<std::shared_ptr<Model>> create(std::string name, base::Registry& registry, Hooks hooks);

  const std::string& name() const { return name_; }
  const std::shared_ptr<Slab>& slab() const { return slab_; }

  // kAlreadyExists.
  base::Status add_version(VersionConfig config) DAYBREAK_EXCLUDES(mutex_);
  // What waits for it goes to the current version, or gets the default. Its replicas must be gone: kFailedPrecondition.
  base::Status delete_version(const std::string& version) DAYBREAK_EXCLUDES(mutex_);
  // Requests that did not ask for a version and still wait go there too.
  base::Status set_current(const std::string& version) DAYBREAK_EXCLUDES(mutex_);
  bool has_version(const std::string& version) const DAYBREAK_EXCLUDES(mutex_);
  std::string current() const DAYBREAK_EXCLUDES(mutex_);
  InputType input_type(const std::string& version) const DAYBREAK_EXCLUDES(mutex_);
  // Inputs of another number of elements are refused from now on.
  void set_input_elements(const std::string& version, std::size_t elements) DAYBREAK_EXCLUDES(mutex_);
  // A replica that can answer for the current version is there.
  bool ready() const DAYBREAK_EXCLUDES(mutex_);

  base::Status add_replica(const std::string& version, std::shared_ptr<Replica> replica) DAYBREAK_EXCLUDES(mutex_);
  void replica_ready(std::uint64_t id, int pid) DAYBREAK_EXCLUDES(mutex_);
  // It takes no more. Waits until what it has is done, at most `limit`; what is left then goes back to the queue. False
  // when it was cut short.
  bool remove_replica(std::uint64_t id, std::chrono::milliseconds limit) DAYBREAK_EXCLUDES(mutex_);
  // What it computed is computed once more elsewhere, or has failed if it was the second time. False when it is not
  // here.
  bool replica_died(std::uint64_t id, std::string why) DAYBREAK_EXCLUDES(mutex_);
  // Its event was rung.
  void replica_rang(std::uint64_t id) DAYBREAK_EXCLUDES(mutex_);

  // Takes a call. kNotFound when it asks for a version that is not there, kInvalidArgument when the model takes inputs
  // of another length; else it will be answered, by its deadline.
  base::Status submit(const std::shared_ptr<Call>& call, const std::optional<std::string>& version)
      DAYBREAK_EXCLUDES(mutex_);
  // Answers what has waited long enough. Returns the next deadline, or the far future.
  Nanos expire(Nanos now) DAYBREAK_EXCLUDES(mutex_);
  // Everything that waits gets its default now.
  void fail_all(Reason reason) DAYBREAK_EXCLUDES(mutex_);

  std::vector<VersionInfo> versions() const DAYBREAK_EXCLUDES(mutex_);
  std::vector<ReplicaInfo> replicas() const DAYBREAK_EXCLUDES(mutex_);
  std::size_t outstanding() const DAYBREAK_EXCLUDES(mutex_);

 private:
  struct Outstanding {
    std::shared_ptr<const AppConfig> app;
    std::deque<std::shared_ptr<Call>> calls;  // in the order of their deadlines
  };
  using Finished = std::vector<std::shared_ptr<Call>>;

  Model(std::string name, base::Registry& registry, std::shared_ptr<Slab> slab, Hooks hooks);

  VersionState* find(const std::string& version) DAYBREAK_REQUIRES(mutex_);
  VersionState* version_of_replica(std::uint64_t id, std::shared_ptr<Replica>& replica) DAYBREAK_REQUIRES(mutex_);
  std::uint32_t batch_limit(const VersionState& version, const Call& call, Nanos now) const DAYBREAK_REQUIRES(mutex_);
  bool admits(const VersionState& version, const Call& call, Nanos now) const DAYBREAK_REQUIRES(mutex_);
  Nanos busy_for(const VersionState& version, const Replica& replica, Nanos now) const DAYBREAK_REQUIRES(mutex_);
  void enqueue(VersionState& version, ItemRef ref) DAYBREAK_REQUIRES(mutex_);
  void dispatch(VersionState& version, Nanos now) DAYBREAK_REQUIRES(mutex_);
  void finish(const ItemRef& ref, Reason reason, Finished& finished) DAYBREAK_REQUIRES(mutex_);
  void take_back(VersionState& version, Replica& replica, bool died, Finished& finished) DAYBREAK_REQUIRES(mutex_);
  void take_results(VersionState& version, Replica& replica, std::int64_t took_ns, std::vector<Result>& results,
                    Nanos now, Finished& finished) DAYBREAK_REQUIRES(mutex_);
  void forget_done(const AppConfig* app) DAYBREAK_REQUIRES(mutex_);
  // Together on their loops, or on this thread.
  void answer(Finished& finished, bool here = false) const;
  static void answer_here(const Finished& finished, base::Env& env);
  Nanos now() const { return hooks_.env->monotonic_ns(); }

  const std::string name_;
  base::Registry& registry_;
  const std::shared_ptr<Slab> slab_;
  const Hooks hooks_;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::map<std::string, std::unique_ptr<VersionState>> versions_ DAYBREAK_GUARDED_BY(mutex_);
  std::string current_ DAYBREAK_GUARDED_BY(mutex_);
  std::vector<Outstanding> outstanding_ DAYBREAK_GUARDED_BY(mutex_);
};

}  // namespace daybreak::serve
