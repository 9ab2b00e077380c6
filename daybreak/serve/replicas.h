// The replicas of all models: how they attach, ring and die; and the thread that answers at deadlines.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "daybreak/base/capsule.h"
#include "daybreak/base/mutex.h"
#include "daybreak/os/fd.h"
#include "daybreak/serve/apps.h"
#include "daybreak/serve/model.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxReplicas = 1000;
inline constexpr Nanos kAttachNs = 10'000'000'000;  // a process that connects says who it is within this time

// Any thread may call any function.
class Replicas {
 public:
  static base::Result<std::unique_ptr<Replicas>> start(Apps& apps);
  ~Replicas();
  Replicas(const Replicas&) = delete;
  Replicas& operator=(const Replicas&) = delete;

  // A thread of this process that runs the model. Its inputs are numbers, converted to the model's type.
  base::Result<std::uint64_t> add_native(const std::string& model, const std::string& version,
                                         const daybreak_model_v1* native);
  // One that another process will be: it calls attach() with this address, which is a secret and good once.
  struct Channel {
    std::uint64_t id;
    std::string address;
  };
  base::Result<Channel> add_process(const std::string& model, const std::string& version);
  // Takes nothing more, waits for what it has, at most `limit`, and ends it. False when it was cut short or is not
  // there.
  bool remove(std::uint64_t id, std::chrono::milliseconds limit);

  // The next "ready" or "dead". Empty at the timeout and after stop().
  std::optional<ReplicaEvent> wait_event(std::chrono::milliseconds limit);
  // Model::expire() is to be called by then.
  void wake(Nanos deadline);
  // Ends all replicas and the thread.
  void stop();

  class Impl;

 private:
  explicit Replicas(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A replica's process, attached. One thread at a time.
class Attached {
 public:
  // kUnavailable when the server is not there, kPermissionDenied when the address is not, or not any more, good.
  static base::Result<std::unique_ptr<Attached>> attach(const std::string& address);
  ~Attached();
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;

  base::Status ready();
  ReplicaSide& side() { return *side_; }
  // Whether the server is still there.
  bool connected() const;
  InputType input_type() const { return input_type_; }

 private:
  Attached() = default;
  InputType input_type_ = InputType::kDoubles;
  os::Fd socket_;
  os::Fd event_;
  std::span<const std::byte> slab_;
  std::optional<ReplicaSide> side_;
};

}  // namespace daybreak::serve
