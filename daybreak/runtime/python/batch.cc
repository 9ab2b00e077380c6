// Call sets' binding, and the one thread of this process that goes on with those that nobody reads at the moment.
#include <unistd.h>

#include "daybreak/base/mutex.h"
#include "daybreak/runtime/python/call_set.h"

namespace daybreak::runtime::python {

namespace {

constexpr std::int64_t kIdleNs = 1'000'000'000;  // so long a thread without work stays: a new one costs 0.1 ms and more

struct Pump {
  std::vector<nb::object> calls;  // with work, as far as is known
  bool running = false;
  base::Atomic<std::uint32_t> changes{0};
  base::Mutex mutex;  // of an idle thread alone
  base::CondVar changed;

  std::atomic<bool> ends = false;  // the thread is to return; the next one does not
  void change() {
    changes.fetch_add(1);
    base::MutexLock lock(mutex);
    changed.notify_all();
  }
};
Pump& the_pump() {
  static auto* pump = new Pump;  // outlives the interpreter
  return *pump;
}

// The call set has got something to do. True: the thread is to be started.
bool go_on_with(nb::handle calls) {
  Pump& pump = the_pump();
  bool known = false;
  for (const nb::object& each : pump.calls) known = known || each.is(calls);
  if (!known) pump.calls.push_back(nb::borrow(calls));
  pump.change();
  Client& client = running_client();
  client.process().ring(client.process().id());
  return !std::exchange(pump.running, true);
}

void tell(Calls& calls) {
  if (calls.on_done.is_none()) return;
  const std::uint64_t changes = calls.batch()->counts().changes;
  if (std::exchange(calls.told, changes) == changes) return;
  try {
    calls.on_done();
  } catch (nb::python_error& error) {
    error.restore();
    PyErr_WriteUnraisable(calls.on_done.ptr());
  }
}

// False: none is left that has work.
bool pump_all(Pump& pump) {
  const std::vector<nb::object> now = pump.calls;
  for (const nb::object& each : now) {
    Calls& calls = nb::cast<Calls&>(each);
    calls.pump();
    tell(calls);
  }
  std::vector<nb::object> left;
  for (const nb::object& each : pump.calls) {
    Calls& calls = nb::cast<Calls&>(each);
    if (calls.is_of_now() && calls.is_busy()) left.push_back(each);
  }
  std::vector<nb::object> gone = std::exchange(pump.calls, std::move(left));
  gone.clear();  // which may run whatever
  return !pump.calls.empty() && state().client != nullptr;
}

// Without anything of the runtime's: until something changes; false: nothing did for kIdleNs. A runtime that ends waits for
// this thread, which would otherwise ask for the GIL of an interpreter that is gone.
bool wait_idle(Pump& pump, std::uint32_t before) {
  ++state().waiting;
  bool any = false;
  {
    nb::gil_scoped_release released;
    const std::int64_t until = Client::now_ns() + kIdleNs;
    base::MutexLock lock(pump.mutex);
    while (!(any = pump.changes.load() != before)) {
      const std::int64_t left = until - Client::now_ns();
      if (left <= 0) break;
      pump.changed.wait_for(pump.mutex, left);
    }
  }
  --state().waiting;
  return any;
}

// The thread's function: until there is nothing to go on with.
void run_pump() {
  Pump& pump = the_pump();
  for (;;) {
    const std::uint32_t before = pump.changes.load();
    if (pump.ends.exchange(false)) {
      pump.running = false;
      pump.calls.clear();
      return;
    }
    if (!pump_all(pump)) {
      if (pump.changes.load() != before && !pump.calls.empty() && state().client != nullptr) continue;
      if (state().client != nullptr && wait_idle(pump, before)) continue;
      pump.running = false;
      if (state().client == nullptr) pump.calls.clear();
      return;
    }
    Client& client = *state().client;
    Process& p = client.process();
    std::vector<std::pair<std::shared_ptr<Batch>, std::uint64_t>> batches;  // and what was told of it; ~0: nobody is
    for (const nb::object& each : pump.calls) {
      Calls& calls = nb::cast<Calls&>(each);
      batches.emplace_back(calls.batch(), calls.on_done.is_none() ? ~std::uint64_t{0} : calls.told);
    }
    auto come = [&] {
      bool any = pump.changes.load() != before;
      for (auto& [batch, told] : batches) {
        any = batch->pump(client) || any;
        const Batch::Counts c = batch->counts();
        any = any || !c.busy() || (told != ~std::uint64_t{0} && c.changes != told);
      }
      return any;
    };
    ++state().waiting;
    {
      nb::gil_scoped_release released;
      for (;;) {  // not Client's: a worker keeps its CPU while this thread sleeps
        const std::uint32_t seen = p.bell();
        if (p.stopping() || come()) break;
        (void)p.sleep(seen, -1);
      }
      batches.clear();
      --state().waiting;
    }
    if (state().client == &client && p.stopping()) {
      pump.running = false;
      pump.calls.clear();
      return;
    }
  }
}

// What it is to call may know it.
int traverse_calls(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  Calls* calls = nb::inst_ptr<Calls>(self);
  Py_VISIT(calls->on_done.ptr());
  Py_VISIT(calls->make_error.ptr());
  return 0;
}

int clear_calls(PyObject* self) {
  if (!nb::inst_ready(self)) return 0;
  Calls* calls = nb::inst_ptr<Calls>(self);
  nb::object on_done = std::exchange(calls->on_done, nb::none());
  nb::object make_error = std::exchange(calls->make_error, nb::none());
  return 0;
}

PyType_Slot calls_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_calls)},
                             {Py_tp_clear, reinterpret_cast<void*>(clear_calls)},
                             {0, nullptr}};

}  // namespace

