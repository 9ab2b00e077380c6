// The runtime that a C++ program has started, or that this worker belongs to: its start and end, and what api.h's templates need of
// it that is the same for all types.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/runtime/native.h"

namespace daybreak::runtime {
class Node;
}

namespace daybreak::runtime::cpp {

// Of init().
struct Options {
  std::optional<std::uint32_t> num_cpus;                 // logical; the default are the cores that the process may use
  double num_gpus = 0;                                   // logical: ids 0, 1, ... are handed out
  std::map<std::string, double> resources;               // custom ones
  std::optional<std::uint64_t> object_store_memory;      // bytes; the default is 30% of the machine's memory
  std::string ray_namespace = "default";                 // of actors' names
  bool log_to_driver = true;                             // print what workers print
  std::optional<std::string> object_spilling_directory;  // the default is the temporary folder; "": nothing is spilled
  std::string python = "python3";  // the interpreter of tasks and actors in Python; it needs the package daybreak
};

// Of a task.
struct TaskOptions {
  double num_cpus = 1;
  double num_gpus = 0;
  std::map<std::string, double> resources;
  std::string name;               // in errors and lists; the default is the function's symbol
  std::int16_t max_retries = 3;   // when its worker dies; -1: without end
  bool retry_exceptions = false;  // when it fails, too
};

// Of an actor.
struct ActorOptions {
  double num_cpus = 0;
  double num_gpus = 0;
  std::map<std::string, double> resources;
  std::string name;                   // by which get_actor() finds it; empty: it has none
  std::int32_t max_restarts = 0;      // when its process dies; -1: without end
  std::int32_t max_task_retries = 0;  // of a call whose process dies; -1: without end
  std::uint32_t max_concurrency = 1;  // calls at once, on threads: at most kMaxThreads
  bool detached = false;              // it outlives its last handle

  static constexpr std::uint32_t kMaxThreads = 64;
};

// How long to wait; nothing: for ever.
using Timeout = std::optional<std::chrono::nanoseconds>;

// Starts the runtime of this program: workers, which are this program started again and forked, and an object store in shared
// memory. Nothing of main() runs in them; namespace-scope variables are theirs alone. Once in a program at a time.
// kFailedPrecondition: it runs already, or the program was linked without -Wl,--wrap=main. kInvalidArgument: an option is out of
// range. In a worker it does nothing.
base::Status init(const Options& options = {});
// Ends all workers and actors and frees the store, as soon as no ObjectRef or Tensor of it is left. Nothing to do when it does not
// run. A program that ends without it does it by itself.
void shutdown();
bool is_initialized();
// Whether the task that this thread runs is to stop: get() and wait() in it have returned kCancelled, too.
bool cancelled();

// ---------------------------------------------------------------------------------------------------------------------

class Session;
std::shared_ptr<Session> current_session();  // null: there is none
Client& client_of(Session& session);

// A reference to an object, or why there is none: an error of submission is found where its result is asked for. Immutable.
class Held {
 public:
  Held(std::shared_ptr<Session> session, Ref ref, std::uint32_t actor = kNone)  // takes over one local reference
      : session_(std::move(session)), ref_(ref), actor_(actor) {}
  explicit Held(base::Error refusal) : refusal_(std::move(refusal)) {}
  Held(const Held&) = delete;
  ~Held();

  const base::Error* refusal() const { return refusal_ ? &*refusal_ : nullptr; }
  const std::shared_ptr<Session>& session() const { return session_; }
  Client& client() const { return client_of(*session_); }
  Ref ref() const { return ref_; }
  std::uint32_t actor() const { return actor_; }  // slot, of a handle

 private:
  std::shared_ptr<Session> session_;
  Ref ref_ = kNoRef;
  std::uint32_t actor_ = kNone;
  std::optional<base::Error> refusal_;
};
using Handle = std::shared_ptr<const Held>;

Handle refusing(base::Error error);
// kFailedPrecondition: it is empty, was refused, or is of a runtime that has been shut down.
base::Status usable(const Handle& handle, std::string_view what);
// One of `refs`, which the caller's object keeps alive, with a reference of its own.
Handle borrowed(Ref ref);

// The arguments of one call, one behind the other. What is written must live until the call has been submitted.
class Arguments {
 public:
  Arguments(std::size_t count, std::string_view method);
  Arguments(const Arguments&) = delete;
  ~Arguments();

  template <typename F>
  void add(F&& write) {
    if (!status_) return;
    const ValueWriter::Mark before = writer_.mark();
    const std::uint64_t size = writer_.size();
    const std::size_t refs = nested_.size();
    status_ = write(writer_, nested_);
    ++added_;
    if (!status_)
      status_ = std::unexpected(std::move(status_).error().wrap(fmt::format("argument {}", added_)));
    else if (writer_.size() - size > kLargeArgument && nested_.size() == refs)
      move_out(before);
  }
  void depend_on(const Handle& handle);

  base::Status& status() { return status_; }
  const Payload& payload();

 private:
  static constexpr std::uint64_t kLargeArgument =
      100 * 1024;  // a larger one becomes an object, of which the task has a view

  void move_out(ValueWriter::Mark since);

  ValueWriter writer_;
  std::vector<Ref> deps_, nested_;
  std::vector<Handle> keep_;
  Payload payload_;
  base::Status status_;
  std::size_t added_ = 0;
};

// Which function a task runs: of C++, or of Python ("module:name").
struct Callee {
  NativeCode code;
  std::string python;
};

Handle submit_task(const Callee& callee, const TaskOptions& options, Arguments& arguments);
Handle submit_call(const Handle& actor, Arguments& arguments);

// What a handle must know of its class.
struct ClassInfo {
  std::string name;                  // for people
  std::string type;                  // by which get_actor() knows it: typeid's name, or "python"
  std::vector<std::string> methods;  // by which Python calls it
};
// The name of the constructor's call: what actors.py reads of it.
std::string described(const ClassInfo& info);
Handle make_actor(const Callee& constructor, const ClassInfo& info, const ActorOptions& options, Arguments& arguments);
Handle find_named_actor(const std::string& name, const ClassInfo& info);
base::Status end_actor(const Handle& actor, bool no_restart);

Handle put_payload(const base::Status& written, const Payload& payload);

// Its bytes, once it is done; an error object gives its error.
base::Result<std::span<const std::byte>> await_value(const Held& held, std::optional<std::int64_t> deadline_ns);
base::Result<std::optional<std::int64_t>> deadline_of(Timeout timeout);
// Until `count` of them are done or the time is up: for each whether it is.
base::Result<std::vector<bool>> await_some(std::span<const Handle> handles, std::size_t count, Timeout timeout);
base::Result<bool> cancel_task(const Handle& handle, bool force, bool recursive);

// While a C++ function runs in a process whose runtime is somebody else's code (a library that Python's worker has loaded): the
// session of that worker, for this library's copy of the runtime.
class CallScope {
 public:
  explicit CallScope(NativeCall& call);
  CallScope(const CallScope&) = delete;
  ~CallScope();
  // kFailedPrecondition: the library was built with another version of the runtime than the process that has loaded it.
  static base::Status check(const NativeCall& call);

 private:
  std::uint32_t before_;
};

// The exception that is being handled, as an error: its class and text, and the code that fits it.
base::Error error_of_exception();
// "Counter" of typeid(Counter).name().
std::string demangled(const char* name);

}  // namespace daybreak::runtime::cpp
