#include "daybreak/runtime/python/call_set.h"

namespace daybreak::runtime::python {

namespace {

constexpr Py_ssize_t kTakenTogether = 1024;  // inputs that are handed on at once

}  // namespace

PyObject* more_inputs() {
  static PyObject* object = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  return object;
}

[[noreturn]] void end_of(const char* what) {
  PyErr_SetString(PyExc_RuntimeError, what);
  throw nb::python_error();
}

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
  for (Py_ssize_t n = 0; n < most && (later || put_bytes_ < ahead_bytes); ++n) {
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

PyObject* Calls::read_one(Client& client, Reading& reading, bool* raised_here) {
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
  const char how = results.blob[reading.at++];
  Owned value(decode_joined(client, results.blob, reading.at, results.objects));
  if (raised_here != nullptr) *raised_here = how == kCallRaised;
  if (!value) lost_ = (flags_ & Batch::kAnyException) != 0;  // as its input that cannot be read, by an executor's rules
  if (value && how == kCallUnreadable) {
    lost_ = true;
    PyObject* type = python_object("util.workers", "Unreadable");
    if (type != nullptr) PyErr_Format(type, "a worker could not unpickle a call: %S", value.get());
    return nullptr;
  }
  if (!value || how == kCallReturned || raised_here != nullptr) return value.release();
  Owned error;
  if (!make_error.is_none()) {
    error = Owned(PyObject_CallOneArg(make_error.ptr(), value.get()));
  } else if (PyObject* make = python_object("exceptions", "_from_object"); make != nullptr) {
    error = Owned(PyObject_CallFunction(make, "iO", static_cast<int>(ErrorKind::kUser), value.get()));
  }
  if (error) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  return nullptr;
}

// What is there, of each call (its number, how it ended, what it gave): 0 a value, 1 it raised, with what describes that,
// 2 it was lost, with the exception.
nb::list Calls::read_ready() {
  Client& to = client();
  nb::list found;
  auto read = [&](Reading reading) {
    while (reading.read < reading.results->calls) {
      const std::uint64_t number = reading.results->first + reading.read;
      bool raised = false;
      Owned value(read_one(to, reading, &raised));
      if (value) {
        found.append(nb::make_tuple(number, raised ? 1 : 0, nb::steal(value.release())));
        continue;
      }
      PyObject *type, *error, *trace;
      PyErr_Fetch(&type, &error, &trace);
      PyErr_NormalizeException(&type, &error, &trace);
      Owned own_type(type), own_trace(trace);
      found.append(nb::make_tuple(number, 2, nb::steal(error)));
    }
    drop(reading);
  };
  for (Reading& begun : std::exchange(readings_, {})) read(std::move(begun));  // by next(), before
  while (auto results = batch_->take()) read({.results = std::move(results)});
  forget_ended();
  return found;
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
  wake_pump();
}

}  // namespace daybreak::runtime::python
