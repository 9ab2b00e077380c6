// A driver of an engine that another process has started: it submits, waits and looks up as that one does, and leaves the
// engine as it found it. What it has begun ends with it, but for detached actors and groups.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "daybreak/base/error.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/door.h"
#include "daybreak/runtime/segment.h"

namespace daybreak::runtime {

// A thread of its own prints what the workers print and sees the engine's end: then Process::stopping says so, and
// whoever waits returns. Any thread may call; leave() once. In the child of a fork it must be released, not destroyed.
class AttachedDriver {
 public:
  // The engine whose door is `path`. kNotFound: none runs there; kPermissionDenied: another user's; kFailedPrecondition:
  // another program than `identity`; kResourceExhausted: it has no slot left.
  static base::Result<std::unique_ptr<AttachedDriver>> attach(const std::string& path, const std::string& identity,
                                                              bool prints);
  AttachedDriver(const AttachedDriver&) = delete;
  ~AttachedDriver();  // leave()

  Client& client() { return client_; }
  Process& process() { return process_; }
  Segment& segment() { return *segment_; }
  const std::string& path() const { return path_; }
  // What it submits is of this environment (Client::environment) from here on, which is its own.
  void set_environment(std::uint32_t number) { process_.slot().environment = number; }

  // Nobody waits any more when leaving is said (Process::stopping); then, once no thread is in the engine, leave() gives
  // everything back and returns when the engine has taken it, or has ended.
  void say_leaving();
  void leave();

 private:
  AttachedDriver(std::string path, EngineGreeting greeting, std::unique_ptr<Segment> segment, std::uint32_t proc);
  void listen();

  std::string path_;
  os::Fd socket_;
  EngineDescriptors descriptors_;
  std::unique_ptr<Segment> segment_;
  Process process_;
  Client client_;
  bool left_ = false;
  std::thread listener_;
};

}  // namespace daybreak::runtime
