// Call sets (batch.h) from Python: inputs are encoded as they are taken, results decoded as they are read, and one thread of
// this process, whatever their number, goes on with those that nobody reads at the moment.
#include "daybreak/runtime/batch.h"

#include <nanobind/nanobind.h>
#include <unistd.h>

#include <functional>
#include <unordered_map>

#include "daybreak/runtime/python/calls.h"
#include "daybreak/runtime/python/joined.h"

namespace nb = nanobind;

namespace daybreak::runtime::python {

[[noreturn]] void throw_error(const base::Error& error);
Client& running_client();

namespace {

constexpr std::uint64_t kAheadBytes = 64 << 20;  // of inputs in the store that wait for their turn
constexpr Py_ssize_t kTakenTogether = 1024;      // inputs that are handed on at once

// ---------------------------------------------------------------------------------------------------------------------
// In the submitting process. All of it is guarded by the GIL but for what the Batch guards itself; nobody waits for the GIL
// while he has a Batch's lock.

struct Pump {
  std::vector<nb::object> calls;  // with work, as far as is known
  bool running = false;
  base::Atomic<std::uint32_t> changes{0};
};
Pump& the_pump() {
  static auto* pump = new Pump;  // outlives the interpreter
  return *pump;
}

// Who was closed is to be looked at, and dropped.
void forget_calls() {
  the_pump().changes.fetch_add(1);
  if (state().client != nullptr) state().client->process().ring(state().client->process().id());
}

// What next() gives in the place of a result.
PyObject* more_inputs() {
  static PyObject* object = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  return object;
}

[[noreturn]] void end_of(const char* what) {
  PyErr_SetString(PyExc_RuntimeError, what);
  throw nb::python_error();
}

// Results that a thread reads.
struct Reading {
  std::unique_ptr<Batch::Results> results;
  std::size_t at = 0;  // in the blob
  std::uint32_t read = 0;
};

struct Later {
  Owned item;  // a list of an input; or a tuple of a reference to it
  std::uint64_t bytes = 0;
};

class Calls {
 public:
  Calls(nb::handle function, std::uint32_t unit, std::uint32_t flags, bool ordered) : session_(state().session) {
    Client& client = running_client();
    const Ref* ref = checked_ref(function.ptr(), "a Batch");
    if (ref == nullptr) throw nb::python_error();
    auto made = Batch::make(
        client, {.function = *ref, .unit = unit, .flags = flags, .ordered = ordered, .hurry = state().is_worker});
    if (!made) throw_error(made.error());
    batch_ = *made;
  }
  ~Calls() { close(); }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  void add_tasks(nb::handle remote_function, std::uint32_t workers) {
    client();
    const TaskSpec* spec = spec_of_function(remote_function.ptr());
    if (spec == nullptr) throw nb::python_error();
    batch_->add_lane(*spec, workers);
  }
  void add_actor(nb::handle handle) {
    client();
    if (Py_TYPE(handle.ptr()) != actor_handle_type) throw nb::type_error("add_actor() takes an actor's handle");
    auto* actor = reinterpret_cast<ActorHandleObject*>(handle.ptr());
    batch_->add_lane({.kind = Kind::kActorCall, .actor = actor->slot, .max_retries = 0}, 1);
  }

  bool feed(nb::handle iterator, Py_ssize_t most, bool later);
  void end_inputs() { batch_->end_inputs(); }
  nb::object next(nb::handle timeout);
  bool wait(nb::handle timeout);
  bool pump();
  void cancel(bool force) {
    Client& to = client();
    nb::gil_scoped_release released;
    batch_->cancel(to, force);
  }
  void close();
  nb::tuple counts() {
    const Batch::Counts c = batch_->counts();
    std::uint64_t unread = c.unread;
    for (const Reading& reading : readings_) unread += reading.results->calls - reading.read;
    return nb::make_tuple(c.queued, c.running, c.done, c.failed, unread, c.ended, c.bytes + put_bytes_);
  }
  // Of each lane, in the order in which they were added: how many chunks are there; -1: its actor has died.
  nb::list lanes() {
    nb::list result;
    for (const Batch::LaneNow& lane : batch_->lanes()) result.append(lane.lost ? -1 : static_cast<int>(lane.in_flight));
    return result;
  }
  bool waiting() { return batch_->counts().uncut > 0; }
  void cancel_quietly() {
    if (!closed_ && is_of_now()) cancel(false);
  }
  bool retire(std::size_t lane) { return batch_->retire(lane); }
  std::uint64_t index() const { return index_; }
  bool lost() const { return lost_; }
  nb::object take_problem() { return std::exchange(problem_, nb::none()); }

