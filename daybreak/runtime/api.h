// The runtime for C++ programs, with Ray's verbs: functions run as tasks and classes as actors in other processes of this program.
//
//   #include <daybreak/runtime/api.h>
//
//   int square(int x) { return x * x; }
//
//   int main() {
//     if (auto started = daybreak::init(); !started) return fmt::println("{}", started.error().to_string()), 1;
//     auto ref = daybreak::task(square).remote(7);
//     fmt::println("{}", daybreak::get(ref).value());
//   }
//
// Nothing is registered: a worker is this program started again, and knows a function by where it is. What can fail gives a
// daybreak::Result, which is a std::expected; value() of one in a task ends the task with that error. docs/cpp.md has the rest.
#pragma once

#include "daybreak/runtime/cpp/remote.h"

namespace daybreak {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using runtime::NativeCall;

using runtime::cpp::ActorHandle;
using runtime::cpp::ActorOptions;
using runtime::cpp::CancelOptions;
using runtime::cpp::ObjectRef;
using runtime::cpp::Options;
using runtime::cpp::PyActorHandle;
using runtime::cpp::TaskOptions;
using runtime::cpp::Tensor;
using runtime::cpp::Timeout;
using runtime::cpp::Value;
using runtime::cpp::WaitResult;

using runtime::cpp::actor;
using runtime::cpp::cancel;
using runtime::cpp::cancelled;
using runtime::cpp::construct;
using runtime::cpp::fields;
using runtime::cpp::get;
using runtime::cpp::get_actor;
using runtime::cpp::init;
using runtime::cpp::is_initialized;
using runtime::cpp::kill;
using runtime::cpp::methods;
using runtime::cpp::put;
using runtime::cpp::py_actor_class;
using runtime::cpp::py_function;
using runtime::cpp::run;
using runtime::cpp::shutdown;
using runtime::cpp::task;
using runtime::cpp::wait;

}  // namespace daybreak
