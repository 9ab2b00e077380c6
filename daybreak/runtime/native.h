// The C++ face of tasks and actors: functions in C++ that run as tasks, and raw tensors in arguments and results,
// without Python and without the GIL.
#pragma once

#include <cstdint>
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

// What C++ code can pass and receive. Views into an object are valid while a reference to it is held.
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

// A call in progress: what a native task sees.
class NativeCall {
 public:
  NativeCall(Client& client, std::uint32_t index) : client_(client), index_(index) {}
  NativeCall(const NativeCall&) = delete;
  ~NativeCall();
  base::Status prepare();
  const std::vector<NativeValue>& arguments() const { return arguments_; }
  // To submit and await from inside the function.
  Client& client() { return client_; }
  // The result; a tensor's bytes are copied when the function has returned.
  void set_result(NativeValue value) { result_ = std::move(value); }
  base::Status store();

 private:
  Client& client_;
  std::uint32_t index_;
  std::vector<NativeValue> arguments_;
  NativeValue result_;
  std::vector<Ref> held_;  // its arguments' objects
};

using NativeFunction = base::Status (*)(NativeCall& call);

// "name" of a function registered in this program, or "path/of/library.so:symbol", a function with C linkage and the
// type of NativeFunction. Workers find what was registered before main (a namespace-scope NativeRegistration).
base::Result<NativeFunction> find_native(std::string_view name);
struct NativeRegistration {
  NativeRegistration(const char* name, NativeFunction function);
};

// The main function of a worker without any Python: fills its slot and runs native functions until it is to end.
void run_native_worker(Segment& segment, std::uint32_t proc);

// The object that names a native function, for TaskSpec::function.
base::Result<Ref> put_native(Client& client, std::string_view name);

}  // namespace daybreak::runtime
