// Tasks and actors: what is called, with which options, with which arguments. The verbs have Ray's names.
#pragma once

#include <concepts>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "daybreak/runtime/cpp/invoke.h"

namespace daybreak::runtime::cpp {

// ---------------------------------------------------------------------------------------------------------------------
// Arguments.

template <typename S>
inline constexpr bool kIsTensor = false;
template <typename T>
inline constexpr bool kIsTensor<Tensor<T>> = true;

template <typename S, typename A>
concept ReadAs =
    std::same_as<A, S> || (std::integral<A> && std::integral<S>) || (std::floating_point<S> && std::is_arithmetic_v<A>);

// How an argument of type A is given for a parameter that is kept as an S. An int is checked where it is read: what does not fit is
// refused there, and cut nowhere.
template <typename S, typename A>
decltype(auto) given(const A& argument) {
  if constexpr (kIsObjectRef<A>) {
    static_assert(ReadAs<S, typename A::Type> || std::is_convertible_v<typename A::Type, S>,
                  "the ObjectRef is of another type than the parameter");
    return argument;
  } else if constexpr (ReadAs<S, A>) {
    return argument;
  } else if constexpr (std::integral<S> && std::floating_point<A>) {
    static_assert(!std::floating_point<A>, "a floating-point argument for a parameter that is an integer");
  } else if constexpr (kIsTensor<S> && !std::is_convertible_v<const A&, S>) {
    return S::borrow(argument);
  } else {
    static_assert(std::is_convertible_v<const A&, S>, "the argument cannot be converted to the parameter's type");
    return static_cast<S>(argument);
  }
}

template <typename A>
void add_argument(Arguments& to, const A& argument) {
  if constexpr (kIsObjectRef<A>)
    to.depend_on(argument.handle());
  else
    to.add([&](ValueWriter& writer, std::vector<Ref>& refs) {
      Out out{writer, refs};
      return write_value<A>(out, argument);
    });
}

// Encodes `args` for parameters that are kept as Stored..., and submits while they are there.
template <typename... Stored, typename Submit, typename... Args>
Handle with_encoded(std::string_view method, Submit&& submit, const Args&... args) {
  std::tuple<decltype(given<Stored>(args))...> all(given<Stored>(args)...);
  Arguments encoded(sizeof...(Args), method);
  std::apply([&](const auto&... each) { (add_argument(encoded, each), ...); }, all);
  return submit(encoded);
}

template <typename Of, typename Submit, typename... Args>
auto submit_typed(std::string_view method, Submit&& submit, const Args&... args) {
  static_assert(sizeof...(Args) == Of::kCount, "the function takes another number of arguments");
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return ObjectRef<typename Of::Result>(
        with_encoded<typename Of::template Stored<I>...>(method, std::forward<Submit>(submit), args...));
  }(std::make_index_sequence<sizeof...(Args)>());
}

// What a parameter would be that takes this argument: of a constructor, or in Python.
template <typename A>
struct ParameterOf {
  using type = StoredAs<A>;
};
template <typename T>
struct ParameterOf<ObjectRef<T>> {
  using type = T;
};
template <typename A>
using Parameter = typename ParameterOf<std::remove_cvref_t<A>>::type;
// In what it is kept until then.
template <typename A>
using Kept = std::conditional_t<kIsObjectRef<A>, A, StoredAs<A>>;

// ---------------------------------------------------------------------------------------------------------------------
// Tasks.

// A function that runs in a worker: remote() gives a reference to its result at once. Copies are cheap; any thread.
template <typename Of>
class Task {
 public:
  explicit Task(Callee callee) : callee_(std::move(callee)) {}
  Task options(TaskOptions options) const {
    Task other = *this;
    other.options_ = std::move(options);
    return other;
  }
  // Arguments are converted as in a call. An ObjectRef stands for its value: the task runs once that is there.
  template <typename... Args>
  ObjectRef<typename Of::Result> remote(const Args&... args) const {
    return submit_typed<Of>(
        "", [&](Arguments& arguments) { return submit_task(callee_, options_, arguments); }, args...);
  }

 private:
  Callee callee_;
  TaskOptions options_;
};

