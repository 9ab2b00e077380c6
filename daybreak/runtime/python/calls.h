// What calls.cc and actors.cc share: a submission, once its arguments are encoded.
#pragma once

#include "daybreak/runtime/python/common.h"

namespace daybreak::runtime::python {

template <typename F>
PyCFunction fastcall(F f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

// After this time a driver's get or wait says what it waits for. Tests change it.
extern std::int64_t stalled_after_ns;

// What a RemoteFunction's calls are submitted as; null with an exception set.
const TaskSpec* spec_of_function(PyObject* remote_function);
// A timeout argument as a deadline; -1: none. False: exception set.
bool deadline_of(PyObject* timeout, std::int64_t& deadline);
// What a wait is for, for people (stalled.py); false: it is to be asked again later.
bool say_what_for(Client& client, std::span<const Ref> refs, const char* verb);

// num_returns as options.py checks it: a number, or what stands for a stream or a list of references.
void set_num_returns(TaskSpec& spec, int num_returns);
// What .remote() returns: None, an ObjectRef, a list of them, an ObjectRefGenerator; null with an exception set.
PyObject* submit_encoded(Client& client, const TaskSpec& spec, const Payload& payload);

// ActorHandle, ActorMethod.
bool init_actors(PyObject* module);

}  // namespace daybreak::runtime::python
