// A worker or an actor without Python: what run_native() does with a call is what Python's worker does with a C++ function, too.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "daybreak/base/json.h"
#include "daybreak/runtime/native.h"
#include "daybreak/runtime/spill_folder.h"
#include "daybreak/runtime/worker_loop.h"
#include "daybreak/runtime/zygote.h"

namespace daybreak::runtime {

namespace {

constexpr std::uint32_t kMaxNativeThreads = 64;  // of one actor; they are started with it

// As exceptions.py has them: Python's caller and C++'s read the same.
base::Status write_native_error(Client& client, std::uint32_t at, std::string_view name, const base::Error& error) {
  const std::string text = fmt::format("{}() (pid={}): {}", name, getpid(), error.to_string());
  ValueWriter writer;
  auto word = [&](std::string_view value) { writer.text(value.data(), value.size()); };
  writer.container(Tag::kDict, 6);
  word("function"), word(name);
  word("pid"), writer.integer(getpid());
  word("traceback"), word(text);
  word("cause"), writer.none();
  word("below"), word(python_class_of(error.code()));
  word("code"), writer.integer(static_cast<std::int64_t>(error.code()));
  Payload payload;
  payload.codec = kCodecException;
  writer.add_pieces(payload);
  return client.set_value(at, payload);
}

// Calls write(index) for each result of the task, the first one last, as Client::fail does; what it cannot write becomes an
// error of the store.
template <typename F>
void publish_native_errors(Client& client, std::uint32_t index, ErrorKind kind, F&& write) {
  Process& p = client.process();
  auto one = [&](std::uint32_t at) {
    if (p.entry(at).value.where != kNowhere) p.drop_value(at);
    if (!write(at))
      return p.publish_error(at, ErrorKind::kStoreFull, "the object store is too full for a task's error");
    p.entry(at).error = kind;
    p.publish(at, true);
  };
  for (const Ref sibling : p.further_results(index))
    if (p.claim_pending(sibling)) one(sibling.index);
  one(index);
}

// The task fails as the one did that was to make its argument.
void pass_native_error_on(Client& client, std::uint32_t index, Ref from) {
  Process& p = client.process();
  const Entry& source = p.entry(from.index);
  if (source.value.where == kNowhere) return client.fail(index, source.error, lost_value_text(p, from));
  const std::span<const std::byte> bytes = p.value(from.index);
  const std::span<const Ref> refs = p.value_refs(from.index);
  Payload payload;
  payload.pieces.push_back({bytes.data(), bytes.size(), 1});
  payload.refs.assign(refs.begin(), refs.end());
  payload.codec = source.value.codec;
  publish_native_errors(client, index, source.error,
                        [&](std::uint32_t at) { return client.set_value(at, payload).has_value(); });
}

// The last function or method that this thread ran is often the next.
struct LastNative {
  Ref function = kNoRef;
  std::string method;
  const NativeCode* code = nullptr;
};
thread_local LastNative last_native;

base::Result<const NativeCode*> find_native_method(NativeCall& call, const NativeInstance& instance) {
  if (last_native.code != nullptr && last_native.method == call.method()) return last_native.code;
  if (call.method().starts_with('\x01')) {
    DAYBREAK_ASSIGN(const NativeCode* code, find_native(call.method()));
    last_native = {.function = kNoRef, .method = std::string(call.method()), .code = code};
    return code;
  }
  std::string known;
  for (const NativeCode& method : instance.methods) {
    if (method.name == call.method()) return &method;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", method.name);
  }
  return base::fail(base::Code::kNotFound, "the actor {} has no method '{}'; by name it has {}", instance.class_name,
                    call.method(), known.empty() ? "none: its class lists none" : known);
}

base::Result<const NativeCode*> find_native_code(NativeCall& call) {
  Process& p = call.client().process();
  Entry& e = p.entry(call.index());
  if (e.kind == Kind::kActorCall) {
    if (call.instance() == nullptr) return base::fail(base::Code::kInternal, "a call without its actor's object");
    return find_native_method(call, *call.instance());
  }
  const Ref function = e.part.function;
  if (last_native.code != nullptr && last_native.function == function) return last_native.code;
  if (p.entry(function.index).value.codec != kCodecNative)
    return base::fail(base::Code::kInvalidArgument, "the function is one of Python, and this worker has none");
  const std::span<const std::byte> name = p.value(function.index);
  DAYBREAK_ASSIGN(const NativeCode* code, find_native({reinterpret_cast<const char*>(name.data()), name.size()}));
  last_native = {.function = function, .method = {}, .code = code};
  return code;
}

}  // namespace

// By way of the scheduler, or of the actor's inbox: the push is one detectable step, after which the task is the reader's
// whether we die or not. The scheduler knows what to do when the queue is full.
void try_again(Process& p, std::uint32_t index) {
  TaskPart& part = p.entry(index).part;
  if (part.retries_left > 0) --part.retries_left;
  part.set_attempt(part.attempt + 1);
  part.set_target(0);
  if (p.entry(index).kind == Kind::kActorCall) {
    p.push(Process::kActorList + part.actor, index, Phase::kQueued);
    p.ring(p.id());
    return;
  }
  p.push(Process::kSchedulerList, index, Phase::kPending);
  p.ring(kSchedulerProc);
}

void run_native(Client& client, std::uint32_t index, NativeInstance* instance) {
  Process& p = client.process();
  Entry& e = p.entry(index);
  if ((e.part.options & (kStreaming | kDynamic)) != 0 || e.part.num_returns > 1)
    return client.fail(
        index, ErrorKind::kRuntime,
        fmt::format(
            "a C++ function has one result and yields nothing: num_returns must be 1 (it is {})",
            (e.part.options & (kStreaming | kDynamic)) != 0 ? "a generator's" : fmt::format("{}", e.part.num_returns)));
  NativeCall call(client, index, instance);
  std::string_view name = "a C++ function";
  base::Status status = call.open();
  if (status) {
    auto code = find_native_code(call);
    if (code) {
      name = (*code)->name;
      call.set_target((*code)->target);
      status = (*code)->run(call);
      if (status) status = call.store();
    } else {
      status = std::unexpected(std::move(code).error());
    }
  }
  std::fflush(stdout);  // what it has printed reaches the driver, whatever becomes of this process
  if (status) return p.publish(index, false);
  if (call.failed_dependency()) return pass_native_error_on(client, index, *call.failed_dependency());
  if (e.load().has(State::kCancelled)) {
    if (e.value.where != kNowhere) p.drop_value(index);
    return client.cancel_claimed(index);
  }
  if ((e.part.options & kRetryExceptions) != 0 && e.part.retries_left != 0) {
    if (e.value.where != kNowhere) p.drop_value(index);
    return try_again(p, index);
  }
  publish_native_errors(client, index, ErrorKind::kUser, [&](std::uint32_t at) {
    return write_native_error(client, at, name, status.error()).has_value();
  });
}

bool construct_native(Client& client, std::uint32_t actor, NativeInstance& instance) {
  Process& p = client.process();
  ActorSlot& slot = p.control().actor[actor];
  const std::uint32_t index = slot.creation.index;
  NativeCall call(client, index, &instance);
  base::Status status = call.open();
  if (status) {
    auto code = find_native_code(call);
    status = code ? (call.set_target((*code)->target), (*code)->run(call))
                  : base::Status(std::unexpected(std::move(code).error()));
  }
  if (status && !instance.object)
    status =
        base::fail(base::Code::kInvalidArgument, "the function makes no object of a class: daybreak::construct does");
  if (status) {
    slot.status.store(ActorStatus::kAlive);
    return true;
  }
  if (write_native_error(client, index, fmt::format("{}.__init__", slot.class_name), status.error()))
    p.entry(index).error = ErrorKind::kUser;
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------

namespace {

// A worker of Python: this process becomes an interpreter, which takes up the work in its place (worker.py).
[[noreturn]] void become_python(std::uint32_t proc, std::string_view environment) {
  auto described = base::parse_json(environment);
  auto interpreter = described ? base::json_member<std::string>(*described, kPythonInterpreter)
                               : base::Result<std::string>(std::unexpected(described.error()));
  if (!interpreter) {
    std::fprintf(stderr, "the environment of a worker cannot be read: %s\n", interpreter.error().to_string().c_str());
    _exit(1);
  }
  setenv("DAYBREAK_SLOT", fmt::format("{}", proc).c_str(), 1);
  for (const int fd : {kZygoteControlFd, kZygoteDataFd}) fcntl(fd, F_SETFD, 0);
  const char* const command[] = {interpreter->c_str(),
                                 "-X",
                                 "frozen_modules=on",
                                 "-c",
                                 "from daybreak.runtime.worker import main; main()",
                                 nullptr};
  execvp(command[0], const_cast<char* const*>(command));
  std::fprintf(stderr, "the Python interpreter %s cannot be started: %s\n", command[0], std::strerror(errno));
  _exit(1);
}

void serve_native(Client& client, WorkerLoop& loop, NativeInstance* instance, bool main_thread) {
  Process& p = client.process();
  for (;;) {
    std::uint32_t index = 0;
    const WorkerLoop::Next next = loop.wait(index, -1);
    if (next == WorkerLoop::Next::kExit) return;
    if (next != WorkerLoop::Next::kTask) continue;
    Client::current_task = index + 1;
    if (main_thread) p.slot().running.store(index + 1, std::memory_order_relaxed);
    run_native(client, index, instance);
    if (main_thread) p.slot().running.store(0, std::memory_order_relaxed);
    Client::current_task = 0;
    loop.finished();
  }
}

int be_native_actor(Client& client, WorkerLoop& loop, std::uint32_t actor) {
  ActorSlot& slot = client.process().control().actor[actor];
  const std::uint32_t threads = std::min(slot.concurrency, kMaxNativeThreads);
  if (threads > 1) loop.set_groups(1, WorkerLoop::Concurrency::kThreads, false);
  NativeInstance instance;
  if (!construct_native(client, actor, instance)) return 1;
  std::vector<std::thread> others;
  for (std::uint32_t i = 1; i < threads; ++i)
    others.emplace_back([&client, &loop, &instance] { serve_native(client, loop, &instance, false); });
  serve_native(client, loop, &instance, true);
  for (std::thread& thread : others) thread.join();
  instance.object.reset();  // its destructor may print
  return 0;
}

}  // namespace

int run_native_worker(Segment& segment, std::uint32_t proc) {
  ProcSlot& slot = segment.control().proc[proc];
  if (slot.environment != 0) become_python(proc, segment.control().resources.environment[slot.environment - 1]);
  // A cancelled task is interrupted in what it waits for, and asks daybreak::cancelled().
  struct sigaction interrupt{};
  interrupt.sa_handler = [](int) {};
  sigaction(SIGINT, &interrupt, nullptr);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  Process process(segment, proc);
  use_spill_folder(process);
  Client client(process);
  const bool actor = slot.kind == ProcKind::kActor;
  WorkerLoop loop(client, actor ? slot.actor : kNone);
  set_current_client(&client);
  slot.pid = getpid();
  slot.status = ProcStatus::kAlive;
  int code = 0;
  if (actor)
    code = be_native_actor(client, loop, slot.actor);
  else
    serve_native(client, loop, nullptr, true);
  std::fflush(nullptr);
  return code;
}

}  // namespace daybreak::runtime
