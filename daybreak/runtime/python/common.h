// What the files of the Python binding share. Raw C API for the hot verbs (a FASTCALL entry costs 26 ns, a nanobind one
// 40 to 100); nanobind for the rest.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daybreak/runtime/attached_driver.h"
#include "daybreak/runtime/client.h"
#include "daybreak/runtime/node.h"
#include "daybreak/runtime/value_format.h"
#include "daybreak/runtime/worker_loop.h"

namespace daybreak::runtime::python {

// An owned reference.
class Owned {
 public:
  Owned() = default;
  explicit Owned(PyObject* object) : object_(object) {}
  Owned(Owned&& other) noexcept : object_(other.release()) {}
  Owned& operator=(Owned&& other) noexcept {
    if (this != &other) {
      Py_XDECREF(object_);
      object_ = other.release();
    }
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object_); }
  PyObject* get() const { return object_; }
  PyObject* release() {
    PyObject* object = object_;
    object_ = nullptr;
    return object;
  }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

// The runtime of this process: a driver's or a worker's. Guarded by the GIL.
struct State {
  std::unique_ptr<Node> node;                // driver
  std::unique_ptr<AttachedDriver> attached;  // driver of an engine that another process has started
  std::unique_ptr<Segment> segment;          // worker
  std::unique_ptr<Process> process;          // worker
  std::unique_ptr<Client> own_client;        // worker
  std::unique_ptr<WorkerLoop> loop;          // worker
  Client* client = nullptr;                  // null: not initialised
  // Of the engine, by which references and handles of this process are known to be of now; 0: not initialised. In an engine
  // that this process has left and come back to it is another one: engine_session() is what others know.
  std::uint64_t session = 0;
  std::uint64_t binding = 0;   // what remote functions are bound for: the session; in a placement group that its
                               // tasks' tasks are of, another number
  PyObject* engine = nullptr;  // another engine than the embedded one (runtime/engine.py); the verbs go there
  bool is_worker = false;
  bool in_actor = false;
  PyObject* current_call = nullptr;  // coroutine actor: the context variable that says whose call runs
  std::uint32_t actor_slot = 0;
  std::atomic<int> waiting{0};  // threads in get or wait
  std::int64_t views = 0;       // arrays and buffers that look at the store
};
State& state();

// What other processes know the engine's session by; 0: not initialised.
std::uint64_t engine_session();
// state().client, after starting the runtime if nobody has; null with an exception set.
Client* client_or_init();

// Raises what fits the error: ObjectStoreFullError, ValueError, RuntimeError ...
void raise(const base::Error& error);
// daybreak.runtime.<module>.<name>, borrowed for ever; null with an exception set.
PyObject* python_object(const char* module, const char* name);

// Client::current_task, set anew where it follows the context and not the thread: in a coroutine actor.
std::uint32_t current_task();
// Says once that a coroutine waits in `verb` and holds up all others; nothing elsewhere.
void warn_if_on_loop(const char* verb);

// -- ObjectRef --------------------------------------------------------------------------------------------------------
struct ObjectRefObject {
  PyObject_HEAD std::uint64_t session;
  Ref ref;
};
extern PyTypeObject* object_ref_type;
bool is_object_ref(PyObject* object);
// Takes over one local reference.
PyObject* make_object_ref(Ref ref);
// Null with an exception set when it is not a reference of this session.
const Ref* checked_ref(PyObject* object, const char* verb);

// -- ActorHandle ------------------------------------------------------------------------------------------------------
struct ActorHandleObject {
  PyObject_HEAD std::uint64_t session;
  Ref creation;
  std::uint32_t slot;
  PyObject* info;  // dict: class name, methods {name: how they are called}, concurrency groups, ...
  PyObject* weakrefs;
  std::int32_t max_pending_calls;  // 0: any number
};
extern PyTypeObject* actor_handle_type;
PyObject* make_actor_handle(Ref creation, std::uint32_t slot, PyObject* info);

// -- values -----------------------------------------------------------------------------------------------------------
inline constexpr std::uint64_t kReleaseGilBytes = 256 * 1024;  // copying this much takes longer than giving up the GIL
inline constexpr std::uint64_t kLargeArgBytes = 100 * 1024;    // a larger argument becomes an object of its own

// What this thread encodes is for C++, which reads containers in containers, and longer ones, but no pickle: it submits a call of a
// C++ function; or, as the next says, it runs what C++ has called. Asked where else something would be pickled.
extern thread_local bool submits_to_cpp;
bool result_is_for_cpp();

// Collects a Payload from Python objects. Keeps what it refers to alive until it is destroyed. GIL held throughout.
class Encoder {
 public:
  Encoder();
  ~Encoder();
  Encoder(const Encoder&) = delete;
  bool item(PyObject* object);  // false: exception set
  bool call(const char* method, Py_ssize_t method_size, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);
  const Payload& finish(std::uint8_t codec);