// A function, or a lambda that captures nothing, as a task: task(f).remote(1, 2). Overloaded ones are chosen by a cast.
template <typename F>
auto task(F&& function) {
  using Callable = CallableOf<std::decay_t<F>>;
  return Task<typename Callable::Of>(Callee{.code = Callable::code(function), .python = {}});
}

// ---------------------------------------------------------------------------------------------------------------------
// Actors.

// What a call of the method is called; that of the last one of its type is kept.
template <typename T, typename M>
base::Result<std::string_view> method_name(M method) {
  thread_local NativeTarget known{};
  thread_local std::string name;
  const NativeTarget target = MethodOf<T, M>::target(method);
  if (name.empty() || known != target) {
    auto made = name_native_method(&MethodOf<T, M>::run, target, MethodOf<T, M>::is_code(target));
    if (!made) return std::unexpected(std::move(made).error());
    name = std::move(*made);
    known = target;
  }
  return std::string_view(name);
}

// An object in a process of its own. The actor lives as long as a copy of a handle, unless it is detached. Calls of one thread run
// in their order. Any thread.
template <typename T>
class ActorHandle {
 public:
  ActorHandle() = default;
  explicit ActorHandle(Handle handle) : handle_(std::move(handle)) {}

  const Handle& handle() const { return handle_; }
  // Why there is no actor; null: there is one, or will be. The calls of one that could not be made give it, too.
  const base::Error* refusal() const { return handle_ ? handle_->refusal() : nullptr; }

  template <typename M>
  class Method {
   public:
    using Of = typename MethodOf<T, M>::Of;
    Method(Handle handle, M method) : handle_(std::move(handle)), method_(method) {}
    template <typename... Args>
    ObjectRef<typename Of::Result> remote(const Args&... args) const {
      const auto name = method_name<T>(method_);
      if (!name) return ObjectRef<typename Of::Result>(refusing(name.error()));
      return submit_typed<Of>(*name, [&](Arguments& arguments) { return submit_call(handle_, arguments); }, args...);
    }

   private:
    Handle handle_;
    M method_;
  };

  // counter.task(&Counter::add).remote(2)
  template <typename M>
  Method<M> task(M method) const {
    return Method<M>(handle_, method);
  }

 private:
  Handle handle_;
};

template <typename T>
ClassInfo class_info() {
  ClassInfo info{.name = demangled(typeid(T).name()), .type = typeid(T).name(), .methods = {}};
  for (const NativeCode& method : methods_of<T>()) info.methods.push_back(method.name);
  return info;
}

// actor<T>(arguments of its constructor...): options() says how, remote() makes it.
template <typename T, typename... Args>
class ActorCreation {
 public:
  explicit ActorCreation(Args... args) : args_(std::move(args)...) {}
  ActorCreation& options(ActorOptions options) {
    options_ = std::move(options);
    return *this;
  }
  ActorHandle<T> remote() const {
    const ClassInfo info = class_info<T>();
    const Callee constructor{.code = {.run = &construct<T, Parameter<Args>...>, .target = {}, .name = {}},
                             .python = {}};
    return ActorHandle<T>(std::apply(
        [&](const Args&... args) {
          return with_encoded<Parameter<Args>...>(
              described(info), [&](Arguments& arguments) { return make_actor(constructor, info, options_, arguments); },
              args...);
        },
        args_));
  }

 private:
  std::tuple<Args...> args_;
  ActorOptions options_;
};

template <typename A>
Kept<A> given_to_keep(const A& argument) {
  if constexpr (std::same_as<Kept<A>, A>)
    return argument;
  else
    return given<Kept<A>>(argument);
}

template <typename T, typename... Args>
auto actor(const Args&... args) {
  static_assert(std::is_constructible_v<T, Parameter<Args>...>,
                "the class has no constructor that takes these arguments");
  return ActorCreation<T, Kept<Args>...>(given_to_keep(args)...);
}