  bool is_of_now() const { return state().client != nullptr && session_ == state().session; }
  bool has_work() {
    const Batch::Counts c = batch_->counts();
    return c.queued + c.running > 0;
  }
  bool is_busy() { return batch_->counts().busy(); }
  const std::shared_ptr<Batch>& batch() const { return batch_; }
  nb::object on_done = nb::none();
  nb::object make_error = nb::none();
  std::uint64_t told = 0;  // Batch::Counts::changes, when on_done was called last

 private:
  Client& client() {
    if (closed_) end_of("the call set was closed");
    if (!is_of_now()) end_of("the call set belongs to a runtime that has been shut down");
    return *state().client;
  }
  bool submit_cut(Client& client, const Batch::Cut& cut);
  void forget_ended();
  void drop(Reading& reading) {
    if (is_of_now()) Batch::release(*state().client, *reading.results);
  }
  PyObject* read_one(Client& client, Reading& reading);
  bool await(Client& client, const std::function<bool()>& come, std::int64_t deadline);

  std::uint64_t session_;
  std::shared_ptr<Batch> batch_;
  std::uint64_t fed_ = 0, put_bytes_ = 0;
  std::unordered_map<std::uint64_t, Later> later_;  // inputs to be encoded when their chunk is cut, by number
  std::vector<Reading> readings_;                   // begun, and in no thread's hands
  std::uint64_t index_ = 0;
  bool lost_ = false, closed_ = false;
  nb::object problem_ = nb::none();  // what was raised when an input was encoded late
};

// Takes up to `most` inputs; false: there are no more. later: those that cannot lie among others are kept as they are until
// their chunk is cut; else they are put now.
bool Calls::feed(nb::handle iterator, Py_ssize_t most, bool later) {
  Client& to = client();
  std::string bytes;
  std::vector<std::uint16_t> sizes;
  auto hand_on = [&] {
    batch_->add(bytes, sizes);
    bytes.clear();
    sizes.clear();
  };
  bool more = true;
  for (Py_ssize_t n = 0; n < most && (later || put_bytes_ < kAheadBytes); ++n) {
    Owned item(PyIter_Next(iterator.ptr()));
    if (!item) {
      more = false;
      break;
    }
    Encoder encoder;
    const bool encoded = encoder.item(item.get());
    if (!encoded) {
      if (!later) break;
      PyErr_Clear();  // it comes again when it is this one's turn
    }
    const Payload& payload = encoder.finish(kCodecItem);
    const std::size_t before = bytes.size();
    if (encoded && append_plain(payload, bytes, SIZE_MAX)) {
      sizes.push_back(static_cast<std::uint16_t>(bytes.size() - before));
    } else {
      if (!later) {
        const Ref ref = put_encoded(to, payload);
        if (ref == kNoRef) break;
        item = Owned(PyTuple_Pack(1, Owned(make_object_ref(ref)).get()));
        if (!item) break;
      } else {
        item = Owned(Py_BuildValue("[O]", item.get()));
        if (!item) break;
      }
      later_.emplace(fed_, Later{std::move(item), later ? 0 : payload.size()});
      put_bytes_ += later ? 0 : payload.size();
      sizes.push_back(0);
    }
    ++fed_;
    if (static_cast<Py_ssize_t>(sizes.size()) >= kTakenTogether) hand_on();
  }
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  hand_on();
  if (type != nullptr) {
    PyErr_Restore(type, value, trace);
    throw nb::python_error();
  }
  return more;
}

// Encodes what must be encoded of a chunk, and submits it.
bool Calls::submit_cut(Client& client, const Batch::Cut& cut) {
  std::vector<Ref> objects;
  for (std::size_t i = 0; i < cut.numbers.size(); ++i) {
    auto found = later_.find(cut.numbers[i]);
    Ref ref = kNoRef;
    if (found == later_.end()) {
      PyErr_SetString(PyExc_RuntimeError, "an input of a call set is gone");
    } else if (PyTuple_Check(found->second.item.get())) {
      const Ref* there = checked_ref(PyTuple_GET_ITEM(found->second.item.get(), 0), "a Batch");
      if (there != nullptr) client.process().hold(ref = *there);
    } else {
      Encoder encoder;
      const Owned item(Py_NewRef(PyList_GET_ITEM(found->second.item.get(), 0)));
      if (encoder.item(item.get())) ref = put_encoded(client, encoder.finish(kCodecItem));
    }
    if (ref == kNoRef) {
      PyObject *type, *value, *trace;
      PyErr_Fetch(&type, &value, &trace);
      PyErr_NormalizeException(&type, &value, &trace);
      if (trace != nullptr) PyException_SetTraceback(value, trace);
      problem_ = nb::steal(value);
      Py_XDECREF(type);
      Py_XDECREF(trace);
      batch_->truncate(cut, i);
      break;
    }
    objects.push_back(ref);
  }
  {
    nb::gil_scoped_release released;
    batch_->submit(client, cut, objects);
  }
  for (const Ref ref : objects) client.process().release(ref);
  return true;
}

void Calls::forget_ended() {
  for (const std::uint64_t number : batch_->take_ended()) {
    auto found = later_.find(number);
    if (found == later_.end()) continue;
    put_bytes_ -= found->second.bytes;
    const Later gone = std::move(found->second);  // which may run whatever
    later_.erase(found);
  }
}

// GIL held. True: it can be left to itself until this process's bell rings.
bool Calls::pump() {
  if (closed_ || !is_of_now()) return true;
  Client& to = *state().client;
  for (;;) {
    bool deferred = false;
    {
      ++state().waiting;
      nb::gil_scoped_release released;
      deferred = batch_->pump(to);
      --state().waiting;
    }
    forget_ended();
    if (!deferred || closed_ || !is_of_now()) return true;
    const auto cut = batch_->cut();
    if (cut) submit_cut(to, *cut);
  }
}

PyObject* Calls::read_one(Client& client, Reading& reading) {
  const Batch::Results& results = *reading.results;
  index_ = results.first + reading.read;
  ++reading.read;
  lost_ = false;
  if (results.cancelled) {
    lost_ = true;
    PyObject* type = python_object("exceptions", "TaskCancelledError");
    if (type != nullptr) PyErr_SetString(type, "the call was cancelled before it began");
    return nullptr;
  }
  if (results.refusal) {
    lost_ = true;
    raise(*results.refusal);
    return nullptr;
  }
  if (!(results.error == kNoRef)) {
    lost_ = client.process().entry(results.error.index).error != ErrorKind::kUser;
    raise_object_error(client, results.error);
    return nullptr;
  }
  if (reading.at >= results.blob.size()) return PyErr_Format(PyExc_RuntimeError, "the results of a chunk are damaged");
  const bool raised = results.blob[reading.at++] != 0;
  Owned value(decode_joined(client, results.blob, reading.at, results.objects));
  if (!value || !raised) return value.release();
  Owned error;
  if (!make_error.is_none()) {
    error = Owned(PyObject_CallOneArg(make_error.ptr(), value.get()));
  } else if (PyObject* make = python_object("exceptions", "_from_object"); make != nullptr) {
    error = Owned(PyObject_CallFunction(make, "iO", static_cast<int>(ErrorKind::kUser), value.get()));
  }
  if (error) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  return nullptr;
}

// Waits without the GIL until `come`; false: the time is over. As calls.cc's await().
bool Calls::await(Client& client, const std::function<bool()>& come, std::int64_t deadline) {
  std::int64_t say_at = state().is_worker ? -1 : Client::now_ns() + stalled_after_ns;
  for (;;) {
    const std::uint32_t seen = client.process().bell();
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    const bool says = say_at >= 0 && (deadline < 0 || say_at < deadline);
    WaitResult result;
    bool stopping;
    ++state().waiting;
    {
      nb::gil_scoped_release released;
      result = client.wait_until(come, seen, says ? say_at : deadline);
      stopping = client.process().stopping();
      --state().waiting;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (stopping || !is_of_now()) end_of("the runtime was shut down while this thread waited");
    if (result == WaitResult::kDone) return true;
    if (result != WaitResult::kTimeout) continue;
    if (!says) return false;
    const std::vector<Ref> refs = batch_->in_flight();
    say_at = !refs.empty() && say_what_for(client, refs, "map") ? -1 : Client::now_ns() + stalled_after_ns;
  }
}

// The next result, or raises its call's exception; more_inputs(): those are needed first. StopIteration, TimeoutError.
nb::object Calls::next(nb::handle timeout) {
  Client& to = client();
  std::int64_t deadline = -2;  // not looked at yet
  for (;;) {
    // Whoever reads takes the results into his own hands: what he unpickles may let other threads run.
    if (readings_.empty())
      if (auto results = batch_->take()) readings_.push_back({.results = std::move(results)});
    if (!readings_.empty()) {
      Reading reading = std::move(readings_.back());
      readings_.pop_back();
      PyObject* value = read_one(to, reading);
      if (reading.read < reading.results->calls && !closed_)
        readings_.push_back(std::move(reading));
      else
        drop(reading);
      if (value == nullptr) throw nb::python_error();
      return nb::steal(value);
    }
    if (batch_->finished()) throw nb::stop_iteration();
    pump();
    if (closed_ || batch_->readable()) continue;
    if (!has_work()) {
      if (batch_->finished()) throw nb::stop_iteration();
      if (!batch_->readable()) return nb::borrow(more_inputs());
      continue;
    }
    if (deadline == -2 && !deadline_of(timeout.ptr(), deadline)) throw nb::python_error();
    bool deferred = false;
    Batch* batch = batch_.get();
    const std::shared_ptr<Batch> alive = batch_;
    auto come = [&to, &deferred, batch] {
      deferred = batch->pump(to);
      if (deferred || batch->readable() || batch->finished()) return true;
      const Batch::Counts c = batch->counts();
      return c.queued + c.running == 0;
    };
    if (!await(to, come, deadline)) {
      PyErr_SetNone(PyExc_TimeoutError);
      throw nb::python_error();
    }
    client();  // closed meanwhile by another thread
  }
}

// Until what was taken from the inputs is done; false: the time is over.
bool Calls::wait(nb::handle timeout) {
  Client& to = client();
  std::int64_t deadline;
  if (!deadline_of(timeout.ptr(), deadline)) throw nb::python_error();
  const std::shared_ptr<Batch> batch = batch_;
  for (;;) {
    pump();
    if (!has_work()) return true;
    bool deferred = false;
    auto come = [&to, &deferred, &batch] {
      deferred = batch->pump(to);
      const Batch::Counts c = batch->counts();
      return deferred || c.queued + c.running == 0;
    };
    if (!await(to, come, deadline)) return false;
    client();
  }
}

void Calls::close() {
  if (std::exchange(closed_, true) || !batch_) return;
  if (is_of_now()) {
    for (Reading& reading : std::exchange(readings_, {})) drop(reading);
    Client& to = *state().client;
    ++state().waiting;
    {
      nb::gil_scoped_release released;
      batch_->close(to);
      --state().waiting;
    }
  }
  readings_.clear();
  auto gone = std::exchange(later_, {});  // which may run whatever
  gone.clear();
  forget_calls();
}

// ---------------------------------------------------------------------------------------------------------------------
// The thread that goes on with the call sets of this process.

// The call set has got something to do. True: the thread is to be started.
bool go_on_with(nb::handle calls) {
  Pump& pump = the_pump();
  bool known = false;
  for (const nb::object& each : pump.calls) known = known || each.is(calls);
  if (!known) pump.calls.push_back(nb::borrow(calls));
  pump.changes.fetch_add(1);
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

// The thread's function: until there is nothing to go on with.
void run_pump() {
  Pump& pump = the_pump();
  for (;;) {
    const std::uint32_t before = pump.changes.load();
    if (!pump_all(pump)) {
      if (pump.changes.load() != before && !pump.calls.empty() && state().client != nullptr) continue;
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

void bind_batch(nb::module_& m) {
  if (!init_chunks(m.ptr())) throw nb::python_error();
  nb::class_<Calls>(m, "_Calls", nb::type_slots(calls_slots))
      .def(nb::init<nb::handle, std::uint32_t, std::uint32_t, bool>(), nb::arg("function"), nb::arg("unit"),
           nb::arg("flags"), nb::arg("ordered"))
      .def("add_tasks", &Calls::add_tasks)
      .def("add_actor", &Calls::add_actor)
      .def("feed", &Calls::feed)
      .def("end_inputs", &Calls::end_inputs)
      .def("next", &Calls::next, nb::arg("timeout").none())
      .def("wait", &Calls::wait, nb::arg("timeout").none())
      .def("pump", &Calls::pump)
      .def("cancel", &Calls::cancel)
      .def("close", &Calls::close)
      .def("counts", &Calls::counts)
      .def("lanes", &Calls::lanes)
      .def("retire", &Calls::retire)
      .def("waiting", &Calls::waiting)
      .def("cancel_quietly", &Calls::cancel_quietly)
      .def_prop_ro("index", &Calls::index)
      .def_prop_ro("lost", &Calls::lost)
      .def("take_problem", &Calls::take_problem)
      .def_rw("on_done", &Calls::on_done, nb::arg().none())
      .def_rw("make_error", &Calls::make_error, nb::arg().none());
  m.def("_go_on_with", go_on_with);
  m.def("_run_pump", run_pump);
  m.attr("_MORE_INPUTS") = nb::borrow(more_inputs());
  m.attr("_AHEAD_BYTES") = kAheadBytes;
  m.attr("_STAR_ARGUMENTS") = Batch::kStarArguments;
  m.attr("_ANY_EXCEPTION") = Batch::kAnyException;
  m.attr("_MAX_UNIT") = Batch::kMaxUnit;
}

}  // namespace daybreak::runtime::python
