#include "daybreak/runtime/cpp/session.h"

#include <cxxabi.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <ios>
#include <new>
#include <stdexcept>
#include <system_error>
#include <typeinfo>

#include "daybreak/base/json.h"
#include "daybreak/base/machine.h"
#include "daybreak/runtime/cpp/code_address.h"
#include "daybreak/runtime/cpp/main.h"
#include "daybreak/runtime/node.h"

namespace daybreak::runtime::cpp {

constexpr std::size_t kMaxNamedFunctions = 10'000;  // of Python, and with names that tasks were given

// A driver's owns the node; a worker's has the client of its main function. Handles keep it: what they name lies in its memory.
class Session {
 public:
  explicit Session(std::unique_ptr<Node> node, Options options)
      : node_(std::move(node)), client_(&node_->client()), options_(std::move(options)) {}
  explicit Session(Client& client) : client_(&client) {}
  ~Session() = default;

  Client& client() { return *client_; }
  Process& process() { return client_->process(); }
  const Options& options() const { return options_; }
  bool is_worker() const { return !node_; }
  bool stopped() { return process().control().stopping.load() != 0; }

  void stop() {
    if (!node_) return;
    node_->stop();
    process().ring_surely(kDriverProc);  // who waits sees that it is over
  }
  // In the child of a fork: what is here is the parent's.
  void disown() {
    disowned_ = true;
    if (node_) node_->disown();
  }
  void release(Ref ref) {
    if (!disowned_) process().release(ref);
  }

  // The function in the store, put there once.
  base::Result<Ref> function(const Callee& callee, const std::string& name = {}) DAYBREAK_EXCLUDES(mutex_);
  base::Result<std::uint16_t> python_environment();