 private:
  struct Mark {  // how much of each there was before an argument
    ValueWriter::Mark written;
    std::size_t nested, buffers, keep;
  };
  bool argument(PyObject* object);
  bool scalar(PyObject* object, bool& done);
  bool flat_container(PyObject* object, bool& done);
  template <typename Put>
  bool container(PyObject* object, bool& done, Py_ssize_t most, const Put& put);
  bool plain_item(PyObject* object, bool& done, std::uint32_t nesting);
  bool plain_container(PyObject* object, bool& done, std::uint32_t nesting);
  bool reference_list(PyObject* object, bool& done);
  bool tensor(PyObject* object, bool& done);
  bool pickle(PyObject* object);
  bool own_object(const Mark& since);
  void depend_on(Ref ref);
  void keep_if(bool pointed_at, PyObject* owner);
  std::uint32_t nested(Ref ref, PyObject* holder);

  friend PyObject* reduce_reference(PyObject* self, PyObject*);
  friend PyObject* reduce_actor(PyObject* self, PyObject*);

  ValueWriter writer_;
  std::vector<Ref> deps_, nested_;
  std::size_t pickle_refs_ = 0;  // where in nested_ those of the pickle in progress begin
  std::vector<Py_buffer> buffers_;
  std::vector<PyObject*> keep_;
  Payload payload_;
};

// The value of an object: a new reference, or null with its exception set (an object that holds an error raises it).
// One that was lost is computed again, and awaited until `deadline`, as in Client::wait.
PyObject* decode_object(Client& client, Ref ref, std::int64_t deadline = -1);
// Waits until `count` of them are done, without the GIL; Python's signal handlers run in between. False: exception set; a
// time that is over is `timed_out`.
bool await(Client& client, std::span<const Ref> refs, std::size_t count, std::int64_t deadline, bool& timed_out,
           const char* verb);
// Arguments of the task that this process runs. `values`: positional ones, then those of the names; new references.
// A dependency that holds an error: `failed` is its Ref and false is returned without an exception.
bool decode_call(Client& client, std::uint32_t index, std::string& method, std::vector<PyObject*>& values,
                 PyObject*& kwnames, Py_ssize_t& positional, Ref& failed, bool& dependency_failed);
// The name under which what was said of one call goes along with its arguments (worker.h). Borrowed.
PyObject* said_name();
// A function in the store as (callable, exceptions to retry on or None), after `enter_world` has had its first part.
PyObject* decode_function(Client& client, Ref ref, PyObject* enter_world);
// An item of a blob, e.g. a pickled function; copies.
PyObject* decode_blob(std::span<const std::byte> bytes, std::span<const Ref> refs, std::uint16_t deps, Client& client);
// One of the items that lie joined in `bytes`, from `at` on, which is behind it then: new, or null with an exception set. In
// place of an item the number of one of `objects` may stand.
PyObject* decode_joined(Client& client, std::string_view bytes, std::size_t& at, std::span<const Ref> objects);
// Sets the exception that an error object stands for.
void raise_object_error(Client& client, Ref ref);

// module.name, new; null with an exception set.
PyObject* import_attribute(const char* module, const char* name);
// numpy.ndarray if numpy is loaded (we never load it), else null without an exception.
PyTypeObject* ndarray_type();

bool init_refs(PyObject* module);
bool init_decoder(PyObject* module);
bool init_calls(PyObject* module);

// The thread that goes on with call sets looks at them again (batch.cc).
void wake_pump();

}  // namespace daybreak::runtime::python
