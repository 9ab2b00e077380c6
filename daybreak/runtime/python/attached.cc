// A driver of an engine that another process has started: what of the binding is its own.
#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <map>
#include <thread>

#include "daybreak/runtime/python/common.h"

namespace nb = nanobind;

namespace daybreak::runtime::python {

[[noreturn]] void throw_error(const base::Error& error);
Client& running_client();

// Processes share memory only with those that know it as they do.
std::string identity_with_layout(const std::string& identity) {
  return fmt::format("{} ({:x}-{:x}-{:x})", identity, sizeof(Control), sizeof(Entry), sizeof(ResourceTable));
}

// Its arrays keep it in the engine until the process ends: their memory would be another's. Its actors end all the same.
void stay_for_views(AttachedDriver& attached) {
  Process& p = attached.process();
  for (std::uint32_t slot = 0; slot < p.control().actors_used.load(); ++slot) {
    ActorSlot& actor = p.control().actor[slot];
    if (actor.status.load() != ActorStatus::kFree && actor.reserver == p.id() && actor.detached == 0)
      attached.client().kill_actor(slot, true);
  }
}

void leave_engine() {
  State& s = state();
  std::unique_ptr<AttachedDriver> attached = std::move(s.attached);
  s.client = nullptr;
  set_current_client(nullptr);
  s.session = s.binding = 0;
  wake_pump();
  const bool views = s.views > 0;
  nb::gil_scoped_release released;
  attached->say_leaving();
  while (s.waiting.load() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (!views) return attached.reset();
  stay_for_views(*attached);
  (void)attached.release();
}

namespace {

// Becomes a driver of the engine behind this door; the environment of what it submits comes by _set_job.
void attach_driver(const std::string& path, const std::string& identity, bool prints) {
  State& s = state();
  auto attached = [&] {
    nb::gil_scoped_release released;
    return AttachedDriver::attach(path, identity_with_layout(identity), prints);
  }();
  if (!attached) {
    const base::Error& error = attached.error();
    using base::Code;
    if (error.code() != Code::kNotFound && error.code() != Code::kUnavailable &&
        error.code() != Code::kResourceExhausted)
      throw_error(error);
    PyErr_SetString(PyExc_ConnectionError, error.to_string().c_str());
    throw nb::python_error();
  }
  s.attached = std::move(*attached);
  s.client = &s.attached->client();
  set_current_client(s.client);
  // What this process had when it was here before it has no more.
  static std::map<std::uint64_t, std::uint64_t> lives;
  const std::uint64_t session = s.attached->segment().control().session;
  s.session = s.binding = session + (lives[session]++ << 32);
}

// The number of its environment.
std::uint16_t set_job(const std::string& text) {
  auto number = running_client().environment(text);
  if (!number) throw_error(number.error());
  state().attached->set_environment(*number);
  return *number;
}

}  // namespace

void bind_attached(nb::module_& m) {
  m.def("_attach_driver", attach_driver, nb::arg("path"), nb::arg("identity"), nb::arg("prints"));
  m.def("_set_job", set_job, nb::arg("text"));
  m.def("_is_attached", [] { return state().attached != nullptr; });
}

}  // namespace daybreak::runtime::python