 private:
  std::unique_ptr<Node> node_;
  Client* client_;
  Options options_;
  bool disowned_ = false;
  base::Mutex mutex_;
  std::map<std::pair<NativeFunction, NativeTarget>, Ref> functions_ DAYBREAK_GUARDED_BY(mutex_);  // held until the end
  std::map<std::string, Ref> named_functions_
      DAYBREAK_GUARDED_BY(mutex_);  // of Python, and those with a name of their own
};

namespace {

constexpr std::uint32_t kMaxCpus = 4096, kMaxGpus = 64;
constexpr std::uint64_t kMinStoreBytes = 1 << 20;
constexpr std::chrono::seconds kWorkersWithin{10};

struct TheSession {
  base::Mutex mutex;
  std::shared_ptr<Session> session DAYBREAK_GUARDED_BY(mutex);
};
TheSession& the_session() {
  static TheSession one;
  return one;
}

void set_session(std::shared_ptr<Session> session) {
  TheSession& the = the_session();
  const base::MutexLock lock(the.mutex);
  the.session = std::move(session);
}

base::Error not_initialized() {
  return base::Error(base::Code::kFailedPrecondition, "the runtime does not run: call daybreak::init() first");
}

std::string full_actor_name(Session& session, const std::string& name) {
  std::string space;
  for (const char c : session.options().ray_namespace) space += c == '%' ? "%25" : c == '/' ? "%2F" : std::string(1, c);
  return space + "/" + name;
}

base::Result<NodeOptions> node_options(const Options& options) {
  const base::Machine machine = base::this_machine();
  NodeOptions node{.num_cpus = options.num_cpus.value_or(machine.cores), .num_gpus = options.num_gpus};
  if (node.num_cpus > kMaxCpus)
    return base::fail(base::Code::kInvalidArgument, "num_cpus={}: at most {} are possible", node.num_cpus, kMaxCpus);
  if (!(options.num_gpus >= 0 && options.num_gpus <= kMaxGpus))
    return base::fail(base::Code::kInvalidArgument, "num_gpus={}: between 0 and {} are possible", options.num_gpus,
                      kMaxGpus);
  for (const auto& [name, amount] : options.resources) {
    if (!(amount >= 0))
      return base::fail(base::Code::kInvalidArgument, "resources: {}={}: it must not be negative", name, amount);
    node.resources.emplace_back(name, amount);
  }
  node.object_store_bytes = options.object_store_memory.value_or(machine.memory_bytes / 10 * 3);
  if (node.object_store_bytes < kMinStoreBytes || node.object_store_bytes > machine.memory_bytes)
    return base::fail(
        base::Code::kInvalidArgument, "object_store_memory={}: it must lie between {} bytes and {}, {} bytes",
        node.object_store_bytes, kMinStoreBytes,
        machine.memory_limit_file.empty() ? "the memory of this machine" : "the limit in " + machine.memory_limit_file,
        machine.memory_bytes);
  const char* temporary = std::getenv("TMPDIR");
  node.spill_directory =
      options.object_spilling_directory.value_or(temporary != nullptr && *temporary != 0 ? temporary : "/tmp");
  node.spill_is_a_must = options.object_spilling_directory.has_value() && !node.spill_directory.empty();
  node.log_to_driver = options.log_to_driver;
  node.command = {"/proc/self/exe", std::string(kZygoteArgument)};
  node.identity = "a C++ program's";  // drivers in Python, which would attach, are told
  return node;
}

}  // namespace

std::shared_ptr<Session> current_session() {
  TheSession& the = the_session();
  const base::MutexLock lock(the.mutex);
  return the.session;
}

Client& client_of(Session& session) {
  return session.client();
}

base::Status init(const Options& options) {
  if (const auto session = current_session()) {
    if (session->is_worker()) return {};
    return base::fail(base::Code::kFailedPrecondition,
                      "the runtime runs already: call daybreak::shutdown() first, or ask daybreak::is_initialized()");
  }
  if (Client* client = current_client()) {  // a worker
    set_session(std::make_shared<Session>(*client));
    return {};
  }
  if (!main_is_wrapped())
    return base::fail(base::Code::kFailedPrecondition,
                      "the program cannot start its workers: link it with -Wl,--wrap=main, as CMake does for who links "
                      "daybreak::runtime");
  DAYBREAK_ASSIGN(NodeOptions node_options, cpp::node_options(options));
  const std::uint32_t workers = std::min(node_options.num_cpus, 1u);
  DAYBREAK_ASSIGN(std::unique_ptr<Node> node, Node::start(std::move(node_options)));
  set_current_client(&node->client());
  node->await_workers(workers, kWorkersWithin);
  static const int at_fork = pthread_atfork(nullptr, nullptr, [] {
    auto* const left = new std::shared_ptr<Session>(current_session());  // with its threads, which are not here
    if (*left) (*left)->disown();
    set_current_client(nullptr);
    set_session(nullptr);
  });
  std::ignore = at_fork;
  set_session(std::make_shared<Session>(std::move(node), options));
  return {};
}

void shutdown() {
  const std::shared_ptr<Session> session = current_session();
  if (!session || session->is_worker()) return;
  set_session(nullptr);
  set_current_client(nullptr);
  session->stop();
}

bool is_initialized() {
  return current_session() != nullptr;
}

bool cancelled() {
  const auto session = current_session();
  return session && Client::current_task != 0 &&
         session->process().entry(Client::current_task - 1).load().has(State::kCancelled);
}

// ---------------------------------------------------------------------------------------------------------------------
// Handles and arguments.

Held::~Held() {
  if (session_) session_->release(ref_);
}

Handle refusing(base::Error error) {
  return std::make_shared<const Held>(std::move(error));
}

base::Status usable(const Handle& handle, std::string_view what) {
  if (!handle) return base::fail(base::Code::kInvalidArgument, "{} is empty: it was never given a value", what);
  if (handle->refusal() != nullptr) return std::unexpected(*handle->refusal());
  if (handle->session()->stopped())
    return base::fail(base::Code::kFailedPrecondition, "{} belongs to a runtime that has been shut down", what);
  return {};
}

Handle borrowed(Ref ref) {
  const auto session = current_session();
  if (!session) return refusing(not_initialized());
  session->process().hold(ref);
  const Entry& entry = session->process().entry(ref.index);
  return std::make_shared<const Held>(session, ref, entry.kind == Kind::kActorCreate ? entry.part.actor : kNone);
}

// A call allocates little in the steady state: the storage is handed on from one to the next on this thread.
struct ArgumentStorage {
  std::string written;
  Payload payload;
};
static thread_local ArgumentStorage spare_arguments;
constexpr std::size_t kSpareBytes = 65'536;

Arguments::~Arguments() {
  std::string written = writer_.take_storage();
  if (written.capacity() < kSpareBytes) spare_arguments.written.swap(written);
  std::swap(payload_, spare_arguments.payload);
}

Arguments::Arguments(std::size_t count, std::string_view method) : writer_(std::move(spare_arguments.written)) {
  std::swap(payload_, spare_arguments.payload);
  if (count > kMaxCallArguments || method.size() > kMaxCallArguments)
    status_ = base::fail(base::Code::kInvalidArgument, "{} arguments, at most {} are possible: pass a vector", count,
                         kMaxCallArguments);
  else
    writer_.call(static_cast<std::uint16_t>(count), 0, method);
}

void Arguments::depend_on(const Handle& handle) {
  ++added_;
  if (!status_) return;
  status_ = usable(handle, fmt::format("argument {}, an ObjectRef,", added_));
  if (!status_) return;
  writer_.dependency(static_cast<std::uint32_t>(deps_.size()));
  deps_.push_back(handle->ref());
  keep_.push_back(handle);
}

// As Python does: what was written last becomes an object of its own, and a dependency.
void Arguments::move_out(ValueWriter::Mark since) {
  const ValueWriter own = writer_.split(since);
  Payload payload;
  payload.codec = kCodecItem;
  own.add_pieces(payload);
  const Handle handle = put_payload({}, payload);
  if (handle->refusal() != nullptr) {
    status_ = std::unexpected(*handle->refusal());
    return;
  }
  writer_.dependency(static_cast<std::uint32_t>(deps_.size()));
  deps_.push_back(handle->ref());
  keep_.push_back(handle);
}

const Payload& Arguments::payload() {
  payload_.pieces.clear();
  payload_.codec = kCodecArgs;
  payload_.refs.assign(deps_.begin(), deps_.end());
  payload_.refs.insert(payload_.refs.end(), nested_.begin(), nested_.end());
  payload_.deps = static_cast<std::uint16_t>(deps_.size());
  writer_.add_pieces(payload_);
  return payload_;
}

Handle put_payload(const base::Status& written, const Payload& payload) {
  if (!written) return refusing(written.error());
  const auto session = current_session();
  if (!session) return refusing(not_initialized());
  auto ref = session->client().put(payload);
  return ref ? std::make_shared<const Held>(session, *ref) : refusing(std::move(ref).error());
}

// ---------------------------------------------------------------------------------------------------------------------
// Tasks and actors.

base::Result<Ref> Session::function(const Callee& callee, const std::string& name) {
  const base::MutexLock lock(mutex_);
  if (callee.python.empty() && name.empty()) {
    const auto key = std::pair(callee.code.run, callee.code.target);
    if (const auto known = functions_.find(key); known != functions_.end()) return known->second;
    const std::uint64_t target = callee.code.target[0];
    NativeCode code = callee.code;
    code.name = name_of_code(target != 0 ? reinterpret_cast<const void*>(target)
                                         : reinterpret_cast<const void*>(callee.code.run));
    DAYBREAK_ASSIGN(const std::string text, name_native(code));
    DAYBREAK_ASSIGN(const Ref ref, put_native(*client_, text));
    functions_.emplace(key, ref);
    return ref;
  }
  std::string text = callee.python;
  if (text.empty()) {
    NativeCode code = callee.code;
    code.name = name;
    DAYBREAK_ASSIGN(text, name_native(code));
  }
  if (const auto known = named_functions_.find(text); known != named_functions_.end()) return known->second;
  if (named_functions_.size() == kMaxNamedFunctions)
    return base::fail(
        base::Code::kResourceExhausted,
        "{} different names of tasks are kept until the runtime ends, more are not possible: give tasks of one "
        "function one name",
        kMaxNamedFunctions);
  Payload payload;
  payload.codec = callee.python.empty() ? kCodecNative : kCodecPython;
  payload.pieces.push_back({text.data(), text.size(), 1});
  DAYBREAK_ASSIGN(const Ref ref, client_->put(payload));
  named_functions_.emplace(text, ref);
  return ref;
}

base::Result<std::uint16_t> Session::python_environment() {
  if (is_worker() && process().slot().environment != 0) return process().slot().environment;
  base::Json described = base::Json::object();
  described[std::string(kPythonInterpreter)] = options_.python;
  return client_->environment(base::dump_json(described));
}

namespace {

base::Result<std::uint16_t> resource_set_of(Session& session, const Callee& callee, double cpus, double gpus,
                                            const std::map<std::string, double>& custom) {
  std::uint16_t environment = 0;
  if (!callee.python.empty()) {
    DAYBREAK_ASSIGN(environment, session.python_environment());
  }
  if (cpus == 1 && gpus == 0 && custom.empty() && environment == 0) return std::uint16_t{0};
  return session.client().resource_set(
      {.cpu = cpus, .gpu = gpus, .custom = {custom.begin(), custom.end()}, .environment = environment});
}

base::Result<Ref> submitted_task(Session& session, const Callee& callee, const TaskOptions& options,
                                 Arguments& arguments) {
  DAYBREAK_TRY(std::exchange(arguments.status(), {}));
  if (options.max_retries < -1)
    return base::fail(base::Code::kInvalidArgument, "max_retries={}: it must be -1 (without end) or more",
                      options.max_retries);
  if (options.name.find('\n') != std::string::npos)
    return base::fail(base::Code::kInvalidArgument, "the task's name '{}' has more than one line", options.name);
  DAYBREAK_ASSIGN(const Ref function, session.function(callee, options.name));
  TaskSpec spec{.function = function, .max_retries = options.max_retries};
  DAYBREAK_ASSIGN(spec.resources,
                  resource_set_of(session, callee, options.num_cpus, options.num_gpus, options.resources));
  if (options.retry_exceptions) spec.options = kRetryExceptions;
  thread_local std::vector<Ref> results;
  results.clear();
  DAYBREAK_TRY(session.client().submit(spec, arguments.payload(), results));
  return results.at(0);
}

base::Result<Client::Actor> made_actor(Session& session, const Callee& constructor, const ClassInfo& info,
                                       const ActorOptions& options, Arguments& arguments) {
  DAYBREAK_TRY(std::exchange(arguments.status(), {}));
  if (options.max_concurrency < 1 || options.max_concurrency > ActorOptions::kMaxThreads)
    return base::fail(base::Code::kInvalidArgument, "max_concurrency={}: between 1 and {} are possible",
                      options.max_concurrency, ActorOptions::kMaxThreads);
  if (options.max_restarts < -1 || options.max_task_retries < -1)
    return base::fail(base::Code::kInvalidArgument,
                      "max_restarts={}, max_task_retries={}: they must be -1 (without end) or more",
                      options.max_restarts, options.max_task_retries);
  if (options.detached && options.name.empty())
    return base::fail(base::Code::kInvalidArgument, "a detached actor needs a name, by which it is found");
  TaskSpec spec{.kind = Kind::kActorCreate};
  DAYBREAK_ASSIGN(spec.function, session.function(constructor));
  DAYBREAK_ASSIGN(spec.resources,
                  resource_set_of(session, constructor, options.num_cpus, options.num_gpus, options.resources));
  return session.client().create_actor(spec, arguments.payload(),
                                       {.max_restarts = options.max_restarts,
                                        .max_task_retries = options.max_task_retries,
                                        .max_concurrency = options.max_concurrency,
                                        .detached = options.detached,
                                        .name = options.name.empty() ? "" : full_actor_name(session, options.name),
                                        .class_name = info.name});
}

// The handle's class is the one that the actor was made of.
base::Status check_class(Session& session, const Client::Actor& actor, const std::string& name, const ClassInfo& info) {
  const auto call = ValueReader(session.process().args(actor.creation.index)).call();
  if (!call) return base::fail(base::Code::kDataLoss, "the actor '{}' is damaged", name);
  DAYBREAK_ASSIGN(const base::Json json, base::parse_json(call->method));
  const std::string type = json.value("cpp_type", "python");
  if (type == info.type) return {};
  return base::fail(base::Code::kInvalidArgument, "the actor '{}' is of the class {}{}, not {}", name,
                    json.value("class_name", "?"), type == "python" ? " of Python" : "", info.name);
}

}  // namespace

Handle submit_task(const Callee& callee, const TaskOptions& options, Arguments& arguments) {
  const auto session = current_session();
  if (!session) return refusing(not_initialized());
  auto ref = submitted_task(*session, callee, options, arguments);
  return ref ? std::make_shared<const Held>(session, *ref) : refusing(std::move(ref).error());
}

Handle submit_call(const Handle& actor, Arguments& arguments) {
  if (auto status = usable(actor, "the actor's handle"); !status) return refusing(std::move(status).error());
  if (!arguments.status()) return refusing(arguments.status().error());
  Client& client = actor->client();
  const std::int32_t retries = client.process().control().actor[actor->actor()].max_task_retries;
  const TaskSpec spec{.kind = Kind::kActorCall,
                      .actor = actor->actor(),
                      .max_retries = static_cast<std::int16_t>(std::min(retries, 0x7fff))};
  std::vector<Ref> results;
  if (auto status = client.submit(spec, arguments.payload(), results); !status)
    return refusing(std::move(status).error());
  return std::make_shared<const Held>(actor->session(), results.at(0));
}

std::string described(const ClassInfo& info) {
  base::Json json = base::Json::object();
  json["class_name"] = info.name;
  if (info.type != "python") json["cpp_type"] = info.type;
  base::Json methods = base::Json::object();
  for (const std::string& method : info.methods) methods[method] = 1;
  json["methods"] = methods;
  return base::dump_json(json);
}

Handle make_actor(const Callee& constructor, const ClassInfo& info, const ActorOptions& options, Arguments& arguments) {
  const auto session = current_session();
  if (!session) return refusing(not_initialized());
  auto actor = made_actor(*session, constructor, info, options, arguments);
  return actor ? std::make_shared<const Held>(session, actor->creation, actor->slot)
               : refusing(std::move(actor).error());
}

Handle find_named_actor(const std::string& name, const ClassInfo& info) {
  const auto session = current_session();
  if (!session) return refusing(not_initialized());
  auto actor = session->client().find_actor(full_actor_name(*session, name));
  if (!actor) return refusing(std::move(actor).error());
  Handle handle = std::make_shared<const Held>(session, actor->creation, actor->slot);
  if (auto status = check_class(*session, *actor, name, info); !status) return refusing(std::move(status).error());
  return handle;
}

base::Status end_actor(const Handle& actor, bool no_restart) {
  DAYBREAK_TRY(usable(actor, "the actor's handle"));
  actor->client().kill_actor(actor->actor(), no_restart);
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Waiting.

base::Result<std::optional<std::int64_t>> deadline_of(Timeout timeout) {
  if (!timeout) return std::optional<std::int64_t>();
  if (timeout->count() < 0)
    return base::fail(base::Code::kInvalidArgument,
                      "timeout={} ns: it must be 0 or more; without one it waits for ever", timeout->count());
  return std::optional(Client::now_ns() + timeout->count());
}

// An interruption is another signal's, unless the task of this thread or the whole runtime is to end.
static base::Status await_done(Client& client, std::span<const Ref> refs, std::size_t count, std::int64_t deadline_ns) {
  for (;;) {
    const WaitResult result = client.wait(refs, count, deadline_ns);
    if (result == WaitResult::kDone) return {};
    if (result == WaitResult::kTimeout)
      return base::fail(base::Code::kDeadlineExceeded, "the time was up before the value was there");
    if (client.process().control().stopping.load() != 0)
      return base::fail(base::Code::kCancelled, "the runtime was shut down meanwhile");
    if (Client::current_task != 0 && client.process().entry(Client::current_task - 1).load().has(State::kCancelled))
      return base::fail(base::Code::kCancelled, "the task that waits was cancelled");
  }
}

base::Result<std::span<const std::byte>> await_value(const Held& held, std::optional<std::int64_t> deadline_ns) {
  Client& client = held.client();
  const Ref ref = held.ref();
  if (!client.process().done(ref)) DAYBREAK_TRY(await_done(client, {&ref, 1}, 1, deadline_ns.value_or(-1)));
  return readable_value(client, ref);
}

base::Result<std::vector<bool>> await_some(std::span<const Handle> handles, std::size_t count, Timeout timeout) {
  DAYBREAK_ASSIGN(const auto deadline, deadline_of(timeout));
  if (count == 0 || count > handles.size())
    return base::fail(base::Code::kInvalidArgument,
                      "num_returns={}: between 1 and the number of references, {}, are possible", count,
                      handles.size());
  std::vector<Ref> refs;
  for (const Handle& handle : handles) {
    DAYBREAK_TRY(usable(handle, "an ObjectRef"));
    refs.push_back(handle->ref());
  }
  Client& client = handles[0]->client();
  auto status = await_done(client, refs, count, deadline.value_or(-1));
  if (!status && status.error().code() != base::Code::kDeadlineExceeded)
    return std::unexpected(std::move(status).error());
  std::vector<bool> done;
  done.reserve(refs.size());
  for (const Ref ref : refs) done.push_back(client.process().done(ref));
  return done;
}

base::Result<bool> cancel_task(const Handle& handle, bool force, bool recursive) {
  DAYBREAK_TRY(usable(handle, "the ObjectRef"));
  Client& client = handle->client();
  if (force && client.process().entry(handle->ref().index).kind == Kind::kActorCall)
    return base::fail(base::Code::kInvalidArgument,
                      "force is for tasks: an actor's process is ended by daybreak::kill()");
  return client.cancel(handle->ref(), force, recursive);
}

// ---------------------------------------------------------------------------------------------------------------------
// In a worker.

base::Status CallScope::check(const NativeCall& call) {
  if (call.abi() == kNativeAbi) return {};
  return base::fail(
      base::Code::kFailedPrecondition,
      "the library of C++ functions was built with another version of the runtime than the process that has "
      "loaded it: build it again with this one's");
}

CallScope::CallScope(NativeCall& call) : before_(Client::current_task) {
  if (call.describes()) return;
  static std::atomic<Client*> bound{nullptr};  // whose session is the current one, since a first call
  if (bound.load(std::memory_order_acquire) != &call.client()) {
    set_session(std::make_shared<Session>(call.client()));
    if (current_client() == nullptr) set_current_client(&call.client());
    bound.store(&call.client(), std::memory_order_release);
  }
  const bool creation = call.client().process().entry(call.index()).kind == Kind::kActorCreate;
  Client::current_task = creation ? 0 : call.index() + 1;
}

CallScope::~CallScope() {
  Client::current_task = before_;
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 ? text.get() : name;
}

base::Error error_of_exception() {
  auto made = [](base::Code code, const std::exception& error) {
    return base::Error(code, fmt::format("{}: {}", demangled(typeid(error).name()), error.what()));
  };
  try {
    throw;
  } catch (const base::Error& error) {
    return error;
  } catch (const std::bad_expected_access<base::Error>& error) {  // of value()
    return error.error();
  } catch (const std::invalid_argument& error) {
    return made(base::Code::kInvalidArgument, error);
  } catch (const std::out_of_range& error) {
    return made(base::Code::kOutOfRange, error);
  } catch (const std::bad_alloc& error) {
    return made(base::Code::kResourceExhausted, error);
  } catch (const std::ios_base::failure& error) {
    return made(base::Code::kUnknown, error);
  } catch (const std::system_error& error) {
    const std::error_code code = error.code();
    const bool of_errno = code.category() == std::generic_category() || code.category() == std::system_category();
    return made(of_errno ? base::fail_errno("", code.value()).error().code() : base::Code::kUnknown, error);
  } catch (const std::exception& error) {
    return made(base::Code::kUnknown, error);
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return base::Error(base::Code::kUnknown, fmt::format("an exception of the class {}, which has no text",
                                                         type == nullptr ? "?" : demangled(type->name())));
  }
}

}  // namespace daybreak::runtime::cpp
