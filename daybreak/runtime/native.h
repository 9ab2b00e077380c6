// The seam between the runtime and C++ code that runs as tasks and actors: what a call brings, how its result or error is kept,
// and the main function of a worker without Python. C++ programs use api.h, which is built on this.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/value_format.h"

namespace daybreak::runtime {

// A row-major tensor that somebody else owns. `format` is the struct-module letter of its element: f d b B h H i I q Q
// ? e.
struct TensorView {
  char format = 'f';
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

// A value whose type is known at run time alone. Views into an object are valid while a reference to it is held.
using NativeValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, TensorView>;

// Arguments for Client::submit: of a call to an actor's `method`, or of a task ("").
class NativeArguments {
 public:
  explicit NativeArguments(std::string_view method = "") : method_(method) {}
  NativeArguments& add(const NativeValue& value);
  // Valid until this object changes or ends.
  const Payload& payload();

 private:
  std::string method_;
  std::vector<NativeValue> values_;
  ValueWriter writer_;
  Payload payload_;
};

// A value from its bytes; every length is checked against what there is. The tensor is a view of `bytes`.
base::Result<NativeValue> parse_value(std::span<const std::byte> bytes);

// The value of an object that is done. An error object gives its error.
base::Result<NativeValue> native_value(Client& client, Ref ref);

// The bytes of an object that is done, in place for as long as this process holds it. An error object gives its error.
base::Result<std::span<const std::byte>> readable_value(Client& client, Ref ref);

// One item as it stands: of a container only how many it holds, which are to be read one by one.
struct NativeItem {
  Tag tag = Tag::kNone;
  bool damaged = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string_view text;             // kText
  std::span<const std::byte> bytes;  // kBytes, kTensor
  std::uint32_t count = 0;           // kList, kTuple: of items; kDict: of pairs
  char format = 0;                   // kTensor
  std::vector<std::int64_t> shape;   // kTensor
  std::span<const Ref> refs;         // kRefList, kRefTuple
  // "an int", "a list of 3 items", "an array of format 'f' and shape [2, 3]"
  std::string to_string() const;
};
NativeItem read_item(ValueReader& reader);

// ---------------------------------------------------------------------------------------------------------------------

class NativeCall;
using NativeFunction = base::Status (*)(NativeCall& call);

// A member function, or whatever else `run` is made for (cpp/invoke.h): two words, which it alone understands.
using NativeTarget = std::array<std::uint64_t, 2>;

// A C++ function as a worker finds it.
struct NativeCode {
  NativeFunction run = nullptr;
  NativeTarget target{};
  std::string name;  // for people
};

// The object of an actor, and the methods that are known by name.
struct NativeInstance {
  std::shared_ptr<void> object;
  std::string class_name;
  std::vector<NativeCode> methods;
};

// Changes with whatever a library of C++ functions and the program that loads it must agree on.
inline constexpr std::uint64_t kNativeAbi =
    1'000'003 * (1'000'003 * (1'000'003 * 2 + sizeof(Entry)) + sizeof(Control) % 1'000'003) + sizeof(Process);

// A call in progress: what a C++ function sees. Of one thread.
class NativeCall {
 public:
  // instance: of an actor's process, else null.
  NativeCall(Client& client, std::uint32_t index, NativeInstance* instance = nullptr)
      : client_(&client), index_(index), instance_(instance) {}
  // No call: a class is to say in `describe` which methods it has, and to make nothing.
  explicit NativeCall(NativeInstance& describe) : instance_(&describe) {}
  NativeCall(const NativeCall&) = delete;
  ~NativeCall();

  std::uint64_t abi() const { return abi_; }
  bool describes() const { return client_ == nullptr; }
  // To submit and await from inside the function.
  Client& client() { return *client_; }
  std::uint32_t index() const { return index_; }
  NativeInstance* instance() { return instance_; }
  const NativeTarget& target() const { return target_; }
  void set_target(const NativeTarget& target) { target_ = target; }

  // Reads the head: what follows is valid then.
  base::Status open();
  std::string_view method() const { return method_; }
  std::size_t positional() const { return positional_; }

  // The next argument: the reader that stands before it, and the object that it lies in, which the call holds; none: its bytes
  // last as long as the call. An argument whose task has failed is an error, and then the call's.
  struct Argument {
    ValueReader* reader;
    std::optional<Ref> object;
  };
  base::Result<Argument> next();
  std::optional<Ref> failed_dependency() const { return failed_; }
  // All arguments, where their types are not known. Views are valid as long as the call.
  base::Result<std::vector<NativeValue>> arguments();

  // The result; a tensor's bytes are copied when the function has returned.
  void set_result(NativeValue value) { result_ = std::move(value); }
  // The same at once, in the value format.
  base::Status write_result(const Payload& payload);
  base::Status store();

 private:
  const std::uint64_t abi_ = kNativeAbi;
  Client* client_ = nullptr;
  std::uint32_t index_ = kNone;
  NativeInstance* instance_;
  NativeTarget target_{};
  std::string_view method_;
  std::size_t positional_ = 0;
  ValueReader reader_{{}};
  ValueReader of_dependency_{{}};
  std::vector<Ref> held_;  // its arguments' objects
  std::optional<Ref> failed_;
  NativeValue result_;
  bool written_ = false;
};

// "name" of a function registered in this program; "path/of/library.so:symbol", a function with C linkage and the type of
// NativeFunction; or what name_native() gives. Workers find what was registered before main (a namespace-scope
// NativeRegistration). What is returned lives as long as the process.
base::Result<const NativeCode*> find_native(std::string_view name);
struct NativeRegistration {
  NativeRegistration(const char* name, NativeFunction function);
};
// A name for any function of the program or of a library that it has loaded, by which every process of the same build finds it.
base::Result<std::string> name_native(const NativeCode& code);
// The same for a method, short enough to go with each call. A target that is no address is taken as it is.
base::Result<std::string> name_native_method(NativeFunction run, const NativeTarget& target, bool target_is_code);

// Runs the task or call that this process has claimed, and publishes its result or its error; or queues it again, where it may be
// tried again. instance: of an actor's process.
void run_native(Client& client, std::uint32_t index, NativeInstance* instance);
// Makes the actor's object. False: its creation has the error.
bool construct_native(Client& client, std::uint32_t actor, NativeInstance& instance);

// Of the environment of a worker that runs Python: the program that becomes the interpreter.
inline constexpr std::string_view kPythonInterpreter = "py_executable";

// The main function of a worker or an actor without any Python: fills its slot and runs native functions until it is to end.
// The exit code.
int run_native_worker(Segment& segment, std::uint32_t proc);

// The built-in exception of Python that tells the code best.
std::string_view python_class_of(base::Code code);

// The object that names a native function, for TaskSpec::function.
base::Result<Ref> put_native(Client& client, std::string_view name);

// A task or call that this process runs goes back, one of its retries less.
void try_again(Process& process, std::uint32_t index);

}  // namespace daybreak::runtime