void wake_pump() {
  the_pump().change();
  if (state().client != nullptr) state().client->process().ring(state().client->process().id());
}

// True: there is a thread, which returns soon.
bool end_pump() {
  Pump& pump = the_pump();
  if (!pump.running) return false;
  pump.ends = true;
  wake_pump();
  return true;
}

void bind_batch(nb::module_& m) {
  if (!init_chunks(m.ptr())) throw nb::python_error();
  nb::class_<Calls>(m, "_Calls", nb::type_slots(calls_slots))
      .def(nb::init<nb::handle, std::uint32_t, std::uint32_t, bool, std::uint32_t, std::uint32_t>(),
           nb::arg("function"), nb::arg("unit"), nb::arg("flags"), nb::arg("ordered"), nb::arg("queued") = 2,
           nb::arg("most") = 0)
      .def("add_tasks", &Calls::add_tasks)
      .def("add_actor", &Calls::add_actor)
      .def("feed", &Calls::feed)
      .def("end_inputs", &Calls::end_inputs)
      .def("next", &Calls::next, nb::arg("timeout").none())
      .def("wait", &Calls::wait, nb::arg("timeout").none())
      .def("pump", &Calls::pump)
      .def("cancel", &Calls::cancel)
      .def("cancel_one", &Calls::cancel_one)
      .def("close", &Calls::close)
      .def("counts", &Calls::counts)
      .def("lanes", &Calls::lanes)
      .def("retire", &Calls::retire)
      .def("reopen", &Calls::reopen)
      .def("room", &Calls::room)
      .def("refs", &Calls::refs)
      .def("read_ready", &Calls::read_ready)
      .def("unorder", &Calls::unorder)
      .def_prop_ro("fed", &Calls::fed)
      .def_rw("ahead_bytes", &Calls::ahead_bytes)
      .def("waiting", &Calls::waiting)
      .def("cancel_quietly", &Calls::cancel_quietly)
      .def_prop_ro("index", &Calls::index)
      .def_prop_ro("lost", &Calls::lost)
      .def("take_problem", &Calls::take_problem)
      .def_rw("on_done", &Calls::on_done, nb::arg().none())
      .def_rw("make_error", &Calls::make_error, nb::arg().none());
  m.def("_go_on_with", go_on_with);
  m.def("_run_pump", run_pump);
  m.def("_end_pump", end_pump);
  m.attr("_MORE_INPUTS") = nb::borrow(more_inputs());
  m.attr("_AHEAD_BYTES") = kAheadBytes;
  m.attr("_STAR_ARGUMENTS") = Batch::kStarArguments;
  m.attr("_ANY_EXCEPTION") = Batch::kAnyException;
  m.attr("_INNER_FRAME") = Batch::kInnerFrame;
  m.attr("_MAX_UNIT") = Batch::kMaxUnit;
}

}  // namespace daybreak::runtime::python
