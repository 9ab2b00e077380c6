// A call set (batch.h) as Python holds it: inputs are encoded as they are taken, results decoded as they are read.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daybreak/runtime/python/calls.h"
#include "daybreak/runtime/python/joined.h"

namespace daybreak::runtime::python {

namespace nb = nanobind;

inline constexpr std::uint64_t kAheadBytes = 64 << 20;  // of inputs in the store that wait for their turn

[[noreturn]] void throw_error(const base::Error& error);
Client& running_client();
// Raises RuntimeError: the call set, or its runtime, is over.
[[noreturn]] void end_of(const char* what);
// What next() gives in the place of a result: further inputs are needed first. Borrowed.
PyObject* more_inputs();

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

// All of it is guarded by the GIL but for what the Batch guards itself; nobody waits for the GIL while he has a Batch's lock.
class Calls {
 public:
  Calls(nb::handle function, std::uint32_t unit, std::uint32_t flags, bool ordered, std::uint32_t queued,
        std::uint32_t most)
      : session_(state().session), flags_(flags) {
    Client& client = running_client();
    const Ref* ref = checked_ref(function.ptr(), "a Batch");
    if (ref == nullptr) throw nb::python_error();
    auto made = Batch::make(client, {.function = *ref,
                                     .unit = unit,
                                     .flags = flags,
                                     .ordered = ordered,
                                     .queued = queued,
                                     .hurry = state().is_worker,
                                     .most = most});
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
  bool cancel_one(std::uint64_t number, bool force) {
    Client& to = client();
    nb::gil_scoped_release released;
    return batch_->cancel_one(to, number, force);
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
  void reopen(std::size_t lane) { batch_->reopen(lane); }
  std::uint64_t room() { return batch_->room(); }
  std::uint64_t fed() const { return fed_; }
  // To the chunks that are in flight.
  nb::list refs() {
    nb::list result;
    Process& p = client().process();
    for (const Ref ref : batch_->in_flight()) {
      p.hold(ref);
      result.append(nb::steal(make_object_ref(ref)));
    }
    return result;
  }
  nb::list read_ready();
  void unorder() { batch_->unorder(); }
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
  std::uint64_t ahead_bytes = kAheadBytes;  // of inputs in the store that wait
  std::uint64_t told = 0;                   // Batch::Counts::changes, when on_done was called last

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
  PyObject* read_one(Client& client, Reading& reading, bool* raised = nullptr);
  bool await(Client& client, const std::function<bool()>& come, std::int64_t deadline);

  std::uint64_t session_;
  const std::uint32_t flags_;
  std::shared_ptr<Batch> batch_;
  std::uint64_t fed_ = 0, put_bytes_ = 0;
  std::unordered_map<std::uint64_t, Later> later_;  // inputs to be encoded when their chunk is cut, by number
  std::vector<Reading> readings_;                   // begun, and in no thread's hands
  std::uint64_t index_ = 0;
  bool lost_ = false, closed_ = false;
  nb::object problem_ = nb::none();  // what was raised when an input was encoded late
};

}  // namespace daybreak::runtime::python