// The actor of that name in this program's namespace. kNotFound: none is alive; kInvalidArgument: it is of another class.
template <typename T>
base::Result<ActorHandle<T>> get_actor(const std::string& name) {
  const Handle found = find_named_actor(name, class_info<T>());
  if (found->refusal() != nullptr) return std::unexpected(*found->refusal());
  return ActorHandle<T>(found);
}

// Ends an actor's process at once. With no_restart false it may start again, if its max_restarts allows.
template <typename T>
base::Status kill(const ActorHandle<T>& actor, bool no_restart = true) {
  return end_actor(actor.handle(), no_restart);
}

// Inside of arguments and results handles stay handles.
template <typename T>
struct Value<ActorHandle<T>> {
  static base::Status write(Out& out, const ActorHandle<T>& actor) {
    DAYBREAK_TRY(usable(actor.handle(), "the actor's handle"));
    out.writer.references(Tag::kRefTuple, static_cast<std::uint32_t>(out.refs.size()), 1);
    out.refs.push_back(actor.handle()->ref());
    return {};
  }
  static base::Result<ActorHandle<T>> read(In&, const NativeItem& item) {
    if (item.damaged || item.tag != Tag::kRefTuple || item.refs.size() != 1)
      return refused<ActorHandle<T>>("an actor's handle", item);
    Handle handle = borrowed(item.refs[0]);
    if (handle->refusal() == nullptr && handle->actor() == kNone)
      return base::fail(base::Code::kInvalidArgument, "an actor's handle expected, a reference to an object found");
    return ActorHandle<T>(std::move(handle));
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Python. Numbers, texts, std::vector<std::byte>, lists, maps and tensors cross; a vector of numbers is a numpy array there.

// What a Python function gives is read as an R.
template <typename R>
class PyTask {
 public:
  explicit PyTask(Callee callee) : callee_(std::move(callee)) {}
  PyTask options(TaskOptions options) const {
    PyTask other = *this;
    other.options_ = std::move(options);
    return other;
  }
  template <typename... Args>
  ObjectRef<R> remote(const Args&... args) const {
    return ObjectRef<R>(with_encoded<Parameter<Args>...>(
        "", [&](Arguments& arguments) { return submit_task(callee_, options_, arguments); }, args...));
  }

 private:
  Callee callee_;
  TaskOptions options_;
};

// py_function<double>("math", "sqrt").remote(2.0). The module is looked for as Python does, with PYTHONPATH.
template <typename R>
PyTask<R> py_function(const std::string& module, const std::string& function) {
  return PyTask<R>(Callee{.code = {}, .python = module + ":" + function});
}

// An actor of a Python class.
class PyActorHandle {
 public:
  PyActorHandle() = default;
  explicit PyActorHandle(Handle handle) : handle_(std::move(handle)) {}
  const Handle& handle() const { return handle_; }
  const base::Error* refusal() const { return handle_ ? handle_->refusal() : nullptr; }

  template <typename R>
  class Method {
   public:
    Method(Handle handle, std::string name) : handle_(std::move(handle)), name_(std::move(name)) {}
    template <typename... Args>
    ObjectRef<R> remote(const Args&... args) const {
      return ObjectRef<R>(with_encoded<Parameter<Args>...>(
          name_, [&](Arguments& arguments) { return submit_call(handle_, arguments); }, args...));
    }

   private:
    Handle handle_;
    std::string name_;
  };

  // counter.task<int>("add").remote(2)
  template <typename R>
  Method<R> task(std::string method) const {
    return Method<R>(handle_, std::move(method));
  }

 private:
  Handle handle_;
};

class PyActorClass {
 public:
  explicit PyActorClass(Callee constructor, std::string name)
      : constructor_(std::move(constructor)), name_(std::move(name)) {}
  PyActorClass options(ActorOptions options) const {
    PyActorClass other = *this;
    other.options_ = std::move(options);
    return other;
  }
  template <typename... Args>
  PyActorHandle remote(const Args&... args) const {
    const ClassInfo info{.name = name_, .type = "python", .methods = {}};
    return PyActorHandle(with_encoded<Parameter<Args>...>(
        described(info), [&](Arguments& arguments) { return make_actor(constructor_, info, options_, arguments); },
        args...));
  }

 private:
  Callee constructor_;
  std::string name_;
  ActorOptions options_;
};

inline PyActorClass py_actor_class(const std::string& module, const std::string& name) {
  return PyActorClass(Callee{.code = {}, .python = module + ":" + name}, name);
}

inline base::Status kill(const PyActorHandle& actor, bool no_restart = true) {
  return end_actor(actor.handle(), no_restart);
}

// ---------------------------------------------------------------------------------------------------------------------
// Objects.

// Copies the value into the store.
template <typename T>
ObjectRef<StoredAs<T>> put(const T& value) {
  using S = StoredAs<T>;
  decltype(auto) stored = given<S>(value);
  ValueWriter writer;
  Payload payload;
  payload.codec = kCodecItem;
  Out out{writer, payload.refs};
  const base::Status written = write_value<S>(out, stored);
  writer.add_pieces(payload);
  return ObjectRef<S>(put_payload(written, payload));
}

template <typename T>
base::Result<T> read_object(const Handle& handle, std::optional<std::int64_t> deadline_ns) {
  DAYBREAK_TRY(usable(handle, "the ObjectRef"));
  DAYBREAK_ASSIGN(const auto bytes, await_value(*handle, deadline_ns));
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    ValueReader reader(bytes, handle->client().process().value_refs(handle->ref().index));
    In in{reader, handle};
    return read_value<T>(in);
  }
}

// Waits for the value. A Tensor is a view of the store. The error of a task that failed has its text and where it ran;
// kDeadlineExceeded: the time was up; kCancelled: the task was, or the one that waits.
template <typename T>
base::Result<T> get(const ObjectRef<T>& ref, Timeout timeout = {}) {
  DAYBREAK_ASSIGN(const auto deadline, deadline_of(timeout));
  return read_object<T>(ref.handle(), deadline);
}

// The values of all, or the first error. The time is that for all together.
template <typename T>
auto get(const std::vector<ObjectRef<T>>& refs, Timeout timeout = {}) {
  using All = std::conditional_t<std::is_void_v<T>, void, std::vector<std::conditional_t<std::is_void_v<T>, int, T>>>;
  return [&]() -> base::Result<All> {
    DAYBREAK_ASSIGN(const auto deadline, deadline_of(timeout));
    if constexpr (std::is_void_v<T>) {
      for (const ObjectRef<T>& ref : refs) DAYBREAK_TRY(read_object<T>(ref.handle(), deadline));
      return {};
    } else {
      All values;
      values.reserve(refs.size());
      for (const ObjectRef<T>& ref : refs) {
        DAYBREAK_ASSIGN(T value, read_object<T>(ref.handle(), deadline));
        values.push_back(std::move(value));
      }
      return values;
    }
  }();
}

template <typename T>
struct WaitResult {
  std::vector<ObjectRef<T>> ready, unready;
};

// Waits until `num_returns` of them are done, failed ones too; `ready` has at most so many, both are in the order of `refs`. When the
// time is up `ready` has fewer.
template <typename T>
base::Result<WaitResult<T>> wait(const std::vector<ObjectRef<T>>& refs, std::size_t num_returns = 1,
                                 Timeout timeout = {}) {
  std::vector<Handle> handles;
  for (const ObjectRef<T>& ref : refs) handles.push_back(ref.handle());
  DAYBREAK_ASSIGN(const std::vector<bool> done, await_some(handles, num_returns, timeout));
  WaitResult<T> result;
  for (std::size_t i = 0; i < refs.size(); ++i)
    (done[i] && result.ready.size() < num_returns ? result.ready : result.unready).push_back(refs[i]);
  return result;
}

struct CancelOptions {
  bool force = false;     // end the worker that runs it
  bool recursive = true;  // also what it has submitted
};

// Cancels a task: get() of its result gives kCancelled. One that waits does not start. One that runs is told by cancelled(), and by
// the get() and wait() in it. True: it was waiting still.
template <typename T>
base::Result<bool> cancel(const ObjectRef<T>& ref, CancelOptions options = {}) {
  return cancel_task(ref.handle(), options.force, options.recursive);
}

}  // namespace daybreak::runtime::cpp
